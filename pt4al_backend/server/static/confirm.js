/** The dialog of a page that acts: asks, posts once that is confirmed, and says what followed. */
import { post } from "./posting.js";

const [dialog, title, outcome, cancel, go] = ["confirm", "confirm-title", "outcome", "cancel", "go"].map((id) => document.getElementById(id));
let chosen = null;

/** Asks whether to go on. `request` has project, path and body; null if there is none to send, and `note` says why.
 * `told` makes words of what was answered, and `closed` is called when the dialog is closed after it was done. */
export function ask({ heading, note = "", request, told, closed = () => {} }) {
  title.textContent = heading;
  outcome.textContent = note;
  cancel.textContent = "Cancel";
  go.hidden = go.disabled = request === null;
  chosen = { request, told, closed, isDone: false };
  dialog.showModal();
}

async function perform() {
  const asked = chosen;
  const { project, path, body } = asked.request;
  go.disabled = true;
  const { isDone, found, words } = await post(project, path, body);
  outcome.textContent = isDone ? asked.told(found) : words;
  asked.isDone = go.hidden = isDone;
  cancel.textContent = "Close";
  go.disabled = false;
  if (isDone) cancel.focus();
}

go.addEventListener("click", perform);
cancel.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => chosen.isDone && chosen.closed());
