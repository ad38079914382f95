"""From a solution to the stub that a reader starts from, so that the two never differ."""

from __future__ import annotations

import ast
from collections.abc import Collection

GIVEN = "# given"


def stub(source: str, written: Collection[str] = ()) -> str:
    """The source with the body of each function replaced by `raise NotImplementedError`.

    Signatures, decorators, docstrings and everything outside functions stay. So do functions with
    "# given" on the line of their `def` or a name in `written`, such as "Value.__add__", and
    statements in a body that begin on such a line.
    """
    lines = source.splitlines()
    for function, name in reversed(_functions(ast.parse(source), "")):
        if name in written or GIVEN in lines[function.lineno - 1]:
            continue
        first, last = function.body[0], function.body[-1]
        start = first.end_lineno if ast.get_docstring(function) else first.lineno - 1
        indent = " " * first.col_offset
        kept = [
            line
            for statement in function.body
            if GIVEN in lines[statement.lineno - 1]
            for line in lines[statement.lineno - 1 : statement.end_lineno]
        ]
        lines[start : last.end_lineno] = [*kept, f'{indent}raise NotImplementedError("{name}")']
    return "\n".join(lines) + "\n"


def given_functions(source: str) -> set[str]:
    """Return the qualified names of the functions that a reader finds written."""
    lines = source.splitlines()
    found = _functions(ast.parse(source), "")
    return {name for function, name in found if GIVEN in lines[function.lineno - 1]}


def _functions(node: ast.AST, prefix: str) -> list[tuple[ast.FunctionDef, str]]:
    """All functions and methods in the order of the file, with their qualified names."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            found += _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            found.append((child, f"{prefix}{child.name}"))
    return found
