"""Read a block's source from what the page shows below it.

This way nothing is on a page twice: `prompt()` without an argument runs the session that is already
shown, and `numbers(...)` puts its numbers into the paragraphs below it.
"""

from __future__ import annotations

import codeop
import re
import textwrap
from collections.abc import Iterator, Sequence

from docs_tools.errors import DocsError

_NAME = re.compile(r"\]\([^)\s]*\)|\blabs?\s\d+")  # its numbers are not computed
_NUMBER = re.compile(r"(?<![\w.])(?:(?<=[\s(=,\[`])-)?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")


class Below:
    """The lines that a page shows below one block; each fence is taken once, in order."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._text = "\n".join(lines)

    def fence(self, language: str) -> str:
        """Take the content of the next fence in this language. Raises DocsError if there is
        none."""
        match = re.search(rf"^(`{{3,}}){language}\n(.*?)^\1$", self._text, re.M | re.S)
        if match is None:
            raise DocsError(f"write what is to be run below the block, as ```{language} ... ```")
        self._text = self._text[match.end() :]
        return match[2]

    def paragraphs(self) -> str:
        """Take all that is left. Raises DocsError if there is nothing."""
        text, self._text = self._text.strip(), ""
        if not text:
            raise DocsError("write the paragraph with its numbers below the block")
        return text


def typed(transcript: str) -> str:
    """Return the statements in a session at Python's prompt, without prompts and answers."""
    lines = transcript.splitlines()
    source = [line[4:] for line in lines if re.match(r"(?:>>>|\.\.\.)(?: |$)", line)]
    if not source:
        raise DocsError("no line below the block begins with >>>")
    return "\n".join(source)


def command(session: str) -> str:
    """Return the command after `$ `, including lines that continue it after a backslash."""
    match = re.match(r"\$ ((?:.*\\\n)*.*)", session)
    if match is None:
        raise DocsError("the lines below the block do not begin with $ and a command")
    return match[1]


def must_be_typable(source: str) -> None:
    """Raise DocsError for statements that Python's own prompt would not accept as typed.

    There, an empty line ends a function, and nothing else does.
    """
    compiles, waiting = codeop.CommandCompiler(), ""
    for number, line in enumerate([*source.splitlines(), ""], start=1):
        waiting += f"{line}\n" if waiting or line.strip() else ""
        try:
            done = not waiting or compiles(waiting.removesuffix("\n")) is not None
        except SyntaxError:
            raise DocsError(
                f"line {number} cannot be typed at Python's prompt: {line!r} (an empty line ends "
                "a function there, and one must)"
            ) from None
        waiting = "" if done else waiting


def must_be_told_apart(transcript: str, source: str) -> None:
    """Raise DocsError if a session shows other statements than it ran: the next would run those."""
    lines = [line.rstrip() for line in textwrap.dedent(source).splitlines() if line.strip()]
    if [line.rstrip() for line in typed(transcript).splitlines() if line.strip()] != lines:
        cause = "an answer begins with >>> or ..., or two statements share a line"
        raise DocsError(f"this session would not run again as it is shown ({cause}):\n{transcript}")


def with_numbers(paragraphs: str, now: Sequence[object]) -> str:
    """Return the paragraphs with these numbers in place of theirs, in order.

    An int gets commas, a float as many decimals as are shown, a str is used as it is; `...` leaves
    alone a number that is not computed. Raises DocsError if the paragraphs have more or fewer.
    """
    names = [match.span() for match in _NAME.finditer(paragraphs)]
    places = [
        match
        for match in _NUMBER.finditer(paragraphs)
        if not any(first <= match.start() < last for first, last in names)
    ]
    if len(places) != len(now):
        there = ", ".join(place[0] for place in places)
        raise DocsError(f"{len(now)} numbers for a text that has {len(places)}: {there}")
    return "".join(_pieces(paragraphs, places, now))


def _pieces(text: str, places: list[re.Match[str]], now: Sequence[object]) -> Iterator[str]:
    end = 0
    for place, number in zip(places, now, strict=True):
        yield text[end : place.start()]
        yield _like(place[0], number)
        end = place.end()
    yield text[end:]


def _like(shown: str, number: object) -> str:
    """Return a number in the format of the one that is shown."""
    if number is ...:
        return shown
    if isinstance(number, float):
        mantissa, _, exponent = shown.partition("e")
        decimals = len(mantissa.partition(".")[2])
        return f"{number:,.{decimals}{'e' if exponent else 'f'}}"
    return f"{number:,}" if isinstance(number, int) else str(number)
