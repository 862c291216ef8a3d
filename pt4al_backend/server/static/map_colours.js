/** What the points of the map are coloured by: groups with a name, a colour, a symbol and their points. */

/** Okabe and Ito's colours that stand out on white and on black; people who are colour-blind can tell them apart. */
const HUES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"];
/** After as many groups as there are hues, another symbol tells them apart. */
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x"];
const QUIET = "#8f98a3";
/** Viridis, from dark to light: its brightness tells the same to people with a colour vision deficiency, and no part of it is grey. */
const RAMP = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];
const KINDS = { query: "Query", person: "Person's choice", reserve: "Reserve", control: "Control pick" };

/** On white the dark end stands out, on black the light one: that is where the eye should go. */
const ramp = (dark) => (dark ? RAMP : [...RAMP].reverse());

/** Groups by the values of a column; -1 and what has no name of its own come last. */
function byValue(data, values, nameOf, missing) {
  const of = new Map();
  const rest = [];
  for (const point of data.there) {
    const value = values[point];
    if (value < 0) rest.push(point);
    else if (of.has(value)) of.get(value).push(point);
    else of.set(value, [point]);
  }
  const found = [...of].map(([value, points]) => ({ value, name: nameOf(value), points }));
  return { found, rest: { name: missing, colour: QUIET, symbol: "circle", points: rest, quiet: true } };
}

function classes(data, values, missing) {
  const { found, rest } = byValue(data, values, (value) => data.names[value], missing);
  found.sort((one, other) => other.points.length - one.points.length || one.name.localeCompare(other.name));
  const most = HUES.length * SYMBOLS.length;
  const shown = found.slice(0, most).map((group, place) => ({
    ...group,
    colour: HUES[place % HUES.length],
    symbol: SYMBOLS[Math.floor(place / HUES.length)],
  }));
  const others = found.slice(most).flatMap((group) => group.points);
  const last = { name: `${(found.length - most).toLocaleString()} more classes`, colour: "#5d6670", symbol: "cross", points: others };
  return { groups: [rest, ...(others.length ? [last] : []), ...shown.reverse()] };
}

function uncertainty(data, dark) {
  const { found, rest } = byValue(data, data.uncertainty, String, "not scored");
  const points = found.flatMap((group) => group.points);
  const colours = ramp(dark);
  const scale = colours.map((colour, place) => [place / (colours.length - 1), colour]);
  const values = points.map((point) => data.uncertainty[point]);
  const group = { name: "scored by the model", symbol: "circle", points, values, scale, large: points.length < rest.points.length / 10 };
  return { groups: [rest, group], ramp: { colours, ends: ["sure", "unsure"] } };
}

function batches(data, dark) {
  const { found, rest } = byValue(data, data.batch.map((batch) => batch || -1), (batch) => `Batch ${batch}`, "in no batch");
  found.sort((one, other) => one.value - other.value);
  const colours = ramp(dark).slice(1).reverse();
  const groups = found.map((group, place) => ({
    ...group,
    colour: colours[Math.round((place / Math.max(found.length - 1, 1)) * (colours.length - 1))],
    symbol: SYMBOLS[place % SYMBOLS.length],
  }));
  return { groups: [rest, ...groups.reverse()] };
}

function queue(data) {
  const nameOf = (value) => KINDS[data.queue_kinds[value]] ?? data.queue_kinds[value];
  const { found, rest } = byValue(data, data.queue, nameOf, "not in the queue");
  const order = [2, 3, 0, 1]; // drawn last, so on top: what a person chose, and the query
  found.sort((one, other) => order.indexOf(one.value) - order.indexOf(other.value));
  const groups = found.map((group) => ({ ...group, colour: HUES[[1, 4, 0, 2][group.value] ?? 3], symbol: SYMBOLS[group.value % 5], large: true }));
  return { groups: [rest, ...groups] };
}

function control(data) {
  const { found, rest } = byValue(data, data.control.map((is) => (is ? 1 : -1)), () => "Control picks", "all others");
  return { groups: [rest, ...found.map((group) => ({ ...group, colour: HUES[4], symbol: "circle", large: true }))] };
}

/** The groups in the order in which they are drawn, what matters most last. */
export function colouring(kind, data, dark) {
  const found = {
    label: () => classes(data, data.label, "no label"),
    predicted: () => classes(data, data.predicted, "not scored"),
    uncertainty: () => uncertainty(data, dark),
    batch: () => batches(data, dark),
    queue: () => queue(data),
    control: () => control(data),
  }[kind]();
  const size = data.there.length > 20000 ? 3 : data.there.length > 3000 ? 5 : 8;
  for (const group of found.groups) {
    group.size = group.large ? size + 4 : size;
    group.opacity = group.quiet ? 0.35 : 0.85;
  }
  found.groups = found.groups.filter((group) => group.points.length);
  return found;
}

/** What is said of one image. */
export function facts(data, point) {
  const said = [];
  if (data.label[point] >= 0) said.push(`Label: ${data.names[data.label[point]]}`);
  if (data.predicted[point] >= 0) said.push(`Model: ${data.names[data.predicted[point]]}`);
  if (data.uncertainty[point] >= 0) said.push(`Uncertainty: ${data.uncertainty[point]} %`);
  if (data.batch[point] > 0) said.push(`Batch ${data.batch[point]}`);
  if (data.queue[point] >= 0) said.push(KINDS[data.queue_kinds[data.queue[point]]] ?? "");
  if (data.control[point] && data.queue[point] < 0) said.push("Was a control pick");
  return said;
}
