/** Numbers and times by the customs of the browser. The server writes 1,234.5 and 2026-11-30 08:15 UTC. */

const NUMBER = /(?<![\w.,:-])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(?![\w:-]|,\d|\.\d)/g;
const whole = new Intl.NumberFormat();
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A number as the server writes it, by the browser's customs. */
function shown(text) {
  const digits = text.split(".")[1]?.length ?? 0;
  const value = Number(text.replaceAll(",", ""));
  return digits ? value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }) : whole.format(value);
}

/** Rewrites times, and the numbers in elements marked `data-numbers` that have a separator; not in code. Once for each part of a page, as it comes from the server. */
export function localise(part) {
  for (const time of part.querySelectorAll("time[datetime]")) time.textContent = moment.format(new Date(time.dateTime));
  for (const marked of part.querySelectorAll("[data-numbers]")) {
    const texts = document.createTreeWalker(marked, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      if (!text.parentElement.closest("time, code")) text.data = text.data.replace(NUMBER, shown);
    }
  }
}
