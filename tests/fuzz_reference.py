"""A second autograd, in plain Python, to compare the engine with: slow, short and independent.

It has the names of llmhard.autograd, so that the same lines run on both, and it is written from the
definitions: one `Cell` for each scalar, one `Node` for what an operation made or a view shows, the
local gradients of each cell in a list. Elementwise operations are rows of the engine's table.

Two right computations of one number differ by rounding, so each cell has a bound, `error`, on how
far the engine may be from it: what the operation itself may round, plus how far its result moves
when its operands move within their own bounds. A leaf's bound is 0, and a correctly rounded
operation on leaves (+ - * / and the square root) adds none: those are compared exactly. NaN stands
for "unknown" here; it compares with nothing.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import math
import operator
import runpy
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

EPS = 2.0**-52
ROUNDINGS = 8  # of an elementwise operation: its few steps, and a C library's last bit
TABLE = runpy.run_path(
    str(Path(__file__).parent.parent / "pyx" / "llmhard" / "engine" / "operations.py")
)
# By IEEE 754 the result is the right number, rounded once.
EXACT = {"a + b", "a - b", "a * b", "a / b", "-a", "sqrt(a)", "0.0 if a < 0.0 else a"}


class DomainError(ValueError, ArithmeticError):
    """A logarithm, root or power that is not a real number."""


class Undecided(Exception):
    """Rounding decides whether this is an error; nothing can be compared after it."""


class State(threading.local):
    blocks = 0  # how many `with no_grad()` this thread is in
    refused = False  # whether the engine has just raised RuntimeError, where it may or may not


state = State()
clock = itertools.count(1)


# ---------------------------------------------------------------- formulas of the table


def total_function(function: Callable) -> Callable:
    """The same function, NaN (unknown) where Python raises."""

    def call(*numbers):
        try:
            return function(*numbers)
        except (ArithmeticError, ValueError):
            return math.nan

    return call


class Division(ast.NodeTransformer):
    def visit_BinOp(self, node):
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        return ast.Call(ast.Name("divide", ast.Load()), [node.left, node.right], [])


NAMES = {
    name: total_function(function) for name, function in vars(math).items() if callable(function)
}
NAMES["divide"] = total_function(lambda a, b: a / b)


def overflowing(function: Callable) -> Callable:
    def call(*numbers):
        try:
            return function(*numbers)
        except OverflowError:
            return math.inf
        except (ArithmeticError, ValueError):
            return math.nan

    return call


NAMES |= {name: overflowing(getattr(math, name)) for name in ("exp", "pow")}


def compiled(formula: str) -> Callable:
    """A function of a, b and out."""
    tree = ast.parse(f"lambda a, b=0.0, out=0.0: {formula}", mode="eval")
    return eval(compile(ast.fix_missing_locations(Division().visit(tree)), formula, "eval"), NAMES)


def corners(numbers: list[float], errors: list[float]) -> Iterator[tuple[float, ...]]:
    """The operands at the ends of their bounds, and at a whole number between; none if exact."""
    if any(errors):
        yield from itertools.product(*map(ends, numbers, errors))


def ends(x: float, error: float) -> list[float]:
    if not error or not math.isfinite(x):
        return [x]
    whole = float(round(x))  # where a formula may make a difference, as division does at 0
    return [x - error, x + error, *([whole] if abs(whole - x) <= error else [])]


def spread(function: Callable, numbers: list[float], errors: list[float]) -> tuple[float, float]:
    """A function's value, and how far it moves within the bounds of its operands."""
    value = function(*numbers)
    distances = [abs(function(*corner) - value) for corner in corners(numbers, errors)]
    if any(distance != distance for distance in distances):
        return value, math.inf
    return value, max(distances, default=0.0)


class Elementwise:
    """A row of the table, as the rule of a node."""

    def __init__(self, row) -> None:
        self.row = row
        self.linear = row.is_linear
        self.is_power = row.method == "__pow__"
        self.value = compiled(row.value)
        self.locals = [compiled(formula) for formula in row.local]
        self.refuses = [(compiled(condition), error) for condition, error, _ in row.refuses]

    def check(self, cells: list[Cell]) -> None:
        """Refuse what a single Value refuses."""
        numbers, errors = [c.data for c in cells], [c.error for c in cells]
        if self.refuses and not all(map(math.isfinite, numbers + errors)):
            raise Undecided
        for condition, error in self.refuses:
            refused = bool(condition(*numbers))
            if any(bool(condition(*corner)) != refused for corner in corners(numbers, errors)):
                raise Undecided
            if refused:
                raise getattr(builtins, error, DomainError)

    def __call__(self, *inputs: Node) -> Iterator[tuple]:
        for i in range(max(node.cols for node in inputs)):
            cells = [node.cells[i if node.rank else 0] for node in inputs]
            numbers, errors = [c.data for c in cells], [c.error for c in cells]
            if any(x != x for x in numbers):
                yield math.nan, math.inf, [(cell, math.nan, math.inf) for cell in cells]
                continue
            value, error = spread(self.value, numbers, errors)
            if self.row.value not in EXACT:
                error += ROUNDINGS * EPS * abs(value)
            numbers += [0.0] * (2 - len(numbers)) + [value]
            errors += [0.0] * (2 - len(errors)) + [error or EPS * abs(value)]
            terms = []
            for cell, function in zip(cells, self.locals, strict=True):
                local, moved = spread(function, numbers, errors)
                moved += ROUNDINGS * EPS * max(1.0, abs(local))  # 1: as in 1 - out * out
                terms.append((cell, local, moved))
            yield value, error, terms


BINARY = [Elementwise(row) for row in TABLE["BINARY"]]
UNARY = [Elementwise(row) for row in TABLE["UNARY"]]


# ---------------------------------------------------------------- cells and nodes


class Number(float):
    """A float that knows its bound, for when it is read and becomes the data of a leaf."""

    error: float

    def __new__(cls, x: float, error: float) -> Number:
        made = super().__new__(cls, x)
        made.error = error
        return made

    def __getnewargs__(self):
        return float(self), self.error


class Cell:
    """A scalar: its data and gradient, and the bounds of both."""

    __slots__ = ("constant", "data", "error", "grad", "grad_error")

    def __init__(self, data: float = 0.0, constant: bool = False) -> None:
        self.data, self.error = float(data), getattr(data, "error", 0.0)
        self.grad = self.grad_error = 0.0
        self.constant = constant


class Node:
    """Cells in rows, and the rule that computes them from those of the inputs."""

    def __init__(self, rank: int, rows: int, cols: int, cells: list[Cell], owner=None) -> None:
        self.rank, self.rows, self.cols, self.cells = rank, rows, cols, cells
        self.owner = owner or self  # of a view: whose cells it shows
        self.rule: Callable | None = None
        self.inputs: tuple[Node, ...] = ()
        self.index: Index | None = None
        self.of: Node | None = None  # of a view: it is of[key]
        self.key = None
        self.elements: dict[int, Node] = {}  # of a row that an Index chose: one node for each
        self.terms: list[list] = []  # for each cell: (input cell, local gradient, its error)
        self.serial = self.computed = next(clock)
        self.changed = 0
        self.replayed = False

    def compute(self) -> None:
        if self.owner is not self:
            self.cells = self.rule(*self.inputs)
            return
        self.terms = []
        for cell, (data, error, terms) in zip(self.cells, self.rule(*self.inputs), strict=True):
            cell.data, cell.error = data, error
            self.terms.append(terms)

    @property
    def is_leaf(self) -> bool:
        return self.rule is None and self.owner is self

    @property
    def needs_data(self) -> bool:
        """Whether the gradient needs the data of the inputs as it was; then it may be refused."""
        if isinstance(self.rule, Elementwise):
            return not self.rule.linear and (self.replayed or self.rank > 0)
        return self.rule in (dot, matrix_vector, vector_matrix, softmax)


def operation(rule: Callable, rank: int, rows: int, cols: int, *inputs: Node) -> Handle:
    """Compute a new node; under no_grad it is a leaf."""
    node = Node(rank, rows, cols, [Cell() for _ in range(rows * cols)])
    node.rule, node.inputs = rule, inputs
    node.compute()
    if state.blocks:
        node.rule, node.inputs, node.terms = None, (), []
    return handle(node)


def weighted_sum(pairs: list[tuple[Cell, Cell]]) -> tuple:
    """Sum over x y, in whatever order: the bound grows with the number and size of the terms."""
    value = sum([x.data * y.data for x, y in pairs])
    size = sum([abs(x.data * y.data) for x, y in pairs])
    error = sum([abs(x.data) * y.error + (abs(y.data) + y.error) * x.error for x, y in pairs])
    terms = [(x, y.data, y.error) for x, y in pairs] + [(y, x.data, x.error) for x, y in pairs]
    return value, error + (len(pairs) + 2) * EPS * size, terms


def add_up(a: Node) -> Iterator[tuple]:
    size = sum([abs(x.data) for x in a.cells])
    error = sum([x.error for x in a.cells]) + len(a.cells) * EPS * size
    yield sum([x.data for x in a.cells]), error, [(x, 1.0, 0.0) for x in a.cells]


def dot(a: Node, b: Node) -> Iterator[tuple]:
    yield weighted_sum(list(zip(a.cells, b.cells, strict=True)))


def matrix_vector(m: Node, x: Node) -> Iterator[tuple]:
    for r in range(m.rows):
        yield weighted_sum(list(zip(m.cells[r * m.cols : (r + 1) * m.cols], x.cells, strict=True)))


def vector_matrix(x: Node, m: Node) -> Iterator[tuple]:
    for c in range(m.cols):
        yield weighted_sum(list(zip(x.cells, m.cells[c :: m.cols], strict=True)))


def softmax(a: Node) -> Iterator[tuple]:
    largest = max(x.data for x in a.cells)
    powers = [NAMES["exp"](x.data - largest) for x in a.cells]
    s = [power / sum(powers) for power in powers]
    reach = largest - min(x.data for x in a.cells)
    relative = 2 * max(x.error for x in a.cells) + (16 + len(s) + 2 * reach) * EPS
    for i in range(len(s)):
        terms = []
        for j, cell in enumerate(a.cells):
            # s_i (g_i - sum of s_j g_j): both parts round before they are subtracted
            local, size = s[i] * ((i == j) - s[j]), s[i] * ((i == j) + s[j])
            terms.append((cell, local, 3 * (relative + len(s) * EPS) * size))
        yield s[i], relative * s[i], terms


def copy_parts(*parts: Node) -> Iterator[tuple]:
    for part in parts:
        for cell in part.cells:
            yield cell.data, cell.error, [(cell, 1.0, 0.0)]


class Custom:
    """The rule of Value(data, children, local_grads)."""

    def __init__(self, data: float, local_grads: list[float]) -> None:
        self.data, self.local_grads = data, local_grads

    def __call__(self, *children: Node) -> Iterator[tuple]:
        cells = [child.cells[0] for child in children]
        zeros = [0.0] * len(cells)
        yield self.data, 0.0, list(zip(cells, self.local_grads, zeros, strict=True))


# ---------------------------------------------------------------- backward


def operations_below(root: Node, known: Iterable[Node] = ()) -> list[Node]:
    """What root depends on, in an order of computing; nothing known, nor what only that needs."""
    seen, found, waiting = set(known), [], [root]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.rule is not None:
            found.append(node)
            waiting += node.inputs
        else:
            waiting.append(node.owner)
    return sorted(found, key=lambda node: node.serial)


def check_unchanged(nodes: list[Node]) -> None:
    """Raise RuntimeError where the engine must refuse, and where it may and does."""
    for node in nodes:
        around = [*node.inputs, *(x.owner for x in node.inputs)]
        if any(x.computed > node.computed for x in around if x.rule is not None):
            raise RuntimeError("computed again since")
        changed = any(x.changed > node.computed for x in (node, *around))
        if changed and node.needs_data and state.refused:
            raise RuntimeError("changed since")


def gradients(root: Node, nodes: list[Node]) -> dict[Cell, tuple[float, float]]:
    """d root / d cell and its error for everything below, with the recorded local gradients."""
    found = {root.cells[0]: [1.0, 0.0, 0.0, 0]}  # sum, sum of sizes, error, number of terms
    zero = [0.0, 0.0, 0.0, 0]

    def settled(cell):
        g, size, error, n = found.get(cell, zero)
        return g, error + n * EPS * size

    for node in reversed(nodes):
        if node.owner is not node:
            continue
        for cell, terms in zip(node.cells, node.terms, strict=True):
            g, error = settled(cell)
            for child, local, local_error in terms:
                if child.constant:
                    continue
                entry = found.setdefault(child, zero.copy())
                part = local * g
                entry[0] += part
                entry[1] += abs(part)
                entry[2] += abs(local) * error + local_error * (abs(g) + error)
                entry[3] += 1
    return {cell: settled(cell) for cell in found}


def differentiate(root: Node, nodes: list[Node], fresh: bool) -> None:
    """Add the gradients to those there are; `fresh`: inner scalars begin at zero."""
    check_unchanged(nodes)
    added = gradients(root, nodes)
    if fresh:
        clear(nodes)
    for cell, (g, error) in added.items():
        # The engine adds each part to what is there: as many roundings, of this size.
        cell.grad_error += error + 8 * EPS * (abs(cell.grad) + abs(g)) if cell.grad else error
        cell.grad += g


def clear(nodes: list[Node]) -> None:
    for node in nodes:
        if node.owner is node:
            for cell in node.cells:
                cell.grad = cell.grad_error = 0.0


# ---------------------------------------------------------------- handles


def number(x) -> float:
    if not isinstance(x, Real):
        raise TypeError(f"{x!r} is no number")
    return x if isinstance(x, Number) else float(x)


def numbers(values, n: int) -> list[float]:
    found = [number(values)] * n if isinstance(values, Real) else [number(x) for x in values]
    if len(found) != n:
        raise ValueError("another length")
    return found


def handle(node: Node) -> Handle:
    made = Handle.__new__((Value, Vector, Matrix)[node.rank])
    made.node = node
    return made


def operand(x) -> Node | None:
    if isinstance(x, Handle):
        return x.node if x.node.rank < 2 else None
    return Node(0, 1, 1, [Cell(float(x), constant=True)]) if isinstance(x, Real) else None


def view(of: Node, rank: int, rows: int, cols: int, places: Callable, key) -> Handle:
    """of[key]: the cells at places(); chosen again by a replay if an Index has a say."""

    def show(of):
        return [of.cells[place] for place in places()]

    if rank == 0 and isinstance(key, int) and key in of.elements:
        return handle(shown_again(of.elements[key]))
    node = Node(rank, rows, cols, show(of), owner=of.owner)
    node.of, node.key = of, key
    if isinstance(key, Index) or (of.owner is not of and of.rule is not None):
        node.rule, node.inputs = show, (of,)
        node.index = key if isinstance(key, Index) else None
        if rank == 0 and isinstance(key, int):
            of.elements[key] = node
    return handle(node)


def shown_again(node: Node) -> Node:
    """An element that was asked for before: it follows its row, which may have been replayed."""
    around = (node.of, node.of.owner)
    if any(x.computed > node.computed for x in around if x.rule is not None):
        node.compute()
        node.computed = next(clock)
    return node


def scalar(node: Node, place: int) -> Handle:
    if node.rank == 2:
        return handle(node)[place // node.cols][place % node.cols]
    return handle(node)[place] if node.rank else handle(node)


def position(i, length: int) -> int:
    return range(length)[i]


def outside(index: Index, of: Node) -> bool:
    return not 0 <= index.value < (of.rows if of.rank == 2 else of.cols)


def span(part: slice, length: int) -> tuple[int, int]:
    start, stop, step = part.indices(length)
    if step != 1 or stop <= start:
        raise IndexError("no neighbours")
    return start, stop


BOUND = {"data": "error", "grad": "grad_error"}


class Handle:
    node: Node

    def __reduce__(self):
        if not self.node.is_leaf:
            raise TypeError("only leaves can be copied")
        return restore, (type(self), self.data, self.grad)

    def _set(self, name: str, values: list[float]) -> None:
        for cell, x in zip(self.node.cells, values, strict=True):
            setattr(cell, name, float(x))
            setattr(cell, BOUND[name], getattr(x, "error", 0.0))
        if name == "data":
            self.node.owner.changed = next(clock)

    def _shaped(self, name: str):
        bound = BOUND[name]
        flat = [Number(getattr(cell, name), getattr(cell, bound)) for cell in self.node.cells]
        if self.node.rank == 0:
            return flat[0]
        cols = self.node.cols
        rows = [flat[r * cols : (r + 1) * cols] for r in range(self.node.rows)]
        return rows if self.node.rank == 2 else flat

    def _accepted(self, values, name: str) -> list[float]:
        node = self.node
        if node.rank == 0:
            return [number(values)]
        if node.rank == 1 or (name == "grad" and isinstance(values, Real)):
            return numbers(values, node.rows * node.cols)
        rows = [[number(x) for x in row] for row in values]
        if len(rows) != node.rows or any(len(row) != node.cols for row in rows):
            raise ValueError("another shape")
        return [x for row in rows for x in row]

    data = property(
        lambda self: self._shaped("data"),
        lambda self, values: self._set("data", self._accepted(values, "data")),
    )
    grad = property(
        lambda self: self._shaped("grad"),
        lambda self, values: self._set("grad", self._accepted(values, "grad")),
    )


def restore(kind: type, data, grad) -> Handle:
    made = kind(data)
    made.grad = grad
    return made


def elementwise2(rule: Elementwise, x, y):
    a, b = operand(x), operand(y)
    if a is None or b is None:
        return NotImplemented
    if a.rank == b.rank == 0:
        rule.check([a.cells[0], b.cells[0]])
    elif a.rank and b.rank and a.cols != b.cols:
        raise ValueError("two lengths")
    return operation(rule, max(a.rank, b.rank), 1, max(a.cols, b.cols), a, b)


def elementwise1(rule: Elementwise, x: Handle):
    if x.node.rank == 2:
        raise TypeError("not defined for a Matrix")
    if x.node.rank == 0:
        rule.check(x.node.cells)
    return operation(rule, x.node.rank, 1, x.node.cols, x.node)


def give_methods() -> None:
    for rule in BINARY:
        method = rule.row.method
        setattr(Handle, method, lambda x, y, rule=rule: elementwise2(rule, x, y))
        if method.startswith("__"):
            name = method.replace("__", "__r", 1)
            setattr(Handle, name, lambda x, y, rule=rule: elementwise2(rule, y, x))
    for rule in UNARY:
        setattr(Handle, rule.row.method, lambda x, rule=rule: elementwise1(rule, x))


give_methods()


class Value(Handle):
    def __init__(self, data=0.0, children=(), local_grads=()) -> None:
        if len(children) != len(local_grads):
            raise TypeError("one local gradient for each child")
        if not all(isinstance(child, Value) for child in children):
            raise TypeError("children are Values")
        self.node = Node(0, 1, 1, [Cell(number(data))])
        if children:
            rule = Custom(number(data), [number(g) for g in local_grads])
            self.node = operation(rule, 0, 1, 1, *(child.node for child in children)).node

    def backward(self) -> None:
        differentiate(self.node, operations_below(self.node), fresh=False)

    def _terms(self) -> list[tuple]:
        owner = self.node.owner
        if owner.rule is None:
            return []
        check_unchanged([owner])
        return owner.terms[owner.cells.index(self.node.cells[0])]

    @property
    def children(self):
        terms = self._terms()
        inputs = self._input_of_each(len(terms))
        return tuple(
            scalar(of, of.cells.index(cell)) for of, (cell, _, _) in zip(inputs, terms, strict=True)
        )

    def _input_of_each(self, n_terms: int) -> list[Node]:
        """From which input each term is: two inputs may show the same scalar."""
        owner = self.node.owner
        if owner.rule is not copy_parts:  # as many terms from each input
            return [of for of in owner.inputs for _ in range(n_terms // len(owner.inputs))]
        inputs = [of for of in owner.inputs for _ in of.cells]
        return [inputs[owner.cells.index(self.node.cells[0])]]

    @property
    def local_grads(self):
        # a plain number as an exponent is given no gradient
        power = isinstance(self.node.owner.rule, Elementwise) and self.node.owner.rule.is_power
        return tuple(
            0.0 if power and i and cell.constant else Number(local, error)
            for i, (cell, local, error) in enumerate(self._terms())
        )


class Vector(Handle):
    def __init__(self, elements) -> None:
        elements = list(elements)
        if not elements:
            raise ValueError("at least one element")
        if any(isinstance(x, Value) for x in elements):
            parts = [x if isinstance(x, Value) else Value(x) for x in elements]
            self.node = concat(parts).node
        else:
            self.node = Node(1, 1, len(elements), [Cell(number(x)) for x in elements])

    def __len__(self) -> int:
        return self.node.cols

    def __getitem__(self, index):
        node = self.node
        if isinstance(index, slice):
            start, stop = span(index, node.cols)
            return view(node, 1, 1, stop - start, lambda: range(start, stop), index)
        if isinstance(index, Index):
            if outside(index, node):
                raise IndexError("outside")
            return view(node, 0, 1, 1, lambda: [index.value], index)
        at = position(index, node.cols)
        return view(node, 0, 1, 1, lambda: [at], at)

    def __iter__(self):
        return iter([self[i] for i in range(len(self))])

    def __matmul__(self, other):
        a, b = self.node, getattr(other, "node", None)
        if isinstance(other, Vector):
            if a.cols != b.cols:
                raise ValueError("two lengths")
            return operation(dot, 0, 1, 1, a, b)
        if not isinstance(other, Matrix):
            return NotImplemented
        if a.cols != b.rows:
            raise ValueError("another number of rows")
        return operation(vector_matrix, 1, 1, b.cols, a, b)

    def sum(self):
        return operation(add_up, 0, 1, 1, self.node)

    def softmax(self):
        return operation(softmax, 1, 1, self.node.cols, self.node)


class Matrix(Handle):
    def __init__(self, rows) -> None:
        rows = list(rows)
        if not rows or isinstance(rows[0], (Value, Real)):
            raise ValueError("at least one row")
        lengths = {len(row) for row in rows}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError("rows of one length")
        (cols,) = lengths
        if any(isinstance(row, Vector) or any(isinstance(x, Value) for x in row) for row in rows):
            parts = [row if isinstance(row, Vector) else Vector(row) for row in rows]
            nodes = [part.node for part in parts]
            self.node = operation(copy_parts, 2, len(rows), cols, *nodes).node
        else:
            self.node = Node(2, len(rows), cols, [Cell(number(x)) for row in rows for x in row])

    @property
    def shape(self):
        return self.node.rows, self.node.cols

    def __len__(self) -> int:
        return self.node.rows

    def __getitem__(self, index):
        node = self.node
        key, left, right = index, 0, node.cols
        if isinstance(index, tuple):
            if len(index) != 2 or not all(isinstance(part, slice) for part in index):
                raise TypeError("two slices")
            left, right = span(index[1], node.cols)
            index = index[0]
        if isinstance(index, slice):
            top, bottom = span(index, node.rows)
            places = [r * node.cols + c for r in range(top, bottom) for c in range(left, right)]
            return view(node, 2, bottom - top, right - left, lambda: places, key)

        def row(r):
            return range(r * node.cols, (r + 1) * node.cols)

        if isinstance(index, Index):
            if outside(index, node):
                raise IndexError("outside")
            return view(node, 1, 1, node.cols, lambda: row(index.value), index)
        at = position(index, node.rows)
        return view(node, 1, 1, node.cols, lambda: row(at), at)

    def __iter__(self):
        return iter([self[i] for i in range(len(self))])

    def __matmul__(self, other):
        if not isinstance(other, Vector):
            return NotImplemented
        if self.node.cols != other.node.cols:
            raise ValueError("another number of columns")
        return operation(matrix_vector, 1, 1, self.node.rows, self.node, other.node)


def concat(parts):
    parts = list(parts)
    if not all(isinstance(part, (Value, Vector)) for part in parts):
        raise TypeError("Vectors and Values")
    if not parts:
        raise ValueError("at least one")
    nodes = [part.node for part in parts]
    return operation(copy_parts, 1, 1, sum(node.cols for node in nodes), *nodes)


# ---------------------------------------------------------------- the rest of the face


class Index:
    def __init__(self, value) -> None:
        self.value = value

    @property
    def value(self) -> int:
        return self._value

    @value.setter
    def value(self, value) -> None:
        self._value = operator.index(value)


class Tape:
    def __init__(self, root, after=None) -> None:
        if not isinstance(root, Handle) or root.node.rank == 2:
            raise TypeError("a Value or a Vector")
        if not isinstance(after, Tape | None):
            raise TypeError("a Tape")
        self.root, self.after, self.known = root, after, set()
        while after is not None:
            self.known.update(after.nodes)
            after = after.after
        self.nodes = operations_below(root.node, self.known)

    def __len__(self) -> int:
        return len(self.nodes)

    def forward(self) -> None:
        if any(isinstance(node.rule, Custom) for node in self.nodes):
            raise TypeError("only Python can compute it")
        if any(node.index is not None and outside(node.index, *node.inputs) for node in self.nodes):
            raise IndexError("outside")
        now = next(clock)
        for node in self.nodes:
            node.compute()
            node.computed, node.replayed = now, True
        clear(self.nodes)

    def backward(self) -> None:
        if self.root.node.rank or self.after is not None:
            raise TypeError("a single Value, a whole Tape")
        differentiate(self.root.node, self.nodes, fresh=True)


@contextmanager
def no_grad():
    state.blocks += 1
    try:
        yield
    finally:
        state.blocks -= 1


def check_leaves(handles: list, like: list) -> None:
    if len(handles) != len(like):
        raise ValueError("one for each parameter")
    for x, y in zip(handles, like, strict=True):
        if not isinstance(x, Handle):
            raise TypeError("no handle")
        shapes = {(z.node.rank, z.node.rows, z.node.cols) for z in (x, y)}
        if not x.node.is_leaf or len(shapes) > 1:
            raise ValueError("no leaf, or another shape")


def adam_update(
    parameters, means, squares, *, lr, beta1, beta2, eps, t, weight_decay=0.0, tape=None
):
    if t < 1:
        raise ValueError("t counts from 1")
    for handles in (parameters, means, squares):
        check_leaves(handles, parameters)
    if tape is not None:
        tape.backward()
    for p, m, v in zip(parameters, means, squares, strict=True):
        for cell, mean, square in zip(p.node.cells, m.node.cells, v.node.cells, strict=True):
            update(mean, cell, lambda m, g: beta1 * m + (1 - beta1) * g)
            update(square, cell, lambda v, g: beta2 * v + (1 - beta2) * g * g)
            was = [cell.data, mean.data, square.data]

            def moved(x, m, v):
                root = math.sqrt(max(0.0, v) / (1 - beta2**t))
                return x * (1 - lr * weight_decay) - lr * m / (1 - beta1**t) / (root + eps)

            errors = [cell.error, mean.error, square.error]
            cell.data, cell.error = spread(moved, was, errors)
            cell.error += 2 * ROUNDINGS * EPS * max(abs(cell.data), abs(was[0]))
            cell.grad = cell.grad_error = 0.0
            if not square.data < 1e300:  # more than the engine's vector unit takes
                cell.data = mean.data = square.data = math.nan
        for x in (p, m, v):
            x.node.changed = next(clock)


def update(moment: Cell, parameter: Cell, mix: Callable) -> None:
    """Move a moment of Adam by the parameter's gradient."""
    old, g = moment.data, parameter.grad
    errors = [moment.error, parameter.grad_error]
    moment.data, moment.error = spread(mix, [old, g], errors)
    moment.error += ROUNDINGS * EPS * max(abs(mix(old, 0.0)), abs(mix(0.0, g)))


def average_update(means, parameters, *, share):
    check_leaves(parameters, parameters)
    check_leaves(means, parameters)
    for mean, parameter in zip(means, parameters, strict=True):
        for m, p in zip(mean.node.cells, parameter.node.cells, strict=True):
            size = max(abs(m.data), abs(p.data))
            m.error += share * (p.error + m.error) + ROUNDINGS * EPS * size
            m.data += share * (p.data - m.data)
        mean.node.changed = next(clock)
