"""What a message tells a person to type: Python, or commands while the command line runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class InPython:
    """How settings are typed at Python's prompt."""

    def setting(self, name: str, value: object = None) -> str:
        """Return how a setting is given, or its name alone."""
        return name if value is None else f"{name}={value!r}"

    def settings(self, message: str) -> str:
        """Return a message with the settings that it names written as they are typed."""
        return message

    def file(self, path: str | os.PathLike[str]) -> str:
        """Return a file's name for use in a sentence."""
        return str(path)

    def train(self, data: str | os.PathLike[str] | None = None) -> str:
        """Return what trains a model, on a file of sentences if one is given."""
        return "llmhard.train()" if data is None else f"llmhard.train({str(data)!r})"

    def resume(self, checkpoint: str | os.PathLike[str]) -> str:
        """Return what continues an interrupted training run."""
        return f"python -m llmhard train --resume {shlex.quote(str(checkpoint))}"

    def sample(self, prompt: str) -> str:
        """Return what continues these words."""
        return f"model.sample({prompt!r})"

    def make_folder(self, folder: str | os.PathLike[str]) -> str:
        """Return what makes a folder."""
        return f"pathlib.Path({str(folder)!r}).mkdir(parents=True)"


IN_PYTHON = InPython()
_typed: ContextVar[InPython] = ContextVar("typed", default=IN_PYTHON)


def typed() -> InPython:
    """Return how the reader of a message types settings."""
    return _typed.get()


@contextmanager
def typed_in(way: InPython) -> Iterator[None]:
    """Make messages show settings as they are typed in this way, while the block runs."""
    before = _typed.set(way)
    try:
        yield
    finally:
        _typed.reset(before)


@contextmanager
def explained(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Make an OSError, or an error of these kinds, say in one line what failed, and why."""
    try:
        yield
    except OSError as error:
        raise type(error)(f"{what}: {error.strerror or error}") from None
    except RuntimeError as error:  # how Python up to 3.12 reports links that form a loop
        raise OSError(f"{what}: {error}") from None
    except kinds as error:
        error.args = (f"{what}: {error}",)
        raise error from None
