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

from llmhard.workbook import LABS, Lab, locating
from llmhard.workbook.answers import Changed, Nothing, ToDo, Wrong
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Check, checks_of
from llmhard.workbook.errors import place
from llmhard.workbook.locating import located
from llmhard.workbook.source import Function, doubts, functions, returns_nothing, slips

CALL_SECONDS = 3.5  # on the processor; twice as much by the clock, for a busy machine
TOLD = 2  # failures of a lab for which the expression behind them is looked for
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


def run_lab(number: str, book: Book, locate: bool = True) -> Iterator[Outcome]:
    """The outcomes of a lab's checks, one after the other.

    For the first failures it looks for the expression behind them, unless `locate` is False.
    """
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
    failed, told = set[str](), 0
    for check in checks_of(number):
        if failed.intersection(check.after):
            outcome = Outcome(number, check.title, section=check.section)
        else:
            outcome = run_check(number, check, book, locate=locate and told < TOLD)
        if outcome.status in (WRONG, NOT_RUN):
            failed.add(check.title)
            told += outcome.status == WRONG
        yield outcome


def run_check(number: str, check: Check, book: Book, locate: bool = False) -> Outcome:
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
        printed = book.printed.text
        lab, called = LABS[number], check.functions(book)
        ran = [each for each in _written(lab, book) if (lab.module, each.name) in called]
        if empty := [each.name for each in ran if each.is_empty]:
            return Outcome(number, title, TO_DO, empty[:1], section=section, file=lab.file)
        if sure := [slip for function in ran for slip in slips(function)]:
            return Outcome(number, title, WRONG, wrong.lines, " ".join(sure[:2]), section, printed)
        lines, hint = wrong.lines, wrong.hint
        if isinstance(wrong, Nothing):
            hint = " ".join(returns_nothing(ran)) or hint
        if locate and not isinstance(wrong, Changed) and (found := located(check, lab, book)):
            lines = [*lines, *locating.told(found, book.folder / lab.file)]
            hint = hint or check.hint
        elif not hint:
            hint = _likely(wrong, check, ran)
        return Outcome(number, title, WRONG, lines, hint, section, printed)
    except ToDo as to_do:
        return Outcome(number, title, TO_DO, [to_do.name], section=section, file=to_do.file)
    return Outcome(number, title, OK)


def _written(lab: Lab, book: Book) -> list[Function]:
    path = book.folder / lab.file
    return list(functions(path.read_text(encoding="utf-8", errors="replace")).values())


def _likely(wrong: Wrong, check: Check, ran: list[Function]) -> str:
    """The hint where nothing is known for sure: what the text may show, what is likely."""
    likely = [doubt for function in ran for doubt in doubts(function)]
    return " ".join([*likely[:2], check.hint or wrong.guess]).strip()


def _watch(book: Book, events: Path, seconds: float) -> None:
    """End the process when the reader's code does not."""
    end = time.monotonic() + seconds
    while True:
        time.sleep(0.05)
        running = book.running
        if not running:
            continue
        by_the_clock, on_the_processor = running.seconds()
        if on_the_processor > CALL_SECONDS or by_the_clock > 2 * CALL_SECONDS:
            late = f"{running.text} did not return within {by_the_clock:.0f} s."
        elif time.monotonic() > end:
            late = f"The checks took longer than {seconds:.0f} s; the last call was {running.text}."
        else:
            continue
        _report(events, {"late": [late, *_place(book)], "printed": book.printed.text})
        os._exit(0)


def _place(book: Book) -> list[str]:
    """Where in the reader's files the main thread is."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame and Path(frame.f_code.co_filename).parent != book.folder:
        frame = frame.f_back
    return place(frame, frame.f_lineno) if frame else []


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
        # of an earlier lab only whether it passes is told
        for outcome in run_lab(number, book, locate=number == numbers[-1]):
            clean &= outcome.status == OK
            _report(Path(events), asdict(outcome))
        if not clean:
            break
    _report(Path(events), {"end": True})
    os._exit(0)  # whatever threads and clean-up the reader's code has left


if __name__ == "__main__":
    main()
