"""Lab 06: the loss, Adam, training runs of the reader and of the package, and their floors."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from math import exp, log, sqrt
from pathlib import Path

from docs_tools import blocks
from llmhard import corpus, drawing, grammar, model_file
from llmhard.recipe import CLASSIC, THOROUGH
from llmhard.trainer import batched
from llmhard.training_record import TrainingRecord

LOSS = ("sequence_loss",)
PARTS = (*LOSS, "Adam.step")
GUESSES = [0.02, 0.5, 0.8, 0.9]  # what a model gives to the tokens of "ducks say quack"
LOGITS = [2.0, 1.0, 0.0]  # of which token 1 comes
RATES = ["0.0001", "0.001", "0.005", "0.05"]
HEADER = ["t", "g", "m", "v", "m_hat", "v_hat", "move", "data"]
Curve = list[tuple[float, float]]


def starts() -> None:
    """Let the reader have done the labs before this one."""
    blocks.has_solved_before("training")


def writes(*slips: tuple[str, str], only: tuple[str, ...] | None = None) -> None:
    """Let the reader write training.py, or the functions in `only`, with these slips."""
    blocks.solves("training", *slips, only=only)


# ---------------------------------------------------------------- the loss


def surprise_table() -> None:
    rows = [
        ("1: certain, and right", 1.0),
        ("1/2: a coin", 1 / 2),
        ("1/10", 1 / 10),
        ("1/597: no idea", 1 / 597),
        ("1/100,000: nearly certain, and wrong", 1e-5),
    ]
    blocks.table(
        ["probability", "surprise in nats"], [[name, f"{surprise(p):.2f}"] for name, p in rows]
    )


def surprise(p: float) -> float:
    return -log(p) + 0.0  # never -0


def surprise_figure() -> None:
    curve = [(p / 100, surprise(p / 100)) for p in range(1, 101)]
    blocks.figure(
        "surprise",
        drawing.line_plot({"-log(p)": curve}, "p", "nats", height=180),
        "The surprise for every probability p from near 0 to 1: at p = 1 it is 0, it grows slowly "
        "to the left, and near p = 0 it rises steeply.",
    )


def sentence_table() -> None:
    """Show what a model reads of "ducks say quack", and how surprised it is."""
    tokens = ["BOS", "ducks", "say", "quack", "BOS"]
    rows = zip(tokens, tokens[1:], GUESSES, strict=False)
    blocks.table(
        ["it has just read", "what came", "probability", "surprise"],
        [[read, came, f"{p:.2f}", f"{surprise(p):.2f}"] for read, came, p in rows],
    )


def next_probability(beginning: str, word: str) -> float:
    return grammar.next_words(beginning)[word]


def mean_guess_loss() -> float:
    return sum(map(surprise, GUESSES)) / len(GUESSES)


def probabilities() -> list[float]:
    """Return the softmax of LOGITS."""
    total = sum(map(exp, LOGITS))
    return [exp(logit) / total for logit in LOGITS]


def pushes_figure() -> None:
    """Draw which way the loss pushes each logit, and how hard."""
    picture = drawing.Drawing()
    for i, p in enumerate(probabilities()):
        x, gradient = i * 150.0, p - (i == 1)
        picture.box(x, 0, f"logit {LOGITS[i]:g}\np {p:.3f}", "loss" if i == 1 else "plain", 110)
        away = 30 if gradient < 0 else -30
        picture.line([(x, -away), (x, -away - 110 * -gradient)], width=3, head=True)
        picture.label(x + 12, -away + 60 * gradient, f"{-gradient:+.3f}", anchor="start", size=12)
        name = "token 1 came" if i == 1 else f"token {i}"
        picture.label(x, 40 if i == 1 else -40, name, colour=drawing.MUTED)
    blocks.figure(
        "pushes",
        picture,
        "Three tokens with their logits and probabilities. Token 1 came: an arrow of 0.755 pushes "
        "its logit up. Arrows of 0.665 and 0.090 push those of the other two down.",
    )


# ---------------------------------------------------------------- Adam


def adam_table(gradients: Sequence[float]) -> None:
    """Show three steps of Adam by hand, from 1.0 at the rate 0.1."""
    rows: list[list[object]] = [
        [t, f"{g:g}", f"{m:.4g}", f"{v:.4g}", f"{m_hat:.3f}", f"{v_hat:.4g}", *moved]
        for t, g, m, v, m_hat, v_hat, move, data in adam(gradients, 0.1, 1.0)
        for moved in [[f"{move:+.4f}", f"{data:.4f}"]]
    ]
    blocks.table(HEADER, rows)


def adam(gradients: Iterable[float], lr: float, data: float) -> Iterator[tuple[float, ...]]:
    """Yield t, g, m, v, both without bias, the move and where it leads, for each gradient."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        move = -lr * m_hat / (sqrt(v_hat) + 1e-8)
        data += move
        yield t, g, m, v, m_hat, v_hat, move, data


def slow_descent(lr: float) -> Curve:
    """Return the way of the slow parameter with plain gradient descent."""
    path = [(0.0, 0.0)]
    for step in range(1, 41):
        slow = path[-1][1]
        path.append((step, slow - lr * 0.02 * (slow - 2)))
    return path


def slow_adam() -> Curve:
    """Return its way with Adam."""
    path = [(0.0, 0.0)]

    def gradients() -> Iterator[float]:
        while len(path) < 41:
            yield 0.02 * (path[-1][1] - 2)

    for t, *_, data in adam(gradients(), 0.1, 0.0):
        path.append((t, data))
    return path


def slow_figure() -> None:
    blocks.figure(
        "slow-parameter",
        drawing.line_plot(
            {
                "rate 0.1": slow_descent(0.1),
                "rate 0.9": slow_descent(0.9),
                "Adam, rate 0.1": slow_adam(),
            },
            "step",
            "slow",
            ("the best place", 2.0),
        ),
        "The slow parameter over 40 steps: with gradient descent at rate 0.1 it hardly leaves 0, "
        "at rate 0.9 it gets half of the way, with Adam it passes 2 after about 25 steps, goes a "
        "little too far and turns around.",
    )


# ---------------------------------------------------------------- the reader's own training runs


def falling_figure() -> None:
    """Draw the reader's `constant` and `falling`."""
    curves = {
        name: list(enumerate(json.loads(blocks.value(name)))) for name in ("constant", "falling")
    }
    blocks.figure(
        "falling-rate",
        drawing.line_plot(curves, "step", "x", ("2", 2.0)),
        "The parameter over 400 steps: both curves rise to about 2 within a few steps; with the "
        "constant rate it keeps swinging around 2, with the falling rate the swings become smaller "
        "and it comes to rest.",
        tolerance=0.01,
    )


def mean_of_five() -> float:
    """Return the mean that five.py has printed, which is a little above the floor."""
    (mean,) = _printed(r"^mean ([\d.]+)")
    assert 0 < mean - floor_of_five() < 0.1
    return mean


def rates_of_five() -> None:
    """Make sure that what five.py has printed at three rates is what the page says of it."""
    slow, best, fast = (mean - floor_of_five() for mean in _printed(r"^mean ([\d.]+)"))
    assert slow > 1
    assert 0 < best < 0.01 < fast < 0.5


def _printed(pattern: str) -> list[float]:
    """Return the numbers in what the last command printed, by a pattern with a group for each."""
    matches = re.findall(pattern, blocks.page.last_output, re.M)
    groups = ([match] if isinstance(match, str) else match for match in matches)
    return [float(number) for group in groups for number in group]


def floor_of_five() -> float:
    """Return the floor of five sentences of three words, each as likely as the others."""
    return log(5) / 4


# ---------------------------------------------------------------- the full model


def _record(name: str) -> TrainingRecord:
    return model_file.load(blocks.page.session.folder / f"{name}.safetensors").record


def _curves(record: TrainingRecord) -> dict[str, Curve]:
    return {
        "training": [(p.step, p.training) for p in record.curve],
        "held out": [(p.step, p.validation or 0.0) for p in record.curve],
    }


@cache
def _split() -> tuple[list[str], list[str]]:
    """Return the sentences that seed 42 trains on and those that it holds out."""
    return corpus.split(corpus.read_sentences(corpus.default_path()), random.Random(42))


def own_loss(sentences: Iterable[str]) -> float:
    """Return the grammar's own loss on sentences, in nats a token."""
    sentences = list(sentences)
    tokens = sum(len(sentence.split()) + 1 for sentence in sentences)
    return -sum(map(grammar.log_prob, sentences)) / tokens


@cache
def floors() -> tuple[float, float]:
    """Return the grammar's loss on the held-out sentences that are used, and on the others."""
    training, held_out = _split()
    return own_loss(held_out[:200]), own_loss(training)


@cache
def floor() -> float:
    """Return the floor of lab 01."""
    rng = random.Random(1)
    return own_loss(grammar.sample(rng) for _ in range(10_000))


def learning_figure() -> None:
    """Draw the losses of model.safetensors."""
    record = _record("model")
    first, last = record.curve[0], record.curve[-1]
    assert first.validation
    assert first.validation > 6
    assert 2.5 < last.training < 2.95
    blocks.figure(
        "learning",
        drawing.line_plot(
            _curves(record),
            "step",
            "nats a token",
            ("the grammar's own loss on the held-out sentences", floors()[0]),
            logarithmic=True,
        ),
        "The losses of 5,000 steps on a logarithmic axis: they begin near 6.4, fall, and end "
        "together below 3, still well above the dashed line of the grammar's own loss.",
        tolerance=0.1,
        trained=True,
    )


def rates_figure() -> None:
    """Draw the loss on held-out sentences with each of RATES."""
    records = {rate: _record(f"rate-{rate}") for rate in RATES}
    losses = [record.last_validation or 0.0 for record in records.values()]
    assert losses[0] > losses[1] > losses[2] < losses[3] - 0.2, losses
    blocks.figure(
        "rates",
        drawing.line_plot(
            {rate: _curves(record)["held out"] for rate, record in records.items()},
            "step",
            "nats a token, held out",
            ("the grammar's own loss", floors()[0]),
            logarithmic=True,
        ),
        "The loss on held-out sentences in 1,000 steps at four learning rates. At 0.0001 it falls "
        "late and little, at 0.001 further, at 0.005 furthest. At 0.05 it first rises far above "
        "where it began.",
        tolerance=1.0,
        trained=True,
    )


def overfitting_figure() -> None:
    """Draw the losses of few.safetensors."""
    blocks.figure(
        "overfitting",
        drawing.line_plot(_curves(_record("few")), "step", "nats a token", logarithmic=True),
        "The loss in 5,000 steps on 270 sentences, on a logarithmic axis: on the training "
        "sentences it falls all the time, on the 30 held-out ones it falls for a few hundred steps "
        "and then rises higher than it was at first.",
        tolerance=0.3,
        trained=True,
    )


def overfitting() -> tuple[float, int, float, float, float]:
    """Return the best held-out loss, its step, the last losses held out and trained on, the first
    one held out."""
    curve = _record("few").curve
    first, last = curve[0], curve[-1]
    best = min(curve, key=lambda point: point.validation or 0.0)
    assert first.validation
    assert best.validation
    assert last.validation
    assert best.step <= 1000
    assert last.validation > first.validation + 0.3
    assert last.training < 1.5
    return best.validation, best.step, last.validation, last.training, first.validation


def the_falling_rate_is_worth_most() -> None:
    """Make sure that what without.py has printed is what the page says of it."""
    whole, constant, no_momentum, no_correction, descent = _printed(r"(\d\.\d\d)$")
    assert constant - whole > 2 * (no_correction - whole) > 0.1
    assert abs(no_momentum - whole) < 0.05 < descent - whole < no_correction - whole


def first_comes_order() -> None:
    """Make sure that what pairs.py has printed is what the page says of it."""
    rows = [
        _printed(rf"^step +{step} .* (\d+) %.* (\d+) %.* (\d+) %$") for step in (300, 1000, 5000)
    ]
    (order, agreement, _), (_, _, halfway), (*_, close, far) = rows
    assert order > 80
    assert agreement < 75
    assert halfway < 60
    assert close > 85
    assert far < close - 15


def lessons_decide() -> None:
    """Make sure that only the lessons taken out or added matter for the last kind of pairs."""
    order, agreement, distance = zip(*batched(_printed(r"(\d+) %"), 3), strict=True)
    assert distance[0] < 60
    assert distance[1] > 85
    assert min(order) > 97
    assert min(agreement) > 88


def lines_of(name: str) -> int:
    """Return how many lines a file of the reader has."""
    return len((blocks.page.session.folder / name).read_text(encoding="utf-8").splitlines())


# ---------------------------------------------------------------- in the package


def recipes_figure() -> None:
    steps = {"classic": CLASSIC, "thorough": THOROUGH}
    blocks.figure(
        "recipes",
        drawing.line_plot(
            {
                name: [(s, r.learning_rate(s)) for s in (*range(0, r.steps, 25), r.steps - 1)]
                for name, r in steps.items()
            },
            "step",
            "learning rate",
            height=180,
        ),
        "The learning rate of both recipes over the steps: classic falls in a straight line from "
        "0.005 to 0 in 5,000 steps; thorough climbs to 0.006 in the first 125 steps and falls for "
        "17,000 in a curve, at first steeply, at last slowly.",
    )


def sentences_read() -> int:
    return THOROUGH.steps * THOROUGH.batch_size


# ---------------------------------------------------------------- the exercises


def price_of_being_wrong() -> tuple[float, float, float]:
    """Return the loss of three coins and a certain mistake, its perplexity, the loss of tenths."""
    loss = (3 * log(2) + log(1e6)) / 4
    return loss, exp(loss), log(10)


DESCENT = """
import sys

sys.path.insert(0, "my-gpt")
import training


class Descent:
    def __init__(self, parameters):
        self.parameters = parameters

    def step(self, lr):
        for p in self.parameters:
            p.data -= lr * p.grad
            p.grad = 0.0


training.Adam = Descent
"""


def without_adam(rate: str) -> str:
    """Return the mean loss of five.py with plain gradient descent."""
    folder: Path = blocks.page.session.folder
    program = folder / "descent.py"
    program.write_text(DESCENT + (folder / "five.py").read_text(encoding="utf-8"), encoding="utf-8")
    shown, errors, _ = blocks.page.session.shell(f"python descent.py {rate}", False)
    assert not errors, errors
    program.unlink()
    return shown.split("mean ")[1].split(",")[0]


def overfit_by(lines: int) -> float:
    """Return the held-out loss minus the training loss after training on so many lines."""
    _, errors, code = blocks.page.session.shell(
        f"head -n {lines} data/grade1_sentences.txt > some.txt; python -m llmhard train --quiet "
        "--preset classic --data some.txt --seed 42 --out some.safetensors",
        False,
    )
    assert code == 0, errors
    last = _record("some").curve[-1]
    assert last.validation
    return round(last.validation - last.training, 1) + 0.0  # never -0.0
