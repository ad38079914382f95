/** The page: its frame, its views, and how it follows the reader's choices and the address. */

import { changesWithin, fromHash, START, Store, toHash } from "./state.js";
import { showKeptTheme, showNextTheme, themeNow, whenSystemChanges } from "./theme.js";
import { attentionView } from "./views/attention.js";
import { changeView } from "./views/change.js";
import { button, linkTo } from "./views/controls.js";
import { h, keepingInView, render } from "./views/dom.js";
import { whole } from "./views/format.js";
import { lensView } from "./views/lens.js";
import { leaveLevel, mapView } from "./views/map.js";
import { nextView } from "./views/next.js";
import { Page } from "./views/page.js";
import { sentenceView } from "./views/sentence.js";
import { tourButton, tourCard } from "./views/tour.js";
import { trainingView } from "./views/training.js";
import { truthView } from "./views/truth.js";

/**
 * @typedef {import("./views/dom.js").VNode} VNode
 * @typedef {import("./views/dom.js").Child} Child
 * @typedef {{name: string, title: string, view: (page: Page) => Child[], needsTruth?: boolean}} View
 */

/** @type {View[]} */
const VIEWS = [
  { name: "next", title: "Next word", view: nextView },
  { name: "truth", title: "Truth", view: truthView, needsTruth: true },
  { name: "attention", title: "Attention", view: attentionView },
  { name: "map", title: "Every number", view: mapView },
  { name: "backward", title: "Gradients", view: mapView },
  { name: "lens", title: "Layer by layer", view: lensView },
  { name: "change", title: "Change it", view: changeView },
  { name: "film", title: "Training", view: trainingView },
];

/** @param {Page} page */
function everything(page) {
  const view = VIEWS.find(({ name }) => name === page.state.view) ?? VIEWS[0];
  return [
    top(page),
    sentenceView(page),
    navigation(page, view),
    h(
      "main",
      { key: view.name, id: "view", tabindex: -1, "aria-label": view.title },
      ...view.view(page),
    ),
    bottom(page),
    tourCard(page),
  ];
}

/** @param {Page} page */
function top(page) {
  const numbers = page.remember("size", "", () =>
    [...page.model.parameters.values()].reduce((n, { data }) => n + data.length, 0),
  );
  return h(
    "header.top",
    { key: "top" },
    h("h1", "See inside a GPT"),
    h(
      "p.facts",
      `A language model of ${whole(numbers)} numbers, all of them here to see and to change.`,
    ),
    tourButton(page),
    button(
      [THEME_SIGNS[themeNow()], h("span.theme-name", ` ${themeNow()}`)],
      () => {
        showNextTheme();
        page.draw();
      },
      { class: "plain", "aria-label": `Colours: ${themeNow()}`, key: "theme" },
    ),
  );
}

/** @param {Page} page */
function bottom(page) {
  const key = (/** @type {string} */ name) => h("kbd", name);
  return h(
    "footer",
    { key: "bottom" },
    h(
      "p",
      "By keyboard: ",
      key("Tab"),
      " moves from part to part, the arrows within one, ",
      key("Enter"),
      " chooses, ",
      key("Esc"),
      " goes back a level, ",
      key("Ctrl+Z"),
      " takes back a change. The address of this page holds what you see: copy it to show it to others.",
    ),
    h("p", `llmhard ${page.data.version}: LLMs, the Hard Way.`),
  );
}

const THEME_SIGNS = { auto: "\u25d0", light: "\u25cb", dark: "\u25cf" };

/**
 * @param {Page} page
 * @param {View} now
 */
function navigation(page, now) {
  return h(
    "nav.views",
    { "aria-label": "Views", key: "views", draw: keepingInView("[aria-current]", now.name) },
    VIEWS.filter(({ needsTruth }) => page.grammar || !needsTruth).map(({ name, title }) =>
      linkTo(page, { view: name }, title, {
        key: name,
        "aria-current": name === now.name ? "page" : null,
      }),
    ),
  );
}

const PAUSE = 150; // milliseconds; browsers allow 200 addresses in 30 seconds

/**
 * Put the state into the address: at once, as a new entry of the history, if the view is another
 * one; else after a pause.
 *
 * @param {Page} page
 */
function writeAddress(page) {
  clearTimeout(page.memory.writing);
  const isOther = fromHash(location.hash).view !== page.state.view;
  if (isOther) putAddress(page, "pushState");
  else page.memory.writing = setTimeout(() => putAddress(page, "replaceState"), PAUSE);
}

/**
 * @param {Page} page
 * @param {"pushState" | "replaceState"} how
 */
function putAddress(page, how) {
  const hash = `#${toHash(page.state)}`;
  if (hash === (location.hash || "#")) return;
  try {
    history[how](null, "", hash);
  } catch {
    // In a frame without an address of its own (a notebook's srcdoc) the state is not kept there.
  }
}

/** Begin with another sentence if the model does not know these words. @param {Page} page */
function beginWithKnownWords(page) {
  const [first = ""] = page.data.sentences;
  if (page.tokenizer.encode(START.text).unknown.length) START.text = first;
}

function start() {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "");
  const root = /** @type {Element} */ (document.getElementById("page"));
  const store = new Store(fromHash(location.hash));
  const page = new Page(data, store);
  const fromAddress = () => {
    const state = fromHash(location.hash || (data.start ?? ""));
    return { ...state, changes: changesWithin(state.changes, page.model) };
  };
  document.title = ["See inside a GPT", data.title].filter(Boolean).join(": ");
  beginWithKnownWords(page);
  store.state = fromAddress();
  const draw = () => render(root, everything(page));
  page.draw = draw;
  store.subscriber = () => {
    draw();
    writeAddress(page);
  };
  window.addEventListener("popstate", () => page.set(fromAddress()));
  window.addEventListener("keydown", (event) => pressed(page, event));
  matchMedia("(max-width: 52rem)").addEventListener("change", draw);
  whenSystemChanges(draw);
  showKeptTheme();
  draw();
}

/**
 * Keys that work everywhere: Escape goes back a level, Ctrl+Z takes a change back.
 *
 * @param {Page} page
 * @param {KeyboardEvent} event
 */
function pressed(page, event) {
  const inField =
    event.target instanceof HTMLElement && event.target.matches("input:not([type=range]), select");
  if (event.key === "Escape" && ["map", "backward"].includes(page.state.view)) leaveLevel(page);
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && !inField) page.store.undo();
}

start();
