"""A reader's files: importing them, running what is in them, saying in words what went wrong."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from llmhard.workbook import errors
from llmhard.workbook.answers import Changed, Nothing, ToDo, Wrong, agree, brief, show
from llmhard.workbook.errors import MODULES


class Printed(io.TextIOBase):
    """The beginning of what a reader's code prints; the rest is dropped."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: max(0, 2000 - len(self.text))]
        return len(text)

    def writable(self) -> bool:
        return True

    def clear(self) -> None:
        self.text = ""


@dataclass(frozen=True)
class Running:
    """A call of the reader's code: how it is written, and since when it has run."""

    text: str
    since: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.process_time)  # seconds of the processor before it

    def seconds(self) -> tuple[float, float]:
        """Return how long it has run, by the clock and on the processor."""
        return time.monotonic() - self.since, time.process_time() - self.used


class Book:
    """The folder of a reader. Its modules import each other by their bare names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.printed = Printed()
        self.running: Running | None = None
        self.case: Mapping[str, Any] = {}  # what the check at work looks at
        self._modules: dict[str, ModuleType] = {}

    # ------------------------------------------------------------ what the reader has written

    def module(self, name: str) -> ModuleType:
        """One of the reader's modules. Raises Wrong if it is missing or cannot be imported."""
        if name not in self._modules:
            if not (self.folder / f"{name}.py").is_file():
                raise Wrong(f"There is no file {name}.py in {self.folder}.")
            with self._modules_in_place():
                self.attempt(f"import {name}", lambda: importlib.import_module(name))
        return self._modules[name]

    def get(self, module: str, name: str) -> Any:
        """A function or class of the reader's. Raises Wrong if there is none of that name."""
        try:
            found = getattr(self.module(module), name)
        except AttributeError:
            raise Wrong(
                f"{module}.py has no {name}.",
                hint="Other files use it under this name: look at the stub, as it was at first.",
            ) from None
        origin = str(getattr(found, "__module__", module))
        if origin.partition(".")[0] == "llmhard" and (module, name) != ("model", "Value"):
            raise Wrong(
                f"{module}.py takes {name} from {origin}.",
                hint="In the workbook you write it yourself. Only model.py may take its Value from "
                "llmhard.",
            )
        return found

    def method(self, of: Any, name: str) -> Any:
        """A method or attribute of an object of the reader's. Raises Wrong if it has none."""
        text = f"{type(of).__name__}.{name}"

        def look_up() -> Any:
            if not hasattr(of, name):
                raise Wrong(
                    f"There is no {text}.",
                    hint=f"The stub tells of it: a method, or what __init__ keeps as self.{name}.",
                )
            return getattr(of, name)

        return self.attempt(text, look_up)

    def modules_besides(self, name: str) -> dict[str, ModuleType]:
        """Return the modules of the reader's that are imported, without one of them."""
        return {other: module for other, module in self._modules.items() if other != name}

    @property
    def engine(self) -> Any:
        """The class Value that the reader's model computes with: the reader's own or llmhard's."""
        with contextlib.suppress(Wrong, ToDo):
            return self.get("model", "Value")
        return self.get("value", "Value")

    @contextlib.contextmanager
    def _modules_in_place(self) -> Iterator[None]:
        """Let the reader's modules find each other, and nobody else find them."""
        others = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
        write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            sys.dont_write_bytecode = write_bytecode
            for name in MODULES:
                if name in sys.modules:
                    self._modules[name] = sys.modules.pop(name)
            sys.modules.update(others)

    @contextlib.contextmanager
    def replaced(self, module: str, name: str, other: Any) -> Iterator[None]:
        """Put something in the place of what a module of the reader's calls by this name."""
        place = self.module(module)
        own = getattr(place, name, None)
        try:
            setattr(place, name, other)
            yield
        finally:
            setattr(place, name, own)

    # ------------------------------------------------------------ running it

    def attempt(self, text: str, function: Callable[[], Any], **inputs: Any) -> Any:
        """What the function returns. `text` says what it computes, as the reader would type it.

        Raises Wrong if the reader's code raises an exception or changes one of the inputs, ToDo if
        it is not written yet.
        """
        outer = self.running
        self.running = outer or Running(text)
        before = {name: _copy(found) for name, found in inputs.items()}
        try:
            with contextlib.redirect_stdout(self.printed), contextlib.redirect_stderr(self.printed):
                result = function()
            for name, found in inputs.items():
                self._unchanged(text, name, before[name], found)
            return result
        except (Wrong, ToDo):
            raise
        except (Exception, SystemExit) as error:
            raise self.explained(text, error) from None
        finally:
            self.running = outer

    def _unchanged(self, text: str, name: str, before: Any, after: Any) -> None:
        if before != after:
            raise Changed(
                f"{text} changes {name} itself.",
                f"before: {show(before)}",
                f"after:  {show(after)}",
                hint="What comes in belongs to the caller. Leave it as it is and make a new one, "
                f"such as list({name}) or sorted({name}).",
            )

    def grows(self, text: str, work: Callable[[int], Callable[[], Any]], hint: str) -> None:
        """Check that eight times as much takes about eight times as long, not 64 times.

        `work(n)` makes the call that is measured, with n things to do. On a busy machine a single
        measurement may be far too long, so that three must agree.
        """
        for _ in range(3):
            few, many = self._seconds(text, work(1000)), self._seconds(text, work(8000))
            if many <= 0.1 or many <= 25 * max(few, 1e-3):
                return
        raise Wrong(
            f"{text} takes {few:.3f} s with 1,000 of them and {many:.2f} s with 8,000.",
            "With eight times as many it should take about eight times as long.",
            hint=hint,
        )

    def _seconds(self, text: str, call: Callable[[], Any]) -> float:
        """Return how long the processor works for a call."""
        began = time.process_time()
        self.attempt(text, call)
        return time.process_time() - began

    def refuses(self, text: str, kind: type[Exception], function: Callable[[], Any]) -> str:
        """Check that the function raises an error of this kind; returns its message."""

        def catch() -> str | Wrong:
            try:
                found = function()
            except kind as error:
                if isinstance(error, NotImplementedError):
                    raise
                return str(error)
            except (Wrong, ToDo):
                raise
            except (Exception, SystemExit) as error:
                raise self.explained(f"{text} should raise {kind.__name__}. Yours", error) from None
            return Wrong(f"{text} should raise {kind.__name__}. Yours gives {show(found)}.")

        try:
            outcome = self.attempt(f"{text} should raise {kind.__name__}, but", catch)
        except Wrong as wrong:
            hint = wrong.hint or f"Test for this case first, and raise {kind.__name__} yourself."
            raise Wrong(*wrong.lines, hint=hint) from None
        if isinstance(outcome, Wrong):
            raise outcome
        message: str = outcome
        return message

    def explained(self, text: str, error: BaseException) -> Wrong | ToDo:
        """An exception in words: what was computed, and where in the reader's files it happened."""
        return errors.explained(text, error, self.folder)

    # ------------------------------------------------------------ what came out

    def number(self, text: str, found: Any) -> float:
        """`found` if it is a number. Raises Wrong."""
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise _wrong_type(found)(
                f"{text} should be a number. Yours is {show(found)}.", hint=_about_type(found)
            )
        return found

    def value(self, text: str, found: Any) -> Any:
        """`found` if it is a Value with a number in it. Raises Wrong."""
        if not isinstance(found, (self.engine, self.get("value", "Value"))):
            raise _wrong_type(found)(
                f"{text} should be a Value. Yours is {show(found)}.",
                hint=_about_type(found, learns=True),
            )
        self.number(f"the data of {text}", self.attempt(f"{text}.data", lambda: found.data))
        return found

    def sequence(self, text: str, found: Any, length: int, of: str) -> list[Any]:
        """`found` if it is a list of so many. Raises Wrong."""
        if not isinstance(found, list | tuple):
            raise _wrong_type(found)(
                f"{text} should be a list of {length} {of}. Yours is {show(found)}.",
                hint=_about_type(found, learns=of == "Values"),
            )
        if len(found) != length:
            raise Wrong(
                f"{text} should have {length} {of}. Yours has {len(found)}: {brief(found)}",
                hint=_about_length(found, length, of),
            )
        return list(found)

    def values(self, text: str, found: Any, length: int) -> list[Any]:
        """`found` if it is a list of so many Values. Raises Wrong."""
        items = self.sequence(text, found, length, "Values")
        for i, item in enumerate(items):
            self.value(f"number {i} of {text}", item)
        return items

    def same(self, text: str, found: Any, expected: Any, hint: str = "", guess: str = "") -> None:
        """Check that two numbers or two lists of numbers agree, or anything else is equal."""
        if not agree(found, expected):
            raise Wrong(
                text,
                f"yours:     {show(found)}",
                f"should be: {show(expected)}",
                hint=hint,
                guess=guess,
            )


def _copy(x: Any) -> Any:
    """Return a copy of lists and dicts, with whatever else is in them as it is."""
    if isinstance(x, list | tuple):
        return type(x)(map(_copy, x))
    if isinstance(x, dict):
        return {key: _copy(value) for key, value in x.items()}
    return x


def _about_length(found: Any, length: int, of: str) -> str:
    inner = {len(item) for item in found if isinstance(item, list | tuple)}
    if of == "rows" and inner == {length}:
        return "It lies on its side: rows come first, then columns, in a shape (rows, columns)."
    if of != "rows" and inner:
        return "What it lists are lists again. Go through the numbers of each of them, too."
    return ""


def _wrong_type(found: Any) -> type[Wrong]:
    return Nothing if found is None else Wrong


def _about_type(found: Any, learns: bool = False) -> str:
    if found is None:
        return "A function without `return` gives None."
    if inspect.isroutine(found):
        return "Is a pair of brackets missing, so that the function is not called?"
    if learns and isinstance(found, int | float):
        return "A plain number has forgotten where it came from, and no gradient can flow back."
    return ""
