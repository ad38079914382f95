/** The lens: what the model would say if it stopped after each layer. */

import { largest, percent } from "../numbers.js";
import { barRow, likeliest } from "./bars.js";
import { button, heading, wordOf } from "./controls.js";
import { h, keepingInView } from "./dom.js";
import { listed, roughly } from "./format.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {import("./page.js").Page} Page
 */

/**
 * @param {Page} page
 * @returns {Child[]}
 */
export function lensView(page) {
  return [
    heading(
      "What would it say halfway?",
      "A guess is not made all at once: each layer adds to what the earlier layers found. Here the model is made to speak early, after each of them. Read down a column to see a guess take shape.",
    ),
    lensTable(page),
    h(
      "section",
      { key: "here", "aria-label": "The guesses at the chosen word" },
      h("h3", "After ", wordOf(page.token(page.position))),
      h(
        "div.stages",
        stages(page).map((stage) => stageBars(page, stage)),
      ),
    ),
  ];
}

/**
 * The places at which the model can be made to speak.
 *
 * @param {Page} page
 */
function stages(page) {
  const { n_layer } = page.model.config;
  return Array.from({ length: n_layer + 1 }, (_, layer) => ({
    layer,
    name: stageName(layer, n_layer),
  }));
}

/**
 * @param {number} layer
 * @param {number} n_layer
 */
function stageName(layer, n_layer) {
  if (layer === 0) return "before any layer";
  return layer === n_layer ? `after layer ${layer - 1}: the model` : `after layer ${layer - 1}`;
}

/**
 * The lens's probabilities, remembered for the sentence.
 *
 * @param {Page} page
 * @param {number} position
 * @param {number} layer
 * @returns {Float64Array}
 */
function lensAt(page, position, layer) {
  const { trace } = page;
  /** @type {WeakMap<object, Map<number, Float64Array>>} */
  const known = (page.memory.lens ??= new WeakMap());
  const at = trace.positions[position];
  if (!known.has(at)) known.set(at, new Map());
  const layers = /** @type {Map<number, Float64Array>} */ (known.get(at));
  const found = layers.get(layer) ?? at.lens(layer);
  layers.set(layer, found);
  return found;
}

/** @param {Page} page */
function lensTable(page) {
  return h(
    "div.scroll",
    {
      key: "table",
      draw: keepingInView("[aria-pressed=true]", `${page.position} of ${page.tokens.length}`),
    },
    h(
      "table.lens",
      h("caption.unseen", "The likeliest next word after each word, as each layer would have it"),
      h(
        "thead",
        h(
          "tr",
          h("td"),
          page.tokens.map((token, at) =>
            h(
              "th",
              { scope: "col", key: `${at}`, class: at === page.position ? "now" : "" },
              `${token} \u2026`,
            ),
          ),
        ),
      ),
      h(
        "tbody",
        stages(page).map((stage) => lensRow(page, stage)),
        truthRow(page),
      ),
    ),
  );
}

/**
 * @param {Page} page
 * @param {{layer: number, name: string}} stage
 */
function lensRow(page, { layer, name }) {
  return h(
    "tr",
    { key: `${layer}` },
    h("th", { scope: "row" }, name),
    page.tokens.map((_, position) =>
      lensCell(page, position, lensAt(page, position, layer), "--model"),
    ),
  );
}

/** @param {Page} page */
function truthRow(page) {
  if (!page.grammar) return null;
  return h(
    "tr",
    { key: "truth", class: "truth" },
    h("th", { scope: "row" }, "the truth"),
    page.tokens.map((_, position) => {
      const truth = page.truth(position);
      return truth
        ? lensCell(page, position, truth, "--truth")
        : h("td", { key: `${position}`, class: "soft small" }, "outside");
    }),
  );
}

/**
 * @param {Page} page
 * @param {number} position
 * @param {Float64Array} p
 * @param {string} tone
 */
function lensCell(page, position, p, tone) {
  const id = largest(p);
  const style = { "--tone": `var(${tone})`, "--share": `${Math.round(8 + 42 * p[id])}%` };
  return h(
    "td",
    { key: `${position}` },
    button(
      [h("span", page.next(id)), h("span.small", roughly(p[id]))],
      () => page.set({ position }),
      {
        class: "guess",
        style,
        tabindex: position === page.position ? 0 : -1,
        "aria-pressed": String(position === page.position),
      },
    ),
  );
}

/**
 * @param {Page} page
 * @param {{layer: number, name: string}} stage
 */
function stageBars(page, { layer, name }) {
  const p = lensAt(page, page.position, layer);
  const order = likeliest(p, 6);
  const says = `${name}: ${listed(order.map((id) => `${page.next(id)} ${percent(p[id])}`))}`;
  return h(
    "div",
    { key: `${layer}`, role: "group", "aria-label": says },
    h("p.soft.small", name),
    order.map((id) =>
      barRow(page.next(id), { now: p[id] }, roughly(p[id]), { "aria-hidden": "true" }),
    ),
  );
}
