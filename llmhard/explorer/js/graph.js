/**
 * Vectors that remember where they came from, as those of the Python engine do.
 *
 * A run is a vector (or a parameter matrix) with the operation and the inputs that made it. Each of
 * its scalars is a number of its own: `number` derives its operation, its children and its local
 * gradients, as if it had been computed alone. What an operation means is one row of OPERATIONS.
 */

import { format, largest } from "./numbers.js";

/**
 * What a run is in the model. Parts: embedding, norm, q, k, v, scores, weights, mix, attention,
 * residual, hidden, mlp, logits, probabilities, loss, parameter, constant.
 * @typedef {{name: string, part: string, position?: number, layer?: number, head?: number}} Label
 */

/**
 * A number that went into another one, and the local gradient d number / d child.
 * @typedef {{run: Run, index: number, local: number}} Edge
 */

/**
 * A child of a number: `flows` is what comes to its gradient from here, grad × local; null before
 * a backward pass.
 * @typedef {{run: Run, index: number, data: number, local: number, flows: number | null}} Child
 */

/**
 * One scalar of the graph; `grad` is null before a backward pass.
 * @typedef {{run: Run, index: number, data: number, grad: number | null, op: string,
 *   formula: string, children: Child[]}} Scalar
 */

/**
 * What an operation is: how it is written, what goes backward through it, where its numbers come
 * from.
 * @typedef {object} Operation
 * @property {string} symbol
 * @property {(run: Run, grad: Float64Array) => void} backward adds to the inputs' gradients
 * @property {(run: Run, index: number) => Edge[]} edges
 * @property {(numbers: string[]) => string} formula of the children's numbers
 */

/** A vector, or a matrix row after row, with the operation and the inputs that made it. */
export class Run {
  /**
   * @param {number} id its place in the graph: inputs come before what they go into
   * @param {string} op a key of OPERATIONS
   * @param {Run[]} inputs
   * @param {Float64Array} data
   * @param {Label} what
   * @param {number} [start] where a view or a head begins in its inputs
   * @param {number} [rows] of a matrix; a vector has one
   */
  constructor(id, op, inputs, data, what, start = 0, rows = 1) {
    this.id = id;
    this.op = op;
    this.inputs = inputs;
    this.data = data;
    this.what = what;
    this.start = start;
    this.rows = rows;
    this.cols = data.length / rows;
    this.width = this.cols; // how many numbers of each input go into one of a head's products
    /** @type {Float64Array | null} d loss / d data, after a backward pass */
    this.grad = null;
  }
}

const RMSNORM_EPS = 1e-5;
const SLAB = 1 << 14; // numbers that are allocated at a time

/**
 * The elementwise operations: the value, and the local gradient with respect to each operand.
 * @type {Record<string, {symbol: string, value: (a: number, b: number) => number,
 *   locals: ((a: number, b: number) => number)[], formula: (numbers: string[]) => string}>}
 */
const ELEMENTWISE = {
  add: {
    symbol: "+",
    value: (a, b) => a + b,
    locals: [() => 1, () => 1],
    formula: ([a, b]) => `${a} + ${b}`,
  },
  subtract: {
    symbol: "−",
    value: (a, b) => a - b,
    locals: [() => 1, () => -1],
    formula: ([a, b]) => `${a} − ${b}`,
  },
  multiply: {
    symbol: "×",
    value: (a, b) => a * b,
    locals: [(a, b) => b, (a) => a],
    formula: ([a, b]) => `${a} × ${b}`,
  },
  divide: {
    symbol: "/",
    value: (a, b) => a / b,
    locals: [(a, b) => 1 / b, (a, b) => -a / (b * b)],
    formula: ([a, b]) => `${a} / ${b}`,
  },
  power: {
    symbol: "**",
    value: (a, b) => a ** b,
    locals: [(a, b) => b * a ** (b - 1), (a, b) => a ** b * Math.log(a)],
    formula: ([a, b]) => `${a} ** ${b}`,
  },
  exp: {
    symbol: "exp",
    value: (a) => Math.exp(a),
    locals: [(a) => Math.exp(a)],
    formula: ([a]) => `exp ${a}`,
  },
  log: {
    symbol: "log",
    value: (a) => Math.log(a),
    locals: [(a) => 1 / a],
    formula: ([a]) => `log ${a}`,
  },
  negate: { symbol: "−", value: (a) => -a, locals: [() => -1], formula: ([a]) => `− ${a}` },
  relu: {
    symbol: "relu",
    value: (a) => Math.max(0, a),
    locals: [(a) => Number(a > 0)],
    formula: ([a]) => `max(0, ${a})`,
  },
};

/** All runs of a computation, in the order of computing. */
export class Graph {
  #slab = new Float64Array(0); // where the next runs' numbers go: many small arrays are slow
  #used = 0;

  constructor() {
    /** @type {Run[]} */
    this.runs = [];
    /** @type {Run | null} where the last backward pass began */
    this.root = null;
  }

  /**
   * Record a parameter matrix.
   * @param {string} name
   * @param {number} rows
   * @param {Float64Array} data
   */
  parameter(name, rows, data) {
    return this.#record("parameter", [], data, { name, part: "parameter" }, 0, rows);
  }

  /**
   * Record a number, or several, that nothing was computed from.
   * @param {ArrayLike<number>} numbers
   * @param {string} [name]
   */
  constant(numbers, name = "a constant") {
    const data = this.#zeros(numbers.length);
    data.set(numbers);
    return this.#record("constant", [], data, { name, part: "constant" });
  }

  /**
   * Show a row of a matrix: the same numbers, not copies.
   * @param {Run} matrix
   * @param {number} row
   * @param {Label} [what]
   */
  row(matrix, row, what = matrix.what) {
    const start = row * matrix.cols;
    const data = matrix.data.subarray(start, start + matrix.cols);
    return this.#record("view", [matrix], data, what, start);
  }

  /**
   * Show one number of a vector.
   * @param {Run} x
   * @param {number} index
   */
  pick(x, index) {
    return this.#record("view", [x], x.data.subarray(index, index + 1), x.what, index);
  }

  /** @param {Run} a @param {Run} b @param {Label} what */
  add(a, b, what) {
    return this.#elementwise("add", a, b, what);
  }

  /** @param {Run} a @param {Run} b @param {Label} what */
  subtract(a, b, what) {
    return this.#elementwise("subtract", a, b, what);
  }

  /** @param {Run} a @param {Run} b @param {Label} what */
  multiply(a, b, what) {
    return this.#elementwise("multiply", a, b, what);
  }

  /** @param {Run} a @param {Run} b @param {Label} what */
  divide(a, b, what) {
    return this.#elementwise("divide", a, b, what);
  }

  /** @param {Run} a @param {Run} b @param {Label} what */
  power(a, b, what) {
    return this.#elementwise("power", a, b, what);
  }

  /** @param {Run} x @param {Label} what */
  exp(x, what) {
    return this.#elementwise("exp", x, null, what);
  }

  /** @param {Run} x @param {Label} what */
  log(x, what) {
    return this.#elementwise("log", x, null, what);
  }

  /** @param {Run} x @param {Label} what */
  negate(x, what) {
    return this.#elementwise("negate", x, null, what);
  }

  /** @param {Run} x @param {Label} what */
  relu(x, what) {
    return this.#elementwise("relu", x, null, what);
  }

  /** @param {Run} x @param {Label} what */
  sum(x, what) {
    return this.#record("sum", [x], this.#one(x.data.reduce((a, b) => a + b)), what);
  }

  /** @param {Run} a @param {Run} b @param {Label} what */
  dot(a, b, what) {
    return this.#record("dot", [a, b], this.#one(product(a.data, 0, b.data, 0, a.cols)), what);
  }

  /**
   * Multiply a matrix with a vector: the dot product of each of its rows with x.
   * @param {Run} x
   * @param {Run} matrix
   * @param {Label} what
   */
  linear(x, matrix, what) {
    const n = matrix.cols;
    const out = this.#zeros(matrix.rows);
    for (let i = 0; i < out.length; i++) out[i] = product(matrix.data, i * n, x.data, 0, n);
    return this.#record("linear", [matrix, x], out, what);
  }

  /**
   * Return the dot product of each key with the query, of one head's share of them.
   * @param {Run[]} keys
   * @param {Run} q
   * @param {{start: number, size: number}} head
   * @param {Label} what
   */
  dots(keys, q, head, what) {
    const out = this.#zeros(keys.length);
    const { start, size } = head;
    keys.forEach((key, t) => (out[t] = product(key.data, start, q.data, start, size)));
    const run = this.#record("dots", [...keys, q], out, what, start);
    run.width = size;
    return run;
  }

  /**
   * Mix the values, of one head's share of them: weights[0] × values[0] + weights[1] × ...
   * @param {Run} weights
   * @param {Run[]} values
   * @param {{start: number, size: number}} head
   * @param {Label} what
   */
  mixture(weights, values, head, what) {
    const out = this.#zeros(head.size);
    const { start, size } = head;
    values.forEach((value, t) => addScaled(out, 0, weights.data[t], value.data, start, size));
    return this.#record("mixture", [weights, ...values], out, what, head.start);
  }

  /**
   * Put vectors side by side.
   * @param {Run[]} parts
   * @param {Label} what
   */
  concat(parts, what) {
    const out = this.#zeros(parts.reduce((n, part) => n + part.cols, 0));
    let start = 0;
    for (const part of parts) {
      out.set(part.data, start);
      start += part.cols;
    }
    return this.#record("concat", parts, out, what);
  }

  /**
   * Scale a vector so that its root mean square is 1: x × (mean(x²) + 1e-5) ** -0.5.
   * @param {Run} x
   * @param {Label} what
   */
  rmsnorm(x, what) {
    const step = (/** @type {string} */ name) => ({ ...what, name: `${what.name}: ${name}` });
    const squares = this.dot(x, x, step("sum of squares"));
    const mean = this.divide(squares, this.constant([x.cols], "how many"), step("mean square"));
    const above = this.add(mean, this.constant([RMSNORM_EPS], "epsilon"), step("mean square + ε"));
    const scale = this.power(above, this.constant([-0.5], "exponent"), step("scale"));
    return this.multiply(x, scale, what);
  }

  /**
   * Turn any numbers into probabilities: exp(x - largest) / sum.
   * @param {Run} x
   * @param {Label} what
   */
  softmax(x, what) {
    const step = (/** @type {string} */ name) => ({ ...what, name: `${what.name}: ${name}` });
    const top = this.constant([x.data[largest(x.data)]], "the largest");
    const exps = this.exp(this.subtract(x, top, step("less the largest")), step("exponential"));
    return this.divide(exps, this.sum(exps, step("sum")), what);
  }

  /**
   * Go backward from a number: afterwards each run's `grad` is d root / d data.
   * @param {Run} root a vector of one number
   */
  backward(root) {
    for (const run of this.runs) run.grad = this.#zeroGradient(run);
    this.root = root;
    const reached = new Set([root]);
    /** @type {Float64Array} */ (root.grad)[0] = 1;
    for (let id = root.id; id >= 0; id--) {
      const run = this.runs[id];
      if (!reached.has(run)) continue;
      OPERATIONS[run.op].backward(run, gradient(run));
      run.inputs.forEach((input) => reached.add(input));
    }
  }

  /** @param {string} op @param {Run} a @param {Run | null} b @param {Label} what */
  #elementwise(op, a, b, what) {
    const { value } = ELEMENTWISE[op];
    const [second, step] = b ? [b.data, stepOf(b)] : [a.data, 0];
    const out = this.#zeros(a.data.length);
    for (let i = 0; i < out.length; i++) out[i] = value(a.data[i], second[i * step]);
    return this.#record(op, b ? [a, b] : [a], out, what);
  }

  /** @param {Run} run @returns {Float64Array} of a view: the part of its input's gradient */
  #zeroGradient(run) {
    if (run.op !== "view") return this.#zeros(run.data.length);
    return gradient(run.inputs[0]).subarray(run.start, run.start + run.cols);
  }

  /** @param {number} n */
  #zeros(n) {
    if (this.#used + n > this.#slab.length) {
      this.#slab = new Float64Array(Math.max(n, SLAB));
      this.#used = 0;
    }
    return this.#slab.subarray(this.#used, (this.#used += n));
  }

  /** @param {number} x */
  #one(x) {
    const data = this.#zeros(1);
    data[0] = x;
    return data;
  }

  /**
   * @param {string} op @param {Run[]} inputs @param {Float64Array} data @param {Label} what
   * @param {number} [start] @param {number} [rows]
   */
  #record(op, inputs, data, what, start = 0, rows = 1) {
    const run = new Run(this.runs.length, op, inputs, data, what, start, rows);
    this.runs.push(run);
    return run;
  }
}

/**
 * Make the row of OPERATIONS for an elementwise operation.
 * @param {string} name
 * @returns {Operation}
 */
function elementwise(name) {
  const { symbol, locals, formula } = ELEMENTWISE[name];
  return {
    symbol,
    formula,
    backward(run, grad) {
      const [a, b = a] = run.inputs;
      run.inputs.forEach((input, n) => {
        const [local, into, step] = [locals[n], gradient(input), stepOf(input)];
        for (let i = 0; i < grad.length; i++) {
          into[i * step] += grad[i] * local(a.data[i * stepOf(a)], b.data[i * stepOf(b)]);
        }
      });
    },
    edges(run, i) {
      const [a, b = a] = run.inputs;
      const at = (/** @type {Run} */ input) => i * stepOf(input);
      return run.inputs.map((input, n) =>
        edge(input, at(input), locals[n](a.data[at(a)], b.data[at(b)])),
      );
    },
  };
}

/** @param {Run} operand @returns {number} 0 for a single number, which goes with all others */
function stepOf(operand) {
  return operand.data.length > 1 ? 1 : 0;
}

/** @type {Operation} */
const LEAF = { symbol: "", backward() {}, edges: () => [], formula: () => "" };

/** @type {Record<string, Operation>} */
const OPERATIONS = {
  parameter: LEAF,
  constant: LEAF,
  view: LEAF, // its numbers and gradients are those of its input
  ...Object.fromEntries(Object.keys(ELEMENTWISE).map((name) => [name, elementwise(name)])),
  sum: {
    symbol: "sum",
    backward({ inputs: [x] }, [flow]) {
      const into = gradient(x);
      for (let i = 0; i < into.length; i++) into[i] += flow;
    },
    edges: ({ inputs: [x] }) => [...x.data.keys()].map((i) => edge(x, i, 1)),
    formula: (numbers) => numbers.join(" + "),
  },
  dot: {
    symbol: "dot",
    backward({ inputs: [a, b] }, [flow]) {
      addScaled(gradient(a), 0, flow, b.data, 0, a.cols);
      addScaled(gradient(b), 0, flow, a.data, 0, a.cols);
    },
    edges: ({ inputs: [a, b] }) => factors(a, 0, b, 0, a.cols),
    formula: sumOfProducts,
  },
  linear: {
    symbol: "dot",
    backward({ inputs: [matrix, x] }, grad) {
      const n = x.cols;
      for (let i = 0; i < grad.length; i++) {
        if (grad[i] === 0) continue;
        addScaled(gradient(matrix), i * n, grad[i], x.data, 0, n);
        addScaled(gradient(x), 0, grad[i], matrix.data, i * n, n);
      }
    },
    edges: ({ inputs: [matrix, x] }, i) => factors(matrix, i * x.cols, x, 0, x.cols),
    formula: sumOfProducts,
  },
  dots: {
    symbol: "dot",
    backward({ inputs, start, width }, grad) {
      const q = inputs[inputs.length - 1];
      grad.forEach((flow, t) => {
        addScaled(gradient(inputs[t]), start, flow, q.data, start, width);
        addScaled(gradient(q), start, flow, inputs[t].data, start, width);
      });
    },
    edges: ({ inputs, start, width }, t) =>
      factors(inputs[t], start, inputs[inputs.length - 1], start, width),
    formula: sumOfProducts,
  },
  mixture: {
    symbol: "dot",
    backward({ inputs: [weights, ...values], start, cols }, grad) {
      values.forEach((value, t) => {
        gradient(weights)[t] += product(grad, 0, value.data, start, cols);
        addScaled(gradient(value), start, weights.data[t], grad, 0, cols);
      });
    },
    edges: ({ inputs: [weights, ...values], start }, i) => [
      ...values.map((value, t) => edge(weights, t, value.data[start + i])),
      ...values.map((value, t) => edge(value, start + i, weights.data[t])),
    ],
    formula: sumOfProducts,
  },
  concat: {
    symbol: "copy",
    backward(run, grad) {
      let start = 0;
      for (const part of run.inputs) {
        addScaled(gradient(part), 0, 1, grad, start, part.cols);
        start += part.cols;
      }
    },
    edges(run, index) {
      let part = 0;
      while (index >= run.inputs[part].cols) index -= run.inputs[part++].cols;
      return [edge(run.inputs[part], index, 1)];
    },
    formula: ([a]) => a,
  },
};

/**
 * Return one number of a run: its operation, its formula and its children.
 * @param {Run} run
 * @param {number} index
 * @returns {Scalar}
 */
export function number(run, index) {
  [run, index] = seen(run, index);
  const { symbol, formula } = OPERATIONS[run.op];
  const grad = run.grad && run.grad[index];
  const children = childrenOf(run, index, grad);
  const numbers = children.map(({ data }) => inFormula(data));
  const data = run.data[index];
  return { run, index, data, grad, op: symbol, formula: formula(numbers), children };
}

/** @param {Run} run @param {number} index @param {number | null} grad @returns {Child[]} */
function childrenOf(run, index, grad) {
  return OPERATIONS[run.op].edges(run, index).map(({ run: input, index: place, local }) => {
    const [child, i] = seen(input, place);
    const flows = grad === null ? null : grad * local;
    return { run: child, index: i, data: child.data[i], local, flows };
  });
}

/**
 * Return the run and the place that a number of a view is from.
 * @param {Run} run
 * @param {number} index
 * @returns {[Run, number]}
 */
function seen(run, index) {
  while (run.op === "view") [run, index] = [run.inputs[0], run.start + index];
  return [run, index];
}

/** @param {Run} run @returns {Float64Array} */
function gradient(run) {
  return /** @type {Float64Array} */ (run.grad);
}

/** @param {Run} run @param {number} index @param {number} local @returns {Edge} */
function edge(run, index, local) {
  return { run, index, local };
}

/**
 * Return the edges of a dot product: first all factors from `a`, then all from `b`.
 * @param {Run} a @param {number} i @param {Run} b @param {number} j @param {number} n
 * @returns {Edge[]}
 */
function factors(a, i, b, j, n) {
  const terms = Array.from({ length: n }, (_, k) => k);
  return [
    ...terms.map((k) => edge(a, i + k, b.data[j + k])),
    ...terms.map((k) => edge(b, j + k, a.data[i + k])),
  ];
}

/** @param {string[]} numbers all first factors, then all second ones */
function sumOfProducts(numbers) {
  const n = numbers.length / 2;
  return numbers.slice(0, n).map((a, k) => `${a} × ${numbers[n + k]}`).join(" + ");
}

/** @param {number} x */
function inFormula(x) {
  return x < 0 ? `(${format(x)})` : format(x);
}

/**
 * Return a[i] b[j] + a[i + 1] b[j + 1] + ..., n products.
 * @param {Float64Array} a @param {number} i @param {Float64Array} b @param {number} j
 * @param {number} n
 */
function product(a, i, b, j, n) {
  let [even, odd] = [0, 0]; // two sums: the processor adds to both at the same time
  for (let k = 1; k < n; k += 2) {
    even += a[i + k - 1] * b[j + k - 1];
    odd += a[i + k] * b[j + k];
  }
  return n % 2 ? even + odd + a[i + n - 1] * b[j + n - 1] : even + odd;
}

/**
 * Add `scale` times n numbers of x, from x[j] on, to those from out[i] on.
 * @param {Float64Array} out @param {number} i @param {number} scale
 * @param {Float64Array} x @param {number} j @param {number} n
 */
function addScaled(out, i, scale, x, j, n) {
  for (let k = 0; k < n; k++) out[i + k] += scale * x[j + k];
}
