/** The sampler: from logits to a probability for each next token, to a choice. */

/** @typedef {{temperature: number, topK: number, topP: number}} Sampling */

/**
 * Return the probability of each token as the next one, and what took away those with none.
 * @param {ArrayLike<number>} logits
 * @param {Sampling} sampling
 * @returns {{p: Float64Array, cutBy: ("top-k" | "top-p" | null)[]}}
 */
export function probabilities(logits, { temperature, topK, topP }) {
  const scaled = scaledBy(Array.from(logits), temperature);
  const order = [...scaled.keys()].sort((a, b) => scaled[b] - scaled[a] || a - b);
  const afterTopK = topK ? order.slice(0, topK) : order;
  const kept = topP < 1 ? nucleus(afterTopK, scaled, topP) : afterTopK;
  const total = kept.reduce((sum, token) => sum + scaled[token], 0);
  const p = new Float64Array(scaled.length);
  const isCut = kept.length < order.length;
  for (const token of kept) p[token] = isCut ? scaled[token] / total : scaled[token];
  /** @type {("top-k" | "top-p" | null)[]} */
  const cutBy = Array(scaled.length).fill("top-k");
  for (const token of afterTopK) cutBy[token] = "top-p";
  for (const token of kept) cutBy[token] = null;
  return { p, cutBy };
}

/**
 * Draw an index with these probabilities.
 * @param {ArrayLike<number>} p
 * @param {() => number} [random] from 0 to 1, without 1
 * @returns {number}
 */
export function choose(p, random = Math.random) {
  const total = Array.from(p).reduce((sum, x) => sum + x, 0);
  let left = random() * total;
  let chosen = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i] > 0) chosen = i;
    left -= p[i];
    if (left < 0) break;
  }
  return chosen;
}

/**
 * Return the divergence KL(truth || model), in nats: what it costs to expect the model's
 * probabilities where the truth holds.
 * @param {ArrayLike<number>} truth
 * @param {ArrayLike<number>} model
 * @returns {number}
 */
export function kl(truth, model) {
  let total = 0;
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] > 0) total += truth[i] * Math.log(truth[i] / model[i]);
  }
  return total;
}

/** @param {number[]} logits @param {number} temperature */
function scaledBy(logits, temperature) {
  const top = Math.max(...logits);
  if (temperature === 0) {
    const likeliest = logits.indexOf(top);
    return logits.map((_, token) => Number(token === likeliest));
  }
  const exps = logits.map((logit) => Math.exp((logit - top) / temperature));
  const total = exps.reduce((sum, x) => sum + x, 0);
  return exps.map((x) => x / total);
}

/** @param {number[]} order @param {number[]} p @param {number} topP */
function nucleus(order, p, topP) {
  const target = topP * order.reduce((sum, token) => sum + p[token], 0);
  let total = 0;
  const enough = order.findIndex((token) => (total += p[token]) >= target);
  return enough < 0 ? order : order.slice(0, enough + 1);
}
