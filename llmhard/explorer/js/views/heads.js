/** The heads of attention: which there are, what they are called, a small picture of each. */

import { cells } from "./svg.js";

/**
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../gpt.js").PositionTrace} PositionTrace
 * @typedef {{layer: number, head: number}} Head
 */

/**
 * Return all heads, layer by layer.
 *
 * @param {Page} page
 * @returns {Head[]}
 */
export function headsOf(page) {
  const { n_layer, n_head } = page.model.config;
  const all = Array.from({ length: n_layer * n_head }, (_, i) => i);
  return all.map((i) => ({ layer: Math.floor(i / n_head), head: i % n_head }));
}

/**
 * Return the chosen layer and head, as far as there are such.
 *
 * @param {Page} page
 * @returns {Head}
 */
export function chosenHead(page) {
  const { n_layer, n_head } = page.model.config;
  const { layer, head } = page.state;
  return { layer: Math.min(layer, n_layer - 1), head: Math.min(head, n_head - 1) };
}

/**
 * Return how many pictures of heads stand in a row: on a phone a layer's, else all if they fit.
 *
 * @param {Page} page
 */
export function headColumns(page) {
  const { n_layer, n_head } = page.model.config;
  const all = n_layer * n_head;
  return { "--columns": n_head, "--all": all > 8 ? n_head : all };
}

/**
 * Draw the attention weights of a head: a row for each word that looks.
 *
 * @param {PositionTrace[]} positions
 * @param {Head} head
 * @param {string} [says]  what it is, where nothing else says so
 */
export function headPicture(positions, { layer, head }, says = "") {
  const n = positions.length;
  const data = new Float64Array(n * n);
  positions.forEach(({ layers }, row) => data.set(layers[layer].heads[head].weights.data, row * n));
  return cells({ key: "picture", says, data, cols: n, most: 1, share: true });
}
