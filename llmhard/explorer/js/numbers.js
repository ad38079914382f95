/** Numbers: out of the page's data, and as people read them. */

/**
 * Decode little-endian doubles from base64, exactly as Python wrote them.
 * @param {string} base64
 * @returns {Float64Array}
 */
export function decodeDoubles(base64) {
  const bytes = decodeBytes(base64);
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => view.getFloat64(8 * i, true));
}

/**
 * Decode bytes from base64.
 * @param {string} base64
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function decodeBytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/**
 * Write a number with `digits` significant digits: 0.01234, −1.235, 1.2e−7.
 * @param {number} x
 * @param {number} [digits]
 * @returns {string}
 */
export function format(x, digits = 4) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "not a number" : x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  const plain = x === 0 || (size >= 1e-4 && size < 1e6);
  const text = plain ? String(Number(x.toPrecision(digits))) : x.toExponential(digits - 1);
  return text.replaceAll("-", "−").replace("e+", "e");
}

/**
 * Write a probability in per cent: 12.3 %, 0.04 %, < 0.01 %.
 * @param {number} p
 * @returns {string}
 */
export function percent(p) {
  const shown = 100 * p;
  if (shown > 0 && shown < 0.01) return "< 0.01 %";
  return `${shown.toFixed(shown >= 10 || shown === 0 ? 1 : 2)} %`;
}

/**
 * Return the index of the largest number, the first of several.
 * @param {ArrayLike<number>} numbers
 * @returns {number}
 */
export function largest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}
