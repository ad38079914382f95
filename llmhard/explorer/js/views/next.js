/** The next word: the model's probabilities beside the truth, and what sampling makes of them. */

import { choose, probabilities } from "../sampling.js";
import { percent } from "../numbers.js";
import { track } from "./bars.js";
import { button, figure, heading, linkTo, slider } from "./controls.js";
import { h, roving } from "./dom.js";
import { count, exactly, fixed, listed } from "./format.js";
import { typed } from "./sentence.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 * @typedef {{id: number, name: string, own: number, now: number, cutBy: string | null, truth: number | null}} Candidate
 */

const SHOWN = 12;

/**
 * @param {Page} page
 * @returns {VNode[]}
 */
export function nextView(page) {
  const candidates = candidatesOf(page);
  return [
    heading(
      "What comes next?",
      "After ",
      h("b", page.quoted),
      ", the model gives each of its ",
      h("b", count(candidates.length, "token")),
      " a probability. ",
      page.grammar
        ? "The diamonds are the truth: a grammar wrote the sentences that the model learned from, so we know exactly how likely each word really is."
        : "That is all it does. Writing is choosing one of them, again and again.",
    ),
    h(
      "div.columns",
      { key: "columns" },
      h("div", { key: "left" }, legend(page), bars(page, candidates), rest(page, candidates)),
      h(
        "div.stack",
        { key: "right" },
        truthBox(page),
        writing(page, candidates),
        samplingControls(page, candidates),
      ),
    ),
  ];
}

/**
 * Everything that could come next, the likeliest first.
 *
 * @param {Page} page
 * @returns {Candidate[]}
 */
function candidatesOf(page) {
  const own = page.here.probabilities.data;
  const { p, cutBy } = probabilities(page.here.logits.data, page.state);
  const truth = page.truth(page.position);
  const all = [...own.keys()].map((id) => ({
    id,
    name: page.next(id),
    own: own[id],
    now: p[id],
    cutBy: cutBy[id],
    truth: truth && truth[id],
  }));
  return all.sort((a, b) => b.own - a.own);
}

/** @param {Page} page */
function legend(page) {
  const changed = isSampled(page);
  return h(
    "div.legend",
    { "aria-hidden": "true", key: "legend" },
    h("span", changed ? "with your settings" : "model"),
    changed ? h("span.pale", "the model itself") : null,
    page.grammar ? h("span.truth", "truth") : null,
  );
}

/** @param {Page} page */
function isSampled({ state }) {
  return state.temperature !== 1 || state.topK > 0 || state.topP < 1;
}

/**
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function bars(page, candidates) {
  const shown = shownOf(page, candidates);
  const most = Math.max(...shown.map(({ own, now, truth }) => Math.max(own, now, truth ?? 0)));
  const hasTruth = page.grammar !== null;
  return figure(
    barsSay(page, candidates),
    { key: "bars", on: { keydown: roving("button.bar") } },
    h(
      "div",
      { class: `bars${hasTruth ? "" : " no-truth"}` },
      h(
        "div.bar.heading",
        { "aria-hidden": "true", key: "heading" },
        h("span", "next"),
        h("span", ""),
        h("span.figure", "model"),
        hasTruth ? h("span.figure", "truth") : null,
      ),
      shown.map((candidate, i) => bar(page, candidate, most, i === 0)),
    ),
  );
}

/**
 * The candidates with a bar: the model's first ones, and what the truth has among its first.
 *
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function shownOf(page, candidates) {
  const n = page.memory.moreBars ? 48 : SHOWN;
  const byEither = [...candidates].sort(
    (a, b) => Math.max(b.own, b.truth ?? 0) - Math.max(a.own, a.truth ?? 0),
  );
  return byEither.slice(0, n).sort((a, b) => b.own - a.own);
}

/**
 * @param {Page} page
 * @param {Candidate} candidate
 * @param {number} most  the probability of a full bar
 * @param {boolean} first
 */
function bar(page, candidate, most, first) {
  const { id, name, own, now, cutBy, truth } = candidate;
  const actual = page.sentence.ids[page.position + 1] === id;
  return button(
    [
      h("span.name", name),
      track(
        { own: own / most, now: now / most, mark: truth && truth / most },
        cutBy ? h("span.cut-by", `cut by ${cutBy}`) : null,
      ),
      h("span.figure.of-model", percent(cutBy ? own : now)),
      page.grammar ? h("span.figure.of-truth", truth === null ? "\u2013" : exactly(truth)) : null,
    ],
    () => goOn(page, id),
    {
      key: `bar ${id}`,
      class: `bar${cutBy ? " cut" : ""}${actual ? " actual" : ""}`,
      tabindex: first ? 0 : -1,
      "aria-label": barSays(candidate),
      title: actual ? "The word in your sentence" : "Go on with this word",
    },
  );
}

/** @param {Candidate} candidate */
function barSays({ name, now, own, cutBy, truth }) {
  const model = cutBy ? `model ${percent(own)}, cut by ${cutBy}` : `model ${percent(now)}`;
  return `${name}: ${model}${truth === null ? "" : `, truth ${exactly(truth)}`}. Go on with it`;
}

/**
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function barsSay(page, candidates) {
  const first = candidates
    .slice(0, 5)
    .map(
      ({ name, own, truth }) =>
        `${name} ${percent(own)}${truth === null ? "" : ` (truth ${exactly(truth)})`}`,
    );
  return `Probabilities after ${page.quoted}: ${listed(first)}, and ${candidates.length - 5} others`;
}

/**
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function rest(page, candidates) {
  const shown = new Set(shownOf(page, candidates));
  const left = candidates.filter((candidate) => !shown.has(candidate));
  const total = left.reduce((sum, { own }) => sum + own, 0);
  const toggle = () => page.redraw({ moreBars: !page.memory.moreBars });
  return h(
    "p.soft.small.row",
    { key: "rest" },
    h("span", `The other ${left.length} share ${percent(total)}.`),
    button(page.memory.moreBars ? "Show fewer" : "Show more", toggle, { class: "plain" }),
  );
}

/** @param {Page} page */
function truthBox(page) {
  if (!page.grammar) return null;
  const gap = page.gap(page.position);
  if (gap === null) return h("div.card", { key: "truth" }, outside(page));
  return h(
    "div.card",
    { key: "truth" },
    h("div.measure", h("span.big", fixed(gap)), h("span", "nats from the truth")),
    h(
      "p.small.soft",
      "The Kullback\u2013Leibler divergence: 0 would mean that all bars end at their diamonds. ",
      linkTo(page, { view: "truth" }, "Word by word"),
    ),
  );
}

/** @param {Page} page */
function outside(page) {
  return [
    h(
      "p",
      "No sentence of the language begins with ",
      h("b", page.quoted),
      ", so there is no truth to compare with. The model guesses all the same.",
    ),
    linkTo(page, { view: "truth" }, "Where it went wrong"),
  ];
}

/**
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function writing(page, candidates) {
  const { ended, written = [] } = page.memory;
  const full =
    page.sentence.read.length >= page.model.config.block_size - 1 &&
    page.position === page.sentence.read.length;
  const isEnd = ended === page.state.text;
  return h(
    "div",
    { key: "writing" },
    h("h3", "Let it write"),
    h(
      "div.row",
      button(`Draw a ${page.unit}`, () => draw(page), { class: "main", disabled: full || isEnd }),
      button("Write to the end", () => writeOn(page), { disabled: full || isEnd }),
      button("Take back", () => takeBack(page), { disabled: page.position === 0 && !isEnd }),
    ),
    die(page, candidates),
    isEnd
      ? h(
          "p",
          { role: "status" },
          "The model chose ",
          h("b", "the end"),
          ": the sentence is done. ",
          button("Begin a new one", () => startOver(page, "")),
        )
      : null,
    written.length
      ? h(
          "ul.small.soft",
          { "aria-label": "Sentences written so far" },
          written
            .slice(-4)
            .map((/** @type {string} */ text, /** @type {number} */ i) =>
              h("li", { key: `${i} ${text}` }, text),
            ),
        )
      : null,
  );
}

/**
 * The last draw: all probabilities side by side, and where the random number fell.
 *
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function die(page, candidates) {
  const { drawn } = page.memory;
  /** @type {{name: string, p: number}[]} */
  const strip = drawn?.strip ?? stripOf(candidates);
  return h(
    "div",
    { key: "die" },
    h(
      "div.pointer",
      { "aria-hidden": "true" },
      drawn ? h("i", { style: { left: `${100 * drawn.at}%` } }) : null,
    ),
    h(
      "div.die",
      { "aria-hidden": "true" },
      strip.map(({ name, p }, i) =>
        h(
          "i",
          {
            class: name === drawn?.name ? "hit" : "",
            key: `${i}`,
            style: { width: `${100 * p}%` },
          },
          p > 0.09 ? name : "",
        ),
      ),
    ),
    h(
      "p.small.soft",
      { role: "status" },
      drawn
        ? `The random number ${fixed(drawn.at)} fell on \u201c${drawn.name}\u201d, after \u201c${drawn.after}\u201d.`
        : "All probabilities side by side. A random number between 0 and 1 points at one.",
    ),
  );
}

/**
 * @param {Candidate[]} candidates
 * @returns {{name: string, p: number}[]}
 */
function stripOf(candidates) {
  const some = candidates.filter(({ now }) => now > 0).slice(0, 24);
  return some.map(({ name, now }) => ({ name, p: now }));
}

/** @param {Page} page */
function draw(page) {
  const candidates = candidatesOf(page);
  const at = Math.random();
  const chosen =
    candidates[
      choose(
        candidates.map(({ now }) => now),
        () => at,
      )
    ];
  page.memory.drawn = {
    at,
    name: chosen.name,
    after: page.token(page.position),
    strip: stripOf(candidates),
  };
  goOn(page, chosen.id);
}

/** @param {Page} page */
function writeOn(page) {
  const { block_size } = page.model.config;
  do draw(page);
  while (page.memory.ended !== page.state.text && page.sentence.read.length < block_size - 1);
}

/**
 * Go on with a token after the position looked at.
 *
 * @param {Page} page
 * @param {number} id
 */
function goOn(page, id) {
  const words = page.beginning;
  if (id === 0) return end(page, words);
  page.memory.ended = undefined;
  typed(page, page.join([...words, page.data.tokenizer.tokens[id]]));
}

/**
 * @param {Page} page
 * @param {string[]} words
 */
function end(page, words) {
  const text = page.join(words);
  page.memory.ended = text;
  page.memory.written = [...(page.memory.written ?? []), text];
  typed(page, text);
}

/** @param {Page} page */
function takeBack(page) {
  const { ended, written = [] } = page.memory;
  if (ended === page.state.text)
    return page.redraw({ ended: undefined, written: written.slice(0, -1) });
  startOver(page, page.join(page.beginning.slice(0, -1)));
}

/**
 * @param {Page} page
 * @param {string} text
 */
function startOver(page, text) {
  page.memory.drawn = page.memory.ended = undefined;
  typed(page, text);
}

/**
 * @param {Page} page
 * @param {Candidate[]} candidates
 */
function samplingControls(page, candidates) {
  const { temperature, topK, topP } = page.state;
  const n = candidates.length;
  return h(
    "div",
    { key: "sampling" },
    h("h3", "How it chooses"),
    slider({
      name: "Temperature",
      value: temperature,
      shown: fixed(temperature, 2),
      min: 0,
      max: 2,
      step: 0.05,
      says: page.inUnits(temperatureSays(temperature)),
      set: (x) => page.set({ temperature: x }),
    }),
    slider({
      name: "Top-k",
      value: topK || 51,
      shown: topK ? String(topK) : "all",
      min: 1,
      max: 51,
      step: 1,
      says: topK
        ? `Only the ${topK} likeliest stay: ${count(cutCount(candidates, "top-k"), page.unit)} cut.`
        : `All ${n} stay.`,
      set: (x) => page.set({ topK: x > 50 ? 0 : x }),
    }),
    slider({
      name: "Top-p",
      value: topP,
      shown: fixed(topP, 2),
      min: 0.05,
      max: 1,
      step: 0.05,
      says:
        topP < 1
          ? `The likeliest that make up ${percent(topP)} stay: ${count(cutCount(candidates, "top-p"), page.unit)} cut.`
          : "All of the probability stays.",
      set: (x) => page.set({ topP: x }),
    }),
    isSampled(page)
      ? button("Back to the model itself", () => page.set({ temperature: 1, topK: 0, topP: 1 }))
      : null,
  );
}

/** @param {number} temperature */
function temperatureSays(temperature) {
  if (temperature === 0) return "Always the likeliest.";
  if (temperature === 1) return "The model's own probabilities.";
  return temperature < 1
    ? "Likely words become likelier: it plays safe."
    : "Unlikely words get a chance: it dares more.";
}

/**
 * @param {Candidate[]} candidates
 * @param {string} by
 */
function cutCount(candidates, by) {
  return candidates.filter(({ cutBy }) => cutBy === by).length;
}
