"""Vectors and Matrices: each operation means what its formula in single Values means."""

import math
import operator
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solutions import gradients

from llmhard import Matrix, Value, Vector, concat, no_grad
from llmhard.autograd import Tape
from llmhard.layers import linear, rmsnorm, softmax

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
UNARY = ("neg", "exp", "log", "relu", "tanh", "sqrt")

numbers = st.floats(-3.0, 3.0)
positive = st.floats(0.1, 3.0)
lengths = st.integers(1, 9)


def method(name, x):
    return -x if name == "neg" else getattr(x, name)()


def singles(values):
    return [Value(x) for x in values]


def weighted_sum(values):
    """A root in which every element counts differently."""
    return sum(((k + 1) * 0.7**k * v for k, v in enumerate(values)), Value(0.0))


def approx(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


def check_same(run, leaves, scalars, scalar_leaves):
    """The data agrees, and so does what each leaf gets from a sum of the elements."""
    assert [v.data for v in run] == approx([v.data for v in scalars])
    weighted_sum(run).backward()
    weighted_sum(scalars).backward()
    found = [v.grad for leaf in leaves for v in leaf]
    assert found == approx([v.grad for leaf in scalar_leaves for v in leaf])


# ---------------------------------------------------------------- one operation at a time


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(list(BINARY)), lengths)
def test_elementwise_on_two_operands(data, op, n):
    for kinds in ("vv", "vs", "sv", "vn", "nv", "same"):
        base = positive if op == "**" else numbers
        other = positive if op == "/" else numbers
        x = data.draw(st.lists(base, min_size=n, max_size=n))
        y = data.draw(st.lists(other, min_size=n, max_size=n))
        if kinds == "same":
            x = [abs(a) + 0.1 for a in x]
            v, scalars = Vector(x), singles(x)
            check_same(BINARY[op](v, v), [v], [BINARY[op](a, a) for a in scalars], [scalars])
            continue
        sides, scalar_sides, leaves, scalar_leaves = [], [], [], []
        for kind, side in zip(kinds, (x, y), strict=True):
            if kind == "v":
                sides.append(Vector(side))
                scalar_sides.append(singles(side))
                leaves.append(sides[-1])
                scalar_leaves.append(scalar_sides[-1])
            elif kind == "s":
                sides.append(Value(side[0]))
                scalar_sides.append([Value(side[0])] * n)
                leaves.append([sides[-1]])
                scalar_leaves.append([scalar_sides[-1][0]])
            else:
                sides.append(side[0])
                scalar_sides.append([side[0]] * n)
        run = BINARY[op](*sides)
        assert isinstance(run, Vector)
        scalars = [BINARY[op](a, b) for a, b in zip(*scalar_sides, strict=True)]
        check_same(run, leaves, scalars, scalar_leaves)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, -0.5, 2.0])
def test_powers_by_a_plain_number(exponent):
    data = [0.25, 2.0, 1.0] if exponent % 1 else [-1.5, 2.0, 0.25]
    v, scalars = Vector(data), singles(data)
    check_same(v**exponent, [v], [x**exponent for x in scalars], [scalars])


def test_powers_of_negative_and_zero_elements():
    v = Vector([-2.0, 0.0, 2.0])
    (v**2 + v**3 + v**0).sum().backward()
    assert v.grad == [-4.0 + 12.0, 0.0, 4.0 + 12.0]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(UNARY), lengths)
def test_elementwise_on_one_operand(data, name, n):
    x = data.draw(
        st.lists(positive if name in ("log", "sqrt") else numbers, min_size=n, max_size=n)
    )
    v, scalars = Vector(x), singles(x)
    check_same(method(name, v), [v], [method(name, a) for a in scalars], [scalars])


@settings(max_examples=60, deadline=None)
@given(st.data(), lengths)
def test_sum_dot_and_softmax(data, n):
    x = data.draw(st.lists(numbers, min_size=n, max_size=n))
    y = data.draw(st.lists(numbers, min_size=n, max_size=n))
    v, scalars = Vector(x), singles(x)
    check_same([v.sum()], [v], [sum(scalars)], [scalars])
    v, w, scalars, others = Vector(x), Vector(y), singles(x), singles(y)
    products = [a * b for a, b in zip(scalars, others, strict=True)]
    check_same([v @ w], [v, w], [sum(products)], [scalars, others])
    v, scalars = Vector(x), singles(x)
    check_same([v @ v], [v], [sum(a * a for a in scalars)], [scalars])
    v, scalars = Vector(x), singles(x)
    exps = [a.exp() for a in scalars]
    check_same(v.softmax(), [v], [e / sum(exps) for e in exps], [scalars])


wide = st.integers(1, 9) | st.sampled_from([8, 32, 128])  # the kernels know these widths


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), wide, wide)
def test_matrix_products(rng, rows, cols):
    m_data = [[rng.uniform(-2, 2) for _ in range(cols)] for _ in range(rows)]
    x_data = [rng.uniform(-2, 2) for _ in range(cols)]
    w_data = [rng.uniform(-2, 2) for _ in range(rows)]

    m, x = Matrix(m_data), Vector(x_data)
    scalar_m, scalar_x = [singles(row) for row in m_data], singles(x_data)
    check_same(m @ x, [*m, x], linear(scalar_x, scalar_m), [*scalar_m, scalar_x])

    m, w = Matrix(m_data), Vector(w_data)
    scalar_m, scalar_w = [singles(row) for row in m_data], singles(w_data)
    transposed = [list(column) for column in zip(*scalar_m, strict=True)]
    check_same(w @ m, [*m, w], linear(scalar_w, transposed), [*scalar_m, scalar_w])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7, 8, 9, 16, 17, 33])
@pytest.mark.parametrize("kind", ["leaf", "computed", "view"])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 5), (8, 8), (9, 32)])
def test_many_products_with_one_matrix(count, kind, rows, cols):
    rng = random.Random(count)
    m_data = [[rng.uniform(-1, 1) for _ in range(cols)] for _ in range(rows)]
    x_data = [[rng.uniform(-1, 1) for _ in range(cols)] for _ in range(count)]
    m, xs = Matrix(m_data), [Vector(x) for x in x_data]
    used = {"leaf": m, "computed": Matrix([row * 2 for row in m]), "view": m[:, :]}[kind]
    scalar_m, scalar_xs = [singles(row) for row in m_data], [singles(x) for x in x_data]
    scalar_used = [[a * 2 for a in r] for r in scalar_m] if kind == "computed" else scalar_m
    # Some products at one depth of the graph, and some that depend on others.
    products = [used @ x for x in xs]
    products.append(used @ (xs[0] * products[0].sum()))
    expected = [linear(x, scalar_used) for x in scalar_xs]
    scaled = [x * sum(expected[0]) for x in scalar_xs[0]]
    expected.append(linear(scaled, scalar_used))
    run = sum(((k + 1) * p for k, p in enumerate(products)), Vector([0.0] * rows))
    scalars = [
        sum(((k + 1) * p for k, p in enumerate(column)), Value(0.0))
        for column in zip(*expected, strict=True)
    ]
    check_same(run, [*m, *xs], scalars, [*scalar_m, *scalar_xs])


@settings(max_examples=60, deadline=None)
@given(st.data(), lengths, lengths)
def test_products_with_slices_of_a_matrix_and_its_own_rows(data, rows, cols):
    number = st.floats(-2.0, 2.0)
    m_data = [data.draw(st.lists(number, min_size=cols, max_size=cols)) for _ in range(rows)]
    top = data.draw(st.integers(0, rows - 1))
    bottom = data.draw(st.integers(top + 1, rows))
    left = data.draw(st.integers(0, cols - 1))
    right = data.draw(st.integers(left + 1, cols))
    row = data.draw(st.integers(-rows, rows - 1))

    m, scalars = Matrix(m_data), [singles(line) for line in m_data]
    part = m[top:bottom, left:right]
    assert part.shape == (bottom - top, right - left)
    x = m[row][left:right]
    scalar_part = [line[left:right] for line in scalars[top:bottom]]
    scalar_x = scalars[row][left:right]
    product, scalar_product = part @ x, linear(scalar_x, scalar_part)
    back = product @ part
    scalar_back = linear(scalar_product, [list(c) for c in zip(*scalar_part, strict=True)])
    check_same(concat([back, product]), [*m], [*scalar_back, *scalar_product], scalars)


@settings(max_examples=60, deadline=None)
@given(st.data(), lengths)
def test_views_of_views(data, n):
    x = data.draw(st.lists(numbers, min_size=n, max_size=n))
    v, scalars = Vector(x), singles(x)
    run, expected = v * 2, [2 * a for a in scalars]
    for _ in range(3):
        start = data.draw(st.integers(0, len(run) - 1))
        stop = data.draw(st.integers(start + 1, len(run)))
        run, expected = run[start:stop], expected[start:stop]
    k = data.draw(st.integers(-len(run), len(run) - 1))
    check_same([run[k], *run], [v], [expected[k], *expected], [scalars])


def test_views_of_views_of_a_matrix():
    m = Matrix([[float(10 * r + c) for c in range(6)] for r in range(5)])
    inner = m[1:5, 1:5][1:, 1:][:2, 1:]
    assert inner.data == [[23.0, 24.0], [33.0, 34.0]]
    assert inner[1].data == [33.0, 34.0]
    assert inner[-1][-1].data == 34.0
    assert inner[1:][0][1:].data == [34.0]
    assert [row.data for row in inner] == inner.data
    assert inner.tobytes() == Matrix(inner.data).tobytes()
    inner.data = [[1, 2], [3, 4]]
    inner.grad = [[5, 6], [7, 8]]
    assert m[2].data == [20.0, 21.0, 22.0, 1.0, 2.0, 25.0]
    assert m[3][3:5].grad == [7.0, 8.0]
    assert sum(map(sum, m.grad)) == 5 + 6 + 7 + 8


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_runs_put_together_from_parts(data, n, rows):
    x = data.draw(st.lists(numbers, min_size=n, max_size=n))
    y = data.draw(st.lists(numbers, min_size=rows, max_size=rows))
    v, w, s = Vector(x), Vector(y), Value(0.5)
    vs, ws, ss = singles(x), singles(y), Value(0.5)
    built = concat([v, s, w, v, v[:1], w[-1]])
    check_same(built, [v, w, [s]], [*vs, ss, *ws, *vs, vs[0], ws[-1]], [vs, ws, [ss]])

    v, w, s, vs, ws, ss = Vector(x), Vector(y), Value(0.5), singles(x), singles(y), Value(0.5)
    built = Vector([s, *v, 2, w[0], s, 1.5])
    three = [ss, *vs, Value(2), ws[0], ss, Value(1.5)]
    check_same(built, [v, w, [s]], three, [vs, ws, [ss]])

    v, w, s, vs, ws, ss = Vector(x), Vector(y), Value(0.5), singles(x), singles(y), Value(0.5)
    matrix = Matrix([v * w[k] for k in range(rows)] + [[s] * n, [3.0] * n, v])
    assert matrix.shape == (rows + 3, n)
    lines = [[a * b for a in vs] for b in ws] + [[ss] * n, [Value(3.0)] * n, vs]
    check_same(
        concat(list(matrix)), [v, w, [s]], [a for line in lines for a in line], [vs, ws, [ss]]
    )
    check_same(concat(list(Matrix(matrix)[1:, :1])), [v], [line[0] for line in lines[1:]], [vs])


# ---------------------------------------------------------------- random graphs

WHOLE = ("sum", "dot", "matvec", "vecmat", "softmax", "concat", "vector", "matrix")
VIEWS = ("element", "slice", "row", "block")
steps = st.lists(
    st.tuples(
        st.sampled_from([*BINARY, *UNARY, *WHOLE, *VIEWS]),
        st.tuples(*[st.integers(0, 1000)] * 4),
        st.sampled_from(["vv", "vs", "sv", "vn", "nv"]),
    ),
    min_size=1,
    max_size=12,
)
leaf_data = st.floats(-2.0, 2.0)


def copy(x):
    return x * 1.0


def plain(scalars):
    return [x.data if isinstance(x, Value) else x for x in scalars]


class Twins:
    """A growing graph of runs, and beside it the same graph of single Values."""

    def __init__(self, vector, matrix, value):
        self.vectors = [(Vector(vector), singles(vector))]
        self.matrices = [(Matrix(matrix), [singles(row) for row in matrix])]
        self.values = [(Value(value), Value(value))]
        self.leaves = [*self.vectors, *zip(*self.matrices[0], strict=True), self.values[0]]

    def add_value(self, value, scalar):
        if abs(value.data) > 3:
            value, scalar = value.tanh(), scalar.tanh()
        self.values.append((value, scalar))

    def add_vector(self, vector, scalars):
        if any(abs(x) > 3 for x in vector.data):
            vector, scalars = vector.tanh(), [x.tanh() for x in scalars]
        self.vectors.append((vector, scalars))

    def add(self, op, picks, kinds):
        """Add one operation; the picks choose operands whose shapes and numbers fit."""
        i, j, k, number = picks
        v, vs = self.vectors[i % len(self.vectors)]
        m, ms = self.matrices[j % len(self.matrices)]
        s, ss = self.values[k % len(self.values)]
        w, ws = self.alike(len(v), j)
        if op in BINARY:
            number = (number % 9) / 2 - 2
            operands = {"s": (s, [ss] * len(v)), "n": (number, [number] * len(v))}
            a, a_scalars = (v, vs) if kinds[0] == "v" else operands[kinds[0]]
            b, b_scalars = (w, ws) if kinds[1] == "v" else operands[kinds[1]]
            if op == "/" and min(map(abs, plain(b_scalars))) < 0.2:
                op = "*"
            if op == "**" and min(plain(a_scalars)) < 0.2:
                op = "+"
            pairs = zip(a_scalars, b_scalars, strict=True)
            self.add_vector(BINARY[op](a, b), [BINARY[op](x, y) for x, y in pairs])
        elif op in UNARY:
            if op in ("log", "sqrt") and min(v.data) < 0.2:
                op = "neg"
            self.add_vector(method(op, v), [method(op, x) for x in vs])
        elif op == "sum":
            self.add_value(v.sum(), sum(vs))
        elif op == "dot":
            self.add_value(v @ w, linear(vs, [ws])[0])
        elif op == "matvec":
            x, xs = self.alike(m.shape[1], i)
            self.add_vector(m @ x, linear(xs, ms))
        elif op == "vecmat":
            x, xs = self.alike(m.shape[0], i)
            self.add_vector(x @ m, linear(xs, [list(c) for c in zip(*ms, strict=True)]))
        elif op == "softmax":
            self.add_vector(v.softmax(), softmax(vs))
        elif op == "concat":
            self.add_vector(concat([s, v, s]), [copy(x) for x in (ss, *vs, ss)])
        elif op == "vector":
            self.add_vector(Vector([*v, s, 0.5]), [copy(x) for x in (*vs, ss, Value(0.5))])
        elif op == "matrix":
            rows = [vs, ws, [ss] * len(v)]
            copies = [[copy(x) for x in row] for row in rows]
            self.matrices.append((Matrix([v, w, [s] * len(v)]), copies))
        elif op == "element":
            self.add_value(v[j % len(v)], vs[j % len(v)])
        elif op == "slice":
            start = j % len(v)
            stop = start + 1 + k % (len(v) - start)
            self.add_vector(v[start:stop], vs[start:stop])
        elif op == "row":
            self.add_vector(m[i % len(m)], ms[i % len(m)])
        else:
            rows, cols = m.shape
            top, left = i % rows, k % cols
            bottom = top + 1 + number % (rows - top)
            block = [row[left:] for row in ms[top:bottom]]
            self.matrices.append((m[top:bottom, left:], block))

    def alike(self, length, pick):
        """A vector of this length; a new leaf if there is none."""
        found = [pair for pair in self.vectors if len(pair[0]) == length]
        if not found:
            data = [0.25 * (k % 7) - 0.5 for k in range(length)]
            found = [(Vector(data), singles(data))]
            self.vectors += found
            self.leaves += found
        return found[pick % len(found)]

    def scalars(self):
        """All (scalar of a run, single Value) pairs."""
        pairs = list(self.values)
        for v, vs in self.vectors:
            pairs += zip(v, vs, strict=True)
        for m, ms in self.matrices:
            for row, row_scalars in zip(m, ms, strict=True):
                pairs += zip(row, row_scalars, strict=True)
        return pairs


@st.composite
def graphs(draw):
    cols = draw(st.integers(1, 4))
    row = st.lists(leaf_data, min_size=cols, max_size=cols)
    twins = Twins(draw(row), draw(st.lists(row, min_size=1, max_size=4)), draw(leaf_data))
    for step in draw(steps):
        twins.add(*step)
    return twins


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_random_graphs_of_runs_agree_with_single_values(twins):
    pairs = twins.scalars()
    assert plain(run for run, _ in pairs) == approx(plain(single for _, single in pairs))
    first, second = (weighted_sum(side) for side in zip(*pairs, strict=True))
    first.backward()
    second.backward()
    grads = [run.grad for run, _ in pairs]
    assert grads == approx([single.grad for _, single in pairs])

    middle, single_middle = pairs[len(pairs) // 2]
    (middle * middle).backward()
    (single_middle * single_middle).backward()
    first.backward()
    second.backward()
    assert [run.grad for run, _ in pairs] == approx([single.grad for _, single in pairs])


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_children_and_local_grads_explain_every_gradient(twins):
    root = weighted_sum(run for run, _ in twins.scalars())
    root.backward()
    walked = gradients(root)
    for value, gradient in walked.items():
        assert value.grad == approx(gradient)
    assert {run for run, _ in twins.scalars()} <= walked.keys()


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_replays_of_runs_and_of_single_values_agree(twins):
    pairs = twins.scalars()
    tapes = [Tape(weighted_sum(side)) for side in zip(*pairs, strict=True)]
    for run, singles_of_run in twins.leaves:
        if isinstance(run, Value):
            run.data = singles_of_run.data = 0.9 * run.data
        else:
            run.data = [0.9 * x for x in run.data]
            for single, x in zip(singles_of_run, run.data, strict=True):
                single.data = x
    for _ in range(2):  # leaves add up over the calls, what lies between does not
        for tape in tapes:
            tape.forward()
            tape.backward()
    found = [(run.data, run.grad) for run, _ in pairs]
    expected = [(single.data, single.grad) for _, single in pairs]
    for numbers, expected_numbers in zip(
        zip(*found, strict=True), zip(*expected, strict=True), strict=True
    ):
        assert numbers == pytest.approx(expected_numbers, rel=1e-11, abs=1e-11, nan_ok=True)


def test_a_replay_is_not_mixed_with_what_another_tape_shares():
    for build in (lambda x: x * x, lambda x: Vector([x, x * 2])[:1] * x):
        x = Value(2.0)
        shared = build(x)
        shared = shared if isinstance(shared, Value) else shared[0]
        first, second = shared + 1, shared * shared
        x.data = 3.0
        Tape(first).forward()
        assert first.data == 10.0
        # `second` is of before: its gradient is as recorded or refused, but not half of each.
        try:
            second.backward()
        except RuntimeError:
            assert x.grad == 0.0
        else:
            assert x.grad == 4 * 2.0**3


def test_each_scalar_of_a_run_knows_its_operation():
    v, m = Vector([1.0, 2.0]), Matrix([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    s = Value(3.0)
    assert [x.op for x in (v[0], m[1][0], (v + v)[1], (v * s)[0], (2 - v)[0], (v / 2)[0])] == [
        "",
        "",
        "+",
        "*",
        "-",
        "/",
    ]
    assert [x.op for x in ((v**2)[0], (-v)[0], v.exp()[1], v.sum(), v @ v, (m @ v)[0])] == [
        "**",
        "neg",
        "exp",
        "sum",
        "dot",
        "dot",
    ]
    assert v[0].children == v[0].local_grads == m[2][1].children == m[0:2, 1:][0][0].children == ()
    assert (v * s)[1].children == (v[1], s)
    assert (v * s)[1].local_grads == (3.0, 2.0)
    assert (v - 5)[1].children[0] == v[1]
    assert v.exp()[1].children == (v[1],)
    assert set(v.sum().children) == set(v)
    assert set((m @ v)[1].children) == {*m[1], *v}
    (copied,) = concat([v, v])[3].children
    assert copied == v[1]
    (copied,) = Matrix([v, v])[1][0].children
    assert copied == v[0]


def test_leaves_have_no_children_after_their_data_was_assigned():
    v, m = Vector([1.0, 2.0]), Matrix([[1.0, 2.0]])
    v.data, m.data = 0.0, [[3.0, 4.0]]
    assert v[0].children == m[0][1].children == ()
    assert v[0].op == m[0][1].op == ""


# ---------------------------------------------------------------- changes after the recording

# v, w and m: two Vectors of length 2 and a Matrix of [2, 2]
RECORDED = {
    "times": lambda run: (run["v"] * run["w"]).sum(),
    "by": lambda run: (run["v"] / run["w"]).sum(),
    "square": lambda run: (run["v"] ** 2).sum(),
    "exp": lambda run: run["v"].exp().sum(),
    "softmax": lambda run: run["v"].softmax()[0],
    "dot": lambda run: run["v"] @ run["w"],
    "matvec": lambda run: (run["m"] @ run["v"])[0],
    "vecmat": lambda run: (run["v"][:2] @ run["m"]).sum(),
}


@pytest.mark.parametrize("compute", RECORDED.values(), ids=RECORDED)
@pytest.mark.parametrize("change", ["vector", "element", "slice"])
def test_changed_data_in_a_run_is_refused_before_any_grad_is_touched(compute, change):
    v, w, m = Vector([1.0, 2.0]), Vector([3.0, 4.0]), Matrix([[1.0, 2.0], [3.0, 4.0]])
    root = compute({"v": v, "w": w, "m": m}) * 2
    v.grad = 7.0
    root.grad = 5.0
    if change == "vector":
        v.data = [1.5, 2.5]
    elif change == "element":
        v[1].data = 9.0
    else:
        v[1:].data = [9.0]
    with pytest.raises(RuntimeError, match="changed after"):
        root.backward()
    assert (v.grad, w.grad, root.grad) == ([7.0, 7.0], [0.0, 0.0], 5.0)
    assert m.grad == [[0.0, 0.0], [0.0, 0.0]]
    compute({"v": v, "w": w, "m": m}).backward()
    assert v.grad != [7.0, 7.0]


def test_changed_data_of_a_result_is_refused():
    v = Vector([1.0, 2.0])
    e = v.exp()
    e.data = [1.0, 1.0]
    with pytest.raises(RuntimeError, match="changed after"):
        e.sum().backward()
    assert v.grad == [0.0, 0.0]


def test_linear_operations_keep_their_gradient_when_data_changes():
    v, w = Vector([1.0, 2.0]), Vector([3.0, 4.0])
    root = (concat([v + w, v - w, -v])).sum()
    v.data = 100.0
    root.backward()
    assert (v.grad, w.grad) == ([1.0, 1.0], [0.0, 0.0])


# ---------------------------------------------------------------- the layers


@settings(max_examples=60, deadline=None)
@given(st.data(), lengths, lengths)
def test_layers_on_runs_and_on_lists_are_the_same(data, n, rows):
    x = data.draw(st.lists(numbers, min_size=n, max_size=n))
    w = [data.draw(st.lists(numbers, min_size=n, max_size=n)) for _ in range(rows)]
    for layer in (softmax, rmsnorm):
        v, scalars = Vector(x), singles(x)
        result, expected = layer(v), layer(scalars)
        assert isinstance(result, Vector)
        assert isinstance(expected, list)
        check_same(result, [v], expected, [scalars])
    v, m, scalars, scalar_m = Vector(x), Matrix(w), singles(x), [singles(row) for row in w]
    check_same(linear(v, m), [v, *m], linear(scalars, scalar_m), [scalars, *scalar_m])


@pytest.mark.parametrize(
    "layer",
    [softmax, rmsnorm, lambda x: linear(x, Matrix([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]]))],
)
def test_layers_match_finite_differences(layer):
    data = [0.3, -1.2, 0.8]
    v = Vector(data)
    weighted_sum(layer(v)).backward()
    for k, gradient in enumerate(v.grad):
        ends = []
        for shift in (1e-5, -1e-5):
            moved = [x + shift * (i == k) for i, x in enumerate(data)]
            ends.append(weighted_sum(layer(Vector(moved))).data)
        assert gradient == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-9)


def test_what_the_layers_are_for():
    assert linear(Vector([1.0, 2.0]), Matrix([[3.0, 4.0], [5.0, 6.0]])).data == [11.0, 17.0]
    assert sum(softmax(Vector([1.0, 2.0, 3.0])).data) == pytest.approx(1.0, abs=1e-15)
    normal = rmsnorm(Vector([3.0, -4.0, 12.0])).data
    assert sum(x * x for x in normal) / 3 == pytest.approx(1.0, abs=1e-6)
    assert rmsnorm(Vector([0.0, 0.0])).data == [0.0, 0.0]
    with pytest.raises(ValueError, match="zip"):
        linear(singles([1.0, 2.0]), [singles([1.0])])


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([1e308, -1e308, 0.0], [1.0, 0.0, 0.0]),
        ([1000.0, 1000.0], [0.5, 0.5]),
        ([-1000.0, -1001.0], [1 / (1 + math.exp(-1)), 1 / (1 + math.e)]),
        ([-math.inf, 0.0], [0.0, 1.0]),
        ([1e-300, -1e-300], [0.5, 0.5]),
        ([5.0], [1.0]),
    ],
)
def test_softmax_of_huge_and_small_logits(logits, expected):
    v = Vector(logits)
    result = softmax(v)
    assert result.data == pytest.approx(expected, rel=1e-12)
    result[0].backward()
    assert all(math.isfinite(g) for g in v.grad)


def test_runs_give_infinities_and_nan_where_numbers_would_raise():
    zero = Vector([0.0, 1.0, -1.0])
    assert (1 / zero).data == [math.inf, 1.0, -1.0]
    assert zero.log().data[:2] == [-math.inf, 0.0]
    assert math.isnan(zero.log().data[2])
    assert math.isnan(zero.sqrt().data[2])
    assert (zero * 1000).exp().data == [1.0, math.inf, 0.0]
    nan = Vector([math.nan, 1.0])
    for run in (nan + 1, nan * 0, -nan, nan.exp(), nan.relu(), nan.tanh(), nan.softmax()):
        assert math.isnan(run.data[0])
    assert math.isnan(nan.sum().data)
    assert math.isnan((nan @ nan).data)


# ---------------------------------------------------------------- shapes and indices

V2, V3 = Vector([1.0, 2.0]), Vector([1.0, 2.0, 3.0])
M23 = Matrix([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: V2 + V3, "2 and 3"),
        (lambda: V3**V2, "3 and 2"),
        (lambda: V2 * Vector([1.0]), "2 and 1"),
        (lambda: V2 @ V3, "2 and 3"),
        (lambda: M23 @ V2, "3 columns, 2 elements"),
        (lambda: V3 @ M23, "3 elements, 2 rows"),
        (lambda: Vector([]), "at least one"),
        (lambda: Matrix([]), "at least one"),
        (lambda: Matrix([[], []]), "at least 1"),
        (lambda: Matrix([[1.0], [1.0, 2.0]]), "1 and 2"),
        (lambda: Matrix([V2, V3]), "2 and 3"),
        (lambda: Matrix([V2, [1.0]]), "2 and 1"),
        (lambda: Matrix([1.0, 2.0]), "sequence"),
        (lambda: Matrix([Value(1.0)]), "sequence"),
        (lambda: concat([]), "at least one"),
    ],
)
def test_shapes_that_do_not_fit(compute, message):
    with pytest.raises(ValueError, match=message):
        compute()


@pytest.mark.parametrize(
    "compute",
    [
        lambda: V2[2],
        lambda: V2[-3],
        lambda: V2[2:],
        lambda: V2[1:1],
        lambda: V3[::2],
        lambda: V3[::-1],
        lambda: M23[2],
        lambda: M23[-3],
        lambda: M23[2:],
        lambda: M23[:, 3:],
        lambda: M23[:, ::2],
        lambda: M23[0][3],
        lambda: V2[2**63 - 1],
        lambda: V2[-(2**63)],
    ],
)
def test_indices_outside_raise_index_errors(compute):
    with pytest.raises(IndexError):
        compute()


@pytest.mark.parametrize(
    "compute",
    [
        lambda: V2[1.0],
        lambda: V2["0"],
        lambda: V2[0, 1],
        lambda: M23[0, 1],
        lambda: M23[:, 1],
        lambda: M23[:, :, :],
        lambda: M23[None],
        lambda: V2 @ 3,
        lambda: V2 @ Value(1.0),
        lambda: Value(1.0) @ V2,
        lambda: M23 @ M23,
        lambda: M23 + 1,
        lambda: 1 + M23,
        lambda: V2 * M23,
        lambda: -M23,
        lambda: M23.exp(),
        lambda: V2 - [1.0, 2.0],
        lambda: V2 + "x",
        lambda: V2 + None,
        lambda: Vector([1.0, "x"]),
        lambda: Vector([Value(1.0), None]),
        lambda: Vector([[1.0]]),
        lambda: Vector(3),
        lambda: Matrix([[1.0], ["x"]]),
        lambda: Matrix([[1.0], None]),
        lambda: Matrix(3),
        lambda: concat([1.0]),
        lambda: concat([M23]),
        lambda: concat([V2, None]),
    ],
)
def test_what_has_no_meaning_raises_type_errors(compute):
    with pytest.raises(TypeError):
        compute()


@pytest.mark.parametrize("bad", [[1.0], [1.0, 2.0, 3.0], [], [1.0, "x"], "ab", None, [None, 1.0]])
def test_an_assignment_that_does_not_fit_changes_nothing(bad):
    v, m = Vector([1.0, 2.0]), Matrix([[1.0, 2.0], [3.0, 4.0]])
    v.grad, m.grad = 5.0, 6.0
    for target in (v, m[0]):
        for name in ("data", "grad"):
            with pytest.raises((TypeError, ValueError)):
                setattr(target, name, bad)
    for rows in (bad, [[9.0, 9.0], bad], [[9.0, 9.0]], [[9.0, 9.0]] * 3):
        for name in ("data", "grad"):
            with pytest.raises((TypeError, ValueError)):
                setattr(m, name, rows)
    assert (v.data, v.grad) == ([1.0, 2.0], [5.0, 5.0])
    assert (m.data, m.grad) == ([[1.0, 2.0], [3.0, 4.0]], [[6.0, 6.0], [6.0, 6.0]])


def test_an_assignment_goes_to_every_view():
    m = Matrix([[1.0, 2.0], [3.0, 4.0]])
    row, element, column = m[1], m[1][0], m[:, :1]
    m.data = [[5, 6], [7, 8]]
    assert (row.data, element.data, column.data) == ([7.0, 8.0], 7.0, [[5.0], [7.0]])
    element.data = -1
    column.grad = 2
    assert m.data == [[5.0, 6.0], [-1.0, 8.0]]
    assert m.grad == [[2.0, 0.0], [2.0, 0.0]]
    row.data = (x for x in (1, 2))
    assert element.data == 1.0
    m.grad = 0
    assert element.grad == 0.0


def test_data_and_grad_are_copies():
    v = Vector([1.0, 2.0])
    v.data[0] = 9.0
    v.grad[0] = 9.0
    assert (v.data, v.grad) == ([1.0, 2.0], [0.0, 0.0])


def test_handles_of_runs_are_equal_when_they_show_the_same_scalars():
    v, m = Vector([1.0, 2.0]), Matrix([[1.0, 2.0], [3.0, 4.0]])
    assert v[:] == v
    assert v[:1] != v
    assert v[:1] != v[0]
    assert m[0] == m[0][:]
    assert m[0] != m[1]
    assert m[:, :1] == m[:, :1]
    assert m[:1] != m[0]
    assert Vector([1.0]) != Vector([1.0])
    assert len({v, v[:], v[0], v[0:1]}) == 3


def test_repr_and_len():
    assert repr(Vector([1.0, 2.5])) == "Vector([1, 2.5], length 2)"
    assert "..." in repr(Vector([1.0] * 100))
    assert len(Vector([1.0] * 100)) == 100
    assert repr(M23) == "Matrix(2 rows of 3)"
    assert (len(M23), M23.shape) == (2, (2, 3))


# ---------------------------------------------------------------- no_grad


def is_recording():
    return (Value(1.0) + Value(1.0)).children != ()


def test_no_grad_makes_leaves_of_every_kind():
    v, m, s = Vector([1.0, 2.0]), Matrix([[1.0, 2.0], [3.0, 4.0]]), Value(2.0)
    with no_grad():
        runs = [v * v, v + s, 2**v, v.exp(), v.softmax(), m @ v, v @ m, concat([v, s])]
        runs += [Vector([s, s]), *Matrix([v, v])]
        results = [v.sum(), v @ v, *[run[0] for run in runs]]
    assert [x.children for x in results] == [()] * len(results)
    sum(results).backward()
    assert (v.grad, s.grad, m.grad) == ([0.0, 0.0], 0.0, [[0.0, 0.0], [0.0, 0.0]])
    assert results[0].grad == 1.0


def test_no_grad_nests_and_ends_with_an_exception():
    with no_grad():
        with no_grad():
            assert not is_recording()
        assert not is_recording()
        with pytest.raises(ZeroDivisionError), no_grad():
            Value(1.0) / 0
        assert not is_recording()
    assert is_recording()
    with pytest.raises(ValueError, match="2 and 3"), no_grad():
        V2 + V3
    assert is_recording()


NESTED_IN_ITSELF = """
from llmhard import Value, no_grad
recording = lambda: (Value(1.0) + Value(1.0)).children != ()
block = no_grad()
with block:
    with block:
        assert not recording()
    assert not recording()
assert recording()
"""


def test_one_no_grad_used_inside_itself():
    # A process of its own: what goes wrong here would go on in every later test.
    subprocess.run([sys.executable, "-c", NESTED_IN_ITSELF], check=True)


# ---------------------------------------------------------------- bytes


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 5))
def test_bytes_there_and_back(data, rows, cols):
    row = st.lists(st.floats(allow_nan=False), min_size=cols, max_size=cols)
    numbers = data.draw(st.lists(row, min_size=rows, max_size=rows))
    content = Matrix(numbers).tobytes()
    assert len(content) == 8 * rows * cols
    for source in (content, bytearray(content), memoryview(content)):
        back = Matrix.frombytes(source, rows, cols)
        assert back.shape == (rows, cols)
        assert back.data == numbers
        assert back.tobytes() == content
    assert back[0][0].children == ()


@pytest.mark.parametrize(
    ("content", "rows", "cols"),
    [
        (b"", 0, 0),
        (b"", 0, 1),
        (bytes(8), 1, 0),
        (bytes(8), -1, -1),
        (bytes(32), -2, -2),
        (bytes(7), 1, 1),
        (bytes(9), 1, 1),
        (bytes(16), 1, 1),
        (bytes(8), 1, 2),
        (b"", 2**61, 1),
        (b"", 2**32, 2**32),
        (b"", 2**62, 2**62),
        (bytes(8), 2**61 + 1, 1),
        (bytes(8), 1, 2**61 + 1),
        (bytes(32), 2**62 + 2, 2),
        (bytes(8), 2**63 - 1, 2**63 - 1),
        (bytes(8 * 67194), 2147437309, 1073764994),  # the product is 67194 + 2**61
    ],
)
def test_bytes_of_the_wrong_size(content, rows, cols):
    with pytest.raises(ValueError, match="do not fit"):
        Matrix.frombytes(content, rows, cols)


def test_what_is_not_bytes():
    for content in (None, "12345678", [1.0], 3):
        with pytest.raises((TypeError, ValueError)):
            Matrix.frombytes(content, 1, 1)
    with pytest.raises(TypeError):
        Matrix.frombytes(bytes(8), 1.0, 1)
