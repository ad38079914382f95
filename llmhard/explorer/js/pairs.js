/** Minimal pairs: a good sentence and a bad one; a model that knows the rule prefers the good one. */

import { Reader } from "./gpt.js";
import { BOS, Tokenizer } from "./tokenizer.js";

/**
 * Tell whether the model finds the good sentence more likely than the bad one.
 * @param {import("./gpt.js").Model} model
 * @param {Tokenizer} tokenizer
 * @param {{good: string, bad: string}} pair
 * @param {import("./gpt.js").Changes} [changes]
 */
export function prefersGood(model, tokenizer, { good, bad }, changes) {
  const [a, b] = [good, bad].map((text) => [...tokenizer.encode(text).ids, BOS]);
  const shared = a.findIndex((token, i) => token !== b[i]); // what both begin with is read once
  const reader = new Reader(model, changes);
  const [last] = [BOS, ...a.slice(0, shared)].map((token) => reader.read(token)).slice(-1);
  const scores = [a, b].map((tokens) => logProbability(reader.fork(), last, tokens.slice(shared)));
  return scores[0] > scores[1];
}

/**
 * Return the log-probability, in nats, of the tokens that follow.
 * @param {Reader} reader
 * @param {import("./gpt.js").PositionTrace} last what it has read last
 * @param {number[]} tokens
 */
function logProbability(reader, last, tokens) {
  let total = 0;
  tokens.forEach((token, i) => {
    total += Math.log(last.probabilities.data[token]);
    if (i + 1 < tokens.length) last = reader.read(token);
  });
  return total;
}
