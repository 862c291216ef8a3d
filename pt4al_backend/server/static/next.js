/** Keeps the queue as it is served, by reading the page again when the project has changed, and withdraws people's choices. */
import { ask } from "./confirm.js";
import { watch } from "./live.js";
import { rereading } from "./renew.js";

const view = document.getElementById("queue");
const { project } = view.dataset;

view.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const task = Number(button.value);
  ask({
    heading: `Withdraw the choice of task ${task}?`,
    request: { project, path: "withdraw-choices", body: { tasks: [task] } },
    told: ({ message }) => message,
  });
});
watch(project, rereading(view));
