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
except (ImportError, TypeError, ValueError) as error:  # the last two: modules that do not fit
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

__all__ = [
    "DomainError",
    "Index",
    "Matrix",
    "Tape",
    "Value",
    "Vector",
    "__version__",
    "adam_update",
    "average_update",
    "concat",
    "no_grad",
]
