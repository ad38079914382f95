"""A reader's files: importing them, running what is in them, saying in words what went wrong."""

from __future__ import annotations

import contextlib
import importlib
import io
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from math import isclose
from pathlib import Path
from types import ModuleType
from typing import Any

from llmhard.workbook import LABS

MODULES = [lab.module for lab in LABS.values()]


class Wrong(Exception):
    """What a reader's file does wrong, in lines of plain words; the hint points at a cause."""

    def __init__(self, *lines: str, hint: str = "") -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)
        self.hint = hint


class ToDo(Exception):
    """A stub that is not written yet."""

    def __init__(self, name: str, file: str) -> None:
        super().__init__(name)
        self.name, self.file = name, file


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


class Book:
    """The folder of a reader. Its modules import each other by their bare names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.printed = Printed()
        self.running: tuple[str, float] | None = None  # what, and since when
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
            return getattr(self.module(module), name)
        except AttributeError:
            raise Wrong(
                f"{module}.py has no {name}.",
                hint="Other files use it under this name: look at the stub, as it was at first.",
            ) from None

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

    # ------------------------------------------------------------ running it

    def attempt(self, text: str, function: Callable[[], Any]) -> Any:
        """What the function returns. `text` says what it computes, as the reader would type it.

        Raises Wrong if the reader's code raises an exception, ToDo if it is not written yet.
        """
        outer = self.running
        if outer is None:
            self.running = (text, time.monotonic())
        try:
            with contextlib.redirect_stdout(self.printed), contextlib.redirect_stderr(self.printed):
                return function()
        except (Wrong, ToDo):
            raise
        except (Exception, SystemExit) as error:
            raise self.explained(text, error) from None
        finally:
            self.running = outer

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
        if isinstance(error, SyntaxError) and error.filename:
            place = f"{Path(error.filename).name}, line {error.lineno}"
            return Wrong(
                f"Python cannot read {place}: {error.msg}",
                f"    {(error.text or '').strip()}",
                hint="The mistake is in this line or just before it.",
            )
        frames = [
            (Path(frame.f_code.co_filename), line, frame.f_code.co_qualname)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if Path(frame.f_code.co_filename).parent == self.folder
        ]
        if isinstance(error, NotImplementedError) and frames:
            return ToDo(frames[-1][2], frames[-1][0].name)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        lines = [f"{text} raised {what}"]
        hint = ""
        innermost = {path: (number, name) for path, number, name in frames}
        for path, (number, name) in innermost.items():
            source = path.read_text(encoding="utf-8", errors="replace").splitlines()
            lines.append(f"in {path.name}, line {number}, {name}:")
            lines.append(f"    {source[number - 1].strip()}")
        if isinstance(error, RecursionError):
            lines[0] = f"{text}: a function calls itself more often than Python allows (about 1,000"
            lines[0] += " times)."
            hint = "It comes back to itself, directly or by way of another function. If that is "
            hint += "meant, write it with a loop and a list of what is still to do."
        elif isinstance(error, MemoryError):
            lines[0] = f"{text} used up all the memory that a check may use."
            hint = "Look for a list that grows without end."
        elif isinstance(error, SystemExit):
            lines[0] = f"{text} ended the program (sys.exit or exit)."
            hint = "A function gives its result with `return`."
        elif isinstance(error, ModuleNotFoundError) and error.name not in MODULES:
            hint = "The workbook needs nothing but what comes with Python."
        elif isinstance(error, ModuleNotFoundError):
            hint = (
                f"{error.name}.py stands in the same folder. Import it at the top of the file, not "
                "in a function."
            )
        elif isinstance(error, TypeError):
            hint = _about_type_error(str(error))
        elif isinstance(error, struct.error) and "not a float" in str(error):
            hint = "struct.pack takes plain numbers: .data takes the number out of a Value."
        elif isinstance(error, ValueError) and innermost and "log(" in lines[-1]:
            hint = "Only a number above 0, such as a probability, has a logarithm."
        elif isinstance(error, ImportError):
            hint = "Other files use this name: it should be as in the stub."
        return Wrong(*lines, hint=hint)

    # ------------------------------------------------------------ what came out

    def number(self, text: str, found: Any) -> float:
        """`found` if it is a number. Raises Wrong."""
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Wrong(
                f"{text} should be a number. Yours is {show(found)}.", hint=_about_type(found)
            )
        return found

    def value(self, text: str, found: Any) -> Any:
        """`found` if it is a Value with a number in it. Raises Wrong."""
        if not isinstance(found, (self.engine, self.get("value", "Value"))):
            raise Wrong(
                f"{text} should be a Value. Yours is {show(found)}.",
                hint=_about_type(found, learns=True),
            )
        self.number(f"the data of {text}", self.attempt(f"{text}.data", lambda: found.data))
        return found

    def sequence(self, text: str, found: Any, length: int, of: str) -> list[Any]:
        """`found` if it is a list of so many. Raises Wrong."""
        if not isinstance(found, list | tuple):
            raise Wrong(
                f"{text} should be a list of {length} {of}. Yours is {show(found)}.",
                hint=_about_type(found, learns=of == "Values"),
            )
        if len(found) != length:
            raise Wrong(f"{text} should have {length} {of}. Yours has {len(found)}: {brief(found)}")
        return list(found)

    def values(self, text: str, found: Any, length: int) -> list[Any]:
        """`found` if it is a list of so many Values. Raises Wrong."""
        items = self.sequence(text, found, length, "Values")
        for i, item in enumerate(items):
            self.value(f"number {i} of {text}", item)
        return items

    def same(self, text: str, found: Any, expected: Any, hint: str = "") -> None:
        """Check that two numbers or two lists of numbers agree, or anything else is equal."""
        if not agree(found, expected):
            raise Wrong(
                text, f"yours:     {show(found)}", f"should be: {show(expected)}", hint=hint
            )


def agree(found: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """True if the numbers are the same, up to rounding."""
    if isinstance(expected, list):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(agree(f, e, tolerance) for f, e in zip(found, expected, strict=True))
        )
    if isinstance(expected, float):
        return isinstance(found, int | float) and (
            found == expected or isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
        )
    return bool(found == expected)


def _about_type(found: Any, learns: bool = False) -> str:
    if found is None:
        return "A function without `return` gives None."
    if callable(found):
        return "Is a pair of brackets missing, so that the function is not called?"
    if learns and isinstance(found, int | float):
        return "A plain number has forgotten where it came from, and no gradient can flow back."
    return ""


def _about_type_error(message: str) -> str:
    if "not Value" in message:
        return "math takes plain numbers. A Value has its own: x.exp(), x.log(), x ** 0.5."
    if "multiply sequence" in message:
        return (
            "A list stands where a number is needed. Should a list of lists be one flat list? "
            "append adds a list as one item, += adds its numbers."
        )
    if "'Value'" not in message:
        return ""
    if "not iterable" in message or "subscriptable" in message or "len()" in message:
        return "A single Value stands where a list is needed: look at the order of the arguments."
    if "not supported between" in message:
        return (
            "Values cannot be compared: .data takes the number out of it. To make a Value that is "
            "not below 0, a model has x.relu()."
        )
    return "A Value stands where a plain number is needed: .data takes the number out of it."


def brief(x: Any) -> str:
    """What `show` gives, cut after 200 characters, and a full stop."""
    text = show(x)
    return f"{text}." if len(text) <= 200 else f"{text[:200]} ..."


def show(x: Any) -> str:
    """A short text for numbers, Values, lists of them and anything else."""
    if isinstance(x, float):
        short = f"{x:.6g}"
        return short if any(c in short for c in ".en") else f"{short}.0"
    if isinstance(x, str):
        return repr(x)
    if isinstance(x, list | tuple):
        parts = [show(item) for item in x[:12]] + ["..."] * (len(x) > 12)
        return f"({', '.join(parts)})" if isinstance(x, tuple) else f"[{', '.join(parts)}]"
    if hasattr(x, "data") and hasattr(x, "grad") and isinstance(x.data, int | float):
        return f"Value({show(x.data)})"
    if isinstance(x, int | dict) or x is None:
        return repr(x)[:200]
    return f"a {type(x).__name__}"
