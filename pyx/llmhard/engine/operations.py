"""The table of elementwise operations. A row is all that an operation needs.

setup.py fills the templates beside this file (*.in) with the rows: they become the numbers of the
operations, their arithmetic on single Values, on runs and in replays, the methods, the checks for
what is refused, and the type stubs; tests/test_operations.py tests each row. To add an operation,
add a row and build: `Operation("sin", "sin(a)", ["cos(a)"], "The sine, of an angle in radians.")`.

The expressions are Cython (and Python) on floats: `a` and `b` are the operands, `out` is the value
that was computed from them, and functions are those of C's <math.h>.
"""

import re
from dataclasses import dataclass, field


@dataclass
class Operation:
    name: str
    value: str
    local: list[str]  # the local gradients, d value / d a and, with two operands, d value / d b
    doc: str = ""
    symbol: str = ""  # what `Value.op` says, if not the name
    method: str = ""  # the method of Values and Vectors, if not the name
    # What a single Value refuses, like plain Python: condition, exception, message. Runs and
    # replays give inf or nan instead (IEEE 754).
    refuses: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self):
        self.number = self.name.upper()
        self.symbol = self.symbol or self.name
        self.method = self.method or self.name

    @property
    def formulas(self):
        """All expressions of the row."""
        return [self.value, *self.local, *(condition for condition, _, _ in self.refuses)]

    @property
    def is_linear(self):
        """Whether the local gradients are the same for all operands."""
        return not re.search(r"\b(a|b|out)\b", " ".join(self.local))

    @property
    def is_exact(self):
        """Whether each local gradient is simply an operand, the result or a number."""
        return all(re.fullmatch(r"a|b|out|-?[\d.]+", local) for local in self.local)


BINARY = [
    Operation("add", "a + b", ["1.0", "1.0"], symbol="+", method="__add__"),
    Operation("sub", "a - b", ["1.0", "-1.0"], symbol="-", method="__sub__"),
    Operation("mul", "a * b", ["b", "a"], symbol="*", method="__mul__"),
    Operation(
        "div",
        "a / b",
        ["1.0 / b", "-a / (b * b)"],
        symbol="/",
        method="__truediv__",
        refuses=[("b == 0.0", "ZeroDivisionError", "division of {a} by zero")],
    ),
    Operation(
        "pow",
        "pow(a, b)",
        [
            # d(a**0)/da is 0 everywhere; b * a**(b - 1) would be 0 * inf at a = 0
            "0.0 if b == 0.0 else b * pow(a, b - 1.0)",
            # 0**b is constant for b > 0; log(0) would turn that into 0 * -inf
            "0.0 if a == 0.0 and b >= 0.0 else pow(a, b) * log(a)",
        ],
        symbol="**",
        method="__pow__",
        refuses=[
            (
                "a == 0.0 and b < 0.0 and isfinite(b)",
                "ZeroDivisionError",
                "zero cannot be raised to the negative power {b}",
            ),
            (
                "a < 0.0 and isfinite(a) and isfinite(b) and b != floor(b)",
                "DomainError",
                "{a} ** {b} is not a real number",
            ),
            (
                "isfinite(a) and isfinite(b) and isinf(pow(a, b))",
                "OverflowError",
                "{a} ** {b} is too large for a float",
            ),
        ],
    ),
]

UNARY = [
    Operation("neg", "-a", ["-1.0"], method="__neg__"),
    Operation(
        "exp",
        "exp(a)",
        ["out"],
        "e to the power of each element; a single Value raises OverflowError above 709.78.",
        refuses=[
            (
                "isfinite(a) and isinf(exp(a))",
                "OverflowError",
                "exp({a}) is too large for a float",
            )
        ],
    ),
    Operation(
        "log",
        "log(a)",
        ["1.0 / a"],
        "The natural logarithm; a single Value raises DomainError unless positive.",
        refuses=[("a <= 0.0", "DomainError", "log({a}) is undefined: log needs a positive number")],
    ),
    Operation(
        "relu",
        "0.0 if a < 0.0 else a",  # NaN passes through instead of becoming 0
        ["1.0 if a > 0.0 else 0.0"],
        "max(0, x); the local gradient at 0 is 0.",
    ),
    Operation("tanh", "tanh(a)", ["1.0 - out * out"], "The hyperbolic tangent."),
    Operation(
        "sqrt",
        "sqrt(a)",
        ["0.5 / out"],
        "The square root; a single Value raises DomainError if negative.",
        refuses=[("a < 0.0", "DomainError", "sqrt({a}) is not a real number")],
    ),
]
