"""What the page contains of a film: its snapshots, still packed, and measurements of them."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from contextlib import suppress
from typing import Any

from llmhard.film import Film
from llmhard.film_measures import (
    PAIRS,
    RIGHT,
    SENTENCES,
    Measured,
    can_be_judged,
    learned_at,
    measure,
)
from llmhard.minimal_pairs import KINDS
from llmhard.quantize import Track
from llmhard.word_map import CLASSES, classes_of, map_axes, placed, together

TABLES = ("lm_head.weight", "wte.weight")  # the one that separates the classes better first


def film_contents(film: Film, judged: bool) -> dict[str, Any]:
    """Return the data of the page about a film.

    `judged` says that the model is meant to write what the grammar writes.
    """
    record = film.records[-1]
    recipe = record.recipe
    return {
        "steps": [snapshot.step for snapshot in film.snapshots],
        "training": [_short(snapshot.training) for snapshot in film.snapshots],
        "validation": [_short(snapshot.validation) for snapshot in film.snapshots],
        "sentences": [snapshot.sentences for snapshot in film.snapshots],
        "curve": [[p.step, _short(p.training), _short(p.validation)] for p in record.curve],
        "kept": record.kept_step,
        "adam": {
            "rates": [recipe.learning_rate(max(0, s.step - 1)) for s in film.snapshots],
            "beta1": recipe.beta1,
            "beta2": recipe.beta2,
            "eps": recipe.eps,
        },
        "measures": _measures(film) if judged else None,
        "map": _map(film),
        "tracks": {name: _packed(track) for name, track in film.tracks.items()},
    }


def _short(loss: float | None) -> float | None:
    """Return a loss with as many digits as anybody looks at."""
    return loss if loss is None else round(loss, 4)


def _measures(film: Film) -> dict[str, Any] | None:
    measured: list[Measured] = []
    with suppress(ArithmeticError):  # numbers that are not finite
        measured = measure(film)
    if not measured:
        return None
    kinds = [kind for kind in KINDS if kind in measured[0].pairs]
    return {
        "sentences": SENTENCES,
        "each": PAIRS,
        "right": RIGHT,
        "gap": [_short(each.gap) for each in measured],
        "pairs": {kind: [each.pairs[kind] for each in measured] for kind in kinds},
        "learned": {kind: learned_at(measured, kind) for kind in kinds},
    }


def _map(film: Film) -> dict[str, Any]:
    """Return the classes of all tokens, and the axes of the last snapshot for all snapshots."""
    words = film.tokenizer.words
    known = can_be_judged(film.tokenizer)
    classes = [None, *(classes_of(words) if known else [None] * len(words))]  # BOS has none
    names = list(CLASSES) if any(classes) else []
    return {
        "classes": names,
        "of": [names.index(name) if name else -1 for name in classes],
        "tables": {table: _table(film, table, classes) for table in TABLES},
    }


def _table(film: Film, table: str, classes: list[str | None]) -> dict[str, Any]:
    tables = [model.parameters[table].data for model in film.models()]
    axes = map_axes(tables[-1], classes)
    shares = (
        [round(together(placed(t, axes), classes), 3) for t in tables] if any(classes) else None
    )
    return {"axes": axes, "together": shares}


def _packed(track: Track) -> dict[str, str]:
    """Return int8 and float32 numbers, the latter little-endian, in base64."""
    units = array("f", track.units)
    if sys.byteorder == "big":
        units.byteswap()
    return {"wholes": b64encode(track.wholes).decode(), "units": b64encode(units).decode()}
