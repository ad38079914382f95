"""Lab 03: tables and drawings of slopes, computation graphs and the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import exp
from typing import Any

from docs_tools import blocks
from llmhard import Value, corpus, drawing, grammar, graphs
from llmhard.model import Config
from llmhard.tokenizer import Tokenizer

SOLUTION = "llmhard/workbook/solutions/value.py"
FIRST = ("Value.__init__", "Value.__add__")
FORWARD = (
    *FIRST,
    *(f"Value.{name}" for name in ("__mul__", "__pow__", "exp", "log", "relu")),
    *(f"Value.{name}" for name in ("__neg__", "__sub__", "__truediv__")),
)
POINTS = [(0, 5), (1, 4), (2, 4), (3, 2)]  # those of line.py


def writes(*slips: tuple[str, str], only: tuple[str, ...] | None = None) -> None:
    """Let the reader write value.py, or the functions in `only`, with these slips."""
    blocks.solves("value", *slips, only=only)


@cache
def vocab_size() -> int:
    sentences = corpus.read_sentences(corpus.default_path())
    return Tokenizer.from_sentences(sentences).vocab_size


def parameters() -> int:
    return Config(vocab_size()).n_parameters()


# ---------------------------------------------------------------- slopes


def cube(x: float) -> float:
    return x**3


def slope_figure() -> None:
    """Draw the curve and the straight line that touches it."""
    xs = [i / 10 for i in range(31)]
    curves = {
        "x ** 3": [(x, cube(x)) for x in xs],
        "slope 12, touches at x = 2": [(x, cube(2) + 12 * (x - 2)) for x in (1.35, 3.0)],
    }
    blocks.figure(
        "slope",
        drawing.line_plot(curves, "x", "", width=380, height=200),
        "The curve x ** 3 from 0 to 3, and the straight line with slope 12 that touches it at "
        "x = 2.",
    )


def nudges_table() -> None:
    """Show the slope of x ** 3 at 2 by smaller and smaller nudges, to one side and to both."""
    rows = [
        [f"{h:g}", f"{(cube(2 + h) - cube(2)) / h:.6f}", f"{both_sides(cube, 2, h):.6f}"]
        for h in (1.0, 0.1, 0.01, 0.001)
    ]
    blocks.table(["nudge", "from 2 to 2 + nudge", "from 2 - nudge to 2 + nudge"], rows)


def both_sides(function: Callable[[float], float], x: float, nudge: float) -> float:
    return (function(x + nudge) - function(x - nudge)) / (2 * nudge)


def local_gradients_table() -> None:
    """Show the local gradients by rule, as the engine computes them, and by nudging."""
    operations: list[tuple[str, Callable[..., Any], tuple[float, ...], tuple[str, ...]]] = [
        ("a + b", lambda a, b: a + b, (2.0, 3.0), ("1", "1")),
        ("a * b", lambda a, b: a * b, (2.0, 3.0), ("b", "a")),
        ("a ** 3", lambda a: a**3, (2.0,), ("3 * a ** 2",)),
        ("a ** -1", lambda a: a**-1, (2.0,), ("-1 * a ** -2",)),
        ("exp(a)", lambda a: a.exp(), (2.0,), ("exp(a)",)),
        ("log(a)", lambda a: a.log(), (2.0,), ("1 / a",)),
        ("relu(a)", lambda a: a.relu(), (2.0,), ("1",)),
        ("relu(a), a = -2", lambda a: a.relu(), (-2.0,), ("0",)),
    ]
    rows: list[list[object]] = []
    for title, function, numbers, rules in operations:
        by_rule = function(*map(Value, numbers)).local_grads
        for i, rule in enumerate(rules):
            nudged = nudged_slope(function, numbers, i) + 0.0
            row = [f"`{title}`", f"`{'ab'[i]}`", f"`{rule}`", f"{by_rule[i]:.4f}", f"{nudged:.4f}"]
            rows.append(list(row))
    blocks.table(["operation", "with respect to", "rule", "computed", "nudged"], rows)


def nudged_slope(function: Callable[..., Any], numbers: tuple[float, ...], i: int) -> float:
    """Return the slope with respect to number i, by a nudge to both sides."""
    step = 1e-6
    up, down = ([n + sign * step * (i == j) for j, n in enumerate(numbers)] for sign in (1.0, -1.0))
    return (function(*map(Value, up)).data - function(*map(Value, down)).data) / (2 * step)


# ---------------------------------------------------------------- graphs


def product_and_sum() -> dict[str, Value]:
    """Compute the example of the lab: d = a * b + a."""
    a, b = Value(2.0), Value(3.0)
    c = a * b
    return {"a": a, "b": b, "c": c, "d": c + a}


def forward_figure() -> None:
    names = product_and_sum()
    blocks.figure(
        "computation-graph",
        graphs.graph(names["d"], names),
        "The computation graph: a with data 2 and b with data 3 lead to c, their product, with "
        "data 6; c and a lead to d, their sum, with data 8. Every grad is 0. The arrows carry the "
        "local gradients: 3 from a to c, 2 from b to c, 1 from c to d and 1 from a to d.",
    )


def attributes_table() -> None:
    """Show what each Value of the example keeps."""
    names = product_and_sum()
    rows: list[list[object]] = []
    for name, value in names.items():
        children = ", ".join(_name(child, names) for child in value.children)
        local = ", ".join(f"{gradient:g}" for gradient in value.local_grads)
        rows.append([f"`{name}`", f"{value.data:g}", children or "none", local or "none"])
    blocks.table(["Value", "`data`", "`children`", "`local_grads`"], rows)


def _name(value: Value, names: Mapping[str, Value]) -> str:
    return next(f"`{name}`" for name, other in names.items() if other == value)


# ---------------------------------------------------------------- backward, step by step

Frame = tuple[str, dict[str, str], set[tuple[str, str]]]  # title, grads, the arrows that are used


def backward_frames() -> list[Frame]:
    """Return the backward pass of d = a * b + a: what is known after each step."""
    names = product_and_sum()
    label = {value: name for name, value in names.items()}
    parts = {names["d"]: [1.0]}  # what has arrived at each value
    frames: list[Frame] = [("begin with 1 at d", {"d": "1"}, set())]
    for name in ("d", "c"):
        value = names[name]
        for child, local in zip(value.children, value.local_grads, strict=True):
            parts.setdefault(child, []).append(sum(parts[value]) * local)
        known = {
            label[v]: "+".join(f"{part:g}" for part in arrived) for v, arrived in parts.items()
        }
        used = {(name, label[child]) for child in value.children}
        frames.append((f"{name} passes on its {sum(parts[value]):g}", known, used))
    return frames


def backward_figure() -> None:
    """Draw the steps side by side, and each alone; what moves in a step is coloured."""
    picture = drawing.Drawing()
    frames = backward_frames()
    for number, frame in enumerate(frames):
        _draw_frame(picture, number * 215.0, number + 1, frame)
    names = product_and_sum()
    blocks.steps(
        "backward-steps",
        graphs.backward_steps(names["d"], names),
        picture,
        "The graph of d = a * b + a in three steps. Step 1: d has the gradient 1, the others none "
        "yet. Step 2: d has passed on 1 times 1 to c and to a. Step 3: c has passed on 1 times 3 "
        "to a, which now has 1 plus 3, and 1 times 2 to b.",
    )


def _draw_frame(picture: drawing.Drawing, x: float, number: int, frame: Frame) -> None:
    title, grads, used = frame
    places = {"a": (x, 0.0), "b": (x + 110, 0.0), "c": (x + 110, 95.0), "d": (x + 55, 190.0)}
    now = {end for arrow in used for end in arrow} or {"d"}
    boxes = {
        name: picture.box(
            *place, f"{name}\ngrad {grads.get(name, '?')}", "loss" if name in now else "plain", 74
        )
        for name, place in places.items()
    }
    for parent, child, local in (
        ("d", "c", "1"),
        ("d", "a", "1"),
        ("c", "a", "3"),
        ("c", "b", "2"),
    ):
        start, end = boxes[parent].top, boxes[child].bottom
        colour = drawing.CURVES[3] if (parent, child) in used else drawing.EDGE
        picture.line(
            [start, end], colour=colour, width=2 if colour != drawing.EDGE else 1.3, head=True
        )
        picture.note((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, f"* {local}")
    picture.label(x + 55, -52, f"{number}. {title}", size=12, colour=drawing.MUTED)


def order_example() -> dict[str, Value]:
    """Compute the example in which the order matters, without its gradients."""
    a, b = Value(2.0), Value(3.0)
    c = a + b
    d = c * c
    return {"a": a, "b": b, "c": c, "d": d, "e": d + c}


def order_figure() -> None:
    names = order_example()
    blocks.figure(
        "order",
        graphs.graph(names["e"], names),
        "a and b lead to c with local gradients of 1; c leads twice to d, by 5 each, and once to "
        "e, by 1; d leads to e by 1. Every grad is 0.",
    )


def order_answer() -> None:
    """Say which gradients the example has."""
    names = order_example()
    names["e"].backward()
    left, right = names["d"].local_grads
    direct = names["e"].local_grads[1]
    a, c = names["a"].grad, names["c"].grad
    assert c == left + right + direct
    blocks.text(f"""
    `c` gets {left:g} and {right:g} from `d`, one for each use, and {direct:g} from `e`: together
    {c:g}. `a` gets all of it, `{c:g} * 1 = {a:g}`.
    """)


def visits_table() -> None:
    """Show the list of what is to be visited, from step to step; an asterisk is the mark."""
    names = product_and_sum()
    label = {value: name for name, value in names.items()}
    order: list[Value] = []
    seen: set[Value] = set()
    to_visit = [(names["d"], False)]
    rows: list[list[object]] = []
    while to_visit:
        value, done = to_visit.pop()
        if done:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            to_visit += [(value, True), *((child, False) for child in value.children)]
        waiting = " ".join(label[v] + "*" * mark for v, mark in to_visit)
        rows.append(
            [
                f"`{label[value]}{'*' * done}`",
                f"`{waiting}`" if waiting else "nothing",
                f"`{' '.join(label[v] for v in order)}`" if order else "nothing",
            ]
        )
    blocks.table(["taken out", "still to visit", "order so far"], rows)


# ---------------------------------------------------------------- learning


def line_figure() -> None:
    """Draw the points and the lines that line.py has just printed."""
    lines = {step: _line(step) for step in (0, 5, 30)}
    assert lines[5][0] > 0 > lines[30][0]
    curves = {
        f"step {step}": [(x, slope * x + height) for x in (0, 3)]
        for step, (slope, height) in lines.items()
    }
    blocks.figure(
        "line",
        drawing.line_plot(
            {"points": POINTS} | curves, "x", "y", width=380, height=220, apart=["points"]
        ),
        "The four points and the lines after 0, 5 and 30 steps: the first lies flat on the ground, "
        "the second has been lifted and tilted the wrong way, the third runs along the points.",
    )


def _line(step: int) -> tuple[float, float]:
    """Return slope and height as line.py printed them."""
    slope = blocks.found(rf"step +{step}: y = (-?[\d.]+)")
    height = blocks.found(rf"step +{step}: y = .* \+ (-?[\d.]+)")
    return float(slope), float(height)


def loss_after(rate: float, steps: int = 30) -> float:
    """Return the loss of line.py after so many steps at this learning rate."""
    slope = height = 0.0
    for _ in range(steps):
        away = [slope * x + height - y for x, y in POINTS]
        by_slope = sum(2 * d * x for d, (x, _) in zip(away, POINTS, strict=True)) / len(POINTS)
        by_height = sum(2 * d for d in away) / len(POINTS)
        slope, height = slope - rate * by_slope, height - rate * by_height
    return sum((slope * x + height - y) ** 2 for x, y in POINTS) / len(POINTS)


def came() -> list[int]:
    """Return the counts that word.py has just printed, after a look at what it learned."""
    exact = grammar.next_words("sam is cold when it")
    for word, chance in exact.items():
        assert abs(float(blocks.found(rf"step 30:.* {word} ([\d.]+)")) - chance) < 0.03
    counts = blocks.found(r"Counter\(\{(.*)\}\)")
    return [int(pair.rpartition(" ")[2]) for pair in counts.split(", ")]


def first_gradient(counts: list[int]) -> tuple[float, float, float]:
    """Return what is expected of the first word at step 0, what came, and the gradient."""
    scores = [Value(0.0) for _ in counts]
    total = sum(score.exp() for score in scores)
    surprise = -sum(
        n * (score.exp() / total).log() for n, score in zip(counts, scores, strict=True)
    )
    (surprise / sum(counts)).backward()
    expected, share = 1 / len(counts), counts[0] / sum(counts)
    assert abs(scores[0].grad - (expected - share)) < 1e-9
    return expected, share, scores[0].grad


# ---------------------------------------------------------------- exercises


def tanh_gradient() -> float:
    x = Value(0.5)
    x.tanh().backward()
    return x.grad


def nudge_errors() -> dict[int, float]:
    """Return how wrong the slope of exp at 1 is by a nudge with so many places."""
    errors = {n: abs(both_sides(exp, 1.0, 10.0**-n) - exp(1)) for n in range(1, 16)}
    assert min(errors, key=lambda n: errors[n]) in (5, 6, 7)
    assert max(errors, key=lambda n: errors[n]) == 15
    return errors
