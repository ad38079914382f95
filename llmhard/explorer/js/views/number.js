/** Every number: a run as coloured cells, and one of its numbers with what made it. */

import { number } from "../graph.js";
import { format } from "../numbers.js";
import { button, linkTo } from "./controls.js";
import { h, roving } from "./dom.js";
import { count, signed } from "./format.js";
import { cells, largestSize } from "./svg.js";
import { placeField } from "./weights.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../graph.js").Run} Run
 * @typedef {import("../graph.js").Child} NumberChild
 */

const SHOWN_CHILDREN = 8;
const SHOWN_ROWS = 32;

/**
 * Show a run and, if one is chosen, one of its numbers.
 *
 * @param {Page} page
 * @param {Run} run
 * @returns {VNode}
 */
export function inspector(page, run) {
  const chosen = page.state.number;
  const at = chosen >= 0 && chosen < run.data.length ? chosen : -1;
  return h(
    "section.inspector",
    { key: "inspector", "aria-label": nameOfRun(page, run) },
    trail(page, run, at),
    h(
      "div.columns.even",
      h("div", { key: "run" }, ...vector(page, run, at)),
      at < 0
        ? h(
            "p.soft",
            { key: "hint" },
            "Choose a number, by mouse or with the arrow keys, to see how it was computed.",
          )
        : h("div.card", { key: "number" }, oneNumber(page, run, at)),
    ),
  );
}

/**
 * Name a run for people: "weights of head 2, layer 1, at ducks".
 *
 * @param {Page} page
 * @param {Run} run
 */
export function nameOfRun(page, run) {
  const { name, part, position, layer, head } = run.what;
  if (part === "parameter" || part === "constant") return name;
  const where = [
    head === undefined ? "" : `head ${head}`,
    layer === undefined ? "" : `layer ${layer}`,
  ]
    .filter(Boolean)
    .join(", ");
  const at = position === undefined ? "" : ` at \u201c${page.token(position)}\u201d`;
  return `${PART_NAMES[name] ?? name.replace(/ at position \d+$/, "")}${where ? ` (${where})` : ""}${at}`;
}

/** What the parts are called in sentences. @type {Record<string, string>} */
const PART_NAMES = {
  q: "query",
  k: "key",
  v: "value",
  weights: "attention weights",
  scores: "attention scores",
  mix: "mixture",
  mlp: "output of the MLP",
  attention: "output of attention",
  hidden: "hidden units",
};

/** What the parts are for. @type {Record<string, string>} */
const EXPLAINED_PARTS = {
  "token's embedding":
    "What the model knows of this word before it has read any other: its row in a table.",
  "position's embedding":
    "What it means to be at this place in the sentence: a row of another table.",
  embedding: "Word and place, added up and scaled.",
  norm: "The same numbers, scaled so that they are neither large nor small on average.",
  q: "The query: what this word is looking for in the words before it. Each head has its share.",
  k: "The key: what this word can be found by. Each head has its share.",
  v: "The value: what others take with them when they look at this word.",
  "q \u00b7 k": "How well the query fits each key: multiplied number by number, added up.",
  scores:
    "The same, divided by the square root of a key\u2019s length, which keeps them from growing with it.",
  weights:
    "Softmax turned the scores into shares of 100\u00a0%: how much this head looks at each word.",
  mix: "The values of the words looked at, in these shares: what the head has found.",
  mixes: "What all heads have found, side by side.",
  attention: "What attention adds to the stream: a blend of what all heads have found.",
  "residual stream": "All that is known so far. Layers only ever add to it.",
  "hidden before relu":
    "Each unit asks one question of the stream: a dot product with its weights.",
  hidden: "The units above zero fire; all the others are set to 0.",
  mlp: "What the units that fire add to the stream.",
  logits: "A score for each word that could come next.",
  probabilities: "Softmax turned the scores into probabilities that add up to 100\u00a0%.",
  loss: "How surprised the model is by the right word: minus the logarithm of its probability.",
};

/**
 * Name one number of a run: a word, a position, a dimension.
 *
 * @param {Page} page
 * @param {Run} run
 * @param {number} index
 * @returns {string}
 */
export function nameOfNumber(page, run, index) {
  const { part, name } = run.what;
  if (part === "parameter") return nameOfWeight(page, run, index);
  if (run.data.length === 1) return "";
  if (run.data.length === page.model.config.vocab_size) return `\u201c${page.next(index)}\u201d`;
  if (part === "scores" || part === "weights") return `\u201c${page.token(index)}\u201d`;
  return name === "loss" ? `loss ${index}` : `number ${index}`;
}

/**
 * @param {Page} page
 * @param {Run} run
 * @param {number} index
 */
function nameOfWeight(page, run, index) {
  const [row, col] = [Math.floor(index / run.cols), index % run.cols];
  const isVocabulary = run.rows === page.model.config.vocab_size;
  return `row ${isVocabulary ? `\u201c${page.next(row)}\u201d` : row}, column ${col}`;
}

/**
 * Whether gradients are shown in place of the numbers.
 *
 * @param {Page} page
 */
export function isBackward({ state }) {
  return state.view === "backward";
}

// ---------------------------------------------------------------- the way here

/**
 * @param {Page} page
 * @param {Run} run
 * @param {number} at
 */
function trail(page, run, at) {
  const before = (page.memory.trail ?? []).slice(-3);
  const index = at < 0 ? "" : nameOfNumber(page, run, at);
  return h(
    "nav.trail",
    { "aria-label": "The way to this number" },
    before.map((/** @type {{run: Run, index: number}} */ step, /** @type {number} */ i) =>
      button([nameOfRun(page, step.run), " \u2190"], () => goBackTo(page, step), {
        class: "plain small",
        key: `${i}`,
      }),
    ),
    h("h3", { tabindex: -1 }, nameOfRun(page, run), index ? `: ${index}` : ""),
  );
}

/**
 * Open a number that another one was computed from, and remember the way.
 *
 * @param {Page} page
 * @param {{run: Run, index: number}} from
 * @param {{run: Run, index: number}} to
 */
function open(page, from, to) {
  page.memory.trail = [...(page.memory.trail ?? []), from];
  page.set({ run: to.run.id, number: to.index });
}

/**
 * @param {Page} page
 * @param {{run: Run, index: number}} step
 */
function goBackTo(page, step) {
  const trail = page.memory.trail ?? [];
  page.memory.trail = trail.slice(0, trail.indexOf(step));
  page.set({ run: step.run.id, number: step.index });
}

/**
 * Go back a level: to the number before, the run, the map. False if there is nothing to leave.
 *
 * @param {Page} page
 */
export function leaveNumber(page) {
  const last = page.memory.trail?.pop();
  const { number, run, part } = page.state;
  if (last) page.set({ run: last.run.id, number: last.index });
  else if (number >= 0) page.set({ number: -1 });
  else if (run >= 0 || part) page.set({ run: -1, part: "" });
  else return false;
  return true;
}

// ---------------------------------------------------------------- a run

/**
 * @param {Page} page
 * @param {Run} run
 * @param {number} at
 */
function vector(page, run, at) {
  const data = isBackward(page) && run.grad ? run.grad : run.data;
  const what = isBackward(page) && run.grad ? "gradient" : "number";
  const [low, high] = [Math.min(...data), Math.max(...data)];
  return [
    EXPLAINED_PARTS[run.what.name] ? h("p", page.inUnits(EXPLAINED_PARTS[run.what.name])) : null,
    h(
      "p.soft.small",
      sizeOf(run),
      ", ",
      `each a ${what} from `,
      h("span.number", format(low)),
      " to ",
      h("span.number", format(high)),
      ". Green is above 0, purple below.",
    ),
    ...(run.rows > 1 ? matrixCells(page, run, data, at) : [vectorCells(page, run, data, at)]),
    made(page, run),
  ];
}

/** @param {Run} run */
function sizeOf(run) {
  return run.rows > 1 ? `${run.rows} rows of ${run.cols}` : count(run.data.length, "number");
}

/**
 * @param {Page} page
 * @param {Run} run
 * @param {Float64Array} data
 * @param {number} at
 */
function vectorCells(page, run, data, at) {
  const n = data.length;
  const cols = n <= 16 ? n : n <= 64 ? Math.ceil(n / 2) : n <= 160 ? 16 : 32;
  return cells({
    key: "cells",
    class: "large",
    says: `${nameOfRun(page, run)}: ${n} numbers`,
    data,
    cols,
    chosen: at,
    choose: (index) => page.set({ number: index }),
    name: (index) => nameOfNumber(page, run, index),
  });
}

/**
 * A matrix, or the rows around the chosen one if there are very many.
 *
 * @param {Page} page
 * @param {Run} run
 * @param {Float64Array} data
 * @param {number} at
 */
function matrixCells(page, run, data, at) {
  const row = Math.max(0, Math.floor(at / run.cols));
  const rows = Math.min(run.rows, SHOWN_ROWS);
  const first = Math.max(0, Math.min(run.rows - rows, row - Math.floor(rows / 2)));
  const start = first * run.cols;
  const choose = (/** @type {number} */ index) => page.set({ number: start + index });
  return [
    rows < run.rows ? rowInput(page, run, row, at) : null,
    cells({
      key: "cells",
      class: "large",
      says: `${run.what.name}: rows ${first} to ${first + rows - 1}`,
      data: data.subarray(start, start + rows * run.cols),
      cols: run.cols,
      most: largestSize(data),
      chosen: at < 0 ? -1 : at - start,
      choose,
      name: (index) => nameOfWeight(page, run, start + index),
    }),
  ];
}

/**
 * @param {Page} page
 * @param {Run} run
 * @param {number} row
 * @param {number} at
 */
function rowInput(page, run, row, at) {
  const col = Math.max(0, at) % run.cols;
  const go = (/** @type {number} */ row) => page.set({ number: row * run.cols + col });
  const label = `Row of ${run.rows}; the rows around it are shown`;
  return h("div.row.weight", { key: "row" }, placeField("row", label, row, run.rows, go));
}

/**
 * What a run was computed from.
 *
 * @param {Page} page
 * @param {Run} run
 */
function made(page, run) {
  const inputs = [...new Set(run.inputs)].filter((input) => input.what.part !== "constant");
  if (!inputs.length) return null;
  return h(
    "p.small.made",
    "Made from ",
    inputs
      .slice(0, 6)
      .map((input, i) => [
        i ? ", " : "",
        linkTo(page, { run: input.id, number: -1 }, nameOfRun(page, input), { key: `${input.id}` }),
      ])
      .flat(),
    inputs.length > 6 ? ` and ${inputs.length - 6} more` : "",
    ".",
  );
}

// ---------------------------------------------------------------- one number

/** What an operation does, in words. @type {Record<string, string>} */
const OPERATION_NAMES = {
  dot: "a dot product: multiply in pairs, add up",
  "+": "a sum of two",
  "\u2212": "a difference",
  "\u00d7": "a product",
  "/": "a quotient",
  "**": "a power",
  exp: "an exponential",
  log: "a logarithm",
  relu: "relu: what is below zero becomes 0",
  sum: "a sum",
  copy: "a copy, put beside others",
  "": "a number that nothing was computed from",
};

/**
 * @param {Page} page
 * @param {Run} run
 * @param {number} at
 * @returns {Child[]}
 */
function oneNumber(page, run, at) {
  const scalar = number(run, at);
  const isWeight = scalar.run.what.part === "parameter";
  return [
    h("p.value", h("span.big.number", format(scalar.data, 6)), " "),
    h(
      "p.soft",
      isWeight ? "A weight: the training found it." : (OPERATION_NAMES[scalar.op] ?? scalar.op),
    ),
    scalar.formula ? formula(page, scalar) : null,
    gradientSays(page, scalar.grad),
    isWeight
      ? weightLinks(page, weightName(scalar.run, scalar.index))
      : children(page, { run, index: at }, scalar.children),
  ];
}

/**
 * @param {Page} page
 * @param {string} weight
 */
function weightLinks(page, weight) {
  return h(
    "p",
    linkTo(page, { view: "change", weight }, "Change this weight"),
    page.data.film ? " \u00b7 " : null,
    page.data.film ? linkTo(page, { view: "film", weight }, "Its way through the training") : null,
  );
}

/**
 * Return the name of a weight as changes and films have it.
 *
 * @param {Run} run  a parameter
 * @param {number} index
 */
export function weightName(run, index) {
  return `${run.what.name}[${Math.floor(index / run.cols)}][${index % run.cols}]`;
}

/**
 * @param {Page} page
 * @param {import("../graph.js").Scalar} scalar
 */
function formula(page, scalar) {
  const isLong = scalar.formula.length > 180;
  const shown =
    isLong && !page.memory.wholeFormula ? `${scalar.formula.slice(0, 140)} \u2026` : scalar.formula;
  const toggle = () => page.redraw({ wholeFormula: !page.memory.wholeFormula });
  return h(
    "div.formula",
    h("p.number", `${format(scalar.data, 6)} = ${shown}`),
    isLong
      ? button(page.memory.wholeFormula ? "Shorter" : "The whole formula", toggle, {
          class: "plain small",
        })
      : null,
  );
}

/**
 * @param {Page} page
 * @param {number | null} grad
 */
function gradientSays(page, grad) {
  if (grad === null) return null;
  return h(
    "p",
    "Gradient ",
    h("b.number", format(grad)),
    h(
      "span.soft",
      `: if this number were 0.01 larger, the loss for \u201c${page.next(page.target)}\u201d would change by about `,
      h("span.number", signed(grad * 0.01, 6)),
      ".",
    ),
  );
}

/**
 * @param {Page} page
 * @param {{run: Run, index: number}} parent
 * @param {NumberChild[]} all
 */
function children(page, parent, all) {
  const size = (/** @type {NumberChild} */ child) => Math.abs(child.data * child.local);
  const sorted = [...all].sort((a, b) => size(b) - size(a));
  const shown = page.memory.allChildren ? sorted : sorted.slice(0, SHOWN_CHILDREN);
  const toggle = () => page.redraw({ allChildren: !page.memory.allChildren });
  return h(
    "div.scroll",
    h(
      "table.children-table",
      { on: { keydown: roving("button") } },
      h(
        "caption",
        `Computed from ${count(all.length, "number")}${all.length > SHOWN_CHILDREN ? ", the most important first" : ""}`,
      ),
      h(
        "thead",
        h(
          "tr",
          h("th", { scope: "col" }, "number"),
          h("th", { scope: "col" }, "data"),
          h(
            "th",
            { scope: "col", title: "how much the result grows when this number grows by 1" },
            "local gradient",
          ),
          h(
            "th",
            { scope: "col", title: "gradient of the result times the local gradient" },
            "passes on",
          ),
        ),
      ),
      h(
        "tbody",
        shown.map((child, i) => childRow(page, parent, child, i)),
      ),
    ),
    all.length > SHOWN_CHILDREN
      ? button(page.memory.allChildren ? "Show fewer" : `Show all ${all.length}`, toggle, {
          class: "plain small",
        })
      : null,
  );
}

/**
 * @param {Page} page
 * @param {{run: Run, index: number}} parent
 * @param {NumberChild} child
 * @param {number} i
 */
function childRow(page, parent, child, i) {
  const index = nameOfNumber(page, child.run, child.index);
  const name = `${nameOfRun(page, child.run)}${index ? `: ${index}` : ""}`;
  return h(
    "tr",
    { key: `${i}` },
    h(
      "th",
      { scope: "row" },
      button(name, () => open(page, parent, child), { class: "plain link", tabindex: i ? -1 : 0 }),
    ),
    h("td.number", format(child.data)),
    h("td.number", format(child.local)),
    h("td.number", child.flows === null ? "" : format(child.flows)),
  );
}
