/** The overview: kept up to date, with the charts of the learning curve and of the last hours. */
import { CONFIG, colour, faded, layout, onThemeChange, plain, plotly } from "./charts.js";
import { chosenClass, searchClasses } from "./classes.js";
import { localise } from "./format.js";
import { watch } from "./live.js";
import { exchange } from "./renew.js";

const view = document.getElementById("status");
const stale = document.getElementById("stale");
const { project } = view.dataset;
const asked = () => new URLSearchParams({ utc_offset: -new Date().getTimezoneOffset(), ...(chosenClass === null ? {} : { class: chosenClass }) });

let told = "";
let reading;

/** Reads the part of the page that changes, and what the charts show; what was opened stays open, charts are drawn over. */
async function refresh() {
  reading?.abort();
  const { signal } = (reading = new AbortController());
  try {
    const answer = await fetch(`/projects/${project}/status?${asked()}`, { cache: "no-store", signal });
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    if (text !== told) show(text);
    told = text;
    stale.hidden = true;
    searchClasses(project);
    const { charts, chosen } = document.getElementById("charts").dataset;
    await draw({ ...JSON.parse(charts), chosen: chosen && JSON.parse(chosen) });
  } catch (error) {
    if (error.name !== "AbortError") stale.hidden = false;
  }
}

function show(text) {
  const fresh = document.createElement("template");
  fresh.innerHTML = text;
  localise(fresh.content);
  exchange(view, fresh.content);
}

let drawn;

async function draw(overview) {
  drawn = overview;
  const curve = document.getElementById("curve-chart");
  const hours = document.getElementById("hours-chart");
  if (!curve && !hours) return;
  const library = await plotly(view.dataset.plotly);
  if (curve) await library.react(curve, ...curveChart(overview), CONFIG);
  if (hours) await library.react(hours, ...hoursChart(overview), CONFIG);
}

const INTERVAL = "%{customdata[0]:.1%} to %{customdata[1]:.1%}<extra></extra>";

/** A learning curve as points with their intervals. */
function pointsOf(points, name, about) {
  const there = points.filter((point) => point.value !== null);
  return {
    x: there.map((point) => point.labels), y: there.map((point) => point.value), mode: "lines+markers",
    marker: { size: 8, symbol: name ? "diamond" : "circle" }, line: { color: colour(about), width: 2, dash: name ? "dot" : "solid" },
    error_y: {
      type: "data", symmetric: false, thickness: 1.5, width: 4, color: colour(about),
      array: there.map((point) => point.high - point.value), arrayminus: there.map((point) => point.value - point.low),
    },
    customdata: there.map((point) => [point.low, point.high]),
    text: there.map(({ round, picks }) => `${name}round ${round}${picks === null ? "" : `, ${picks.toLocaleString()} control picks`}`),
    hovertemplate: `%{x:,} labels, %{text}: %{y:.1%}<br>${INTERVAL}`,
  };
}

function curveChart({ curve, expected, metric, chosen }) {
  const of = (points, name) => points.map((point) => point[name]);
  const range = (points) => points.map((point) => [point.low, point.high]);
  const band = { x: [...of(expected, "labels"), ...of(expected, "labels").reverse()], y: [...of(expected, "high"), ...of(expected, "low").reverse()] };
  const traces = [
    { ...band, fill: "toself", fillcolor: faded("--accent", 0.15), line: { width: 0 }, mode: "lines", hoverinfo: "skip" },
    {
      x: of(expected, "labels"), y: of(expected, "value"), mode: "lines", line: { color: colour("--accent"), dash: "dash", width: 2 },
      customdata: range(expected), hovertemplate: `%{x:,} labels, forecast: %{y:.1%}<br>${INTERVAL}`,
    },
    ...(chosen ? [pointsOf(chosen.points, `${plain(chosen.name)}, `, "--warn")] : []),
    pointsOf(curve, "", "--accent"),
  ];
  const name = metric === metric.toLowerCase() ? metric[0].toUpperCase() + metric.slice(1) : metric;
  return [traces, layout({
    xaxis: { title: { text: "Labels" }, tickformat: ",d", rangemode: "tozero" },
    yaxis: { title: { text: name }, tickformat: ".0%", range: [0, 1.02] },
  })];
}

function hoursChart({ labelling: { hours } }) {
  const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
  const names = hours.map(({ at }) => clock.format(new Date(1000 * at)));
  const trace = {
    type: "bar", x: hours.map((_, index) => index), y: hours.map(({ labels }) => labels), marker: { color: colour("--accent") },
    text: names, textposition: "none", hovertemplate: "from %{text}: %{y:,} labels<extra></extra>",
  };
  const shown = hours.map((_, index) => index).filter((index) => (hours.length - 1 - index) % 6 === 0);
  return [[trace], layout({
    xaxis: { tickvals: shown, ticktext: shown.map((index) => names[index]) },
    yaxis: { tickformat: ",d", rangemode: "tozero", nticks: 4 },
  })];
}

onThemeChange(() => drawn && draw(drawn));
watch(project, refresh);
