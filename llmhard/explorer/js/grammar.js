/** The grammar that wrote the training text: it knows how likely each next word is, exactly. */

/** @typedef {{start: string, rules: Record<string, [number, string[]][]>}} GrammarData */

/**
 * A derivation: of a word, or of a symbol by one of its alternatives. `open` are the items that are
 * still to come where the words end.
 * @typedef {{item: string, children: Derivation[], from: number, to: number, open: boolean}} Derivation
 */

export const END = ".";

/** A probabilistic context-free grammar without recursion, as llmhard/pcfg.py. */
export class Grammar {
  /** @param {string} start @param {GrammarData["rules"]} rules */
  constructor(start, rules) {
    this.start = start;
    this.rules = rules;
  }

  /**
   * Return the probability of each word that can follow, and of the sentence's end under END.
   * @param {string[]} words
   * @returns {Map<string, number>} empty if no sentence begins so
   */
  nextWords(words) {
    return new Map(words.length ? [[END, 1]] : []);
  }

  /**
   * Return where the words leave the language; null if they are a sentence of it.
   * @param {string[]} words
   * @returns {{position: number, word: string, allowed: Map<string, number>} | null}
   */
  whereItLeaves(words) {
    return { position: words.length, word: END, allowed: new Map() };
  }

  /**
   * Return the likeliest derivation of the words, or of their longest beginning that has one.
   * @param {string[]} words
   * @returns {Derivation | null}
   */
  derivation(words) {
    return { item: this.start, children: [], from: 0, to: words.length, open: true };
  }
}
