/** Controls that several views have: sliders, choices, links that are states. */

import { h } from "./dom.js";
import { toHash } from "../state.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../state.js").State} State
 */

/**
 * A slider with its value and a line that says what it does.
 *
 * @param {{name: string, value: number, shown: string, says: string, min: number, max: number, step: number, set: (x: number) => void}} slider
 * @returns {VNode}
 */
export function slider({ name, value, shown, says, min, max, step, set }) {
  const on = { input: (/** @type {any} */ event) => set(Number(event.target.value)) };
  return h(
    "label.slider",
    { key: name },
    h("span.row", h("span", name), h("span.shown", shown)),
    h("input", {
      type: "range",
      min,
      max,
      step,
      value: String(value),
      on,
      "aria-valuetext": shown,
      "data-name": name,
    }),
    h("span.says", says),
  );
}

/**
 * A row of buttons of which one is chosen.
 *
 * @template T
 * @param {string} label
 * @param {{value: T, name: string}[]} options
 * @param {T} chosen
 * @param {(value: T) => void} choose
 * @returns {VNode}
 */
export function choices(label, options, chosen, choose) {
  return h(
    "div.choices",
    { role: "group", "aria-label": label },
    options.map(({ value, name }) =>
      h(
        "button",
        {
          type: "button",
          key: name,
          "aria-pressed": String(value === chosen),
          on: { click: () => choose(value) },
        },
        name,
      ),
    ),
  );
}

/**
 * A button. If it has a label for screen readers, that says all that there is to see in it.
 *
 * @param {import("./dom.js").Children} name
 * @param {() => void} click
 * @param {import("./dom.js").Props} [props]
 * @returns {VNode}
 */
export function button(name, click, props = {}) {
  const shown = props["aria-label"] ? [name].flat().map(silent) : name;
  return h("button", { type: "button", ...props, on: { ...props.on, click } }, shown);
}

/** @param {import("./dom.js").Child} child */
function silent(child) {
  if (typeof child !== "object" || child === null) return child;
  return { ...child, props: { ...child.props, "aria-hidden": "true" } };
}

/**
 * A link to another state of this page.
 *
 * @param {Page} page
 * @param {Partial<State>} part
 * @param {import("./dom.js").Children} text
 * @param {import("./dom.js").Props} [props]
 * @returns {VNode}
 */
export function linkTo(page, part, text, props = {}) {
  const click = (/** @type {MouseEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    page.set(part);
  };
  return h(
    "a",
    { ...props, href: `#${toHash({ ...page.state, ...part })}`, on: { click } },
    ...[text].flat(),
  );
}

/**
 * A heading with the view's one idea, and a few sentences about it.
 *
 * @param {string} title
 * @param {...import("./dom.js").Children} lead
 * @returns {VNode}
 */
export function heading(title, ...lead) {
  return h("header", { key: "heading" }, h("h2", title), h("p.lead", ...lead));
}

/**
 * A word of the sentence or the vocabulary, set as such.
 *
 * @param {string} word
 * @returns {VNode}
 */
export function wordOf(word) {
  return h("span.word", word);
}

/**
 * A figure with the same in words for those who do not see it.
 *
 * @param {string} says
 * @param {import("./dom.js").Props} props
 * @param {...import("./dom.js").Children} children
 * @returns {VNode}
 */
export function figure(says, props, ...children) {
  return h("div", { role: "group", "aria-label": says, ...props }, ...children);
}

/**
 * Handlers by which pointing at an element, or moving the focus to it, reveals something: its name
 * is in the page's memory as `pointed` meanwhile.
 *
 * @param {Page} page
 * @param {string} name
 */
export function revealing(page, name) {
  const show = () => point(page, name);
  const hide = () => page.memory.pointed === name && point(page, "");
  return { mouseenter: show, focus: show, mouseleave: hide, blur: hide };
}

/**
 * @param {Page} page
 * @param {string} name
 */
function point(page, name) {
  if ((page.memory.pointed ?? "") === name) return;
  page.memory.pointed = name;
  setTimeout(page.draw); // the focus may move while the page is drawn
}
