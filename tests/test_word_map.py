"""The map of the words: its axes, its classes, and whether they come together."""

import random
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar
from llmhard.word_map import CLASSES, classes_of, map_axes, placed, principal_axes, together


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_every_class_is_of_words_that_the_grammar_has():
    found = classes_of(grammar.WORDS)
    assert set(found) == {*CLASSES, None}
    words = dict(zip(grammar.WORDS, found, strict=True))
    assert [words[w] for w in ("duck", "geese", "apple", "milk", "socks", "pond", "nurse")] == [
        "animals", "animals", "food", "food", "clothes", "places", "people",
    ]  # fmt: skip
    assert [words[w] for w in ("swims", "the", "big", "monday", "cook")] == [None] * 4 + ["people"]
    assert classes_of(["zebra", ""]) == [None, None]


def test_the_axes_are_the_principal_components():
    numpy = pytest.importorskip("numpy")
    rng = numpy.random.default_rng(1)
    points = rng.normal(size=(200, 7)) * [1, 5, 2, 1, 3, 0.5, 1] + 4
    first, second = principal_axes(points.tolist(), [1.0] * 200)
    _, _, truth = numpy.linalg.svd(points - points.mean(axis=0))
    assert abs(dot(first, truth[0])) == pytest.approx(1, abs=1e-9)
    assert abs(dot(second, truth[1])) == pytest.approx(1, abs=1e-9)
    assert sum(first) > 0
    assert sum(second) > 0


points = st.lists(st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=1, max_size=8)


@given(points)
def test_axes_are_at_right_angles_and_of_length_one_or_zero(points):
    axes = map_axes(points, [None] * len(points))
    for axis in axes:
        assert sqrt(dot(axis, axis)) in (0, pytest.approx(1))
    assert dot(*axes) == pytest.approx(0, abs=1e-6)
    assert axes == map_axes(points, [None] * len(points))


@pytest.mark.parametrize("points", [[[1.0, 2.0]], [[3.0, 3.0]] * 5, [[0.0], [1.0]]])
def test_where_nothing_varies_an_axis_is_zero(points):
    assert principal_axes(points, [1.0] * len(points))[1] == [0.0] * len(points[0])


def test_classes_decide_what_the_map_shows():
    # What varies most, the first two numbers, says nothing about the classes; the others do.
    rng = random.Random(1)
    centres = {"animals": (5, 0), "food": (-5, 1), "clothes": (0, -4)}
    classes = [name for name in centres for _ in range(40)]
    points = [
        [*(rng.gauss(0, 8) for _ in range(2)), *(rng.gauss(c, 1) for c in centres[name])]
        for name in classes
    ]
    blind = placed(points, map_axes(points, [None] * len(points)))
    seeing = placed(points, map_axes(points, classes))
    assert together(seeing, classes) > 0.85
    assert together(blind, classes) < 0.6


def test_together_is_a_share_of_neighbours():
    places = [(float(i), 0.0) for i in range(12)]
    assert together(places, ["a"] * 6 + ["b"] * 6) == pytest.approx(
        sum([5, 5, 5, 4, 3, 3] * 2) / 60, abs=0.04
    )
    assert together(places, ["a"] * 12) == 1
    assert together(places, [*"abcdefghijkl"]) == 0
    assert together([*places, (0.5, 0.0)], [*["a"] * 12, None]) == 1
    with pytest.raises(ZeroDivisionError):
        together(places, [None] * 12)


def test_placed_is_the_projection():
    assert placed([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]) == [
        (1.0, pytest.approx(3.6)),
        (0.0, pytest.approx(0.6)),
    ]
