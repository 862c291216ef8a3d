/** Replaces what has changed of a page that is open. */
import { localise } from "./format.js";

/** Where an element with the focus is found again: summaries, links and buttons of the page are in elements with an id. */
function focusName(view, element) {
  const within = element.closest("[id]");
  return within === view ? "" : `#${CSS.escape(within.id)} ${element === within ? "" : element.localName}`.trim();
}

/** Puts what is `fresh`, and localised, in place of what `view` holds. What was opened stays open, and elements marked `data-keep` stay themselves. */
export function exchange(view, fresh) {
  for (const details of view.querySelectorAll("details[id]")) {
    fresh.querySelector(`#${CSS.escape(details.id)}`)?.toggleAttribute("open", details.open);
  }
  for (const kept of view.querySelectorAll("[data-keep]")) fresh.querySelector(`#${CSS.escape(kept.id)}`)?.replaceWith(kept);
  const focused = view.contains(document.activeElement) ? focusName(view, document.activeElement) : "";
  view.replaceChildren(...fresh.childNodes);
  if (focused) view.querySelector(focused)?.focus({ preventScroll: true });
}

/** A function that reads this page again, shows what is new in `view` since this was called, and then calls `shown`. */
export function rereading(view, shown = () => {}) {
  let known = view.innerHTML;
  return async () => {
    let text;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) return;
      text = await answer.text();
    } catch {
      return; // the backend is away: what is shown stays until it is back
    }
    const page = document.createElement("template"); // in which nothing loads, and no style is applied
    page.innerHTML = text;
    const fresh = page.content.getElementById(view.id);
    if (!fresh) return;
    localise(fresh);
    if (fresh.innerHTML === known) return;
    known = fresh.innerHTML;
    exchange(view, fresh);
    shown();
  };
}
