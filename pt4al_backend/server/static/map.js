/** The map: reads places and colours, lets a sandboxed frame draw them, and acts on the images that a lasso takes. */
import { only, watch } from "./live.js";
import { colouring, facts } from "./map_colours.js";
import { post } from "./posting.js";

/** Images of a still picture, where the browser has no WebGL. */
const STILL = 3000;
const TILES = 24;
const SHAPES = { circle: "M8 3a5 5 0 1 0 .01 0z", diamond: "M8 2l6 6-6 6-6-6z", square: "M3 3h10v10H3z", "triangle-up": "M8 2l6 11H2z",
  x: "M3 5l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z", cross: "M6 2h4v4h4v4h-4v4H6v-4H2V6h4z" };

const view = document.getElementById("map");
const { project, address } = view.dataset;
const frame = document.getElementById("frame");
const said = document.getElementById("said");
const card = document.getElementById("card");
const chosenPart = document.getElementById("chosen");
const confirmed = document.getElementById("confirm");
const select = document.getElementById("colour");
const isDark = matchMedia("(prefers-color-scheme: dark)");
const ALIKE = {
  encoder: "Images that the pretrained encoder finds alike lie near each other.",
  "pretext learner": "Images that the pretext learner finds alike lie near each other. It has learned from these images alone, and without labels, so what "
    + "lies together may have less in common than with a pretrained encoder.",
};
const number = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent" });

let places = null;
let data = null;
let share = null;
let hidden = new Set();
let webgl = null;
let revision = 0;
let chosen = [];

async function read(path) {
  const answer = await fetch(`/api/projects/${project}${path}`);
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${found.error} ${found.remedy}`);
  return { ...found, etag: answer.headers.get("ETag") };
}

/** What an event says that colours or places can be others by; a job's progress, which is told as well, changes none. */
const matters = ({ labelled, round, model_version: version, found }) => [labelled, round, version, found.map, found.map_share === null];

/** How much is done of a map that is being drawn. */
async function tellShare(change) {
  share = (change ?? (await read(""))).found.map_share;
  const bar = document.getElementById("share");
  bar.hidden = share === null;
  bar.value = share ?? 0;
  bar.textContent = percent.format(bar.value);
  if (data) say();
}

/** Reads what is coloured, again, and the places where these have changed. */
async function refresh() {
  try {
    let colours = await read("/map/colours");
    if (data && colours.etag === data.etag) return say();
    if (!colours.version || colours.version !== places?.version) {
      const found = await read("/map");
      if (found.state !== "drawn") return showUndrawn(found);
      places = found;
      colours = await read("/map/colours");
      revision += 1;
      choose([]);
    }
    if (colours.version !== places.version) throw new Error("The map has just been drawn again. Reload the page.");
    const gone = new Set(colours.gone);
    const all = places.tasks.map((_, point) => point).filter((point) => !gone.has(point));
    data = { ...colours, all };
    showMap();
  } catch (error) {
    said.textContent = error instanceof TypeError ? "The backend is not responding." : error.message;
  }
}

function showUndrawn({ state, why }) {
  document.getElementById("why").textContent = why;
  document.getElementById("why").className = state === "failed" ? "box bad" : "box note";
}

/** Shows the map, whose frame is loaded when there is one to draw. */
function showMap() {
  document.getElementById("undrawn").hidden = true;
  view.hidden = false;
  document.getElementById("by").textContent = `${ALIKE[places.by]} Distances between far groups mean nothing.`;
  if (!frame.hasAttribute("src")) frame.src = "/map/frame";
  draw();
}

/** Every k-th image, so that the same ones are shown each time. */
function sample(points) {
  const step = Math.max(1, points.length / STILL);
  return Array.from({ length: Math.min(STILL, points.length) }, (_, place) => points[Math.floor(place * step)]);
}

function say() {
  const parts = [`${number.format(data.all.length)} images.`];
  if (webgl === false) {
    parts.push(`This browser has no WebGL, so this is a still picture of ${number.format(data.there.length)} of them.`);
  }
  if (places.without_features) parts.push(`${number.format(places.without_features)} more have not been described yet and are not on the map.`);
  if (share !== null) parts.push(`It is being drawn again: ${percent.format(share)} are done.`);
  said.textContent = parts.join(" ");
}

function draw() {
  if (webgl === null || !data) return;
  data.there = webgl ? data.all : sample(data.all);
  say();
  const { groups, ramp } = colouring(select.value, data, isDark.matches);
  showLegend(groups, ramp);
  const shown = groups.filter((group) => !hidden.has(group.name));
  frame.contentWindow.postMessage({ kind: "draw", x: places.x, y: places.y, groups: shown, dark: isDark.matches, revision }, "*");
}

function showLegend(groups, ramp) {
  document.getElementById("legend-title").textContent = select.selectedOptions[0].textContent;
  const rows = [...groups].reverse().map((group) => {
    const row = document.createElement("li");
    const label = row.appendChild(document.createElement("label"));
    const box = label.appendChild(document.createElement("input"));
    box.type = "checkbox";
    box.checked = !hidden.has(group.name);
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(group.name);
      else hidden.add(group.name);
      draw();
      document.querySelector(`#legend li:nth-child(${place(row) + 1}) input`)?.focus();
    });
    if (group.colour) label.append(symbol(group));
    const name = label.appendChild(document.createElement("span"));
    name.className = "name";
    name.textContent = name.title = group.name;
    label.appendChild(document.createElement("span")).textContent = number.format(group.points.length);
    return row;
  });
  const place = (row) => rows.indexOf(row);
  const shades = ramp ? [shade(ramp)] : [];
  document.getElementById("legend").replaceChildren(...shades, ...rows);
}

function symbol({ colour, symbol: name }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
  path.setAttribute("d", SHAPES[name]);
  path.setAttribute("fill", colour);
  return svg;
}

function shade({ colours, ends }) {
  const row = document.createElement("li");
  const bar = row.appendChild(document.createElement("div"));
  bar.className = "ramp";
  bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  const words = row.appendChild(document.createElement("div"));
  words.className = "ends";
  for (const end of ends) words.appendChild(document.createElement("span")).textContent = end;
  return row;
}

const picture = (task) => `/api/projects/${project}/tasks/${task}/thumbnail`;

function showCard({ point, left, top }) {
  const task = places.tasks[point];
  const [image, words] = card.children;
  if (card.dataset.task !== String(task)) {
    card.dataset.task = task;
    image.removeAttribute("src");
    image.src = picture(task);
    const lines = [`Task ${task}`, ...facts(data, point)].map((line) => {
      const span = document.createElement("span");
      span.textContent = line;
      return span;
    });
    words.replaceChildren(...lines);
  }
  card.hidden = false;
  const { clientWidth: width, clientHeight } = card.parentElement;
  const height = Math.min(clientHeight, innerHeight - card.parentElement.getBoundingClientRect().top); // what of it is on the screen
  card.style.left = `${left + 16 + card.offsetWidth > width ? Math.max(0, left - 16 - card.offsetWidth) : left + 16}px`;
  card.style.top = `${Math.max(0, Math.min(top + 16, height - card.offsetHeight))}px`;
}

/** A button is off where more images are chosen than it takes. */
function limit(id, most, words) {
  const button = document.getElementById(id);
  button.disabled = chosen.length > most;
  if (button.disabled) document.getElementById("done").textContent = `At most ${number.format(most)} images can be ${words} at a time. `;
}

/** Shows the images of some tasks, and what can be done with them. */
function choose(tasks) {
  chosen = tasks;
  document.getElementById("done").textContent = "";
  chosenPart.hidden = !tasks.length;
  if (!tasks.length) return document.getElementById("tiles").replaceChildren();
  document.getElementById("chosen-title").textContent = `${number.format(tasks.length)} ${tasks.length === 1 ? "image" : "images"} chosen`;
  limit("next", view.dataset.most, "labelled next");
  limit("show", view.dataset.shown, "shown");
  const tiles = tasks.slice(0, TILES).map((task) => {
    const tile = document.createElement("li");
    const image = tile.appendChild(document.createElement("img"));
    image.src = picture(task);
    image.alt = "";
    image.width = image.height = 96;
    const link = tile.appendChild(document.createElement(address ? "a" : "span"));
    link.textContent = `Task ${task}`;
    if (address) Object.assign(link, { href: `${address}?task=${task}`, target: "_blank", rel: "noopener noreferrer" });
    return tile;
  });
  if (tasks.length > TILES) {
    const rest = document.createElement("li");
    rest.textContent = `and ${number.format(tasks.length - TILES)} more`;
    tiles.push(rest);
  }
  document.getElementById("tiles").replaceChildren(...tiles);
}

function clear() {
  revision += 1;
  choose([]);
  draw();
}

addEventListener("message", ({ source, data: message }) => {
  if (source !== frame.contentWindow) return;
  if (message.kind === "ready") {
    webgl = message.webgl;
    for (const tool of document.querySelectorAll(".drag, #whole")) tool.hidden = !webgl;
    draw();
  } else if (message.kind === "hover") showCard(message);
  else if (message.kind === "unhover") card.hidden = true;
  else if (message.kind === "selected") choose(message.points.map((point) => places.tasks[point]));
  else if (message.kind === "click") choose([places.tasks[message.point]]);
  else if (message.kind === "drawn") view.dataset.drawn = select.value;
});

async function act(path, button, told) {
  const done = document.getElementById("done");
  button.disabled = true;
  const { isDone, found, words } = await post(project, path, { tasks: chosen });
  if (isDone) told(found, done);
  else done.textContent = words;
  button.disabled = false;
}

select.addEventListener("change", () => {
  hidden = new Set();
  draw();
});
isDark.addEventListener("change", draw);
for (const radio of document.querySelectorAll("input[name=drag]")) {
  radio.addEventListener("change", () => frame.contentWindow.postMessage({ kind: "drag", mode: radio.value }, "*"));
}
document.getElementById("whole").addEventListener("click", () => frame.contentWindow.postMessage({ kind: "whole" }, "*"));
document.getElementById("clear").addEventListener("click", clear);
document.getElementById("next").addEventListener("click", () => {
  document.getElementById("confirm-title").textContent = `Label ${number.format(chosen.length)} ${chosen.length === 1 ? "image" : "images"} next?`;
  confirmed.returnValue = "no";
  confirmed.showModal();
});
confirmed.addEventListener("close", () => {
  if (confirmed.returnValue !== "yes") return;
  act("label-next", document.getElementById("next"), ({ message, left_out: left }, done) => {
    const why = new Map();
    for (const { reason } of left) why.set(reason, (why.get(reason) ?? 0) + 1);
    const reasons = [...why].map(([reason, count]) => `${number.format(count)} left out: ${reason}.`);
    done.textContent = `${[message, ...reasons].join(" ")} `;
    const link = done.appendChild(document.createElement("a"));
    Object.assign(link, { href: `/projects/${project}/next`, textContent: "See the queue, where they can be withdrawn" });
    refresh();
  });
});
document.getElementById("show").addEventListener("click", (event) => {
  act("map/view", event.target, ({ message, address: where }, done) => {
    done.textContent = `${message} `;
    if (!where) return;
    const link = done.appendChild(document.createElement("a"));
    Object.assign(link, { href: where, target: "_blank", rel: "noopener noreferrer", textContent: "Open it in Label Studio" });
  });
});
const follow = only(matters, refresh);
watch(project, (change) => {
  tellShare(change).catch(() => {}); // refresh says where the backend is away
  follow(change);
});
