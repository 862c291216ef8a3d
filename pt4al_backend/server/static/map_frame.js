/**
 * Draws the points of the map, in a frame that has no origin: the library makes code of text, which our pages do not allow.
 *
 * The page sends {kind: "draw", x, y, groups: [{colour, symbol, size, opacity, points}], dark} and {kind: "drag", mode};
 * it gets {kind: "ready", webgl}, "drawn", {kind: "hover", point, left, top}, "unhover", {kind: "click", point} and
 * {kind: "selected", points}. Points are positions in x and y.
 */
"use strict";
const map = document.getElementById("map");
const hasWebgl = (() => {
  try {
    return Boolean(document.createElement("canvas").getContext("webgl"));
  } catch {
    return false;
  }
})();
let drawn = null;
let outlines = [];
let drawings = 0;
let mode = "pan";

const tell = (message) => parent.postMessage(message, "*");

function layout(dark) {
  const axis = { visible: false, fixedrange: !hasWebgl };
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: axis,
    yaxis: { ...axis, scaleanchor: "x" },
    showlegend: false,
    hovermode: "closest",
    dragmode: hasWebgl ? mode : false,
    uirevision: "kept",
    selections: outlines,
    selectionrevision: drawn.revision,
    newselection: { line: { color: dark ? "#fff" : "#000", width: 1, dash: "dot" } },
  };
}

function traces() {
  return drawn.groups.map((group) => ({
    type: hasWebgl ? "scattergl" : "scatter",
    mode: "markers",
    x: group.points.map((point) => drawn.x[point]),
    y: group.points.map((point) => drawn.y[point]),
    marker: {
      color: group.values ?? group.colour,
      colorscale: group.values ? group.scale : undefined,
      cmin: group.values ? 0 : undefined,
      cmax: group.values ? 100 : undefined,
      symbol: group.symbol,
      size: group.size,
      opacity: group.opacity,
      line: { width: 0 },
    },
    selected: { marker: { opacity: 1 } },
    unselected: { marker: { opacity: 0.15 } },
    hoverinfo: "none",
  }));
}

const pointOf = (found) => drawn.groups[found.curveNumber].points[found.pointNumber];

/** A lasso outlasts what is drawn anew by the same revision: the library would forget it, and say that nothing is selected. */
async function draw(message) {
  outlines = drawn?.revision === message.revision ? (map.layout?.selections ?? []) : [];
  drawn = message;
  drawings += 1;
  try {
    await Plotly.react(map, traces(), layout(message.dark), {
      displayModeBar: false,
      scrollZoom: hasWebgl,
      staticPlot: !hasWebgl,
      doubleClick: "reset",
      responsive: true,
    });
  } finally {
    drawings -= 1;
  }
  if (!draw.listens) listen();
  tell({ kind: "drawn" });
}

/** What people select; not what the library finds when it draws. */
const select = (points) => drawings || tell({ kind: "selected", points: points.map(pointOf) });

function listen() {
  draw.listens = true;
  map.on("plotly_hover", ({ points: [found], event }) => {
    if (found) tell({ kind: "hover", point: pointOf(found), left: event.clientX, top: event.clientY });
  });
  map.on("plotly_unhover", () => tell({ kind: "unhover" }));
  map.on("plotly_click", ({ points: [found] }) => found && tell({ kind: "click", point: pointOf(found) }));
  map.on("plotly_selected", (event) => event && select(event.points));
  map.on("plotly_deselect", () => select([]));
}

addEventListener("message", (event) => {
  if (event.source !== parent) return;
  if (event.data.kind === "draw") draw(event.data);
  if (event.data.kind === "drag" && hasWebgl) {
    mode = event.data.mode;
    if (drawn) Plotly.relayout(map, { dragmode: mode });
  }
  if (event.data.kind === "whole" && drawn) Plotly.relayout(map, { "xaxis.autorange": true, "yaxis.autorange": true });
});
tell({ kind: "ready", webgl: hasWebgl });
