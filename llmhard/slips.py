"""What somebody meant who mistyped it."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the word that was meant, or None if nothing is like it."""
    from difflib import get_close_matches  # needed only here

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """Return what to say of a word that is none of those known."""
    choices = list(known)
    meant = closest(word, choices)
    instead = f"did you mean {meant}?" if meant else f"choose from {', '.join(choices)}"
    return f"there is no {kind}{word!r}; {instead}"
