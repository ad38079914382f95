"""The command `workbook`: lay out the files in which the reader builds a GPT."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from llmhard.cli.common import UsageError, explained


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "workbook",
        help="lay out the files in which you build a GPT yourself",
        description=(
            "Lay out the workbook: a file for each of the labs 02 to 08, in which you write the\n"
            "parts of a GPT in plain Python. Files that are there already are left alone."
        ),
        epilog=f"examples:\n  {program} workbook mygpt\n  {program} check 02 mygpt",
    )
    command.set_defaults(run=run, program=program)
    command.add_argument("folder", metavar="DIR", help="where; it is made if it is not there")


def run(options: argparse.Namespace) -> None:
    from llmhard.workbook import LABS, lay_out

    folder = Path(options.folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"cannot lay out the workbook in {folder}: it is a file, not a folder")
    with explained(f"cannot lay out the workbook in {folder}"):
        written, kept = lay_out(folder)
    about = {lab.file: f"lab {lab.number}, {lab.subject}" for lab in LABS.values()}
    about["gpt.py"] = "given: trains your GPT and lets it write"
    about["sentences.txt"] = "given: 30,000 sentences to learn from"
    if written:
        print(f"Written to {folder}:\n")
        for name in written:
            print(f"  {name:<14} {about[name]}")
        print()
    if kept:
        print("There already, and left alone:\n")
        for name in kept:
            print(f"  {name}")
        print()
    print("In each lab: read its document, write what is not written yet, and check it.")
    print("Begin with docs/02-tokenizer.md; then:\n")
    print(f"  {options.program} check 02 {shlex.quote(str(folder))}")
