"""The recipe in plain Python: an autograd engine of single scalars, and the GPT on it.

In the style of micrograd and microgpt, and as fast as plain Python gets: slots, no checks, and no
topological sort, since the order in which the Values were made is one already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.recipe import BETA1, BETA2, EPS_ADAM, EPS_RMSNORM, Recipe


class Value:
    """A number, where it came from, and how much the result changes with it."""

    __slots__ = ("children", "data", "grad", "slopes")

    made: list[Value] = []  # noqa: RUF012 - every result since it was last cleared

    def __init__(
        self, data: float, children: tuple[Value, ...] = (), slopes: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0
        self.children = children
        self.slopes = slopes
        if children:
            Value.made.append(self)

    def __add__(self, other: Value) -> Value:
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __sub__(self, other: Value) -> Value:
        return Value(self.data - other.data, (self, other), (1.0, -1.0))

    def __mul__(self, other: Value) -> Value:
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __truediv__(self, other: Value) -> Value:
        quotient = self.data / other.data
        return Value(quotient, (self, other), (1 / other.data, -quotient / other.data))

    def plus(self, number: float) -> Value:
        return Value(self.data + number, (self,), (1.0,))

    def times(self, number: float) -> Value:
        return Value(self.data * number, (self,), (number,))

    def power(self, exponent: float) -> Value:
        slope = exponent * self.data ** (exponent - 1)
        return Value(self.data**exponent, (self,), (slope,))

    def exp(self) -> Value:
        data = math.exp(self.data)
        return Value(data, (self,), (data,))

    def log(self) -> Value:
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def relu(self) -> Value:
        return self if self.data > 0 else Value(0.0, (self,), (0.0,))


def backward(root: Value) -> None:
    """Add up the gradients of `root`, which was made last, and forget how it was made."""
    root.grad = 1.0
    for value in reversed(Value.made):
        grad = value.grad
        if grad:
            for child, slope in zip(value.children, value.slopes):  # noqa: B905 - strict is slower
                child.grad += slope * grad
    Value.made.clear()


def total(values: Iterable[Value]) -> Value:
    values = iter(values)
    result = next(values)
    for value in values:
        result = result + value
    return result


def softmax(logits: Sequence[Value]) -> list[Value]:
    largest = max(x.data for x in logits)
    exps = [x.plus(-largest).exp() for x in logits]
    denominator = total(exps)
    return [e / denominator for e in exps]


Vector = list[Value]


def _dot(a: Vector, b: Vector) -> Value:
    products = [x * y for x, y in zip(a, b)]  # noqa: B905 - strict is slower
    return total(products)


def _linear(x: Vector, w: list[Vector]) -> Vector:
    return [_dot(row, x) for row in w]


def _rmsnorm(x: Vector) -> Vector:
    scale = _dot(x, x).times(1 / len(x)).plus(EPS_RMSNORM).power(-0.5)
    return [value * scale for value in x]


def _add(a: Vector, b: Vector) -> Vector:
    return [x + y for x, y in zip(a, b)]  # noqa: B905 - strict is slower


class Trainer:
    """The recipe's model and its Adam."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.t = recipe, 0
        self.w: dict[str, list[Vector]] = {}
        for name, ((_, cols), numbers) in recipe.matrices().items():
            values = [Value(number) for number in numbers]
            self.w[name] = [values[i : i + cols] for i in range(0, len(values), cols)]
        self.parameters = [value for w in self.w.values() for row in w for value in row]
        self.m = [0.0] * len(self.parameters)
        self.v = [0.0] * len(self.parameters)

    def step(self, tokens: Sequence[int]) -> float:
        """Train on one sentence; return its loss."""
        loss = self._loss(tokens)
        backward(loss)
        self._adam(self.recipe.learning_rate(self.t))
        return loss.data

    def _loss(self, tokens: Sequence[int]) -> Value:
        n_layer = self.recipe.config.n_layer
        keys: list[list[Vector]] = [[] for _ in range(n_layer)]
        values: list[list[Vector]] = [[] for _ in range(n_layer)]
        w = self.w
        losses = []
        for position in range(len(tokens) - 1):
            x = _rmsnorm(_add(w["wte.weight"][tokens[position]], w["wpe.weight"][position]))
            for layer in range(n_layer):
                x = _add(x, self._attention(layer, _rmsnorm(x), keys[layer], values[layer]))
                name = f"h.{layer}.mlp."
                hidden = [h.relu() for h in _linear(_rmsnorm(x), w[name + "up_proj.weight"])]
                x = _add(x, _linear(hidden, w[name + "down_proj.weight"]))
            probabilities = softmax(_linear(x, w["lm_head.weight"]))
            losses.append(probabilities[tokens[position + 1]].log())
        return total(losses).times(-1 / len(losses))

    def _attention(self, layer: int, x: Vector, keys: list[Vector], values: list[Vector]) -> Vector:
        w, name, d = self.w, f"h.{layer}.attn.", self.recipe.config.head_dim
        q = _linear(x, w[name + "q_proj.weight"])
        keys.append(_linear(x, w[name + "k_proj.weight"]))
        values.append(_linear(x, w[name + "v_proj.weight"]))
        mixed = []
        for start in range(0, len(x), d):
            head = slice(start, start + d)
            weights = softmax([_dot(q[head], k[head]).times(d**-0.5) for k in keys])
            mixed += [_dot(weights, [v[i] for v in values]) for i in range(start, start + d)]
        return _linear(mixed, w[name + "o_proj.weight"])

    def _adam(self, lr: float) -> None:
        self.t += 1
        m, v = self.m, self.v
        correction1, correction2 = 1 - BETA1**self.t, 1 - BETA2**self.t
        for i, p in enumerate(self.parameters):
            grad = p.grad
            m[i] = m_i = BETA1 * m[i] + (1 - BETA1) * grad
            v[i] = v_i = BETA2 * v[i] + (1 - BETA2) * grad * grad
            p.data -= lr * (m_i / correction1) / (math.sqrt(v_i / correction2) + EPS_ADAM)
            p.grad = 0.0
