"""Words as points on a map: their embeddings, seen from where classes of words are far apart.

An embedding has as many numbers as the model is wide; a map has two. The axes are principal
components (Pearson, 1901), found by power iteration: of the class means, if the words have classes,
so that the map shows what distinguishes animals from foods; else of all embeddings.
The axes of a film's last snapshot serve for all of them, so only the words move.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from itertools import chain
from math import sqrt

from llmhard import grammar
from llmhard.autograd import Matrix, Vector, no_grad
from llmhard.grammar import NOUN_FORMS
from llmhard.rules import read_entries

# Nouns by what they name, for the colours of the map: classes of grammar.NOUNS and grammar.OTHERS.
CLASSES = {
    "people": "Kid Job",
    "animals": "Dog Cat Bird Duck Fish Hopper Farm Wild Bug",
    "food": "Crop Cake Meal Drink",
    "clothes": "Cloth",
    "things": "Text Toy Small",
    "vehicles": "Car Bike Boat Plane",
    "furniture": "Seat Table",
    "nature": "Nature",
    "places": "Yard Home Town Water Ground",
}
NEIGHBOURS = 5  # how many are looked at to see whether classes have come together
ITERATIONS = 1000  # at most: axes that still turn after that matter equally
STILL = 1e-12  # an axis that turns by less than this is found

Point = Sequence[float]


def classes_of(words: Iterable[str]) -> list[str | None]:
    """Return the class of each word; None for what is not one of the grammar's nouns."""
    known = _known()
    return [known.get(word) for word in words]


def _known() -> dict[str, str]:
    others = read_entries(grammar.OTHERS)
    return {
        word: name
        for name, parts in reversed(CLASSES.items())  # a word in two classes counts as in the first
        for part in parts.split()
        for word in (chain(*NOUN_FORMS[part]) if part in NOUN_FORMS else others[part])
    }


def map_axes(points: Sequence[Point], classes: Sequence[str | None]) -> list[list[float]]:
    """Return two axes for a map of the points, from the means of their classes if there are any.

    A class counts as often as it has members. With fewer than two different points, axes are zero.
    """
    members: dict[str, list[Point]] = {}
    for point, name in zip(points, classes, strict=True):
        if name is not None:
            members.setdefault(name, []).append(point)
    if not members:
        return principal_axes(points, [1.0] * len(points))
    means = [_mean(group) for group in members.values()]
    return principal_axes(means, [float(len(group)) for group in members.values()])


def principal_axes(points: Sequence[Point], weights: Sequence[float]) -> list[list[float]]:
    """Return the two directions in which weighted points vary most, of length 1.

    A direction is zero if there is no variation left for it.
    """
    middle = _mean(points, weights)
    rows = [
        [sqrt(weight) * (x - m) for x, m in zip(point, middle, strict=True)]
        for point, weight in zip(points, weights, strict=True)
    ]
    with no_grad():
        matrix, axes = Matrix(rows), list[Vector]()
        for _ in range(2):
            axes.append(_strongest(matrix, axes))
    return [axis.data for axis in axes]


def _strongest(matrix: Matrix, others: Sequence[Vector]) -> Vector:
    """Return the direction in which the rows are longest, at right angles to the others."""
    rng = random.Random("axis")
    axis = _freed(Vector([rng.gauss() for _ in range(matrix.shape[1])]), others)
    for _ in range(ITERATIONS):
        before, axis = axis, _freed((matrix @ axis) @ matrix, others)
        turn = axis - before
        if (turn @ turn).data < STILL**2:
            break
    return axis if sum(axis.data) >= 0 else axis * -1.0


def _freed(axis: Vector, others: Sequence[Vector]) -> Vector:
    """Return the part of an axis at right angles to the others, of length 1, or zero if none."""
    for other in others:
        axis = axis - other * (axis @ other)
    length = sqrt((axis @ axis).data)
    return axis / length if length > STILL else axis * 0.0


def placed(points: Sequence[Point], axes: Sequence[Point]) -> list[tuple[float, float]]:
    """Return where the points are on the map with these axes."""
    with no_grad():
        across, down = (Matrix(points) @ Vector(axis) for axis in axes)
    return list(zip(across.data, down.data, strict=True))


def together(places: Sequence[tuple[float, float]], classes: Sequence[str | None]) -> float:
    """Return the share of the nearest neighbours of each place that are of its own class.

    Places without a class do not count. Raises ZeroDivisionError if there are none with one.
    """
    known = [(x, y, name) for (x, y), name in zip(places, classes, strict=True) if name is not None]
    shares = [_share_of_own(i, known) for i in range(len(known))]
    return sum(shares) / len(shares)


def _share_of_own(i: int, known: Sequence[tuple[float, float, str]]) -> float:
    x, y, name = known[i]
    others = [*known[:i], *known[i + 1 :]]
    nearest = nsmallest(
        NEIGHBOURS, (((x - u) ** 2 + (y - v) ** 2, other) for u, v, other in others)
    )
    return sum(other == name for _, other in nearest) / max(1, len(nearest))


def _mean(points: Sequence[Point], weights: Sequence[float] | None = None) -> list[float]:
    weights = weights or [1.0] * len(points)
    total = sum(weights)
    columns = zip(*points, strict=True)
    return [sum(w * x for w, x in zip(weights, column, strict=True)) / total for column in columns]
