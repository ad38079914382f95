/** What changes do to the model as a whole, measured while nobody waits: the truth gap on other
 * sentences, and the minimal pairs that it still gets right. */

import { noChanges, read } from "../gpt.js";
import { prefersGood } from "../pairs.js";
import { kl } from "../sampling.js";
import { changesToText } from "../state.js";

/**
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../gpt.js").Changes} Changes
 * @typedef {{kind: string, good: string, bad: string, right: boolean}} Judged
 * @typedef {{gap: number | null, pairs: Judged[]}} Effects
 */

const AT_ONCE = 12; // milliseconds of measuring before the page may draw again

/**
 * Return what changes do, or null while it is measured; the page is drawn again at the end.
 *
 * @param {Page} page
 * @param {Changes} [changes]
 * @returns {Effects | null}
 */
export function effectsOf(page, changes = noChanges()) {
  const key = changesToText(changes);
  /** @type {Map<string, Effects | null>} */
  const known = (page.memory.effects ??= new Map());
  if (!known.has(key)) begin(page, known, key, changes);
  return known.get(key) ?? null;
}

/**
 * @param {Page} page
 * @param {Map<string, Effects | null>} known
 * @param {string} key
 * @param {Changes} changes
 */
function begin(page, known, key, changes) {
  known.set(key, null);
  const work = measuring(page, changes);
  const isWanted = () => key === "" || key === changesToText(page.state.changes);
  const goOn = () => {
    if (!isWanted()) return known.delete(key);
    const done = forAWhile(work);
    if (!done) return setTimeout(goOn);
    known.set(key, done);
    return page.draw();
  };
  setTimeout(goOn, 60); // a slider may still be moving
}

/**
 * Do a part of the work; return its result if it is done.
 *
 * @param {Generator<void, Effects>} work
 * @returns {Effects | null}
 */
function forAWhile(work) {
  const start = performance.now();
  while (performance.now() - start < AT_ONCE) {
    const step = work.next();
    if (step.done) return step.value;
  }
  return null;
}

/**
 * @param {Page} page
 * @param {Changes} changes
 * @returns {Generator<void, Effects>}
 */
function* measuring(page, changes) {
  /** @type {Judged[]} */
  const pairs = [];
  for (const pair of page.data.pairs ?? []) {
    pairs.push({ ...pair, right: prefersGood(page.model, page.tokenizer, pair, changes) });
    yield;
  }
  const gap = yield* gapOver(page, changes);
  return { gap, pairs };
}

/**
 * The mean divergence from the truth over the words of the page's sentences.
 *
 * @param {Page} page
 * @param {Changes} changes
 * @returns {Generator<void, number | null>}
 */
function* gapOver(page, changes) {
  /** @type {number[]} */
  const gaps = [];
  for (const text of page.grammar ? page.data.sentences : []) {
    const { words } = page.tokenizer.encode(text);
    const { positions } = read(page.model, [0, ...words.map((word) => page.idOf(word))], changes);
    positions.forEach(({ probabilities }, i) => {
      const truth = page.truths(words.slice(0, i));
      if (truth) gaps.push(kl(truth, probabilities.data));
    });
    yield;
  }
  return gaps.length ? gaps.reduce((sum, gap) => sum + gap) / gaps.length : null;
}
