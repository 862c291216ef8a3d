/** Draws each confusion matrix from its table, as a heat map whose cells open their tasks, and keeps the page as it is computed. */
import { plain } from "./charts.js";
import { only, watch } from "./live.js";
import { rereading } from "./renew.js";

const LONGEST = 24;

function shortened(name) {
  return plain(name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);
}

function readTable(table) {
  const classes = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));
  return {
    classes,
    counts: rows.map((cells) => cells.map((cell) => Number(cell.dataset.count))),
    links: rows.map((cells) => cells.map((cell) => cell.querySelector("a")?.href)),
  };
}

/** The share of each label that has each answer: rows with few labels are as legible as those with many. */
function shares(counts) {
  return counts.map((row) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count) => (total ? count / total : 0));
  });
}

function draw(place) {
  const { classes, counts, links } = readTable(document.getElementById(place.dataset.table));
  const style = getComputedStyle(document.body);
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ticks = classes.map((_, number) => number);
  const axis = { tickvals: ticks, ticktext: classes.map(shortened), automargin: true, fixedrange: true, showgrid: false, zeroline: false };
  const trace = {
    type: "heatmap",
    z: shares(counts),
    text: counts.map((row) => row.map((count) => count.toLocaleString())),
    texttemplate: classes.length > 12 ? "" : "%{text}",
    customdata: counts.map((row, label) => row.map((_, answer) => [plain(classes[label]), plain(classes[answer])])),
    hovertemplate: "Label %{customdata[0]}<br>Answer %{customdata[1]}<br>%{text} tasks<extra></extra>",
    colorscale: isDark ? [[0, "#1c2025"], [1, "#7db1ff"]] : [[0, "#f4f6f8"], [1, "#1f5fbf"]],
    zmin: 0,
    zmax: 1,
    xgap: 1,
    ygap: 1,
    showscale: false,
  };
  const layout = {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: style.fontFamily, color: style.color, size: 13 },
    margin: { t: 10, r: 10, b: 60, l: 60 },
    xaxis: { ...axis, title: { text: "Answer" }, tickangle: -35 },
    yaxis: { ...axis, title: { text: "Label", standoff: 15 }, autorange: "reversed" },
  };
  place.hidden = false;
  Plotly.react(place, [trace], layout, { displayModeBar: false, responsive: true });
  place.removeAllListeners("plotly_click");
  place.on("plotly_click", ({ points: [point] }) => {
    const [label, answer] = point.pointIndex;
    const link = links[label][answer];
    if (link) location.assign(link);
  });
}

function drawAll() {
  for (const place of document.querySelectorAll(".heatmap")) draw(place);
}

const view = document.getElementById("quality");
const refresh = rereading(view, drawAll);
drawAll();
watch(view.dataset.project, only(({ labelled, round, aside, found }) => [labelled, round, aside, found.quality], refresh));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
