"""Signals that ask a program to end: raised as exceptions, held back while a file is written.

Ctrl-C, `kill` and a closing terminal (SIGINT, SIGTERM, SIGHUP) are treated alike. A signal that was
already ignored when the program began, as SIGHUP is under `nohup`, stays ignored. Only the command
line installs these handlers; whoever imports the package keeps their own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

NAMES = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}
ENDING = {int(getattr(signal, name)): what for name, what in NAMES.items() if hasattr(signal, name)}

_holds: list[Held] = []  # the innermost last
_ending = False


class Interrupted(KeyboardInterrupt):
    """A signal that asks the program to end: `number` is the signal's, `code` the exit code."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or ENDING[number])
        self.number = number
        self.code = 128 + number


class Held:
    """Holds signals back while its block runs; at its end the first of them is raised.

    `number` is the signal that has come, or None. A second Ctrl-C is raised at once, unless the
    block is `brief` and so will be over before anybody loses patience.
    """

    def __init__(self, brief: bool = False) -> None:
        self.brief = brief
        self.number: int | None = None

    def __enter__(self) -> Held:
        _holds.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _holds.remove(self)
        if self.number is not None and kind is None:
            _notice(self.number, None)


@contextmanager
def raised() -> Iterator[None]:
    """Raise `Interrupted` for a signal that asks the program to end, while the block runs.

    Outside of the main thread, where Python allows no handlers, nothing changes.
    """
    global _ending
    before = {}
    _ending = False
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _notice)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending() -> None:
    """Ignore signals from now on: the program has been asked to end, or is about to."""
    global _ending
    _ending = True


def _notice(number: int, _frame: FrameType | None) -> None:
    if _ending:
        return
    if not _holds:
        raise Interrupted(number)
    hold = _holds[-1]
    again = hold.number == number == signal.SIGINT
    hold.number = hold.number or number
    if again and not hold.brief:
        raise Interrupted(number)
