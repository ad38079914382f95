/** Drawing: arcs between words, cells of numbers on a canvas, colours of numbers. */

import { isDark } from "../theme.js";
import { afterKey, h } from "./dom.js";

/** @typedef {import("./dom.js").VNode} VNode */

/**
 * Describe the path of an arc above a line, from one place to another.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} base  the y of the line
 * @param {number} height  of the arc
 */
export function arc(from, to, base, height) {
  if (from === to) return loop(from, base, height);
  return `M${from},${base} C${from},${base - height} ${to},${base - height} ${to},${base}`;
}

/**
 * @param {number} x
 * @param {number} base
 * @param {number} height
 */
function loop(x, base, height) {
  return `M${x - 4},${base} C${x - 22},${base - height} ${x + 22},${base - height} ${x + 4},${base}`;
}

/**
 * @typedef {Object} Cells
 * @property {string} key
 * @property {string} says  what the numbers are, for those who do not see them; "" where it is said already
 * @property {ArrayLike<number>} data  row after row
 * @property {number} cols
 * @property {number} [most]  the size of a number in full colour; else the largest there is
 * @property {number} [chosen]  the index of the chosen number; -1: none
 * @property {(index: number) => void} [choose]
 * @property {(index: number) => string} [name]  of a number
 * @property {string} [class]
 * @property {boolean} [share]  whether the numbers are shares of a whole, in the model's colour
 */

/**
 * Numbers as coloured cells that can be chosen by mouse and keyboard. They are pixels of a canvas: a
 * matrix of twenty thousand is drawn in a millisecond.
 *
 * @param {Cells} cells
 * @returns {VNode}
 */
export function cells(cells) {
  const { key, says, data, cols, chosen = -1, choose } = cells;
  const rows = Math.ceil(data.length / cols);
  const marker = chosen < 0 ? null : h("i.chosen-cell", { style: place(chosen, cols, rows) });
  const canvas = h("canvas", {
    width: cols,
    height: rows,
    draw: (/** @type {HTMLCanvasElement} */ element) => paint(element, cells),
  });
  const props = {
    key,
    class: `cells ${cells.class ?? ""}`,
    style: { "aspect-ratio": `${cols} / ${rows}`, "--cols": cols, "--rows": rows },
  };
  if (!choose) {
    const told = says ? { role: "img", "aria-label": says } : { "aria-hidden": "true" };
    return h("div", { ...props, ...told }, canvas);
  }
  const on = {
    click: (/** @type {any} */ event) =>
      choose(Math.min(under(event, cols, rows), data.length - 1)),
    keydown: (/** @type {any} */ event) => moved(event, cells),
    mousemove: (/** @type {any} */ event) => hint(event, cells),
  };
  return h(
    "div",
    {
      ...props,
      on,
      tabindex: 0,
      role: "slider",
      "aria-label": says,
      "aria-valuemin": 0,
      "aria-valuemax": data.length - 1,
      "aria-valuenow": Math.max(0, chosen),
      "aria-valuetext": chosen < 0 ? "none chosen" : told(cells, chosen),
    },
    canvas,
    marker,
  );
}

/**
 * @param {number} index
 * @param {number} cols
 * @param {number} rows
 */
function place(index, cols, rows) {
  const share = (/** @type {number} */ part, /** @type {number} */ of) => `${(100 * part) / of}%`;
  return {
    left: share(index % cols, cols),
    top: share(Math.floor(index / cols), rows),
    width: share(1, cols),
    height: share(1, rows),
  };
}

/**
 * @param {MouseEvent} event
 * @param {number} cols
 * @param {number} rows
 */
function under(event, cols, rows) {
  const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
  const at = (/** @type {number} */ share, /** @type {number} */ n) =>
    Math.max(0, Math.min(n - 1, Math.floor(share * n)));
  return (
    at((event.clientY - box.top) / box.height, rows) * cols +
    at((event.clientX - box.left) / box.width, cols)
  );
}

/**
 * @param {KeyboardEvent} event
 * @param {Cells} cells
 */
function moved(event, { data, cols, chosen = -1, choose }) {
  const next = afterKey(event.key, chosen, data.length, cols);
  if (next < 0) return;
  event.preventDefault();
  choose?.(next);
}

/**
 * @param {MouseEvent} event
 * @param {Cells} cells
 */
function hint(event, cells) {
  const element = /** @type {HTMLElement} */ (event.currentTarget);
  element.title = told(cells, under(event, cells.cols, Math.ceil(cells.data.length / cells.cols)));
}

/**
 * @param {Cells} cells
 * @param {number} index
 */
function told({ data, name }, index) {
  if (index >= data.length) return "";
  return `${name?.(index) ?? `number ${index}`}: ${data[index].toPrecision(4)}`;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Cells} cells
 */
function paint(canvas, { data, cols, most, share }) {
  const context = canvas.getContext("2d");
  const image = context?.createImageData(cols, Math.ceil(data.length / cols));
  if (!context || !image) return;
  const full = most ?? largestSize(data);
  const colour = colouring(image.data, share ?? false);
  for (let i = 0; i < data.length; i++) colour(4 * i, data[i] / full);
  context.putImageData(image, 0, 0);
}

/** @param {ArrayLike<number>} data */
export function largestSize(data) {
  let most = 1e-300;
  for (let i = 0; i < data.length; i++) most = Math.max(most, Math.abs(data[i]));
  return most;
}

/**
 * Return what colours a pixel, from -1 (purple) over 0 (pale) to 1 (green, or blue for shares).
 *
 * @param {Uint8ClampedArray} pixels
 * @param {boolean} share
 * @returns {(place: number, x: number) => void}
 */
function colouring(pixels, share) {
  const { low, middle, high, blue } = isDark() ? DARK : LIGHT;
  return (place, x) => {
    const end = x < 0 ? low : share ? blue : high;
    const part = share ? x : Math.sqrt(Math.min(1, Math.abs(x))); // small numbers are still told from 0
    for (let c = 0; c < 3; c++) pixels[place + c] = middle[c] + part * (end[c] - middle[c]);
    pixels[place + 3] = 255;
  };
}

const LIGHT = {
  low: [118, 42, 131],
  middle: [244, 241, 234],
  high: [27, 120, 55],
  blue: [51, 85, 196],
};
const DARK = {
  low: [206, 150, 222],
  middle: [34, 36, 41],
  high: [118, 208, 150],
  blue: [142, 168, 255],
};
