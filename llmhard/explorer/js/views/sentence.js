/** The sentence: where it is typed, its tokens with their ids, what the model cannot read. */

import { button, wordOf } from "./controls.js";
import { h, roving } from "./dom.js";
import { count, listed } from "./format.js";
import { hue, visible } from "./page.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 */

/**
 * @param {Page} page
 * @returns {VNode}
 */
export function sentenceView(page) {
  const on = { input: (/** @type {any} */ event) => typed(page, event.target.value) };
  return h(
    "section",
    { key: "sentence", "aria-label": "The sentence" },
    h("label.soft.small", { for: "text" }, "Type the beginning of a sentence"),
    h("input", {
      id: "text",
      class: "input",
      type: "text",
      value: page.state.text,
      on,
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      maxlength: "400",
      "aria-describedby": "tokens-say",
    }),
    tokens(page),
    ...notices(page),
    examples(page),
  );
}

/**
 * @param {Page} page
 * @param {string} text
 */
export function typed(page, text) {
  page.memory.trail = []; // it led through another sentence
  page.set({ text, position: -1, run: -1, number: -1, target: "" });
}

/** @param {Page} page */
function tokens(page) {
  const { words, unknown, read } = page.sentence;
  const unknownAt = new Set(unknown.map(({ index }) => index));
  const leaves = page.departure?.position ?? -1;
  return h(
    "div.tokens",
    {
      role: "group",
      "aria-label": "Tokens: choose one to see what the model makes of the words up to it",
      on: { keydown: roving("button.token") },
    },
    readToken(page, 0, ""),
    words.map((word, i) => {
      if (i < read.length) return readToken(page, i + 1, i === leaves ? " leaves" : "");
      return h(
        "span",
        { key: `off ${i}`, class: unknownAt.has(i) ? "token unknown" : "token unread" },
        visible(word),
        h("span.id", unknownAt.has(i) ? "unknown" : "not read"),
      );
    }),
    h(
      "span",
      { id: "tokens-say", class: "unseen" },
      `${count(read.length, page.unit)} read: ${read.join(" ")}`,
    ),
  );
}

/**
 * @param {Page} page
 * @param {number} position
 * @param {string} more  classes
 */
function readToken(page, position, more) {
  const chosen = position === page.position;
  const choose = () => {
    page.memory.trail = [];
    page.set({ position, run: -1, number: -1, target: "" });
  };
  const text = [page.token(position), h("span.id", page.sentence.ids[position])];
  return button(text, choose, {
    key: `token ${position}`,
    class: `token${more}`,
    style: { "--hue": position ? hue(position) : "var(--line)" },
    "aria-pressed": String(chosen),
    tabindex: chosen ? 0 : -1,
    "aria-label": `${page.token(position)}, token number ${page.sentence.ids[position]}`,
    title: `Position ${position}, token ${page.sentence.ids[position]}`,
  });
}

/** @param {Page} page */
function notices(page) {
  return [unknownNotice(page), lengthNotice(page), changesNotice(page)];
}

/** @param {Page} page */
function unknownNotice(page) {
  const [first] = page.sentence.unknown;
  if (!first || first.index > page.sentence.read.length) return null;
  const known = page.data.tokenizer.tokens.length - 1;
  const near = first.near.map((word) =>
    button(word, () => replaceWord(page, first.index, word), { key: word }),
  );
  return h(
    "p.notice",
    { role: "status", key: "unknown" },
    "The model knows ",
    count(known, page.unit),
    ", and ",
    wordOf(first.word),
    " is not one of them; it reads up to there. ",
    near.length ? h("span.row", "Did you mean ", ...near, "?") : "",
  );
}

/**
 * @param {Page} page
 * @param {number} index
 * @param {string} word
 */
function replaceWord(page, index, word) {
  const words = [...page.sentence.words];
  words[index] = word;
  typed(page, page.join(words));
}

/** @param {Page} page */
function lengthNotice(page) {
  const room = page.model.config.block_size - 1;
  if (page.sentence.words.length <= room || page.sentence.read.length < room) return null;
  return h(
    "p.notice",
    { role: "status", key: "length" },
    `This model reads ${count(room, page.unit)} at most; the rest is left out.`,
  );
}

/** @param {Page} page */
function changesNotice(page) {
  const says = page.changesInWords();
  if (!says.length) return null;
  return h(
    "p.notice.calm.row",
    { role: "status", key: "changes" },
    h("span", `You changed the model: ${listed(says)}.`),
    button("Undo", () => page.store.undo(), { disabled: page.store.past.length === 0 }),
    button("Put everything back", () => page.putBack()),
  );
}

/** @param {Page} page */
function examples(page) {
  const shown = beginnings(page)
    .filter((text) => text !== page.state.text)
    .slice(0, 5);
  if (!shown.length) return null;
  return h(
    "div.examples.row",
    { key: "examples" },
    "Or try ",
    shown.map((text) => button(text, () => typed(page, text), { key: text, class: "plain" })),
  );
}

/** Beginnings at which there is something to see, in the language that the package is about. */
const TELLING = [
  "seven ducks",
  "the dogs by the pond",
  "seven ducks swims",
  "he brushes",
  "she eats an",
  "the fish cannot",
];

/**
 * Those that the model knows all words of, else some of the held-out sentences.
 *
 * @param {Page} page
 * @returns {string[]}
 */
function beginnings(page) {
  const telling = page.grammar
    ? TELLING.filter((text) => !page.tokenizer.encode(text).unknown.length)
    : [];
  return telling.length > 2 ? telling : (page.data.sentences ?? []);
}
