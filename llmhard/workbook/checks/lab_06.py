"""Lab 06: the training loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from math import exp, log, sqrt
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from llmhard.workbook.answers import Wrong, agree, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks

check = Checks("06")

Rows = list[list[float]]
UNIFORM = [[0.0] * 4] * 4
LEANING = [
    [2.0, 0.0, 1.0, -1.0],
    [0.0, 1.5, -1.0, 0.5],
    [1.0, -2.0, 0.0, 2.5],
    [0.5, 1.0, 3.0, 0.0],
]


class Table:
    """A model whose logits depend on the newest token only: a row of a table for each token."""

    def __init__(self, book: Book, rows: Rows, block_size: int = 8) -> None:
        self.config = SimpleNamespace(n_layer=1, block_size=block_size, vocab_size=len(rows))
        self.rows = [[book.engine(x) for x in row] for row in rows]
        self.read: list[int] = []
        self.caches: list[Any] = []

    def __call__(self, token: int, cache: Any) -> list[Any]:
        self.read.append(token)
        self.caches.append(cache)
        cache.keys[0].append([])
        cache.values[0].append([])
        return self.rows[token]

    @property
    def parameters(self) -> dict[str, list[list[Any]]]:
        return {"table.weight": self.rows}

    def scalars(self) -> list[Any]:
        return [p for row in self.rows for p in row]


def surprises(rows: Rows, tokens: list[int]) -> list[float]:
    """-log of the probability of each token after the one before it."""
    return [
        log(sum(map(exp, rows[token]))) - rows[token][after] for token, after in pairwise(tokens)
    ]


def loss_of(book: Book, model: Table, tokens: list[int]) -> float:
    function = book.get("training", "sequence_loss")
    text = f"sequence_loss(model, {tokens})"
    found = book.value(text, book.attempt(text, lambda: function(model, tokens), tokens=tokens))
    return float(found.data)


@check("the loss of a model that only guesses", "The loss", cases=[{"tokens": [0, 3, 1, 0]}])
def guesses(book: Book, tokens: list[int]) -> None:
    found = loss_of(book, Table(book, UNIFORM), tokens)
    hint = (
        "A model that gives each of 4 tokens the probability 1/4 is surprised by log 4 each time."
    )
    if agree(found, -log(4)):
        hint = "The sign: surprise is minus the logarithm of the probability."
    elif agree(found, 3 * log(4)):
        hint = "Yours is the sum of the surprises. Divide it by their number."
    elif found and agree(3 * log(4) / found, float(round(3 * log(4) / found))) and found < log(4):
        hint = f"Yours divides the sum by {round(3 * log(4) / found)}. It is a mean of 3 surprises."
    elif agree(found, log(4) / log(10)):
        hint = "Yours takes the logarithm to the base 10: here it is the natural one, Value.log()."
    elif agree(found, 2.0):
        hint = "Yours counts in bits: the logarithm here is the natural one, Value.log()."
    elif agree(found, 0.75):
        hint = "Yours is 1 minus the probability. The surprise is minus its logarithm, -log(1/4)."
    elif agree(found, 0.0):
        hint = "The softmax is missing: a logit is not a logarithm of a probability yet."
    elif agree(found, 0.25):
        hint = "Yours is the probability. The surprise is minus its logarithm."
    book.same(f"sequence_loss(model, {tokens}) of a uniform model", found, log(4), hint)


@check(
    "the loss is the mean surprise",
    "The loss",
    after=["the loss of a model that only guesses"],
    cases=[{"tokens": [0, 3, 1, 0]}, {"tokens": [0, 2]}],
    tokens=st.lists(st.integers(0, 3), min_size=2, max_size=6),
)
def means(book: Book, tokens: list[int]) -> None:
    model, got = Table(book, LEANING), Rows()
    with softmax_watched(book, got):
        found = loss_of(book, model, tokens)
    each = surprises(LEANING, tokens)
    expected = sum(each) / len(each)
    if not agree(found, expected) and model.read != tokens[:-1]:
        check_reads(book, model, tokens)
    hint = ""
    guess = "After reading a token, the model is asked for the one that comes next."
    logs = [log(sum(exp(x) for x in LEANING[t])) for t in tokens]
    same = [logs[i] - LEANING[t][t] for i, t in enumerate(tokens)]
    back = surprises(LEANING, tokens[::-1])
    if agree(found, sum(back) / len(back)):
        hint = "Yours goes backward: it reads a token and asks for the one before it."
    elif agree(found, sum(same[:-1]) / len(each)) or agree(found, sum(same) / len(same)):
        hint = "Yours asks for the token that was just read, not for the next one."
    elif agree(found, -expected):
        hint = "The sign: surprise is minus the logarithm of the probability."
    elif agree(found, sum(each)):
        hint = "Yours is the sum of the surprises. Divide it by their number."
    elif agree(found, sum(each) / len(tokens)):
        hint = "Yours divides by the number of tokens; one less is predicted."
    elif len(each) > 1 and agree(found, sum(each[:-1]) / len(each[:-1])):
        hint = "The last token, the closing BOS, is missing: a sentence's end is predicted, too."
    elif len(each) > 1 and agree(found, each[0]):
        hint = "Yours is the first surprise alone. The loss is the mean of all of them."
    elif agree(found, each[-1]):
        hint = "Yours is the last surprise alone. The loss is the mean of all of them."
    elif agree(
        found, sum(logs[i] - max(LEANING[t]) for i, t in enumerate(tokens[:-1])) / len(each)
    ):
        hint = "Yours asks for the likeliest token, not for the one that comes next."
    elif agree(found, sum(-LEANING[a][b] for a, b in pairwise(tokens)) / len(each)):
        hint = "The softmax is missing: a logit is not a logarithm of a probability yet."
    elif agree(found, -log(sum(exp(-x) for x in each) / len(each))):
        hint = "Yours is the logarithm of the mean probability. Take the logarithm of each first, "
        hint += "and then the mean."
    for always in range(4):
        fixed = [logs[i] - LEANING[a][always] for i, a in enumerate(tokens[:-1])]
        if not hint and agree(found, sum(fixed) / len(fixed)):
            hint = f"Yours always takes the probability of token {always}, not of the next one."
    for shift in (-1, 1):
        moved = [logs[i] - LEANING[a][(b + shift) % 4] for i, (a, b) in enumerate(pairwise(tokens))]
        if not hint and agree(found, sum(moved) / len(moved)):
            hint = f"Yours takes the probability of token {shift:+d} from the one that comes next."
    divisor = sum(each) / found if found else 0.0
    if not hint and agree(divisor, float(round(divisor))):
        hint = f"Yours divides the sum by {round(divisor)}. It is a mean of {len(each)} surprises."
    given = [LEANING[token] for token in tokens[:-1]]
    if not hint and got and not agree(got, given) and not agree(found, expected):
        raise Wrong(
            f"sequence_loss(model, {tokens}): what softmax gets",
            f"yours:     {show(got)}",
            f"should be: {show(given)}, the logits after each token, once.",
            hint="Softmax turns logits into probabilities. It is for logits only.",
        )
    text = f"sequence_loss(model, {tokens}), the mean of the surprises {show(each)}"
    book.same(text, found, expected, hint, guess)


@check(
    "one cache for the sentence, and all its tokens in order",
    "The loss",
    after=["the loss of a model that only guesses", "the loss is the mean surprise"],
)
def reads(book: Book) -> None:
    model, tokens = Table(book, LEANING), [0, 3, 1, 2, 0]
    loss_of(book, model, tokens)
    check_reads(book, model, tokens)
    if len({id(c) for c in model.caches}) > 1:
        raise Wrong(
            f"sequence_loss(model, {tokens}) gives the model more than one cache.",
            hint="With a new KVCache at each token the model forgets what it has read: make it "
            "before the loop.",
        )
    first = model.caches[0]
    loss_of(book, model, tokens)
    if model.caches[-1] is first:
        raise Wrong(
            "A second call of sequence_loss uses the cache of the first.",
            hint="Make a new KVCache in each call: another sentence has another past.",
        )


@check(
    "a list that is too long or too short",
    "The loss",
    after=["one cache for the sentence, and all its tokens in order"],
)
def cuts(book: Book) -> None:
    model = Table(book, LEANING, block_size=3)
    found = loss_of(book, model, long := [0, 1, 2, 3, 1, 0])
    each = surprises(LEANING, [0, 1, 2, 3])
    hint = "The model reads block_size tokens at most; the last of these predicts one more."
    text = f"the tokens that a model with block_size = 3 reads of {long}"
    book.same(text, model.read, [0, 1, 2], hint)
    book.same("the loss of [0, 1, 2, 3, 1, 0] with block_size = 3", found, sum(each) / 3, hint)
    function = book.get("training", "sequence_loss")
    for tokens in ([], [0]):
        text = f"sequence_loss(model, {tokens})"
        book.refuses(text, ValueError, partial(function, Table(book, LEANING), tokens))


@check(
    "the gradient of the loss",
    "The loss",
    after=["one cache for the sentence, and all its tokens in order"],
    hint="The loss is computed with Values from the logits on: a number made of .data knows "
    "nothing of the model.",
)
def flows(book: Book) -> None:
    model = Table(book, LEANING)
    function = book.get("training", "sequence_loss")
    loss = book.attempt("sequence_loss(model, [0, 3])", lambda: function(model, [0, 3]))
    book.attempt("loss.backward()", book.value("sequence_loss(model, [0, 3])", loss).backward)
    exps = [exp(x) for x in LEANING[0]]
    expected = [e / sum(exps) - (i == 3) for i, e in enumerate(exps)]
    text = "sequence_loss(model, [0, 3]).backward(): the gradients of the logits after token 0"
    book.same(text, [p.grad for p in model.rows[0]], expected)


def check_reads(book: Book, model: Table, tokens: list[int]) -> None:
    text = f"sequence_loss(model, {tokens}): the tokens that the model reads"
    hint = "It reads each token but the last, which has nothing after it to predict."
    if tokens[0] == 0 and model.read == tokens[1:-1]:
        hint = "The first token, BOS, is read, too: it is what the first word is predicted from."
    elif model.read == tokens[:0:-1] or model.read == tokens[1:]:
        hint = "Yours goes backward: it reads a token and asks for the one before it."
    elif model.read == tokens[:-2]:
        hint = "The last token, the closing BOS, is missing: a sentence's end is predicted, too."
    book.same(text, model.read, tokens[:-1], hint)


@contextmanager
def softmax_watched(book: Book, got: Rows) -> Iterator[None]:
    """Note what the softmax of the reader's training.py gets."""
    own = getattr(book.module("training"), "softmax", None)

    def watched(logits: Any) -> Any:
        got.append([getattr(x, "data", x) for x in logits])
        return own(logits) if own else None

    with book.replaced("training", "softmax", watched if own else None):
        yield


# ---------------------------------------------------------------- Adam


def adam(grads: Rows, lr: float, slip: str = "") -> Rows:
    """The data of parameters that begin at 1.0, after each step."""
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    if slip == "swapped":
        beta1, beta2 = beta2, beta1
    share1, share2 = 1 - beta1, 1 - beta2
    keep1, keep2 = beta1, beta2
    if slip == "shares":
        keep1, keep2, share1, share2 = share1, share2, keep1, keep2
    elif slip == "swapped means":
        keep1, keep2, share1, share2 = keep2, keep1, share2, share1
    elif slip == "beta1 twice":
        keep2, share2 = keep1, share1
    elif slip == "sum":
        share1 = share2 = 1
    n = len(grads[0])
    data, m, v, history = [1.0] * n, [0.0] * n, [0.0] * n, []
    for t, row in enumerate(grads, start=1):
        step = t
        for i, g in enumerate(row):
            t = {"t": 1, "t ahead": step + 1, "t each": (step - 1) * n + i + 1}.get(slip, step)
            if slip in ("forgets", "forgets m"):
                m[i] = 0.0
            if slip == "forgets":
                v[i] = 0.0
            m[i] = keep1 * m[i] + share1 * g
            v[i] = keep2 * v[i] + share2 * g * g
            if slip == "no mean":
                m[i] = g
            m_hat = m[i] if slip in ("none", "no m") else m[i] / (1 - beta1**t)
            v_hat = v[i] if slip in ("none", "no v") else v[i] / (1 - beta2**t)
            if slip == "beta2 for m":
                m_hat = m[i] / (1 - beta2**t)
            elif slip == "beta1 for v":
                v_hat = v[i] / (1 - beta1**t)
            elif slip == "times t for m":
                m_hat = m[i] / (1 - beta1 * t)
            elif slip in ("keeps m_hat", "keeps both"):
                m[i] = m_hat
                v[i] = v_hat if slip == "keeps both" else v[i]
            if slip == "no root":
                move = lr * m_hat / (v_hat + eps)
            elif slip == "no v at all":
                move = lr * m_hat
            elif slip == "eps":
                move = lr * m_hat / sqrt(v_hat + eps)
            elif slip == "eps behind":
                move = lr * m_hat / (sqrt(v_hat) or 1.0) - eps
            else:
                move = lr * m_hat / (sqrt(v_hat) + eps)
            data[i] += move if slip == "up" else -move
            if slip == "replaced":
                data[i] = -move
            elif slip in ("still", "zeroed") or (slip == "first only" and i > 0):
                data[i] = 1.0
        history.append(list(data))
    return history


ADAM_SLIPS = {
    "zeroed": "Nothing moves, because every gradient is 0.0 when it is read. Set it to 0.0 after "
    "the move.",
    "still": "Nothing moves: the result goes to another name than p.data.",
    "first only": "Only the first parameter moves. Does the loop end too early?",
    "replaced": "The step replaces the number: subtract it from p.data, with -=.",
    "shares": "The shares have changed places: m keeps beta1 of what it was and gets 1 - beta1 of "
    "the gradient, v likewise.",
    "swapped means": "beta1 and beta2 have changed places: beta1 belongs to m.",
    "beta1 twice": "v is made with beta1. beta2 belongs to v.",
    "beta2 for m": "m is divided by 1 - beta2**t. beta1 belongs to m.",
    "beta1 for v": "v is divided by 1 - beta1**t. beta2 belongs to v.",
    "times t for m": "Yours divides m by 1 - beta1 * t. It is a power: 1 - beta1**t.",
    "keeps m_hat": "m itself is replaced by m / (1 - beta1**t). The next step goes on with m as "
    "it was before: give the quotient a name of its own.",
    "keeps both": "m and v themselves are replaced by what was divided. The next step goes on with "
    "m and v as they were before: give the quotients names of their own.",
    "eps behind": "eps is outside: the whole sum sqrt(...) + eps goes below the line, in brackets.",
    "up": "Yours goes uphill. The gradient says where the loss grows: subtract.",
    "none": "The divisions by 1 - beta1**t and 1 - beta2**t are missing: m and v start at zero and "
    "are too small in the first steps.",
    "no m": "m is not divided by 1 - beta1**t: it starts at zero and is too small in the first "
    "steps.",
    "no v": "v is not divided by 1 - beta2**t: it starts at zero and is too small in the first "
    "steps.",
    "no root": "The square root of v is missing.",
    "no v at all": "The division by the root of v is missing.",
    "swapped": "beta1 and beta2 have changed places: beta1 belongs to m.",
    "t": "t does not grow: it is 1 at the first step, 2 at the second, and so on.",
    "t ahead": "beta1**t and beta2**t use a t that is one too large: it is 1 at the first step.",
    "t each": "t grows with every parameter: it counts the steps, so it belongs before the loop.",
    "forgets": "m and v are not kept: the next step goes on with self.m[i] and self.v[i].",
    "forgets m": "m is not kept: the next step goes on with self.m[i].",
    "eps": "eps is under the root: add it to the root of v.",
    "sum": "The gradient comes in with the share 1 - beta, so that m is a mean and not a sum.",
    "no mean": "m should keep a share beta1 of what it was.",
}


ADAM_KEEPS = {"shares", "swapped means", "swapped", "beta1 twice", "t", "t each", "forgets"}
ADAM_KEEPS |= {"forgets m", "keeps m_hat", "keeps both", "sum", "no mean", "first only", "zeroed"}
KEPT = "self.m, self.v and self.t are right after it, so it is what is made of them."


def kept_by(optimizer: Any, grads: Rows) -> list[str]:
    """Compare what the optimizer has kept, m, v and t, with what it should be after these steps."""
    n = len(grads[0])
    m, v = [0.0] * n, [0.0] * n
    for row in grads:
        m = [0.9 * old + 0.1 * g for old, g in zip(m, row, strict=True)]
        v = [0.999 * old + 0.001 * g * g for old, g in zip(v, row, strict=True)]
    for name, expected in (("t", len(grads)), ("m", m), ("v", v)):
        found = getattr(optimizer, name, expected)
        if not agree(found, expected, 1e-9):
            return [f"self.{name} is {show(found)} after it and should be {show(expected)}."]
    return [KEPT]


def times(found: list[float], wanted: list[float]) -> list[str]:
    """Say so if every move from 1.0 has the same wrong length."""
    moves = [(f - 1.0) / (w - 1.0) for f, w in zip(found, wanted, strict=True) if w != 1.0]
    if moves and moves[0] and agree(moves, moves[:1] * len(moves), 1e-4):
        return [f"Every move is {moves[0]:.4g} times as far as it should be."]
    return []


def check_adam(book: Book, grads: Rows, lr: float) -> None:
    make = book.get("training", "Adam")
    parameters = [book.engine(1.0) for _ in grads[0]]
    optimizer = book.attempt("Adam(parameters)", lambda: make(parameters))
    history: Rows = []
    kept: list[list[str]] = []
    for step, row in enumerate(grads, start=1):
        for p, g in zip(parameters, row, strict=True):
            p.grad = g
        book.attempt(f"Adam(parameters).step({lr})", lambda: optimizer.step(lr))
        history.append([float(book.number("p.data", p.data)) for p in parameters])
        kept.append(kept_by(optimizer, grads[:step]))
    expected = adam(grads, lr)
    hint = ""
    is_kept = all(lines == [KEPT] for lines in kept)
    for slip, known in ADAM_SLIPS.items():
        if is_kept != (slip in ADAM_KEEPS) and all(
            agree(f, e, 1e-7) for f, e in zip(history, adam(grads, lr, slip), strict=True)
        ):
            hint = known
            break
    for step, (found, wanted) in enumerate(zip(history, expected, strict=True), start=1):
        if not agree(found, wanted, 1e-7):
            raise Wrong(
                f"Parameters that begin at 1.0, lr = {lr}, after step {step} with the gradients "
                f"{show(grads[step - 1])}:",
                f"yours:     {show(found)}",
                f"should be: {show(wanted)}",
                *kept[step - 1],
                *times(found, wanted),
                hint=hint,
                guess="Compare with the three lines of the formula.",
            )


@check("Adam: the first step", "Adam", cases=[{"grads": [3.0, -0.5]}, {"grads": [0.001, 20.0]}])
def first_step(book: Book, grads: list[float]) -> None:
    check_adam(book, [grads], 0.05)


@check(
    "Adam: several steps",
    "Adam",
    after=["Adam: the first step"],
    cases=[{"grads": [[3.0, -0.5], [1.0, -0.5], [-2.0, 0.25]]}],
    grads=st.lists(
        st.lists(st.sampled_from([-2.0, -0.5, 0.25, 1.0]), min_size=2, max_size=2),
        min_size=2,
        max_size=4,
    ),
)
def several_steps(book: Book, grads: Rows) -> None:
    check_adam(book, grads, 0.05)


@check(
    "Adam: every gradient is 0.0 after a step",
    "Adam",
    after=["Adam: the first step"],
    hint="backward adds to grad. What is not set to 0.0 comes in again at the next step.",
)
def zeroes(book: Book) -> None:
    make = book.get("training", "Adam")
    parameters = [book.engine(1.0) for _ in range(2)]
    optimizer = book.attempt("Adam(parameters)", lambda: make(parameters))
    for p in parameters:
        p.grad = 2.0
    book.attempt("Adam(parameters).step(0.1)", lambda: optimizer.step(0.1))
    found, hint = [p.grad for p in parameters], ""
    if agree(found, [2.0, 0.0]):
        hint = "Only the last parameter's is 0.0: the line that sets it belongs into the loop."
    book.same("the gradients after Adam.step", found, [0.0, 0.0], hint)


@check(
    "Adam: eight times as many parameters take eight times as long",
    "Adam",
    after=["Adam: the first step"],
)
def linear_time(book: Book) -> None:
    make = book.get("training", "Adam")

    def work(n: int) -> Callable[[], Any]:
        optimizer = make([book.engine(1.0) for _ in range(n)])
        return lambda: optimizer.step(0.1)

    hint = (
        "`.index(p)` looks for p from the beginning of the list, each time. "
        "enumerate(self.parameters) gives each parameter with its number."
    )
    book.grows("Adam.step", work, hint)


# ---------------------------------------------------------------- train


class Recorder:
    """Stands in for Adam: notes the learning rates and what the gradients were."""

    def __init__(self, parameters: list[Any], *_: Any, **__: Any) -> None:
        if not isinstance(parameters, list):
            raise Wrong(
                f"Adam gets a {type(parameters).__name__}. It should get the list of all "
                "parameters.",
                hint="model.scalars() is that list.",
            )
        self.parameters, self.rates, self.grads = list(parameters), list[float](), list[bool]()

    def step(self, lr: float) -> None:
        self.rates.append(lr)
        self.grads.append(any(p.grad for p in self.parameters))
        for p in self.parameters:
            p.grad = 0.0


DOCUMENTS = [[0, 3, 0], [0, 1, 2, 0], [0, 2, 0]]


def recorded(
    book: Book, steps: int, lr: float, **options: Any
) -> tuple[str, Table, Recorder, list[Any]]:
    """Run the reader's train with the Recorder in Adam's place."""
    function = book.get("training", "train")
    book.get("training", "Adam")
    model, recorders = Table(book, LEANING), list[Recorder]()

    def make(*arguments: Any, **others: Any) -> Recorder:
        recorders.append(Recorder(*arguments, **others))
        return recorders[-1]

    text = f"train(model, documents, steps={steps}, lr={lr})"
    documents = [list(document) for document in DOCUMENTS]
    with book.replaced("training", "Adam", make):
        losses = book.attempt(
            text, lambda: function(model, documents, steps, lr, **options), documents=documents
        )
    if not recorders:
        raise Wrong(f"{text} does not use Adam.", hint="Adam(model.scalars()) makes the optimizer.")
    if len(recorders) > 1:
        raise Wrong(
            f"{text} makes {len(recorders)} optimizers.",
            hint="Adam remembers m and v from step to step: make it once, before the loop.",
        )
    return text, model, recorders[0], losses


@check(
    "train: one document a step, in order",
    "The training loop",
    after=["one cache for the sentence, and all its tokens in order", "the gradient of the loss"],
)
def in_order(book: Book) -> None:
    text, model, _, _ = recorded(book, 4, 0.1)
    expected = [token for i in (0, 1, 2, 0) for token in DOCUMENTS[i][:-1]]
    hint = "Step s, counted from 0, takes document number s; after the last comes the first again."
    book.same(
        f"{text} with three documents: the tokens that the model reads", model.read, expected, hint
    )


@check(
    "train: backward before each step of Adam",
    "The training loop",
    after=["train: one document a step, in order"],
)
def goes_backward(book: Book) -> None:
    text, _, recorder, _ = recorded(book, 4, 0.1)
    if len(recorder.rates) != 4:
        raise Wrong(f"{text} calls Adam.step {len(recorder.rates)} times; it should be 4.")
    if not all(recorder.grads):
        step = recorder.grads.index(False) + 1
        raise Wrong(
            f"{text}: in step {step} all gradients are zero when Adam.step is called.",
            hint="Adam moves the parameters by their gradients, which the backward pass has to "
            "find first.",
        )


@check(
    "train: the learning rate falls to 0",
    "The learning rate",
    after=["train: one document a step, in order"],
)
def falls(book: Book) -> None:
    text, _, recorder, _ = recorded(book, 4, 0.1)
    hint = "At step s, counted from 0, the rate is lr * (1 - s / steps)."
    if len(set(recorder.rates)) == 1 and len(recorder.rates) > 1:
        hint = "Yours stays the same. " + hint
    elif agree(recorder.rates, [0.075, 0.05, 0.025, 0.0]):
        hint = "Yours counts the steps from 1, so that the last one does nothing. " + hint
    elif agree(recorder.rates, [0.1, -0.15, -0.4, -0.65]):
        hint = "Yours is (lr * 1) - s / steps. The brackets are missing: " + hint
    elif sorted(recorder.rates) == recorder.rates:
        hint = "Yours grows. " + hint
    elif recorder.rates[0] == 0.1 and agree(recorder.rates[1], 0.075):
        hint = "Yours goes on from the last rate. Each rate is made of the first one: " + hint
    book.same(f"{text}: the learning rates", recorder.rates, [0.1, 0.075, 0.05, 0.025], hint)


@check(
    "train: it returns and reports the losses",
    "The training loop",
    after=["train: one document a step, in order"],
)
def reports(book: Book) -> None:
    seen: list[tuple[Any, Any]] = []
    text, _, _, losses = recorded(
        book, 4, 0.1, on_step=lambda step, loss: seen.append((step, loss))
    )
    items = book.sequence(f"what {text} returns", losses, 4, "losses")
    expected = []
    for i, item in enumerate(items):
        if not isinstance(item, int | float):
            raise Wrong(
                f"loss number {i} that {text} returns should be a plain number. Yours is "
                f"{show(item)}.",
                hint="loss.data is the number. A list of Values would keep all their children "
                "in memory.",
            )
        each = surprises(LEANING, DOCUMENTS[i % 3])
        expected.append(sum(each) / len(each))
    book.same(f"the losses of {text}", items, expected)
    hint = "After each step: on_step(number of the step, from 1, and its loss as a number)."
    book.same(
        f"{text}: the numbers of the steps that on_step is called with",
        [step for step, _ in seen],
        [1, 2, 3, 4],
        hint,
    )
    book.same(f"{text}: the losses that on_step gets", [loss for _, loss in seen], expected, hint)


@check(
    "your GPT learns two sentences",
    "The training loop",
    after=[
        "Adam: the first step",
        "Adam: several steps",
        "Adam: every gradient is 0.0 after a step",
        "train: one document a step, in order",
        "train: backward before each step of Adam",
        "train: the learning rate falls to 0",
        "train: it returns and reports the losses",
        "a list that is too long or too short",
    ],
)
def learns(book: Book) -> None:
    make, config = book.get("model", "GPT"), book.get("model", "Config")
    function = book.get("training", "train")
    mine = book.attempt(
        "GPT.initialize(...)",
        lambda: make.initialize(config(4, 1, 4, 1, 4), random.Random(1)),
    )
    documents = [[0, 1, 2, 0], [0, 3, 2, 0]]
    text = "train(model, two documents, steps=24, lr=0.1)"
    found = book.attempt(text, lambda: function(mine, documents, 24, 0.1), documents=documents)
    items = book.sequence(f"what {text} returns", found, 24, "losses")
    losses = [float(book.number("a loss that train returns", item)) for item in items]
    first, last = sum(losses[:4]) / 4, sum(losses[-4:]) / 4
    if not last < first / 2:
        raise Wrong(
            f"{text}: the mean loss of the first four steps is {show(first)}, of the last four "
            f"{show(last)}. It should fall below half.",
            hint="If all checks above say ok: is it Adam(model.scalars()) that moves the "
            "parameters?",
        )
