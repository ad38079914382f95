"""LLMs, the Hard Way: a GPT built from single scalars, and everything below it."""

import sys

from llmhard import starting  # first: from here on it answers Ctrl-C
from llmhard.level import LevelError
from llmhard.version import __version__

try:
    from llmhard.autograd import (
        DomainError,
        Index,
        Matrix,
        Tape,
        Value,
        Vector,
        adam_update,
        average_update,
        concat,
        no_grad,
    )
except (ImportError, TypeError, ValueError) as error:  # the last two: modules of another version
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("llmhard."):
        raise
    if isinstance(error, LevelError):
        message = f"llmhard: {error}"
    elif isinstance(error, ModuleNotFoundError):
        message = (
            "llmhard: the engine is not compiled yet; run: python setup.py build_ext --inplace"
        )
    else:
        message = (
            f"llmhard: the engine cannot be loaded ({error}); run: "
            f"python setup.py build_ext --inplace --force"
        )
    if sys.argv[:1] == ["-m"] or starting.is_program():  # a person at a prompt, not an import
        raise SystemExit(message) from None
    raise ImportError(message) from None

TYPE_CHECKING = False  # type checkers take it for true; importing typing takes longer than the rest
if TYPE_CHECKING:
    from llmhard.graphs import graph
    from llmhard.language_model import LanguageModel, load, train
    from llmhard.next_words import END

# What is loaded on first use, so that the engine alone loads at once, and the module it is in.
_LATER = {
    "END": "next_words",
    "LanguageModel": "language_model",
    "graph": "graphs",
    "load": "language_model",
    "train": "language_model",
}

__all__ = [
    "END",
    "DomainError",
    "Index",
    "LanguageModel",
    "Matrix",
    "Tape",
    "Value",
    "Vector",
    "__version__",
    "adam_update",
    "average_update",
    "concat",
    "graph",
    "load",
    "no_grad",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'llmhard' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"llmhard.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
