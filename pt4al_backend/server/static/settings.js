/** Sends the settings that were changed, once that is confirmed, and shows beside each field what is wrong with it. */
import { post } from "./posting.js";

const form = document.getElementById("settings");
const said = document.getElementById("said");
const confirmed = document.getElementById("confirm");
const [save, undo] = form.querySelectorAll(".save button");
const fields = [...form.querySelectorAll(".setting")].map((row) => ({ row, input: row.querySelector("input, select") }));
const before = new Map(fields.map(({ input }) => [input.name, input.value]));

const changed = () => fields.filter(({ input }) => input.value.trim() !== before.get(input.name));

function mark() {
  const count = changed().length;
  for (const { row, input } of fields) row.classList.toggle("changed", input.value.trim() !== before.get(input.name));
  save.disabled = undo.disabled = !count;
  said.textContent = count ? `${count} ${count === 1 ? "setting" : "settings"} changed` : "";
}

function showErrors(errors) {
  for (const { row, input } of fields) {
    const error = row.querySelector(".error");
    error.textContent = errors[input.name] ?? "";
    error.hidden = !error.textContent;
    input.setAttribute("aria-invalid", String(!error.hidden));
  }
  fields.find(({ input }) => errors[input.name])?.input.focus();
}

const shown = (value) => (value === "" ? "not given" : value);

function ask() {
  const words = changed().flatMap(({ row, input }) => {
    const name = document.createElement("dt");
    name.textContent = input.name;
    const what = document.createElement("dd");
    what.textContent = `${shown(before.get(input.name))} → ${shown(input.value.trim())}`;
    const when = document.createElement("dd");
    when.className = "quiet";
    when.textContent = row.querySelector(".effect").textContent;
    return [name, what, when];
  });
  document.getElementById("changes").replaceChildren(...words);
  confirmed.returnValue = "no";
  confirmed.showModal();
}

async function send() {
  const changes = Object.fromEntries(changed().map(({ input }) => [input.name, input.value.trim() || null]));
  save.disabled = true;
  said.textContent = "Writing to Label Studio …";
  const { isDone, found, words } = await post(form.dataset.project, "settings", { read: form.dataset.read, changes });
  if (isDone) return location.reload();
  const errors = found.fields ?? {};
  showErrors(errors);
  said.textContent = errors[""] ?? (found.fields ? "Nothing was changed: see the fields." : words);
  save.disabled = false;
}

form.addEventListener("input", mark);
form.addEventListener("reset", () => setTimeout(() => {
  showErrors({});
  mark();
}));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (changed().length) ask();
});
confirmed.addEventListener("close", () => confirmed.returnValue === "yes" && send());
mark();
