/** Bars of probabilities: the model's solid, what it is compared with as an outline, the truth as a mark. */

import { h } from "./dom.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {{own?: number, now: number, mark?: number | null}} Shares  of the whole width, up to 1
 */

/**
 * Return the places of the largest probabilities, the largest first.
 *
 * @param {Float64Array} p
 * @param {number} n
 */
export function likeliest(p, n) {
  return [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, n);
}

/**
 * Draw bars one upon the other.
 *
 * @param {Shares} shares
 * @param {Child} [more]
 * @returns {VNode}
 */
export function track({ own, now, mark }, more = null) {
  return h(
    "span.track",
    { "aria-hidden": "true" },
    own === undefined ? null : h("i.own", { style: { width: wide(own) } }),
    h("i.now", { style: { width: wide(now) } }),
    mark === undefined || mark === null ? null : h("i.mark", { style: { left: wide(mark) } }),
    more,
  );
}

/** @param {number} share */
function wide(share) {
  return `${100 * share}%`;
}

/**
 * A row of a small chart: a name, bars, a figure.
 *
 * @param {string} name
 * @param {Shares} shares
 * @param {import("./dom.js").Children} figure
 * @param {import("./dom.js").Props} [props]
 * @param {...Child} more
 * @returns {VNode}
 */
export function barRow(name, shares, figure, props = {}, ...more) {
  return h(
    "div.mini",
    { key: name, ...props },
    h("span.name", name),
    track(shares),
    h("span.small", ...[figure].flat()),
    ...more,
  );
}
