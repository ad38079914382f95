/** Choosing one weight of the model, by its matrix, row and column. */

import { h } from "./dom.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 * @typedef {{name: string, row: number, col: number}} Spot
 */

/**
 * Return the weight that the reader has chosen, or the first one of a matrix.
 *
 * @param {Page} page
 * @param {string} [otherwise]  the name of that matrix
 */
export function weightShown(page, otherwise = "") {
  const { parameters } = page.model;
  const found = page.state.weight.match(/^(.+)\[(\d+)\]\[(\d+)\]$/);
  const name =
    [found?.[1], otherwise].find((name) => name && parameters.has(name)) ??
    [...parameters.keys()][0];
  const matrix = /** @type {import("../gpt.js").Matrix} */ (parameters.get(name));
  const within = (/** @type {string | undefined} */ text, /** @type {number} */ n) =>
    Math.min(Number(text ?? 0), n - 1);
  return {
    name,
    matrix,
    row: within(found?.[2], matrix.rows),
    col: within(found?.[3], matrix.cols),
  };
}

/**
 * Fields for a matrix, a row and a column.
 *
 * @param {Page} page
 * @param {Spot} spot
 * @param {import("./dom.js").Child} [more]  another field
 * @returns {VNode}
 */
export function weightPicker(page, { name, row, col }, more = null) {
  const matrix = /** @type {import("../gpt.js").Matrix} */ (page.model.parameters.get(name));
  const go = (/** @type {Spot} */ spot) =>
    page.set({ weight: `${spot.name}[${spot.row}][${spot.col}]` });
  return h(
    "div.row.weight",
    { key: "picker" },
    matrixField(page, name, (name) => go({ name, row: 0, col: 0 })),
    placeField("row", rowName(page, name, row), row, matrix.rows, (row) => go({ name, row, col })),
    placeField("column", "column", col, matrix.cols, (col) => go({ name, row, col })),
    more,
  );
}

/**
 * Say what a row of a table of words belongs to.
 *
 * @param {Page} page
 * @param {string} name
 * @param {number} row
 */
function rowName(page, name, row) {
  const isOfWords = name === "wte.weight" || name === "lm_head.weight";
  return isOfWords ? `row (\u201c${page.next(row)}\u201d)` : "row";
}

/**
 * @param {Page} page
 * @param {string} name
 * @param {(name: string) => void} go
 */
function matrixField(page, name, go) {
  const on = { change: (/** @type {any} */ event) => go(event.target.value) };
  return h(
    "label.small",
    { key: "matrix" },
    "matrix",
    h(
      "select",
      { value: name, on },
      [...page.model.parameters.keys()].map((name) =>
        h("option", { key: name, value: name }, name),
      ),
    ),
  );
}

/**
 * A field for a place, from 0 up to n; what is beyond becomes the nearest.
 *
 * @param {string} key
 * @param {string} label
 * @param {number} value
 * @param {number} n
 * @param {(place: number) => void} go
 * @returns {VNode}
 */
export function placeField(key, label, value, n, go) {
  const changed = (/** @type {any} */ event) => {
    const place = Math.max(0, Math.min(n - 1, Math.round(event.target.valueAsNumber) || 0));
    event.target.value = String(place);
    go(place);
  };
  const props = { type: "number", min: 0, max: n - 1, value: String(value) };
  return h("label.small", { key }, label, h("input", { ...props, on: { change: changed } }));
}
