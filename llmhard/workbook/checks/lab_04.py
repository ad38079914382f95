"""Lab 04: linear, softmax, rmsnorm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from math import exp, sqrt
from typing import Any

from hypothesis import strategies as st

from llmhard.workbook.answers import Wrong, agree, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks

check = Checks("04")

STEP = 1e-5
EPS = 1e-5
SMALL = st.integers(-30, 30).map(lambda n: n / 10)
LISTS = st.lists(SMALL, min_size=1, max_size=5)


def values(book: Book, numbers: list[float]) -> list[Any]:
    value = book.get("value", "Value")
    return [book.attempt(f"Value({show(x)})", partial(value, x)) for x in numbers]


def call(book: Book, name: str, numbers: list[float], n: int) -> tuple[str, list[float]]:
    """What one of the reader's functions makes of these numbers, and how to write it."""
    text = f"{name}({show(numbers)})"
    function, x = book.get("layers", name), values(book, numbers)
    found = book.values(text, book.attempt(text, lambda: function(x)), n)
    if [v.data for v in x] != numbers:
        raise Wrong(
            f"{text} has changed its input to {show(x)}.",
            hint="Make a new list; the one that came in belongs to somebody else.",
        )
    return text, [v.data for v in found]


def check_gradients(
    book: Book,
    text: str,
    function: Callable[..., Any],
    plain: Callable[[list[float]], list[float]],
    numbers: list[float],
    hint: str,
    names: list[str] | None = None,
) -> None:
    """The gradient of each result towards each input, beside what nudging that input does."""
    for i in range(len(plain(numbers))):
        x = values(book, numbers)
        result = book.attempt(text, partial(function, x))[i]
        book.attempt(f"{text}[{i}].backward()", result.backward)
        for j, v in enumerate(x):
            ends = []
            for shift in (STEP, -STEP):
                moved = [n + shift * (k == j) for k, n in enumerate(numbers)]
                ends.append(plain(moved)[i])
            expected = round((ends[0] - ends[1]) / (2 * STEP), 6) + 0.0
            if not agree(v.grad, expected, 1e-4):
                name = names[j] if names else f"x[{j}]"
                raise Wrong(
                    f"Number {i} of {text}:",
                    f"its gradient with respect to {name} is {show(v.grad)} with yours; "
                    f"nudging {name} gives {show(expected)}",
                    hint=hint,
                )


@check(
    "linear: the dot product of each row with x",
    "The linear layer",
    cases=[
        {"x": [1.0, 2.0], "w": [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]},
        {"x": [1.0, 2.0, 3.0], "w": [[1.0, 0.0, 2.0]]},
    ],
)
def multiplies(book: Book, x: list[float], w: list[list[float]]) -> None:
    check_linear(book, x, w)


@st.composite
def products(draw: st.DrawFn) -> tuple[list[float], list[list[float]]]:
    n_in, n_out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    row = st.lists(SMALL, min_size=n_in, max_size=n_in)
    return draw(row), draw(st.lists(row, min_size=n_out, max_size=n_out))


@check(
    "linear: any shape",
    "The linear layer",
    after=["linear: the dot product of each row with x"],
    xw=products(),
)
def any_shape(book: Book, xw: tuple[list[float], list[list[float]]]) -> None:
    check_linear(book, *xw)


def check_linear(book: Book, x: list[float], w: list[list[float]]) -> None:
    text = f"linear({show(x)}, {show(w)})"
    function = book.get("layers", "linear")
    expected = [sum(a * b for a, b in zip(row, x, strict=True)) for row in w]
    columns = [
        sum(a * b for a, b in zip(column, x, strict=False)) for column in zip(*w, strict=True)
    ]
    args = values(book, x), [values(book, row) for row in w]
    found = book.attempt(text, lambda: function(*args))
    hint = "Each row of w gives one number: multiply it with x, number by number, and add up."
    if isinstance(found, list) and len(found) != len(expected):
        hint = "One number for each row of w: as many as w has rows, however long x is."
        raise Wrong(
            f"{text} should have {len(expected)} numbers. Yours has {len(found)}.", hint=hint
        )
    numbers = [v.data for v in book.values(text, found, len(expected))]
    if agree(numbers, columns) and not agree(numbers, expected):
        hint = "Yours are the products with the columns of w. It takes the rows."
    elif agree(numbers, list(accumulate(expected))):
        hint = "Yours goes on adding from row to row. The sum starts at 0 again for each row."
    book.same(text, numbers, expected, hint)


GRAPH = (
    "Compute with the Values themselves. A Value made anew from .data is a stranger: no gradient "
    "finds its way through it."
)


@check(
    "linear: gradients flow back",
    "The linear layer",
    after=["linear: the dot product of each row with x", "linear: any shape"],
)
def linear_gradients(book: Book) -> None:
    function = book.get("layers", "linear")
    numbers = [2.0, -1.0, 0.5, 3.0]
    check_gradients(
        book,
        "linear([a, b], [[c, d]]) at a = 2.0, b = -1.0, c = 0.5, d = 3.0",
        lambda v: function(v[:2], [v[2:]]),
        lambda v: [v[0] * v[2] + v[1] * v[3]],
        numbers,
        GRAPH,
        ["a", "b", "c", "d"],
    )


def plain_softmax(logits: list[float]) -> list[float]:
    exps = [exp(x - max(logits)) for x in logits]
    return [e / sum(exps) for e in exps]


@check(
    "softmax: probabilities",
    "Softmax",
    cases=[{"logits": [0.0, 0.0]}, {"logits": [1.0, 2.0, 3.0]}],
    logits=LISTS,
)
def probabilities(book: Book, logits: list[float]) -> None:
    text, found = call(book, "softmax", logits, len(logits))
    if min(found) < 0:
        raise Wrong(f"{text}: yours {show(found)}", hint="A probability is never below zero.")
    if not agree(sum(found), 1.0):
        raise Wrong(
            f"{text}: yours {show(found)}, which adds up to {show(sum(found))}",
            hint="Dividing each exp by the sum of all exps makes them add up to 1.",
        )
    hint = "Each one is exp(x_i) divided by the sum of all exp(x_j)."
    shares = [abs(x) / (sum(map(abs, logits)) or 1) for x in logits]
    if agree(found, shares) or agree(found, [x / (sum(logits) or 1) for x in logits]):
        hint = "Those are the shares of the logits themselves. exp comes before the division."
    elif agree(found, plain_softmax([-x for x in logits])):
        hint = "The larger logit should get the larger probability: is a sign turned round?"
    book.same(text, found, plain_softmax(logits), hint)


@check(
    "softmax: large logits",
    "Large numbers",
    after=["softmax: probabilities"],
    hint="exp(1000) is larger than any number that Python can hold, and exp(-1000) is zero. "
    "Subtract the largest logit from each first.",
    cases=[
        {"logits": [1000.0, 1001.0]},
        {"logits": [-1000.0, -1001.0]},
        {"logits": [1000.0, -1000.0]},
    ],
    logits=st.lists(st.integers(-2000, 2000).map(float), min_size=1, max_size=3),
)
def large(book: Book, logits: list[float]) -> None:
    hint = "Subtract the largest logit from each before exp."
    text, found = call(book, "softmax", logits, len(logits))
    book.same(text, found, plain_softmax(logits), hint)


@check("softmax: gradients flow back", "Softmax", after=["softmax: probabilities"])
def softmax_gradients(book: Book) -> None:
    function = book.get("layers", "softmax")
    hint = (
        "Each probability depends on all the logits, because each exp is in the sum. Is the sum "
        "made of Values, and not of their .data?"
    )
    numbers = [1.0, 2.0, 0.5]
    check_gradients(book, f"softmax({numbers})", function, plain_softmax, numbers, hint)


def plain_rmsnorm(x: list[float]) -> list[float]:
    return [a / sqrt(sum(b * b for b in x) / len(x) + EPS) for a in x]


@check(
    "rmsnorm: the root mean square becomes 1",
    "RMSNorm",
    cases=[{"x": [3.0, -3.0, 3.0, -3.0]}, {"x": [1.0, 2.0]}, {"x": [2.0, 2.0]}],
    x=LISTS,
)
def normalizes(book: Book, x: list[float]) -> None:
    text, found = call(book, "rmsnorm", x, len(x))
    total, mean = sum(a * a for a in x), sum(x) / len(x)
    square = total / len(x) + EPS
    hint = "Square each, take the mean, then the root: each number is divided by that."
    if agree(found, [a / sqrt(total + EPS) for a in x], 1e-4):
        hint = "Yours divides by the root of the sum of the squares; it takes their mean."
    elif agree(found, [a / square for a in x], 1e-4):
        hint = "Yours divides by the mean square itself; the root is missing."
    elif agree(found, [a * sqrt(square) for a in x], 1e-4):
        hint = "Yours multiplies by the root mean square; it should divide by it."
    elif agree(found, plain_rmsnorm([a - mean for a in x]), 1e-4):
        hint = "Yours subtracts the mean first, as LayerNorm does. RMSNorm only scales."
    expected = plain_rmsnorm(x)
    if agree(found, expected, 1e-3):
        hint = "Very near. RMSNORM_EPS is added to the mean square, below the root."
    book.same(text, found, expected, hint)


@check(
    "rmsnorm: very small numbers",
    "RMSNorm",
    after=["rmsnorm: the root mean square becomes 1"],
    hint="RMSNORM_EPS is added to the mean square, below the root. So zeros are not divided by "
    "zero and tiny numbers are not blown up.",
    cases=[{"x": [0.0, 0.0]}, {"x": [0.001, -0.002]}],
)
def tiny(book: Book, x: list[float]) -> None:
    text, found = call(book, "rmsnorm", x, len(x))
    book.same(text, found, plain_rmsnorm(x))


@check("rmsnorm: gradients flow back", "RMSNorm", after=["rmsnorm: the root mean square becomes 1"])
def rmsnorm_gradients(book: Book) -> None:
    function = book.get("layers", "rmsnorm")
    hint = (
        "The scale depends on all the numbers, and gradients flow through it, too. Is it a Value, "
        "and not a number made of .data?"
    )
    numbers = [1.0, -2.0, 0.5]
    check_gradients(book, f"rmsnorm({numbers})", function, plain_rmsnorm, numbers, hint)
