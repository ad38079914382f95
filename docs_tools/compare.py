"""Comparing what a lab shows with what comes out now: text exactly, some numbers roughly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

_NUMBER = re.compile(r"(?<![\w.])(?:(?<=[\s(=,\[])-|^-)?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", re.M)
_TIME = re.compile(
    r"\s*(?:(?:ns|us|µs|ms|s|seconds?|milliseconds?|minutes?|times|x)\b"
    r"|(?:[a-z]+ )?(?:a|per) second\b|[a-z]*/s\b)"
)
_PERCENT = re.compile(r"\s*(?:%|per cent\b|in a hundred\b)")


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be from the one shown in a lab; text may not differ at all.

    tolerance  by how much at most, for a number with a decimal point
    percent    the same for a number before "%" or "per cent", in percentage points
    timing     by what factor at most, for a number before a unit of time or speed
    trained    the output depends on the last bits of a long training run: on another kind of
               machine than the one that wrote the lab, the words, the counts and the number of
               lines may differ
    """

    tolerance: float = 0.0
    percent: float = 0.0
    timing: float = 1.0
    trained: bool = False


EXACT = Tolerance()


def differences(
    shown: Sequence[str],
    now: Sequence[str],
    tolerances: Sequence[Tolerance],
    same_machine: bool = True,
) -> list[str]:
    """Return what differs by more than it may, a reason per line; `tolerances` is by line of `now`.

    `same_machine` says that the lines shown were written on a machine of the same kind.
    """
    if len(shown) != len(now):
        if not same_machine and any(tolerance.trained for tolerance in tolerances):
            return []
        return [f"{len(shown)} lines became {len(now)}"]
    found = []
    for number, (old, new, tolerance) in enumerate(
        zip(shown, now, tolerances, strict=True), start=1
    ):
        reason = _difference(old, new, tolerance, tolerance.trained and not same_machine)
        if reason:
            found.append(f"line {number}: {reason}")
    return found


def _difference(old: str, new: str, tolerance: Tolerance, free: bool) -> str | None:
    if old == new:
        return None
    if tolerance == EXACT:
        return "it differs"
    if _skeleton(old) != _skeleton(new):
        return None if free else "the text differs"
    for before, after in zip_longest(_NUMBER.finditer(old), _NUMBER.finditer(new)):
        if reason := _number_difference(before, after, tolerance, free):
            return reason
    return None


def _skeleton(line: str) -> str:
    """Return the line without its numbers and the spaces that align them."""
    return " ".join(_NUMBER.sub("#", line).split())


def _number_difference(
    before: re.Match[str], after: re.Match[str], tolerance: Tolerance, free: bool
) -> str | None:
    if before[0] == after[0]:
        return None
    old, new = (float(match[0].replace(",", "")) for match in (before, after))
    became = f"{before[0]} became {after[0]}"
    rest = before.string[before.end() :]
    if _TIME.match(rest) and tolerance.timing > 1:
        # What is shown as 0.00 may be anything smaller than the last digit.
        least = 10.0 ** -max(_decimals(before[0]), _decimals(after[0]))
        low, high = sorted((max(old, least), max(new, least)))
        return (
            f"{became}, more than {tolerance.timing:g}-fold"
            if high > low * tolerance.timing
            else None
        )
    if _PERCENT.match(rest) and tolerance.percent:
        return _too_far(old, new, tolerance.percent, became)
    if "." in before[0] or "." in after[0]:
        return _too_far(old, new, tolerance.tolerance, became)
    return None if free else f"the count {became}"


def _too_far(old: float, new: float, allowed: float, became: str) -> str | None:
    # Decimal numbers have no exact double: 2.15 - 2.10 is a little more than 0.05.
    return (
        f"{became}, more than {allowed:g} away" if abs(new - old) > allowed * (1 + 1e-9) else None
    )


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
