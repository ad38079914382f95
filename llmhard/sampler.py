"""The sampler: from logits to the probability of each next token, to a choice, to a sentence."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite, isnan
from typing import NamedTuple

from llmhard.autograd import Index, Tape, Vector, no_grad
from llmhard.layers import softmax
from llmhard.model import GPT, KVCache
from llmhard.tokenizer import BOS


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Raises ValueError if a setting is out of range.

    temperature  divides the logits: below 1 likely tokens become likelier, above 1 less so;
                 0 always takes the likeliest (greedy)
    top_k        keep the k likeliest tokens; 0 keeps all
    top_p        keep the smallest set of tokens whose probabilities add up to at least p, the
                 likeliest first (nucleus sampling, Holtzman et al. 2020); 1 keeps all

    Temperature comes first, then top-k, then top-p on what is left; the kept tokens'
    probabilities are scaled to sum to 1. Of equally likely tokens, the lower id goes first.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not isfinite(self.temperature) or self.temperature < 0:
            raise ValueError(
                f"temperature is a number of at least 0 (0 is greedy), not {self.temperature}"
            )
        if self.top_k < 0:
            raise ValueError(f"top-k is 0 (keep all) or a number of tokens, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p is above 0 and at most 1 (keep all), not {self.top_p}")

    def probabilities(self, logits: Vector) -> list[float]:
        """Return the probability of each token as the next one; shape [vocab_size], sums to 1.

        Raises ArithmeticError if the logits are not finite.
        """
        with no_grad():
            if not isfinite(logits.sum().data):
                raise ArithmeticError("the model's logits are not finite numbers")
            if self.temperature == 0:
                numbers = logits.data
                likeliest = numbers.index(max(numbers))
                return [float(token == likeliest) for token in range(len(numbers))]
            p = softmax(logits / self.temperature).data
            if isnan(p[0]):  # a tiny temperature has made some of them infinite
                p = softmax((logits - max(logits.data)) / self.temperature).data
        if not self.top_k and self.top_p == 1:
            return p
        order = sorted(range(len(p)), key=lambda token: -p[token])
        if self.top_k:
            order = order[: self.top_k]
        if self.top_p < 1:
            order = order[: _nucleus([p[token] for token in order], self.top_p)]
        total = sum(p[token] for token in order)
        kept = set(order)
        return [p[token] / total if token in kept else 0.0 for token in range(len(p))]


MODELS_OWN = Sampling(temperature=1.0)  # the model's probabilities as they are


def _nucleus(descending: Sequence[float], top_p: float) -> int:
    """Return how many of the descending probabilities, scaled to sum to 1, it takes for top_p."""
    target = top_p * sum(descending)
    for count, total in enumerate(accumulate(descending), start=1):
        if total >= target:
            return count
    return len(descending)


def choose(probabilities: Sequence[float], rng: random.Random) -> int:
    """Draw a token with these probabilities."""
    return rng.choices(range(len(probabilities)), probabilities)[0]


class Reader:
    """Reads a sentence token by token and says what may follow; it keeps the keys and values.

    Each position is recorded when a token first reaches it, and replayed for every token after
    that. The recordings last as long as the Reader.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self._cache = KVCache(model.config.n_layer)
        self._positions: list[tuple[Index, Vector, Tape]] = []
        self._read = 0

    def restart(self) -> None:
        """Forget the tokens, to begin another sentence."""
        self._read = 0

    def __len__(self) -> int:
        """Return how many tokens of the sentence it has read."""
        return self._read

    @property
    def logits(self) -> Vector:
        """The logits [vocab_size] of what follows the tokens that it has read.

        The next call of `read` overwrites them. Raises IndexError if it has read none.
        """
        if not self._read:
            raise IndexError("the Reader has read no token yet")
        return self._positions[self._read - 1][1]

    def read(self, token: int) -> Vector:
        """Read a token; return the logits [vocab_size] of what follows, until the next call.

        Raises IndexError if the token is not in the vocabulary or block_size tokens are read.
        """
        if self._read < len(self._positions):
            index, logits, tape = self._positions[self._read]
            index.value = token
            tape.forward()
        else:
            index = Index(token)
            logits = self.model(index, self._cache)
            before = self._positions[-1][2] if self._positions else None
            self._positions.append((index, logits, Tape(logits, after=before)))
        self._read += 1
        return logits


def check_room(what: str, length: int, block_size: int) -> None:
    """Raise ValueError if a text of `length` tokens leaves no room for one to follow."""
    if length >= block_size:
        raise ValueError(
            f"the {what} has {length} tokens; with a context of {block_size} tokens it can "
            f"have at most {block_size - 1}"
        )


class Choice(NamedTuple):
    """A token and the probabilities [vocab_size] that it was drawn with."""

    token: int
    probabilities: list[float]


def choices(
    reader: Reader | GPT,
    rng: random.Random,
    sampling: Sampling = Sampling(),
    prompt: Sequence[int] = (),
) -> Iterator[Choice]:
    """Yield each token that follows the prompt as it is chosen, up to the end of the sentence.

    The sentence ends with BOS or, cut short, after block_size tokens. Many sentences are faster
    with one Reader of the model for all of them. Raises ValueError, before the first choice, if the
    prompt leaves no room for a token to follow.
    """
    if isinstance(reader, GPT):
        reader = Reader(reader)
    block_size = reader.model.config.block_size
    check_room("prompt", len(prompt), block_size)
    reader.restart()
    logits = reader.read(BOS)
    for token in prompt:
        logits = reader.read(token)
    while True:
        probabilities = sampling.probabilities(logits)
        token = choose(probabilities, rng)
        yield Choice(token, probabilities)
        if token == BOS or len(reader) == block_size:
            return
        logits = reader.read(token)


def generate(
    reader: Reader | GPT,
    rng: random.Random,
    sampling: Sampling = Sampling(),
    prompt: Sequence[int] = (),
) -> list[int]:
    """Return the tokens of one sentence, including the prompt's, without BOS: all the `choices`.

    Raises ValueError if the prompt leaves no room for a token to follow.
    """
    chosen = [choice.token for choice in choices(reader, rng, sampling, prompt)]
    return [*prompt, *(token for token in chosen if token != BOS)]
