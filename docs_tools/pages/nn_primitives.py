"""Lab 04: tables and drawings of linear layers, softmax and rmsnorm."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt

from docs_tools import blocks
from llmhard import Value, drawing, graphs

SOLUTION = "llmhard/workbook/solutions/layers.py"
EPS = 1e-5

X = [1, 2, 3]
W = [[2, 0, 1], [-1, 3, 0.5]]
WORDS = ["cake", "pie", "pizza", "little", "dog"]
LOGITS = [3.0, 2.5, 2.0, 0.0, -1.0]
TOO_LARGE = [
    ("    largest = max(x.data for x in logits)\n", ""),
    (
        "exps = [(x - largest).exp() for x in logits]\n",
        "exps = []\n    for x in logits:\n        exps.append(x.exp())\n",
    ),
]

Row = Sequence[float]


def before() -> None:
    """Let the reader have done the labs before this one."""
    blocks.has_solved_before("layers")


def writes(*names: str, slips: Sequence[tuple[str, str]] = ()) -> None:
    """Let the reader write these functions of layers.py, with these slips."""
    blocks.solves("layers", *slips, only=names)


# ---------------------------------------------------------------- the formulas, on plain numbers


def linear(x: Row, w: Sequence[Row]) -> list[float]:
    return [sum(a * b for a, b in zip(row, x, strict=True)) for row in w]


def softmax(x: Row) -> list[float]:
    exps = [exp(a - max(x)) for a in x]
    return [a / sum(exps) for a in exps]


def root_mean_square(x: Row) -> float:
    return sqrt(sum(a * a for a in x) / len(x))


def rmsnorm(x: Row) -> list[float]:
    return [a / sqrt(root_mean_square(x) ** 2 + EPS) for a in x]


def products(row: Row, x: Row) -> str:
    """Write a dot product out: "2 * 1 + 0 * 2 + 1 * 3"."""
    return " + ".join(f"{a:g} * {b:g}" for a, b in zip(row, x, strict=True)).replace("+ -", "- ")


# ---------------------------------------------------------------- the linear layer


def dot_product() -> None:
    """Write out the dot product of the vector and the first row."""
    blocks.formula(f"{W[0]} . {X} = {products(W[0], X)} = {linear(X, W)[0]:g}")


def linear_figure() -> None:
    """Draw the matrix under the vector, and show the result of each row."""
    layer, cell, y = drawing.Drawing(), 56, linear(X, W)
    for j, number in enumerate(X):
        layer.box(j * cell, -48, f"{number:g}", "data", width=cell - 6)
    layer.label(-50, -48, "x", anchor="end")
    for i, row in enumerate(W):
        for j, weight in enumerate(row):
            layer.box(j * cell, i * 34, f"{weight:g}", "parameter", width=cell - 6)
        layer.label(-50, i * 34, f"row {i}", anchor="end")
        layer.arrow((2 * cell + 30, i * 34), (2 * cell + 76, i * 34))
        layer.box(2 * cell + 106, i * 34, f"{y[i]:g}", "operation", width=cell - 2)
    blocks.figure(
        "linear",
        layer,
        "A vector x of three numbers above a matrix of two rows and three columns. Each row, "
        "multiplied with x place by place and added up, gives one number of the result.",
    )
    blocks.table(
        ["row", "times `x`", "result"],
        [[i, products(row, X), f"{y[i]:g}"] for i, row in enumerate(W)],
    )


# ---------------------------------------------------------------- softmax


def softmax_table() -> None:
    exps, p = [exp(a) for a in LOGITS], softmax(LOGITS)
    rows: list[list[object]] = [
        [word, f"{logit:.1f}", f"{e:.2f}", f"{share:.3f}"]
        for word, logit, e, share in zip(WORDS, LOGITS, exps, p, strict=True)
    ]
    rows.append(["sum", "", f"{sum(exps):.2f}", f"{sum(p):.3f}"])
    blocks.table(["word", "logit", "exp", "probability"], rows)


def stretched_figure() -> None:
    """Show the probabilities of the logits doubled, as they are, and halved."""
    columns = (softmax([a * factor for a in LOGITS]) for factor in (2, 1, 0.5))
    blocks.figure(
        "softmax-stretched",
        drawing.heat_map(list(zip(*columns, strict=True)), WORDS, ["2 x", "x", "x / 2"]),
        "The probabilities of the five words for doubled logits, logits as they are and halved "
        "logits. Doubled, the first word has most of the probability; halved, the probabilities "
        "are more alike.",
    )


def large_table() -> None:
    large = [1000.0, 1001.0]
    shifted = [a - max(large) for a in large]
    blocks.table(
        ["logit", "minus the largest", "exp", "probability"],
        [
            [f"{a:.0f}", f"{b:.0f}", f"{exp(b):.4f}", f"{p:.4f}"]
            for a, b, p in zip(large, shifted, softmax(large), strict=True)
        ],
    )


# ---------------------------------------------------------------- rmsnorm


def rmsnorm_table() -> None:
    rows = ([1, 2, 2, 4], [100, 200, 200, 400], [-1, 2, 2, -4], [0.001, 0.002, 0.002, 0.004])
    blocks.table(
        ["`x`", "root mean square", "`rmsnorm(x)`"],
        [
            [
                ", ".join(f"{a:.4g}" for a in x),
                f"{root_mean_square(x):.4g}",
                ", ".join(f"{a + 0.0:.4f}" for a in rmsnorm(x)),
            ]
            for x in (*rows, [0, 0, 0, 0])
        ],
    )


# ---------------------------------------------------------------- exercises

FIRST, SECOND = [[1, 2], [0, 1], [3, 0]], [[1, 0, 1], [2, 1, 0]]


def both() -> list[list[float]]:
    """Return the one matrix that does what FIRST and then SECOND do."""
    columns = (linear(linear(x, FIRST), SECOND) for x in ([1, 0], [0, 1]))
    return [list(row) for row in zip(*columns, strict=True)]


# ---------------------------------------------------------------- backward, step by step


def loss_figure() -> None:
    """Go backward from the loss of three words, of which "pie" came, to their logits."""
    words = WORDS[:3]
    logits = [Value(x) for x in LOGITS[:3]]
    exps = [x.exp() for x in logits]
    total = exps[0] + exps[1] + exps[2]
    p = exps[1] / total
    loss = -p.log()
    names = dict(zip(words, logits, strict=True)) | {"sum": total, "p": p, "loss": loss}
    pictures = graphs.backward_steps(loss, names, spec=".3f")
    loss.backward()
    shares = softmax(LOGITS[:3])
    blocks.steps(
        "backward-from-the-loss",
        pictures,
        graphs.graph(loss, names, spec=".3f"),
        "From the logits of cake, pie and pizza down to the loss of pie, with all gradients: "
        f"cake has {shares[0]:.3f}, its probability, pizza {shares[2]:.3f}, and pie "
        f"{shares[1] - 1:.3f}, its probability minus 1.",
    )
