"""The prompt of `sample --interactive`: a person begins a sentence, the model goes on with it."""

from __future__ import annotations

import argparse
import io
import random
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn, Protocol, TextIO

from llmhard.cli.common import (
    Parser,
    UsageError,
    aside,
    at_least_one,
    complain,
    explained,
    from_zero,
    plainly,
)
from llmhard.cli.writing import CANDIDATES, Writer, add_choice_options, sampling_of
from llmhard.signals import Interrupted
from llmhard.terminal import columns, is_live, is_terminal, wrap

PROMPT = "> "
# What people type elsewhere to leave or get help: exit(), :q!, \\q, .help
HABITS = {"exit", "quit", "q", "wq", "x", "bye", "goodbye", "logout", "help", "h", "man", "?"}
AROUND_HABITS = " :;.()!\\"


def run(writer: Writer, number: int) -> None:
    """Write `number` sentences for each line of standard input, until /quit or its end.

    A line that cannot be used gets a message, and the next line is read. At a terminal Ctrl-C
    stops the sentences or clears the line; only the second in a row ends the program.
    """
    talk = Talk(writer, number)
    lines = _lines(talk)
    pressed = False  # whether the last thing pressed was Ctrl-C
    while True:
        try:
            text = lines.ask()
        except EOFError:
            return
        except KeyboardInterrupt as interrupt:
            if not _is_ctrl_c(interrupt) or (pressed and not lines.unfinished):
                raise
            pressed = True
            if not lines.unfinished:
                _say("Press Ctrl-C again to leave; Ctrl-D and /quit leave, too.")
            continue
        pressed = False
        try:
            for line in text.rstrip("\n").split("\n"):
                if not talk.answer(line):
                    return
        except KeyboardInterrupt as interrupt:  # enough of these sentences
            if not _is_ctrl_c(interrupt):
                raise


def _is_ctrl_c(interrupt: KeyboardInterrupt) -> bool:
    """Return whether a person at a terminal caused it, rather than a signal to end."""
    number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
    return number == signal.SIGINT and is_terminal(sys.stdin)


# ---------------------------------------------------------------- answers


class CommandParser(Parser):
    """Commands such as `/top-k 5` are options that begin with a slash."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{plainly(message)} (see /help)")


class Talk:
    """Answers lines: with sentences, or by doing what a command says."""

    def __init__(self, writer: Writer, number: int) -> None:
        self.writer = writer
        self.parser = _parser()
        self._settings = {
            "temperature": writer.sampling.temperature,
            "top_k": writer.sampling.top_k,
            "top_p": writer.sampling.top_p,
            "number": number,
            "show_probs": writer.candidates,
        }

    @property
    def commands(self) -> Mapping[str, str]:
        """The commands and what they do."""
        return {
            command: (action.help or "").partition(" (")[0]
            for action in self.parser._actions
            for command in action.option_strings
        }

    def answer(self, line: str) -> bool:
        """Do what the line says, or say what is wrong with it. Returns whether to go on."""
        try:
            if line.lstrip().startswith("/"):
                return self._obey(line)
            if line.lower().strip(AROUND_HABITS) in HABITS and self.writer.tokenizer.unknown(line):
                raise UsageError("/quit or Ctrl-D leaves, /help lists the commands")
            beginning = self.writer.tokenizer.encode(line)
            for _ in range(int(self._settings["number"])):
                self.writer.write(beginning)
        except (UsageError, ValueError, ArithmeticError) as error:
            complain(str(error))
        return True

    def _obey(self, line: str) -> bool:
        command = self.parser.parse_args(line.split(), argparse.Namespace(**self._settings))
        if command.quit:
            return False
        if command.help:
            aside(self.parser.format_help())
        self.writer.sampling = sampling_of(command)
        self.writer.candidates = command.show_probs
        self._settings = {name: getattr(command, name) for name in self._settings}
        if command.seed is not None:
            self.writer.rng = random.Random(command.seed)
        seed = {} if command.seed is None else {"seed": command.seed}
        shown = self._settings | seed
        _say(", ".join(f"{name.replace('_', '-')} {shown[name]}" for name in shown))
        self.writer.show_legend()
        return True


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="",
        usage=argparse.SUPPRESS,
        description="Begin a sentence and press Enter, and the model finishes it. Press Enter\n"
        "alone, and the model writes a whole sentence.",
        prefix_chars="/",
        add_help=False,
    )
    commands = parser.add_argument_group("commands")
    add_choice_options(commands, "/")
    commands.add_argument(
        "/number", metavar="N", type=at_least_one, help="how many sentences per line"
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
    commands.add_argument("/quit", "/exit", action="store_true", help="end; so does Ctrl-D")
    return parser


def _say(message: str) -> None:
    """Write a message for a person, broken into lines that fit the terminal if there is one."""
    fits = is_terminal(sys.stderr)
    aside("\n".join(wrap(message, columns(sys.stderr))) if fits else message)


# ---------------------------------------------------------------- lines


class Lines(Protocol):
    """Where the lines come from."""

    @property
    def unfinished(self) -> str:
        """What was typed when Ctrl-C was pressed, if that is known."""

    def ask(self) -> str:
        """Return the next line, without its end. Raises EOFError if there is none."""


class PlainLines:
    """The lines of standard input; on a terminal, each follows a prompt on stderr."""

    unfinished = ""

    def ask(self) -> str:
        """Return the next line. Raises EOFError if there is none."""
        if is_terminal(sys.stdin):
            return self._ask()
        with explained("cannot read standard input"):
            line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    def _ask(self) -> str:
        try:
            if sys.stderr:
                print(PROMPT, end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            if not line:
                aside("")
        except KeyboardInterrupt:
            aside("")
            raise
        except OSError:  # the terminal is gone
            line = ""
        if not line:
            raise EOFError
        return line.rstrip("\n")


def _lines(talk: Talk) -> Lines:
    """Return the lines of standard input; a person at a terminal can edit them while typing."""
    if sys.stdin is None:
        raise UsageError("--interactive reads from standard input, but that is closed")
    if isinstance(sys.stdin, io.TextIOWrapper):  # what is not UTF-8 becomes an unknown word
        sys.stdin.reconfigure(errors="backslashreplace")
    if not is_terminal(sys.stdin):
        talk.writer.show_legend()
        return PlainLines()
    terminal = _terminal()
    completes = " Tab completes a word," if terminal else ""
    _say(f"Begin a sentence and press Enter.{completes} /help lists the commands, /quit ends.")
    talk.writer.show_legend()
    if not terminal:
        return PlainLines()
    from llmhard.cli.prompt import Prompt  # takes longer than all the rest

    return Prompt(PROMPT, terminal, talk.writer.tokenizer, talk.commands)


def _terminal() -> TextIO | None:
    """Return the stream for a prompt that can be edited: stderr if stdout goes to a file."""
    return next(filter(is_live, (sys.stdout, sys.stderr)), None)
