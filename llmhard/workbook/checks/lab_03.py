"""Lab 03: automatic differentiation."""

from __future__ import annotations

import contextlib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hypothesis import strategies as st

from llmhard.workbook.answers import ToDo, Wrong, agree, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks
from llmhard.workbook.formulas import OTHER_POINTS, formula

check = Checks("03")

STEP = 1e-6
TENTHS = st.integers(-40, 40).map(lambda n: n / 10)
POSITIVE = st.integers(3, 40).map(lambda n: n / 10)
NOT_ZERO = POSITIVE | POSITIVE.map(operator.neg)


def nudge(function: Callable[..., float], numbers: dict[str, float], name: str) -> float:
    """The slope of the function, measured between two points beside the numbers."""
    up, down = numbers | {name: numbers[name] + STEP}, numbers | {name: numbers[name] - STEP}
    return round((function(**up) - function(**down)) / (2 * STEP), 5) + 0.0


def at(numbers: dict[str, float]) -> str:
    return "at " + ", ".join(f"{name} = {show(x)}" for name, x in numbers.items())


def new(book: Book, numbers: dict[str, float]) -> dict[str, Any]:
    """A Value for each of the numbers."""
    value = book.get("value", "Value")
    return {
        name: book.attempt(f"Value({show(x)})", partial(value, x)) for name, x in numbers.items()
    }


def slopes(book: Book, text: str, root: Any) -> dict[int, float]:
    """d(root)/d(each Value that it was computed from), by the reader's children and local_grads."""
    order: list[Any] = []
    seen: set[int] = set()
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        v, done = stack.pop()
        if done:
            order.append(v)
        elif id(v) not in seen:
            seen.add(id(v))
            stack.append((v, True))
            for name in ("children", "local_grads"):
                check_tuple(f"the {name} of {text}", getattr(v, name))
            if len(v.children) != len(v.local_grads):
                raise Wrong(
                    f"{text} has {len(v.children)} children and {len(v.local_grads)} local_grads.",
                    hint="There is one local gradient for each child.",
                )
            for child in v.children:
                book.value(f"a child of {text}", child)
                stack.append((child, False))
    found = dict.fromkeys(map(id, order), 0.0)
    found[id(root)] = 1.0
    for v in reversed(order):
        for child, local_grad in zip(v.children, v.local_grads, strict=True):
            found[id(child)] += found[id(v)] * book.number(f"a local_grad of {text}", local_grad)
    return found


def check_tuple(text: str, found: Any) -> None:
    if isinstance(found, tuple | list):
        return
    hint = "Write a tuple: (x, y), or (x,) of one thing."
    if isinstance(found, set):
        hint = (
            "A set has no order and holds nothing twice. The local gradients belong to the "
            "children one by one, so both are tuples: round brackets, not braces."
        )
    elif isinstance(found, int | float) or hasattr(found, "data"):
        hint = "A tuple of one thing needs a comma: (x,). In Python (x) is just x."
    raise Wrong(f"{text} should be a tuple. Yours is {show(found)}.", hint=hint)


Slip = tuple[Callable[..., float], str]  # what the slope becomes by it, and how to say that


def check_operation(
    book: Book,
    text: str,
    function: Callable[..., Any],
    numbers: dict[str, float],
    hint: str = "",
    slips: Sequence[Slip] = (),
) -> None:
    """The number that an operation gives, and its local gradients compared with measured slopes."""
    plain: Callable[..., float] = FLOATS.get(text, function)
    values = new(book, numbers)
    found = book.value(text, book.attempt(f"{text} {at(numbers)}", lambda: function(**values)))
    expected, turned = plain(**numbers), ""
    if not agree(found.data, expected):
        with contextlib.suppress(ArithmeticError):
            if len(numbers) == 2 and agree(found.data, plain(*reversed(numbers.values()))):
                turned = "The two have changed places: what is left of the operator comes first."
        result = partial(data_of, book, function)
        if not turned and (computes := formula(result, numbers, plain_in(text))):
            turned = f"Yours computes {computes}, at other numbers, too."
    book.same(f"{text} {at(numbers)}", found.data, expected, turned)
    for name, value in values.items():
        if value.data != numbers[name]:
            raise Wrong(
                f"{text} {at(numbers)} has changed {name} itself: it is {show(value.data)} now.",
                hint="An operation makes a new Value and leaves those it reads as they are.",
            )
    gradients = book.attempt(f"the local gradients of {text}", lambda: slopes(book, text, found))
    for name, value in values.items():
        if id(value) not in gradients:
            raise Wrong(
                f"{text}: {name} is not among the children of the result.",
                hint="The result has to know what it was computed from: "
                "Value(number, (children ...), (local gradients ...)).",
            )
        expected = nudge(plain, numbers, name)
        if not agree(gradients[id(value)], expected, 1e-4):
            result = partial(slope_of, book, function, name)
            known = (said for slip, said in slips if is_slip(result, slip, numbers))
            slope = formula(result, numbers, plain_in(text))
            raise Wrong(
                f"d({text})/d{name} {at(numbers)}: yours {show(gradients[id(value)])}, "
                f"nudging {name} by {STEP:.0e} gives {show(expected)}".replace("1e-06", "1e-6"),
                hint=next(known, f"Yours is {slope}. {hint}" if slope else hint),
            )


def data_of(book: Book, function: Callable[..., Any], numbers: Mapping[str, float]) -> float | None:
    """Return the number that an operation gives, None if it gives none."""
    with contextlib.suppress(Wrong, ToDo):
        found = book.attempt("it", lambda: function(**new(book, dict(numbers))))
        number: float = book.value("it", found).data
        return number
    return None


def slope_of(
    book: Book, function: Callable[..., Any], name: str, numbers: Mapping[str, float]
) -> float | None:
    """Return the slope that an operation tells for one of its numbers, None if it tells none."""
    with contextlib.suppress(Wrong, ToDo):
        values = new(book, dict(numbers))
        found = book.attempt("it", lambda: function(**values))
        slope: dict[int, float] = book.attempt("it", lambda: slopes(book, "it", found))
        return slope.get(id(values[name]))
    return None


def is_slip(
    result: Callable[[Mapping[str, float]], float | None],
    slip: Callable[..., float],
    numbers: Mapping[str, float],
) -> bool:
    """Return whether a slip gives the same numbers, at other points, too."""
    others = [{name: point[name] for name in numbers} for point in OTHER_POINTS]
    return all(
        (found := result(point)) is not None and agree(found, slip(**point), 1e-4)
        for point in (numbers, *others)
    )


def plain_in(text: str) -> float | None:
    """Return the plain number in an operation such as a + 3, None if there is none."""
    found = re.search(r"-?\d[\d.]*", text)
    return float(found[0]) if found else None


# What plain numbers have no method for.
FLOATS: dict[str, Callable[..., float]] = {
    "a.exp()": lambda a: math.exp(a),
    "a.log()": lambda a: math.log(a),
    "a.relu()": lambda a: max(a, 0.0),
}


@check(
    "a Value keeps what it is given",
    "A number that remembers",
    hint="__init__ puts each of its arguments into an attribute: self.data = data, and so on.",
)
def keeps(book: Book) -> None:
    value = book.get("value", "Value")
    a = book.attempt("Value(2.0)", lambda: value(2.0))
    for name, expected in (("data", 2.0), ("grad", 0.0), ("children", ()), ("local_grads", ())):
        found = book.method(a, name)
        found = tuple(found) if isinstance(found, list) else found
        book.same(f"Value(2.0).{name}", found, expected)
    b = book.attempt("Value(6.0, (a,), (3.0,))", lambda: value(6.0, (a,), (3.0,)))
    if not (len(b.children) == 1 and b.children[0] is a and list(b.local_grads) == [3.0]):
        raise Wrong(
            "b = Value(6.0, (a,), (3.0,)) should have b.children == (a,) and "
            "b.local_grads == (3.0,)."
        )


TWO = [{"a": 2.0, "b": 3.0}]


@check("a + b", "Local gradients", cases=TWO, a=TENTHS, b=TENTHS)
def adds(book: Book, a: float, b: float) -> None:
    hint = "Nudge a by 1: by how much does a + b move?"
    check_operation(book, "a + b", lambda a, b: a + b, {"a": a, "b": b}, hint)


@check("a * b", "Local gradients", cases=TWO, a=TENTHS, b=TENTHS)
def multiplies(book: Book, a: float, b: float) -> None:
    hint = "Nudge a by 1: a * b moves by b. So how much a matters is decided by the other number."
    slips = [(lambda **_: 1.0, "1 and 1 are the slopes of a + b. " + hint)]
    check_operation(book, "a * b", lambda a, b: a * b, {"a": a, "b": b}, hint, slips)


@check(
    "a Value and a plain number: a + 3, a * 3",
    "Local gradients",
    after=["a + b", "a * b"],
    cases=[{"a": 2.0}],
    a=TENTHS,
)
def mixes(book: Book, a: float) -> None:
    hint = "as_value(other) makes a Value of a plain number."
    for text, function in (("a + 3", lambda a: a + 3), ("a * 3", lambda a: a * 3)):
        try:
            check_operation(book, text, function, {"a": a}, hint)
        except Wrong as wrong:
            raise Wrong(*wrong.lines, hint=wrong.hint or hint) from None


@check(
    "a ** n",
    "Local gradients",
    cases=[{"a": 3.0, "n": 2}, {"a": 2.0, "n": -1}, {"a": 4.0, "n": -0.5}],
    a=POSITIVE,
    n=st.sampled_from([1, 2, 3, -1, -2, 0.5, -0.5]),
)
def powers(book: Book, a: float, n: float) -> None:
    hint = "The power rule: the exponent comes down in front, and one less of it stays above."
    slips: list[Slip] = [
        (lambda a: n * a**n - 1, "`x ** n - 1` is (x ** n) - 1. Write brackets: x ** (n - 1)."),
        (lambda a: n * a**n, "The power rule: the exponent above becomes one less, x ** (n - 1)."),
        (lambda a: a ** (n - 1), "The power rule: the exponent comes down in front as a factor."),
        (lambda a: n * a, "The power rule keeps a power: x ** (n - 1)."),
    ]
    check_operation(book, f"a ** {n}", lambda a: a**n, {"a": a}, hint, slips)


@check("a.exp()", "Local gradients", cases=[{"a": 1.0}, {"a": 0.0}], a=TENTHS)
def exponentials(book: Book, a: float) -> None:
    hint = "e to the power of a is the function that is its own slope."
    slips: list[Slip] = [
        (
            lambda a: a * math.exp(a - 1),
            "That is the power rule, but here a is the exponent. " + hint,
        ),
        (lambda a: a, "Yours is the argument. " + hint),
    ]
    check_operation(book, "a.exp()", lambda a: a.exp(), {"a": a}, hint, slips)


@check("a.log()", "Local gradients", cases=[{"a": 2.0}], a=POSITIVE)
def logarithms(book: Book, a: float) -> None:
    hint = "The logarithm is steep near zero and flat far out: at 2 a nudge counts half, at 4 a "
    hint += "quarter."
    check_operation(book, "a.log()", lambda a: a.log(), {"a": a}, hint)


@check("a.relu()", "Local gradients", cases=[{"a": 2.0}, {"a": -2.0}, {"a": 0.0}], a=NOT_ZERO)
def rectifies(book: Book, a: float) -> None:
    if a != 0.0:
        hint = "Below zero relu is flat: a nudge there changes nothing."
        if a > 0:
            hint = "Above zero relu gives the number itself: a nudge of 1 moves it by 1, whatever "
            hint += "the number."
        check_operation(book, "a.relu()", lambda a: a.relu(), {"a": a}, hint)
        return
    # At the corner the two sides have two slopes, and nudging gives neither.
    zero, text = new(book, {"a": a})["a"], "a.relu() at a = 0.0"
    found = book.value(text, book.attempt(text, lambda: zero.relu()))
    book.same(text, found.data, 0.0)
    found_slopes = book.attempt(f"the local gradients of {text}", lambda: slopes(book, text, found))
    hint = "Zero is not above zero: the slope there counts as 0."
    book.same(f"the local gradient of {text}", found_slopes.get(id(zero)), 0.0, hint)


@check(
    "-a, a - b",
    "Local gradients",
    after=["a Value and a plain number: a + 3, a * 3"],
    cases=TWO,
    a=TENTHS,
    b=TENTHS,
)
def subtracts(book: Book, a: float, b: float) -> None:
    check_operation(book, "-a", lambda a: -a, {"a": a}, "-a falls when a grows.")
    hint = "a - b falls when b grows: the sign of that slope is minus."
    check_operation(book, "a - b", lambda a, b: a - b, {"a": a, "b": b}, hint)
    check_operation(book, "a - 3", lambda a: a - 3, {"a": a}, hint)
    check_operation(book, "3 - a", lambda a: 3 - a, {"a": a}, hint)


@check(
    "a / b",
    "Local gradients",
    after=["a Value and a plain number: a + 3, a * 3", "a ** n"],
    cases=TWO,
    a=TENTHS,
    b=NOT_ZERO,
)
def divides(book: Book, a: float, b: float) -> None:
    hint = "a / b is a times b ** -1: both operations are there already, with their gradients."
    if b < 0 or a < 0:
        hint += " A quotient falls when what is below the line grows."
    check_operation(book, "a / b", lambda a, b: a / b, {"a": a, "b": b}, hint)
    check_operation(book, "a / 4", lambda a: a / 4, {"a": a}, hint)
    check_operation(book, "3 / b", lambda b: 3 / b, {"b": b}, hint)


# ---------------------------------------------------------------- backward

Line = tuple[str, str, str]  # two operands and the operator between them


def backward(book: Book, text: str, root: Any) -> None:
    call = f"{text}; {text.rpartition(';')[2].split('=')[0].strip()}.backward()"
    book.attempt(call, book.method(root, "backward"))


def run(lines: list[Line], numbers: dict[str, Any]) -> dict[str, Any]:
    """Execute a small program; its lines define c, d, e, ..."""
    names = dict(numbers)
    for name, (x, sign, y) in zip("cdefgh", lines, strict=False):
        names[name] = OPERATORS[sign](names[x], names[y])
    return names


OPERATORS = {"+": operator.add, "*": operator.mul}


def written(lines: list[Line]) -> str:
    return "; ".join(
        f"{name} = {x} {sign} {y}" for name, (x, sign, y) in zip("cdefgh", lines, strict=False)
    )


def check_backward(
    book: Book, lines: list[Line], numbers: dict[str, float], hint: str = ""
) -> None:
    """The gradients that backward() finds, compared with measured slopes."""
    last = "cdefgh"[len(lines) - 1]
    values = new(book, numbers)
    program = written(lines)
    root = book.attempt(program, lambda: run(lines, values)[last])
    backward(book, program, root)
    for slip, known in BACKWARD_SLIPS.items():
        wrong = walked(lines, numbers, slip)
        if agree([v.grad for v in values.values()], wrong) and wrong != walked(lines, numbers, ""):
            hint = known
            break
    for name, value in values.items():
        expected = nudge(lambda **n: float(run(lines, n)[last]), numbers, name)
        found = book.number(f"{name}.grad after {last}.backward()", value.grad)
        if not agree(found, expected, 1e-4):
            raise Wrong(
                f"{program}; {last}.backward()",
                f"{name}.grad = d{last}/d{name} {at(numbers)}: yours {show(found)}, "
                f"nudging {name} by 1e-6 gives {show(expected)}",
                hint=hint,
            )


BACKWARD_SLIPS = {
    "forward": "The gradient stops after the first step. It goes on from each Value to its "
    "children, beginning at the result: through the list the other way round, reversed(...).",
    "replaces": "a moves the result in two ways, and the two add up. Does the second one replace "
    "the first?",
    "adds": "What arrives at a child is the parent's gradient times the local gradient. Yours adds "
    "them.",
    "local only": "Yours passes on the local gradient alone. What arrives at a child is the "
    "parent's gradient times the local gradient.",
    "first child": "Only the first child gets its gradient. Each of the children gets its own.",
    "child's data": "Yours multiplies by a number in place of the local gradient.",
    "starts with data": "d(self)/d(self) is 1, whatever number self holds.",
}


def walked(lines: list[Line], numbers: dict[str, float], slip: str) -> list[float]:
    """What backward finds for the numbers, by a slip or, if that is "", as it should be."""
    data = run(lines, numbers)
    grads = dict.fromkeys(data, 0.0)
    steps = list(zip("cdefgh", lines, strict=False))
    last = steps[-1][0]
    grads[last] = data[last] if slip == "starts with data" else 1.0
    for name, (x, sign, y) in steps if slip == "forward" else reversed(steps):
        locals_ = (data[y], data[x]) if sign == "*" else (1.0, 1.0)
        for child, local in zip((x, y), locals_, strict=True):
            arrives = grads[name] * local
            if slip == "adds":
                arrives = grads[name] + local
            elif slip == "local only":
                arrives = local
            elif slip == "child's data":
                arrives = grads[name] * data[child]
            if slip == "first child" and child == y != x:
                arrives = 0.0
            grads[child] = arrives if slip == "replaces" else grads[child] + arrives
    return [grads[name] for name in numbers]


@check(
    "topological_order lists children before parents",
    "The order of backward",
    after=["a + b", "a * b"],
    cases=[
        {"lines": [("a", "+", "b")]},
        {"lines": [("a", "*", "b"), ("c", "+", "a")]},
        {"lines": [("a", "*", "b"), ("a", "+", "c")]},
        {"lines": [("a", "*", "b"), ("c", "+", "b"), ("c", "*", "d")]},
        {"lines": [("a", "+", "b")], "b": 2.0},
    ],
)
def orders(book: Book, lines: list[Line], b: float = 3.0) -> None:
    last, program = "cdefgh"[len(lines) - 1], written(lines)
    function = book.get("value", "topological_order")
    names = book.attempt(program, lambda: run(lines, new(book, {"a": 2.0, "b": b})))
    call = f"topological_order({last})"
    found = book.attempt(f"{program}; {call}", lambda: function(names[last]))
    found = book.sequence(call, found, len(found) if isinstance(found, list) else 0, "Values")
    known = {id(value): name for name, value in names.items()}
    listed = [known.get(id(value), "?") for value in found]
    shown = f"{program}: yours is [{', '.join(listed)}]."
    if len(listed) != len(set(listed)):
        raise Wrong(
            shown, hint="A Value is in the list twice. Remember in a set which ones were visited."
        )
    if set(listed) != set(names):
        missing = ", ".join(sorted(set(names) - set(listed)))
        hint = f"Missing: {missing}." if missing else "Something else is in it, too."
        if missing == last:
            hint += " The root itself comes last."
        elif b == 2.0:
            hint += " a and b hold the same number and are two Values: remember the Values that "
            hint += "were visited, not their numbers."
        raise Wrong(shown, hint=hint)
    for name, (x, _, y) in zip("cdefgh", lines, strict=False):
        for child in (x, y):
            if listed.index(child) > listed.index(name):
                hint = f"{child} should come before {name}, which was computed from it: a Value "
                hint += "goes into the list when all of its children are in it."
                raise Wrong(shown, hint=WALKS.get(walk_of(book, function), hint))


WALKS = {
    "reversed": "Yours is the right list turned round. Children come before parents, and the root "
    "comes last.",
    "queue": "Yours takes what was put into the list first. Then a Value comes out before its "
    "children, which were put in behind it. Take the one that was put in last: pop().",
    "marked early": "Yours marks a child as visited when it is put into the list of what is still "
    "to visit. Another parent then does not wait for it. Mark a Value when it is taken out.",
    "first met": "Yours lists each Value when it is first met, before its children. List it after "
    "all of its children.",
    "first met, reversed": "Yours lists each Value when it is first met, and turns the list "
    "round. Where paths meet again, that puts a child too late. List a Value after all of its "
    "children.",
}
KNOTS = [  # programs on which these walks differ
    [("a", "*", "b"), ("a", "+", "c")],
    [("a", "*", "b"), ("c", "+", "a")],
    [("a", "*", "b"), ("c", "+", "b"), ("c", "*", "d")],
    [("a", "+", "b"), ("c", "*", "b"), ("d", "+", "c"), ("d", "*", "e"), ("f", "+", "a")],
]


def walk_of(book: Book, function: Callable[..., Any]) -> str:
    """Return the wrong walk by which topological_order lists the Values, "" if none is known."""
    found = []
    for lines in KNOTS:
        names = run(lines, new(book, {"a": 2.0, "b": 3.0}))
        known = {id(value): name for name, value in names.items()}
        root = names["cdefgh"[len(lines) - 1]]
        listed = book.attempt("topological_order", partial(function, root))
        found.append([known.get(id(value), "?") for value in listed])
    for slip in WALKS:
        for turn in (1, -1):  # which child is visited first
            if found == [order_by(slip, lines, turn) for lines in KNOTS]:
                return slip
    return ""


def order_by(slip: str, lines: list[Line], turn: int) -> list[str]:
    """Return the order in which a wrong walk lists what the program computes."""
    children = {name: (x, y)[::turn] for name, (x, _, y) in zip("cdefgh", lines, strict=False)}
    last = "cdefgh"[len(lines) - 1]
    order, to_visit, visited = list[str](), [(last, False)], {last}
    seen = set[str]() if slip != "marked early" else visited
    while to_visit:
        name, done = to_visit.pop(0 if slip == "queue" else -1)
        if done:
            order.append(name)
        elif slip == "marked early" or name not in seen:
            seen.add(name)
            if slip.startswith("first met"):
                order.append(name)
            else:
                to_visit.append((name, True))
            for child in children.get(name, ()):
                if slip != "marked early" or child not in visited:
                    to_visit.append((child, False))
                    visited.add(child)
    return order[::-1] if slip.endswith("reversed") else order


@check(
    "backward starts with 1",
    "The chain rule",
    after=["topological_order lists children before parents"],
    hint="d(c)/d(c) is 1: when c moves by so much, c moves by so much. backward starts from that.",
)
def starts(book: Book) -> None:
    a = new(book, {"a": 2.0})["a"]
    c = book.attempt("c = a * 3", lambda: a * 3)
    backward(book, "c = a * 3", c)
    hint = ""
    if c.grad == 0.0 and a.grad == 3.0:
        hint = "The gradient of a is right, and c itself has got none: d(c)/d(c) = 1 is added to "
        hint += "c.grad, too."
    book.same("c = a * 3; c.backward(); c.grad", book.number("c.grad", c.grad), 1.0, hint)


@check(
    "backward follows the chain rule",
    "The chain rule",
    after=["topological_order lists children before parents", "backward starts with 1"],
    hint="What arrives at a child is the parent's gradient times the local gradient.",
    cases=[
        {"lines": [("a", "*", "b")], "a": 2.0, "b": 3.0},
        {"lines": [("a", "*", "b"), ("c", "*", "b2")], "a": 2.0, "b": 3.0},
    ],
)
def chain(book: Book, lines: list[Line], a: float, b: float) -> None:
    numbers = {"a": a, "b": b}
    check_backward(book, lines, numbers | ({"b2": 5.0} if len(lines) > 1 else {}))


@check(
    "a Value that is used twice",
    "A value used twice",
    after=["backward follows the chain rule"],
    hint="a moves the result in two ways, and the two add up. Does the second one replace the "
    "first?",
    cases=[
        {"lines": [("a", "+", "a")], "a": 3.0, "b": 1.0},
        {"lines": [("a", "*", "a")], "a": 3.0, "b": 1.0},
        {"lines": [("a", "*", "b"), ("a", "+", "b"), ("c", "*", "d")], "a": 2.0, "b": 3.0},
    ],
)
def twice(book: Book, lines: list[Line], a: float, b: float) -> None:
    numbers = {"a": a, "b": b} if any("b" in line for line in lines) else {"a": a}
    check_backward(book, lines, numbers)


@st.composite
def programs(draw: st.DrawFn) -> list[Line]:
    lines: list[Line] = []
    for i in range(draw(st.integers(1, 5))):
        operand = st.sampled_from("abcdefgh"[: 2 + i])
        lines.append((draw(operand), draw(st.sampled_from("+*")), draw(operand)))
    return lines


@check(
    "paths that part and meet again",
    "The order of backward",
    after=["a Value that is used twice"],
    hint="A Value may pass its gradient on only when all of it has arrived: after every Value "
    "that was computed from it. Each Value passes it on once.",
    cases=[
        {"lines": [("a", "+", "b"), ("c", "*", "c"), ("d", "+", "c")], "a": 2.0, "b": 3.0},
        {"lines": [("a", "+", "b"), ("c", "*", "c"), ("c", "+", "d")], "a": 2.0, "b": 3.0},
    ],
    lines=programs(),
    a=st.sampled_from([2.0, -1.0, 0.5]),
    b=st.sampled_from([3.0, 1.5, -0.5]),
)
def meets(book: Book, lines: list[Line], a: float, b: float) -> None:
    check_backward(book, lines, {"a": a, "b": b})


@check(
    "gradients of two results add up",
    "Gradients add up",
    after=["backward follows the chain rule"],
    hint="backward adds to grad and never sets it back: that is the optimizer's task. So one can "
    "learn from two sentences at once.",
)
def adds_up(book: Book) -> None:
    a = new(book, {"a": 2.0})["a"]
    for text, function in (("c = a * 3", lambda: a * 3), ("d = a * 4", lambda: a * 4)):
        backward(book, text, book.attempt(text, function))
    text = "c = a * 3; c.backward(); d = a * 4; d.backward(); a.grad"
    hint = ""
    if agree(a.grad, 10.0):
        hint = (
            "What was in grad before counts twice. `+=` adds to it: grad comes once, on the left."
        )
    book.same(text, book.number("a.grad", a.grad), 7.0, hint)


@check(
    "backward twice gives twice the gradients",
    "Gradients add up",
    after=["backward follows the chain rule", "gradients of two results add up"],
    hint="The Values in the middle still hold their grad from the first call. If the second call "
    "reads it from there, it passes the old part on once more. Keep the gradients of a call apart "
    "until it is done.",
)
def again(book: Book) -> None:
    a = new(book, {"a": 2.0})["a"]
    c = book.attempt("c = a * 3 * 5", lambda: a * 3 * 5)
    text = "c = a * 3 * 5"
    backward(book, text, c)
    book.same(f"{text}; c.backward(); a.grad", book.number("a.grad", a.grad), 15.0)
    backward(book, text, c)
    book.same(f"{text}; c.backward(), twice; a.grad", book.number("a.grad", a.grad), 30.0)
    hint = "c.grad is added to like any other grad: it is not set."
    book.same(f"{text}; c.backward(), twice; c.grad", book.number("c.grad", c.grad), 2.0, hint)


LIST_FOR_SET = (
    "`value in visited` looks through a list from its beginning, each time. A set finds a Value at "
    "once: visited = set(), and visited.add(value)."
)


@check(
    "a chain of 10,000 additions",
    "The order of backward",
    after=["backward follows the chain rule"],
    late=LIST_FOR_SET,
    hint="Use a loop with a list of what is still to visit, not a function that calls itself.",
)
def deep(book: Book) -> None:
    a = new(book, {"a": 2.0})["a"]

    def compute() -> Any:
        c = a
        for _ in range(10_000):
            c = c + 1
        return c

    c = book.attempt("c = a + 1 + 1 + ... (10,000 times)", compute)
    book.attempt("c.backward() for c = a + 1 + 1 + ... (10,000 times)", c.backward)
    book.same("c = a + 1 + 1 + ... (10,000 times); c.backward(); a.grad", float(a.grad), 1.0)


@check(
    "eight times as many Values take eight times as long",
    "The order of backward",
    after=["topological_order lists children before parents"],
)
def linear_time(book: Book) -> None:
    function = book.get("value", "topological_order")

    def work(n: int) -> Callable[[], Any]:
        c = new(book, {"a": 2.0})["a"]
        for _ in range(n // 2):
            c = c + 1
        return partial(function, c)

    book.grows("topological_order(c) of a long chain of Values", work, LIST_FOR_SET)


@check(
    "doubling 60 times",
    "The order of backward",
    after=["a Value that is used twice"],
    late="c = c + c, 60 times, is 60 additions, but there are 2^60 ways from the end to the start. "
    "Visit each Value once, not once for every way that leads to it.",
    hint="c = c + c, 60 times, is 60 additions, but there are 2^60 ways from the end to the start. "
    "Visit each Value once, not once for every way that leads to it.",
)
def doubles(book: Book) -> None:
    a = new(book, {"a": 2.0})["a"]

    def compute() -> Any:
        c = a
        for _ in range(60):
            c = c + c
        return c

    c = book.attempt("c = a, then c = c + c (60 times)", compute)
    book.attempt("c.backward() for c = a, then c = c + c (60 times)", c.backward)
    book.same("c = a, then c = c + c (60 times); c.backward(); a.grad", float(a.grad), 2.0**60)
