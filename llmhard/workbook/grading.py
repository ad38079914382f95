"""Grading a lab: run its checks on a reader's files, in another process, and say what came out."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llmhard.terminal import cells, measure, paint, printable, whole, wrap
from llmhard.workbook import LABS, Lab
from llmhard.workbook.checks import checks_of
from llmhard.workbook.worker import NOT_RUN, OK, TO_DO, WRONG, Outcome

SECONDS = 18.0  # for all the checks of one lab
STYLES = {OK: "green", WRONG: "red", TO_DO: "yellow", NOT_RUN: "dim"}
SHOWN = 2  # causes that are told in full
ENDLESS = "Look for a loop whose end never comes."


@dataclass(frozen=True)
class Report:
    """What came of a lab's checks; `earlier`, if an earlier lab is at fault, of that lab's."""

    lab: Lab
    outcomes: list[Outcome]
    earlier: Report | None = None

    def count(self, status: str) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def passed(self) -> bool:
        return self.count(OK) == len(self.outcomes)


def grade(number: str, folder: Path) -> Report:
    """Run the checks of a lab. If some fail, those of the labs before it show whose fault it is."""
    end = time.monotonic() + SECONDS
    lab = LABS[number]
    outcomes = _run([number], folder, SECONDS)[number]
    blamed = [
        outcome
        for outcome in outcomes
        if outcome.status == WRONG or (outcome.status == TO_DO and outcome.file != lab.file)
    ]
    if blamed and lab.needs:
        for earlier, found in _run(lab.needs, folder, max(2.0, end - time.monotonic())).items():
            report = Report(LABS[earlier], found)
            if report.count(WRONG) or report.count(TO_DO):
                return Report(lab, outcomes, report)
    return Report(lab, outcomes)


def _run(
    numbers: list[str] | tuple[str, ...], folder: Path, seconds: float
) -> dict[str, list[Outcome]]:
    """The outcomes of these labs, up to the first one in which not everything passes."""
    with tempfile.TemporaryDirectory() as place:
        events = Path(place) / "events"
        events.touch()
        command = [sys.executable, "-m", "llmhard.workbook.worker"]
        try:
            process = subprocess.run(
                [*command, str(events), str(folder.resolve()), str(seconds), *numbers],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=place,
                timeout=seconds + 3,
                check=False,
            )
            last_words = process.stderr.decode(errors="replace").strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            last_words = [f"It did not end within {seconds:.0f} s."]
        lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    results: dict[str, list[Outcome]] = {}
    for line in lines:
        if "lab" in line:
            outcome = Outcome(**line)
            results.setdefault(outcome.lab, []).append(outcome)
    unfinished = [n for n in numbers if len(results.get(n, [])) < len(checks_of(n))]
    if unfinished and not (lines and lines[-1].get("end")):
        # Something made the process end: the check that comes next, or the import before the first.
        late = lines[-1] if lines and "late" in lines[-1] else None
        said = late["late"] if late else ["Your code ended the program.", *last_words]
        found = results.setdefault(unfinished[0], [])
        check = checks_of(unfinished[0])[len(found)]
        hint = (check.late or ENDLESS) if late else check.hint
        printed = late["printed"] if late else ""
        found.append(Outcome(unfinished[0], check.title, WRONG, said, hint, check.section, printed))
    return {number: _completed(number, found) for number, found in results.items()}


def _completed(number: str, outcomes: list[Outcome]) -> list[Outcome]:
    """With the checks that have not been run."""
    ran = {outcome.title for outcome in outcomes}
    rest = [check for check in checks_of(number) if check.title not in ran]
    return outcomes + [Outcome(number, check.title, section=check.section) for check in rest]


# ---------------------------------------------------------------- in words


def told(report: Report, folder: Path, check: Callable[[str], str]) -> Iterator[str]:
    """The report, in lines that fit the terminal; `check` gives the command that checks a lab."""
    lab = report.lab
    for line in _wrapped(f"Lab {lab.number}, {lab.subject}: {lab.file}"):
        yield paint(line, "bold")
    yield ""
    if report.earlier:
        yield from _blame(report, report.earlier, check)
        return
    for outcome in report.outcomes:
        first, *rest = wrap(printable(outcome.title), measure(), " " * 10, " " * 10)
        yield f"  {paint(f'{outcome.status:<7}', STYLES[outcome.status])} {first[10:]}"
        yield from rest
    yield ""
    failures = [outcome for outcome in report.outcomes if outcome.status == WRONG]
    for told_first, *others in causes(failures)[:SHOWN]:
        yield from _failure(told_first, lab)
        if others:
            yield from _wrapped(_the_same(others), "    ")
            yield ""
    yield from _wrapped(_summary(report, failures))
    yield from _next(report, folder)


def causes(failures: list[Outcome]) -> list[list[Outcome]]:
    """Put failures together that have the same hint, or that come from the same line."""
    groups: list[list[Outcome]] = []
    for outcome in failures:
        same = (group for group in groups if _is_one_cause(group[0], outcome))
        if group := next(same, None):
            group.append(outcome)
        else:
            groups.append([outcome])
    return groups


def _is_one_cause(one: Outcome, other: Outcome) -> bool:
    places = [[line for line in each.lines if line.startswith("in ")] for each in (one, other)]
    if places[0] and places[0][-1:] == places[1][-1:]:
        return True
    return bool(one.hint) and one.hint == other.hint


def _the_same(others: list[Outcome]) -> str:
    titles = [outcome.title for outcome in others[:3]]
    more = [f"{len(others) - 3} more"] * (len(others) > 3)
    return f"The same reason is behind: {'; '.join(titles + more)}."


def _failure(outcome: Outcome, lab: Lab) -> Iterator[str]:
    for line in _wrapped(outcome.title):
        yield paint(line, "bold")
    for line in outcome.lines:
        yield from _wrapped(line, "    ")
    if outcome.hint:
        yield ""
        yield from _wrapped(outcome.hint, "    ")
    if outcome.printed.strip():
        yield ""
        yield "    Your code printed:"
        printed = outcome.printed.strip().splitlines()
        for line in printed[:5]:
            yield _cut(f"    | {printable(line)}")
        if len(printed) > 5:
            yield "    | ..."
    if outcome.section:
        yield ""
        yield from _wrapped(f'Read: {lab.document}, "{outcome.section}"', "    ")
    yield ""


def _cut(line: str) -> str:
    """The line, or what of it fits, and what shows that it went on."""
    if cells(line) <= measure():
        return line
    while cells(line) > measure() - 4:
        line = line[:-1]
    return f"{line} ..."


def _summary(report: Report, failures: list[Outcome]) -> str:
    n = len(report.outcomes)
    if report.passed:
        return f"All {n} checks pass."
    parts = [f"{report.count(OK)} of {n} checks pass"]
    for status, words in ((WRONG, "wrong"), (TO_DO, "to do"), (NOT_RUN, "not run")):
        if report.count(status):
            parts.append(f"{report.count(status)} {words}")
    more = f" The first {SHOWN} causes are told above." if len(causes(failures)) > SHOWN else ""
    if report.count(NOT_RUN) and failures:
        more += " What builds on what is wrong is not run yet."
    return ", ".join(parts) + "." + more


def _next(report: Report, folder: Path) -> Iterator[str]:
    lab = report.lab
    if report.passed:
        later = [other for other in LABS.values() if other.number > lab.number]
        if later:
            yield from _wrapped(
                f"Next: lab {later[0].number}, {later[0].subject}: {later[0].document}, "
                f"and {whole(str(folder / later[0].file))}."
            )
        else:
            yield from _wrapped("Your GPT is complete. Let it learn and write:")
            yield ""
            yield f"  python {shlex.quote(str(folder / 'gpt.py'))}"
            yield ""
            yield from _wrapped(
                "Then change one line of model.py and run it again, on the compiled engine:"
            )
            yield ""
            for line, said in (
                ("from value import Value  ", "as it is"),
                ("from llmhard import Value", "as it should be"),
            ):
                yield from wrap(f"{whole(line)}    {whole(said)}", measure(), "  ", "      ")
    elif not report.count(WRONG) and report.count(TO_DO):
        first = next(outcome for outcome in report.outcomes if outcome.status == TO_DO)
        file = whole(str(folder / first.file))
        yield from _wrapped(
            f"Next: write {first.lines[0]} in {file}. Its docstring says what it should do; "
            f'{lab.document}, "{first.section}", says how.'
        )


def _blame(report: Report, earlier: Report, check: Callable[[str], str]) -> Iterator[str]:
    lab, cause = report.lab, earlier.lab
    state = "does not pass its own checks" if earlier.count(WRONG) else "is not finished"
    yield from _wrapped(
        f"Lab {lab.number} needs your {cause.file}, and that {state} yet. So what is wrong here "
        f"may not be the fault of {lab.file}. First:"
    )
    yield ""
    yield f"  {check(cause.number)}"
    yield ""
    first = next(outcome for outcome in earlier.outcomes if outcome.status in (WRONG, TO_DO))
    what = f"write {first.lines[0]}" if first.status == TO_DO else first.title
    yield from _wrapped(f"{first.status.capitalize()} in {cause.file}: {what}")


def _wrapped(text: str, indent: str = "") -> list[str]:
    """The text in lines that fit; its own indentation stays."""
    text = printable(text)
    own = indent + " " * (len(text) - len(text.lstrip()))
    if not text.strip():
        return [""]
    return wrap(text, measure(), own, own + "  " * (own != indent))
