/** What the charts of all pages share: the library, loaded when the first chart needs it, the colours and the number formats. */

let loading;

/** The chart library, from an address that the page knows. */
export function plotly(address) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error("The chart library cannot be loaded."));
    document.head.append(script);
  });
  return loading;
}

/** A colour of page.css, such as `--accent`, as it is now: light or dark. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The same colour, seen through. */
export function faded(name, opacity) {
  return colour(name).replace(/rgba?\(([\d.]+),\s*([\d.]+),\s*([\d.]+).*\)/, `rgba($1, $2, $3, ${opacity})`);
}

/** A layout as all charts have it; `more` is added to it. */
export function layout(more) {
  const parts = new Intl.NumberFormat().formatToParts(12345.6);
  const part = (type) => parts.find((each) => each.type === type)?.value ?? "";
  const axis = { color: colour("--quiet"), gridcolor: colour("--line"), zeroline: false, automargin: true, fixedrange: true };
  const { xaxis, yaxis, ...rest } = more;
  return {
    separators: (part("decimal") || ".") + part("group"),
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 13, color: colour("--quiet") },
    margin: { l: 50, r: 10, t: 10, b: 40 },
    showlegend: false,
    hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
    ...rest,
  };
}

/** The library reads tags and entities in what it writes; a name has none. */
export function plain(name) {
  return name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export const CONFIG = { displayModeBar: false, responsive: true };

/** Calls `draw` again when the page turns light or dark. */
export function onThemeChange(draw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
