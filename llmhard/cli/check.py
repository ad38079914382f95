"""The command `check`: grade what the reader has written in the workbook."""

from __future__ import annotations

import argparse
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmhard.cli.common import UsageError


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "check",
        help="check what you have written in the workbook",
        description=(
            "Check what you have written for a lab of the workbook, and say what to look at.\n"
            "The exit code is 0 if all checks pass, 1 if something is wrong or to do."
        ),
        epilog=f"examples:\n  {program} check 03 mygpt\n  {program} check mygpt",
    )
    command.set_defaults(run=run, program=program)
    command.add_argument(
        "lab",
        metavar="LAB",
        nargs="?",
        help="02 to 08; without it, one lab after the other up to the first that does not pass",
    )
    command.add_argument("folder", metavar="DIR", help="where the workbook was laid out")


def run(options: argparse.Namespace) -> int:
    from llmhard.workbook import LABS

    folder = Path(options.folder)
    numbers = list(LABS) if options.lab is None else [options.lab.zfill(2)]
    if not set(numbers) <= set(LABS):
        raise UsageError(f"the labs to check are 02 to 08, not {options.lab!r}")
    if not folder.is_dir():
        command = f"{options.program} workbook {shlex.quote(str(folder))}"
        raise UsageError(f"there is no folder {folder}; lay it out first: {command}")
    if find_spec("hypothesis") is None:
        raise UsageError("check needs hypothesis: python -m pip install hypothesis")
    from llmhard.workbook.grading import grade, told

    for number in numbers:
        report = grade(number, folder)
        if report.passed and number != numbers[-1]:
            print(f"Lab {number}, {report.lab.file}: all {len(report.outcomes)} checks pass.")
            continue
        print("\n".join(told(report, folder, options.program)))
        return 0 if report.passed else 1
    return 0
