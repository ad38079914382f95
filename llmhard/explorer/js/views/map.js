/** The map of the model: from boxes to vectors to one number, forward and backward. */

import { runAt } from "../gpt.js";
import { Run } from "../graph.js";
import { format } from "../numbers.js";
import { button, choices, figure, heading, revealing, wordOf } from "./controls.js";
import { h, roving } from "./dom.js";
import { fixed } from "./format.js";
import { inspector, isBackward, leaveNumber, nameOfRun } from "./number.js";
import { chosenHead } from "./heads.js";
import { blame, pathOf } from "./blame.js";
import { cells, largestSize } from "./svg.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {import("./page.js").Page} Page
 * @typedef {{id: string, label: string, path: string, opens: null | {level: "layer" | "head", number: number}, x: number, y: number, w: number, h: number}} Box
 * @typedef {{height: number, boxes: Box[], connections: {from: string, to: string, path: string}[]}} Level
 */

/**
 * @param {Page} page
 * @returns {Child[]}
 */
export function mapView(page) {
  const backward = isBackward(page);
  const run = shownRun(page);
  return [
    backward ? backwardHeading(page) : forwardHeading(page),
    h(
      "div.row.spread",
      { key: "levels" },
      levels(page),
      choices("Direction", DIRECTIONS, page.state.view, (view) => page.set({ view })),
    ),
    backward ? targetChoice(page) : null,
    drawing(page),
    run
      ? inspector(page, run)
      : backward
        ? blame(page)
        : h("p.soft", { key: "inspector" }, "Choose a box to see the numbers in it."),
  ];
}

const DIRECTIONS = [
  { value: "map", name: "Forward: numbers" },
  { value: "backward", name: "Backward: gradients" },
];

/** @param {Page} page */
function forwardHeading(page) {
  return heading(
    page.inUnits("How a word becomes a guess"),
    "The numbers of ",
    wordOf(page.token(page.position)),
    page.inUnits(
      " pass through these boxes. Attention adds what earlier words have to say, the MLP what the model makes of it. Open a box, then choose ",
    ),
    h("b", "one number"),
    ": it tells you how it was computed.",
  );
}

/** @param {Page} page */
function backwardHeading(page) {
  return heading(
    "Who is to blame?",
    "Suppose the right next word is ",
    wordOf(page.next(page.target)),
    ". The loss says how surprised the model would be: ",
    h("b.number", fixed(page.loss.loss.data[0])),
    ". Going backward, every number learns how the loss would change if it changed: its gradient. Training moves each weight a little in the opposite direction.",
  );
}

/**
 * The run whose numbers are shown: one that was followed to, or the part chosen on the map.
 *
 * @param {Page} page
 * @returns {Run | null}
 */
function shownRun(page) {
  const { run, part } = page.state;
  const { trace } = page.loss;
  if (run >= 0) return trace.graph.runs[run] ?? null;
  return part ? runOf(page, part) : null;
}

/**
 * @param {Page} page
 * @param {string} path
 * @returns {Run | null}
 */
function runOf(page, path) {
  const { layer, head } = chosenHead(page);
  const filled = path.replace("{layer}", String(layer)).replace("{head}", String(head));
  try {
    const found = runAt(page.loss.trace.positions[page.position], filled);
    return found instanceof Run ? found : null;
  } catch {
    return null; // a link may name anything
  }
}

/**
 * Go back a level: from a number to its run, to the map, to the level above.
 *
 * @param {Page} page
 */
export function leaveLevel(page) {
  if (leaveNumber(page)) return;
  const { level } = page.state;
  if (level !== "model") page.set({ level: level === "head" ? "layer" : "model" });
}

// ---------------------------------------------------------------- levels

/** @param {Page} page */
function levels(page) {
  const { level } = page.state;
  const { layer, head } = chosenHead(page);
  const names = { model: "The whole model", layer: `Layer ${layer}`, head: `Head ${head}` };
  const order = /** @type {("model" | "layer" | "head")[]} */ (["model", "layer", "head"]);
  const shown = order.slice(0, order.indexOf(level) + 1);
  return h(
    "nav.row.levels",
    { "aria-label": "Levels of the map" },
    shown.map((name) =>
      button(names[name], () => openLevel(page, { level: name }), {
        class: "plain",
        key: name,
        "aria-current": name === level ? "true" : null,
      }),
    ),
  );
}

/**
 * @param {Page} page
 * @param {Partial<import("../state.js").State>} part
 */
function openLevel(page, part) {
  page.memory.trail = [];
  page.set({ ...part, part: "", run: -1, number: -1 });
}

/** @param {Page} page */
function targetChoice(page) {
  const options = page.remember("options", "", () =>
    page.data.tokenizer.tokens.map((/** @type {string} */ _, /** @type {number} */ id) =>
      h("option", { key: `${id}`, value: page.next(id) }, page.next(id)),
    ),
  );
  const choose = (/** @type {any} */ event) => page.set({ target: event.target.value, run: -1 });
  return h(
    "div.row",
    { key: "target" },
    h("label", { for: "target" }, `After ${page.quoted}, the right word is`),
    h("select", { id: "target", value: page.next(page.target), on: { change: choose } }, options),
  );
}

// ---------------------------------------------------------------- the drawing

const MOST_BESIDE = 6; // layers that have room side by side; more are drawn from top to bottom

/** @param {Page} page */
function drawing(page) {
  const isNarrow =
    matchMedia("(max-width: 52rem)").matches || page.model.config.n_layer > MOST_BESIDE;
  const style = isNarrow ? "narrow" : "wide";
  const { width, levels } = page.data.map[style];
  /** @type {Level} */
  const level = levels[page.state.level] ?? levels.model;
  const sizes = sizesOf(page, level);
  const path = isBackward(page) ? onPath(page, level) : new Set();
  const most = Math.max(1e-300, ...sizes.values());
  return figure(
    mapSays(page, level),
    {
      class: `map ${style}`,
      key: `map ${style} ${page.state.level}`,
      style: { "aspect-ratio": `${width} / ${level.height}` },
      on: { keydown: roving("button") },
    },
    h(
      "svg",
      { viewBox: `0 0 ${width} ${level.height}`, "aria-hidden": "true" },
      level.connections.map((line) => connection(page, line, sizes, most)),
    ),
    level.boxes.map((box, i) =>
      boxButton(page, box, {
        i,
        isOnPath: path.has(box.id),
        share: (sizes.get(box.id) ?? 0) / most,
        width,
        height: level.height,
      }),
    ),
  );
}

/**
 * How large what a box shows is: the root mean square of its numbers, or of their gradients.
 *
 * @param {Page} page
 * @param {Level} level
 * @returns {Map<string, number>}
 */
function sizesOf(page, level) {
  return new Map(level.boxes.map((box) => [box.id, rootMeanSquare(shownData(page, box))]));
}

/**
 * Which boxes are on the path that mattered most: their run is, or one of the part that they open.
 *
 * @param {Page} page
 * @param {Level} level
 * @returns {Set<string>}
 */
function onPath(page, level) {
  const runs = pathOf(page).map(({ scalar }) => scalar.run);
  const isOn = (/** @type {Box} */ { path, opens }) =>
    runs.includes(/** @type {Run} */ (runOf(page, path))) ||
    (opens !== null && runs.some(({ what }) => what[opens.level] === opens.number));
  return new Set(level.boxes.filter(isOn).map(({ id }) => id));
}

/** @param {ArrayLike<number>} data */
function rootMeanSquare(data) {
  let total = 0;
  for (let i = 0; i < data.length; i++) total += data[i] * data[i];
  return Math.sqrt(total / Math.max(1, data.length));
}

/**
 * The numbers of a box, or their gradients; of q, k and v in a head, the head's share.
 *
 * @param {Page} page
 * @param {Box} box
 * @returns {Float64Array}
 */
function shownData(page, box) {
  const run = runOf(page, box.path);
  const data = (isBackward(page) ? run?.grad : run?.data) ?? new Float64Array(1);
  const size = page.model.config.n_embd / page.model.config.n_head;
  const { head } = chosenHead(page);
  return page.state.level === "head" && "qkv".includes(box.id)
    ? data.subarray(head * size, (head + 1) * size)
    : data;
}

/**
 * @param {Page} page
 * @param {{from: string, to: string, path: string}} line
 * @param {Map<string, number>} sizes
 * @param {number} most
 */
function connection(page, { from, to, path }, sizes, most) {
  const isNear = [`box ${from}`, `box ${to}`].includes(page.memory.pointed);
  const share = isBackward(page) ? Math.min(sizes.get(from) ?? 0, sizes.get(to) ?? 0) / most : 0;
  return h("path", {
    key: `${from} ${to}`,
    d: path,
    class: `flow${isBackward(page) ? " backward" : ""}${isNear ? " near" : ""}`,
    style: { "--share": share.toFixed(3) },
  });
}

/**
 * @param {Page} page
 * @param {Box} box
 * @param {{i: number, isOnPath: boolean, share: number, width: number, height: number}} of
 */
function boxButton(page, box, { i, isOnPath, share, ...of }) {
  const data = shownData(page, box);
  const place = {
    left: `${(100 * box.x) / of.width}%`,
    top: `${(100 * box.y) / of.height}%`,
    width: `${(100 * box.w) / of.width}%`,
    height: `${(100 * box.h) / of.height}%`,
    "--share": `${Math.round(50 * share)}%`,
  };
  const chosen = page.state.part === box.path && page.state.run < 0;
  return button([h("span", boxLabel(box)), strip(data)], () => openBox(page, box), {
    key: box.id,
    class: `box${box.opens ? " opens" : ""}${isBackward(page) ? " backward" : ""}${isOnPath ? " on-path" : ""}`,
    title: isOnPath ? "On the path that mattered most" : null,
    style: place,
    on: revealing(page, `box ${box.id}`),
    tabindex: i ? -1 : 0,
    "aria-pressed": String(chosen),
    "aria-label": boxSays(page, box, data),
  });
}

/** @param {Float64Array} data */
function strip(data) {
  return cells({
    key: "strip",
    class: "strip",
    says: "",
    data: data.length > 64 ? data.subarray(0, 64) : data,
    cols: Math.min(64, data.length),
    most: largestSize(data),
  });
}

/** @param {Box} box */
function boxLabel({ label, opens }) {
  return opens ? `${opens.level} ${opens.number}` : (LABELS[label] ?? label);
}

/** Shorter labels. @type {Record<string, string>} */
const LABELS = { "from below": "input", probabilities: "softmax" };

/**
 * @param {Page} page
 * @param {Box} box
 * @param {Float64Array} data
 */
function boxSays(page, box, data) {
  const what = isBackward(page) ? "gradients" : "numbers";
  const size = `${data.length} ${what}, the largest ${format(largestSize(data))}`;
  return `${boxLabel(box)}: ${size}. ${box.opens ? "Opens the level below" : "Shows them"}`;
}

/**
 * @param {Page} page
 * @param {Box} box
 */
function openBox(page, { path, opens }) {
  page.memory.trail = [];
  if (opens) openLevel(page, { level: opens.level, [opens.level]: opens.number });
  else page.set({ part: path, run: -1, number: -1 });
}

/**
 * @param {Page} page
 * @param {Level} level
 */
function mapSays(page, level) {
  const names = level.boxes.map(boxLabel).join(", ");
  const run = shownRun(page);
  return `Map of the ${page.state.level} for ${page.token(page.position)}: ${names}${run ? `; shown is ${nameOfRun(page, run)}` : ""}`;
}
