"""What a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None if none is similar."""
    from difflib import get_close_matches  # needed only here

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """Return the message for a word that is not among those known."""
    choices = list(known)
    meant = closest(word, choices)
    instead = f"did you mean {meant}?" if meant else f"choose from {', '.join(choices)}"
    return f"there is no {kind}{word!r}; {instead}"
