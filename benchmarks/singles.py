"""One program on single scalars, run on two classes named Value: ours, and one in plain Python.

    python -m benchmarks.singles NAME FOLDER STEPS

prints JSON: `seconds` of each step, `losses`, and `memory`, the bytes that the process grew by. The
program is a GPT of microgpt's size and in its style, lists of Values and nothing else: 27 tokens,
width 16, 4 heads, 1 layer, and Adam in Python. The numbers come from a seed.
"""

from __future__ import annotations

import gc
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

VOCAB, WIDTH, HEADS, POSITIONS, LENGTH = 27, 16, 4, 16, 8
LR, BETA1, BETA2, EPS = 0.01, 0.85, 0.99, 1e-8


class Value:
    """A number, its gradient, and the numbers that it was computed from, each with a slope."""

    __slots__ = ("children", "data", "grad", "local_grads")

    def __init__(
        self, data: float, children: tuple[Value, ...] = (), local_grads: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0
        self.children = children
        self.local_grads = local_grads

    def __add__(self, other: Any) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n: float) -> Value:
        return Value(self.data**n, (self,), (n * self.data ** (n - 1),))

    def __neg__(self) -> Value:
        return self * -1

    def __sub__(self, other: Any) -> Value:
        return self + (-other)

    def __truediv__(self, other: Any) -> Value:
        return self * other**-1

    __radd__ = __add__
    __rmul__ = __mul__

    def exp(self) -> Value:
        e = math.exp(self.data)
        return Value(e, (self,), (e,))

    def log(self) -> Value:
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def relu(self) -> Value:
        return Value(max(0.0, self.data), (self,), (float(self.data > 0),))

    def backward(self) -> None:
        order = []
        seen = {self}
        stack = [(self, iter(self.children))]
        while stack:
            value, children = stack[-1]
            child = next(children, None)
            if child is None:
                order.append(value)
                stack.pop()
            elif child not in seen:
                seen.add(child)
                stack.append((child, iter(child.children)))
        self.grad = 1.0
        for value in reversed(order):
            grad = value.grad
            for child, slope in zip(value.children, value.local_grads):  # noqa: B905 - slower
                child.grad += slope * grad


class Trainer:
    """The program: `kind` is the class of its scalars."""

    def __init__(self, kind: Callable[[float], Any], seed: int = 42) -> None:
        rng = random.Random(seed)

        def matrix(rows: int, cols: int) -> list[list[Any]]:
            return [[kind(rng.gauss(0, 0.08)) for _ in range(cols)] for _ in range(rows)]

        self.embedding, self.places = matrix(VOCAB, WIDTH), matrix(POSITIONS, WIDTH)
        self.query, self.key, self.value, self.mix = (matrix(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
        self.head = matrix(VOCAB, WIDTH)
        matrices = [value for value in vars(self).values() if isinstance(value, list)]
        self.parameters = [p for rows in matrices for row in rows for p in row]
        self.m, self.v = [0.0] * len(self.parameters), [0.0] * len(self.parameters)
        self.t = 0

    def step(self, tokens: Sequence[int]) -> float:
        """Train on one word; return its loss."""
        loss = self.loss(tokens)
        loss.backward()
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = m = BETA1 * self.m[i] + (1 - BETA1) * p.grad
            self.v[i] = v = BETA2 * self.v[i] + (1 - BETA2) * p.grad**2
            m, v = m / (1 - BETA1**self.t), v / (1 - BETA2**self.t)
            p.data -= LR * m / (math.sqrt(v) + EPS)
            p.grad = 0.0
        return float(loss.data)

    def loss(self, tokens: Sequence[int]) -> Any:
        keys: list[list[Any]] = []
        values: list[list[Any]] = []
        losses = []
        for position in range(len(tokens) - 1):
            logits = self.logits(tokens[position], position, keys, values)
            losses.append(-softmax(logits)[tokens[position + 1]].log())
        return sum(losses) * (1 / len(losses))

    def logits(
        self, token: int, position: int, keys: list[list[Any]], values: list[list[Any]]
    ) -> list[Any]:
        x = rmsnorm(add(self.embedding[token], self.places[position]))
        x = add(x, linear(self.attention(rmsnorm(x), keys, values), self.mix))
        hidden = [h.relu() for h in linear(rmsnorm(x), self.up)]
        return linear(add(x, linear(hidden, self.down)), self.head)

    def attention(
        self, x: list[Any], keys: list[list[Any]], values: list[list[Any]]
    ) -> Iterator[Any]:
        q = linear(x, self.query)
        keys.append(linear(x, self.key))
        values.append(linear(x, self.value))
        d = WIDTH // HEADS
        for start in range(0, WIDTH, d):
            head = slice(start, start + d)
            weights = softmax([dot(q[head], k[head]) / d**0.5 for k in keys])
            for i in range(start, start + d):
                yield dot(weights, [v[i] for v in values])


def dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    return sum(x * y for x, y in zip(a, b))  # noqa: B905 - strict is slower


def add(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    return [x + y for x, y in zip(a, b)]  # noqa: B905 - strict is slower


def linear(x: Any, w: Sequence[Sequence[Any]]) -> list[Any]:
    x = list(x)
    return [dot(row, x) for row in w]


def softmax(logits: Sequence[Any]) -> list[Any]:
    largest = max(x.data for x in logits)
    exps = [(x - largest).exp() for x in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x: Sequence[Any]) -> list[Any]:
    scale = (dot(x, x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


# ---------------------------------------------------------------- one engine a process


def peak() -> float:
    """Return the peak memory of this process in bytes; NaN without /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    lines = status.read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def run(kind: Callable[[float], Any], steps: int) -> dict[str, Any]:
    rng = random.Random(0)
    trainer = Trainer(kind)
    before = peak()
    seconds, losses = [], []
    for _ in range(steps):
        word = [VOCAB - 1, *(rng.randrange(VOCAB - 1) for _ in range(LENGTH - 1)), VOCAB - 1]
        start = perf_counter()
        losses.append(trainer.step(word))
        seconds.append(perf_counter() - start)
    return {"seconds": seconds, "losses": losses, "memory": peak() - before}


def llmhard(steps: int) -> dict[str, Any]:
    from llmhard import Value

    return run(Value, steps)


def python(steps: int) -> dict[str, Any]:
    return run(Value, steps)


def python_no_gc(steps: int) -> dict[str, Any]:
    gc.disable()
    return run(Value, steps)


ENGINES = {"llmhard-recorded": llmhard, "python": python, "python-no-gc": python_no_gc}


def main(arguments: Sequence[str]) -> None:
    name, _, steps = arguments
    print(json.dumps(ENGINES[name](int(steps))))


if __name__ == "__main__":
    main(sys.argv[1:])
