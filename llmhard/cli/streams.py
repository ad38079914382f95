"""Standard streams that never fail: what cannot be shown must not cost a trained model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Unfailing:
    """A stream that hides the first error of another one, keeps it, and writes nothing more.

    The disk that a stream is redirected to may be full, the reader of a pipe gone, the terminal
    closed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._hiding():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._hiding():
            self._stream.flush()

    @contextmanager
    def _hiding(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.error is None:
                self.error = error
            # What the stream has kept for later would fail again when the program ends.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def unfailing() -> Iterator[None]:
    """Let no print fail while the block runs; raises the first error of stdout at its end."""
    before = sys.stdout, sys.stderr
    out = Unfailing(sys.stdout) if sys.stdout else None
    err = Unfailing(sys.stderr) if sys.stderr else None
    sys.stdout, sys.stderr = out, err
    try:
        yield
        if out:
            out.flush()
    finally:
        sys.stdout, sys.stderr = before
    if out and out.error:
        raise out.error
