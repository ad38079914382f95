/** What every view is given: the reader's choices, the sentence, the model's numbers, the truth. */

import { lossOf, modelFrom, noChanges, read } from "../gpt.js";
import { Grammar } from "../grammar.js";
import { format, largest } from "../numbers.js";
import { kl } from "../sampling.js";
import { changesToText, countChanges } from "../state.js";
import { BOS, Tokenizer } from "../tokenizer.js";

/**
 * @typedef {import("../gpt.js").Changes} Changes
 * @typedef {import("../gpt.js").PositionTrace} PositionTrace
 * @typedef {import("../gpt.js").Trace} Trace
 * @typedef {import("../state.js").State} State
 * @typedef {import("../state.js").Store} Store
 * @typedef {{words: string[], ids: number[], unknown: {index: number, word: string, near: string[]}[], read: string[]}} Sentence
 *   `read` are the words that the model reads: those before the first unknown one, as many as fit
 */

/** The page's data and all that follows from the state; what is expensive is remembered. */
export class Page {
  /**
   * @param {any} data
   * @param {Store} store
   */
  constructor(data, store) {
    this.data = data;
    this.store = store;
    this.model = modelFrom(data);
    this.tokenizer = new Tokenizer(data.tokenizer);
    this.grammar = data.grammar ? new Grammar(data.grammar) : null;
    /** What does not belong into a link: the last draw, what was written. @type {Record<string, any>} */
    this.memory = {};
    /** Draws the page anew. @type {() => void} */
    this.draw = () => {};
    /** @type {Map<string, {key: string, value: any}>} */
    this.known = new Map();
  }

  get state() {
    return this.store.state;
  }

  /** @param {Partial<State>} part */
  set(part) {
    this.store.set(part);
  }

  /**
   * Draw the page with something else in its memory.
   *
   * @param {Record<string, any>} part
   */
  redraw(part) {
    Object.assign(this.memory, part);
    this.draw();
  }

  /**
   * Compute a value, or return it if it was computed for the same key.
   *
   * @template T
   * @param {string} name
   * @param {string} key
   * @param {() => T} compute
   * @returns {T}
   */
  remember(name, key, compute) {
    const known = this.known.get(name);
    if (known && known.key === key) return known.value;
    const value = compute();
    this.known.set(name, { key, value });
    return value;
  }

  /** @returns {Sentence} */
  get sentence() {
    return this.remember("sentence", this.state.text, () => this.sentenceOf(this.state.text));
  }

  /**
   * @param {string} text
   * @returns {Sentence}
   */
  sentenceOf(text) {
    const { words, unknown } = this.tokenizer.encode(text);
    const room = this.model.config.block_size - 1;
    const end = Math.min(unknown.length ? unknown[0].index : words.length, room);
    const read = words.slice(0, end);
    return { words, unknown, read, ids: [BOS, ...read.map((word) => this.idOf(word))] };
  }

  /** The model's reading of the sentence, with the reader's changes. @returns {Trace} */
  get trace() {
    return this.traceWith(this.state.changes);
  }

  /** The reading without the changes. @returns {Trace} */
  get original() {
    return this.traceWith(noChanges());
  }

  /**
   * Read another text with the model as it was trained.
   *
   * @param {string} text
   * @returns {Trace}
   */
  readingOf(text) {
    return this.remember("other", text, () => read(this.model, this.sentenceOf(text).ids));
  }

  /**
   * @param {Changes} changes
   * @returns {Trace}
   */
  traceWith(changes) {
    const name = countChanges(changes) ? "trace" : "original";
    const key = `${this.sentence.ids} ${changesToText(changes)}`;
    return this.remember(name, key, () => read(this.model, this.sentence.ids, changes));
  }

  /** The position looked at. */
  get position() {
    const last = this.sentence.read.length;
    const { position } = this.state;
    return position < 0 || position > last ? last : position;
  }

  /** @returns {PositionTrace} */
  get here() {
    return this.trace.positions[this.position];
  }

  /** The words up to the position looked at. */
  get beginning() {
    return this.sentence.read.slice(0, this.position);
  }

  /**
   * Return the token at a position, for people.
   *
   * @param {number} position
   */
  token(position) {
    return position === 0 ? "start" : visible(this.sentence.read[position - 1]);
  }

  /** All tokens that the model reads. */
  get tokens() {
    return [0, ...this.sentence.read].map((_, position) => this.token(position));
  }

  /**
   * Return what a token is called as the next one.
   *
   * @param {number} id
   */
  next(id) {
    return id === BOS ? "the end" : visible(this.data.tokenizer.tokens[id]);
  }

  /** What a token is called. */
  get unit() {
    return this.data.tokenizer.kind === "characters" ? "character" : "word";
  }

  /**
   * Return a text that speaks of words, speaking of characters if those are the tokens.
   *
   * @param {string} text
   */
  inUnits(text) {
    if (this.unit === "word") return text;
    return text.replace(/\bword/g, "character").replace(/\bWord/g, "Character");
  }

  /** The beginning in quotation marks, or what stands for no word at all. */
  get quoted() {
    return this.quote(this.beginning);
  }

  /** @param {string[]} words */
  quote(words) {
    return words.length ? `\u201c${this.join(words)}\u201d` : "the start of a sentence";
  }

  /**
   * Put words together as people write them.
   *
   * @param {string[]} words
   */
  join(words) {
    const known = words.every((word) => this.tokenizer.idOf.has(word));
    if (known) return this.tokenizer.decode(words.map((word) => this.idOf(word)));
    return words.join(this.unit === "word" ? " " : "");
  }

  /**
   * Return the exact probability of each token after the words up to a position; null where there
   * is no truth or no sentence goes so.
   *
   * @param {number} position
   * @returns {Float64Array | null}
   */
  truth(position) {
    const words = this.sentence.read.slice(0, position);
    return this.truths(words);
  }

  /**
   * @param {string[]} words
   * @returns {Float64Array | null}
   */
  truths(words) {
    const allowed = this.grammar?.nextWords(words);
    if (!allowed?.size) return null;
    const truth = new Float64Array(this.model.config.vocab_size);
    for (const [word, p] of allowed) truth[this.idOf(word)] = p;
    return truth;
  }

  /**
   * Return the id of a word; the grammar's end of a sentence is the token that follows it.
   *
   * @param {string} word
   * @returns {number}
   */
  idOf(word) {
    return this.tokenizer.idOf.get(word) ?? BOS;
  }

  /**
   * How far the model is from the truth at a position, in nats; null if there is no truth.
   *
   * @param {number} position
   * @param {Trace} [trace]
   */
  gap(position, trace = this.trace) {
    const truth = this.truth(position);
    return truth && kl(truth, trace.positions[position].probabilities.data);
  }

  /** The next token that counts as right: the reader's, or the likeliest. */
  get target() {
    const { target } = this.state;
    const id = target ? this.data.tokenizer.tokens.indexOf(target) : -1;
    if (target === "the end") return BOS;
    const actual = this.sentence.ids[this.position + 1];
    return id >= 0
      ? id
      : (actual ?? largest(this.truth(this.position) ?? this.here.probabilities.data));
  }

  /** The loss of the target after the position looked at, gone backward. */
  get loss() {
    const key = `${this.sentence.ids} ${changesToText(this.state.changes)} ${this.position} ${this.target}`;
    return this.remember("loss", key, () => this.#loss());
  }

  #loss() {
    const { trace } = this;
    const end = this.remember(
      "end",
      `${this.sentence.ids} ${changesToText(this.state.changes)}`,
      () => trace.graph.runs.length,
    );
    trace.graph.runs.length = end; // without the loss of another target
    const targets = trace.positions.map((_, i) => (i === this.position ? this.target : null));
    const loss = lossOf(trace, targets);
    trace.graph.backward(loss);
    return { trace, loss };
  }

  /** The reader's changes, each in a few words. @returns {string[]} */
  changesInWords() {
    const { heads, mlps, positions, attentionTemperature, weights } = this.state.changes;
    return [
      ...[...heads].map((name) => `${headName(name)} is off`),
      ...[...mlps].map((layer) => `the MLP of layer ${layer} is off`),
      ...(positions ? ["it does not know positions"] : []),
      ...(attentionTemperature === 1
        ? []
        : [`the temperature of attention is ${attentionTemperature}`]),
      ...[...weights].map(([name, x]) => `${name} is ${format(x)}`),
    ];
  }

  /** Take all changes back, as one change that can itself be undone. */
  putBack() {
    this.set({ changes: noChanges() });
  }

  /** Where the words read leave the language; null: nowhere. */
  get departure() {
    return this.remember("departure", this.sentence.read.join(" "), () => {
      const found = this.grammar?.whereItLeaves(this.sentence.read) ?? null;
      return found && found.position < this.sentence.read.length ? found : null;
    });
  }
}

/**
 * Write the name of a head, "layer.head" from 0, for people.
 *
 * @param {string} name
 */
export function headName(name) {
  const [layer, head] = name.split(".").map(Number);
  return `head ${head} of layer ${layer}`;
}

/**
 * Return a token so that it can be seen: a space is one, too.
 *
 * @param {string} token
 */
export function visible(token) {
  return token === " " ? "\u2423" : token;
}

/**
 * Return the hue of a position, so that neighbours differ much.
 *
 * @param {number} position
 */
export function hue(position) {
  return `oklch(0.66 0.14 ${(250 + position * 137.5) % 360})`;
}
