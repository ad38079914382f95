"""The lines that a person has typed at the prompt, kept from one session to the next."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import History

LINES = 1000  # kept in the file, the latest
LONGEST = 1000  # characters of a line that is kept
LARGEST = 256 * 1024  # bytes that are read, the latest


class SavedHistory(History):
    """A history in a text file, one entry per line, oldest first.

    If the file cannot be read or written, the history silently lasts for the session only.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines of the file, latest first; a file that has grown too long is cut."""
        with suppress(OSError, RuntimeError):  # RuntimeError: links that form a loop
            if self._path and self._path.is_file():
                lines, whole = _latest_lines(self._path)
                if not whole:
                    _rewrite(self._path.resolve(), lines)
                return reversed(lines)
        return []

    def store_string(self, string: str) -> None:
        """Append what was typed; pasted text has several lines."""
        lines = [line for line in string.splitlines() if line.strip() and len(line) <= LONGEST]
        with suppress(OSError, RuntimeError):
            if self._path and lines and (self._path.is_file() or not self._path.exists()):
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._path.touch(mode=0o600)
                with self._path.open("ab") as file:
                    file.write(_encoded(lines))


def default_path() -> Path | None:
    """Return where the history belongs, or None if the system does not say."""
    if sys.platform == "win32":
        return _below("LOCALAPPDATA")
    return _below("XDG_STATE_HOME") or _below("HOME", ".local", "state")


def _below(variable: str, *folders: str) -> Path | None:
    home = os.environ.get(variable, "")
    return Path(home, *folders, "llmhard", "history") if Path(home).is_absolute() else None


def _latest_lines(path: Path) -> tuple[list[str], bool]:
    """Return the latest lines and whether the file has no others."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LARGEST))
        text = file.read(LARGEST).decode(errors="replace")
    lines = text.splitlines()[size > LARGEST :]  # the first line of an excerpt may be cut off
    return lines[-LINES:], size <= LARGEST and len(lines) <= LINES


def _rewrite(path: Path, lines: list[str]) -> None:
    """Replace the file with these lines; another session finds either the old or the new file."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # with 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encoded(lines))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")
