"""The training loop: show the model a sentence, measure its surprise, make it a little smaller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite

from llmhard.adam import Adam
from llmhard.autograd import Index, Matrix, Tape, Value
from llmhard.layers import softmax
from llmhard.model import GPT, KVCache

LEARNING_RATE = 0.01
STEPS_BETWEEN_SNAPSHOTS = 100


class TrainingDivergedError(ArithmeticError):
    """The loss was infinite or not a number; the model holds parameters from before that."""


def sequence_loss(model: GPT, tokens: Sequence[int | Index]) -> Value:
    """The mean cross-entropy, in nats, of predicting each token from those before it.

    A sequence of more than block_size + 1 tokens is cut there. Raises ValueError if there are
    fewer than two tokens, and so nothing to predict, IndexError if one is not in the vocabulary.
    """
    tokens = tokens[: model.config.block_size + 1]
    if len(tokens) < 2:
        raise ValueError("a sequence needs at least two tokens: one to read and one to predict")
    if min(int(token) for token in tokens) < 0:
        raise IndexError("a token is not negative")
    cache = KVCache(model.config.n_layer)
    losses = []
    for token, target in pairwise(tokens):
        probabilities = softmax(model(token, cache))
        losses.append(-probabilities[target].log())
    return sum(losses, start=Value(0.0)) / len(losses)


class Recording:
    """`sequence_loss` recorded for one number of tokens, to be replayed with other tokens.

    `loss` is the Value of the last tokens, and `tape` what leads to it.
    """

    def __init__(self, model: GPT, tokens: Sequence[int]) -> None:
        self.tokens = [Index(token) for token in tokens]
        self.loss = sequence_loss(model, self.tokens)
        self.tape = Tape(self.loss)

    def replay(self, tokens: Sequence[int]) -> None:
        """Compute the loss of these tokens, as many as were recorded."""
        for index, token in zip(self.tokens, tokens, strict=True):
            index.value = token
        self.tape.forward()


def train(
    model: GPT,
    documents: Sequence[Sequence[int]],
    steps: int,
    lr: float = LEARNING_RATE,
    on_step: Callable[[int, float], None] | None = None,
    replay: bool = True,
) -> list[float]:
    """Train on one document a step, in order and again from the start; returns the losses.

    The learning rate falls in a straight line from `lr` to 0. `on_step` is called after each
    step with its number, from 1, and its loss. With `replay` False every step is recorded anew,
    which takes longer and gives the same bits.

    Raises TrainingDivergedError when a loss is not finite; the model then has its last good
    parameters: those of at most 100 steps before, with which the loss was finite.
    """
    parameters = list(model.parameters.values())
    optimizer = Adam(parameters)
    recordings: dict[int, Recording] = {}
    losses: list[float] = []
    snapshot = [p.tobytes() for p in parameters]

    def record_or_replay(tokens: Sequence[int]) -> Recording:
        tokens = tokens[: model.config.block_size + 1]
        if replay and len(tokens) in recordings:
            recordings[len(tokens)].replay(tokens)
        else:
            recordings[len(tokens)] = Recording(model, tokens)
        return recordings[len(tokens)]

    try:
        for step in range(steps):
            recording = record_or_replay(documents[step % len(documents)])
            loss = _finite(recording.loss.data)
            if step % STEPS_BETWEEN_SNAPSHOTS == 0:
                snapshot = [p.tobytes() for p in parameters]
            optimizer.step(lr * (1 - step / steps), recording.tape)  # after its backward()
            losses.append(loss)
            if on_step:
                on_step(step + 1, loss)
        # The last update has not been followed by a loss yet.
        _finite(record_or_replay(documents[0]).loss.data)
        _finite(sum(sum(row) for p in parameters for row in p.data))
    except ArithmeticError as error:
        for p, content in zip(parameters, snapshot, strict=True):
            p.data = Matrix.frombytes(content, *p.shape).data
        raise TrainingDivergedError(
            f"the loss at step {len(losses) + 1} is not a finite number; "
            f"a smaller learning rate than {lr:g} may help"
        ) from error
    return losses


def _finite(number: float) -> float:
    if not isfinite(number):
        raise ArithmeticError(f"{number} is not finite")
    return number
