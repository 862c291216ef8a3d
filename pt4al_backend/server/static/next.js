/** Keeps the queue as it is served, by reading the page again when the project has changed, and withdraws people's choices. */
import { watch } from "./live.js";
import { rereading } from "./renew.js";

const view = document.getElementById("queue");
const [dialog, title, outcome, cancel, go] = ["confirm", "confirm-title", "outcome", "cancel", "go"].map((id) => document.getElementById(id));
let task = null;

function ask(number) {
  task = number;
  title.textContent = `Withdraw the choice of task ${task}?`;
  outcome.textContent = "";
  cancel.textContent = "Cancel";
  go.hidden = false;
  dialog.showModal();
}

async function withdraw() {
  go.disabled = true;
  try {
    const answer = await fetch(`/api/projects/${view.dataset.project}/withdraw-choices`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ tasks: [task] }),
    });
    const said = await answer.json();
    outcome.textContent = answer.ok ? said.message : `${said.error} ${said.remedy}`;
    go.hidden = answer.ok;
    cancel.textContent = "Close";
  } catch {
    outcome.textContent = "The backend is not responding.";
  }
  go.disabled = false;
  if (go.hidden) cancel.focus();
}

view.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) ask(Number(button.value));
});
go.addEventListener("click", withdraw);
cancel.addEventListener("click", () => dialog.close());
watch(view.dataset.project, rereading(view));
