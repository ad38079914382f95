"""Random programs, run line by line on the engine and on fuzz_reference.py, and compared.

    python tests/fuzz.py                    for a minute: one thread and four threads in turn
    python tests/fuzz.py --seconds 1200     (`make fuzz`: with the sanitizers)
    python tests/fuzz.py --seed 17          one program, each line printed before it is run

A seed makes a program: lines of Python on leaves, operations, views, Indexes, Tapes, gradients and
optimizers, with mistakes among them. After each line all variables must have the same data and
gradients, within the reference's bounds, and an exception must be of the same type on both sides
and have changed nothing. A program that fails is shortened and printed, ready to run.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import gc
import math
import pickle
import random
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import fuzz_reference as reference

from llmhard import autograd

# What a program may name.
FACE = ["Index", "Matrix", "Tape", "Value", "Vector"]
FACE += ["adam_update", "average_update", "concat", "no_grad"]
HEAD = f"""import copy, gc, pickle
from llmhard.autograd import {", ".join(FACE)}
Value().data = 1.0  # so that nothing below is the first that ever changed
"""
TINY = 1e-290  # gradients below 2.3e-308 are zero in the engine, whatever they are multiplied by
SHARED = [
    "x0 = Value(0.75)",
    "v0 = Vector([0.5, -1.25, 2.0])",
    "m0 = Matrix([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5], [-2.0, 1.0, 3.0]])",
]


class Fault(AssertionError):
    """The engine and the reference disagree."""


# ---------------------------------------------------------------- running and comparing


def namespace(face) -> dict:
    return {name: getattr(face, name) for name in FACE} | {"copy": copy, "gc": gc, "pickle": pickle}


def flat(numbers) -> list[float]:
    if isinstance(numbers, float):
        return [numbers]
    return [x for row in numbers for x in (row if isinstance(row, list) else [row])]


def is_near(x: float, expected: float, error: float, tiny: float) -> bool:
    if not (math.isfinite(expected) and math.isfinite(error)):
        return True  # unknown to the reference
    return abs(x - expected) <= 2 * error + tiny if error or tiny else x == expected


def recorded(node: reference.Node, made: dict):
    """Record the operations that led to a node on the engine; what was is in `made`."""
    if node in made:
        return made[node]
    if node.of is not None:
        key = node.key.value if isinstance(node.key, reference.Index) else node.key
        made[node] = recorded(node.of, made)[key]
    elif node.rule is None:
        if any(cell.error or math.isnan(cell.data) for cell in node.cells):
            raise reference.Undecided  # no name is left to ask for its number
        made[node] = leaf(node)
    else:
        made[node] = apply(node, [recorded(of, made) for of in node.inputs])
    return made[node]


def leaf(node: reference.Node):
    """A leaf on the engine, or a plain number, with the same data."""
    data = [cell.data for cell in node.cells]
    if node.rank == 0:
        return data[0] if node.cells[0].constant else autograd.Value(data[0])
    rows = [data[i : i + node.cols] for i in range(0, len(data), node.cols)]
    return autograd.Vector(data) if node.rank == 1 else autograd.Matrix(rows)


def apply(node: reference.Node, inputs: list):
    """The engine's operation for a node of the reference."""
    first, *others = inputs
    rule = node.rule
    if isinstance(rule, reference.Elementwise):
        if isinstance(first, float):
            return getattr(others[0], rule.row.method.replace("__", "__r", 1))(first)
        return getattr(first, rule.row.method)(*others)
    if rule is reference.copy_parts:
        return autograd.Matrix(inputs) if node.rank == 2 else autograd.concat(inputs)
    if rule in (reference.add_up, reference.softmax):
        return first.sum() if rule is reference.add_up else first.softmax()
    return first @ others[0]


class Pair:
    """The same variables on both sides."""

    def __init__(self, shared: dict | None = None) -> None:
        self.engine, self.reference = namespace(autograd), namespace(reference)
        self.constant = set(shared or ())  # names of leaves that other threads use, too
        for line in SHARED if shared else ():
            exec(line, self.reference)
        self.engine |= shared or {}
        exec(HEAD, {})

    def run(self, line: str) -> None:
        code = compile(line, "<program>", "exec")
        ours = outcome(code, self.engine)
        reference.state.refused = isinstance(ours, RuntimeError)
        expected = outcome(code, self.reference)
        if isinstance(expected, reference.Undecided):
            raise expected
        if type(ours).__name__ != type(expected).__name__:
            raise Fault(f"{ours!r}, where the reference has {expected!r}")
        self.compare()
        replay = re.fullmatch(r"(\w+)\.forward\(\)", line)
        if replay and ours is None:
            self.compare_replay(self.reference[replay[1]], self.engine[replay[1]])

    def compare_replay(self, twin: reference.Tape, tape: autograd.Tape) -> None:
        """A replay has the bits of a new recording."""
        if twin.after is not None:
            return  # what it takes as given may be older
        leaves = {
            x.node: self.engine[name]
            for name, x in self.reference.items()
            if isinstance(x, reference.Handle) and x.node.is_leaf
        }
        try:
            fresh = recorded(twin.root.node, leaves)
        except (ArithmeticError, reference.Undecided):
            return
        if [x.hex() for x in flat(fresh.data)] != [x.hex() for x in flat(tape.root.data)]:
            raise Fault("a replay and a new recording of the same differ")

    def compare(self) -> None:
        values = {}  # the Value that shows a scalar, by its cell
        for name, twin in self.reference.items():
            if isinstance(twin, reference.Handle):
                self.compare_numbers(name, twin)
                if twin.node.rank == 0 and (twin.node.owner is twin.node or not twin.node.rule):
                    ours = values.setdefault(twin.node.cells[0], self.engine[name])
                    if ours is not self.engine[name]:
                        raise Fault(f"{name} is another object for the same scalar")
            elif isinstance(twin, reference.Tape) and len(self.engine[name]) != len(twin):
                raise Fault(f"len({name}) is {len(self.engine[name])}, not {len(twin)}")

    def compare_numbers(self, name: str, twin: reference.Handle) -> None:
        ours = self.engine[name]
        if type(ours).__name__ != type(twin).__name__:
            raise Fault(f"{name} is a {type(ours).__name__}, not a {type(twin).__name__}")
        self.compare_cells(name, twin, "data", "error", 0.0)
        if not (self.constant and uses(twin.node, self.constant_cells())):
            # else its gradient is that of all threads together
            self.compare_cells(name, twin, "grad", "grad_error", TINY)

    def compare_cells(self, name: str, twin: reference.Handle, what: str, error: str, tiny: float):
        ours, expected = getattr(self.engine[name], what), getattr(twin, what)
        if ours == expected:
            return
        for i, (x, cell) in enumerate(zip(flat(ours), twin.node.cells, strict=True)):
            right, bound = getattr(cell, what), getattr(cell, error)
            if not is_near(x, right, bound, tiny):
                raise Fault(f"scalar {i} of {name}.{what} is {x!r}, not {right!r} (+- {bound:.1g})")

    def constant_cells(self) -> set:
        return {cell for name in self.constant for cell in self.reference[name].node.cells}


def uses(node: reference.Node, cells: set) -> bool:
    return any(cell in cells for cell in node.cells)


def outcome(code, names: dict) -> BaseException | None:
    try:
        exec(code, names)
    except Exception as error:
        return error
    return None


def run(lines: Iterable[str], pair: Pair, said: list[str] | None = None) -> list[str]:
    """Run the lines on both sides; they are written to `said` as they come."""
    said = [] if said is None else said
    for line in lines:
        said.append(line)
        try:
            pair.run(line)
        except reference.Undecided:
            break
    return said


# ---------------------------------------------------------------- writing programs


WEIGHTS = {  # how often each write_... writes
    "leaf": 3, "elementwise": 12, "product": 7, "run": 4, "copy": 3, "custom": 0.5, "view": 6,
    "select": 4, "twin": 1, "inside": 2, "read": 1, "index": 3, "data": 5, "grad": 3,
    "backward": 5, "loss": 4, "tape": 4, "replay": 8, "adam": 2, "average": 0.7, "del": 4,
    "collect": 0.3, "mistake": 4,
}  # fmt: skip


class Writer:
    """Writes a program line by line, knowing what the variables are by then."""

    def __init__(self, seed: int, pair: Pair) -> None:
        self.rng = random.Random(seed)
        self.pair = pair
        self.names = pair.reference
        self.count = 0
        self.length = self.rng.choice([15, 40, 40, 80])
        # Two sizes, so that much fits together; some as wide as the kernels: 8, 16, 32 columns.
        widths = [2, 5, 8, 9, 17, 32, 33] if self.rng.random() < 0.2 else [1, 2, 3, 4, 5]
        self.sizes = self.rng.sample(widths, 2)
        self.moments: dict[str, tuple[str, str]] = {}
        self.steps = 0

    def __iter__(self) -> Iterator[str]:
        for make in (self.vector, self.matrix, self.value):
            yield make()
        while self.count < self.length:
            self.count += 1
            (kind,) = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
            for line in getattr(self, f"write_{kind}")() or ():
                quiet = self.rng.random() < 0.06 and kind != "mistake"
                yield f"with no_grad(): {line}" if quiet else line

    # What there is, and new names and numbers.

    def pick(self, *kinds: str, where=None) -> str | None:
        """A variable of one of the kinds; the newest ones more often."""
        types = tuple(getattr(reference, kind) for kind in kinds)
        found = [
            name
            for name, x in self.names.items()
            if isinstance(x, types) and (where is None or where(x))
        ]
        if not found:
            return None
        return self.rng.choice(found[-4:] if self.rng.random() < 0.6 else found)

    def own(self, *kinds: str, where=None) -> str | None:
        """A variable that may be written to: not one that threads share."""
        shared = self.pair.constant_cells()
        return self.pick(
            *kinds, where=lambda x: not uses(x.node, shared) and (where is None or where(x))
        )

    def new(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def number(self) -> float:
        rng = self.rng
        if rng.random() < 0.1:
            return rng.choice([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 1e-5, 100.0])
        return round(rng.gauss(0.3, 1.2), rng.choice([1, 3, 15]))

    def numbers(self, n: int) -> list[float]:
        return [self.number() for _ in range(n)]

    def rows(self, rows: int, cols: int) -> list[list[float]]:
        return [self.numbers(cols) for _ in range(rows)]

    def row(self, n: int, r: str = "0") -> str:
        """The source of n numbers; short, if they are many."""
        if n < 6 and r == "0":
            return repr(self.numbers(n))
        step, by = self.rng.choice([3, 5, 7]), self.rng.choice([4.0, 7.0, 10.0])
        return f"[(({step} * {r} + 4 * c) % 11 - 5) / {by} for c in range({n})]"

    def like(self, name: str):
        node = self.names[name].node
        if node.rank == 0:
            return self.number()
        return self.numbers(node.cols) if node.rank == 1 else self.rows(node.rows, node.cols)

    def length_of(self, name: str) -> int:
        return len(self.names[name])

    def slice(self, length: int) -> str:
        start = self.rng.randrange(length)
        stop = self.rng.randint(start + 1, length)
        return f"{start - length if self.rng.random() < 0.2 else start}:{stop}"

    # Leaves and operations.

    def value(self) -> str:
        return f"{self.new('x')} = Value({self.number()!r})"

    def vector(self) -> str:
        return f"{self.new('v')} = Vector({self.row(self.rng.choice(self.sizes))})"

    def matrix(self) -> str:
        rows, cols = self.rng.choice(self.sizes), self.rng.choice(self.sizes)
        each_row = ", ".join(self.row(cols) for _ in range(rows)) if rows < 6 else ""
        wide = f"{self.row(cols, 'r')} for r in range({rows})"
        return f"{self.new('m')} = Matrix([{each_row or wide}])"

    def write_leaf(self):
        yield self.rng.choice([self.value, self.vector, self.matrix])()

    def write_elementwise(self):
        rng = self.rng
        a = self.pick("Value", "Vector")
        if rng.random() < 0.35:
            yield f"{self.new('y')} = {a}.{rng.choice(reference.UNARY).row.method}()"
            return
        length = getattr(self.names[a].node, "cols", 1)
        fits = [length, 1] if isinstance(self.names[a], reference.Vector) else [1]
        b = self.pick("Value", "Vector", where=lambda x: x.node.rank == 0 or x.node.cols in fits)
        b = repr(self.number()) if rng.random() < 0.25 or b is None else b
        row = rng.choice(reference.BINARY).row
        if not row.method.startswith("__"):
            yield f"{self.new('y')} = {a}.{row.method}({b})"
            return
        a, b = rng.choice([(a, b), (b, a)])
        yield f"{self.new('y')} = ({a}) {row.symbol} ({b})"

    def write_product(self):
        m = self.pick("Matrix")
        rows, cols = self.names[m].shape if m else (0, 0)
        v = self.pick("Vector", where=lambda x: len(x) in (rows, cols))
        if v is None:
            return
        kinds = ["y = {v} @ {v}"]
        if self.length_of(v) == cols:
            kinds += (
                ["y = {m} @ {v}", "y = {m} @ ({m} @ {v})"] if rows == cols else ["y = {m} @ {v}"]
            )
        if self.length_of(v) == rows:
            kinds += ["y = {v} @ {m}"]
        line = self.rng.choice(kinds).format(m=m, v=v)
        yield self.new("y") + line[1:]

    def write_run(self):
        v = self.pick("Vector")
        form = self.rng.choice(["{v}.sum()", "{v}.softmax()", "{v} @ {v}", "sum({v}, 0.0)"])
        if form.startswith("sum") and self.length_of(v) > 6:
            return
        yield f"{self.new('y')} = {form.format(v=v)}"

    def write_copy(self):
        rng = self.rng
        parts = [self.pick("Value", "Vector") for _ in range(rng.randint(1, 3))]
        joined = ", ".join(parts)
        if sum(self.names[part].node.cols for part in parts) > 2 * max(self.sizes):
            return
        kind = rng.random()
        if kind < 0.6:
            yield f"{self.new('v')} = concat([{joined}])"
        elif kind < 0.75:
            x = self.pick("Value")
            yield f"{self.new('v')} = Vector([{x}, {self.number()!r}, {x}])"
        else:
            n = self.names[parts[0]].node.cols
            fits = self.pick("Vector", where=lambda x: len(x) == n)
            if fits:
                yield f"{self.new('m')} = Matrix([{fits}, {self.numbers(n)!r}, {fits}])"

    def write_twin(self):
        """A copy of a leaf, or the refusal to copy something else."""
        x = self.own("Value", "Vector", "Matrix", where=lambda x: x.node.is_leaf)
        if self.rng.random() < 0.2:
            x = self.own("Value", "Vector", "Matrix")
        forms = ["copy.copy({})", "copy.deepcopy({})", "pickle.loads(pickle.dumps({}))"]
        if x:
            yield f"{self.new('z')} = {self.rng.choice(forms).format(x)}"

    def write_inside(self):
        """Look into a scalar: its children, and the local gradients, as the data of a new leaf."""
        x = self.pick("Value", where=lambda x: x.node.owner.terms and x.node.owner.rule)
        if x is None:
            return
        owner = self.names[x].node.owner
        terms = owner.terms[owner.cells.index(self.names[x].node.cells[0])]
        changeable = [i for i, (cell, _, _) in enumerate(terms) if not cell.constant]
        if self.rng.random() < 0.4:
            yield f"{self.new('v')} = Vector({x}.local_grads)"
        elif changeable:
            yield f"{self.new('c')} = {x}.children[{self.rng.choice(changeable)}]"

    def write_read(self):
        """Numbers of a result as the data of a leaf."""
        of = self.own("Value", "Vector")
        what = self.rng.choice(["data", "grad"])
        node = self.names[of].node
        kind = ("Value", "Vector")[node.rank]
        yield f"{self.new('n')} = {kind}({of}.{what})"

    def write_custom(self):
        children = [self.pick("Value") for _ in range(self.rng.randint(1, 3))]
        grads = self.numbers(len(children))
        yield f"{self.new('y')} = Value({self.number()!r}, [{', '.join(children)}], {grads!r})"

    # Views.

    def write_view(self):
        of = self.pick("Vector", "Matrix")
        node = self.names[of].node
        if node.rank == 1:
            i = self.rng.randrange(-node.cols, node.cols)
            where = self.rng.choice([str(i), self.slice(node.cols)])
        else:
            i = self.rng.randrange(-node.rows, node.rows)
            part = self.slice(node.rows)
            where = self.rng.choice([str(i), str(i), part, f"{part}, {self.slice(node.cols)}"])
        yield f"{self.new('w')} = {of}[{where}]"

    def write_select(self):
        of = self.pick("Vector", "Matrix")
        n = self.length_of(of)
        i = self.pick("Index", where=lambda index: 0 <= index.value < n)
        if i is None or self.rng.random() < 0.4:
            i = self.new("i")
            yield f"{i} = Index({self.rng.randrange(n)})"
        yield f"{self.new('w')} = {of}[{i}]"

    def write_index(self):
        i = self.pick("Index")
        if i:
            yield f"{i}.value = {self.rng.choice([0, 0, 1, 1, 2, 3, self.rng.randint(-2, 9)])}"

    # Assignments.

    def write_data(self):
        name = self.own("Value", "Vector", "Matrix", where=lambda x: x.node.owner.is_leaf)
        if self.rng.random() < 0.15:
            name = self.own("Value", "Vector", "Matrix")
        if name:
            yield f"{name}.data = {self.like(name)!r}"

    def write_grad(self):
        name = self.own("Value", "Vector", "Matrix")
        if name:
            grad = self.like(name) if self.rng.random() < 0.4 else self.rng.choice([0, 0.0, 0.5])
            yield f"{name}.grad = {grad!r}"

    # Backward, tapes, optimizers.

    def write_backward(self):
        computed = self.rng.random() < 0.9
        root = self.pick("Value", where=lambda x: not (computed and x.node.is_leaf))
        yield f"{root or self.pick('Value')}.backward()"

    def write_loss(self):
        """One Value of much of what there is; often with a Tape."""
        parts = [self.pick("Value", "Vector") for _ in range(self.rng.randint(2, 5))]
        runs = (self.names[part].node.rank == 1 for part in parts)
        terms = [f"{p}.sum()" if run else p for p, run in zip(parts, runs, strict=True)]
        root = self.new("y")
        yield f"{root} = {' + '.join(terms)}"
        if self.rng.random() < 0.5:
            yield f"{self.new('t')} = Tape({root})"
        elif self.rng.random() < 0.5:
            yield f"{root}.backward()"

    def write_tape(self):
        root = self.pick("Value", "Value", "Vector")
        after = self.pick("Tape") if self.rng.random() < 0.4 else None
        yield f"{self.new('t')} = Tape({root}{f', after={after}' if after else ''})"

    def whole_tape(self) -> str | None:
        """A Tape that can go backward; now and then any other."""
        if self.rng.random() < 0.1:
            return self.pick("Tape")
        return self.pick("Tape", where=lambda t: t.after is None and t.root.node.rank == 0)

    def write_replay(self):
        """Some turns of a training loop, or a part of one."""
        tape = self.whole_tape() if self.rng.random() < 0.9 else self.pick("Tape")
        if tape is None:
            return
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            for make in self.rng.sample([self.write_data, self.write_index, self.write_grad], 2):
                if self.rng.random() < 0.5:
                    yield from make()
            if self.rng.random() < 0.85:
                yield f"{tape}.forward()"
            yield from self.write_adam(tape) if self.rng.random() < 0.3 else [f"{tape}.backward()"]

    def write_adam(self, tape: str | None = None):
        rng = self.rng
        leaves = {
            self.own("Value", "Vector", "Matrix", where=lambda x: x.node.is_leaf)
            for _ in range(rng.randint(1, 3))
        } - {None}
        taken = {name for pair in self.moments.values() for name in pair}
        chosen = sorted(leaves - taken)
        if not chosen:
            return
        for name in chosen:
            known = [x for x in self.moments.get(name, ()) if x in self.names]
            if len(known) < 2:
                made = self.new("a"), self.new("a")
                zeros = self.zeros(name)
                for moment in made:
                    yield f"{moment} = {zeros}"
                self.moments[name] = made
        if not all(self.fit(name) for name in chosen):
            return
        tape = tape or (self.whole_tape() if rng.random() < 0.5 else None)
        self.steps += 1
        lists = [chosen, *zip(*(self.moments[name] for name in chosen), strict=True)]
        handles = ", ".join(f"[{', '.join(names)}]" for names in lists)
        decay = ", weight_decay=0.1" if rng.random() < 0.3 else ""
        yield (
            f"adam_update({handles}, lr={rng.choice([0.001, 0.05])}, beta1=0.9, beta2=0.99, "
            f"eps=1e-8, t={self.steps}{decay}, tape={tape})"
        )

    def zeros(self, name: str) -> str:
        node = self.names[name].node
        row = f"[0.0] * {node.cols}"
        return ("Value(0.0)", f"Vector({row})", f"Matrix([{row}] * {node.rows})")[node.rank]

    def fit(self, name: str) -> bool:
        """Whether the moments are still there, leaves, and squares not negative."""
        found = [self.names.get(moment) for moment in self.moments[name]]
        return all(x is not None and x.node.is_leaf for x in found) and all(
            cell.data >= 0 for cell in found[1].node.cells
        )

    def write_average(self):
        name = self.pick("Value", "Vector", "Matrix", where=lambda x: x.node.is_leaf)
        if name is None:
            return
        mean = self.new("a")
        yield f"{mean} = {self.zeros(name)}"
        yield f"average_update([{mean}], [{name}], share={self.rng.choice([0.5, 1.0, 0.1])})"

    # Lives and deaths.

    def write_del(self):
        name = self.pick("Value", "Vector", "Matrix", "Tape", "Index")
        kinds = ("Value", "Vector", "Matrix")
        left = sum(isinstance(x, reference.Handle) for x in self.names.values())
        if left < 6 or name in self.pair.constant:
            return
        alone = [k for k in kinds if isinstance(self.names[name], getattr(reference, k))]
        if any(self.pick(k, where=lambda x: x is not self.names[name]) is None for k in alone):
            return
        yield f"del {name}"

    def write_collect(self):
        yield "gc.collect(0)"

    # Mistakes: each must raise what is documented, and change nothing.

    def write_mistake(self):
        rng = self.rng
        x, v, m, i, t = map(self.pick, ("Value", "Vector", "Matrix", "Index", "Tape"))
        n, (rows, cols) = self.length_of(v), self.names[m].shape
        other = self.numbers(n + 1)
        forms = [
            f"{v} + Vector({other})",
            f"Vector({other}) ** {v}",
            f"{v} @ Vector({other})",
            f"{m} @ Vector({self.numbers(cols + 1)})",
            f"Vector({self.numbers(rows + 1)}) @ {m}",
            f"{v}[{n}]",
            f"{v}[{-n - 1}]",
            f"{v}[::2][::2][::2][1:]",
            f"{v}[{n}:]",
            f"{m}[{rows}]",
            f"{m}[:, {cols}:]",
            f"{m}[0, 0]",
            f"{v}[1.0]",
            f"{v}[Index({n})]",
            f"{m}[Index(-1)]",
            f"{m} + 1",
            f"1 - {m}",
            f"{m}.exp()",
            f"{v} * {m}",
            f"{v} @ 3",
            f"{x} @ {v}",
            f"{x} + None",
            f"{x} + 'a'",
            f"Value({v!r})",
            f"Vector([{x}, None])",
            "Vector([])",
            "Matrix([])",
            f"Matrix([{v}, {other}])",
            f"Matrix([{v}, [None] * {n}])",
            f"concat([{v}, 1.0])",
            "concat([])",
            f"Value(1.0, [{x}], [])",
            f"Value(1.0, [{v}], [1.0])",
            f"{x} / 0.0",
            "Value(-1.0).log()",
            "Value(1000.0).exp()",
            f"Tape({m})",
            "Tape(None)",
            f"Tape({v}).backward()",
            f"Tape({x}, after=Tape({x})).backward()",
            f"Tape(Value(1.0, [{x}], [2.0])).forward()",
            f"average_update([{m}], [{v}], share=0.5)",
            f"average_update([], [{v}], share=0.5)",
            f"average_update([{v} * 2], [{v}], share=0.5)",
            f"adam_update([{v}], [{v}], [{v}], lr=1.0, beta1=0.9, beta2=0.9, eps=1.0, t=0)",
            f"adam_update([{v}], [], [], lr=1.0, beta1=0.9, beta2=0.9, eps=1.0, t=1)",
            f"adam_update([{v}.exp()], [{v}], [{v}], lr=1.0, beta1=0.9, beta2=0.9, eps=1.0, t=1)",
            f"Index({self.number()})",
        ]
        forms += [
            f"{name}.{what} = {bad}"
            for name in filter(None, map(self.own, ("Value", "Vector", "Matrix")))
            for what in ("data", "grad")
            for bad in ("None", f"{[[1.0] * 50]}", "'a'")
        ]
        if i:
            forms += [f"{i}.value = 1.5", f"{i}.value = None", f"{v}[{i}]"]
        if t:
            forms += [f"Tape({x}, after={v})", f"{t}.backward()"]
        yield rng.choice(forms)


# ---------------------------------------------------------------- failures


def describe(fault: Exception) -> str:
    return str(fault) if isinstance(fault, Fault) else repr(fault)


def fails(lines: list[str]) -> str | None:
    """What is wrong when these lines are run, or None."""
    try:
        run(lines, Pair())
    except Exception as fault:
        return describe(fault)
    return None


def shortened(lines: list[str]) -> list[str]:
    """A part of the lines that still fails, from which no line can go."""
    size = len(lines) // 2
    while size:
        start = 0
        while start < len(lines):
            fewer = lines[:start] + lines[start + size :]
            if fails(fewer):
                lines = fewer
            else:
                start += size
        size //= 2
    return lines


def report(seed: int, lines: list[str], fault: Exception) -> str:
    """A failure as a program to run."""
    if fails(lines):  # else it takes other threads
        lines = shortened(lines)
    fault_now = fails(lines) or describe(fault)
    return f"seed {seed}: {fault_now}\n\n{HEAD}{chr(10).join(lines)}\n"


def check(seed: int, shared: dict | None = None) -> int:
    """Run the program of a seed; returns its number of lines. Raises Fault."""
    pair, lines = Pair(shared), []
    try:
        run(Writer(seed, pair), pair, lines)
    except Exception as fault:  # a Fault, or what reading a result raises
        raise Fault(report(seed, (SHARED if shared else []) + lines, fault)) from fault
    return len(lines)


def check_in_threads(seeds: list[int], n_threads: int, share: bool) -> None:
    """Run the programs in threads at once; with `share`, they use some leaves together."""
    shared: dict = {}
    if share:
        exec("\n".join(SHARED), namespace(autograd), shared)
    waiting, faults = list(seeds), []

    def work():
        while waiting and not faults:
            try:
                check(waiting.pop(), shared)
            except IndexError:  # another thread has taken the last one
                return
            except BaseException as fault:
                faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


ROUND = 40  # programs; a round and how it is run depend on its first seed only


def run_round(first: int, threads_only: bool = False) -> None:
    """Programs in one thread, or in four threads, whose leaves may be their own or shared."""
    seeds = list(range(first, first + ROUND))
    kind = first // ROUND % 4
    if threads_only:
        kind |= 2
    if kind > 1:
        check_in_threads(seeds, 4, share=kind == 3)
    else:
        for seed in seeds:
            check(seed)


def fuzz(seconds: float, first: int, note: Path, threads_only: bool) -> None:
    """Run rounds until the time is over. What leads to a crash again is in the note."""
    start, first = time.monotonic(), first // ROUND * ROUND
    seed = first
    note.parent.mkdir(exist_ok=True)
    while time.monotonic() < start + seconds:
        how = " --threads" if threads_only else ""
        note.write_text(f"python tests/fuzz.py --seconds 0.1 --first {seed}{how}\n")
        run_round(seed, threads_only)
        seed += ROUND
    note.unlink()
    rate = (seed - first) / (time.monotonic() - start)
    print(f"{seed - first} programs from seed {first}, {rate:.0f} a second: no fault")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, help="the first seed; by default the time")
    parser.add_argument("--threads", action="store_true", help="programs in four threads only")
    parser.add_argument("--seed", type=int, help="run this program only, and print it")
    arguments = parser.parse_args()
    faulthandler.enable()
    try:
        if arguments.seed is None:
            first = time.time_ns() // 10**6 % 10**9 if arguments.first is None else arguments.first
            fuzz(arguments.seconds, first, Path("build", "fuzz.txt"), arguments.threads)
            return
        pair = Pair()
        for line in Writer(arguments.seed, pair):
            print(line, flush=True)
            pair.run(line)
    except Fault as fault:
        sys.exit(str(fault))
    except reference.Undecided as undecided:
        sys.exit(f"the program ends here: {undecided.__doc__}")


if __name__ == "__main__":
    main()
