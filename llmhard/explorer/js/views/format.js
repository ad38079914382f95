/** How numbers and words are written in sentences. */

import { percent } from "../numbers.js";

const MINUS = "\u2212";

/**
 * Write a number with so many decimals, and with a real minus sign.
 *
 * @param {number} x
 * @param {number} [digits]
 */
export function fixed(x, digits = 3) {
  if (!Number.isFinite(x)) return x > 0 ? "\u221e" : "undefined";
  const text = x.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", MINUS);
}

/**
 * Write a difference with its sign.
 *
 * @param {number} x
 * @param {number} [digits]
 */
export function signed(x, digits = 3) {
  const text = fixed(x, digits);
  return x > 0 && Number(x.toFixed(digits)) !== 0 ? `+${text}` : text;
}

/**
 * Write "1 word", "2 words".
 *
 * @param {number} n
 * @param {string} noun
 */
export function count(n, noun) {
  return `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;
}

const ENGLISH = new Intl.NumberFormat("en"); // to make one takes longer than to write a number

/**
 * Write a whole number: "12,345".
 *
 * @param {number} n
 */
export function whole(n) {
  return ENGLISH.format(n);
}

/**
 * Put words into a row: "a", "a and b", "a, b and c".
 *
 * @param {string[]} words
 * @param {string} [last]  the word before the last
 */
export function listed(words, last = "and") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${last} ${words[words.length - 1]}`;
}

/**
 * Write a probability of the truth, whose zeros are not small numbers.
 *
 * @param {number} p
 */
export function exactly(p) {
  return p === 0 ? "never" : percent(p);
}

/**
 * Write a probability in whole per cents, for places with little room.
 *
 * @param {number} p
 */
export function roughly(p) {
  if (p > 0 && p < 0.005) return "<1\u202f%";
  return `${Math.round(100 * p)}\u202f%`;
}
