"""What a model knew at each snapshot of its training, measured against the grammar.

It is measured when the film is shown, not while it is taken, so it costs the training run nothing;
and on the models that are in the film, so it is true of what is shown.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from llmhard import grammar
from llmhard.evaluation import Calibration, Surprise
from llmhard.film import Film
from llmhard.minimal_pairs import KINDS, MinimalPair, minimal_pairs, prefers_good
from llmhard.model_file import SavedModel
from llmhard.tokenizer import Tokenizer

SENTENCES = 200  # drawn anew from the grammar; the gap is measured before each of their words
PAIRS = 50  # of each kind
RIGHT = 0.9  # a kind counts as learned when this share of its pairs is right; chance is 0.5


@dataclass(frozen=True)
class Measured:
    """What a model knew after a step.

    gap    how far its next words are from the grammar's: the mean Kullback-Leibler divergence, in
           nats a token
    pairs  by kind, the share of the minimal pairs whose good sentence it finds likelier
    """

    step: int
    gap: float
    pairs: Mapping[str, float]


def measure(film: Film, sentences: int = SENTENCES, pairs: int = PAIRS) -> list[Measured]:
    """Return what the model knew at each snapshot; an empty list if the grammar cannot judge it.

    All snapshots are judged by the same sentences and pairs. Raises ArithmeticError if a model's
    numbers are not finite.
    """
    if not can_be_judged(film.tokenizer):
        return []
    rng = random.Random("film")
    drawn = [grammar.sample(rng) for _ in range(sentences)]
    asked = {kind: minimal_pairs(kind, pairs, random.Random(f"film {kind}")) for kind in KINDS}
    found = []
    for snapshot, model in zip(film.snapshots, film.models(), strict=True):
        saved = SavedModel(model, film.tokenizer, ())
        found.append(Measured(snapshot.step, _gap(saved, drawn), _shares(saved, asked)))
    return found


def can_be_judged(tokenizer: Tokenizer) -> bool:
    """Return whether a model writes words and knows all that the grammar may expect."""
    return tokenizer.kind == "word" and set(grammar.WORDS) <= set(tokenizer.words)


def learned_at(measured: Sequence[Measured], kind: str) -> int | None:
    """Return the step from which a kind of pairs is RIGHT at every snapshot, None if never."""
    step = None
    for each in reversed(measured):
        if each.pairs.get(kind, 0.0) < RIGHT:
            break
        step = each.step
    return step


def _gap(saved: SavedModel, sentences: Sequence[str]) -> float:
    calibration = Calibration(saved)
    divergences = [kl for sentence in sentences for kl, _ in calibration.of(sentence)]
    return fsum(divergences) / len(divergences)


def _shares(saved: SavedModel, asked: Mapping[str, Sequence[MinimalPair]]) -> dict[str, float]:
    """Return, by kind, the share of pairs that are right; kinds that do not fit are left out."""
    surprise = Surprise(saved)
    shares = {}
    for kind, pairs in asked.items():
        hits = [prefers_good(pair, surprise.log_prob) for pair in pairs if _fits(surprise, pair)]
        if hits:
            shares[kind] = sum(hits) / len(hits)
    return shares


def _fits(surprise: Surprise, pair: MinimalPair) -> bool:
    """Return whether the context holds both sentences."""
    encode = surprise.tokenizer.encode_document
    return surprise.fits(encode(pair.good)) and surprise.fits(encode(pair.bad))
