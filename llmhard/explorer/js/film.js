/** The training as a film: the model of each snapshot, decoded when it is asked for, and what was measured of it. */

import { modelOf } from "./gpt.js";
import { decodeBytes } from "./numbers.js";

/**
 * @typedef {import("./gpt.js").Model} Model
 * @typedef {import("./gpt.js").Config} Config
 */

/** Numbers in eight bits, in base64: int8, and float32 for what 1 is worth in each row. @typedef {{wholes: string, units: string}} PackedTrack */

/** A table of embeddings as a map: two axes, and which share of a word's neighbours is of its class. @typedef {{axes: [number[], number[]], together: number[] | null}} WordMap */

/**
 * What the page's data say of a film; an array has an element for each snapshot.
 * @typedef {object} FilmData
 * @property {number[]} steps
 * @property {(number | null)[]} training mean loss since the snapshot before
 * @property {(number | null)[]} validation the latest loss on held-out sentences
 * @property {string[][]} sentences written then, with the same random numbers each time
 * @property {[number, number, number | null][]} curve of the whole run: step, training loss, validation loss
 * @property {number} kept the step whose parameters were saved
 * @property {{rates: number[], beta1: number, beta2: number, eps: number}} adam the rate of each snapshot's last step
 * @property {Measures | null} measures
 * @property {{classes: string[], of: number[], tables: Record<string, WordMap>}} map -1: a word of no class
 * @property {{weights: PackedTrack, m: PackedTrack, v: PackedTrack}} tracks
 */

/**
 * How far each snapshot is from the truth.
 * @typedef {object} Measures
 * @property {number} sentences on which the gap is measured
 * @property {number} each how many minimal pairs there are of a kind
 * @property {number} right the share of them that is right when the kind counts as learned
 * @property {number[]} gap in nats a token
 * @property {Record<string, number[]>} pairs the share that is right, by kind
 * @property {Record<string, number | null>} learned the step of the first snapshot from which on a kind is right
 */

/**
 * What a snapshot is like, its model apart. The validation loss is the latest one, measured after step `validatedAt`.
 * @typedef {{step: number, training: number | null, validation: number | null, validatedAt: number | null,
 *   sentences: string[], gap: number | null, pairs: Record<string, number>}} Snapshot
 */

/** A word on the map. @typedef {{token: number, x: number, y: number, kind: string | null}} Place */

/**
 * A weight at a snapshot, and what Adam knows of it: `m` and `root`, the square root of v, as they are after the step
 * (null for an embedding, whose moments no film has); `move` is how far Adam moved it in that step, weight decay apart.
 * @typedef {{step: number, weight: number, m: number | null, root: number | null, move: number | null}} Moment
 */

const LAYERS = "h.";

/** One of the arrays of numbers that a film has at each snapshot, still packed. */
class Track {
  /**
   * @param {PackedTrack} packed
   * @param {number[]} widths how many numbers each row has
   */
  constructor({ wholes, units }, widths) {
    this.widths = widths;
    this.length = widths.reduce((sum, width) => sum + width, 0);
    this.wholes = new Int8Array(decodeBytes(wholes).buffer);
    const view = new DataView(decodeBytes(units).buffer);
    this.units = Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }

  /**
   * Add the numbers of a snapshot to others.
   * @param {number} snapshot
   * @param {Float64Array} numbers
   */
  addTo(snapshot, numbers) {
    let i = 0;
    const { wholes, units, widths, length } = this;
    widths.forEach((width, row) => {
      const unit = units[snapshot * widths.length + row];
      for (const end = i + width; i < end; i++) numbers[i] += wholes[snapshot * length + i] * unit;
    });
  }

  /**
   * Return one number of a snapshot.
   * @param {number} snapshot
   * @param {Spot} spot
   */
  at(snapshot, { index, row }) {
    return this.wholes[snapshot * this.length + index] * this.units[snapshot * this.widths.length + row];
  }
}

/** Where a weight is in a track. @typedef {{index: number, row: number}} Spot */

/** A training run, snapshot by snapshot. */
export class Film {
  /**
   * @param {FilmData} data
   * @param {Config} config
   * @param {Record<string, [number, number]>} shapes
   */
  constructor(data, config, shapes) {
    this.data = data;
    this.config = config;
    this.shapes = shapes;
    this.layers = Object.fromEntries(Object.entries(shapes).filter(([name]) => name.startsWith(LAYERS)));
    this.weights = new Track(data.tracks.weights, widthsOf(shapes));
    this.m = new Track(data.tracks.m, widthsOf(this.layers));
    this.v = new Track(data.tracks.v, widthsOf(this.layers));
    /** @type {Float64Array[]} those decoded so far, from the first on */
    this.decoded = [];
  }

  /** How many snapshots there are. */
  get length() {
    return this.data.steps.length;
  }

  /** @returns {Snapshot[]} */
  get snapshots() {
    return this.data.steps.map((_, i) => this.snapshot(i));
  }

  /**
   * @param {number} i
   * @returns {Snapshot}
   */
  snapshot(i) {
    const { steps, training, validation, sentences, measures, curve } = this.data;
    const pairs = Object.entries(measures?.pairs ?? {}).map(([kind, shares]) => [kind, shares[i]]);
    return {
      step: steps[i],
      training: training[i],
      validation: validation[i],
      validatedAt: curve.findLast(([step, , loss]) => loss !== null && step <= steps[i])?.[0] ?? null,
      sentences: sentences[i],
      gap: measures ? measures.gap[i] : null,
      pairs: Object.fromEntries(pairs),
    };
  }

  /**
   * Return the model as it was, up to the rounding to eight bits.
   * @param {number} i
   * @returns {Model}
   */
  modelAt(i) {
    return modelOf(this.config, this.shapes, this.parametersAt(i));
  }

  /**
   * Return all parameters of a snapshot: each is kept as what has changed since the one before.
   * @param {number} i
   */
  parametersAt(i) {
    while (this.decoded.length <= i) {
      const numbers = this.decoded.at(-1)?.slice() ?? new Float64Array(this.weights.length);
      this.weights.addTo(this.decoded.length, numbers);
      this.decoded.push(numbers);
    }
    return this.decoded[i];
  }

  /** The tables of embeddings that there is a map of, the one with the clearer classes first. */
  get tables() {
    return Object.keys(this.data.map.tables);
  }

  /**
   * Return where the words are on the map of a table of embeddings: with the same axes at each snapshot, around
   * their middle. If there are classes, only words of a class are on it.
   * @param {number} i
   * @param {string} [table]
   * @returns {Place[]}
   */
  positions(i, table = this.tables[0]) {
    const { classes, of, tables } = this.data.map;
    const matrix = this.modelAt(i).parameters.get(table);
    if (!matrix) throw new RangeError(`there is no table ${table}`);
    const places = [...of.keys()].filter((token) => token && (!classes.length || of[token] >= 0)).map((token) => {
      const row = matrix.data.subarray(token * matrix.cols, (token + 1) * matrix.cols);
      const [x, y] = tables[table].axes.map((axis) => dotProduct(axis, row));
      return { token, x, y, kind: classes[of[token]] ?? null };
    });
    const [x, y] = [mean(places.map((place) => place.x)), mean(places.map((place) => place.y))];
    return places.map((place) => ({ ...place, x: place.x - x, y: place.y - y }));
  }

  /**
   * Return how a weight and its moments went through the training.
   * @param {string} name
   * @param {number} row
   * @param {number} col
   * @returns {Moment[]}
   */
  moments(name, row, col) {
    const all = spotOf(this.shapes, name, row, col);
    const spot = name in this.layers ? spotOf(this.layers, name, row, col) : null;
    return this.data.steps.map((step, i) => {
      const weight = this.parametersAt(i)[all.index];
      if (!spot) return { step, weight, m: null, root: null, move: null };
      const [m, root] = [this.m.at(i, spot), this.v.at(i, spot)];
      return { step, weight, m, root, move: this.move(i, m, root) };
    });
  }

  /**
   * Return how far Adam moved a weight with these moments in the last step before a snapshot.
   * @param {number} i
   * @param {number} m
   * @param {number} root
   */
  move(i, m, root) {
    const { rates, beta1, beta2, eps } = this.data.adam;
    const t = this.data.steps[i];
    if (!t) return 0;
    return (-rates[i] * (m / (1 - beta1 ** t))) / (root / Math.sqrt(1 - beta2 ** t) + eps);
  }
}

/**
 * Return how many numbers each row of these matrices has, one matrix after the other.
 * @param {Record<string, [number, number]>} shapes
 */
function widthsOf(shapes) {
  return Object.values(shapes).flatMap(([rows, cols]) => Array(rows).fill(cols));
}

/**
 * Return where a weight is among the numbers of these matrices.
 * @param {Record<string, [number, number]>} shapes
 * @param {string} name
 * @param {number} row
 * @param {number} col
 * @returns {Spot}
 */
function spotOf(shapes, name, row, col) {
  let [index, rowsBefore] = [0, 0];
  for (const [other, [rows, cols]] of Object.entries(shapes)) {
    if (other === name) return { index: index + row * cols + col, row: rowsBefore + row };
    index += rows * cols;
    rowsBefore += rows;
  }
  throw new RangeError(`there is no matrix ${name}`);
}

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
function dotProduct(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** @param {number[]} numbers */
function mean(numbers) {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
}
