"""What a terminal shows: how many columns there are, lines that fit them, colour."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, TypeGuard, cast

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = 80  # of a file, of a pipe, of a terminal that does not say
NO_BREAK = "\N{NO-BREAK SPACE}"


def columns(stream: TextIO | None = None) -> int:
    """Return how wide a line on the stream, by default stdout, may be.

    That is what the environment variable COLUMNS says, else the width of the terminal, else 80.
    """
    if (given := os.environ.get("COLUMNS", "")).isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size((stream or sys.stdout).fileno()).columns or COLUMNS
    except (AttributeError, ValueError, OSError):  # no stream, a closed one, no terminal
        return COLUMNS


def measure(stream: TextIO | None = None) -> int:
    """Return how wide a line of text should be: as the terminal, but not too long to be read."""
    return min(columns(stream), COLUMNS)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person is at the other end; a stream that was closed is None."""
    return stream is not None and not stream.closed and stream.isatty()


def whole(text: str) -> str:
    """Return the text with spaces at which `wrap` does not break: a path, a command to paste."""
    return text.replace(" ", NO_BREAK)


def spaced(text: str) -> str:
    """Return the text with ordinary spaces in place of those that `whole` has put there."""
    return text.replace(NO_BREAK, " ")


def wrap(text: str, columns: int, first: str = "", rest: str = "") -> list[str]:
    """Break the text at spaces into lines of at most so many columns.

    The first line begins with `first`, the others with `rest`. A word that is wider than a line
    stays in one piece, and so does what `whole` was given.
    """
    lines, line, begun = [], first, False
    for gap, word in re.findall(r"( *)([^ ]+)", re.sub(r"[\t\n\v\f\r]", " ", text)):
        if begun and cells(line + gap + word) > columns:
            lines.append(line)
            line, begun = rest, False
        line += gap + word if begun else word
        begun = True
    return [spaced(line) for line in (*lines, line)]


def cells(text: str) -> int:
    """Return how many columns the text takes; a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # here and below: it takes a good part of the time of `sample`

    return cell_len(text)


def printable(text: str) -> str:
    """Return the text without line ends and commands to the terminal: as \\n, \\x1b instead.

    The spaces that `whole` has made stay.
    """
    return "".join(c if c.isprintable() or c == NO_BREAK else repr(c)[1:-1] for c in text)


def is_live(stream: TextIO | None) -> TypeGuard[TextIO]:
    """Return whether what is shown can be replaced: on a terminal that knows how to."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def shows_colour(stream: TextIO | None) -> bool:
    """Return whether to send colours: to a terminal that knows them, unless NO_COLOR is set."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style as rich names it, "bold red", if the stream shows colours."""
    if not shows_colour(stream or sys.stdout):
        return text
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def mute(stream: TextIO | None) -> None:
    """Let what is still to be written to a stream go nowhere, so that it fails no more."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or nothing that leads to a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]


class _Unfailing(io.TextIOBase):
    """A stream that hides the first error of another one, keeps it, and writes nothing after it.

    For what may be lost: the disk that a stream is redirected to may be full, the reader of a pipe
    gone, the terminal closed. The error of a stream that somebody has closed is not kept.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        with self._hiding():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._hiding():
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    @contextmanager
    def _hiding(self) -> Iterator[None]:
        try:
            yield
        except ValueError:  # it is closed
            pass
        except OSError as error:
            self.error = self.error or error
            # What the stream has kept for later would fail again when the program ends.
            mute(self._stream)


def unfailing(stream: TextIO) -> TextIO:
    """Return a stream for what may be lost: an error in writing to it is no error."""
    return cast(TextIO, _Unfailing(stream))


@contextmanager
def unfailing_streams() -> Iterator[None]:
    """Let no print fail while the block runs; raises the first error of stdout at its end."""
    before = sys.stdout, sys.stderr
    out = _Unfailing(sys.stdout) if sys.stdout else None
    err = _Unfailing(sys.stderr) if sys.stderr else None
    sys.stdout, sys.stderr = out, err
    try:
        yield
        if out:
            out.flush()
    finally:
        sys.stdout, sys.stderr = before
    if out and out.error:
        raise out.error


def console(stream: TextIO, width: int | None = None) -> Console:
    """Return a console that prints what it is given; colours where `shows_colour` says so."""
    from rich.console import Console

    return Console(
        file=stream,
        width=columns(stream) if width is None else width,
        height=25,  # with a width of its own rich needs this, too
        force_terminal=is_terminal(stream),
        color_system="auto" if shows_colour(stream) else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


@contextmanager
def status(doing: str) -> Iterator[Callable[[str], None]]:
    """What to call with what is done next: on a terminal, stderr shows it until the end."""
    if not is_live(sys.stderr):
        yield lambda _: None
    else:
        with console(unfailing(sys.stderr)).status(doing) as shown:
            yield shown.update
