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

COLUMNS = 80  # for a file, a pipe, or a terminal that does not say
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
    """Return how wide a line of text should be: like the terminal, but not too wide to read."""
    return min(columns(stream), COLUMNS)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person is at the other end; None stands for a closed stream."""
    return stream is not None and not stream.closed and stream.isatty()


def whole(text: str) -> str:
    """Return the text with spaces at which `wrap` does not break, as for a path or a command."""
    return text.replace(" ", NO_BREAK)


def spaced(text: str) -> str:
    """Return the text with ordinary spaces in place of those that `whole` put there."""
    return text.replace(NO_BREAK, " ")


def wrap(text: str, columns: int, first: str = "", rest: str = "") -> list[str]:
    """Break the text at spaces into lines of at most `columns` columns.

    The first line begins with `first`, the others with `rest`. A word wider than a line stays in
    one piece, and so does what was passed to `whole`.
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
    from rich.cells import (
        cell_len,
    )  # here and below: importing it is slow

    return cell_len(text)


def printable(text: str) -> str:
    """Return the text with line ends and terminal commands shown as \\n, \\x1b and so on.

    The spaces that `whole` put there stay.
    """
    return "".join(c if c.isprintable() or c == NO_BREAK else repr(c)[1:-1] for c in text)


def is_live(stream: TextIO | None) -> TypeGuard[TextIO]:
    """Return whether what is shown can be replaced, as on a terminal that supports it."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def shows_colour(stream: TextIO | None) -> bool:
    """Return whether to send colours: to a terminal that supports them, unless NO_COLOR is set."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style that rich knows, "bold red", if the stream shows colours."""
    if not shows_colour(stream or sys.stdout):
        return text
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def mute(stream: TextIO | None) -> None:
    """Send what is still to be written to a stream nowhere, so that writing cannot fail again."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]


class _Unfailing(io.TextIOBase):
    """A stream that hides and keeps the first error of another one, and writes nothing after it.

    It is for output that may be lost: the disk that a stream is redirected to may be full, the
    reader of a pipe gone, the terminal closed. The error of a closed stream is not kept.
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
            # What the stream has buffered would fail again when the program ends.
            mute(self._stream)


def unfailing(stream: TextIO) -> TextIO:
    """Return a stream for output that may be lost: errors in writing to it are ignored."""
    return cast(TextIO, _Unfailing(stream))


@contextmanager
def unfailing_streams() -> Iterator[None]:
    """Keep prints from failing while the block runs; at its end, raise stdout's first error."""
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
    """Return a console that prints text as it is, with colours if `shows_colour` says so."""
    from rich.console import Console

    return Console(
        file=stream,
        width=columns(stream) if width is None else width,
        height=25,  # rich needs this, too, if it is given a width
        force_terminal=is_terminal(stream),
        color_system="auto" if shows_colour(stream) else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


@contextmanager
def status(doing: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal's stderr what is being done; yield what to call with the next thing."""
    if not is_live(sys.stderr):
        yield lambda _: None
    else:
        with console(unfailing(sys.stderr)).status(doing) as shown:
            yield shown.update
