/**
 * What mattered most for a number, such as the loss.
 *
 * The measure is gradient × value: d loss / d x × x. It says how much the loss would change with the
 * size of x: if x were one per cent smaller, by one hundredth of it. The measures of the terms of a
 * sum add up to that of the sum; elsewhere they hold for small changes. Of the factors of a product,
 * each matters as much as the other.
 */

import { number } from "./graph.js";

/** @typedef {import("./graph.js").Run} Run */
/** @typedef {import("./graph.js").Scalar} Scalar */
/** @typedef {import("./graph.js").Child} Child */

/**
 * A number on the path. `flow` is the gradient that comes to it on this path alone, the product of
 * the local gradients from the beginning on; `measure` is flow × value.
 * @typedef {{scalar: Scalar, flow: number, measure: number}} Step
 */

/**
 * @typedef {{name: string, row: number, col: number, data: number, grad: number,
 *   measure: number}} Weight
 */

const TIE = 1 + 1e-9; // two factors are equal but for rounding

/**
 * Return the path on which most came about: from a number down, at each step to the child that
 * matters most for the number above it, until a parameter. Of two factors it takes what the model
 * thinks, not the parameter or the attention weight that this is multiplied by.
 * @param {Run} run
 * @param {number} [index]
 * @returns {Step[]}
 */
export function pathThatMattered(run, index = 0) {
  const scalar = number(run, index);
  const path = [{ scalar, flow: 1, measure: scalar.data }];
  for (;;) {
    const { scalar: above, flow } = path[path.length - 1];
    const next = mostImportant(above.children);
    if (!next) return path;
    const through = flow * next.local;
    const scalar = number(next.run, next.index);
    path.push({ scalar, flow: through, measure: through * next.data });
  }
}

/**
 * Return the `n` weights with the largest |gradient × value|, the largest first. Needs a backward
 * pass.
 * @param {Map<string, Run>} parameters of a trace
 * @param {number} n
 * @returns {Weight[]}
 */
export function weightsThatMattered(parameters, n) {
  /** @type {Weight[]} */
  const best = [];
  for (const [name, run] of parameters) keepLargest(best, n, name, run);
  return best;
}

/**
 * Put the weights of a matrix that are among the n largest so far where they belong. Sorting all
 * would take longer than computing them.
 * @param {Weight[]} best
 * @param {number} n
 * @param {string} name
 * @param {Run} run
 */
function keepLargest(best, n, name, { data, cols, grad }) {
  const grads = /** @type {Float64Array} */ (grad);
  for (let i = 0, least = sizeOfLast(best, n); i < data.length; i++) {
    const measure = data[i] * grads[i];
    if (Math.abs(measure) <= least) continue;
    const place = best.findIndex((other) => Math.abs(other.measure) < Math.abs(measure));
    const [row, col] = [Math.floor(i / cols), i % cols];
    const weight = { name, row, col, data: data[i], grad: grads[i], measure };
    best.splice(place < 0 ? best.length : place, 0, weight);
    if (best.length > n) best.pop();
    least = sizeOfLast(best, n);
  }
}

/** @param {Weight[]} best @param {number} n @returns {number} 0 while there are not yet n */
function sizeOfLast(best, n) {
  return best.length < n ? 0 : Math.abs(best[n - 1].measure);
}

/** @param {Child[]} children @returns {Child | null} null if there are none but constants */
function mostImportant(children) {
  /** @type {Child | null} */
  let best = null;
  for (const child of children) {
    if (child.run.op === "constant") continue;
    if (best === null || matters(child, best)) best = child;
  }
  return best;
}

/** @param {Child} child @param {Child} other */
function matters(child, other) {
  const [ours, theirs] = [child, other].map(({ local, data }) => Math.abs(local * data));
  if (ours > theirs * TIE) return true;
  return ours * TIE >= theirs && isAside(other) && !isAside(child);
}

/** @param {Child} child */
function isAside(child) {
  return child.run.op === "parameter" || child.run.what.part === "weights";
}
