"""The two answers that a check has besides "ok", and numbers and Values in a reader's words."""

from __future__ import annotations

from math import isclose
from typing import Any


class Wrong(Exception):
    """What a reader's file does wrong, in lines of plain words.

    The hint points at the cause. A guess is a hint that holds for many causes, and gives way to
    any that knows more.
    """

    def __init__(self, *lines: str, hint: str = "", guess: str = "") -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)
        self.hint, self.guess = hint, guess


class Changed(Wrong):
    """A function that changes what it was given."""


class Nothing(Wrong):
    """A function that gives None."""


class ToDo(Exception):
    """A stub that is not written yet."""

    def __init__(self, name: str, file: str) -> None:
        super().__init__(name)
        self.name, self.file = name, file


def agree(found: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Return whether the numbers are the same, up to rounding."""
    if isinstance(expected, list):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(agree(f, e, tolerance) for f, e in zip(found, expected, strict=True))
        )
    if isinstance(expected, float):
        return isinstance(found, int | float) and (
            found == expected or isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
        )
    return bool(found == expected)


def brief(x: Any) -> str:
    """Return what `show` gives, cut after 200 characters, and a full stop."""
    text = cut(show(x), 200)
    return text if text.endswith("...") else f"{text}."


def cut(text: str, width: int) -> str:
    """Return the text, or its beginning if it is longer than that."""
    return text if len(text) <= width else f"{text[:width]} ..."


def show(x: Any) -> str:
    """Return a short text for numbers, Values, lists of them and anything else."""
    if isinstance(x, float):
        short = f"{x:.6g}"
        return short if any(c in short for c in ".en") else f"{short}.0"
    if isinstance(x, str):
        return repr(x)
    if isinstance(x, list | tuple):
        parts = [show(item) for item in x[:12]] + ["..."] * (len(x) > 12)
        if isinstance(x, list):
            return f"[{', '.join(parts)}]"
        return f"({', '.join(parts)}{',' * (len(x) == 1)})"
    if isinstance(x, set) and all(isinstance(item, str) for item in x):
        return f"{{{', '.join(map(repr, sorted(x)))}}}" if x else "nothing"
    if hasattr(x, "data") and hasattr(x, "grad") and isinstance(x.data, int | float):
        return f"Value({show(x.data)})"
    if isinstance(x, int | dict) or x is None:
        return repr(x)[:200]
    return f"a {type(x).__name__}"
