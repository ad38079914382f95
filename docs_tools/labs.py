"""Rewrites the labs' blocks, and compares them with what is there."""

from __future__ import annotations

import difflib
import importlib.util
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cogapp import Cog
from cogapp.cogapp import CogError

from docs_tools import blocks
from docs_tools.blocks import Page, Piece
from docs_tools.compare import EXACT, Tolerance, differences
from docs_tools.errors import DocsError
from docs_tools.session import Session
from docs_tools.shown import Below

BEGIN, END, CLOSE = "[[[cog", "]]]", "[[[end]]]"


@dataclass(frozen=True)
class Stretch:
    """Neighbouring lines of a lab: the output of one block, or what is between two."""

    first: int  # line number, from 1
    lines: list[str]
    is_output: bool


@dataclass(frozen=True)
class Stale:
    """Something that is no longer true; `diff` shows it."""

    place: str
    reasons: list[str]
    diff: str

    def __str__(self) -> str:
        return "\n".join([f"{self.place}: not what comes out now", *self.reasons, self.diff])


@dataclass(frozen=True)
class Result:
    """What a lab and its figures should be, and which parts are stale."""

    text: str
    figures: dict[str, str]  # file name: SVG
    stale: list[Stale]


@dataclass(frozen=True)
class Compared:
    """A stretch as it was and as it is now; `reasons` say why it is stale, if it is."""

    old: Stretch
    new: Stretch
    reasons: list[str]
    trained: bool  # it depends on the last bits of a training run


def all_labs(root: Path) -> list[str]:
    """Return the names of the labs, such as "03-autograd", in their order."""
    return sorted(path.stem for path in (root / "docs").glob("[0-9][0-9]-*.md"))


def stretches(text: str) -> list[Stretch]:
    """Cut a lab where outputs begin and end; the pieces together are the whole text."""
    parts = [Stretch(1, [], False)]
    in_block = False
    for number, line in enumerate(text.splitlines(), start=1):
        if parts[-1].is_output and CLOSE in line:
            parts.append(Stretch(number, [], False))
        parts[-1].lines.append(line)
        if BEGIN in line and not parts[-1].is_output:
            in_block = True
        if in_block and END in line.replace(CLOSE, ""):
            in_block = False
            parts.append(Stretch(number + 1, [], True))
    return parts


def below(text: str) -> dict[int, Below]:
    """Return what a lab shows below each block, by the line number of the block."""
    parts = stretches(text)
    return {
        next(n for n, line in enumerate(block.lines, start=block.first) if BEGIN in line): Below(
            output.lines
        )
        for block, output in pairwise(parts)
        if output.is_output
    }


def regenerate(lab: str, session: Session, same_machine: bool = True) -> Result:
    """Run a lab's blocks, leaving what is not stale as it is, to the last digit.

    Raises DocsError for a block that fails.
    """
    path = session.root / "docs" / f"{lab}.md"
    committed = path.read_text(encoding="utf-8")
    page = blocks.page = Page(session, below(committed))
    cog = Cog()
    cog.options.prologue = f"from docs_tools.blocks import *{_module(lab)}"
    cog.options.begin_spec, cog.options.end_spec, cog.options.end_output = BEGIN, END, CLOSE
    try:
        fresh = cog.process_string(committed, f"docs/{path.name}")
    except (CogError, SyntaxError) as error:  # its text names the block and the line
        raise DocsError(f"docs/{path.name}: a block fails\n{error}") from None
    finally:
        session.stop_python()
    return _result(path, committed, fresh, page, same_machine)


def _module(lab: str) -> str:
    """Return what imports a lab's module, such as pages/nn_primitives.py for 04-nn-primitives."""
    name = lab.partition("-")[2].replace("-", "_")
    there = importlib.util.find_spec(f"docs_tools.pages.{name}")
    return f"; from docs_tools.pages import {name} as lab" if there else ""


def _result(path: Path, committed: str, fresh: str, page: Page, same_machine: bool) -> Result:
    written = iter(page.lines)
    compared = [
        _compare(path, old, new, written, same_machine)
        for old, new in zip(stretches(committed), stretches(fresh), strict=True)
    ]
    # A report and the words about it are renewed together, or the page contradicts itself.
    again = any(one.trained and one.reasons for one in compared)
    lines = []
    stale = []
    for one in compared:
        lines += (one.new if one.reasons or (again and one.trained) else one.old).lines
        if one.reasons:
            place = f"docs/{path.name}:{one.old.first}"
            diff = _diff(place, one.old.lines, one.new.lines)
            stale.append(Stale(place, one.reasons, diff))
    figures = {}
    for name, (svg, tolerance) in page.figures.items():
        kept, reasons = _figure(path.parent / "figures" / name, svg, tolerance, same_machine)
        figures[name] = svg if again and tolerance.trained else kept
        if reasons:
            stale.append(Stale(f"docs/figures/{name}", reasons, ""))
    return Result("\n".join(lines) + "\n", figures, stale)


def _compare(
    path: Path, old: Stretch, new: Stretch, written: Iterator[Piece], same_machine: bool
) -> Compared:
    """Compare a stretch with what it is now; raises DocsError for a line of unknown origin."""
    if not new.is_output:
        return Compared(old, new, [], False)
    tolerances = []
    for line in new.lines:
        text, tolerance = next(written, ("", EXACT))
        if line.strip() != text.strip():
            raise DocsError(f"docs/{path.name}: {line!r} was not written by a block's function")
        tolerances.append(tolerance)
    reasons = differences(old.lines, new.lines, tolerances, same_machine)
    return Compared(old, new, reasons, any(tolerance.trained for tolerance in tolerances))


def _figure(
    path: Path, svg: str, tolerance: Tolerance, same_machine: bool
) -> tuple[str, list[str]]:
    """Return what the file of a figure should hold, and why it is stale, if it is."""
    if not path.exists():
        return svg, ["it is not there"]
    committed = path.read_text(encoding="utf-8")
    if committed == svg:
        return svg, []
    if tolerance == EXACT:
        return svg, ["it differs"]
    new = blocks.labels(svg)
    reasons = differences(blocks.labels(committed), new, [tolerance] * len(new), same_machine)
    return (svg, reasons) if reasons else (committed, [])


def _diff(place: str, old: list[str], new: list[str]) -> str:
    return "\n".join(
        difflib.unified_diff(old, new, f"{place} (committed)", f"{place} (now)", lineterm="")
    )


# ---------------------------------------------------------------- all labs


def run(root: Path, wanted: list[str], write: bool) -> list[Stale]:
    """Run these labs, and earlier ones that have not been run; write what is stale, if asked to.

    All labs are run from the beginning when all are wanted. Raises DocsError for a block that
    fails.
    """
    labs = all_labs(root)
    session = Session(root)
    machine_file = root / "docs_tools" / "machine.txt"
    same_machine = machine_file.exists() and machine_file.read_text().strip() == machine()
    fresh_start = wanted == labs
    if fresh_start and write:  # from now on, this kind of machine is the one that wrote them
        same_machine = True
    stale: list[Stale] = []
    drawn: set[str] = set()
    for before, lab in zip([None, *labs], labs, strict=False):
        if lab not in wanted and (session.has_run(lab) or lab > max(wanted)):
            continue
        session.begin(before)
        result = regenerate(lab, session, same_machine)
        session.end(lab)
        if lab in wanted:
            stale += result.stale
            drawn |= result.figures.keys()
            if write:
                _write(root, lab, result)
    if fresh_start:
        stale += _orphans(root, drawn, write)
        if write:
            machine_file.write_text(machine() + "\n", encoding="utf-8")
    return stale


def _write(root: Path, lab: str, result: Result) -> None:
    (root / "docs" / f"{lab}.md").write_text(result.text, encoding="utf-8")
    for name, svg in result.figures.items():
        path = root / "docs" / "figures" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8")


def _orphans(root: Path, drawn: set[str], write: bool) -> list[Stale]:
    """Return the figures that no lab draws any more."""
    orphans = [p for p in sorted((root / "docs" / "figures").glob("*.svg")) if p.name not in drawn]
    if write:
        for path in orphans:
            path.unlink()
    return [Stale(f"docs/figures/{path.name}", ["no lab draws it"], "") for path in orphans]


def machine() -> str:
    """Return the kind of this machine, as far as the last bits of a result depend on it."""
    system = f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}"
    compiler = subprocess.run(["cc", "--version"], capture_output=True, encoding="utf-8").stdout
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    vectors = " ".join(sorted(flags & {"fma", "avx2", "avx512f"}))
    return f"{system}, {compiler.partition(chr(10))[0]}, {vectors}"
