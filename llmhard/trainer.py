"""The training loop: show the model a sentence, measure its surprise, make it a little smaller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite

from llmhard.adam import Adam
from llmhard.autograd import Matrix, Value
from llmhard.layers import softmax
from llmhard.model import GPT, KVCache

LEARNING_RATE = 0.01
STEPS_BETWEEN_SNAPSHOTS = 100


class TrainingDivergedError(ArithmeticError):
    """The loss was infinite or not a number; the model holds parameters from before that."""


def sequence_loss(model: GPT, tokens: Sequence[int]) -> Value:
    """The mean cross-entropy, in nats, of predicting each token from those before it.

    A sequence of more than block_size + 1 tokens is cut there. Raises ValueError if there are
    fewer than two tokens, and so nothing to predict.
    """
    tokens = tokens[: model.config.block_size + 1]
    if len(tokens) < 2:
        raise ValueError("a sequence needs at least two tokens: one to read and one to predict")
    cache = KVCache(model.config.n_layer)
    losses = []
    for token, target in pairwise(tokens):
        probabilities = softmax(model(token, cache))
        losses.append(-probabilities[target].log())
    return sum(losses, start=Value(0.0)) / len(losses)


def train(
    model: GPT,
    documents: Sequence[Sequence[int]],
    steps: int,
    lr: float = LEARNING_RATE,
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train on one document a step, in order and again from the start; returns the losses.

    The learning rate falls in a straight line from `lr` to 0. `on_step` is called after each
    step with its number, from 1, and its loss. Raises TrainingDivergedError when a loss is not
    finite; the model then has its last good parameters: those of at most 100 steps before, with
    which the loss was finite.
    """
    parameters = list(model.parameters.values())
    optimizer = Adam(parameters)
    losses: list[float] = []
    snapshot = [p.tobytes() for p in parameters]
    for step in range(steps):
        loss = _finite_loss(model, documents[step % len(documents)])
        if loss is None:
            for p, content in zip(parameters, snapshot, strict=True):
                _restore(p, content)
            raise TrainingDivergedError(
                f"the loss at step {step + 1} is not a finite number; "
                f"a smaller learning rate than {lr:g} may help"
            )
        if step % STEPS_BETWEEN_SNAPSHOTS == 0:
            snapshot = [p.tobytes() for p in parameters]
        loss.backward()
        optimizer.step(lr * (1 - step / steps))
        losses.append(loss.data)
        if on_step:
            on_step(step + 1, loss.data)
    return losses


def _finite_loss(model: GPT, tokens: Sequence[int]) -> Value | None:
    try:
        loss = sequence_loss(model, tokens)
    except ArithmeticError:  # log(0): the model ruled out what came next
        return None
    return loss if isfinite(loss.data) else None


def _restore(parameter: Matrix, content: bytes) -> None:
    parameter.data = Matrix.frombytes(content, *parameter.shape).data
