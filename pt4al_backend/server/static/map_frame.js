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

async function draw(message) {
  drawn = message;
  await Plotly.react(map, traces(), layout(message.dark), {
    displayModeBar: false,
    scrollZoom: hasWebgl,
    staticPlot: !hasWebgl,
    doubleClick: "reset",
    responsive: true,
  });
  if (!draw.listens) listen();
  tell({ kind: "drawn" });
}

function listen() {
  draw.listens = true;
  map.on("plotly_hover", ({ points: [found], event }) => {
    if (found) tell({ kind: "hover", point: pointOf(found), left: event.clientX, top: event.clientY });
  });
  map.on("plotly_unhover", () => tell({ kind: "unhover" }));
  map.on("plotly_click", ({ points: [found] }) => found && tell({ kind: "click", point: pointOf(found) }));
  map.on("plotly_selected", (event) => event && tell({ kind: "selected", points: event.points.map(pointOf) }));
  map.on("plotly_deselect", () => tell({ kind: "selected", points: [] }));
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
