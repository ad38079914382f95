/** Change it: switch off heads, MLPs, positions; edit weights; and see at once what that does. */

import { format, percent } from "../numbers.js";
import { weightsThatMattered } from "../paths.js";
import { headName } from "./page.js";
import { barRow } from "./bars.js";
import { button, heading, slider } from "./controls.js";
import { h, roving } from "./dom.js";
import { costsOfHeads, effectsOf } from "./effects.js";
import { count, fixed, signed } from "./format.js";
import { countChanges } from "../state.js";
import { headPicture, headsOf } from "./heads.js";
import { weightPicker, weightShown } from "./weights.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../gpt.js").Changes} Changes
 * @typedef {import("../gpt.js").Trace} Trace
 */

/**
 * @param {Page} page
 * @returns {Child[]}
 */
export function changeView(page) {
  return [
    heading(
      "What if a part were missing?",
      "Switch a part off, or change a number, and see what the model can no longer do. That is how one finds out what a part is for. Nothing breaks: everything can be undone.",
    ),
    measures(page),
    h(
      "div.columns.wide-right",
      { key: "columns" },
      h(
        "div.stack",
        { key: "controls" },
        experiments(page),
        headSwitches(page),
        layerSwitches(page),
        temperature(page),
        weightEditor(page),
        undoing(page),
      ),
      h(
        "div.stack",
        { key: "effects", "aria-live": "off" },
        beforeAndAfter(page),
        pairsBoard(page),
      ),
    ),
  ];
}

/**
 * @param {Page} page
 * @param {Partial<Changes>} part
 */
function change(page, part) {
  page.set({ changes: { ...page.state.changes, ...part } });
}

/**
 * Return a set with an element more, or less if it was in it.
 *
 * @template T
 * @param {Set<T>} set
 * @param {T} element
 */
function toggled(set, element) {
  const other = new Set(set);
  if (!other.delete(element)) other.add(element);
  return other;
}

// ---------------------------------------------------------------- the controls

/** @param {Page} page */
function experiments(page) {
  const lastMlp = page.model.config.n_layer - 1;
  const all = new Set(headsOf(page).map(keyOf));
  const { changes } = page.state;
  return h(
    "div",
    { key: "experiments" },
    h("h3", "Try"),
    h(
      "div.choices",
      button("No positions", () => change(page, { positions: !changes.positions })),
      button("No attention at all", () =>
        change(page, { heads: changes.heads.size === all.size ? new Set() : all }),
      ),
      button(`No MLP in layer ${lastMlp}`, () =>
        change(page, { mlps: toggled(changes.mlps, lastMlp) }),
      ),
      button("Blurred attention", () => change(page, { attentionTemperature: 4 })),
    ),
  );
}

/**
 * A switch: on, or off by the reader's change.
 *
 * @param {string} key
 * @param {Child[]} name
 * @param {string} says
 * @param {boolean} isOn
 * @param {() => void} click
 * @param {number} [tabindex]
 * @param {Child} [more]  below the name
 */
function switchOf(key, name, says, isOn, click, tabindex = 0, more = null) {
  const state = h("span.state", { "aria-hidden": "true" }, isOn ? "on" : "off");
  return button([...name, state, more], click, {
    key,
    class: `switch${isOn ? "" : " off"}`,
    role: "switch",
    "aria-checked": String(isOn),
    "aria-label": says,
    tabindex,
  });
}

/**
 * Name a head as the changes do.
 *
 * @param {import("./heads.js").Head} head
 */
function keyOf({ layer, head }) {
  return `${layer}.${head}`;
}

/** @param {Page} page */
function headSwitches(page) {
  const { n_head } = page.model.config;
  const costs = costsOfHeads(page);
  const what = page.truth(page.position) ? "the distance from the truth" : "the loss";
  return h(
    "div",
    { key: "heads" },
    h("h3", "Heads of attention"),
    h(
      "div.switches",
      {
        style: { "--columns": n_head },
        role: "group",
        "aria-label": "Heads",
        on: { keydown: roving("button", n_head) },
      },
      headsOf(page).map((head, i) => headSwitch(page, head, i, costs?.[i])),
    ),
    h(
      "p.soft.small",
      `Each picture shows where a head looks; there is a row for each layer. The number is how much ${what} of the next word after ${page.quoted} would grow with that head alone switched off.`,
    ),
  );
}

/**
 * @param {Page} page
 * @param {import("./heads.js").Head} head
 * @param {number} i
 * @param {number} [cost]
 */
function headSwitch(page, head, i, cost) {
  const { heads } = page.state.changes;
  const key = keyOf(head);
  const picture = headPicture(page.original.positions, head);
  const says = cost === undefined ? "\u2026" : signed(cost, 2);
  const weighs = h("b", { class: `cost${cost && cost > 0.1 ? " of-wrong" : ""}` }, says);
  const toggle = () => change(page, { heads: toggled(heads, key) });
  const name = cost === undefined ? headName(key) : `${headName(key)}, ${says} without it`;
  return switchOf(
    key,
    [picture, `${head.head}`],
    name,
    !heads.has(key),
    toggle,
    i ? -1 : 0,
    weighs,
  );
}

/** @param {Page} page */
function layerSwitches(page) {
  const { mlps, positions } = page.state.changes;
  return h(
    "div",
    { key: "layers" },
    h("h3", "MLPs and positions"),
    h(
      "div.row",
      Array.from({ length: page.model.config.n_layer }, (_, layer) =>
        switchOf(`mlp ${layer}`, [`MLP ${layer} `], `MLP of layer ${layer}`, !mlps.has(layer), () =>
          change(page, { mlps: toggled(mlps, layer) }),
        ),
      ),
      switchOf("positions", ["Positions "], "Positions", !positions, () =>
        change(page, { positions: !positions }),
      ),
    ),
  );
}

/** @param {Page} page */
function temperature(page) {
  const value = page.state.changes.attentionTemperature;
  const says =
    value === 1
      ? "As trained."
      : value < 1
        ? "Sharper: each head looks at fewer words."
        : "Blurred: each head looks at more words.";
  return slider({
    name: "Temperature of attention",
    value: Math.log2(value),
    shown: fixed(value, 2),
    min: -3,
    max: 4,
    step: 0.25,
    says,
    set: (x) => change(page, { attentionTemperature: Number((2 ** x).toFixed(3)) }),
  });
}

/** @param {Page} page */
function weightEditor(page) {
  const { name, row, col, matrix } = weightShown(page);
  const key = `${name}[${row}][${col}]`;
  const trained = matrix.data[row * matrix.cols + col];
  const now = page.state.changes.weights.get(key) ?? trained;
  const edit = (/** @type {any} */ event) =>
    Number.isFinite(event.target.valueAsNumber) &&
    editWeight(page, key, event.target.valueAsNumber);
  return h(
    "div",
    { key: "weight" },
    h("h3", "One weight"),
    weightPicker(
      page,
      { name, row, col },
      h(
        "label.small",
        { key: "value" },
        "value",
        h("input", {
          type: "number",
          step: "any",
          value: String(Number(now.toPrecision(6))),
          on: { change: edit },
        }),
      ),
    ),
    h(
      "p.soft.small",
      `The training made it ${format(trained)}. `,
      weightMatters(page, name, row * matrix.cols + col),
      now === trained
        ? ""
        : button("As trained", () => editWeight(page, key, trained), { class: "plain" }),
    ),
    button("The weight that matters most here", () => page.set({ weight: heaviest(page) }), {
      class: "small",
    }),
  );
}

/**
 * Say what a weight means for the next word that counts as right.
 *
 * @param {Page} page
 * @param {string} name
 * @param {number} index
 */
function weightMatters(page, name, index) {
  const { trace } = page.loss;
  const run = /** @type {import("../graph.js").Run} */ (trace.parameters.get(name));
  const change = -0.01 * run.data[index] * (run.grad?.[index] ?? 0);
  const next = `${page.quoted} goes on with \u201c${page.next(page.target)}\u201d`;
  if (Math.abs(change) < 1e-7) return `If ${next}, it hardly matters to the loss. `;
  return `If ${next}, making it 1\u00a0% smaller changes the loss by ${signed(change, 5)}. `;
}

/**
 * @param {Page} page
 * @param {string} key
 * @param {number} value
 */
function editWeight(page, key, value) {
  const weights = new Map(page.state.changes.weights);
  const { matrix, row, col } = weightShown(page);
  if (value === matrix.data[row * matrix.cols + col]) weights.delete(key);
  else weights.set(key, value);
  change(page, { weights });
}

/**
 * The weight that matters most for the word that counts as right.
 *
 * @param {Page} page
 */
function heaviest(page) {
  const [{ name, row, col }] = weightsThatMattered(page.loss.trace.parameters, 1);
  return `${name}[${row}][${col}]`;
}

/** @param {Page} page */
function undoing(page) {
  const n = countChanges(page.state.changes);
  return h(
    "div.row",
    { key: "undoing" },
    button("Undo", () => page.store.undo(), {
      disabled: page.store.past.length === 0,
      title: "Ctrl+Z",
    }),
    button("Put everything back", () => page.putBack(), { disabled: n === 0 }),
  );
}

// ---------------------------------------------------------------- what it does

/** @param {Page} page */
function measures(page) {
  const [before, after] = [effectsOf(page), effectsOf(page, page.state.changes)];
  const right = (/** @type {import("./effects.js").Effects | null} */ effects) =>
    effects && effects.pairs.length ? effects.pairs.filter(({ right }) => right).length : null;
  return h(
    "div.measures",
    { key: "measures" },
    measure(
      "Loss of this sentence",
      `nats per ${page.unit}, averaged over its ${count(page.sentence.read.length, page.unit)}; lower is better`,
      meanLoss(page, page.original),
      meanLoss(page, page.trace),
      1,
    ),
    page.grammar
      ? measure(
          "Distance from the truth",
          `nats per word, on ${count(page.data.sentences.length, "other sentence")}`,
          before && before.gap,
          after && after.gap,
          1,
        )
      : null,
    page.data.pairs
      ? measure(
          "Minimal pairs right",
          `of ${page.data.pairs.length}`,
          right(before),
          right(after),
          -1,
          0,
        )
      : null,
  );
}

/**
 * @param {Page} page
 * @param {Trace} trace
 */
function meanLoss(page, trace) {
  const targets = page.sentence.ids.slice(1);
  if (!targets.length) return null;
  const losses = targets.map((id, i) => -Math.log(trace.positions[i].probabilities.data[id]));
  return losses.reduce((sum, loss) => sum + loss) / losses.length;
}

/**
 * A number before and after.
 *
 * @param {string} name
 * @param {string} unit
 * @param {number | null} before
 * @param {number | null} after
 * @param {1 | -1} worse  whether more is worse
 * @param {number} [digits]
 */
function measure(name, unit, before, after, worse, digits = 3) {
  const difference = before === null || after === null ? 0 : after - before;
  const sign =
    Math.abs(difference) < 0.5 * 10 ** -digits
      ? ""
      : difference * worse > 0
        ? "of-wrong"
        : "of-better";
  return h(
    "div.card",
    { key: name },
    h("p.small.soft", name),
    h(
      "p.big",
      { role: "status" },
      after === null ? "\u2026" : fixed(after, digits),
      h("span", { class: `difference ${sign}` }, sign ? ` ${signed(difference, digits)}` : ""),
    ),
    h("p.small.soft", unit, before === null ? "" : `; as trained ${fixed(before, digits)}`),
  );
}

/** @param {Page} page */
function beforeAndAfter(page) {
  const before = page.original.positions[page.position].probabilities.data;
  const after = page.here.probabilities.data;
  const order = [...after.keys()]
    .sort((a, b) => Math.max(after[b], before[b]) - Math.max(after[a], before[a]))
    .slice(0, 8);
  const most = Math.max(...order.map((id) => Math.max(before[id], after[id])));
  return h(
    "div",
    {
      key: "bars",
      "data-tour": "after",
      role: "group",
      "aria-label": `Next word after ${page.quoted}, with the changes and as trained`,
    },
    h("h3", `After ${page.quoted}`),
    h(
      "div.legend",
      { "aria-hidden": "true" },
      h("span", "with your changes"),
      h("span.pale", "as trained"),
    ),
    order.map((id) =>
      barRow(page.next(id), { own: before[id] / most, now: after[id] / most }, [
        percent(after[id]),
        h("span.unseen", `, as trained ${percent(before[id])}`),
      ]),
    ),
  );
}

/** @param {Page} page */
function pairsBoard(page) {
  const effects = effectsOf(page, page.state.changes) ?? effectsOf(page);
  if (!effects || !effects.pairs.length) return null;
  const kinds = [...new Set(effects.pairs.map(({ kind }) => kind))];
  return h(
    "div",
    { key: "pairs" },
    h("h3", "What it still knows"),
    h(
      "p.soft.small",
      "Each dot is a pair of sentences: one right, one with a single mistake. A filled dot means that the model finds the right one more likely.",
    ),
    h(
      "div.kinds",
      kinds.map((kind) =>
        kindRow(
          kind,
          effects.pairs.filter((pair) => pair.kind === kind),
        ),
      ),
    ),
  );
}

/**
 * @param {string} kind
 * @param {import("./effects.js").Judged[]} pairs
 */
function kindRow(kind, pairs) {
  const right = pairs.filter((pair) => pair.right).length;
  const example = `\u201c${pairs[0].good}\u201d, not \u201c${pairs[0].bad}\u201d`;
  return h(
    "div.kind",
    { key: kind, role: "img", "aria-label": `${kind}: ${right} of ${pairs.length} right` },
    h("span", { title: example }, kind),
    h(
      "span.dots",
      pairs.map(({ good, bad, right }, i) =>
        h("i", { key: `${i}`, class: right ? "right" : "wrong", title: `${good} / ${bad}` }),
      ),
    ),
    h("span.small.soft", example),
  );
}
