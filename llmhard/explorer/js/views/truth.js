/** The truth beside the model, word by word; where a sentence leaves the language; its derivation. */

import { END } from "../grammar.js";
import { percent } from "../numbers.js";
import { button, figure, heading, wordOf } from "./controls.js";
import { h, roving } from "./dom.js";
import { exactly, fixed, listed } from "./format.js";
import { typed } from "./sentence.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../grammar.js").Derivation} Derivation
 */

/**
 * @param {Page} page
 * @returns {(VNode | null)[]}
 */
export function truthView(page) {
  if (!page.grammar)
    return [
      heading(
        "Is it right?",
        "This model learned from a text of your own. Nobody knows exactly how likely the next word of such a text is, so there is no truth to show here.",
      ),
    ];
  return [
    heading(
      "Is it right?",
      "A grammar wrote the training text, so for every beginning the right probabilities are known exactly. Each row is a step: the probability that the model gave the word that came, and the one it should have given.",
    ),
    steps(page),
    departed(page),
    derivationOf(page),
  ];
}

/** @param {Page} page */
function steps(page) {
  const positions = page.trace.positions.map((_, position) => position);
  return figure(
    stepsSay(page),
    { key: "steps", on: { keydown: roving("button.step") } },
    h(
      "div.step.heading.soft.small",
      { "aria-hidden": "true", key: "heading" },
      h("span", "after"),
      h("span", "comes"),
      h("span", "model"),
      h("span", "truth"),
      h("span.far", "distance (KL)"),
    ),
    positions.map((position) => step(page, position)),
  );
}

/** @param {Page} page */
function stepsSay(page) {
  const gaps = page.trace.positions.map((_, position) => page.gap(position));
  const said = gaps.map(
    (gap, position) =>
      `after ${page.token(position)}: ${gap === null ? "outside the language" : `${fixed(gap)} nats`}`,
  );
  return `How far the model is from the truth: ${listed(said)}`;
}

/**
 * @param {Page} page
 * @param {number} position
 */
function step(page, position) {
  const id = page.sentence.ids[position + 1];
  const truth = page.truth(position);
  const model = page.trace.positions[position].probabilities.data;
  const chosen = position === page.position;
  const gap = page.gap(position);
  const known = id !== undefined;
  return button(
    [
      h("span.name", position ? `\u2026 ${page.token(position)}` : "start"),
      h("span.name", known ? page.next(id) : "?"),
      two(known ? model[id] : null, "model"),
      two(known && truth ? truth[id] : null, "truth", known && !truth ? "outside" : ""),
      h(
        "span.far",
        gap === null
          ? "\u2013"
          : [
              h("i.gap", {
                "aria-hidden": "true",
                style: { width: `${Math.min(100, 100 * gap)}%` },
              }),
              h("span.number", fixed(gap)),
            ],
      ),
    ],
    () => page.set({ position }),
    {
      key: `step ${position}`,
      class: "step",
      "aria-pressed": String(chosen),
      tabindex: chosen ? 0 : -1,
      "aria-label": stepSays(page, position, id, model, truth, gap),
    },
  );
}

/**
 * @param {number | null} p
 * @param {string} kind
 * @param {string} [instead]
 */
function two(p, kind, instead = "") {
  if (p === null) return h("span.soft", instead);
  return h(
    "span",
    { class: `probability of-${kind}` },
    h("i", { class: kind, "aria-hidden": "true", style: { width: `${100 * p}%` } }),
    h("span", kind === "truth" ? exactly(p) : percent(p)),
  );
}

/**
 * @param {Page} page
 * @param {number} position
 * @param {number | undefined} id
 * @param {Float64Array} model
 * @param {Float64Array | null} truth
 * @param {number | null} gap
 */
function stepSays(page, position, id, model, truth, gap) {
  const word =
    id === undefined
      ? ""
      : `, ${page.next(id)}: model ${percent(model[id])}${truth ? `, truth ${exactly(truth[id])}` : ""}`;
  return `After ${page.token(position)}${word}; ${gap === null ? "outside the language" : `distance ${fixed(gap)} nats`}`;
}

/** @param {Page} page */
function departed(page) {
  const found = page.departure;
  if (!found) return allFine(page);
  const before = page.sentence.read.slice(0, found.position);
  const allowed = [...found.allowed].sort((a, b) => b[1] - a[1]);
  return h(
    "section.notice",
    { key: "departed", "aria-label": "Where it leaves the language" },
    h(
      "p",
      "At ",
      wordOf(found.word),
      " the sentence leaves the language: no sentence goes on like this after ",
      h("b", page.quote(before)),
      ". What could stand there instead:",
    ),
    h(
      "div.choices",
      allowed.slice(0, 16).map(([word, p]) => instead(page, found.position, word, p)),
    ),
    allowed.length > 16 ? h("p.small.soft", `and ${allowed.length - 16} more.`) : null,
  );
}

/**
 * @param {Page} page
 * @param {number} position
 * @param {string} word
 * @param {number} p
 */
function instead(page, position, word, p) {
  const isEnd = word === END;
  const words = page.sentence.read.slice(0, position);
  const take = () =>
    typed(
      page,
      page.join(isEnd ? words : [...words, word, ...page.sentence.read.slice(position + 1)]),
    );
  return button([isEnd ? "the end" : word, " ", h("span.soft.small", percent(p))], take, {
    key: word,
  });
}

/** @param {Page} page */
function allFine(page) {
  const done = page.truth(page.sentence.read.length)?.[0] ?? 0;
  const says =
    done > 0
      ? "This is a whole sentence of the language."
      : "So far this is the beginning of a sentence of the language.";
  return h("p.notice.calm", { key: "departed" }, says);
}

/** @param {Page} page */
function derivationOf(page) {
  const { grammar } = page;
  const { read } = page.sentence;
  if (!grammar || !read.length) return null;
  return page.remember("derivation", read.join(" "), () => treeOf(page, grammar.derivation(read)));
}

/**
 * @param {Page} page
 * @param {Derivation} root
 */
function treeOf(page, root) {
  return h(
    "section",
    { key: "derivation", "aria-label": "Derivation" },
    h(
      "h3",
      page.departure ? "How the grammar makes the part that is right" : "How the grammar made it",
    ),
    h(
      "p.soft",
      "Each name is replaced by what hangs below it, until only words are left. If there are several ways, this is the likeliest one. Dashed parts are still to come.",
    ),
    h("div.scroll", h("div.tree", branch(root))),
  );
}

/**
 * A symbol above what it became; a chain of symbols that each became one other is one line.
 *
 * @param {Derivation} tree
 * @returns {VNode}
 */
function branch(tree) {
  const [names, last] = chain(tree);
  if (!last.children.length) return leaf(names, last);
  return h(
    "div.branch",
    h("span.symbol", names.join(" \u203a ")),
    h(
      "div.children",
      last.children.map(branch),
    ),
  );
}

/**
 * @param {string[]} names
 * @param {Derivation} last
 */
function leaf(names, last) {
  const word = names[names.length - 1];
  const symbols = names.slice(0, -1).join(" \u203a ");
  return h(
    "div",
    { class: `branch${last.open ? " open" : ""}` },
    symbols ? h("span.symbol", symbols) : null,
    h("span.leaf", word),
  );
}

/**
 * Follow single children.
 *
 * @param {Derivation} tree
 * @returns {[string[], Derivation]}
 */
function chain(tree) {
  const names = [tree.item];
  while (tree.children.length === 1) {
    tree = tree.children[0];
    names.push(tree.item);
  }
  return [names, tree];
}
