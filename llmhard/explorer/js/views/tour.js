/** The guided tour: a dozen steps, each a state of the page with a few words about it. */

import { noChanges } from "../gpt.js";
import { largest, percent } from "../numbers.js";
import { button } from "./controls.js";
import { h } from "./dom.js";
import { fixed, roughly } from "./format.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../state.js").State} State
 *
 * @typedef {Object} Step
 * @property {string} title
 * @property {(page: Page) => Child[]} words  of the page as the step shows it
 * @property {(page: Page) => Partial<State>} state
 * @property {string} [at]  what to look at
 * @property {(page: Page) => boolean} [needs]  what the page must have for this step
 */

const PLAIN = {
  position: -1,
  level: /** @type {const} */ ("model"),
  part: "",
  run: -1,
  number: -1,
  target: "",
  temperature: 1,
  topK: 0,
  topP: 1,
  changes: noChanges(),
};

/** @param {Page} page */
const hasTruth = (page) =>
  page.grammar !== null && knows(page, "the dogs by the pond") && knows(page, "seven ducks swims");

/**
 * @param {Page} page
 * @param {string} text
 */
function knows(page, text) {
  return page.tokenizer.encode(text).unknown.length === 0;
}

/**
 * A sentence to show something with: the given one if the model knows its words.
 *
 * @param {Page} page
 * @param {string} text
 */
function sentence(page, text) {
  return knows(page, text) ? text : (page.data.sentences?.[0] ?? "");
}

/** @type {Step[]} */
const STEPS = [
  {
    title: "A whole language model",
    state: (page) => ({ ...PLAIN, view: "next", text: sentence(page, "seven ducks") }),
    at: "#text",
    words: (page) => [
      `This page holds a complete GPT, small enough to look at: ${page.data.tokenizer.tokens.length} tokens, ${page.model.config.n_layer} layers, and it runs right here. It does what the large ones do: it guesses what comes next. Type something else at the top whenever you like; the tour waits.`,
    ],
  },
  {
    title: "It only knows numbers",
    state: (page) => ({ ...PLAIN, view: "next", text: sentence(page, "seven ducks") }),
    at: ".tokens",
    words: (page) => [
      `Each ${page.unit} becomes a number, its place in a list. These are the model\u2019s tokens. A ${page.unit} that is not in the list cannot be read. \u201cStart\u201d is a token, too: it tells the model that a sentence begins.`,
    ],
  },
  {
    title: "A guess is a list of probabilities",
    state: (page) => ({ ...PLAIN, view: "next", text: sentence(page, "seven ducks") }),
    at: ".bars",
    words: (page) => [
      `Not one word, but a probability for every word: ${bestSays(page)}. Choose one to go on with it.`,
    ],
  },
  {
    title: "Then a die decides",
    state: (page) => ({
      ...PLAIN,
      view: "next",
      text: sentence(page, "seven ducks"),
      temperature: 0.6,
    }),
    at: ".die",
    words: (page) => [
      "Press ",
      h("b", `Draw a ${page.unit}`),
      " a few times. Chance chooses, but likely words are chosen more often. The temperature, now at 0.60, makes likely words likelier still: the pale outlines are what the model itself says.",
    ],
  },
  {
    title: "Here, the truth is known",
    needs: hasTruth,
    state: () => ({ ...PLAIN, view: "truth", text: "seven ducks swims" }),
    at: ".notice",
    words: (page) => [
      `\u201cSeven ducks swims\u201d is wrong, and the page knows it: the grammar that wrote the training text never says so. Nobody told the model any rule; it gave \u201cswims\u201d ${wordShare(page, 2)}.`,
    ],
  },
  {
    title: "How does it know?",
    state: (page) => ({
      ...PLAIN,
      view: "attention",
      text: sentence(page, "the dogs by the pond"),
      ...lookingHead(page),
    }),
    at: ".arcs",
    words: (page) =>
      hasTruth(page)
        ? [
            "After \u201cthe dogs by the pond\u201d the verb must fit ",
            h("b", "dogs"),
            ", not \u201cpond\u201d. This head looks back to find them: ",
            h("b", `${roughly(weightOnNoun(page))}`),
            " of its attention at \u201cpond\u201d is on \u201cdogs\u201d. Nobody built that in; the training did.",
          ]
        : [
            "To guess well, the model must look back. Each arc is a look; the thicker, the more attention. Try the other heads: each has learned to look for something else.",
          ],
  },
  {
    title: "Take that head away",
    needs: hasTruth,
    state: (page) => ({
      ...PLAIN,
      view: "change",
      text: "the dogs by the pond",
      changes: { ...noChanges(), heads: new Set([headKey(page)]) },
    }),
    at: "[data-tour=after]",
    words: (page) => [
      `Is that head really needed? It is switched off now. ${afterKnockOut(page)} Look at the pairs of sentences, too: what else did it forget?`,
    ],
  },
  {
    title: "The way through the model",
    state: (page) => ({ ...PLAIN, view: "map", text: sentence(page, "seven ducks") }),
    at: ".map",
    words: () => [
      "Everything is put back. These are the stops on a word\u2019s way to a guess. Each strip shows the actual numbers there. Layers can be opened, and so can the heads inside them.",
    ],
  },
  {
    title: "Down to a single number",
    state: (page) => ({
      ...PLAIN,
      view: "map",
      text: sentence(page, "seven ducks"),
      part: "logits",
      number: bestNext(page),
    }),
    at: ".inspector",
    words: () => [
      "This is one of the numbers: the score of the likeliest next word. The card shows how it was computed, with the actual numbers. Each number that went into it can be opened in turn, down to the weights. Escape takes you back.",
    ],
  },
  {
    title: "Learning is going backward",
    state: (page) => ({
      ...PLAIN,
      view: "backward",
      text: sentence(page, "seven ducks"),
    }),
    at: ".map",
    words: (page) => [
      `Suppose \u201c${page.next(page.target)}\u201d is right. The loss is ${fixed(page.loss.loss.data[0])}: minus the logarithm of its probability. Going backward tells every number how it should have differed; the redder a box, the more it matters. Training does this thousands of times.`,
    ],
  },
  {
    title: "A guess takes shape",
    state: (page) => ({ ...PLAIN, view: "lens", text: sentence(page, "the dogs by the pond") }),
    at: ".lens",
    words: () => [
      "Made to speak early, the model is often wrong. Follow the last column: each layer corrects something.",
    ],
  },
  {
    title: "How it learned all this",
    needs: (page) => page.data.film !== null,
    state: () => ({ ...PLAIN, view: "film", snapshot: 0 }),
    at: "#view",
    words: () => [
      "At first, all weights were random. Move the slider through the training and watch words that are used alike come together, attention find its places, and sentences become right.",
    ],
  },
  {
    title: "Now it is yours",
    state: (page) => ({ ...PLAIN, view: "change", text: sentence(page, "seven ducks") }),
    at: "#text",
    words: () => [
      "Type your own sentences, switch things off, follow numbers. The address of the page holds all that you chose: a copied link shows others exactly what you see. And there is a book that builds all of this from nothing, number by number: LLMs, the Hard Way.",
    ],
  },
];

/** @param {Page} page */
function stepsOf(page) {
  return STEPS.filter(({ needs }) => !needs || needs(page));
}

// ---------------------------------------------------------------- what the words quote

/** @param {Page} page */
function bestNext(page) {
  const { positions } = page.readingOf(sentence(page, "seven ducks"));
  return largest(positions[positions.length - 1].logits.data);
}

/** @param {Page} page */
function afterKnockOut(page) {
  const [now, before] = [page.here, page.original.positions[page.position]].map((at) =>
    page.next(largest(at.probabilities.data)),
  );
  const still = now === before ? "still" : "now";
  return `After ${page.quoted} the model ${still} says \u201c${now}\u201d first; as trained it says \u201c${before}\u201d.`;
}

/** @param {Page} page */
function bestSays(page) {
  const p = page.here.probabilities.data;
  const id = largest(p);
  return `\u201c${page.next(id)}\u201d is the likeliest, at ${percent(p[id])}`;
}

/**
 * What the model gave the word after a position.
 *
 * @param {Page} page
 * @param {number} position
 */
function wordShare(page, position) {
  const at = page.original.positions[position];
  return at && page.sentence.ids[position + 1]
    ? percent(at.probabilities.data[page.sentence.ids[position + 1]])
    : "very little";
}

/**
 * The head that looks most from "pond" to "dogs".
 *
 * @param {Page} page
 */
function lookingHead(page) {
  if (!hasTruth(page)) return { layer: 0, head: 0 };
  const { layers } = page.readingOf("the dogs by the pond").positions[5];
  const all = layers.flatMap(({ heads }, layer) =>
    heads.map(({ weights }, head) => ({ layer, head, weight: weights.data[2] })),
  );
  const { layer, head } = all.reduce((best, other) => (other.weight > best.weight ? other : best));
  return { layer, head };
}

/** @param {Page} page */
function headKey(page) {
  const { layer, head } = lookingHead(page);
  return `${layer}.${head}`;
}

/** @param {Page} page */
function weightOnNoun(page) {
  const { layer, head } = lookingHead(page);
  return page.readingOf("the dogs by the pond").positions[5].layers[layer].heads[head].weights
    .data[2];
}

// ---------------------------------------------------------------- the card

/**
 * The card of the present step; nothing if the reader is not on the tour.
 *
 * @param {Page} page
 * @returns {VNode | null}
 */
export function tourCard(page) {
  const steps = stepsOf(page);
  const n = Math.min(page.state.tour, steps.length);
  const step = steps[n - 1];
  if (!step) return null;
  return h(
    "aside.tour",
    { key: "tour", "aria-label": "Guided tour" },
    h(
      "div",
      { "aria-live": "polite", class: "words" },
      h(
        "h3",
        step.title,
        h("span.small.soft", ` ${n} of ${steps.length}`),
        away(page, step)
          ? button("Show it again", () => go(page, n), { class: "plain small" })
          : null,
      ),
      h("p", ...step.words(page).map((part) => (typeof part === "string" ? page.inUnits(part) : part))),
    ),
    h(
      "div.row",
      n > 1 ? button("Back", () => go(page, n - 1)) : null,
      n < steps.length
        ? button("Next", () => go(page, n + 1), { class: "main", "data-tour": "next" })
        : button("Done", () => page.set({ tour: 0 }), { class: "main" }),
      n < steps.length ? button("Leave", () => page.set({ tour: -n }), { class: "plain" }) : null,
    ),
  );
}

/**
 * Whether the reader has gone away from what a step shows.
 *
 * @param {Page} page
 * @param {Step} step
 */
function away(page, step) {
  const { view, text } = step.state(page);
  return view !== page.state.view || text !== page.state.text;
}

/**
 * Go to a step, counted from 1.
 *
 * @param {Page} page
 * @param {number} n
 */
function go(page, n) {
  const step = stepsOf(page)[n - 1];
  page.memory.trail = [];
  page.set({ ...step.state(page), tour: n });
  leadTheEyeTo(step.at);
}

/** Lead the eye to an element. @param {string} [selector] */
function leadTheEyeTo(selector) {
  const element = selector && document.querySelector(selector);
  if (!element) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  const ring = [
    { outline: "4px solid var(--truth)", outlineOffset: "8px" },
    { outline: "4px solid transparent", outlineOffset: "2px" },
  ];
  if (!still) element.animate(ring, { duration: 1800, easing: "ease-in" });
}

/**
 * The button that begins the tour or takes it up where it was left.
 *
 * @param {Page} page
 * @returns {VNode | null}
 */
export function tourButton(page) {
  const { tour } = page.state;
  if (tour > 0) return null;
  const name = tour ? `Go on with the tour (step ${-tour})` : "Take the tour";
  return button(name, () => go(page, Math.max(1, Math.min(-tour || 1, stepsOf(page).length))), {
    class: tour ? "" : "main",
    key: "tour",
  });
}
