"""How --help is laid out: text that fits the terminal, examples that can be pasted."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from typing import Any

from llmhard.terminal import cells, measure, whole, wrap

COLUMN, NARROW = 24, 60  # where the help of an option begins, unless the terminal is narrow
WORD = r"""(?:[^\s'"]|'[^']*'|"[^"]*")+"""  # of a command line
PART = re.compile(rf"--?[\w-]+ (?![-|]){WORD}|{WORD}")  # a word, or an option and its value


class HelpFormatter(argparse.HelpFormatter):
    """Fill the text, and break examples, which are indented lines, with a backslash."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = measure()
        super().__init__(prog, 2, COLUMN if width >= NARROW else 6, width, **options)

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        """Break the line between the arguments; they go below the command if they are too wide."""
        width, self._width = self._width, sys.maxsize  # argparse itself breaks in other places
        line = super()._format_usage(usage, actions, groups, prefix).strip()
        self._width = width
        if prefix is not None:  # argparse asks for the name of a command
            return line
        head = f"usage: {self._prog}"
        parts = re.findall(r"\[.*?\](?=\s|$)|\S+", line.removeprefix(head))
        if cells(head) + 1 + max(map(cells, parts), default=0) <= width:
            first, rest, above = f"{head} ", " " * (cells(head) + 1), []
        else:
            first = rest = " " * len("usage: ")
            above = [head]
        return "\n".join([*above, *wrap(" ".join(map(whole, parts)), width, first, rest)]) + "\n\n"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(text, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for examples, paragraph in re.findall(r"((?:^ .*\n?)+)|((?:^[^ \n].*\n?)+)", text, re.M):
            if examples:
                for line in examples.splitlines():
                    lines += command_lines(line.strip(), width, indent + "  ")
            else:
                lines += wrap(paragraph, width, indent, indent)
        return "\n".join(lines)


def command_lines(command: str, columns: int, indent: str) -> list[str]:
    """Break a command into lines that a shell takes as one.

    If it has a comment and is too long, the comment comes first, in lines of its own.
    """
    if cells(indent + command) <= columns:
        return [indent + command]
    command, _, comment = command.partition("  # ")
    lines = wrap(comment.strip(), columns, f"{indent}# ", f"{indent}# ") if comment else []
    further, backslash = f"{indent}    ", " \\"
    parts: list[str] = []
    for part in PART.findall(command):
        together = cells(further + part + backslash) <= columns
        parts += [part] if together else re.findall(WORD, part)
    line = indent
    for number, part in enumerate(parts, start=1):
        room = columns - (0 if number == len(parts) else cells(backslash))
        if line.strip() and cells(f"{line} {part}") > room:
            lines.append(line + backslash)
            line = further
        line += f" {part}" if line.strip() else part
    return [*lines, line]
