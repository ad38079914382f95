"""Name the formula that gives the same numbers as a reader's operation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmhard.workbook.answers import agree, show

Numbers = Mapping[str, float]

# In the order in which they are tried; n is the plain number in the operation, if there is one.
FORMULAS = (
    "0 1 -1 a b -a -b n -n",
    "a+b a-b b-a a*b a/b b/a -(a+b) -a*b 1/a 1/b 1/(a*b) -1/a -1/b a**b b**a",
    "a+n a-n n-a a*n a/n n/a a**n n**a 1/(n*a) -(a+n) n*a**n a**(n-1) n*a**(n-1) n**(a-1)",
    "1/a**2 -1/a**2 1/b**2 -1/b**2 a/b**2 -a/b**2 b/a**2 -n/a**2 n/a**2 a**2 b**2 2*a 2*b",
    "a+1 a-1 1-a a+b+1 a*b+1",
    "exp(a) log(a) sqrt(a) exp(-a) -exp(a) -log(a) a*exp(a) a*exp(a-1) exp(a-1) exp(a)**2",
    "2**a 10**a log2(a) log10(a) log(1+a) 1/log(a) 1/exp(a) exp(exp(a)) max(a,0) min(a,0) abs(a)",
)
OTHER_POINTS = ({"a": 1.7, "b": 2.3}, {"a": 0.6, "b": 1.4})


def formula(result: Callable[[Numbers], float | None], first: Numbers, n: float | None) -> str:
    """Return the formula whose numbers `result` gives at all points, "" if none is known.

    first  the numbers at which the operation was wrong
    n      the plain number in the operation
    """
    points = [first, *({name: point[name] for name in first} for point in OTHER_POINTS)]
    found = [result(point) for point in points]
    if None in found:
        return ""
    constant = {} if n is None else {"n": n}
    for text in _formulas():
        wanted = [_computed(text, {**point, **constant}) for point in points]
        if None not in wanted and agree(found, wanted, 1e-4):
            return _spaced(text) if n is None else _spaced(text).replace("n", show(n))
    return ""


def _formulas() -> Iterator[str]:
    for line in FORMULAS:
        yield from line.split(" ")


def _computed(text: str, numbers: Numbers) -> float | None:
    scope: dict[str, Any] = {**vars(math), "max": max, "min": min, "abs": abs, **numbers}
    try:
        result = eval(text, {"__builtins__": {}}, scope)  # one of FORMULAS
    except (ArithmeticError, ValueError, NameError):
        return None
    return float(result) if isinstance(result, int | float) else None


def _spaced(text: str) -> str:
    """Return it with spaces around the operators, as a person writes it."""
    spaced = re.sub(r"(?<=[\w)])(\*\*|[-+*/])", r" \1 ", text)
    return spaced.replace(",", ", ")
