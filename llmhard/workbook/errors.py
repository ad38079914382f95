"""Exceptions of a reader's code in words: what was computed, where it happened, what it means."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from llmhard.workbook import LABS
from llmhard.workbook.answers import ToDo, Wrong, cut, show

MODULES = [lab.module for lab in LABS.values()]


@dataclass(frozen=True)
class Known:
    """An exception whose cause can be told: its kind, its message, the line that raised it."""

    kinds: tuple[type[BaseException], ...]
    message: str
    line: str
    hint: str

    def fits(self, error: BaseException, source: str) -> bool:
        """Return whether it is this one that the line of source has raised."""
        return (
            isinstance(error, self.kinds)
            and bool(re.search(self.message, str(error)))
            and bool(re.search(self.line, source))
        )


NONE = (
    "Something is None here. A function without `return` gives None, and so do methods that change "
    "a list, such as append and sort."
)
A_NUMBER = (
    "A plain number is here where a Value is needed. Something before this line took .data, or "
    "used a function of math."
)

# The first one that fits is said.
KNOWN = [
    Known(
        (KeyError,),
        r"Value\(",
        "",
        "The dict lacks this Value. It should have all Values that topological_order lists: is one "
        "missing there?",
    ),
    Known(
        (TypeError,),
        "'(builtin_function_or_)?method'|'function'",
        "",
        "A function is here that is not called. Are brackets missing, as in x.relu()?",
    ),
    Known(
        (AttributeError,),
        "'(int|float)' object has no attribute",
        r"other\.",
        "other may be a plain number: as_value(other) makes a Value of a plain number.",
    ),
    Known(
        (IndexError,),
        "",
        r"%\s*steps",
        "`% steps` begins anew after so many steps. It should begin anew after the last document: "
        "% of how many documents there are.",
    ),
    Known((TypeError,), "for //", "", "`//` drops the decimals, and a Value has no such operation. "
          "Write `/`."),
    Known((TypeError,), r"for \^", "", "`^` is no power in Python. Write `**`."),
    Known((TypeError,), "'NoneType' object is not callable", "on_step",
          "on_step may be None: call it only if there is one."),
    Known((TypeError,), "slice indices must be|cannot be interpreted as an integer", "",
          "A whole number is needed here. Are two arguments in the wrong order? Or is it `/` where "
          "`//` would give a whole number?"),
    Known((TypeError,), "not Value", "",
          "math takes plain numbers. A Value has its own: x.exp(), x.log(), x ** 0.5."),
    Known((TypeError,), "multiply sequence", "",
          "A list is here where a number is needed. Should a list of lists be one flat list? "
          "append adds a list as one item, += adds its numbers."),
    Known((TypeError,), "can only concatenate list|unsupported .* and 'list'|'list' and", "",
          "A list is here where a number is needed: take one of its items, or go through it."),
    Known((TypeError,), "'Value'.*(not iterable|subscriptable|len\\(\\))", "",
          "A single Value is here where a list is needed: look at the order of the arguments."),
    Known((TypeError,), "not supported between.*'Value'", "",
          "Values cannot be compared: .data takes the number out of it. To make a Value that is "
          "not below 0, a model has x.relu()."),
    Known((TypeError,), "string indices", "", "A text is here where a dict or a list is needed: "
          "to go through a dict with its contents, write .items()."),
    Known((TypeError, AttributeError), "'NoneType'", "", NONE),
    Known((AttributeError,), "'(float|int)' object has no attribute "
          "'(data|grad|exp|log|relu|backward|children|local_grads)'", "", A_NUMBER),
    Known((AttributeError,), "'tuple' object has no attribute", "",
          "A tuple cannot change. Make a list of it first, list(...): then what came in stays as "
          "it is, too."),
    Known((AttributeError,), "'list' object has no attribute "
          "'(data|grad|exp|log|relu|backward|items)'", "",
          "A list is here where one item of it is needed."),
    Known((NameError,), "'(null|true|false)'", "",
          "This is JSON, not Python: json.loads reads it. eval would run whatever a file says."),
    Known((UnboundLocalError,), "", "",
          "A name that a function sets anywhere belongs to that call, and here it is read before "
          "it is set. Give it a first value above, or spell it as where it comes from."),
    Known((ZeroDivisionError,), "", "beta",
          "1 - beta**t is 0 as long as t is 0. t is 1 at the first step: count it up before it is "
          "used."),
    Known((ZeroDivisionError,), "", "eps|sqrt\\(v",
          "The root of v is 0 where a gradient is 0: eps is added to the root, inside the brackets "
          "below the line."),
    Known((ValueError,), "math domain error", "sqrt\\(",
          "There is no root of a number below 0. v is a running mean of squares, g**2, and never "
          "below 0."),
    Known((ValueError,), "math domain error", "log\\(",
          "Only a number above 0, such as a probability, has a logarithm."),
    Known((UnicodeDecodeError,), "", "",
          "These bytes are not UTF-8. Either the text was written in another encoding, or they are "
          "not the text: look where it begins and ends, and whether the length is little-endian, "
          "'<Q'."),
    Known((IndexError,), "", "\\[\\s*\\w+\\s*\\+\\s*1\\s*\\]",
          "[i + 1] looks one place further than i: in the last round there is nothing. Stop the "
          "loop one earlier."),
]  # fmt: skip


def explained(text: str, error: BaseException, folder: Path) -> Wrong | ToDo:
    """Return an exception in words; `text` says what was computed."""
    if isinstance(error, SyntaxError) and error.filename:
        return _unreadable(error)
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).parent == folder
    ]
    if isinstance(error, NotImplementedError) and frames:
        code = frames[-1][0].f_code
        return ToDo(code.co_qualname, Path(code.co_filename).name)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    lines = [_headline(text, error) or f"{text} raised {what}"]
    shown = {frame.f_code.co_filename: (frame, line) for frame, line in frames}.values()
    for frame, number in _round(frames) if isinstance(error, RecursionError) else shown:
        lines += place(frame, number)
    source = lines[-1] if frames else ""
    if frames and not isinstance(error, RecursionError | MemoryError | SystemExit):
        lines += _names(source, frames)
    hint = _hint(error, source, frames)
    return Wrong(*lines, hint=hint, guess=_guess(error))


def _unreadable(error: SyntaxError) -> Wrong:
    place = f"{Path(error.filename or '').name}, line {error.lineno}"
    return Wrong(
        f"Python cannot read {place}: {error.msg}",
        f"    {(error.text or '').strip()}",
        hint="The mistake is in this line or just before it.",
    )


def _headline(text: str, error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return f"{text}: a function calls itself more often than Python allows (about 1,000 times)."
    if isinstance(error, MemoryError):
        return f"{text} used up all the memory that a check may use."
    if isinstance(error, SystemExit):
        return f"{text} ended the program (sys.exit or exit)."
    return ""


def place(frame: FrameType, number: int) -> list[str]:
    """Return where a line is, and the line."""
    path = Path(frame.f_code.co_filename)
    return [
        f"in {path.name}, line {number}, {frame.f_code.co_qualname}:",
        f"    {_line(path, number)}",
    ]


def _line(path: Path, number: int) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[number - 1].strip() if number <= len(lines) else ""


def _names(source: str, frames: list[tuple[FrameType, int]]) -> Iterator[str]:
    """Say what the names in the line meant when it failed."""
    last, number = frames[-1]
    found: dict[str, Any] = {}
    for frame, line in frames:
        if frame.f_code.co_filename == last.f_code.co_filename and line == number:
            found |= {k: v for k, v in frame.f_locals.items() if re.search(rf"\b{k}\b", source)}
    shown = [
        f"{name} = {cut(show(value), 60)}"
        for name, value in found.items()
        if value is None or isinstance(value, int | float | str | list | tuple)
    ]
    if shown:
        yield f"There, {', '.join(shown[:4])}"


def _hint(error: BaseException, source: str, frames: list[tuple[FrameType, int]]) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name not in MODULES:
        return "The workbook needs nothing but what comes with Python."
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{error.name}.py is in the same folder. Import it at the top of the file, not in a "
            "function."
        )
    if isinstance(error, ImportError):
        return "Other files use this name: it should be as in the stub."
    if isinstance(error, SystemExit):
        return "A function gives its result with `return`."
    if isinstance(error, RecursionError):
        return _operators_without_end(frames)
    for known in KNOWN:
        if known.fits(error, source):
            return known.hint
    if isinstance(error, NameError) and frames:
        return _unknown_name(error, frames[-1][0])
    if type(error).__name__ == "error" and "not a float" in str(error):
        return "struct.pack takes plain numbers: .data takes the number out of a Value."
    return ""


def _round(frames: list[tuple[FrameType, int]]) -> list[tuple[FrameType, int]]:
    """Return the functions that call each other without end, once each."""
    last = {frame.f_code: (frame, line) for frame, line in frames[-40:]}
    return list(last.values())[-4:]


def _operators_without_end(frames: list[tuple[FrameType, int]]) -> str:
    names = [frame.f_code.co_qualname for frame, _ in _round(frames)]
    operators = sorted(name for name in names if name.split(".")[-1].startswith("__"))
    if not operators or len(names) > len(operators) + 1:
        return ""
    text = "calls itself" if len(operators) == 1 else "call each other"
    return (
        f"{' and '.join(operators)} {text}, because that is what an operator such as - does. Make "
        "each of operations that do without it, or of the .data."
    )


def _unknown_name(error: NameError, frame: FrameType) -> str:
    name = error.name or ""
    source = Path(frame.f_code.co_filename).read_text(encoding="utf-8", errors="replace")
    if re.search(rf"self\.{name}\b", source):
        return f"`{name}` is an attribute: write self.{name}."
    return f"Nothing is called {name} here. Is it spelled as where it was made, or imported?"


def _guess(error: BaseException) -> str:
    message = str(error)
    if isinstance(error, RecursionError):
        return (
            "It comes back to itself, directly or by way of another function. If that is meant, "
            "write it with a loop and a list of what is still to do."
        )
    if isinstance(error, MemoryError):
        return "Look for a list that grows without end."
    if isinstance(error, TypeError) and "'Value'" in message:
        return "A Value is here where a plain number is needed: .data takes the number out of it."
    if isinstance(error, ValueError) and "zip() argument" in message:
        return "The two lists have different lengths."
    if isinstance(error, IndexError) and "range" in message:
        return "The list has no such place: places go from 0 to its length less 1."
    if isinstance(error, ValueError) and "empty" in message:
        return "The list is empty."
    return ""
