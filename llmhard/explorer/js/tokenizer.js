/** The tokenizers, of words and of characters, as llmhard/tokenizer.py and llmhard/text.py. */

/** @typedef {{kind: "words" | "characters", tokens: string[]}} TokenizerData */

/**
 * What became of a text: `ids` of the tokens before the first unknown one, `words` all of them, with
 * -1 in `all` for what the vocabulary lacks.
 * @typedef {{ids: number[], words: string[], unknown: {index: number, word: string, near: string[]}[]}} Encoding
 */

export const BOS = 0;

/** Turns text into token ids, and back. */
export class Tokenizer {
  /** @param {TokenizerData} data */
  constructor({ kind, tokens }) {
    this.kind = kind;
    this.tokens = tokens;
    /** @type {Map<string, number>} */
    this.idOf = new Map(tokens.map((token, id) => [token, id]));
    this.idOf.delete(tokens[BOS]);
  }

  /** @param {string} text @returns {Encoding} */
  encode(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const ids = words.map((word) => this.idOf.get(word) ?? -1);
    const unknown = words.flatMap((word, index) => (this.idOf.has(word) ? [] : [{ index, word, near: [] }]));
    return { ids, words, unknown };
  }

  /** @param {number[]} ids @returns {string} */
  decode(ids) {
    return ids.filter((id) => id !== BOS).map((id) => this.tokens[id]).join(" ");
  }
}
