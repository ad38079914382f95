"""Record what each expression of a module gives while it runs, and put other results in its place.

`instrument` wraps every expression of every function into a call of `__seen__(number, result)`,
which is `Recording.seen`.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SEEN = "__seen__"
ITERATORS: Any = (zip, enumerate, type(reversed([])), itertools.pairwise)
ITERATORS += (type(dict[str, str]().items()), type(dict[str, str]().values()))
LARGEST = 200  # items; a longer list is not looked into

# A result as it was at that moment: a number, text or None as it is, else what it is and its parts.
Snapshot = Any
OPAQUE = ("?",)


@dataclass(frozen=True)
class Place:
    """An expression, or a name after `+=`: where it is and how it is written."""

    text: str
    line: int
    function: str
    is_answer: bool = False  # what a function returns, or each item of it
    is_change: bool = False  # what `+=` and the like leave
    is_given: bool = False  # an argument of the function, as it is


class Overrun(BaseException):
    """Ends a run that no longer follows the results that are put in place."""


# ---------------------------------------------------------------- the module


def instrument(source: str) -> tuple[ast.Module, list[Place]]:
    """Return the module with all expressions wrapped, and the place of each."""
    wrapper = _Wrapper(source)
    tree = wrapper.visit(ast.parse(source))
    return ast.fix_missing_locations(tree), wrapper.places


class _Wrapper(ast.NodeTransformer):
    """Wrap expressions, but not what is set, called, formatted or annotated."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: list[Place] = []
        self.scope: list[str] = []
        self.depth = 0  # functions around
        self.answers: set[int] = set()
        self.arguments: set[str] = set()

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.scope.append(node.name)
        node.body = self._statements(node.body)
        self.scope.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.scope.append(node.name)
        self.depth += 1
        outer, self.arguments = self.arguments, {argument.arg for argument in node.args.args}
        node.body = self._statements(node.body)
        self.arguments = outer
        self.depth -= 1
        self.scope.pop()
        return node

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in body:
            found = self.visit(statement)
            done += found if isinstance(found, list) else [found]
        return done

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.answers |= {id(node.value), id(getattr(node.value, "elt", None))}
        return self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.stmt]:
        text, read = ast.unparse(node), copy.deepcopy(node.target)
        target = copy.deepcopy(node.target)
        self.generic_visit(node)
        if not self.depth:
            return node
        read.ctx = ast.Load()
        after = ast.Assign([target], self._wrapped(read, text, node.lineno, change=True))
        return [node, ast.copy_location(after, node)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value:
            node.value = self.visit(node.value)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.body = self.visit(node.body)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and not _is_super(node.func.value):
            node.func.value = self.visit(node.func.value)
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        node.body = self._statements(node.body)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit(self, node: ast.AST) -> Any:
        if not self.depth or not isinstance(node, ast.expr) or not _is_wrapped(node):
            return super().visit(node)
        text, line = ast.unparse(node), node.lineno
        answer = id(node) in self.answers
        return self._wrapped(super().visit(node), text, line, answer)

    def _wrapped(
        self, node: ast.expr, text: str, line: int, answer: bool = False, change: bool = False
    ) -> ast.expr:
        given = isinstance(node, ast.Name) and node.id in self.arguments
        self.places.append(Place(text, line, ".".join(self.scope), answer, change, given))
        number = ast.Constant(len(self.places) - 1)
        call = ast.Call(ast.Name(SEEN, ast.Load()), [number, node], [])
        return ast.copy_location(call, node)


def _is_wrapped(node: ast.expr) -> bool:
    unwrapped = (ast.Starred, ast.Slice, ast.GeneratorExp, ast.Lambda, ast.Yield, ast.Await)
    is_read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    return is_read and not isinstance(node, unwrapped)


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


# ---------------------------------------------------------------- its results


def snapshot(x: Any) -> Snapshot:
    """Return what x is now, so that later changes of it do not matter."""
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if isinstance(x, list | tuple | range):
        if len(x) > LARGEST:
            return OPAQUE
        kind = "tuple" if isinstance(x, tuple) else "list"
        return (kind, *map(snapshot, x))
    if isinstance(x, slice):
        return ("slice", x.start, x.stop, x.step)
    if hasattr(x, "data") and hasattr(x, "grad"):
        return ("Value", x.data)
    return OPAQUE


def rounded(x: Snapshot) -> Any:
    """Return the snapshot as a key that is the same for numbers that agree."""
    if isinstance(x, tuple):
        return tuple(map(rounded, x))
    if isinstance(x, float) or (isinstance(x, int) and not isinstance(x, bool)):
        return f"{x:.8g}"
    return x


def is_opaque(x: Snapshot) -> bool:
    """Return whether there is something in it that cannot be made again."""
    return isinstance(x, tuple) and (x == OPAQUE or any(map(is_opaque, x)))


def has_value(x: Snapshot) -> bool:
    """Return whether it is a Value or holds one."""
    return isinstance(x, tuple) and (x[0] == "Value" or any(map(has_value, x)))


@dataclass
class Recording:
    """One run: the results of each place, in order; or one in which those of a place are put in."""

    limit: int  # results, after which the run ends
    instead: tuple[int, list[Snapshot]] | None = None  # a place, and what it should give
    make: Callable[[float], Any] = float  # a Value
    results: dict[int, list[Snapshot]] = field(default_factory=dict)
    times: dict[int, list[int]] = field(default_factory=dict)  # the counts at the results
    count: int = 0
    used: int = 0  # of the results that are put in
    values: dict[Any, Any] = field(default_factory=dict)  # the newest Value of each number

    def seen(self, place: int, result: Any) -> Any:
        """Note a result, or return the one in its place."""
        self.count += 1
        if self.count > self.limit:
            raise Overrun
        items: Any = list(result) if isinstance(result, ITERATORS) else result
        result = items if items is result else iter(items)
        if self.instead is None:
            self.results.setdefault(place, []).append(snapshot(items))
            self.times.setdefault(place, []).append(self.count)
            return result
        if self.puts_values:
            self._remember(items)
        if place != self.instead[0]:
            return result
        if self.used == len(self.instead[1]):
            raise Overrun
        self.used += 1
        return self._live(self.instead[1][self.used - 1])

    @cached_property
    def puts_values(self) -> bool:
        """Whether there are Values in what is put in: then those of the run are looked up."""
        return self.instead is not None and any(map(has_value, self.instead[1]))

    def follows(self) -> bool:
        """Return whether all the results that were to be put in have been."""
        return self.instead is None or self.used == len(self.instead[1])

    def _remember(self, x: Any) -> None:
        if isinstance(x, list | tuple):
            for item in x[:LARGEST]:
                self._remember(item)
        elif hasattr(x, "data") and hasattr(x, "grad"):
            self.values[rounded(x.data)] = x

    def _live(self, x: Snapshot) -> Any:
        if not isinstance(x, tuple):
            return x
        kind, *parts = x
        if kind == "Value":
            known = self.values.get(rounded(parts[0]))
            return self.make(parts[0]) if known is None else known
        if kind == "slice":
            return slice(*parts)
        items = [self._live(part) for part in parts]
        return items if kind == "list" else tuple(items)
