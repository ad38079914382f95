"""Run the checks of some labs on a reader's files, in a process of their own.

    python -m llmhard.workbook.worker EVENTS FOLDER SECONDS 03 ...

The outcomes go line by line, as JSON, into the file EVENTS. It stops after the first lab in which
something is wrong or to do. The process ends itself when a call takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llmhard.workbook import LABS
from llmhard.workbook.book import Book, ToDo, Wrong
from llmhard.workbook.checks import Check, checks_of

CALL_SECONDS = 10.0
MEMORY = 4 << 30  # bytes

OK, WRONG, TO_DO, NOT_RUN = "ok", "wrong", "to do", "not run"


@dataclass(frozen=True)
class Outcome:
    """What came of one check."""

    lab: str
    title: str
    status: str = NOT_RUN
    lines: list[str] = field(default_factory=list)  # what is wrong, or the name of what is to do
    hint: str = ""
    section: str = ""
    printed: str = ""
    file: str = ""  # where the function is that is to do


def run_lab(number: str, book: Book) -> Iterator[Outcome]:
    """The outcomes of a lab's checks, one after the other."""
    file = LABS[number].file
    title = f"{file} can be imported"
    try:
        book.module(LABS[number].module)
    except Wrong as wrong:
        yield Outcome(number, title, WRONG, wrong.lines, wrong.hint, printed=book.printed.text)
        return
    except ToDo as to_do:
        yield Outcome(number, title, TO_DO, [to_do.name], file=to_do.file)
        return
    for check in checks_of(number):
        yield run_check(number, check, book)


def run_check(number: str, check: Check, book: Book) -> Outcome:
    """What comes of one check."""
    title, section = check.title, check.section
    try:
        try:
            check.run(book)
        except (Wrong, ToDo):
            raise
        except Exception as error:  # the reader's objects may refuse anything that a check does
            raise book.explained(f"this check, {title!r},", error) from None
    except Wrong as wrong:
        hint = wrong.hint or check.hint
        return Outcome(number, title, WRONG, wrong.lines, hint, section, book.printed.text)
    except ToDo as to_do:
        return Outcome(number, title, TO_DO, [to_do.name], section=section, file=to_do.file)
    return Outcome(number, title, OK)


def _watch(book: Book, events: Path, seconds: float) -> None:
    """End the process when the reader's code does not."""
    end = time.monotonic() + seconds
    while True:
        time.sleep(0.05)
        running, now = book.running, time.monotonic()
        if running and (now > running[1] + CALL_SECONDS or now > end):
            text, since = running
            late = f"{text} did not return within {now - since:.0f} s."
            if now - since < 2:
                late = f"The checks took longer than {seconds:.0f} s; the last call was {text}."
            _report(events, {"late": late, "printed": book.printed.text})
            os._exit(0)


def _report(events: Path, event: dict[str, object]) -> None:
    with events.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def main() -> None:
    events, folder, seconds, *numbers = sys.argv[1:]
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    book = Book(Path(folder))
    watch = threading.Thread(target=_watch, args=(book, Path(events), float(seconds)), daemon=True)
    for number in numbers:
        checks_of(number)
    watch.start()
    for number in numbers:
        clean = True
        for outcome in run_lab(number, book):
            clean &= outcome.status == OK
            _report(Path(events), asdict(outcome))
        if not clean:
            break
    _report(Path(events), {"end": True})
    os._exit(0)  # whatever threads and clean-up the reader's code has left


if __name__ == "__main__":
    main()
