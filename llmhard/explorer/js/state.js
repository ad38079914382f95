/** What the reader has chosen: one plain object, written to the address and read from it. */

import { noChanges } from "./gpt.js";

/**
 * @typedef {import("./gpt.js").Changes} Changes
 *
 * @typedef {Object} State
 * @property {string} text  the beginning of a sentence
 * @property {string} view  which of the views is shown
 * @property {number} position  of the token looked at; -1: the last one
 * @property {number} layer
 * @property {number} head
 * @property {"weights" | "scores" | "mixture"} show  of attention
 * @property {"model" | "layer" | "head"} level  of the map
 * @property {string} part  chosen on the map, the path of a run from the position looked at; "": none
 * @property {number} run  whose numbers are shown instead, by its place in the graph; -1: none
 * @property {number} number  the place in that run; -1: none
 * @property {string} target  the next word that would be right; "": the likeliest
 * @property {number} temperature
 * @property {number} topK  0: all
 * @property {number} topP  1: all
 * @property {Changes} changes
 * @property {number} snapshot  of the film; -1: the last one
 * @property {string} weight  whose way through the training is shown, "name[row][column]"
 * @property {number} tour  the step of the tour, from 1; 0: not on it
 */

/** @type {State} */
export const START = {
  text: "the dogs by the pond",
  view: "next",
  position: -1,
  layer: 0,
  head: 0,
  show: "weights",
  level: "model",
  part: "",
  run: -1,
  number: -1,
  target: "",
  temperature: 1,
  topK: 0,
  topP: 1,
  changes: noChanges(),
  snapshot: -1,
  weight: "",
  tour: 0,
};

/**
 * Leave out the changes that a model has no place for.
 *
 * @param {Changes} changes
 * @param {import("./gpt.js").Model} model
 * @returns {Changes}
 */
export function changesWithin(changes, { config, parameters }) {
  const isHead = (/** @type {string} */ name) => {
    const [layer, head] = name.split(".").map(Number);
    return layer < config.n_layer && head < config.n_head;
  };
  const isWeight = (/** @type {string} */ name) => {
    const [, matrix, row, col] = name.match(/^(.+)\[(\d+)\]\[(\d+)\]$/) ?? [];
    const { rows, cols } = parameters.get(matrix) ?? { rows: 0, cols: 0 };
    return Number(row) < rows && Number(col) < cols;
  };
  return {
    ...changes,
    heads: new Set([...changes.heads].filter(isHead)),
    mlps: new Set([...changes.mlps].filter((layer) => layer < config.n_layer)),
    weights: new Map([...changes.weights].filter(([name]) => isWeight(name))),
  };
}

/**
 * How many changes there are.
 *
 * @param {Changes} changes
 */
export function countChanges(changes) {
  const { heads, mlps, weights, positions, attentionTemperature } = changes;
  return (
    heads.size + mlps.size + weights.size + Number(positions) + Number(attentionTemperature !== 1)
  );
}

/**
 * Write changes as in an address: "head:0.1,mlp:1,positions,temperature:2,weight:h.0.attn[1][2]:0.5".
 *
 * @param {Changes} changes
 */
export function changesToText(changes) {
  const { heads, mlps, weights, positions, attentionTemperature } = changes;
  const parts = [
    ...[...heads].map((head) => `head:${head}`),
    ...[...mlps].map((layer) => `mlp:${layer}`),
  ];
  if (positions) parts.push("positions");
  if (attentionTemperature !== 1) parts.push(`temperature:${attentionTemperature}`);
  return [...parts, ...[...weights].map(([name, x]) => `weight:${name}:${x}`)].join(",");
}

/**
 * Read what changesToText wrote; what makes no sense is left out.
 *
 * @param {string} text
 * @returns {Changes}
 */
function changesFromText(text) {
  const changes = noChanges();
  for (const part of text.split(",")) readChange(changes, part.split(":"));
  return changes;
}

/**
 * @param {Changes} changes
 * @param {string[]} part
 */
function readChange(changes, [kind, name = "", value = ""]) {
  if (kind === "head" && /^\d+\.\d+$/.test(name)) changes.heads.add(name);
  if (kind === "mlp" && /^\d+$/.test(name)) changes.mlps.add(Number(name));
  if (kind === "positions") changes.positions = true;
  if (kind === "temperature" && Number(name) > 0.01 && Number(name) < 1000)
    changes.attentionTemperature = Number(name);
  if (kind === "weight" && value !== "" && Number.isFinite(Number(value)))
    changes.weights.set(name, Number(value));
}

/**
 * Write a state as the part of an address after "#"; what is as at the start is left out.
 *
 * @param {State} state
 */
export function toHash(state) {
  const hash = new URLSearchParams();
  for (const name of names()) {
    const [text, start] = [toText(state[name]), toText(START[name])];
    if (text !== start) hash.set(name, text);
  }
  return hash.toString();
}

/**
 * Read a state from the part of an address after "#".
 *
 * @param {string} hash
 * @returns {State}
 */
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = /** @type {any} */ ({ ...START, changes: noChanges() });
  for (const name of names().filter((name) => given.has(name))) {
    state[name] = fromText(name, given.get(name) ?? "");
  }
  return state;
}

/** @returns {(keyof State)[]} */
function names() {
  return /** @type {(keyof State)[]} */ (Object.keys(START));
}

/** @param {any} value */
function toText(value) {
  return typeof value === "object" ? changesToText(value) : String(value);
}

/**
 * @param {keyof State} name
 * @param {string} text
 */
function fromText(name, text) {
  const start = START[name];
  if (typeof start === "number") return numberFrom(name, start, text);
  if (typeof start === "object") return changesFromText(text);
  return CHOICES[name]?.includes(text) === false ? start : text;
}

/** The numbers that need not be whole, with what they may be. @type {Record<string, [number, number]>} */
const RANGES = { temperature: [0, 2], topP: [0.05, 1] };

/** @type {Record<string, string[]>} */
const CHOICES = { show: ["weights", "scores", "mixture"], level: ["model", "layer", "head"] };

/**
 * Read a number; whole ones from what they are at the start on, except those of the tour, which is
 * below zero when it was left.
 *
 * @param {string} name
 * @param {number} start
 * @param {string} text
 */
function numberFrom(name, start, text) {
  const x = Number(text);
  const [low, high] = RANGES[name] ?? [name === "tour" ? -99 : start, 1e6];
  const isRight = text !== "" && x >= low && x <= high && (name in RANGES || Number.isInteger(x));
  return isRight ? x : start;
}

/** A state that tells its subscriber when it is set, and that knows the changes before. */
export class Store {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    /** @type {Changes[]} */
    this.past = [];
    /** @type {(state: State) => void} */
    this.subscriber = () => {};
  }

  /** @param {Partial<State>} part */
  set(part) {
    if (part.changes && changesToText(part.changes) !== changesToText(this.state.changes))
      this.past.push(this.state.changes);
    this.state = { ...this.state, ...part };
    this.subscriber(this.state);
  }

  /** Take the last change back, if there is one. */
  undo() {
    const changes = this.past.pop();
    if (!changes) return;
    this.state = { ...this.state, changes };
    this.subscriber(this.state);
  }
}
