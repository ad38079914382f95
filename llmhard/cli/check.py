"""The command `check`: grade what the reader has written in the workbook."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from llmhard.cli import workbook
from llmhard.cli.common import UsageError, command_line, folder_name
from llmhard.terminal import measure, wrap


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "check",
        help="check what you have written in the workbook",
        description=(
            "Check what you have written for a lab of the workbook, and say what to look at. "
            "The exit code is 0 if all checks pass, and 1 if something is wrong or missing."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} check 03 {workbook.EXAMPLE}\n"
            f"  {program} check {workbook.EXAMPLE}\n"
            f"  {program} check 03"
        ),
    )
    command.set_defaults(run=run)
    command.add_argument(
        "lab",
        metavar="LAB",
        type=folder_name,
        nargs="?",
        help="02 to 08; without it, one lab after another, up to the first that does not pass",
    )
    command.add_argument(
        "folder",
        metavar="DIR",
        type=folder_name,
        nargs="?",
        help="where the workbook is (default: the workbook that you are in)",
    )


def run(options: argparse.Namespace) -> int:
    from llmhard.workbook import LABS

    lab, given = options.lab, options.folder
    if lab is not None and not lab.isdecimal():
        lab, given = given, lab  # the folder, alone or first
    numbers = list(LABS) if lab is None else [_number(lab)]
    folder = workbook.find(given, "check", *([] if lab is None else [lab]))
    if find_spec("hypothesis") is None:
        raise UsageError("check needs hypothesis: python -m pip install hypothesis")
    from llmhard.workbook.grading import grade, told

    for number in numbers:
        report = grade(number, folder)
        if report.passed and number != numbers[-1]:
            line = f"Lab {number}, {report.lab.file}: all {len(report.outcomes)} checks pass."
            print("\n".join(wrap(line, measure(), rest="  ")))
            continue
        lines = told(report, folder, lambda n: command_line("check", n, *workbook.named(folder)))
        print("\n".join(lines))
        return 0 if report.passed else 1
    return 0


def _number(lab: str) -> str:
    """Return a lab's number as LABS has it. Raises UsageError if there is no such lab."""
    from llmhard.workbook import LABS

    number = lab.lstrip("0").zfill(2)
    if number not in LABS:
        raise UsageError(f"the labs to check are 02 to 08, not {lab!r}")
    return number
