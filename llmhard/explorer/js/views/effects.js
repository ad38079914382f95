/** What changes do to the model as a whole, measured while nobody waits: the truth gap on other
 * sentences, and the minimal pairs that it still gets right. */

import { noChanges, read } from "../gpt.js";
import { prefersGood } from "../pairs.js";
import { kl } from "../sampling.js";
import { changesToText } from "../state.js";
import { headsOf } from "./heads.js";

/**
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../gpt.js").Changes} Changes
 * @typedef {{kind: string, good: string, bad: string, right: boolean}} Judged
 * @typedef {{gap: number | null, pairs: Judged[]}} Effects
 */

const AT_ONCE = 8; // milliseconds of measuring before the page may draw again
const PAUSE_BEFORE = 60; // a slider may still be moving

/**
 * Return what changes do, or null while it is measured; the page is drawn again at the end.
 *
 * @param {Page} page
 * @param {Changes} [changes]
 * @returns {Effects | null}
 */
export function effectsOf(page, changes = noChanges()) {
  const key = changesToText(changes);
  return measured(page, key ? "effects" : "as trained", key, () => measuring(page, changes));
}

/**
 * Return what the next word loses without each head: nats from the truth or, where there is none, of
 * loss; null while it is measured.
 *
 * @param {Page} page
 * @returns {number[] | null}
 */
export function costsOfHeads(page) {
  const { ids } = page.sentence;
  const key = `${ids} ${page.position} ${page.target}`;
  return measured(page, "costs", key, () => costing(page));
}

/**
 * Return the result of some work, or null while it is done, bit by bit; it is given up when the same
 * is wanted for another key.
 *
 * @template T
 * @param {Page} page
 * @param {string} name
 * @param {string} key
 * @param {() => Generator<void, T>} begin
 * @returns {T | null}
 */
function measured(page, name, key, begin) {
  const known = page.memory[name];
  if (known?.key === key) return known.result;
  const job = { key, result: /** @type {T | null} */ (null) };
  page.memory[name] = job;
  const work = begin();
  const goOn = () => {
    if (page.memory[name] !== job) return;
    job.result = forAWhile(work);
    if (job.result === null) setTimeout(goOn);
    else page.draw();
  };
  setTimeout(goOn, PAUSE_BEFORE);
  return null;
}

/**
 * Do a part of the work; return its result if it is done.
 *
 * @template T
 * @param {Generator<void, T>} work
 * @returns {T | null}
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

/**
 * @param {Page} page
 * @returns {Generator<void, number[]>}
 */
function* costing(page) {
  const { position, target } = page;
  const { ids } = page.sentence;
  const truth = page.truth(position);
  const badness = (/** @type {Changes} */ changes) => {
    const { data } = read(page.model, ids.slice(0, position + 1), changes).positions[position]
      .probabilities;
    return truth ? kl(truth, data) : -Math.log(data[target]);
  };
  const before = badness(noChanges());
  const costs = [];
  for (const { layer, head } of headsOf(page)) {
    yield;
    costs.push(badness({ ...noChanges(), heads: new Set([`${layer}.${head}`]) }) - before);
  }
  return costs;
}
