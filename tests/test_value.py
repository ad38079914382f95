"""Single Values: numbers, gradients, errors, and programs written for micrograd and microgpt."""

import math
import operator
import random
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from numbers import Real

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from solutions import gradients, sizes_of_paths
from solutions import value as reference

from llmhard import Value, Vector, no_grad
from llmhard.autograd import Tape

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
}
UNARY = ("neg", "exp", "log", "relu", "tanh", "sqrt")
NUMBERS = (-3, -2, -1.25, -1, -0.5, 0, 0.5, 1, 1.75, 2, 3)


# ---------------------------------------------------------------- random programs

draws = st.lists(
    st.tuples(
        st.sampled_from([*BINARY, *UNARY, "sum"]),
        st.integers(0, 30),
        st.integers(0, 30),
        st.sampled_from(NUMBERS),
        st.sampled_from(["value value", "value number", "number value"]),
    ),
    min_size=1,
    max_size=10,
)
leaf_data = st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=4)


def method(name, x):
    return -x if name == "neg" else getattr(x, name)()


def method_of_reference(name, x):
    """The workbook's Value has no tanh and sqrt: it does not need them."""
    if name == "tanh":
        return reference.Value(math.tanh(x.data), (x,), (1 - math.tanh(x.data) ** 2,))
    if name == "sqrt":
        return reference.Value(math.sqrt(x.data), (x,), (0.5 / math.sqrt(x.data),))
    return method(name, x)


def in_decimal(name, x):
    if name == "tanh":
        power = (2 * x).exp()
        return (power - 1) / (power + 1)
    if name == "relu":
        return max(x, Decimal(0))
    return {"neg": Decimal.__neg__, "exp": Decimal.exp, "log": Decimal.ln}.get(name, Decimal.sqrt)(
        x
    )


def is_safe(op, a, b):
    """True if the operation is far from the edges of its domain and from the kink of relu."""
    if op in ("/", "/="):
        return abs(b) > 0.3
    if op in ("**", "**="):
        return a > 0.3 or (a < -0.3 and isinstance(b, int))
    return {"log": a > 0.3, "sqrt": a > 0.3, "relu": abs(a) > 0.01}.get(op, True)


def plan(data, drawn):
    """Turn random draws into a program whose every step is smooth and of moderate size."""
    pool = [reference.Value(x) for x in data]
    operands = list(range(len(pool)))
    program = []

    def append(*step):
        program.append(step)
        pool.append(execute_step(step, pool, unary=method_of_reference))

    for op, i, j, number, kind in drawn:
        i, j = operands[i % len(operands)], operands[j % len(operands)]
        a, b = pool[i].data, pool[j].data
        if op in BINARY and kind != "value value":
            a, b = (a, number) if kind == "value number" else (number, b)
        append(*((op, i, j, number, kind) if is_safe(op, a, b) else ("tanh", i, j, number, kind)))
        if abs(pool[-1].data) > 4:
            append("tanh", len(pool) - 1, 0, 0, kind)
        operands.append(len(pool) - 1)
    return program


def execute_step(step, pool, number_type=None, unary=method):
    op, i, j, number, kind = step
    number = number_type(number) if number_type else number
    if op == "sum":
        return sum([pool[i], pool[j], pool[i]])
    if op in UNARY:
        return unary(op, pool[i])
    a = number if kind == "number value" else pool[i]
    b = number if kind == "value number" else pool[j]
    return BINARY[op](a, b)


def execute(program, leaves, **kinds):
    """The sum of all results, so that each of them matters."""
    pool = list(leaves)
    for step in program:
        pool.append(execute_step(step, pool, **kinds))
    return sum(pool[1:], pool[0])


@settings(max_examples=250, deadline=None)
@given(leaf_data, draws)
def test_gradients_match_finite_differences_and_the_reference(data, drawn):
    program = plan(data, drawn)
    leaves = [Value(x) for x in data]
    root = execute(program, leaves)
    root.backward()

    expected_leaves = [reference.Value(x) for x in data]
    expected = execute(program, expected_leaves, unary=method_of_reference)
    expected.backward()
    scale = sizes_of_paths(expected)
    assert root.data == pytest.approx(expected.data, rel=1e-12, abs=1e-12)
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        assert abs(leaf.grad - expected_leaf.grad) <= 1e-11 * (1 + scale[expected_leaf])

    with localcontext() as context:  # 50 digits: a step this small leaves no truncation error
        context.prec = 50
        step = Decimal("1e-20")
        for k, leaf in enumerate(leaves):
            ends = []
            for shift in (step, -step):
                moved = [Decimal(x) for x in data]
                moved[k] += shift
                ends.append(execute(program, moved, number_type=Decimal, unary=in_decimal))
            difference = float((ends[0] - ends[1]) / (2 * step))
            assert abs(leaf.grad - difference) <= 1e-9 * (1 + scale[expected_leaves[k]])


@settings(max_examples=100, deadline=None)
@given(leaf_data, draws)
def test_what_is_recorded_suffices_to_differentiate(data, drawn):
    root = execute(plan(data, drawn), [Value(x) for x in data])
    root.backward()
    for value, gradient in gradients(root).items():
        assert value.grad == pytest.approx(gradient, rel=1e-12, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(leaf_data, draws)
def test_a_replay_is_the_same_as_a_new_recording(data, drawn):
    program = plan(data, drawn)
    leaves = [Value(x) for x in data]
    tape = Tape(execute(program, leaves))
    moved = [0.999 * x for x in data]
    try:
        fresh = [Value(x) for x in moved]
        expected = execute(program, fresh)
    except ArithmeticError:
        assume(False)
    expected.backward()
    for leaf, x in zip(leaves, moved, strict=True):
        leaf.data = x
    tape.forward()
    tape.backward()
    assert tape.root.data == expected.data
    assert [leaf.grad for leaf in leaves] == [leaf.grad for leaf in fresh]


# ---------------------------------------------------------------- backward


def test_all_paths_add_up():
    x = Value(3.0)
    y = x * x
    z = y * y + y + x + x
    z.backward()
    assert x.grad == 4 * 27 + 6 + 2
    assert y.grad == 19
    assert z.grad == 1


def test_only_what_the_root_depends_on_receives_gradient():
    x, y = Value(2.0), Value(3.0)
    shared = x * 5
    root = shared * 2
    later = root * y
    beside = shared + y
    root.backward()
    assert (x.grad, shared.grad, root.grad) == (10, 2, 1)
    assert (y.grad, later.grad, beside.grad) == (0, 0, 0)


def test_a_second_backward_adds_exactly_the_same():
    x = Value(1.5)
    y = x * x
    z = (y * x).tanh()
    z.backward()
    once = [v.grad for v in (x, y, z)]
    z.backward()
    assert [v.grad for v in (x, y, z)] == [2 * g for g in once]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0)])
@pytest.mark.parametrize("from_vector", [False, True])
def test_two_roots_over_shared_nodes_add_up(order, from_vector):
    def build():
        if from_vector:
            v = Vector([0.5, -1.25]) * 1.0
            a, b = v
            shared = (v * v).softmax()[0]
        else:
            a, b = Value(0.5), Value(-1.25)
            shared = (a * b).tanh()
        inner = shared * a
        return (inner * b + shared, inner.exp() * shared), (a, b, shared, inner)

    expected = [0.0] * 4
    for k in order:
        roots, values = build()
        roots[k].backward()
        expected = [e + v.grad for e, v in zip(expected, values, strict=True)]
    roots, values = build()
    for k in order:
        roots[k].backward()
    assert [v.grad for v in values] == pytest.approx(expected, rel=1e-14)


def test_backward_of_an_inner_value_and_then_of_what_is_above_it():
    x = Value(2.0)
    y = x * 3
    z = y * y
    y.backward()
    z.backward()
    assert (x.grad, y.grad, z.grad) == (3 + 36, 1 + 12, 1)


def test_backward_of_a_leaf():
    x = Value(2.0)
    x.backward()
    x.backward()
    assert x.grad == 2


def test_an_assigned_gradient_is_added_to_but_not_passed_on():
    x = Value(2.0)
    y = x * 3
    z = y * 5
    x.grad, y.grad, z.grad = 100, 1000, 10000
    z.backward()
    assert (x.grad, y.grad, z.grad) == (115, 1005, 10001)
    y.grad = 0
    assert y.grad == 0.0


def test_data_assigned_after_recording_leaves_single_values_as_recorded():
    x = Value(2.0)
    y = x * x
    z = (y.exp() + 1).log() / y**x
    z.backward()
    expected = x.grad
    x.grad = 0.0
    x.data, y.data, z.data = 50.0, -7.0, math.nan
    z.backward()
    assert x.grad == expected
    assert (x.data, y.data) == (50.0, -7.0)


def test_a_training_loop_in_place():
    x = Value(0.0)
    for _ in range(100):
        loss = (x - 3) ** 2
        loss.backward()
        x.data -= 0.1 * x.grad
        x.grad = 0
    assert x.data == pytest.approx(3.0)


DEEP = 2_000_000


def test_a_chain_of_two_million_operations():
    x, step = Value(1.0), Value(2.0)
    y = x
    for _ in range(DEEP):
        y = y + step
    assert y.data == 1.0 + 2.0 * DEEP
    y.backward()
    assert (x.grad, step.grad) == (1.0, DEEP)
    del y


def test_a_deep_chain_of_vectors_and_views():
    leaf, step = Vector([1.0, 2.0, 3.0]), Vector([0.5, 0.5, 0.5])
    v = leaf
    for _ in range(100_000):
        v = v + step
        v = Vector([v[2], *v[:2]])
    root = v[0] + 2 * v[1]
    root.backward()
    turned = 100_000 % 3
    expected = [1.0, 2.0, 0.0]
    assert leaf.grad == expected[turned:] + expected[:turned]
    assert step.grad == pytest.approx([100_000.0] * 3, abs=3)
    del root, v


# ---------------------------------------------------------------- numbers and errors

edges = [0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 710.0, 1e308, 5e-324, math.inf, -math.inf, math.nan]
any_float = st.sampled_from(edges) | st.floats()


def outcome(function, *arguments):
    """The number, or the type of the error."""
    try:
        result = function(*arguments)
    except (ArithmeticError, ValueError) as error:
        return type(error)
    if isinstance(result, complex):
        return ValueError
    return result.data if isinstance(result, Value) else result


def agrees(found, expected):
    if isinstance(found, type) or isinstance(expected, type):
        return (
            isinstance(found, type) and isinstance(expected, type) and issubclass(found, expected)
        )
    both_nan = math.isnan(found) and math.isnan(expected)
    return both_nan or found == expected or math.isclose(found, expected, rel_tol=1e-14)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(["+", "-", "*", "/", "**"]), any_float, any_float)
@example("**", -math.inf, 0.5)
@example("**", 0.0, -math.inf)
@example("**", -4.6e16, 18.5)
def test_values_compute_and_refuse_what_floats_do(op, a, b):
    expected = outcome(BINARY[op], a, b)
    if op == "**" and a < 0.0 and math.isfinite(a) and math.isfinite(b) and b % 1:
        assert expected in (ValueError, OverflowError)  # a complex number, if not too large
        expected = ValueError
    for x, y in ((Value(a), Value(b)), (Value(a), b), (a, Value(b))):
        assert agrees(outcome(BINARY[op], x, y), expected), (op, a, b)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["exp", "log", "tanh", "sqrt"]), any_float)
def test_functions_compute_and_refuse_what_math_does(name, a):
    expected = outcome(getattr(math, name), a)
    assert agrees(outcome(getattr(Value(a), name)), expected), (name, a)


@pytest.mark.parametrize(
    ("compute", "error", "message"),
    [
        (lambda: Value(1) / 0, ZeroDivisionError, "division of 1.0 by zero"),
        (lambda: 2 / Value(0), ZeroDivisionError, "division of 2.0 by zero"),
        (lambda: Value(0) ** -1, ZeroDivisionError, "negative power"),
        (lambda: Value(-2) ** 0.5, ValueError, "not a real number"),
        (lambda: (-2) ** Value(0.5), ValueError, "not a real number"),
        (lambda: Value(10.0) ** 400, OverflowError, "too large"),
        (lambda: Value(0).log(), ValueError, "log"),
        (lambda: Value(-1).log(), ValueError, "log"),
        (lambda: Value(-1).sqrt(), ValueError, "sqrt"),
        (lambda: Value(1000).exp(), OverflowError, "exp"),
        (lambda: Value(10**400), OverflowError, "too large"),
        (lambda: Value(1) + 10**400, OverflowError, "too large"),
    ],
)
def test_domain_errors_are_clear(compute, error, message):
    with pytest.raises(error, match=message):
        compute()


@pytest.mark.parametrize("bad", ["1", None, [1.0], (), 1j, {}], ids=repr)
def test_what_is_not_a_real_number_is_refused(bad):
    kind = type(bad).__name__
    x = Value(2.0)
    for op in BINARY.values():
        with pytest.raises(TypeError):
            op(x, bad)
        with pytest.raises(TypeError):
            op(bad, x)
    with pytest.raises(TypeError, match=kind):
        x + bad
    with pytest.raises(TypeError, match=kind):
        Value(bad)
    with pytest.raises(TypeError, match=kind):
        x.data = bad
    with pytest.raises(TypeError, match=kind):
        x.grad = bad
    assert (x.data, x.grad) == (2.0, 0.0)


class Half:
    """A real number as numpy has them: not a float, but registered as Real."""

    def __float__(self):
        return 0.5


Real.register(Half)


@pytest.mark.parametrize("number", [True, 3, 2.5, Fraction(1, 4), Half()])
def test_every_real_number_will_do(number):
    x = Value(2.0)
    plain = float(number)
    assert (x + number).data == 2.0 + plain
    assert (x - number).data == 2.0 - plain
    assert (x * number).data == 2.0 * plain
    assert (x / number).data == 2.0 / plain
    assert (x**number).data == 2.0**plain
    assert (number + x).data == 2.0 + plain
    assert Value(number).data == plain
    x.data = number
    x.grad = number
    assert (x.data, x.grad) == (plain, plain)
    assert type(x.data) is type(x.grad) is float


def test_nan_and_inf_pass_through():
    for name in UNARY:
        assert math.isnan(method(name, Value(math.nan)).data), name
    assert Value(math.inf).exp().data == math.inf
    assert Value(-math.inf).exp().data == 0.0
    assert Value(-math.inf).relu().data == 0.0
    assert Value(math.inf).relu().data == math.inf
    x = Value(math.inf)
    y = x * 0
    y.backward()
    assert math.isnan(y.data)
    assert x.grad == 0.0


def test_powers_at_the_edges():
    def value_and_slopes(base, exponent):
        a, b = Value(base), Value(exponent)
        y = a**b
        y.backward()
        return y.data, a.grad, b.grad

    assert value_and_slopes(3.0, 0.0) == (1.0, 0.0, math.log(3))
    assert value_and_slopes(0.0, 0.0) == (1.0, 0.0, 0.0)
    assert value_and_slopes(0.0, 2.0) == (0.0, 0.0, 0.0)
    assert value_and_slopes(0.0, 1.0) == (0.0, 1.0, 0.0)
    assert value_and_slopes(0.0, 0.5) == (0.0, math.inf, 0.0)
    data, slope, slope_of_exponent = value_and_slopes(-2.0, 3.0)
    assert (data, slope) == (-8.0, 12.0)
    assert math.isnan(slope_of_exponent)  # real only where the exponent is whole

    x = Value(-2.0)
    y = x**3 + x**2 + x**0
    y.backward()
    assert (y.data, x.grad) == (-3.0, 8.0)


def test_relu_has_slope_zero_at_zero():
    x = Value(0.0)
    x.relu().backward()
    assert x.grad == 0.0


def test_repr():
    x = Value(2)
    x.grad = -0.5
    assert repr(x) == "Value(data=2.0, grad=-0.5)"


def test_handles_are_equal_when_they_stand_for_the_same_scalar():
    x, y = Value(1.0), Value(1.0)
    assert x == x
    assert x != y
    assert x != 1.0
    (again,) = (-x).children
    assert again is x
    assert len({x, again, y}) == 2
    v = Vector([1.0, 2.0])
    assert v[0] == v[0]
    assert v[0] == v[-2]
    assert v[0] != v[1]
    assert hash(v[1]) == hash(v[1])
    assert v != v[0]


# ---------------------------------------------------------------- operations of one's own


@pytest.mark.parametrize("n", [1, 2, 3, 1000])
def test_custom_operations(n):
    xs = [Value(float(i)) for i in range(n)]
    slopes = [i - 0.5 for i in range(n)]
    y = Value(7, xs, slopes)
    assert y.data == 7.0
    assert y.children == tuple(xs)
    assert y.local_grads == tuple(slopes)
    (y * 2).backward()
    assert [x.grad for x in xs] == [2 * s for s in slopes]


def test_a_custom_operation_may_use_a_value_twice_and_a_generator():
    x = Value(3.0)
    y = Value(9.0, (x for _ in range(2)), [3, 3])
    y.backward()
    assert x.grad == 6.0


@pytest.mark.parametrize(
    ("children", "local_grads"),
    [
        ([Value(1)], [1, 2]),
        ([Value(1), Value(2)], [1]),
        ([Value(1)], ()),
        ((), [1]),
        ([Value(1)], "1"),
        ([Value(1)], ["1"]),
        ([Value(1)], [None]),
        ([1.0], [1.0]),
        ([Vector([1.0])], [1.0]),
        ([None], [1.0]),
        (Value(1), [1.0]),
    ],
)
def test_custom_operations_that_do_not_fit_are_refused(children, local_grads):
    with pytest.raises((TypeError, ValueError)):
        Value(1.0, children, local_grads)


def test_a_subclass_computes_its_own_value():
    class Double(Value):
        def __init__(self, x):
            super().__init__(2 * x.data, (x,), (2.0,))

    x = Value(4.0)
    double = Double(x)
    (double * double).backward()
    assert (double.data, x.grad) == (8.0, 32.0)


def test_what_was_computed_survives_a_second_init_of_its_input():
    x = Value(2.0)
    y = x * x
    (old, _) = y.children
    try:
        x.__init__(3)
    except TypeError:
        assert x.data == 2.0
    else:
        assert x.data == 3.0
        assert x != old
    y.backward()
    assert (y.data, old.data, old.grad) == (4.0, 2.0, 4.0)


# ---------------------------------------------------------------- looking inside


def test_introspection():
    x, y = Value(2.0), Value(5.0)
    expected = [
        (x + y, "+", (x, y), (1, 1)),
        (x - y, "-", (x, y), (1, -1)),
        (x * y, "*", (x, y), (5, 2)),
        (x / y, "/", (x, y), (1 / 5, -2 / 25)),
        (x**y, "**", (x, y), (80, 32 * math.log(2))),
        (-x, "neg", (x,), (-1,)),
        (x.exp(), "exp", (x,), (math.exp(2),)),
        (x.log(), "log", (x,), (0.5,)),
        (x.relu(), "relu", (x,), (1,)),
        (x.tanh(), "tanh", (x,), (1 - math.tanh(2) ** 2,)),
        (y.sqrt(), "sqrt", (y,), (0.5 / math.sqrt(5),)),
        (Value(1, (y, x), (3, 4)), "custom", (y, x), (3, 4)),
        (x, "", (), ()),
    ]
    for value, op, children, local_grads in expected:
        assert value.op == value._op == op
        assert value.children == value._children == children
        assert value.local_grads == value._local_grads == pytest.approx(local_grads, rel=1e-15)
        assert value._prev == set(children)


def test_numbers_in_a_formula_are_leaves():
    x = Value(2.0)
    for y, numbers in ((x + 3, [3.0]), (3 - x, [3.0]), (x**2, [2.0])):
        assert x in y.children
        assert [child.data for child in y.children if child != x] == numbers
        assert all(child.op == "" for child in y.children)
    assert (x + x)._prev == {x}


def test_what_a_value_was_computed_from_cannot_be_assigned():
    for name in ("op", "children", "local_grads"):
        with pytest.raises(AttributeError):
            setattr(Value(1.0), name, ())


def test_without_recording_nothing_is_kept():
    x = Value(2.0)
    with no_grad():
        y = (x * 3 + 1).exp()
        custom = Value(1.0, (x,), (2.0,))
    assert (y.op, y.children, custom.op, custom.children) == ("", (), "", ())
    y.backward()
    custom.backward()
    assert x.grad == 0.0


# ---------------------------------------------------------------- programs in two known styles


class Neuron:
    def __init__(self, number, n_in, rng, nonlinear):
        self.w = [number(rng.uniform(-1, 1)) for _ in range(n_in)]
        self.b = number(0)
        self.nonlinear = nonlinear

    def __call__(self, x):
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.relu() if self.nonlinear else act

    def parameters(self):
        return [*self.w, self.b]


class Layer:
    def __init__(self, number, n_in, n_out, rng, nonlinear):
        self.neurons = [Neuron(number, n_in, rng, nonlinear) for _ in range(n_out)]

    def __call__(self, x):
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self):
        return [p for n in self.neurons for p in n.parameters()]


class MLP:
    def __init__(self, number, sizes, rng):
        last = len(sizes) - 2
        self.layers = [
            Layer(number, *pair, rng, nonlinear=i < last) for i, pair in enumerate(pairwise(sizes))
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]


def micrograd_style(number):
    """Two rings of points, a hinge loss with regularization, gradient descent."""
    rng = random.Random(7)
    model = MLP(number, [2, 6, 5, 1], rng)
    points = [(math.cos(a) * r, math.sin(a) * r) for a in range(6) for r in (0.5, 1.5)]
    labels = [-1, 1] * 6
    history = []
    for step in range(6):
        scores = [model([number(x), number(y)]) for x, y in points]
        losses = [(1 + -yi * si).relu() for yi, si in zip(labels, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        total = data_loss + 1e-4 * sum(p * p for p in model.parameters())
        for p in model.parameters():
            p.grad = 0
        total.backward()
        history.append((total.data, [p.grad for p in model.parameters()]))
        rate = 0.5 - 0.05 * step
        for p in model.parameters():
            p.data -= rate * p.grad
    return history


def microgpt_style(number):
    """A transformer on lists of lists of Values, written out, and Adam over its parameters."""
    rng = random.Random(11)
    vocab, n_embd, n_head, block = 5, 4, 2, 6
    head_dim = n_embd // n_head
    shapes = {
        "wte": (vocab, n_embd),
        "wpe": (block, n_embd),
        "wq": (n_embd, n_embd),
        "wk": (n_embd, n_embd),
        "wv": (n_embd, n_embd),
        "wo": (n_embd, n_embd),
        "up": (4 * n_embd, n_embd),
        "down": (n_embd, 4 * n_embd),
        "head": (vocab, n_embd),
    }
    state = {
        k: [[number(rng.gauss(0, 0.2)) for _ in range(n_in)] for _ in range(n_out)]
        for k, (n_out, n_in) in shapes.items()
    }
    params = [p for matrix in state.values() for row in matrix for p in row]

    def linear(x, w):
        return [sum(wi * xi for wi, xi in zip(wo, x, strict=True)) for wo in w]

    def softmax(scores):
        top = max(s.data for s in scores)
        exps = [(s - top).exp() for s in scores]
        total = sum(exps)
        return [e / total for e in exps]

    def rmsnorm(x):
        ms = sum(xi * xi for xi in x) / len(x)
        scale = (ms + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def gpt(token, pos, keys, values):
        x = [t + p for t, p in zip(state["wte"][token], state["wpe"][pos], strict=True)]
        x = rmsnorm(x)
        residual = x
        x = rmsnorm(x)
        q = linear(x, state["wq"])
        keys.append(linear(x, state["wk"]))
        values.append(linear(x, state["wv"]))
        mixed = []
        for h in range(0, n_embd, head_dim):
            scores = [
                sum(q[h + j] * k[h + j] for j in range(head_dim)) / head_dim**0.5 for k in keys
            ]
            weights = softmax(scores)
            mixed += [
                sum(weights[t] * values[t][h + j] for t in range(len(values)))
                for j in range(head_dim)
            ]
        x = [a + b for a, b in zip(linear(mixed, state["wo"]), residual, strict=True)]
        residual = x
        x = [xi.relu() for xi in linear(rmsnorm(x), state["up"])]
        x = [a + b for a, b in zip(linear(x, state["down"]), residual, strict=True)]
        return linear(x, state["head"])

    m, v = [0.0] * len(params), [0.0] * len(params)
    history = []
    for step in range(4):
        tokens = [0, 3, 1, 4, 1, 2] if step % 2 else [2, 2, 0, 4]
        keys, values, losses = [], [], []
        for pos in range(len(tokens) - 1):
            probs = softmax(gpt(tokens[pos], pos, keys, values))
            losses.append(-probs[tokens[pos + 1]].log())
        loss = (1 / len(losses)) * sum(losses)
        loss.backward()
        history.append((loss.data, [p.grad for p in params]))
        for i, p in enumerate(params):
            m[i] = 0.85 * m[i] + 0.15 * p.grad
            v[i] = 0.99 * v[i] + 0.01 * p.grad**2
            m_hat = m[i] / (1 - 0.85 ** (step + 1))
            v_hat = v[i] / (1 - 0.99 ** (step + 1))
            p.data -= 0.01 * m_hat / (v_hat**0.5 + 1e-8)
            p.grad = 0
    return history


@pytest.mark.parametrize("program", [micrograd_style, microgpt_style])
def test_programs_in_a_known_style_give_the_same_numbers(program):
    computed, expected = program(Value), program(reference.Value)
    for (loss, grads), (expected_loss, expected_grads) in zip(computed, expected, strict=True):
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert grads == pytest.approx(expected_grads, rel=1e-12, abs=1e-14)
    losses = [loss for loss, _ in computed]
    assert len(set(losses)) == len(losses)  # it learns something, so steps are compared, not one
