/** What mattered most for the loss: the path through the model, and the weights. */

import { format } from "../numbers.js";
import { pathThatMattered, weightsThatMattered } from "../paths.js";
import { linkTo } from "./controls.js";
import { h } from "./dom.js";
import { nameOfNumber, nameOfRun, weightName } from "./number.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../graph.js").Run} Run
 * @typedef {import("../paths.js").Step} PathStep
 */

const SHOWN_WEIGHTS = 8;

/**
 * Return the path that mattered most for the loss, remembered as long as the loss is the same.
 *
 * @param {Page} page
 * @returns {PathStep[]}
 */
export function pathOf(page) {
  const { loss } = page.loss;
  if (page.memory.pathOf !== loss)
    Object.assign(page.memory, { pathOf: loss, path: pathThatMattered(loss) });
  return page.memory.path;
}

/**
 * @param {Page} page
 * @returns {VNode}
 */
export function blame(page) {
  return h(
    "div.columns.even",
    { key: "blame" },
    h(
      "section",
      { key: "path", "aria-label": "The path that mattered most" },
      h("h3", "The path that mattered most"),
      h(
        "p.soft.small",
        "It starts at the loss and goes, from each number, to the input that matters most to it. The measure is gradient \u00d7 value: with the number 1\u00a0% smaller, the loss would fall by a hundredth of its measure.",
      ),
      h(
        "ol.path",
        stations(page).map((step, i) => station(page, step, i)),
      ),
    ),
    h(
      "section",
      { key: "weights", "aria-label": "The weights that mattered most" },
      h("h3", "The weights that mattered most"),
      h(
        "p.soft.small",
        "Of all the model\u2019s weights, the ones with the largest gradient \u00d7 value for this one guess.",
      ),
      weightTable(page),
    ),
  );
}

/**
 * The steps of the path, one for each part of the model that it passes.
 *
 * @param {Page} page
 */
function stations(page) {
  // Softmax's and the norms' own steps are left out; every number shown can be opened down to them.
  const parts = pathOf(page).filter(({ scalar }) => !scalar.run.what.name.includes(": "));
  return parts.filter(
    ({ scalar }, i, path) =>
      i === path.length - 1 || placeOf(scalar.run) !== placeOf(path[i + 1].scalar.run),
  );
}

/** @param {Run} run */
function placeOf({ what, op }) {
  return op === "parameter"
    ? what.name
    : `${what.part} ${what.position} ${what.layer} ${what.head}`;
}

/**
 * @param {Page} page
 * @param {PathStep} step
 * @param {number} i
 */
function station(page, { scalar, measure }, i) {
  const { run, index } = scalar;
  const name = `${nameOfRun(page, run)}${run.data.length > 1 ? `: ${nameOfNumber(page, run, index)}` : ""}`;
  return h(
    "li",
    { key: `${i}` },
    linkTo(page, { run: run.id, number: index }, name),
    " ",
    h("span.number.soft", `${format(scalar.data)} (measure ${format(measure, 3)})`),
  );
}

/** @param {Page} page */
function weightTable(page) {
  const { trace, loss } = page.loss;
  if (page.memory.weightsOf !== loss)
    Object.assign(page.memory, {
      weightsOf: loss,
      heavy: weightsThatMattered(trace.parameters, SHOWN_WEIGHTS),
    });
  return h(
    "div.scroll",
    h(
      "table.children-table",
      h(
        "thead",
        h(
          "tr",
          ["weight", "value", "gradient", "measure"].map((name) =>
            h("th", { scope: "col", key: name }, name),
          ),
        ),
      ),
      h(
        "tbody",
        page.memory.heavy.map((/** @type {import("../paths.js").Weight} */ weight) =>
          weightRow(page, weight),
        ),
      ),
    ),
  );
}

/**
 * @param {Page} page
 * @param {import("../paths.js").Weight} weight
 */
function weightRow(page, { name, row, col, data, grad, measure }) {
  const run = /** @type {Run} */ (page.loss.trace.parameters.get(name));
  const index = row * run.cols + col;
  return h(
    "tr",
    { key: weightName(run, index) },
    h(
      "th",
      { scope: "row" },
      linkTo(page, { run: run.id, number: index }, `${name}, ${nameOfNumber(page, run, index)}`),
    ),
    [data, grad, measure].map((x, i) => h("td.number", { key: `${i}` }, format(x))),
  );
}
