/** Keeps the queue as it is served: reads the page again when the project has changed. */
import { localise } from "./format.js";
import { watch } from "./live.js";

const view = document.getElementById("queue");
let known = view.innerHTML;

async function refresh() {
  let text;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!answer.ok) return;
    text = await answer.text();
  } catch {
    return; // the backend is away: what is shown stays until it is back
  }
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("queue");
  if (!fresh) return;
  localise(fresh);
  if (fresh.innerHTML === known) return;
  known = fresh.innerHTML;
  const isOpen = document.getElementById("classes")?.open;
  view.replaceChildren(...fresh.childNodes);
  if (isOpen) document.getElementById("classes")?.setAttribute("open", "");
}

watch(view.dataset.project, refresh);
