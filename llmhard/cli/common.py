"""What the commands share: errors for people, numbers from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from typing import Any, NoReturn

from llmhard import corpus, curves, model_file
from llmhard.terminal import columns, is_terminal, printable, wrap
from llmhard.training_record import TrainingRecord


class UsageError(Exception):
    """What the user gave cannot be used; the message is one line that says what to do instead."""


class Parser(argparse.ArgumentParser):
    """Errors as one line; help with the examples laid out as written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def complain(message: str) -> None:
    """One line on stderr, whatever the message quotes; on a terminal, lines that fit it."""
    line = f"llmhard: {printable(message)}"
    fits = is_terminal(sys.stderr)
    aside("\n".join(wrap(line, columns(sys.stderr), rest="  ")) if fits else line)


def aside(message: str) -> None:
    """What is for a person to see and not part of the output: lines on stderr."""
    if sys.stderr:  # None if it was closed; print would take stdout instead
        with suppress(OSError, ValueError):  # a full disk, a terminal that is gone
            print(message, file=sys.stderr)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an error about a file into one line: what failed, and why."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}") from None
    except RuntimeError as error:  # how Python up to 3.12 says that links lead in a circle
        raise UsageError(f"{what}: {error}") from None
    except (corpus.CorpusError, model_file.ModelFileError, curves.PlotError) as error:
        raise UsageError(f"{what}: {error}") from None


def add_model_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        metavar="FILE",
        default="model.safetensors",
        help="a model that train saved (default: %(default)s)",
    )


def read_model(path: str) -> model_file.SavedModel:
    """The model in a file; says how to make one if there is none."""
    with explained(f"cannot read the model {path}"):
        try:
            return model_file.load(path)
        except FileNotFoundError:
            raise UsageError(f"there is no model {path}; train one first: llmhard train") from None


def what_is_kept(record: TrainingRecord) -> str:
    """Which parameters a training has saved, for people."""
    step = f"step {record.kept_step:,} of {record.steps:,}"
    averaged = ", averaged" if record.recipe.averages(record.kept_step) else ""
    return (
        step
        + averaged
        + (", before the validation loss rose" if record.kept_step < record.steps else "")
    )


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
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not isfinite(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return number


def share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1, not {text!r}")
    return number
