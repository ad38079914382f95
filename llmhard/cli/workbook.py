"""The command `workbook`: lay out the files in which the reader builds a GPT."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmhard.cli.common import UsageError, advised, command_line, explained, folder_name
from llmhard.slips import closest
from llmhard.terminal import measure, whole, wrap

EXAMPLE = "my-gpt"  # a name for advice


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "workbook",
        help="lay out the files in which you build a GPT yourself",
        description=(
            "Lay out the workbook: a file for each of labs 02 to 08, in which you write the "
            "parts of a GPT in plain Python. Existing files are left alone; inside a workbook, "
            "the command restores missing ones."
        ),
        epilog=f"examples:\n  {program} workbook {EXAMPLE}\n  {program} check 02 {EXAMPLE}",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "folder",
        metavar="DIR",
        type=folder_name,
        nargs="?",
        help="where; the folder is made if needed (default: the workbook that you are in)",
    )


def run(options: argparse.Namespace) -> None:
    from llmhard.workbook import LABS, lay_out

    folder = find(None, "workbook") if options.folder is None else Path(options.folder)
    refuse_place(folder)
    with explained(f"cannot lay out the workbook in {whole(str(folder))}"):
        written, kept = lay_out(folder)
    about = {lab.file: f"lab {lab.number}, {lab.subject}" for lab in LABS.values()}
    about["gpt.py"] = "given: trains your GPT and lets it write"
    about["sentences.txt"] = "given: 30,000 sentences to learn from"
    if written:
        print(f"Written to {'this folder' if folder == Path() else folder}:\n")
        for name in written:
            print("\n".join(wrap(about[name], measure(), f"  {name:<14} ", " " * 17)))
        print()
    if kept:
        print("Already there, and left alone:\n")
        for name in kept:
            print(f"  {name}")
        print()
    for line in (
        "In each lab: read its document, write what is not written yet, and check it.",
        "Begin with docs/02-tokenizer.md; then:",
    ):
        print("\n".join(wrap(line, measure())))
    print()
    print(f"  {command_line('check', '02', *named(folder))}")


def refuse_place(folder: Path) -> None:
    """Raise UsageError for a place where no workbook should be: a file, another workbook."""
    from llmhard.workbook import is_workbook, workbook_around

    shown = whole(str(folder))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"cannot lay out the workbook in {shown}: it is a file, not a folder")
    place = folder.resolve()
    outer = workbook_around(place.parent)
    if outer and not is_workbook(place):
        restore = advised("workbook", *named(outer))
        raise UsageError(
            f"{shown} would be inside the workbook {whole(str(outer))}; to restore that one's "
            f"missing files: {restore}; for another workbook, leave its folder first"
        )


def find(given: str | None, *command: str) -> Path:
    """Return the workbook in a folder, or the one around the current folder.

    Raises UsageError if there is none; the message names those nearby and how the command, in
    words, takes one of them, or says how to lay one out.
    """
    from llmhard.workbook import is_workbook, workbook_around

    if given is None:
        if around := workbook_around(_here()):
            return Path(os.path.relpath(around))
        raise UsageError(f"you are not in a workbook; {_instead(Path(), command)}")
    folder = Path(given)
    if is_workbook(folder):
        return folder
    state = "is not a workbook" if folder.exists() else "is not there"
    raise UsageError(f"the folder {whole(given)} {state}; {_instead(folder, command)}")


def named(folder: Path) -> list[str]:
    """Return the words that name this workbook in a command; inside it, none are needed."""
    from llmhard.workbook import workbook_around

    return [] if workbook_around(_here()) == folder.resolve() else [str(folder)]


def _here() -> Path:
    with explained("cannot say where you are"):  # the folder has been removed
        return Path.cwd()


def _instead(folder: Path, command: Sequence[str]) -> str:
    """Return what to do when the folder is not a workbook."""
    nearby = {place.resolve(): str(place) for place in _nearby(folder)}.values()
    if not nearby:
        new = folder if folder.name and not folder.exists() else EXAMPLE
        return f"to lay one out: {advised('workbook', new)}"
    meant = closest(str(folder), nearby) or next(iter(nearby))
    others = [whole(name) for name in nearby if name != meant]
    more = f" (others: {', '.join(others)})" if others else ""
    one = "the current folder" if meant == "." else whole(meant)
    return f"{one} is one{more}: {advised(*command, *named(Path(meant)))}"


def _nearby(folder: Path) -> Iterator[Path]:
    """Yield the workbooks in the folder, here and beside it, and the one that we are in."""
    from llmhard.workbook import is_workbook, workbook_around

    for place in (folder, Path(), folder.parent):
        with suppress(OSError):
            yield from filter(is_workbook, sorted(place.iterdir()))
    if around := workbook_around(_here()):
        yield Path(os.path.relpath(around))
