/** Attention: which earlier words each word looks at, as arcs, as a matrix, as the numbers. */

import { largest, percent } from "../numbers.js";
import { button, choices, figure, heading, linkTo, revealing, wordOf } from "./controls.js";
import { h, keepingInView, roving } from "./dom.js";
import { count, fixed, listed, roughly } from "./format.js";
import { hue } from "./page.js";
import { chosenHead, headColumns, headPicture, headsOf } from "./heads.js";
import { arc, cells } from "./svg.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../gpt.js").HeadTrace} HeadTrace
 */

/**
 * @param {Page} page
 * @returns {(VNode | null)[]}
 */
export function attentionView(page) {
  const { layer, head } = chosenHead(page);
  return [
    heading(
      `Which ${page.unit}s does it look at?`,
      "To guess what follows ",
      wordOf(page.token(page.position)),
      ", the model may look back at all that came before. Each of its ",
      h("b", count(headsOf(page).length, "head")),
      ` divides 100\u00a0% of its attention among them. Point at a ${page.unit} to see where that goes.`,
    ),
    gallery(page),
    h(
      "section",
      { key: "arcs", "aria-label": "Attention on the words" },
      h("h3", `Head ${head} of layer ${layer}`),
      story(page),
      arcs(page),
    ),
    h(
      "div",
      { key: "columns", class: `columns ${isDense(page) ? "wide-left" : "even"}` },
      h(
        "section",
        { key: "matrix", "aria-label": "Attention as a matrix" },
        matrixTitle(page),
        matrix(page),
      ),
      arithmetic(page),
    ),
  ];
}

/**
 * @param {Page} page
 * @param {number} [position]
 * @returns {HeadTrace}
 */
function headAt(page, position = page.position) {
  const { layer, head } = chosenHead(page);
  return page.trace.positions[position].layers[layer].heads[head];
}

/** @param {Page} page */
function gallery(page) {
  const now = chosenHead(page);
  const { n_head } = page.model.config;
  const style = headColumns(page);
  return h(
    "div.gallery",
    {
      key: "gallery",
      role: "group",
      "aria-label": "Heads",
      style,
      on: { keydown: roving("button", n_head) },
    },
    headsOf(page).map(({ layer, head }) => {
      const chosen = layer === now.layer && head === now.head;
      return button(
        [
          headPicture(page.trace.positions, { layer, head }),
          h("span", `Layer ${layer}, head ${head}`),
        ],
        () => page.set({ layer, head, number: -1 }),
        {
          key: `${layer}.${head}`,
          "aria-pressed": String(chosen),
          tabindex: chosen ? 0 : -1,
          "aria-label": `Layer ${layer}, head ${head}: ${looks(page, page.position, layer, head)}`,
        },
      );
    }),
  );
}

/**
 * Say where a head looks from a position: "62 % at seven, 30 % at ducks".
 *
 * @param {Page} page
 * @param {number} position
 * @param {number} layer
 * @param {number} head
 */
function looks(page, position, layer, head) {
  const weights = page.trace.positions[position].layers[layer].heads[head].weights.data;
  const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
  const first = order.slice(0, 3).filter((at, i) => i === 0 || weights[at] >= 0.01);
  return listed(first.map((at) => `${roughly(weights[at])} on \u201c${page.token(at)}\u201d`));
}

// ---------------------------------------------------------------- arcs

const SEEN = 0.005; // the least weight that has an arc

/**
 * The room for a word, in pixels: less if there are many.
 *
 * @param {Page} page
 */
function wordWidth(page) {
  const room = Math.min(1080, document.documentElement.clientWidth - 36);
  return Math.max(54, Math.min(104, room / page.trace.positions.length));
}

/** @param {Page} page */
function arcs(page) {
  const n = page.trace.positions.length;
  const width = n * wordWidth(page);
  const height = 30 + 24 * Math.min(n, 7);
  const { layer, head } = chosenHead(page);
  const says = `From ${page.token(page.position)}: ${looks(page, page.position, layer, head)}`;
  return figure(
    says,
    { class: "scroll", draw: keepingInView("[aria-pressed=true]", `${page.position} of ${n}`) },
    h(
      "div.arcs",
      { style: { width: `${width}px` } },
      h(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
        fainter(page, height),
        strong(page, height),
      ),
      h(
        "div.arc-words",
        { on: { keydown: roving("button") } },
        page.tokens.map((token, at) => arcWord(page, token, at)),
      ),
    ),
  );
}

/**
 * The position whose arcs are drawn strongly: the one pointed at, else the chosen one.
 *
 * @param {Page} page
 */
function pointedAt(page) {
  const [, at] = (page.memory.pointed ?? "").match(/^word (\d+)$/) ?? [];
  return at === undefined || Number(at) >= page.tokens.length ? page.position : Number(at);
}

/**
 * What the other words look at, faintly.
 *
 * @param {Page} page
 * @param {number} base
 */
function fainter(page, base) {
  return page.trace.positions.flatMap((_, from) =>
    from === pointedAt(page) ? [] : curves(page, from, base, 0.14),
  );
}

/**
 * @param {Page} page
 * @param {number} base
 */
function strong(page, base) {
  return curves(page, pointedAt(page), base, 0.9);
}

/**
 * @param {Page} page
 * @param {number} from
 * @param {number} base
 * @param {number} opacity
 */
function curves(page, from, base, opacity) {
  const wide = wordWidth(page);
  const middle = (/** @type {number} */ at) => (at + 0.5) * wide;
  return [...headAt(page, from).weights.data].map((weight, to) =>
    weight < SEEN
      ? null
      : h("path", {
          key: `${from} ${to}`,
          d: arc(middle(from), middle(to), base, 34 + 32 * Math.min(from - to, 6)),
          fill: "none",
          "stroke-linecap": "round",
          style: {
            stroke: to ? hue(to) : "var(--soft)",
            "stroke-width": `${(14 * weight).toFixed(2)}px`,
            opacity,
          },
        }),
  );
}

/**
 * @param {Page} page
 * @param {string} token
 * @param {number} at
 */
function arcWord(page, token, at) {
  const from = pointedAt(page);
  const weight = headAt(page, from).weights.data[at];
  const chosen = at === page.position;
  return button(
    [h("span", token), h("span.number.small", at > from ? "unseen" : roughly(weight))],
    () => page.set({ position: at, number: -1 }),
    {
      key: `word ${at}`,
      class: at > from ? "later" : "",
      on: revealing(page, `word ${at}`),
      "aria-pressed": String(chosen),
      tabindex: chosen ? 0 : -1,
      style: { width: `${wordWidth(page) - 8}px`, "--hue": at ? hue(at) : "var(--soft)" },
    },
  );
}

/** @param {Page} page */
function story(page) {
  const { layer, head } = chosenHead(page);
  return h(
    "p.soft",
    "At ",
    wordOf(page.token(pointedAt(page))),
    " this head puts ",
    h("b", looks(page, pointedAt(page), layer, head)),
    ". ",
    pointedAt(page) < page.trace.positions.length - 1
      ? page.inUnits("It cannot see the words after it. ")
      : "",
    linkTo(page, { view: "change" }, "What if this head were off?"),
  );
}

// ---------------------------------------------------------------- the matrix

const SHOWS = /** @type {const} */ ([
  { value: "weights", name: "Weights" },
  { value: "scores", name: "Scores" },
  { value: "mixture", name: "Mixture" },
]);

const EXPLAINED = {
  weights:
    "Each row is a word that is looking, each column a word it looks at. Every row adds up to 100\u00a0%.",
  scores:
    "Before softmax: how well the query of the row\u2019s word matches the key of the column\u2019s. The largest gets the most attention.",
  mixture:
    "What each word takes away: the values of the words it looks at, mixed in the shares of its row.",
};

/** @param {Page} page */
function matrixTitle(page) {
  const { show } = page.state;
  return h(
    "div",
    { key: "title" },
    choices("What the matrix shows", [...SHOWS], show, (show) => page.set({ show })),
    h("p.soft.small.says", page.inUnits(EXPLAINED[show] ?? "")),
  );
}

/** Whether the matrix is so large that its cells must be small. @param {Page} page */
function isDense(page) {
  return page.trace.positions.length > 8;
}

/** @param {Page} page */
function matrix(page) {
  return page.state.show === "mixture" ? mixtures(page) : table(page, page.state.show);
}

/**
 * @param {Page} page
 * @param {"weights" | "scores"} show
 */
function table(page, show) {
  const { layer, head } = chosenHead(page);
  return h(
    "div.scroll",
    { key: "table", draw: keepingInView("[aria-pressed=true]", `${page.position} ${lookedAt(page)}`) },
    h(
      "table",
      { class: `matrix${isDense(page) ? " dense" : ""} of-${page.unit}s`, on: { keydown: alongMatrix } },
      h(
        "caption.unseen",
        `Attention ${show} of head ${head} of layer ${layer}; rows look at columns`,
      ),
      h(
        "thead",
        h(
          "tr",
          h("td"),
          page.tokens.map((token, at) => h("th", { scope: "col", key: `${at}` }, token)),
        ),
      ),
      h(
        "tbody",
        page.tokens.map((token, row) => matrixRow(page, token, row, show)),
      ),
    ),
  );
}

/**
 * Move the focus from cell to cell: the cells of a row, those of the rows above and below.
 *
 * @param {KeyboardEvent} event
 */
function alongMatrix(event) {
  const cell = /** @type {HTMLElement} */ (event.target).closest("td");
  const row = cell?.parentElement;
  if (!cell || !row) return;
  const at = [...row.children].indexOf(cell);
  const rows = { ArrowUp: row.previousElementSibling, ArrowDown: row.nextElementSibling };
  const places = {
    ArrowLeft: cell.previousElementSibling,
    ArrowRight: cell.nextElementSibling,
    ArrowUp: rows.ArrowUp?.children[at],
    ArrowDown: rows.ArrowDown?.children[at],
  };
  const next = places[/** @type {keyof places} */ (event.key)]?.querySelector("button");
  if (!next) return;
  event.preventDefault();
  next.focus();
}

/**
 * @param {Page} page
 * @param {string} token
 * @param {number} row
 * @param {"weights" | "scores"} show
 */
function matrixRow(page, token, row, show) {
  const data = headAt(page, row)[show].data;
  return h(
    "tr",
    { key: `${row}`, class: row === page.position ? "now" : "" },
    h("th", { scope: "row" }, token),
    page.tokens.map((_, col) =>
      col > row
        ? h(
            "td",
            { key: `${col}`, class: "masked", title: page.inUnits("Masked: this word comes later") },
            h("span.unseen", "masked"),
          )
        : h("td", { key: `${col}` }, cell(page, row, col, data[col], show)),
    ),
  );
}

const DEEPEST = 50; // per cent of a tone on which text can still be read, in either theme

/**
 * @param {Page} page
 * @param {number} row
 * @param {number} col
 * @param {number} x
 * @param {"weights" | "scores"} show
 */
function cell(page, row, col, x, show) {
  const chosen = row === page.position && col === lookedAt(page);
  const share = show === "weights" ? x : Math.max(-1, Math.min(1, x / 8));
  const text = show === "weights" ? (100 * x).toFixed(0) : fixed(x, 1);
  const tone = share < 0 ? "--low" : show === "weights" ? "--model" : "--high";
  return button(text, () => page.set({ position: row, number: col }), {
    class: "cell",
    "aria-pressed": String(chosen),
    tabindex: chosen ? 0 : -1,
    style: { "--tone": `var(${tone})`, "--share": `${Math.round(DEEPEST * Math.abs(share))}%` },
    "aria-label": `${page.token(row)} looks at ${page.token(col)}: ${show === "weights" ? percent(x) : fixed(x, 2)}`,
  });
}

/**
 * The position that the chosen cell looks at: the one that was chosen, else that with most weight.
 *
 * @param {Page} page
 */
function lookedAt(page) {
  const { number, view } = page.state;
  return number >= 0 && number <= page.position && view === "attention"
    ? number
    : largest(headAt(page).weights.data);
}

/** @param {Page} page */
function mixtures(page) {
  const size = page.model.config.n_embd / page.model.config.n_head;
  const rows = page.trace.positions.map((_, at) => headAt(page, at).mix);
  const most = Math.max(...rows.flatMap(({ data }) => [...data].map(Math.abs)));
  return h(
    "div.mixtures",
    { key: "mixtures" },
    rows.map((run, at) =>
      h(
        "div.labelled",
        { key: `${at}` },
        h("span", page.token(at)),
        cells({
          key: "cells",
          says: `What ${page.token(at)} takes with it: ${size} numbers`,
          data: run.data,
          cols: size,
          most,
        }),
      ),
    ),
  );
}

// ---------------------------------------------------------------- one weight, in numbers

/** @param {Page} page */
function arithmetic(page) {
  const { layer, head } = chosenHead(page);
  const at = lookedAt(page);
  const { scores, weights } = headAt(page);
  const size = page.model.config.n_embd / page.model.config.n_head;
  const from = page.token(page.position);
  const to = page.token(at);
  const share = (/** @type {import("../graph.js").Run} */ run) =>
    run.data.subarray(head * size, (head + 1) * size);
  const { q } = page.here.layers[layer];
  const { k } = page.trace.positions[at].layers[layer];
  const total = [...scores.data].reduce((sum, x) => sum + Math.exp(x), 0);
  return h(
    "section.card.arithmetic",
    { key: "arithmetic", "aria-label": "One weight in numbers" },
    h("h3", `Why ${percent(weights.data[at])} from \u201c${from}\u201d to \u201c${to}\u201d?`),
    h(
      "div.labelled",
      h("span", `query of ${from}`),
      cells({ key: "q", says: `query: ${size} numbers`, data: share(q), cols: size }),
    ),
    h(
      "div.labelled",
      h("span", `key of ${to}`),
      cells({ key: "k", says: `key: ${size} numbers`, data: share(k), cols: size }),
    ),
    h(
      "p",
      "Multiply the two, number by number, add up the products, and divide by \u221a",
      size,
      ": the score is ",
      h("b.number", fixed(scores.data[at], 3)),
      ".",
    ),
    h(
      "p",
      "Softmax turns the scores of this row into shares: e",
      h("sup", fixed(scores.data[at], 2)),
      " = ",
      h("span.number", fixed(Math.exp(scores.data[at]), 3)),
      " of ",
      h("span.number", fixed(total, 3)),
      " is ",
      h("b", percent(weights.data[at])),
      ".",
    ),
    linkTo(page, { view: "map", run: weights.id, number: at }, "Open this number"),
  );
}
