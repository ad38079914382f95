"""The prompt of `sample --interactive`: a person begins a sentence, the model goes on with it."""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

from llmhard.cli.common import (
    Parser,
    UsageError,
    aside,
    at_least_one,
    complain,
    explained,
    from_zero,
)
from llmhard.cli.writing import CANDIDATES, Writer, add_choice_options, legend, sampling_of

PROMPT = "> "


class CommandParser(Parser):
    """Commands such as `/top-k 5` are options that begin with a slash."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see /help)")


def run(writer: Writer, number: int) -> None:
    """Write `number` sentences for each line of standard input, until /quit or its end.

    A line that cannot be used gets a message, and the next line its turn.
    """
    parser = _parser()
    settings = {
        "temperature": writer.sampling.temperature,
        "top_k": writer.sampling.top_k,
        "top_p": writer.sampling.top_p,
        "number": number,
        "show_probs": writer.candidates,
    }
    for line in _lines():
        try:
            if not line.startswith("/"):
                beginning = writer.tokenizer.encode(line)
                for _ in range(int(settings["number"])):
                    writer.write(beginning)
                continue
            command = parser.parse_args(line.split(), argparse.Namespace(**settings))
            if command.quit:
                return
            if command.help:
                aside(parser.format_help())
            writer.sampling = sampling_of(command)
            writer.candidates = command.show_probs
            settings = {name: getattr(command, name) for name in settings}
            if command.seed is not None:
                writer.rng = random.Random(command.seed)
            shown = settings if command.seed is None else settings | {"seed": command.seed}
            aside(", ".join(f"{name.replace('_', '-')} {shown[name]}" for name in shown))
            if command.show_probs:
                aside(legend(writer.sampling))
        except (UsageError, ValueError, ArithmeticError) as error:
            complain(str(error))
        except KeyboardInterrupt:  # enough of these sentences; at the prompt it ends the program
            if not sys.stdin.isatty():
                raise


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="",
        usage=argparse.SUPPRESS,
        description="Begin a sentence and press Enter, and the model goes on with it. After Enter\n"
        "alone it begins, too.",
        prefix_chars="/",
        add_help=False,
    )
    commands = parser.add_argument_group("commands")
    add_choice_options(commands, "/")
    commands.add_argument(
        "/number", metavar="N", type=at_least_one, help="how many sentences a line"
    )
    commands.add_argument(
        "/show-probs",
        metavar="K",
        nargs="?",
        type=from_zero,
        const=CANDIDATES,
        help=f"show the K likeliest words before each choice (default: {CANDIDATES}); 0 shows none",
    )
    commands.add_argument("/help", action="store_true", help="show this, and the settings")
    commands.add_argument("/quit", action="store_true", help="end; so does Ctrl-D")
    return parser


def _lines() -> Iterator[str]:
    """The lines of standard input, without their ends; on a terminal each after a prompt."""
    if sys.stdin is None:
        raise UsageError("--interactive reads from standard input, but that is closed")
    if isinstance(sys.stdin, io.TextIOWrapper):  # what is not UTF-8 will be an unknown word
        sys.stdin.reconfigure(errors="backslashreplace")
    if sys.stdin.isatty():
        aside("Begin a sentence and press Enter. /help lists the commands, /quit ends.")
    while True:
        with explained("cannot read standard input"):
            line = _ask() if sys.stdin.isatty() else sys.stdin.readline()
        if not line:
            return
        yield line.rstrip("\n")


def _ask() -> str:
    """A line from a person, with its end; empty after Ctrl-D."""
    try:
        if sys.stdout and sys.stdout.isatty() and sys.stderr:
            with suppress(ImportError):  # Python is sometimes built without it
                import readline  # noqa: F401 - lets input() edit the line and recall earlier ones
            return input(PROMPT) + "\n"
        if sys.stderr:  # stdout is for the sentences
            print(PROMPT, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline()
    except EOFError:
        aside("")
        return ""
    except KeyboardInterrupt:
        aside("")
        raise
