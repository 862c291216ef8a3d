/** Asks before it does what a button says, and shows what follows. */
const acts = document.querySelector(".acts");
const dialog = document.getElementById("confirm");
const [title, text, outcome, cancel, go] = ["confirm-title", "confirm-text", "outcome", "cancel", "go"].map((id) =>
  document.getElementById(id),
);
let chosen = null;

/** What the request to an action says; null if what was entered is no use, and then `outcome` says why. */
function bodyOf(section) {
  const body = section.dataset.body ? JSON.parse(section.dataset.body) : {};
  const { action } = section.dataset;
  if (action === "label-next") {
    const words = document.getElementById("tasks").value.split(/[\s,;]+/).filter(Boolean);
    // numbers of 16 digits may be above 2^53, where JavaScript makes others of them
    const wrong = words.find((word) => !/^[1-9][0-9]{0,14}$/.test(word));
    if (wrong !== undefined || !words.length) {
      outcome.textContent = wrong === undefined ? "Enter the numbers of tasks." : `${wrong} is not the number of a task.`;
      return null;
    }
    body.tasks = words.map(Number);
  } else if (action === "control-picks") {
    const more = document.getElementById("more");
    if (!more.value || !more.checkValidity()) {
      outcome.textContent = more.validationMessage || "Enter a number.";
      return null;
    }
    body.total = Number(more.dataset.have) + Number(more.value);
  }
  return body;
}

function ask(section) {
  title.textContent = section.querySelector("h2").textContent;
  text.replaceChildren(...[...section.querySelectorAll(".says p")].filter((p) => !p.querySelector("label")).map((p) => p.cloneNode(true)));
  go.textContent = section.querySelector("button").textContent;
  go.className = section.querySelector("button").className;
  outcome.textContent = "";
  cancel.textContent = "Cancel";
  const body = bodyOf(section);
  go.hidden = go.disabled = body === null;
  if (body?.tasks) outcome.textContent = `${body.tasks.length === 1 ? "Task" : "Tasks"} ${body.tasks.join(", ")}`;
  if (body?.total) outcome.textContent = `${body.total} control picks in round ${body.round}`;
  chosen = { section, body, isDone: false };
  dialog.showModal();
}

/** What the answer to an action says, for people. */
function wordsOf(said) {
  const left = (said.left_out ?? []).map(({ task, reason }) => `Task ${task} is left out: ${reason}.`);
  return [said.message ?? `Forgotten. ${said.set_back}`, ...left].join(" ");
}

async function act() {
  const { section, body } = chosen;
  go.disabled = true;
  try {
    const answer = await fetch(`/api/projects/${acts.dataset.project}/${section.dataset.action}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const said = await answer.json();
    outcome.textContent = answer.ok ? wordsOf(said) : `${said.error} ${said.remedy}`;
    chosen.isDone = answer.ok;
    go.hidden = answer.ok;
    cancel.textContent = "Close";
  } catch {
    outcome.textContent = "The backend is not responding.";
  }
  go.disabled = false;
  if (go.hidden) cancel.focus();
}

acts.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) ask(button.closest("section"));
});
// only now is a click heard
for (const button of acts.querySelectorAll("button")) button.disabled = false;
go.addEventListener("click", act);
cancel.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  if (!chosen.isDone) return;
  if (chosen.section.dataset.action === "forget") location.assign("/");
  else location.reload();
});
