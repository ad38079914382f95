/** What tests/test_explorer.py asks of the explorer's modules, in the page's script. */

import { number } from "./graph.js";
import { lossOf, modelFrom, noChanges, read, runAt } from "./gpt.js";
import { Grammar } from "./grammar.js";
import { decodeDoubles, format, largest, percent } from "./numbers.js";
import { prefersGood } from "./pairs.js";
import { pathThatMattered, weightsThatMattered } from "./paths.js";
import { choose, kl, probabilities } from "./sampling.js";
import { Tokenizer } from "./tokenizer.js";

const data = JSON.parse(document.getElementById("data").textContent);
const model = modelFrom(data);
const tokenizer = new Tokenizer(data.tokenizer);
const grammar = data.grammar && new Grammar(data.grammar);

/** Numbers as base64, which comes to Python much faster than a list. */
function base64(numbers) {
  const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function logits(tokens, changes = noChanges()) {
  return base64(read(model, tokens, changes).positions.flatMap((at) => [...at.logits.data]));
}

function logitsAndAttentionWeights(tokens) {
  const ofPosition = ({ logits, layers }) => [
    ...logits.data,
    ...layers.flatMap(({ heads }) => heads.flatMap(({ weights }) => [...weights.data])),
  ];
  return base64(read(model, tokens).positions.flatMap(ofPosition));
}

function lenses(tokens) {
  const layers = [...Array(data.config.n_layer + 1).keys()];
  const ofPosition = ({ lens }) => layers.flatMap((layer) => [...lens(layer)]);
  return base64(read(model, tokens).positions.flatMap(ofPosition));
}

/** The loss of predicting each token from those before it, after a backward pass. */
function learned(document, changes = noChanges()) {
  const trace = read(model, document.slice(0, -1), changes);
  const loss = lossOf(trace, document.slice(1));
  trace.graph.backward(loss);
  return { trace, loss };
}

function gradients(document) {
  const { trace, loss } = learned(document);
  const grads = [...trace.parameters.values()].flatMap(({ grad }) => [...grad]);
  return { loss: loss.data[0], grads: base64(grads) };
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** The operations by another way than graph.js: from the symbol that people see, and the children. */
const COMPUTE = {
  "+": ([a, b]) => a + b,
  "−": ([a, b]) => (b === undefined ? -a : a - b),
  "×": ([a, b]) => a * b,
  "/": ([a, b]) => a / b,
  "**": ([a, b]) => a ** b,
  exp: ([a]) => Math.exp(a),
  log: ([a]) => Math.log(a),
  relu: ([a]) => (a > 0 ? a : 0),
  copy: ([a]) => a,
  sum,
  dot: (all) => sum(all.slice(0, all.length / 2).map((a, i) => a * all[i + all.length / 2])),
};

/** How far any number is from what its children make it, any gradient from what parents send. */
function everyNumber(document) {
  const { trace, loss } = learned(document);
  const sent = new Map(trace.graph.runs.map((run) => [run, new Float64Array(run.data.length)]));
  sent.get(loss)[0] = 1;
  const found = { ops: {}, edges: 0, wrongData: 0, wrongGrad: 0 };
  const off = (a, b) => Math.abs(a - b) / Math.max(1, Math.abs(b));
  const ownRuns = trace.graph.runs.filter(({ op }) => op !== "view");
  for (const run of ownRuns) {
    for (let i = 0; i < run.data.length; i++) {
      const { op, data, children } = number(run, i);
      found.ops[op] = (found.ops[op] ?? 0) + 1;
      const again = op ? COMPUTE[op](children.map((child) => child.data)) : data;
      found.wrongData = Math.max(found.wrongData, off(again, data));
      found.edges += children.length;
      for (const child of children) sent.get(child.run)[child.index] += child.flows;
    }
  }
  for (const run of ownRuns) {
    sent.get(run).forEach((grad, i) => {
      found.wrongGrad = Math.max(found.wrongGrad, off(grad, run.grad[i]));
    });
  }
  return found;
}

/** Gradients, and slopes: how much the loss changes when a weight of some is moved a little. */
function slopes(document) {
  const { trace } = learned(document);
  const lossWith = (place, x) =>
    learned(document, { ...noChanges(), weights: new Map([[place, x]]) }).loss.data[0];
  const step = 1e-5;
  return [...trace.parameters].flatMap(([name, run]) => {
    const some = weightsThatMattered(new Map([[name, run]]), 200).filter((_, i) => i % 40 === 0);
    return some.map(({ row, col, data, grad }) => {
      const at = (x) => lossWith(`${name}[${row}][${col}]`, x);
      return [grad, (at(data + step) - at(data - step)) / (2 * step)];
    });
  });
}

function formulas() {
  const { graph } = read(model, [0]);
  const label = { name: "x", part: "norm" };
  const [a, b] = [graph.constant([2, -0.5]), graph.constant([0.25, 3])];
  const binary = ["add", "subtract", "multiply", "divide", "power"];
  const unary = ["exp", "log", "negate", "relu", "sum"];
  return [
    ...binary.map((name) => graph[name](a, b, label)),
    ...unary.map((name) => graph[name](a, label)),
    graph.dot(a, b, label),
    graph.concat([b, a], label),
  ].map((run) => number(run, run.cols > 1 ? 1 : 0).formula);
}

function pathOf(document) {
  const { loss } = learned(document);
  const mostOf = ({ scalar, flow }) =>
    Math.max(
      ...scalar.children
        .filter(({ run }) => run.op !== "constant")
        .map(({ local, data }) => Math.abs(flow * local * data)),
    );
  return pathThatMattered(loss).map((step) => ({
    op: step.scalar.run.op,
    name: step.scalar.run.what.name,
    data: step.scalar.data,
    flow: step.flow,
    measure: step.measure,
    mostOfChildren: mostOf(step),
  }));
}

globalThis.llm = {
  ...{ data, model, tokenizer, grammar, read, lossOf, noChanges, number, runAt, Tokenizer },
  ...{ choose, kl, probabilities, decodeDoubles, format, largest, percent },
  ...{ prefersGood, weightsThatMattered, base64, logits, logitsAndAttentionWeights },
  ...{ lenses, learned, gradients, everyNumber, slopes, formulas, pathOf },
};
