/** The tokenizers, of words and of characters, as llmhard/tokenizer.py and llmhard/text.py. */

/** @typedef {{kind: "words" | "characters", tokens: string[]}} TokenizerData */

/**
 * What became of a text: all its words (or characters), the ids of those before the first unknown
 * one, and the unknown ones with those like them.
 * @typedef {{ids: number[], words: string[],
 *   unknown: {index: number, word: string, near: string[]}[]}} Encoding
 */

export const BOS = 0;

const NEAR = 3; // words at most that are like an unknown one
const LIKE = 0.6; // how alike they are at least

/** Turns text into token ids, and back. */
export class Tokenizer {
  /** @param {TokenizerData} data */
  constructor({ kind, tokens }) {
    this.kind = kind;
    this.tokens = tokens; // BOS first
    this.idOf = new Map(tokens.slice(1).map((token, i) => [token, i + 1]));
  }

  /** @param {string} text @returns {Encoding} */
  encode(text) {
    const words = this.split(text);
    const firstUnknown = words.findIndex((word) => !this.idOf.has(word));
    const known = firstUnknown < 0 ? words : words.slice(0, firstUnknown);
    const ids = known.map((word) => /** @type {number} */ (this.idOf.get(word)));
    const unknown = words.flatMap((word, index) =>
      this.idOf.has(word) ? [] : [{ index, word, near: this.near(word) }],
    );
    return { ids, words, unknown };
  }

  /**
   * Return the text that has these tokens; BOS stands for no word.
   * @param {number[]} ids
   */
  decode(ids) {
    const words = ids.filter((id) => id !== BOS).map((id) => this.tokens[id]);
    return this.kind === "words" ? joinWords(words) : words.join("");
  }

  /**
   * Take a text apart into words or characters.
   * @param {string} text
   */
  split(text) {
    return this.kind === "words" ? splitWords(text) : splitCharacters(text);
  }

  /**
   * Return the words of the vocabulary that are most like a word.
   * @param {string} word
   */
  near(word) {
    const words = [...this.idOf.keys()];
    if (this.kind === "words") return closest(word, words);
    return words.filter((other) => plain(other) === plain(word)).slice(0, NEAR);
  }
}

// ---------------------------------------------------------------- text

const INVISIBLE =
  /[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
const SPACE = "\\s\\u001c-\\u001f\\u0085"; // what Python calls white space
const LETTER = `[^${SPACE}\\p{P}\\p{S}\\p{M}\\p{Cf}]`; // or a digit
const DIGIT = "\\p{Nd}";
const PART = `[^${SPACE}\\p{P}\\p{S}]`; // of a word: letters, digits, what belongs to them
const JOINT = `['-](?=${LETTER})|(?<=${DIGIT})[.,:](?=${DIGIT})`; // between two parts
const EMOJI = "[\\p{So}\\p{Sk}][\\p{So}\\p{Sk}\\p{M}\\p{Cf}]*";
const WORD = new RegExp(`${PART}+(?:(?:${JOINT})${PART}+)*|${EMOJI}|[^${SPACE}]`, "gu");

const OPENING = new Set("([{«¿¡");
const CLOSING = new Set(")]}».,!?;:%…،؛؟।");
const QUOTES = new Set("'\"");

/**
 * Return the words of a text, in lower case; punctuation marks are words of their own.
 * @param {string} text
 * @returns {string[]}
 */
function splitWords(text) {
  const straight = straightened(clean(clean(text).toLowerCase()));
  const dashed = straight.replace(/–|—|―|--+/gu, "—");
  const dotted = dashed.replace(new RegExp(`\\.(?:[${SPACE}]*\\.)+`, "gu"), "…");
  return dotted.match(WORD) ?? [];
}

/**
 * Return the text that has these words, with spaces where print has them.
 * @param {string[]} words
 */
function joinWords(words) {
  const open = new Set();
  let text = "";
  let attached = true; // to what came before
  for (const word of words) {
    const closes = CLOSING.has(word) || open.has(word);
    text += attached || closes ? word : ` ${word}`;
    attached = OPENING.has(word) || (QUOTES.has(word) && !closes);
    if (QUOTES.has(word)) open.delete(word) || open.add(word);
  }
  return text;
}

/** @param {string} text */
function splitCharacters(text) {
  return [...clean(text).replace(new RegExp(`[${SPACE}]+`, "gu"), " ").replace(/^ /, "")];
}

/** @param {string} text @returns {string} without invisible characters, each accent in one way */
function clean(text) {
  return text.replace(INVISIBLE, "").normalize("NFC");
}

/** @param {string} text @returns {string} with plain quotes, hyphens and minus signs */
function straightened(text) {
  return text.replace(/[‘’]/gu, "'").replace(/[“”„]/gu, '"').replace(/[‐‑−]/gu, "-");
}

/** @param {string} character @returns {string} without its case, accent or curliness */
function plain(character) {
  const [base] = straightened(character).normalize("NFKD");
  return base.toUpperCase().toLowerCase(); // so that ß is ss
}

// ---------------------------------------------------------------- words like a word

/**
 * Return the words that are most like a word, as Python's difflib.get_close_matches.
 * @param {string} word
 * @param {string[]} words
 */
function closest(word, words) {
  const letters = [...word];
  return words
    .map((other) => ({ other, likeness: likeness([...other], letters) }))
    .filter((found) => found.likeness >= LIKE)
    .sort((a, b) => b.likeness - a.likeness || (a.other < b.other ? 1 : -1))
    .slice(0, NEAR)
    .map((found) => found.other);
}

/**
 * Return the share of the letters that two words have in common, in order.
 * @param {string[]} a
 * @param {string[]} b
 */
function likeness(a, b) {
  const all = a.length + b.length;
  if ((2 * Math.min(a.length, b.length)) / all < LIKE) return 0; // it cannot be more
  return (2 * inCommon(a, b)) / all;
}

/**
 * Count the letters of the longest common part, and of those before and after it.
 * @param {string[]} a
 * @param {string[]} b
 * @returns {number}
 */
function inCommon(a, b) {
  const { i, j, size } = longestCommon(a, b);
  if (size === 0) return 0;
  const before = inCommon(a.slice(0, i), b.slice(0, j));
  return before + size + inCommon(a.slice(i + size), b.slice(j + size));
}

/** @param {string[]} a @param {string[]} b @returns {{i: number, j: number, size: number}} */
function longestCommon(a, b) {
  let best = { i: 0, j: 0, size: 0 };
  let before = new Int32Array(b.length + 1); // [j + 1]: how long a part ends at a[i - 1], b[j]
  for (let i = 0; i < a.length; i++) {
    const now = new Int32Array(b.length + 1);
    for (let j = 0; j < b.length; j++) {
      if (a[i] !== b[j]) continue;
      const size = (now[j + 1] = before[j] + 1);
      if (size > best.size) best = { i: i - size + 1, j: j - size + 1, size };
    }
    before = now;
  }
  return best;
}
