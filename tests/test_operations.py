"""Each row of the table of elementwise operations, in every use; the gradients of the others."""

import builtins
import itertools
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmhard import DomainError, Matrix, Tape, Value, Vector, concat
from llmhard.autograd import Index

CHECKOUT = Path(__file__).parent.parent
SOURCES = Path("pyx", "llmhard", "engine")
TABLE = runpy.run_path(str(CHECKOUT / SOURCES / "operations.py"))
ROWS = TABLE["BINARY"] + TABLE["UNARY"]
POINTS = [-2.5, -1.0, -0.75, 0.0, 0.5, 1.0, 2.0, 3.0]
EXTREMES = [-math.inf, -1000.0, -2.5, -1.0, 0.0, 0.5, 1000.0, math.inf, math.nan]

each_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


def python(formula, operands, out=math.nan):
    """The value of a formula of the table, computed by Python."""
    names = dict(zip("ab", operands, strict=False))
    return eval(formula, vars(math) | names | {"out": out})


def locals_of(row, point):
    out = python(row.value, point)
    return [python(formula, point, out) for formula in row.local]


def is_refused(row, point):
    """Whether a single Value refuses the operands, or a slope is infinite or not real there."""
    try:
        locals_of(row, point)
        return any(python(condition, point) for condition, _, _ in row.refuses)
    except (ValueError, ArithmeticError):
        return True


def operands(row):
    """All points at which the operation is defined."""
    points = itertools.product(POINTS, repeat=len(row.local))
    accepted = [point for point in points if not is_refused(row, point)]
    assert len(accepted) >= 4
    return accepted


def call(row, first, *others):
    """The operation, whichever of the operands is a plain number."""
    if isinstance(first, float):
        return getattr(others[0], row.method.replace("__", "__r", 1))(first)
    return getattr(first, row.method)(*others)


def approx(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-300)


@each_row
def test_a_value_is_the_formula_and_knows_its_children(row):
    for point in operands(row):
        x = [Value(number) for number in point]
        y = call(row, *x)
        assert y.data == approx(python(row.value, point))
        assert (y.op, y.children) == (row.symbol, tuple(x))
        assert list(y.local_grads) == approx(locals_of(row, point))
        y.backward()
        assert [v.grad for v in x] == approx(locals_of(row, point))


@each_row
def test_the_local_gradients_are_the_slopes_of_the_value(row):
    checked = 0
    h = 1e-6
    for point in operands(row):
        for i, local in enumerate(locals_of(row, point)):
            below, above = ((*point[:i], point[i] + d, *point[i + 1 :]) for d in (-h, h))
            if is_refused(row, below) or is_refused(row, above):
                continue
            f = [python(row.value, at) for at in (below, point, above)]
            if f[2] - f[1] != pytest.approx(f[1] - f[0], rel=1e-3, abs=1e-3 * h):
                continue  # a kink
            assert local == pytest.approx((f[2] - f[0]) / (2 * h), rel=1e-5, abs=1e-5)
            checked += 1
    assert checked >= 4


@each_row
def test_a_run_computes_what_its_elements_do(row):
    points = operands(row)
    sides = [list(side) for side in zip(*points, strict=True)]
    vectors = [Vector(side) for side in sides]
    run = call(row, *vectors)
    run.sum().backward()
    assert run.data == approx([python(row.value, point) for point in points])
    slopes = [locals_of(row, point) for point in points]
    for i, vector in enumerate(vectors):
        assert vector.grad == approx([local[i] for local in slopes])
    element = run[1]
    assert (element.op, len(element.children)) == (row.symbol, len(sides))
    assert list(element.local_grads) == approx(locals_of(row, points[1]))


@pytest.mark.parametrize("row", TABLE["BINARY"], ids=[row.name for row in TABLE["BINARY"]])
@pytest.mark.parametrize("plain", [0, 1])
def test_a_plain_number_is_used_for_each_element(row, plain):
    if plain == 0 and not row.method.startswith("__"):
        pytest.skip("a method belongs to its first operand")
    points = [point for point in operands(row) if point[plain] == 2.0]
    vector = Vector([point[1 - plain] for point in points])
    run = call(row, 2.0, vector) if plain == 0 else call(row, vector, 2.0)
    run.sum().backward()
    assert run.data == approx([python(row.value, point) for point in points])
    assert vector.grad == approx([locals_of(row, point)[1 - plain] for point in points])


@each_row
def test_a_replay_is_a_new_recording(row):
    first, *others = operands(row)
    singles, runs = [Value(x) for x in first], [Vector([x, x]) for x in first]
    tape = Tape(call(row, *singles) * 3.0 + call(row, *runs).sum())
    for point in others:
        for single, run, number in zip(singles, runs, point, strict=True):
            single.data, run.data = number, number
            single.grad, run.grad = 0.0, 0.0
        tape.forward()
        tape.backward()
        assert tape.root.data == approx(5.0 * python(row.value, point))
        for single, run, local in zip(singles, runs, locals_of(row, point), strict=True):
            assert [single.grad, *run.grad] == approx([3.0 * local, local, local])


REFUSALS = [(row, *refusal) for row in ROWS for refusal in row.refuses]


@pytest.mark.parametrize(
    ("row", "condition", "error", "message"),
    REFUSALS,
    ids=[f"{row.name} {condition}" for row, condition, _, _ in REFUSALS],
)
def test_a_single_value_refuses_and_a_run_does_not(row, condition, error, message):
    met = 0
    for point in itertools.product(EXTREMES, repeat=len(row.local)):
        try:
            refused = python(condition, point)
        except OverflowError:
            refused = error == "OverflowError"
        except ValueError:
            refused = False
        if not refused:
            continue
        met += 1
        with pytest.raises(getattr(builtins, error, DomainError)) as caught:
            call(row, *map(Value, point))
        assert str(caught.value) == message.format(**dict(zip("ab", point, strict=False)))
        (element,) = call(row, *(Vector([x]) for x in point)).data
        assert not math.isfinite(element)
    assert met


@each_row
def test_it_has_a_docstring_and_a_stub(row):
    if row.doc or not row.method.startswith("__"):
        assert getattr(Value, row.method).__doc__ == row.doc != ""
    if len(row.local) == 1 or not row.method.startswith("__"):
        stub = (CHECKOUT / "llmhard" / "engine" / "functions.pyi").read_text()
        assert re.search(rf"    def {row.method}\(self", stub)


# ---------------------------------------------------------------- operations on whole runs

NUMBERS = [
    [0.5, -1.25, 2.0],
    [0.75, 1.5, -0.5],
    [1.0, -2.0, 0.25],
    [-1.5, 0.1, 3.0],
    [2.5, 1.1, -0.7],
]
ON_RUNS = {
    "sum": lambda x: x.v.sum(),
    "dot": lambda x: x.v @ x.w,
    "matrix @ vector": lambda x: x.m @ x.v,
    "vector @ matrix": lambda x: x.v @ x.m,
    "softmax": lambda x: x.v.softmax(),
    "concat": lambda x: concat([x.v, x.w[0], x.w[1:], x.v]),
    "Matrix of Vectors": lambda x: Matrix([x.v, x.w]) @ x.w,
    "Vector of Values": lambda x: Vector([x.w[2], x.v[1], x.v[1]]),
    "[Index]": lambda x: x.m[Index(1)],
}


def weighted(operation, numbers):
    """The leaves, and a sum of the results in which each has a weight of its own."""
    x = SimpleNamespace(v=Vector(numbers[0]), w=Vector(numbers[1]), m=Matrix(numbers[2:]))
    out = operation(x)
    if isinstance(out, Value):
        return x, out * 1.5
    return x, out @ Vector([1.5 - 0.4 * i for i in range(len(out))])


@pytest.mark.parametrize("name", ON_RUNS)
def test_the_gradients_of_an_operation_on_runs_are_its_slopes(name):
    x, root = weighted(ON_RUNS[name], NUMBERS)
    root.backward()
    gradients = [x.v.grad, x.w.grad, *x.m.grad]
    h = 1e-6
    for row in range(5):
        for col in range(3):
            f = {}
            for step in (-h, h):
                moved = [list(numbers) for numbers in NUMBERS]
                moved[row][col] += step
                f[step] = weighted(ON_RUNS[name], moved)[1].data
            slope = (f[h] - f[-h]) / (2 * h)
            assert gradients[row][col] == pytest.approx(slope, rel=1e-6, abs=1e-6)


# ---------------------------------------------------------------- a new one

FAST = """#!{python}
import os, sys
os.execvp("{cc}", ["{cc}", *(a for a in sys.argv[1:] if a not in ("-O3", "-O2", "-g")), "-O0"])
"""
SIN = """    Operation(
        "sin",
        "sin(a)",
        ["cos(a)"],
        "The sine of an angle in radians.",
        refuses=[("isinf(a)", "DomainError", "sin({a}) is undefined")],
    ),
    Operation("tanh","""


def test_one_row_is_all_that_a_new_operation_needs(tmp_path):
    copy = tmp_path / "copy"
    unneeded = shutil.ignore_patterns("*.so", "__pycache__", "build", ".*")
    for name in ("llmhard", "pyx", "data", "tests"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=unneeded)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy)
    table = copy / SOURCES / "operations.py"
    table.write_text(table.read_text().replace('    Operation("tanh",', SIN))
    compiler = tmp_path / "cc"
    compiler.write_text(FAST.format(python=sys.executable, cc=os.environ.get("CC", "cc")))
    compiler.chmod(0o755)
    env = os.environ | {"CC": str(compiler), "PYTHONPATH": str(copy)}
    for command in (
        ["setup.py", "build_ext", "--inplace"],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_operations.py", "-k", "sin"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=copy, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 7
