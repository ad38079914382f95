/** The grammar that wrote the training text: it knows how likely each next word is, exactly. */

/**
 * The rules as the page has them. An item is a place in `names`; the first of these are the symbols,
 * each with its alternatives in `rules` (a weight, then the items), the others are words.
 * @typedef {{start: number, names: string[], rules: number[][][]}} GrammarData
 */

/**
 * A derivation of words[from] up to words[to], that one left out: of a word, or of a symbol by one
 * of its alternatives. An `open` one is still to come where the words end.
 * @typedef {{item: string, from: number, to: number, open: boolean,
 *   children: Derivation[]}} Derivation
 */

/**
 * The parts of a derivation, and its probability.
 * @typedef {{p: number, children: Derivation[]}} Found
 */

/**
 * What is still to come: the top item -> {the items below it: probability}.
 * @typedef {Map<number, Map<string, number>>} Stacks
 */

export const END = ".";

/**
 * A probabilistic context-free grammar without recursion, as llmhard/pcfg.py explains it: words are
 * read from left to right with stacks of the items that are still to come.
 */
export class Grammar {
  /** @type {Map<number, Map<number, Map<string, number>>>} */
  #knownOpenings = new Map();
  /** @type {Map<string, Stacks>} */
  #knownStacks = new Map();
  /** @type {Map<string, Map<string, number>>} */
  #knownNext = new Map();

  /** @param {GrammarData} data */
  constructor({ start, names, rules }) {
    this.start = start;
    this.names = names;
    this.rules = rules;
    this.end = names.length; // the item END
    this.idOf = new Map(names.map((name, id) => [name, id]));
    rules.forEach((_, symbol) => this.idOf.delete(names[symbol]));
  }

  /**
   * Return the probability of each word that can follow, and of the sentence's end under END.
   * @param {string[]} words
   * @returns {Map<string, number>} empty if no sentence begins so
   */
  nextWords(words) {
    return kept(this.#knownNext, words.join(" "), () => this.#nextWords(words));
  }

  /** @param {string[]} words */
  #nextWords(words) {
    /** @type {Map<string, number>} */
    const found = new Map();
    for (const [top, below] of this.#stacksAfter(words)) {
      const weight = sumOf(below.values());
      for (const [word, tails] of this.#openings(top)) {
        addTo(found, word === this.end ? END : this.names[word], weight * sumOf(tails.values()));
      }
    }
    const total = sumOf(found.values());
    return new Map([...found].map(([word, p]) => [word, p / total]));
  }

  /**
   * Return the first word that cannot stand where it stands, and what could; null if the words are
   * a sentence. The word is END, after the last one, if more is due.
   * @param {string[]} words
   * @returns {{position: number, word: string, allowed: Map<string, number>} | null}
   */
  whereItLeaves(words) {
    for (let position = 0; position <= words.length; position++) {
      const word = words[position] ?? END;
      const allowed = this.nextWords(words.slice(0, position));
      if (!allowed.has(word) || (word === END && position < words.length)) {
        return { position, word, allowed };
      }
    }
    return null;
  }

  /**
   * Return the likeliest derivation of the words or, if they are no sentence, of as many of them as
   * begin one.
   * @param {string[]} words
   * @returns {Derivation}
   */
  derivation(words) {
    const left = this.whereItLeaves(words);
    const right = left ? words.slice(0, left.position) : words;
    const parser = new Parser(this, right.map((word) => this.idOf.get(word) ?? -1));
    const end = right.length;
    // Words that are a whole sentence, with one too many behind them, have no unfinished derivation.
    const unfinished = left && parser.unfinished(this.start, 0);
    const found = unfinished ?? parser.whole(this.start, 0).get(end);
    return this.derived(this.start, 0, end, /** @type {Found} */ (found).children);
  }

  /**
   * @param {number} item @param {number} from @param {number} to
   * @param {Derivation[]} children none of a symbol that is still to come
   * @returns {Derivation}
   */
  derived(item, from, to, children) {
    const open = from === to && children.length === 0;
    return { item: this.names[item], from, to, open, children };
  }

  /** @param {string[]} words @returns {Stacks} none if no sentence begins so */
  #stacksAfter(words) {
    /** @type {Stacks} */
    let stacks = new Map([[this.start, new Map([[String(this.end), 1]])]]);
    let beginning = "";
    for (const word of words) {
      beginning += `${word} `;
      const id = this.idOf.get(word) ?? -1;
      stacks = this.#knownStacks.get(beginning) ?? this.#read(stacks, id);
      this.#knownStacks.set(beginning, stacks);
    }
    return stacks;
  }

  /**
   * Return the stacks that are left when one more word has been read.
   * @param {Stacks} stacks
   * @param {number} word
   * @returns {Stacks}
   */
  #read(stacks, word) {
    /** @type {Stacks} */
    const left = new Map();
    for (const [top, below] of stacks) {
      for (const [tail, p] of this.#openings(top).get(word) ?? []) {
        for (const [items, before] of below) {
          const stack = onTopOf(tail, items);
          const [first] = stack.split(",", 1);
          const rests = emptyAt(left, Number(first));
          addTo(rests, stack.slice(first.length + 1), before * p);
        }
      }
    }
    return left;
  }

  /**
   * Return each word that an item may begin with -> {what is left of the item then: probability}.
   * @param {number} item
   * @returns {Map<number, Map<string, number>>}
   */
  #openings(item) {
    if (item >= this.rules.length) return new Map([[item, new Map([["", 1]])]]);
    const known = this.#knownOpenings.get(item);
    if (known) return known;
    /** @type {Map<number, Map<string, number>>} */
    const openings = new Map();
    const total = sumOf(this.rules[item].map(([weight]) => weight));
    for (const [weight, first, ...rest] of this.rules[item]) {
      const below = rest.join(",");
      for (const [word, tails] of this.#openings(first)) {
        const ours = emptyAt(openings, word);
        for (const [tail, p] of tails) addTo(ours, onTopOf(tail, below), (weight / total) * p);
      }
    }
    this.#knownOpenings.set(item, openings);
    return openings;
  }
}

/** Finds the likeliest derivation of every item at every place of some words. */
class Parser {
  /** @type {Map<string, Map<number, Found>>} */
  #knownWhole = new Map();
  /** @type {Map<string, Found | null>} */
  #knownUnfinished = new Map();

  /** @param {Grammar} grammar @param {number[]} words */
  constructor(grammar, words) {
    this.grammar = grammar;
    this.words = words;
  }

  /**
   * Return the likeliest derivations of an item from a word on, by the place where they end.
   * @param {number} item
   * @param {number} from
   * @returns {Map<number, Found>}
   */
  whole(item, from) {
    if (!this.#isSymbol(item)) {
      return new Map(this.words[from] === item ? [[from + 1, { p: 1, children: [] }]] : []);
    }
    return kept(this.#knownWhole, `${item} ${from}`, () => {
      /** @type {Map<number, Found>} */
      const best = new Map();
      for (const [p, items] of this.#alternatives(item)) {
        let reached = new Map([[from, { p, children: /** @type {Derivation[]} */ ([]) }]]);
        for (const part of items) reached = this.#after(reached, part);
        for (const [to, found] of reached) keepLikelier(best, to, found);
      }
      return best;
    });
  }

  /**
   * Return the likeliest derivation of an item from a word on that the end of the words leaves
   * unfinished; null if there is none.
   * @param {number} item
   * @param {number} from
   * @returns {Found | null}
   */
  unfinished(item, from) {
    if (from === this.words.length) return { p: 1, children: [] };
    if (!this.#isSymbol(item)) return null;
    return kept(this.#knownUnfinished, `${item} ${from}`, () => {
      /** @type {Map<number, Found>} */
      const best = new Map();
      for (const [p, items] of this.#alternatives(item)) {
        let reached = new Map([[from, { p, children: /** @type {Derivation[]} */ ([]) }]]);
        items.forEach((part, i) => {
          for (const [to, found] of reached) this.#break(best, found, to, items.slice(i));
          reached = this.#after(reached, part);
        });
      }
      return best.get(this.words.length) ?? null;
    });
  }

  /**
   * Add to each derivation of the items so far one of the next item.
   * @param {Map<number, Found>} reached
   * @param {number} item
   */
  #after(reached, item) {
    /** @type {Map<number, Found>} */
    const best = new Map();
    for (const [from, { p, children }] of reached) {
      for (const [to, found] of this.whole(item, from)) {
        const next = this.grammar.derived(item, from, to, found.children);
        keepLikelier(best, to, { p: p * found.p, children: [...children, next] });
      }
    }
    return best;
  }

  /**
   * Let the words end within the first of the items that are due, with the others still to come.
   * @param {Map<number, Found>} best
   * @param {Found} before
   * @param {number} from
   * @param {number[]} due
   */
  #break(best, before, from, [first, ...rest]) {
    const found = this.unfinished(first, from);
    const end = this.words.length;
    if (!found || before.p * found.p <= (best.get(end)?.p ?? 0)) return;
    const broken = this.grammar.derived(first, from, end, found.children);
    const open = rest.map((item) => this.grammar.derived(item, end, end, []));
    const children = [...before.children, broken, ...open];
    best.set(end, { p: before.p * found.p, children });
  }

  /** @param {number} item */
  #isSymbol(item) {
    return item < this.grammar.rules.length;
  }

  /** @param {number} symbol @returns {[number, number[]][]} probability and items */
  #alternatives(symbol) {
    const rules = this.grammar.rules[symbol];
    const total = sumOf(rules.map(([weight]) => weight));
    return rules.map(([weight, ...items]) => [weight / total, items]);
  }
}

/** @param {Iterable<number>} numbers */
function sumOf(numbers) {
  let total = 0;
  for (const x of numbers) total += x;
  return total;
}

/** @template K @param {Map<K, number>} map @param {K} key @param {number} p */
function addTo(map, key, p) {
  map.set(key, (map.get(key) ?? 0) + p);
}

/** @template K @param {Map<K, Map<string, number>>} maps @param {K} key */
function emptyAt(maps, key) {
  const found = maps.get(key) ?? new Map();
  maps.set(key, found);
  return found;
}

/** @param {string} items @param {string} below @returns {string} both as one stack */
function onTopOf(items, below) {
  return items && below ? `${items},${below}` : items || below;
}

/** @param {Map<number, Found>} best @param {number} key @param {Found} found */
function keepLikelier(best, key, found) {
  if (found.p > (best.get(key)?.p ?? 0)) best.set(key, found);
}

/**
 * Return what is known, or compute it and keep it.
 * @template V
 * @param {Map<string, V>} known
 * @param {string} key
 * @param {() => V} compute
 * @returns {V}
 */
function kept(known, key, compute) {
  if (!known.has(key)) known.set(key, compute());
  return /** @type {V} */ (known.get(key));
}
