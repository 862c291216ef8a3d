/** Asks before it does what a button says, and shows what follows. */
import { ask } from "./confirm.js";

const acts = document.querySelector(".acts");
const { project } = acts.dataset;
const [text, go] = ["confirm-text", "go"].map((id) => document.getElementById(id));

/** The tasks that were entered, or why they are none. */
function tasksOf({ value }) {
  const words = value.split(/[\s,;]+/).filter(Boolean);
  // numbers of 16 digits may be above 2^53, where JavaScript makes others of them
  const wrong = words.find((word) => !/^[1-9][0-9]{0,14}$/.test(word));
  if (wrong !== undefined) return { note: `${wrong} is not the number of a task.` };
  if (!words.length) return { note: "Enter the numbers of tasks." };
  return { body: { tasks: words.map(Number) }, note: `${words.length === 1 ? "Task" : "Tasks"} ${words.join(", ")}` };
}

/** How many control picks there are to be, or why that is no number. */
function picksOf(more, round) {
  if (!more.value || !more.checkValidity()) return { note: more.validationMessage || "Enter a number." };
  const total = Number(more.dataset.have) + Number(more.value);
  return { body: { round, total }, note: `${total} control picks in round ${round}` };
}

/** What the request to an action says, and what it is about; no body if what was entered is no use, and then why. */
function requestOf({ dataset }) {
  const body = dataset.body ? JSON.parse(dataset.body) : {};
  if (dataset.action === "label-next") return tasksOf(document.getElementById("tasks"));
  if (dataset.action === "control-picks") return picksOf(document.getElementById("more"), body.round);
  return { body, note: "" };
}

/** What the answer to an action says, for people. */
function told(found) {
  const left = (found.left_out ?? []).map(({ task, reason }) => `Task ${task} is left out: ${reason}.`);
  return [found.message ?? `Forgotten. ${found.set_back}`, ...left].join(" ");
}

function confirm(section) {
  const { action } = section.dataset;
  const button = section.querySelector("button");
  const { body, note } = requestOf(section);
  text.replaceChildren(...[...section.querySelectorAll(".says p")].filter((p) => !p.querySelector("label")).map((p) => p.cloneNode(true)));
  go.textContent = button.textContent;
  go.className = button.className;
  ask({
    heading: section.querySelector("h2").textContent,
    note,
    request: body ? { project, path: action, body } : null,
    told,
    closed: () => (action === "forget" ? location.assign("/") : location.reload()),
  });
}

acts.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) confirm(button.closest("section"));
});
// only now is a click heard
for (const button of acts.querySelectorAll("button")) button.disabled = false;
