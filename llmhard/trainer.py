"""The training loop: show the model sentences, measure its surprise, make it a little smaller."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from math import isfinite, nan
from typing import TYPE_CHECKING, Literal

from llmhard.adam import Adam
from llmhard.autograd import Batch, Index, Matrix, Value
from llmhard.average import Average
from llmhard.layers import softmax
from llmhard.model import GPT, KVCache
from llmhard.recipe import CLASSIC, Recipe
from llmhard.training_record import CurvePoint, best

if TYPE_CHECKING:
    from llmhard.crew import Crew

Keep = Literal["best", "last"]

STEPS_BETWEEN_SNAPSHOTS = 100
# How many held-out sentences are read at each point of the curve. In a short run there are fewer: a
# fifth of the sentences trained on, shared out among the points, take 8 % of the time.
FEWEST_VALIDATION_SENTENCES, VALIDATION_SENTENCES = 200, 500
TOKENS_AT_ONCE = 256  # whose loss is computed at a time without a gradient
LAST_STEPS = 500  # the final loss is the mean over this many


class TrainingDivergedError(ArithmeticError):
    """The loss was infinite or not a number; the model has parameters from before that."""


def sequence_loss(model: GPT, tokens: Sequence[int | Index]) -> Value:
    """Return the mean cross-entropy, in nats, of predicting each token from those before it.

    A sequence of more than block_size + 1 tokens is cut there. Raises ValueError if there are
    fewer than two tokens, and so nothing to predict, IndexError if one is not in the vocabulary.
    """
    tokens = tokens[: model.config.block_size + 1]
    if len(tokens) < 2:
        raise ValueError("a sequence needs at least two tokens: one to read and one to predict")
    if min(int(token) for token in tokens) < 0:
        raise IndexError("a token is not negative")
    *_, loss = beginning_losses(model, tokens)
    return loss


def beginning_losses(model: GPT, tokens: Sequence[int | Index]) -> Iterator[Value]:
    """Yield the mean cross-entropy of the first two tokens, of the first three, and so on."""
    cache = KVCache(model.config.n_layer)
    total = Value(0.0)
    for count, (token, target) in enumerate(pairwise(tokens), start=1):
        probabilities = softmax(model(token, cache))
        total = total + -probabilities[target].log()
        yield total / count


class Recordings:
    """The loss of a model, recorded once and computed for many sequences of tokens at a time.

    The longest sequence so far is recorded; a shorter one is its beginning. If `replay` is False,
    everything is recorded anew, which takes longer and gives the same bits. The `crew`, if there
    is one, shares the work.
    """

    def __init__(self, model: GPT, replay: bool = True) -> None:
        self.model = model
        self.crew: Crew | None = None
        self._replay = replay
        self._batch: Batch | None = None
        self._longest = 0

    def __reduce__(self) -> tuple[type[Recordings], tuple[GPT, bool]]:
        """Say how to make a copy, for copy and pickle: one that records again, to the same bits."""
        return type(self), (self.model, self._replay)

    @property
    def batch(self) -> Batch:
        """The Batch of the sequences whose losses were computed last, for its backward()."""
        if self._batch is None:
            raise RuntimeError("no loss has been computed yet")
        return self._batch

    def losses(
        self, documents: Sequence[Sequence[int]], shares: Sequence[float] | None = None
    ) -> list[float]:
        """Return the loss of each document, in nats a token.

        `shares` are their weights in what is minimized. Raises ValueError if one
        has fewer than two tokens, IndexError if one is not in the vocabulary.
        """
        rows = [document[: self.model.config.block_size + 1] for document in documents]
        longest = max(map(len, rows), default=0)
        if not self._replay:
            self._record(longest)
        elif longest > self._longest:  # growing sequences do not need a recording each
            self._record(min(max(longest, 2 * self._longest), self.model.config.block_size + 1))
        batch = self.batch
        batch.crew = self.crew
        return batch.forward(rows, shares)

    def mean_loss(self, documents: Iterable[Sequence[int]]) -> float:
        """Return the loss in nats a token, over all tokens of the documents but each one's first.

        Raises ZeroDivisionError if there are no documents.
        """
        total, count = 0.0, 0
        for documents_at_once in batched(documents, self._n_at_once()):
            losses = self.losses(documents_at_once)
            for document, loss in zip(documents_at_once, losses, strict=True):
                predicted = min(len(document), self.model.config.block_size + 1) - 1
                total += loss * predicted
                count += predicted
        return total / count

    def _n_at_once(self) -> int:
        """Return how many documents fit into a moderate amount of memory."""
        return max(1, TOKENS_AT_ONCE // self.model.config.block_size)

    def _record(self, n_tokens: int) -> None:
        tokens = [Index(0) for _ in range(n_tokens)]
        self._batch = Batch(tokens, [None, *beginning_losses(self.model, tokens)])
        self._longest = n_tokens


class Trainer:
    """A training run in progress: one or more documents a step, in an order drawn from the seed.

    In the first epoch the documents come in the order given, in later ones in other orders.
    `step` counts the steps done, `losses` are theirs, in nats a token; `curve` samples them and
    the loss on documents `held_out`. `average` is that of the parameters, None before the first
    step that is averaged. `best` has the parameters of the best point on the curve so far, if
    these are to be kept, and None otherwise. The state is in these, the parameters and the
    optimizer; the order of the documents depends on `seed` and `step` alone. Up to `threads`
    threads share the work of a step; the results are the same bits whatever their number.
    """

    def __init__(
        self,
        model: GPT,
        documents: Sequence[Sequence[int]],
        recipe: Recipe = CLASSIC,
        seed: int = 0,
        held_out: Sequence[Sequence[int]] = (),
        replay: bool = True,
        keep: Keep = "last",
        threads: int = 1,
    ) -> None:
        self.model = model
        self.documents = [document[: model.config.block_size + 1] for document in documents]
        self.recipe = recipe
        self.seed = seed
        self.held_out = held_out[: validation_size(recipe)]
        self.keep = keep
        self.threads = threads
        self.parameters = list(model.parameters.values())
        self.optimizer = Adam(
            self.parameters, recipe.beta1, recipe.beta2, recipe.eps, recipe.weight_decay
        )
        self.step = 0
        self.losses: list[float] = []
        self.curve: list[CurvePoint] = []
        self.average: Average | None = None
        self.best: GPT | None = None
        self.recordings = Recordings(model, replay)
        self._validating, self._replay = self.recordings, replay
        self._curve_steps = curve_steps(recipe.steps)
        self._epoch, self._order = 0, order(len(documents), seed, 0)

    def run(self, on_step: Callable[[Trainer], None] | None = None) -> None:
        """Take the steps that are left; `on_step` is called after each.

        At the end, the model has the parameters to keep: of the best step or the last, or
        the average. Raises TrainingDivergedError when a loss is not finite; the model then has its
        last good parameters: those of at most 100 steps before, with which the loss was finite.
        """
        from llmhard.crew import Crew  # only here: `sample` starts faster without threads

        try:
            with Crew(self.threads) as crew:
                self.recordings.crew = self._validating.crew = crew
                self._run(on_step)
        finally:
            self.recordings.crew = self._validating.crew = None

    def _run(self, on_step: Callable[[Trainer], None] | None) -> None:
        good = _copy(self.model)
        try:
            if not self.curve:
                self._add_to_curve(self.recordings.mean_loss(self._batch()))
            while self.step < self.recipe.steps:
                loss, batch = self._read_batch()
                if self.step % STEPS_BETWEEN_SNAPSHOTS == 0:
                    good = _copy(self.model)
                self.optimizer.step(self.recipe.learning_rate(self.step), batch)
                self.losses.append(loss)
                self.step += 1
                if self.recipe.averages(self.step):
                    self.average = self.average or Average(self.model)
                    self.average.add()
                if self.step in self._curve_steps:
                    since = self.losses[self.curve[-1].step :]
                    self._add_to_curve(sum(since) / len(since))
                if on_step:
                    on_step(self)
            if self.kept is not self.model:
                self._restore(self.kept)
            # The last update has not been followed by a loss yet.
            _finite(self.recordings.losses(self.documents[:1])[0])
            _finite(sum(sum(row) for p in self.parameters for row in p.data))
        except ArithmeticError as error:
            self._restore(good)
            raise TrainingDivergedError(
                f"the loss at step {self.step + 1} is not a finite number; "
                f"a smaller learning rate than {self.recipe.lr:g} may help"
            ) from error

    @property
    def current(self) -> GPT:
        """The model as it is now: with the averaged parameters once there are some."""
        return self.average.model if self.average else self.model

    @property
    def kept(self) -> GPT:
        """The model that would be kept if this step was the last."""
        return self.best or self.current

    def final_loss(self) -> float:
        """Return the mean loss of the last steps, at most 500; NaN before the first."""
        last = self.losses[-LAST_STEPS:]
        return sum(last) / len(last) if last else nan

    def _read_batch(self) -> tuple[float, Batch]:
        """Return the loss of a batch, the mean over all its tokens, and the Batch."""
        batch = self._batch()
        total = sum(len(document) - 1 for document in batch)
        shares = [(len(document) - 1) / total for document in batch]
        losses = self._losses_of(batch, shares)
        loss = sum(share * _finite(loss) for share, loss in zip(shares, losses, strict=True))
        return loss, self.recordings.batch

    def _losses_of(
        self, documents: Sequence[Sequence[int]], shares: Sequence[float]
    ) -> list[float]:
        return self.recordings.losses(documents, shares)

    def _batch(self) -> list[Sequence[int]]:
        """Return the documents of the next step."""
        size = self.recipe.batch_size
        return [self._document(self.step * size + i) for i in range(size)]

    def _document(self, position: int) -> Sequence[int]:
        """Return the document at this place in the whole training run."""
        epoch, place = divmod(position, len(self.documents))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order(len(self.documents), self.seed, epoch)
        return self.documents[self._order[place]]

    def _add_to_curve(self, training: float) -> None:
        validation = _finite(self._validation_loss()) if self.held_out else None
        self.curve.append(CurvePoint(self.step, _finite(training), validation))
        if self.keep == "best" and best(self.curve) is self.curve[-1]:
            self.best = _copy(self.current)

    def _validation_loss(self) -> float:
        if self._validating.model is not self.current:
            self._validating = Recordings(self.current, self._replay)
            self._validating.crew = self.recordings.crew
        return self._validating.mean_loss(self.held_out)

    def _restore(self, model: GPT) -> None:
        for name, p in self.model.parameters.items():
            p.data = model.parameters[name].data
            p.grad = 0.0  # it may hold part of a batch's gradient


def train(
    model: GPT, documents: Sequence[Sequence[int]], recipe: Recipe = CLASSIC, seed: int = 0
) -> list[float]:
    """Train from beginning to end and return each step's loss. Raises as Trainer.run does."""
    trainer = Trainer(model, documents, recipe, seed)
    trainer.run()
    return trainer.losses


def order(n_documents: int, seed: int, epoch: int) -> list[int]:
    """Return the numbers of the documents in the order of an epoch; epoch 0 keeps their order."""
    numbers = list(range(n_documents))
    if epoch > 0:
        random.Random(f"{seed} {epoch}").shuffle(numbers)
    return numbers


def batched(documents: Iterable[Sequence[int]], n: int) -> Iterator[list[Sequence[int]]]:
    """Yield lists of n documents each; the last may be shorter."""
    iterator = iter(documents)
    while batch := list(islice(iterator, n)):
        yield batch


def curve_steps(steps: int) -> frozenset[int]:
    """Return the steps after which the losses are put on the curve.

    They are 0, 1, 2, 5, 10, 20, 50, ... for a logarithmic axis; every tenth of the steps; and in
    the second half, where the lowest loss is looked for, every twentieth.
    """
    powers = [10**exponent for exponent in range(len(str(steps)))]
    early = [factor * power for power in powers for factor in (1, 2, 5)]
    tenths = [part * steps // 10 for part in range(11)]
    twentieths = [part * steps // 20 for part in range(10, 21)]
    return frozenset(step for step in (*early, *tenths, *twentieths) if step <= steps)


def validation_size(recipe: Recipe) -> int:
    """Return how many held-out sentences each validation loss is measured on, at most."""
    points = len(curve_steps(recipe.steps))
    affordable = recipe.steps * recipe.batch_size // (5 * points)
    return min(VALIDATION_SENTENCES, max(FEWEST_VALIDATION_SENTENCES, affordable))


def _copy(model: GPT) -> GPT:
    copies = {n: Matrix.frombytes(p.tobytes(), *p.shape) for n, p in model.parameters.items()}
    return GPT(model.config, copies)


def _finite(number: float) -> float:
    if not isfinite(number):
        raise ArithmeticError(f"{number} is not finite")
    return number
