"""Numbers in eight bits: whole numbers from -127 to 127, and for each row, what 1 is worth in it.

A row is a row of a matrix: it belongs to one word or one unit of a layer, so its numbers are of
similar size. Its largest number becomes 127; each is off by at most half of what 1 is worth.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from llmhard.autograd import Matrix, Vector, no_grad

LARGEST = 127
SMALLEST_UNIT = 1e-30  # a row with a smaller unit is 0: float32 would have few digits for it
# A double of this size has no room for a fraction. Adding it rounds a small number to a whole one,
# which is then in the lowest byte. It takes a third of the time of calling round() on each number.
ROUNDING = 1.5 * 2**52
LOWEST_BYTE = 0 if sys.byteorder == "little" else 7


class Track:
    """The same numbers at several times, in eight bits each; `widths` divides them into rows.

    With `differences`, what is kept is the change since the previous time, which is smaller and so
    more exact; for the first time, it is the change from zero. Changes are relative to what the
    eight bits say, so errors do not add up. `wholes` are int8, `units` float32: what 1 is worth in
    each row.
    """

    def __init__(
        self,
        widths: Sequence[int],
        differences: bool,
        wholes: Iterable[int] = (),
        units: Iterable[float] = (),
    ) -> None:
        """Continue an earlier track if its `wholes` and `units` are given."""
        self.widths = widths
        self.differences = differences
        self.wholes = array("b", wholes)
        self.units = array("f", units)
        self._length = sum(widths)
        self._last: Vector | None = None  # what the differences add up to, once that is known

    def __len__(self) -> int:
        """Return how many times there are."""
        return len(self.units) // len(self.widths)

    def __getitem__(self, time: int) -> Vector:
        """Return the numbers at a time, counted from 0. Raises IndexError if there is none."""
        if not 0 <= time < len(self):
            raise IndexError(f"{time} is not one of the {len(self)} times, which count from 0")
        return next(islice(self, time, None)) if self.differences else self._kept(time)

    def __iter__(self) -> Iterator[Vector]:
        """Yield the numbers at each time in turn."""
        numbers = self._zeros()
        for time in range(len(self)):
            with no_grad():
                kept = self._kept(time)
                numbers = numbers + kept if self.differences else kept
            yield numbers

    def add(self, numbers: Vector) -> None:
        """Append the numbers at one more time."""
        with no_grad():
            change = numbers - self._before() if self.differences else numbers
            units = array("f", _units(change.data, self.widths))
            spread = self._spread(units)
            rounded = change / spread + ROUNDING
            if self.differences:
                self._last = self._before() + (rounded - ROUNDING) * spread
        self.wholes.frombytes(tobytes(rounded)[LOWEST_BYTE::8])
        self.units += units

    def _before(self) -> Vector:
        """Return what the next difference is relative to."""
        if self._last is None:
            self._last = self[len(self) - 1] if len(self) else self._zeros()
        return self._last

    def _kept(self, time: int) -> Vector:
        """Return what the bits at this time say."""
        n, rows = self._length, len(self.widths)
        wholes = self.wholes[time * n : (time + 1) * n].tolist()
        units = self.units[time * rows : (time + 1) * rows]
        with no_grad():
            return vector(array("d", wholes).tobytes()) * self._spread(units)

    def _spread(self, units: Sequence[float]) -> Vector:
        """Return the unit of each number."""
        each = array("d", units).tobytes()
        return vector(b"".join(each[8 * i : 8 * i + 8] * w for i, w in enumerate(self.widths)))

    def _zeros(self) -> Vector:
        return vector(bytes(8 * self._length))


def vector(numbers: bytes) -> Vector:
    """Return doubles as a Vector."""
    return Matrix.frombytes(numbers, 1, len(numbers) // 8)[0]


def tobytes(numbers: Vector) -> bytes:
    """Return a Vector's numbers as doubles."""
    with no_grad():
        return Matrix([numbers]).tobytes()


def _units(numbers: Sequence[float], widths: Sequence[int]) -> Iterator[float]:
    """Yield what 1 is worth in each row; 1 in a row of zeros."""
    start = 0
    for width in widths:
        row = numbers[start : start + width]
        unit = max(max(row), -min(row)) / LARGEST
        yield unit if unit > SMALLEST_UNIT else 1.0
        start += width
