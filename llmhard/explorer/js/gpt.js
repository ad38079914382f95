/** The GPT: from tokens to the logits of what follows each, with every number on the way. */

import { Graph, Run } from "./graph.js";
import { decodeDoubles } from "./numbers.js";

/**
 * @typedef {{vocab_size: number, n_layer: number, n_embd: number, n_head: number,
 *   block_size: number}} Config
 */
/** @typedef {{rows: number, cols: number, data: Float64Array}} Matrix */
/** @typedef {{config: Config, parameters: Map<string, Matrix>}} Model */

/**
 * What is different from the model as it was trained.
 * @typedef {object} Changes
 * @property {Set<string>} heads knocked out, as "layer.head": what they mix is zero
 * @property {Set<number>} mlps knocked out: what these layers' MLPs add is zero
 * @property {boolean} positions true: without the positions' embeddings
 * @property {number} attentionTemperature divides the scores; 1 changes nothing
 * @property {Map<string, number>} weights "name[row][col]" -> another number
 */

/**
 * One head at one position: `dots` are q · k with each key so far, `scores` these / √head_dim.
 * @typedef {{dots: Run, scores: Run, weights: Run, mix: Run}} HeadTrace
 */

/**
 * One layer at one position: `before` and `after` are the residual stream, `middle` is between
 * attention and MLP, `mixes` is what all heads mix, side by side, `raw` is `hidden` before its relu.
 * @typedef {{before: Run, attentionNorm: Run, q: Run, k: Run, v: Run, heads: HeadTrace[],
 *   mixes: Run, attention: Run, middle: Run, mlpNorm: Run, raw: Run, hidden: Run, mlp: Run,
 *   after: Run}} LayerTrace
 */

/**
 * One position: `token` and `place` are the rows of the embeddings, `embedding` is their sum after a
 * norm. `lens(layer)` are the probabilities as if the layers from that one on were left out: 0
 * leaves out all of them, n_layer none.
 * @typedef {{token: Run, place: Run, embedding: Run, layers: LayerTrace[], logits: Run,
 *   probabilities: Run,
 *   lens: (layer: number) => Float64Array}} PositionTrace
 */

/**
 * @typedef {{tokens: number[], graph: Graph, parameters: Map<string, Run>,
 *   positions: PositionTrace[]}} Trace
 */

/** @returns {Changes} */
export function noChanges() {
  return {
    heads: new Set(),
    mlps: new Set(),
    positions: false,
    attentionTemperature: 1,
    weights: new Map(),
  };
}

/**
 * Make a model of its configuration, the shapes of its parameters, and their numbers in that order.
 * @param {Config} config
 * @param {Record<string, [number, number]>} shapes
 * @param {Float64Array} weights
 * @returns {Model}
 */
export function modelOf(config, shapes, weights) {
  let start = 0;
  const parameters = new Map();
  for (const [name, [rows, cols]] of Object.entries(shapes)) {
    parameters.set(name, { rows, cols, data: weights.subarray(start, start + rows * cols) });
    start += rows * cols;
  }
  return { config, parameters };
}

/**
 * Make the model that is in the page's data.
 * @param {{config: Config, parameters: Record<string, [number, number]>, weights: string}} data
 */
export function modelFrom(data) {
  return modelOf(data.config, data.parameters, decodeDoubles(data.weights));
}

/**
 * Read tokens one after the other, at most block_size of them, and keep every number on the way.
 * @param {Model} model
 * @param {number[]} tokens
 * @param {Changes} [changes]
 * @returns {Trace}
 */
export function read(model, tokens, changes = noChanges()) {
  const reader = new Reader(model, changes);
  const read = tokens.slice(0, model.config.block_size);
  const positions = read.map((token) => reader.read(token));
  return { tokens: read, graph: reader.graph, parameters: reader.parameters, positions };
}

/**
 * Record the mean cross-entropy, in nats, of predicting the target at each position that has one.
 * @param {Trace} trace
 * @param {(number | null)[]} targets
 * @returns {Run}
 */
export function lossOf({ graph, positions }, targets) {
  /** @type {Run[]} */
  const losses = [];
  positions.forEach(({ probabilities }, position) => {
    const target = targets[position] ?? null;
    if (target === null) return;
    const what = { name: `loss at position ${position}`, part: "loss", position };
    const log = graph.log(graph.pick(probabilities, target), { ...what, name: "log-probability" });
    losses.push(graph.negate(log, what));
  });
  if (losses.length === 1) return losses[0];
  const what = { name: "loss", part: "loss" };
  const total = graph.sum(graph.concat(losses, what), what);
  return graph.divide(total, graph.constant([losses.length], "how many"), what);
}

/**
 * Return the run at a path from a position, as the map names it: "layers.0.heads.2.weights".
 * @param {PositionTrace} position
 * @param {string} path
 * @returns {Run}
 */
export function runAt(position, path) {
  /** @type {any} */
  let found = position;
  for (const step of path.split(".")) found = found[step];
  return found;
}

/** Reads one token after the other; keeps the keys and values of those before. */
export class Reader {
  /**
   * @param {Model} model
   * @param {Changes} [changes]
   * @param {Graph} [graph] that this is recorded in, and the parameters there
   * @param {Map<string, Run>} [parameters]
   */
  constructor(
    model,
    changes = noChanges(),
    graph = new Graph(),
    parameters = recorded(graph, model, changes),
  ) {
    this.model = model;
    this.config = model.config;
    this.changes = changes;
    this.graph = graph;
    this.parameters = parameters;
    const layers = Array(this.config.n_layer).fill(null);
    /** @type {Run[][]} of each layer, one of each token */
    this.keys = layers.map(() => []);
    /** @type {Run[][]} */
    this.values = layers.map(() => []);
    this.position = -1;
  }

  /** Return a reader that goes on from here by itself. */
  fork() {
    const other = new Reader(this.model, this.changes, this.graph, this.parameters);
    other.keys = this.keys.map((keys) => [...keys]);
    other.values = this.values.map((values) => [...values]);
    other.position = this.position;
    return other;
  }

  /** @param {number} token @returns {PositionTrace} */
  read(token) {
    this.position += 1;
    const { graph } = this;
    const [row, place] = [this.#token(token), this.#place()];
    const sum = graph.add(row, place, this.#label("sum of embeddings", "embedding"));
    const embedding = graph.rmsnorm(sum, this.#label("embedding", "embedding"));
    /** @type {LayerTrace[]} */
    const layers = [];
    let x = embedding;
    for (let layer = 0; layer < this.config.n_layer; layer++) {
      layers.push(this.#layer(layer, x));
      x = layers[layer].after;
    }
    const head = this.#parameter("lm_head.weight");
    const logits = graph.linear(x, head, this.#label("logits", "logits"));
    const probabilities = graph.softmax(logits, this.#label("probabilities", "probabilities"));
    const streams = [embedding, ...layers.map(({ after }) => after)];
    const lens = (/** @type {number} */ layer) => this.#lens(streams[layer]);
    return { token: row, place, embedding, layers, logits, probabilities, lens };
  }

  /** @param {number} layer @param {Run} before @returns {LayerTrace} */
  #layer(layer, before) {
    const { graph } = this;
    const attended = this.#attention(layer, before);
    const residual = this.#label("residual stream", "residual", layer);
    const middle = graph.add(before, attended.attention, residual);
    const added = this.#mlp(layer, middle);
    const after = graph.add(middle, added.mlp, residual);
    return { before, ...attended, middle, ...added, after };
  }

  /** @param {number} layer @param {Run} stream */
  #attention(layer, stream) {
    const { graph } = this;
    const x = graph.rmsnorm(stream, this.#label("norm", "norm", layer));
    const [q, k, v] = ["q", "k", "v"].map((name) => {
      const matrix = this.#parameter(`h.${layer}.attn.${name}_proj.weight`);
      return graph.linear(x, matrix, this.#label(name, name, layer));
    });
    this.keys[layer].push(k);
    this.values[layer].push(v);
    const numbers = [...Array(this.config.n_head).keys()];
    const heads = numbers.map((head) => this.#head(layer, head, q));
    const mixed = heads.map(({ mix }) => mix);
    const mixes = graph.concat(mixed, this.#label("mixes", "mix", layer));
    const output = this.#parameter(`h.${layer}.attn.o_proj.weight`);
    const attention = graph.linear(mixes, output, this.#label("attention", "attention", layer));
    return { attentionNorm: x, q, k, v, heads, mixes, attention };
  }

  /** @param {number} layer @param {number} head @param {Run} q @returns {HeadTrace} */
  #head(layer, head, q) {
    const { graph, changes } = this;
    const size = this.config.n_embd / this.config.n_head;
    const share = { start: head * size, size };
    const label = (/** @type {string} */ part) => this.#label(part, part, layer, head);
    const dots = graph.dots([...this.keys[layer]], q, share, { ...label("scores"), name: "q · k" });
    const root = graph.constant([Math.sqrt(size)], "√head_dim");
    let scores = graph.divide(dots, root, label("scores"));
    if (changes.attentionTemperature !== 1) {
      const temperature = graph.constant([changes.attentionTemperature], "attention temperature");
      scores = graph.divide(scores, temperature, label("scores"));
    }
    const weights = graph.softmax(scores, label("weights"));
    const mix = changes.heads.has(`${layer}.${head}`)
      ? graph.constant(new Float64Array(size), "a knocked-out head")
      : graph.mixture(weights, [...this.values[layer]], share, label("mix"));
    return { dots, scores, weights, mix };
  }

  /** @param {number} layer @param {Run} stream */
  #mlp(layer, stream) {
    const { graph } = this;
    const x = graph.rmsnorm(stream, this.#label("norm", "norm", layer));
    const up = this.#parameter(`h.${layer}.mlp.up_proj.weight`);
    const raw = graph.linear(x, up, this.#label("hidden before relu", "hidden", layer));
    const hidden = graph.relu(raw, this.#label("hidden", "hidden", layer));
    const down = this.#parameter(`h.${layer}.mlp.down_proj.weight`);
    const mlp = this.changes.mlps.has(layer)
      ? graph.constant(new Float64Array(this.config.n_embd), "a knocked-out MLP")
      : graph.linear(hidden, down, this.#label("mlp", "mlp", layer));
    return { mlpNorm: x, raw, hidden, mlp };
  }

  /** @param {number} token */
  #token(token) {
    const what = this.#label("token's embedding", "embedding");
    return this.graph.row(this.#parameter("wte.weight"), token, what);
  }

  #place() {
    if (this.changes.positions) {
      return this.graph.constant(new Float64Array(this.config.n_embd), "no position");
    }
    const what = this.#label("position's embedding", "embedding");
    return this.graph.row(this.#parameter("wpe.weight"), this.position, what);
  }

  /** @param {Run} stream */
  #lens(stream) {
    const aside = new Graph();
    const { rows, data } = this.#parameter("lm_head.weight");
    const what = { name: "lens", part: "probabilities" };
    const head = aside.parameter("lm_head.weight", rows, data);
    const logits = aside.linear(aside.constant(stream.data), head, what);
    return aside.softmax(logits, what).data;
  }

  /** @param {string} name @returns {Run} */
  #parameter(name) {
    return /** @type {Run} */ (this.parameters.get(name));
  }

  /** @param {string} name @param {string} part @param {number} [layer] @param {number} [head] */
  #label(name, part, layer, head) {
    return { name, part, position: this.position, layer, head };
  }
}

/**
 * Record the parameters with the changes that are made to them.
 * @param {Graph} graph
 * @param {Model} model
 * @param {Changes} changes
 * @returns {Map<string, Run>}
 */
function recorded(graph, model, changes) {
  const parameters = new Map();
  for (const [name, matrix] of model.parameters) {
    const data = edited(name, matrix, changes.weights);
    parameters.set(name, graph.parameter(name, matrix.rows, data));
  }
  return parameters;
}

/**
 * Return a matrix's numbers with the edited ones in place of the trained.
 * @param {string} name
 * @param {Matrix} matrix
 * @param {Map<string, number>} weights
 */
function edited(name, matrix, weights) {
  let data = matrix.data;
  for (const [place, value] of weights) {
    const found = place.match(/^(.+)\[(\d+)\]\[(\d+)\]$/);
    if (!found || found[1] !== name) continue;
    if (data === matrix.data) data = matrix.data.slice();
    data[Number(found[2]) * matrix.cols + Number(found[3])] = value;
  }
  return data;
}
