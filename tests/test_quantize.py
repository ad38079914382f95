"""Numbers in eight bits: how exact they are, and that nothing adds up or goes wrong."""

import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard.quantize import Track, tobytes, vector

WIDTHS = [3, 1, 4]
finite = st.floats(-1e6, 1e6)
tables = st.lists(st.lists(finite, min_size=8, max_size=8), min_size=1, max_size=6)


def track_of(tables, differences):
    track = Track(WIDTHS, differences)
    for numbers in tables:
        track.add(doubles(numbers))
    return track


def doubles(numbers):
    return vector(array("d", numbers).tobytes())


def rows(numbers):
    numbers = list(numbers)
    return [numbers[:3], numbers[3:4], numbers[4:]]


def float32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def plainly(tables, differences):
    """The same in plain Python, number by number."""
    last = [0.0] * 8
    for numbers in tables:
        base = last if differences else [0.0] * 8
        last = []
        for new, old in zip(rows(numbers), rows(base), strict=True):
            change = [a - b for a, b in zip(new, old, strict=True)]
            largest = float32(max(map(abs, change)) / 127)
            unit = largest if largest > 1e-30 else 1.0
            last += [b + round(c / unit) * unit for b, c in zip(old, change, strict=True)]
        yield last


@given(tables, st.booleans())
def test_it_is_what_plain_python_computes(tables, differences):
    track = track_of(tables, differences)
    assert [numbers.data for numbers in track] == list(plainly(tables, differences))
    assert [track[i].data for i in range(len(track))] == [numbers.data for numbers in track]


@given(tables, st.booleans())
def test_a_number_is_off_by_half_a_unit_at_most(tables, differences):
    track = track_of(tables, differences)
    for time, (numbers, kept) in enumerate(zip(tables, track, strict=True)):
        units = track.units[3 * time : 3 * time + 3]
        for row, (new, old) in enumerate(zip(rows(numbers), rows(kept.data), strict=True)):
            for a, b in zip(new, old, strict=True):
                assert abs(a - b) <= 0.5 * units[row] * (1 + 1e-6) + 1e-9


def test_differences_get_more_exact_as_changes_get_smaller():
    goal = [1.0, -0.3, 0.7, 2.0, 0.001, -5.0, 3.3, 0.4]
    tables = [[x * (1 - 0.1**i) for x in goal] for i in range(1, 6)]
    errors = [
        max(abs(a - b) for a, b in zip(numbers, kept.data, strict=True))
        for numbers, kept in zip(tables, track_of(tables, True), strict=True)
    ]
    assert errors[-1] < 1e-5
    assert errors[-1] < errors[0] / 1000
    whole = track_of(tables, False)[4].data
    assert max(abs(a - b) for a, b in zip(tables[4], whole, strict=True)) > 100 * errors[-1]


@pytest.mark.parametrize("tiny", [0.0, -0.0, 5e-324, 1e-45, -1e-38, 1e-31])
def test_numbers_too_small_for_float32_are_zero(tiny):
    track = track_of([[tiny] * 8, [1.0] * 8, [1.0 + tiny] * 8], True)
    assert track[0].data == [0.0] * 8
    assert track[2].data == pytest.approx([1.0] * 8, rel=1e-7)


@given(tables, st.integers(0, 6))
def test_it_goes_on_where_it_stopped(tables, cut):
    whole, begun = track_of(tables, True), track_of(tables[:cut], True)
    resumed = Track(WIDTHS, True, begun.wholes, begun.units)
    for numbers in tables[cut:]:
        resumed.add(doubles(numbers))
    assert (resumed.wholes, resumed.units) == (whole.wholes, whole.units)


@pytest.mark.parametrize("differences", [True, False])
def test_a_time_that_is_not_there(differences):
    track = track_of([[1.0] * 8], differences)
    assert len(track) == 1
    for time in (-1, 1, 10**9):
        with pytest.raises(IndexError, match="one of the 1 times"):
            track[time]
    assert len(Track(WIDTHS, differences)) == 0


def test_tobytes_keeps_every_bit():
    content = array("d", [0.1, -0.0, float("inf"), 5e-324]).tobytes()
    assert tobytes(vector(content)) == content
