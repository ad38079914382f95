"""Find the expression that a failing check hangs on: with other results of it, the check passes.

The reader's module and the solution run the same cases, and each expression's results are recorded.
Then the results of the solution's expressions are put in the place of those of the reader's, one
expression at a time, those first that nothing in the solution has. Where all the cases pass, the
mistake is. Only results are compared, so it does not matter how the reader's code is written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from hypothesis import Phase, given, settings

from llmhard.workbook import SOLUTIONS, Lab
from llmhard.workbook.answers import ToDo, cut, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import SETTINGS, Check, checks_of
from llmhard.workbook.recording import (
    SEEN,
    Overrun,
    Place,
    Recording,
    Snapshot,
    instrument,
    is_opaque,
    rounded,
)
from llmhard.workbook.stubs import given_functions

SECONDS = 2.0  # on the processor, for one search
CASES = 6
FEW = settings(SETTINGS, max_examples=5, phases=(Phase.generate,))
# Counted in results, not in seconds, so that the answer is the same on a slow machine:
MOST = 20_000  # in one run of the check that fails
MOST_ELSEWHERE = 5_000  # and in one of another check

Case = Mapping[str, Any]
Results = list[Snapshot]  # of one expression in one run
Key = tuple[Any, ...]  # the same, as numbers that agree are the same


@dataclass(frozen=True)
class Located:
    """An expression, what it gives, and with what in its place the check passes."""

    place: Place
    gives: Results
    passes_with: Results


@dataclass(frozen=True)
class _Run:
    """A run of the solution: the results of its places, and how many the reader's may have."""

    check: Check
    case: Case
    results: Mapping[int, Results]
    limit: int


class Watched(Book):
    """A folder whose module of one lab is recorded while it runs."""

    def __init__(self, folder: Path, module: str, others: Mapping[str, ModuleType]) -> None:
        super().__init__(folder)
        self.recording = Recording(MOST)
        self._modules = dict(others)
        path = folder / f"{module}.py"
        tree, self.places = instrument(path.read_text(encoding="utf-8"))
        self.given = given_functions(path.read_text(encoding="utf-8"))
        made = ModuleType(module)
        made.__dict__.update({"__file__": str(path), SEEN: self._seen})
        self._modules[module] = made
        with self._modules_in_place():
            exec(compile(tree, str(path), "exec"), made.__dict__)

    def _seen(self, place: int, result: Any) -> Any:
        return self.recording.seen(place, result)

    def passes(self, check: Check, case: Case, recording: Recording) -> bool:
        """Run a check on a case with this recording, and return whether all is well."""
        self.recording, self.case = recording, case
        try:
            check.body(self, **case)
        except (Exception, Overrun):
            return False
        return recording.follows()

    def is_to_do(self, run: _Run) -> bool:
        """Return whether a check needs a function that is not written yet."""
        self.recording, self.case = Recording(run.limit), run.case
        try:
            run.check.body(self, **run.case)
        except ToDo:
            return True
        except (Exception, Overrun):
            return False
        return False


def located(check: Check, lab: Lab, book: Book) -> Located | None:
    """Return the expression that the check hangs on, None if no single one is found in time."""
    try:
        return _Search(check, lab, book).first()
    except (Exception, Overrun):  # a reader's module may do anything when it is run again
        return None


class _Search:
    """A search: both books, the runs of the check that fails, and what each expression gives."""

    def __init__(self, check: Check, lab: Lab, book: Book) -> None:
        self.check, self.lab, self.end = check, lab, time.process_time() + SECONDS
        self.solution = Watched(SOLUTIONS, lab.module, {})
        self.mine = Watched(book.folder, lab.module, book.modules_besides(lab.module))
        self.runs = [
            run for case in _cases(check, book) if (run := self._solved(check, case)) is not None
        ]

    def _solved(self, check: Check, case: Case) -> _Run | None:
        """Return a run of the solution, None if it is too long."""
        recording = Recording(MOST if check is self.check else MOST_ELSEWHERE)
        if not self.solution.passes(check, case, recording):
            return None
        return _Run(check, case, recording.results, 5 * recording.count + 1000)

    def first(self) -> Located | None:
        """Return the first expression that all hangs on."""
        if not self.runs or self.runs[0].check is not self.check:
            return None
        mine = Recording(self.runs[0].limit)
        if self.mine.passes(self.check, self.runs[0].case, mine):
            return None  # it does not fail when it is run again
        for _, place, others in sorted(self._pairs(mine), key=lambda pair: pair[0]):
            if time.process_time() > self.end:
                return None
            if all(self._passes(run, place, others[0]) for run in self.runs) and (
                any(self._holds_elsewhere(place, other) for other in others)
            ):
                passes_with = self.runs[0].results[others[0]]
                return Located(self.mine.places[place], mine.results[place], passes_with)
        return None

    def _pairs(self, mine: Recording) -> Iterator[tuple[Any, int, list[int]]]:
        """Yield what to try: when the two part, a place, and places of the solution, all alike."""
        wanted, as_given = self._distinct(), self.solution.given
        known = {_key([run]) for run in self.runs[0].results.values()}
        for place, results in mine.results.items():
            if self.mine.places[place].is_answer or self.mine.places[place].function in as_given:
                continue
            key = _key([results])
            for (other_key, *_), others in wanted.items():
                other = self.runs[0].results[others[0]]
                if not _may_replace(results, other) or _is_reordered(key[0], other_key):
                    continue
                at = _parting(key[0], other_key)
                if at is not None:
                    order = (
                        self.mine.places[place].is_given,  # what went wrong before it came in?
                        _kind(results[at]) != _kind(other[at]),
                        key in known,
                        mine.times[place][at],
                    )
                    yield order, place, others

    def _distinct(self) -> dict[Any, list[int]]:
        """Return the solution's places by their results in all runs, if these can be made again."""
        found: dict[Any, list[int]] = {}
        for place in self.runs[0].results:
            results = [run.results.get(place, []) for run in self.runs]
            if not any(is_opaque(x) for each in results for x in each):
                found.setdefault(_key(results), []).append(place)
        return found

    def _passes(self, run: _Run, place: int, other: int) -> bool:
        recording = Recording(run.limit, (place, run.results.get(other, [])), self.mine.engine)
        return self.mine.passes(run.check, run.case, recording)

    def _holds_elsewhere(self, place: int, other: int) -> bool:
        """Return whether the lab's other checks pass with it, too."""
        return all(self._passes(run, place, other) for run in self._others if other in run.results)

    @cached_property
    def _others(self) -> list[_Run]:
        """Runs of the other checks that are written so far."""
        found = []
        for check in checks_of(self.lab.number):
            if check is not self.check and (check.cases or not check.strategies):
                run = self._solved(check, check.cases[0] if check.cases else {})
                if run and not self.mine.is_to_do(run):
                    found.append(run)
        return found


def _cases(check: Check, book: Book) -> Iterator[Case]:
    """Yield the case that fails, then the check's own, then some that are drawn."""
    yield book.case
    yield from [case for case in check.cases if case != book.case][:CASES]
    if check.strategies:
        drawn: list[Case] = []
        FEW(given(**check.strategies)(lambda **case: drawn.append(case)))()
        yield from drawn[1:]


def _key(results: list[Results]) -> tuple[Key, ...]:
    return tuple(tuple(map(rounded, each)) for each in results)


def _parting(mine: Key, other: Key) -> int | None:
    """Return the number of the first result that differs, None if none does."""
    return next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), None)


def _may_replace(results: Results, other: Results) -> bool:
    """Return whether there are as many, and true or false only for true or false."""
    if len(results) != len(other):
        return False
    kinds = {_kind(results[0]), _kind(other[0])}
    return len(kinds) == 1 or not kinds & {bool, str}


def _is_reordered(mine: Key, other: Key) -> bool:
    """Return whether they are the same results in another order: what decides that is wrong."""
    return len(mine) > 1 and mine[0] in other and Counter(mine) == Counter(other)


def _kind(x: Snapshot) -> Any:
    """Return what it is: a number, a text, a list of so many numbers, and so on."""
    if not isinstance(x, tuple):
        return float if type(x) is int else type(x)
    if x[0] in ("list", "tuple") and len(x) > 1:
        return x[0], len(x), _kind(x[1])
    return x[:1]


# ---------------------------------------------------------------- in words


def told(found: Located, file: Path) -> list[str]:
    """Return lines that say where it is, what is there, and what the check passes with."""
    (mine,), (other,) = _key([found.gives]), _key([found.passes_with])
    place, at = found.place, _parting(mine, other) or 0
    gives, passes_with = found.gives[at:], found.passes_with[at:]
    if len({rounded(x) for x in gives}) == len({rounded(x) for x in passes_with}) == 1:
        gives, passes_with = gives[:1], passes_with[:1]
    shown, wanted = _series(gives), _series(passes_with)
    what = f"`{cut(place.text, 70)}` {'leaves' if place.is_change else 'gives'} {shown}."
    if place.text == shown:
        what = f"`{place.text}` is not what belongs there."
    return [
        f"in {file.name}, line {place.line}, {place.function}:",
        f"    {file.read_text(encoding='utf-8').splitlines()[place.line - 1].strip()}",
        f"There, {what} With {wanted} in its place, this check passes.",
    ]


def _series(results: Results) -> str:
    """Show the first results, fewer if they are long."""
    shown = [cut(show(_plain(x)), 100) for x in results[:3]]
    while len(shown) > 1 and sum(map(len, shown)) > 60:
        shown.pop()
    return ", then ".join(shown) or "nothing"


def _plain(x: Snapshot) -> Any:
    """Return the numbers in a snapshot as they are shown."""
    if not isinstance(x, tuple):
        return x
    kind, *parts = x
    if kind == "Value":
        return SimpleNamespace(data=parts[0], grad=0.0)  # shown as a Value
    items = [_plain(part) for part in parts]
    return tuple(items) if kind == "tuple" else items
