"""What the commands share: errors for people, plain arguments, numbers from the command line."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import isfinite, nan
from pathlib import Path
from typing import Any, NoReturn

from llmhard import advice, corpus, curves, language_model, model_file
from llmhard.advice import InPython
from llmhard.cli.help import HelpFormatter
from llmhard.model_file import SavedModel
from llmhard.slips import closest, no_such
from llmhard.terminal import columns, is_terminal, paint, printable, spaced, whole, wrap
from llmhard.training_record import TrainingRecord

DEFAULT_MODEL = "model.safetensors"
PREFIX = "llmhard:"  # of what goes to stderr


class UsageError(Exception):
    """Unusable input from the user; the message is one line that says what to do instead."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and whose help fits the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{plainly(message)} {whole(f'(see {self.prog} --help)')}")

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the arguments; an unknown one is an error of this command."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._unexpected(unknown[0]))
        return known, []

    def _unexpected(self, argument: str) -> str:
        if argument[:1] not in self.prefix_chars:
            return f"{argument!r} is one argument too many; what has spaces in it needs quotes"
        name = argument.partition("=")[0]
        meant = closest(name, self._option_string_actions)
        return f"there is no option {name}" + (f"; did you mean {meant}?" if meant else "")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not among the choices, and suggest the one most like it."""
        if action.choices is None or value in action.choices:
            return
        is_command = isinstance(action, argparse._SubParsersAction)
        kind = "command " if is_command else ""
        message = no_such(kind, str(value), map(str, action.choices))
        if is_command:
            self.error(message)
        raise argparse.ArgumentError(action, message)


# What argparse says about an argument, and what a person would say.
_PLAINLY = (
    (r"^argument (\S+): (?=(?:an?|the) )", r"\1 must be "),
    (r"^argument (\S+): expected one argument$", r"\1 needs a value"),
    (r"^argument (\S+): ", r"\1: "),
    (r"^the following arguments are required: ", "say which "),
)


def plainly(message: str) -> str:
    """Return one of argparse's messages as a sentence.

    >>> plainly("argument --steps: a whole number of at least 1, not 'x'")
    "--steps must be a whole number of at least 1, not 'x'"
    """
    for theirs, ours in _PLAINLY:
        message = re.sub(theirs, ours, message)
    return message


def program() -> str:
    """Return the words with which the program was called, for calling it again."""
    as_module = Path(sys.argv[0]).parts[-2:] == ("llmhard", "__main__.py")
    return "python -m llmhard" if as_module else "llmhard"


def command_line(*words: object) -> str:
    """Return an llmhard command, ready to be pasted."""
    return f"{program()} {shlex.join(map(str, words))}"


def advised(*words: object) -> str:
    """Return the command line for use in a message: `complain` does not break it into lines."""
    return whole(command_line(*words))


def complain(message: str) -> None:
    """Write an error to stderr, one line whatever it quotes; on a terminal, lines that fit it."""
    _say(message, paint(PREFIX, "red", sys.stderr))


def notify(message: str) -> None:
    """Write a notice, which is not an error, to stderr in the same way."""
    _say(message, PREFIX)


def _say(message: str, prefix: str) -> None:
    line = f"{PREFIX} {printable(message)}"
    fits = is_terminal(sys.stderr)
    shown = "\n".join(wrap(line, columns(sys.stderr), rest="  ")) if fits else spaced(line)
    aside(prefix + shown.removeprefix(PREFIX))


def aside(message: str) -> None:
    """Write lines to stderr that a person should see and that are not part of the output."""
    if sys.stderr:  # None if it was closed; print would take stdout instead
        with suppress(OSError, ValueError):  # a full disk, a terminal that is gone
            print(message, file=sys.stderr)


class InShell(InPython):
    """How settings are typed on the command line; `complain` does not break them into lines."""

    def setting(self, name: str, value: object = None) -> str:
        option = "--" + name.replace("_", "-")
        return option if value is None or value is True else f"{option} {value}"

    def settings(self, message: str) -> str:
        return in_options(message)

    def file(self, path: str | os.PathLike[str]) -> str:
        return whole(str(path))

    def train(self, data: str | os.PathLike[str] | None = None) -> str:
        return advised("train", *([] if data is None else ["--data", data]))

    def resume(self, checkpoint: str | os.PathLike[str]) -> str:
        return advised("train", "--resume", checkpoint)

    def sample(self, prompt: str) -> str:
        return advised("sample", "--prompt", prompt)

    def make_folder(self, folder: str | os.PathLike[str]) -> str:
        return whole(shlex.join(["mkdir", "-p", str(folder)]))


@contextmanager
def refused() -> Iterator[None]:
    """Turn what the package refuses into a UsageError with the same message."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an error about a file into one line: what failed, and why."""
    kinds = (corpus.CorpusError, model_file.ModelFileError, curves.PlotError)
    try:
        with advice.explained(what, *kinds):
            yield
    except (OSError, *kinds) as error:
        raise UsageError(str(error)) from None


class Plain(str):
    """A value that was given as a plain argument, not with an option."""


class PlainOrOption(argparse.Action):
    """An argument that can be given plainly or with an option, but not both."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: Any,
        option: str | None = None,
    ) -> None:
        if value is self.default:  # the plain argument was not given
            return
        before = getattr(namespace, self.dest)
        if before is not self.default and (option is None or isinstance(before, Plain)):
            parser.error(f"the {self.dest} is given twice, as {before} and as {value}")
        setattr(namespace, self.dest, Plain(value) if option is None else value)


def add_plain_or_option(
    command: argparse.ArgumentParser, name: str, default: str | None, meaning: str
) -> None:
    """Add the argument NAME, which can be given as --name FILE too."""
    plain, action = name.upper(), PlainOrOption
    command.add_argument(
        name, metavar=plain, nargs="?", action=action, default=default, help=meaning
    )
    command.add_argument(
        f"--{name}", metavar="FILE", action=action, default=default, help=f"the same as {plain}"
    )


def add_model_option(command: argparse.ArgumentParser) -> None:
    add_plain_or_option(
        command, "model", DEFAULT_MODEL, "a model that train saved (default: %(default)s)"
    )


def read_model(path: str) -> SavedModel:
    """Return the model in a file. Raises UsageError, which says what to do, if there is none."""
    with refused():
        return language_model.load(path).saved


# An ordinary word is the name of a setting only where a message begins with it.
_SETTINGS = re.compile(
    r"(?<![\w'\"-])(n_layer|n_embd|n_head|block_size|batch_size|lr|weight_decay|top[-_]k|top[-_]p"
    r"|^(?:steps|warmup|average|temperature))(?![\w'\"-])"
)


def in_options(message: str) -> str:
    """Return a message from Config, Recipe or Sampling with options in place of the field names.

    >>> in_options("n_head must divide n_embd")
    '--n-head must divide --n-embd'
    """
    return _SETTINGS.sub(lambda name: "--" + name[1].replace("_", "-"), message)


def what_is_kept(record: TrainingRecord) -> str:
    """Return, for people, which parameters a training run has saved."""
    step = f"step {record.kept_step:,} of {record.steps:,}"
    averaged = ", averaged" if record.recipe.averages(record.kept_step) else ""
    return (
        step
        + averaged
        + (", before the validation loss rose" if record.kept_step < record.steps else "")
    )


def folder_name(text: str) -> str:
    if not text:  # a shell variable that is not set
        raise argparse.ArgumentTypeError("the name of a folder, not an empty one")
    return text


def at_least_one(text: str) -> int:
    return _whole_number(text, 1)


def from_zero(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"a whole number of at least {least}, not {text!r}")
    return number


def positive(text: str) -> float:
    if not (number := _number(text)) > 0:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return number


def not_negative(text: str) -> float:
    if not (number := _number(text)) >= 0:
        raise argparse.ArgumentTypeError(f"a number of at least 0, not {text!r}")
    return number


def share(text: str) -> float:
    if not 0 <= (number := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1, not {text!r}")
    return number


def _number(text: str) -> float:
    """Return the number, or NaN, which fails every comparison, if the text is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return nan
    return number if isfinite(number) else nan
