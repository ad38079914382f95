/** The training as a film: the model at each snapshot, what it wrote, knew and attended to then. */

import { Film } from "../film.js";
import { read } from "../gpt.js";
import { format, percent } from "../numbers.js";
import { barRow, likeliest } from "./bars.js";
import { button, choices, figure, heading, slider } from "./controls.js";
import { h } from "./dom.js";
import { count, fixed, listed, roughly, whole } from "./format.js";
import { headColumns, headPicture, headsOf } from "./heads.js";
import { weightPicker, weightShown } from "./weights.js";

/**
 * @typedef {import("./dom.js").VNode} VNode
 * @typedef {import("./dom.js").Child} Child
 * @typedef {import("./page.js").Page} Page
 * @typedef {import("../film.js").Place} Place
 */

const FRAME = 700; // milliseconds of a snapshot when the film plays

/**
 * @param {Page} page
 * @returns {Child[]}
 */
export function trainingView(page) {
  if (!page.data.film) return [noFilm()];
  const film = filmOf(page);
  const at = snapshotOf(page, film);
  const lead =
    "At first all weights are random. Each step shows the model a few sentences and moves every weight a little, so that what it read becomes likelier. Move through the training and watch it learn.";
  return [
    heading("How it learned", lead),
    player(page, film, at),
    keptNotice(film, at),
    h("div.columns.even", { key: "top" }, curve(page, film, at), wrote(page, film, at)),
    h(
      "div.columns.even",
      { key: "middle" },
      wordMap(page, film, at),
      h("div.stack", knew(film, at), guesses(page, film, at)),
    ),
    attended(page, film, at),
    weightThrough(page, film, at),
  ];
}

function noFilm() {
  return heading(
    "How it learned",
    "This page was made without a film of the training. A film is kept with ",
    h("code", "llmhard train --film"),
    "; then ",
    h("code", "llmhard explore"),
    " shows it here: the loss, the sentences written along the way, attention finding its places, words coming together.",
  );
}

/**
 * @param {Page} page
 * @returns {Film}
 */
function filmOf(page) {
  return (page.memory.film ??= new Film(page.data.film, page.data.config, page.data.parameters));
}

/**
 * @param {Page} page
 * @param {Film} film
 */
function snapshotOf({ state }, film) {
  return state.snapshot < 0 || state.snapshot >= film.length ? film.length - 1 : state.snapshot;
}

/**
 * The reading of the sentence by the model as it was.
 *
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 * @returns {import("../gpt.js").Trace}
 */
function readingAt(page, film, at) {
  const isOurs = film.snapshot(at).step === film.data.kept; // without the film's rounding
  return isOurs
    ? page.original
    : page.remember("film", `${at} ${page.sentence.ids}`, () =>
        read(film.modelAt(at), page.sentence.ids),
      );
}

// ---------------------------------------------------------------- the player

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function player(page, film, at) {
  const { step } = film.snapshot(at);
  const last = film.snapshot(film.length - 1).step;
  const set = (/** @type {number} */ snapshot) => page.set({ snapshot });
  return h(
    "div.player",
    { key: "player" },
    button(page.memory.playing ? "Pause" : "Play", () => play(page, film), { class: "main" }),
    slider({
      name: "Step of the training",
      value: at,
      shown: `${whole(step)} of ${whole(last)}`,
      min: 0,
      max: film.length - 1,
      step: 1,
      says: "",
      set,
    }),
  );
}

/**
 * @param {Page} page
 * @param {Film} film
 */
function play(page, film) {
  if (page.memory.playing) return stop(page);
  if (snapshotOf(page, film) === film.length - 1) page.set({ snapshot: 0 });
  page.memory.playing = setInterval(() => advance(page, film), FRAME);
  page.draw();
}

/** @param {Page} page */
function stop(page) {
  clearInterval(page.memory.playing);
  page.redraw({ playing: undefined });
}

/**
 * @param {Page} page
 * @param {Film} film
 */
function advance(page, film) {
  const at = snapshotOf(page, film);
  if (at === film.length - 1 || page.state.view !== "film") stop(page);
  else page.set({ snapshot: at + 1 });
}

/**
 * Say that the run went on after the step that the page's own model is from, if it did.
 *
 * @param {Film} film
 * @param {number} at
 */
function keptNotice(film, at) {
  const { kept, curve } = film.data;
  const { step } = film.snapshot(at);
  if (kept === curve[curve.length - 1][0]) return null;
  return h(
    "p.notice.calm",
    { key: "kept" },
    `The model that was saved, and that the rest of this page shows, is the one after step ${whole(kept)}: it did best on held-out sentences. The run went on, and this film shows it to the end; you see the model after step ${whole(step)}.`,
  );
}

// ---------------------------------------------------------------- the loss

const CURVE = { width: 480, height: 230, left: 38, bottom: 26, top: 10, right: 12 };

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function curve(page, film, at) {
  const points = film.data.curve;
  const { step, training, validation, validatedAt, gap } = film.snapshot(at);
  const most = Math.max(
    ...points.map(([, training, validation]) => Math.max(training, validation ?? 0)),
  );
  const place = placing(points[points.length - 1][0], most);
  const line = (/** @type {(number | null)[][]} */ some) =>
    some
      .filter(([, y]) => y !== null)
      .map(([x, y], i) => `${i ? "L" : "M"}${place(x ?? 0, y ?? 0).join(" ")}`)
      .join("");
  const now = place(validatedAt ?? step, validation ?? training ?? most);
  const [cursor] = place(step, 0);
  const says = `Loss after ${count(validatedAt ?? step, "step")}: ${fixed(validation ?? training ?? most, 2)} nats a token${gap === null ? "" : `; after ${count(step, "step")} ${fixed(gap, 2)} from the truth`}`;
  return h(
    "section",
    { key: "curve", "aria-label": "The loss" },
    h("h3", "The loss"),
    h("p.soft.small", `${says}. Lower is better. The axis of steps is logarithmic.`),
    figure(
      says,
      { class: "curve" },
      h(
        "svg",
        { viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, "aria-hidden": "true" },
        axes(points[points.length - 1][0], most, place),
        h("path.line.training", { d: line(points.map(([x, y]) => [x, y])), key: "training" }),
        h("path.line.validation", { d: line(points.map(([x, , y]) => [x, y])), key: "validation" }),
        h("line.cursor", {
          x1: cursor,
          x2: cursor,
          y1: CURVE.top,
          y2: CURVE.height - CURVE.bottom,
          key: "cursor",
        }),
        h("circle.dot", { cx: now[0], cy: now[1], r: 5, key: "dot" }),
        keptMark(film, place),
      ),
    ),
    h(
      "div.legend",
      { "aria-hidden": "true" },
      h("span", "on held-out sentences"),
      h("span.pale", "in training"),
    ),
  );
}

/**
 * Mark the step that the model in this page is from, if it is not the last.
 *
 * @param {Film} film
 * @param {(step: number, loss: number) => [number, number]} place
 */
function keptMark(film, place) {
  const { kept, curve } = film.data;
  if (kept === curve[curve.length - 1][0]) return null;
  const [x] = place(kept, 0);
  return h(
    "g",
    { key: "kept" },
    h("line.kept", { x1: x, x2: x, y1: CURVE.top, y2: CURVE.height - CURVE.bottom }),
    h("text.tick", { x: x - 5, y: CURVE.top + 10, "text-anchor": "end" }, "saved"),
  );
}

/**
 * Return where a step and a loss are drawn; steps on a logarithmic axis.
 *
 * @param {number} steps
 * @param {number} most
 * @returns {(step: number, loss: number) => [number, number]}
 */
function placing(steps, most) {
  const { width, height, left, bottom, top, right } = CURVE;
  const x = (/** @type {number} */ step) =>
    left + ((width - left - right) * Math.log1p(step)) / Math.log1p(steps);
  const y = (/** @type {number} */ loss) => top + (height - top - bottom) * (1 - loss / most);
  return (step, loss) => [round(x(step)), round(y(loss))];
}

/** @param {number} x */
function round(x) {
  return Math.round(10 * x) / 10;
}

/**
 * @param {number} steps
 * @param {number} most
 * @param {(step: number, loss: number) => [number, number]} place
 */
function axes(steps, most, place) {
  const ticks = [0, 1, 10, 100, 1000, 10000].filter((step) => step <= steps);
  const losses = Array.from({ length: Math.floor(most / 2) + 1 }, (_, i) => 2 * i);
  return [
    ...ticks.map((step) =>
      h(
        "text.tick",
        { x: place(step, 0)[0], y: CURVE.height - 8, "text-anchor": "middle", key: `x${step}` },
        whole(step),
      ),
    ),
    ...losses.flatMap((loss) => [
      h(
        "text.tick",
        { x: CURVE.left - 8, y: place(0, loss)[1] + 4, "text-anchor": "end", key: `y${loss}` },
        loss,
      ),
      h("line.grid", {
        x1: CURVE.left,
        x2: CURVE.width,
        y1: place(0, loss)[1],
        y2: place(0, loss)[1],
        key: `g${loss}`,
      }),
    ]),
  ];
}

// ---------------------------------------------------------------- what it wrote, knew and guessed

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function wrote(page, film, at) {
  const { sentences } = film.snapshot(at);
  return h(
    "section",
    { key: "wrote", "aria-label": "What it wrote then" },
    h("h3", "What it wrote then"),
    h(
      "p.soft.small",
      "With the same random numbers each time.",
      page.grammar
        ? " A tick: a sentence of the language. A cross: where it leaves the language."
        : "",
    ),
    h(
      "ul.written",
      sentences.map((text, i) => h("li", { key: `${i}` }, ...judged(page, text))),
    ),
  );
}

/**
 * A sentence with the place where it leaves the language.
 *
 * @param {Page} page
 * @param {string} text
 * @returns {Child[]}
 */
function judged(page, text) {
  if (!page.grammar) return [text || "(nothing)"];
  const words = text.split(" ").filter(Boolean);
  const left = page.grammar.whereItLeaves(words);
  if (!left) return [h("b.tick-mark", "\u2713 "), text];
  return [
    h("b.of-wrong", "\u2717 "),
    `${words.slice(0, left.position).join(" ")} `,
    h("span.departed-here", words.slice(left.position).join(" ") || "(unfinished)"),
  ];
}

/**
 * @param {Film} film
 * @param {number} at
 */
function knew(film, at) {
  const { pairs } = film.snapshot(at);
  const kinds = Object.entries(pairs);
  if (!kinds.length) return null;
  const { learned = {}, right = 1 } = film.data.measures ?? {};
  return h(
    "section",
    { key: "knew", "aria-label": "What it knew then" },
    h("h3", "What it knew then"),
    h(
      "p.soft.small",
      `How often it finds the right sentence of a pair more likely than the wrong one; by chance, half the time. On the right, the step from which it stayed at ${roughly(right)} or above.`,
    ),
    kinds
      .sort(([a], [b]) => (learned[a] ?? Infinity) - (learned[b] ?? Infinity))
      .map(([kind, share]) =>
        barRow(
          kind,
          { now: share },
          roughly(share),
          { class: "kinds-then" },
          h("span.small.soft", learnedSays(learned[kind])),
        ),
      ),
  );
}

/** @param {number | null | undefined} step */
function learnedSays(step) {
  return step === null || step === undefined
    ? "never steadily"
    : `from step ${whole(step)} on`;
}

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function guesses(page, film, at) {
  const p = readingAt(page, film, at).positions[page.position].probabilities.data;
  const truth = page.truth(page.position);
  const order = likeliest(p, 7);
  const most = Math.max(...order.map((id) => Math.max(p[id], truth?.[id] ?? 0)));
  const says = listed(order.map((id) => `${page.next(id)} ${percent(p[id])}`));
  return h(
    "section",
    { key: "guesses", "aria-label": `What it expected then after ${page.quoted}: ${says}` },
    h("h3", `After ${page.quoted}`),
    order.map((id) =>
      barRow(
        page.next(id),
        { now: p[id] / most, mark: truth && truth[id] / most },
        percent(p[id]),
        {
          "aria-hidden": "true",
        },
      ),
    ),
  );
}

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function attended(page, film, at) {
  const { positions } = readingAt(page, film, at);
  return h(
    "section",
    { key: "attended", "aria-label": "Where its heads looked then" },
    h("h3", "Where its heads looked then"),
    h(
      "div.gallery",
      { style: headColumns(page) },
      headsOf(page).map(({ layer, head }) => {
        const name = `layer ${layer}, head ${head}`;
        const picture = headPicture(positions, { layer, head }, `Attention of ${name}`);
        return h("div.small.soft.center", { key: name }, picture, name);
      }),
    ),
  );
}

// ---------------------------------------------------------------- the words as a map

const MAP_SIZE = 480;
const NAMED = 0.4; // below this share of neighbours of one class, their names would lie on each other

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function wordMap(page, film, at) {
  const table = film.tables.includes(page.memory.table) ? page.memory.table : film.tables[0];
  const places = page.remember("places", `${at} ${table}`, () => film.positions(at, table));
  const scale = (0.45 * MAP_SIZE) / reachOf(places);
  const { classes, tables } = film.data.map;
  const together = tables[table].together?.[at];
  const says =
    together === undefined
      ? "A map of the words"
      : `Of the five words nearest to a word, ${roughly(together)} are of its class`;
  return h(
    "section",
    { key: "map", "aria-label": "The words as a map" },
    h("h3", `${page.unit === "word" ? "Words" : "Characters"} that are used alike come together`),
    h(
      "p.soft.small",
      `Each dot is a ${page.unit}: ${count(page.model.config.n_embd, "number")}, seen from the angle that spreads them most at the end of the training, and scaled to fill the square. ${classes.length ? `${says}.` : ""}`,
    ),
    film.tables.length > 1
      ? choices(
          "Table of words",
          film.tables.map((name) => ({ value: name, name: TABLE_NAMES[name] ?? name })),
          table,
          (table) => page.redraw({ table }),
        )
      : null,
    figure(
      says,
      { class: "word-map" },
      h(
        "svg",
        {
          viewBox: `${-MAP_SIZE / 2} ${-MAP_SIZE / 2} ${MAP_SIZE} ${MAP_SIZE}`,
          "aria-hidden": "true",
        },
        places.map((place) => dot(page, place, classes, scale)),
        (together ?? 0) > NAMED ? apart(centres(classes, places, scale)).map(className) : null,
      ),
    ),
  );
}

/** @type {Record<string, string>} */
const TABLE_NAMES = { "lm_head.weight": "as it writes them", "wte.weight": "as it reads them" };

/** @param {Place[]} places */
function reachOf(places) {
  const far = places.map(({ x, y }) => Math.max(Math.abs(x), Math.abs(y))).sort((a, b) => a - b);
  return far[Math.floor(0.995 * far.length)] || 1;
}

/**
 * @param {Page} page
 * @param {Place} place
 * @param {string[]} classes
 * @param {number} scale
 */
function dot(page, { token, x, y, kind }, classes, scale) {
  const isRead = page.sentence.ids.includes(token);
  const style = {
    transform: `translate(${round(x * scale)}px, ${round(y * scale)}px)`,
    "--hue": kind ? classColour(classes.indexOf(kind)) : "var(--model)",
  };
  return h(
    "g",
    { class: `dot-of${isRead ? " read" : ""}`, style, key: `${token}` },
    h(
      "circle",
      { r: isRead ? 7 : 4 },
      h("title", `${page.next(token)}${kind ? ` (${kind})` : ""}`),
    ),
    isRead ? h("text", beside(x * scale), page.next(token)) : null,
  );
}

/**
 * Where a dot's name is: on the right of it or, near the right edge, on the left.
 *
 * @param {number} x  of the dot
 */
function beside(x) {
  return x < 0.3 * MAP_SIZE ? { x: 9, y: 4 } : { x: -9, y: 4, "text-anchor": "end" };
}

/** @param {number} i */
function classColour(i) {
  return `oklch(${[0.55, 0.72, 0.62][i % 3]} 0.15 ${(40 * i + 20) % 360})`;
}

/**
 * @typedef {{name: string, x: number, y: number}} Name
 *
 * The names of the classes, in the middle of their words.
 *
 * @param {string[]} classes
 * @param {Place[]} places
 * @param {number} scale
 * @returns {Name[]}
 */
function centres(classes, places, scale) {
  return classes.map((name) => {
    const own = places.filter(({ kind }) => kind === name);
    const middle = (/** @type {"x" | "y"} */ axis) =>
      (scale * own.reduce((sum, place) => sum + place[axis], 0)) / Math.max(1, own.length);
    return { name, x: middle("x"), y: middle("y") };
  });
}

const NAME = { letter: 9, height: 19 }; // the room of a name, in units of the map

/**
 * Move names down that lie on one above them.
 *
 * @param {Name[]} names
 * @returns {Name[]}
 */
function apart(names) {
  /** @type {Name[]} */
  const placed = [];
  for (const name of [...names].sort((a, b) => a.y - b.y)) {
    const isOn = (/** @type {Name} */ other) =>
      Math.abs(other.y - name.y) < NAME.height &&
      Math.abs(other.x - name.x) < (NAME.letter * (other.name.length + name.name.length)) / 2;
    for (const other of placed) if (isOn(other)) name.y = other.y + NAME.height;
    placed.push(name);
    placed.sort((a, b) => a.y - b.y); // each is compared with those from above to below
  }
  return placed;
}

/** @param {Name} name */
function className({ name, x, y }) {
  const style = { transform: `translate(${round(x)}px, ${round(y)}px)` };
  return h("text.class-name", { key: `class ${name}`, "text-anchor": "middle", style }, name);
}

// ---------------------------------------------------------------- one weight through the training

/**
 * @param {Page} page
 * @param {Film} film
 * @param {number} at
 */
function weightThrough(page, film, at) {
  const { name, row, col } = weightShown(page, "h.0.attn.q_proj.weight");
  const moments = film.moments(name, row, col);
  const now = moments[at];
  return h(
    "section",
    { key: "weight", "aria-label": "One weight through the training" },
    h("h3", "One weight through the training"),
    weightPicker(page, { name, row, col }),
    h(
      "div.columns.even",
      sparkline(
        "its value",
        moments.map(({ weight }) => weight),
        at,
      ),
      h(
        "p",
        "After step ",
        whole(now.step),
        " it is ",
        h("b.number", format(now.weight)),
        ". ",
        momentSays(now, film.data.adam.rates[at]),
      ),
    ),
  );
}

/**
 * @param {import("../film.js").Moment} moment
 * @param {number} rate  of that step
 */
function momentSays({ m, root, move }, rate) {
  if (m === null || root === null || move === null) {
    return "The film keeps Adam\u2019s moments of the layers\u2019 weights only, not of the tables of words.";
  }
  const way = move > 0 ? "up" : "down";
  return `Adam remembers its mean gradient, ${format(m)}, and its usual size, ${format(root)}. From these two, at a learning rate of ${format(rate, 2)}, it moved the weight ${way} by ${format(Math.abs(move), 3)} in that step.`;
}

/**
 * @param {string} name
 * @param {number[]} numbers
 * @param {number} at
 */
function sparkline(name, numbers, at) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const x = (/** @type {number} */ i) => round(8 + (464 * i) / Math.max(1, numbers.length - 1));
  const y = (/** @type {number} */ value) =>
    round(8 + 84 * (1 - (value - low) / (high - low || 1)));
  const path = numbers.map((value, i) => `${i ? "L" : "M"}${x(i)} ${y(value)}`).join("");
  return figure(
    `${name} from ${format(numbers[0])} to ${format(numbers[numbers.length - 1])}`,
    { class: "curve" },
    h(
      "svg",
      { viewBox: "0 0 480 100", "aria-hidden": "true" },
      h("path.line.validation", { d: path }),
      h("circle.dot", { cx: x(at), cy: y(numbers[at]), r: 5 }),
    ),
  );
}
