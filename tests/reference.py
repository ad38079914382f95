"""What the engine and the model must agree with: the published algorithms in plain Python.

Imports nothing from llmhard. The scalars are those of micrograd and microgpt: data, grad, the
Values that a number was computed from and the local gradients towards them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

RMSNORM_EPS = 1e-5


class Value:
    __slots__ = ("_children", "_local_grads", "data", "grad")

    def __init__(self, data, children=(), local_grads=()):
        self.data = data
        self.grad = 0.0
        self._children = children
        self._local_grads = local_grads

    def __add__(self, other):
        other = _lift(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = _lift(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __truediv__(self, other):
        other = _lift(other)
        local_grads = (1 / other.data, -self.data / other.data**2)
        return Value(self.data / other.data, (self, other), local_grads)

    def __pow__(self, other):
        data = self.data ** (other.data if isinstance(other, Value) else other)
        if not isinstance(other, Value):
            slope = other * self.data ** (other - 1) if other else 0.0
            return Value(data, (self,), (slope,))
        slope = other.data * self.data ** (other.data - 1) if other.data else 0.0
        return Value(data, (self, other), (slope, data * math.log(self.data)))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -_lift(other)

    def __rsub__(self, other):
        return _lift(other) - self

    def __rtruediv__(self, other):
        return _lift(other) / self

    def __rpow__(self, other):
        return _lift(other) ** self

    __radd__ = __add__
    __rmul__ = __mul__

    def exp(self):
        return Value(math.exp(self.data), (self,), (math.exp(self.data),))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def relu(self):
        return Value(max(0.0, self.data), (self,), (float(self.data > 0),))

    def tanh(self):
        return Value(math.tanh(self.data), (self,), (1 - math.tanh(self.data) ** 2,))

    def sqrt(self):
        return Value(math.sqrt(self.data), (self,), (0.5 / math.sqrt(self.data),))

    def backward(self):
        for node, gradient in gradients(self, Value.edges).items():
            node.grad += gradient

    def edges(self):
        return zip(self._children, self._local_grads, strict=True)


def _lift(x):
    return x if isinstance(x, Value) else Value(x)


def gradients(root: Any, edges: Callable[[Any], Iterable[tuple[Any, float]]]) -> dict[Any, float]:
    """The derivative of `root` by everything it depends on: the sum over all paths.

    `edges` gives the (child, local gradient) pairs of a scalar.
    """
    down = {}
    order = []
    stack = [(root, False)]
    while stack:
        node, complete = stack.pop()
        if complete:
            order.append(node)
        elif node not in down:
            down[node] = list(edges(node))
            stack.append((node, True))
            stack.extend((child, False) for child, _ in down[node])
    result = dict.fromkeys(order, 0.0)
    result[root] = 1.0
    for node in reversed(order):
        for child, local in down[node]:
            result[child] += local * result[node]
    return result


def sizes_of_paths(root: Value) -> dict[Value, float]:
    """Like gradients, but no two paths cancel: the scale that rounding errors are measured by."""
    return gradients(root, lambda node: [(child, abs(local)) for child, local in node.edges()])


# ---------------------------------------------------------------- the model, on lists of Values


def linear(x, w):
    return [sum((w_i * x_i for w_i, x_i in zip(row, x, strict=True)), Value(0.0)) for row in w]


def softmax(logits):
    largest = max(x.data for x in logits)
    exps = [(x - largest).exp() for x in logits]
    total = sum(exps, Value(0.0))
    return [e / total for e in exps]


def rmsnorm(x):
    mean_square = sum((x_i * x_i for x_i in x), Value(0.0)) / len(x)
    scale = (mean_square + RMSNORM_EPS) ** -0.5
    return [x_i * scale for x_i in x]


def attention(w, layer, n_head, x, keys, values):
    """Causal attention of the token x; `keys` and `values` of the earlier ones grow by its own."""
    name = f"h.{layer}.attn."
    q = linear(x, w[name + "q_proj.weight"])
    keys.append(linear(x, w[name + "k_proj.weight"]))
    values.append(linear(x, w[name + "v_proj.weight"]))
    d = len(x) // n_head
    mixed = []
    for head in range(n_head):
        part = range(head * d, (head + 1) * d)
        scores = [sum((q[i] * k[i] for i in part), Value(0.0)) / d**0.5 for k in keys]
        weights = softmax(scores)
        for i in part:
            mixed.append(sum((p * v[i] for p, v in zip(weights, values, strict=True)), Value(0.0)))
    return linear(mixed, w[name + "o_proj.weight"])


def logits(w, n_layer, n_head, token, position, keys, values, hidden_units=None):
    """The next token's logits; what goes into the ReLUs is added to `hidden_units`."""
    pairs = zip(w["wte.weight"][token], w["wpe.weight"][position], strict=True)
    x = rmsnorm([t + p for t, p in pairs])
    for layer in range(n_layer):
        added = attention(w, layer, n_head, rmsnorm(x), keys[layer], values[layer])
        x = [a + b for a, b in zip(x, added, strict=True)]
        hidden = linear(rmsnorm(x), w[f"h.{layer}.mlp.up_proj.weight"])
        if hidden_units is not None:
            hidden_units.extend(hidden)
        added = linear([h.relu() for h in hidden], w[f"h.{layer}.mlp.down_proj.weight"])
        x = [a + b for a, b in zip(x, added, strict=True)]
    return linear(x, w["lm_head.weight"])


def sequence_loss(w, n_layer, n_head, tokens, hidden_units=None):
    """The mean cross-entropy of each token given those before it."""
    keys = [[] for _ in range(n_layer)]
    values = [[] for _ in range(n_layer)]
    losses = []
    for position, target in enumerate(tokens[1:]):
        scores = logits(w, n_layer, n_head, tokens[position], position, keys, values, hidden_units)
        losses.append(-softmax(scores)[target].log())
    return sum(losses, Value(0.0)) / len(losses)


class Adam:
    """Kingma and Ba (2015), algorithm 1, on a flat list of Values."""

    def __init__(self, parameters, beta1=0.85, beta2=0.99, eps=1e-8):
        self.parameters = parameters
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.m = [0.0] * len(parameters)
        self.v = [0.0] * len(parameters)
        self.t = 0

    def step(self, lr):
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            mean = self.m[i] / (1 - self.beta1**self.t)
            square = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * mean / (square**0.5 + self.eps)
            p.grad = 0.0
