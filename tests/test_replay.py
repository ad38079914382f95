"""Replays: whatever a Tape computes again has the bits of a new recording, or is refused."""

import gc
import random
import sys
import threading
from contextlib import suppress
from operator import add, mul, sub, truediv
from time import sleep

import pytest
from conftest import bits
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmhard import Matrix, Value, Vector, concat
from llmhard.adam import Adam
from llmhard.autograd import Index, Tape
from llmhard.model import GPT, Config, KVCache
from llmhard.recipe import Recipe
from llmhard.sampler import Reader
from llmhard.tokenizer import BOS
from llmhard.trainer import Recordings, Trainer, TrainingDivergedError, sequence_loss, train

seeds = st.integers(0, 10**6)


def flat(matrix, what="data"):
    return [x for row in getattr(matrix, what) for x in row]


def content(model):
    return [matrix.tobytes() for matrix in model.parameters.values()]


def new_model(seed, *sizes):
    return GPT.initialize(Config(*sizes), random.Random(seed))


def random_matrix(rng, rows, cols):
    return Matrix([[rng.gauss(0, 0.5) for _ in range(cols)] for _ in range(rows)])


@st.composite
def sizes(draw):
    """vocab_size, n_layer, n_embd, n_head, block_size"""
    heads = draw(st.integers(1, 4))
    wide = [n for n in (32, 64) if n % heads == 0]
    narrow = st.integers(1, 9).map(lambda head_dim: heads * head_dim)
    width = draw(st.one_of(narrow, st.sampled_from(wide)) if wide else narrow)
    # The wide ones take long: few layers suffice for them.
    layers = draw(st.integers(1, 3 if width < 32 else 1))
    return draw(st.integers(2, 40)), layers, width, heads, draw(st.integers(2, 20))


# ---------------------------------------------------------------- training


@settings(max_examples=80)
@given(st.data(), sizes(), seeds)
def test_training_by_replay_and_by_recording(data, sizes, seed):
    vocab_size, block_size = sizes[0], sizes[-1]
    batch_size = data.draw(st.integers(1, 3))
    lengths = data.draw(st.lists(st.integers(1, block_size + 3), min_size=1, max_size=3))
    rng = random.Random(seed)
    documents = [
        [BOS, *(rng.randrange(vocab_size) for _ in range(n)), BOS] for n in [*lengths, *lengths]
    ]
    results = []
    for replay in (True, False):
        model = new_model(seed, *sizes)
        recipe = Recipe(2 * len(documents), batch_size, lr=0.05)
        trainer = Trainer(model, documents, recipe, seed, documents[:2], replay)
        trainer.run()
        results.append((bits(trainer.losses), trainer.curve, content(model)))
    assert results[0] == results[1]


def test_a_replay_refuses_the_tokens_that_a_recording_refuses():
    for bad in (-1, 5, 2**40):
        for replay in (True, False):
            model = new_model(1, 5, 1, 4, 1, 6)
            with pytest.raises(IndexError):
                Trainer(model, [[0, 1, 2, 0], [0, 3, bad, 0]], Recipe(4), replay=replay).run()
            with pytest.raises(IndexError):
                Trainer(model, [[0, 1, 2, 0], [0, 3, 1, bad]], Recipe(4), replay=replay).run()


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("width", [8, 32])
def test_a_model_that_diverged_can_be_trained_again(width, batch_size):
    # At 1e160 it is the gradients that are NaN first: they must not stay behind.
    documents = [[BOS, 1, 2, BOS], [BOS, 3, BOS]]
    model, untouched = (new_model(1, 5, 1, width, 2, 6) for _ in range(2))
    with pytest.raises(TrainingDivergedError):
        train(model, documents, Recipe(2, batch_size, lr=1e160))
    assert content(model) == content(untouched)
    assert train(model, documents, Recipe(4)) == train(untouched, documents, Recipe(4))


# ---------------------------------------------------------------- Adam with a tape


class Net:
    """A formula whose matrices meet the optimizer in every way, the same for the same seed."""

    def __init__(self, seed, width, rows, turns):
        rng = random.Random(seed)
        self.table = random_matrix(rng, rows, width)  # only its rows are used
        self.tied = random_matrix(rng, rows, width)  # through rows and through products
        self.square = random_matrix(rng, width, width)  # only through products
        self.sliced = random_matrix(rng, width, width)  # a product with a slice of it
        self.absent = random_matrix(rng, rows, width)  # not in the formula
        self.tokens = [Index(rng.randrange(rows)) for _ in range(turns)]
        losses = []
        for token in self.tokens:
            x = self.table[token] + self.tied[token]
            x = (self.square @ (self.square @ x).relu() + x).tanh()
            x = concat([self.sliced[:2] @ x, x])[2:]
            losses.append(-(self.tied @ x).softmax()[token].log())
        self.tape = Tape(sum(losses) / len(losses))
        self.matrices = [self.table, self.tied, self.square, self.sliced, self.absent]


def compare_steps(make, chosen, prepare=None, steps=3):
    """backward() inside of optimizer.step and before it, from the same start."""
    results = []
    for together in (True, False):
        net = make()
        adam = Adam([net.matrices[i] for i in chosen])
        for step in range(steps):
            net.tape.forward()
            if prepare:
                prepare(net, step)
            if together:
                adam.step(0.05, net.tape)
            else:
                net.tape.backward()
                adam.step(0.05)
        results.append(
            [(m.tobytes(), bits(flat(m, "grad"))) for m in net.matrices]
            + [(m.tobytes(), v.tobytes()) for m, v in zip(adam.m, adam.v, strict=True)]
        )
    assert results[0] == results[1]


@settings(max_examples=120)
@given(
    seeds,
    st.sampled_from([2, 3, 8, 20, 32, 33, 64]),
    st.integers(1, 9),
    st.sampled_from([1, 2, 7, 8, 9, 17]),
    st.permutations(range(5)),
    st.integers(0, 5),
    st.booleans(),
)
def test_a_step_with_a_tape_is_backward_and_a_step(seed, width, rows, turns, order, known, dirty):
    def prepare(net, step):
        if dirty and step != 1:
            rng = random.Random(step)
            for matrix in rng.sample(net.matrices, 3):
                matrix[0][1].grad = rng.gauss(0, 1)

    compare_steps(lambda: Net(seed, width, rows, turns), order[:known], prepare)


def replay(tape, indexes, tokens):
    for index, token in zip(indexes, tokens, strict=True):
        index.value = token
    tape.forward()


@settings(max_examples=10)
@given(sizes(), seeds)
def test_a_step_of_a_model_with_a_batch_is_backward_and_a_step(sizes, seed):
    rng = random.Random(seed)
    tokens = [rng.randrange(sizes[0]) for _ in range(sizes[-1] + 1)]
    results = []
    for together in (True, False):
        model = new_model(seed, *sizes)
        adam, recordings = Adam(list(model.parameters.values())), Recordings(model)
        for _ in range(2):
            recordings.losses([tokens])
            if together:
                adam.step(0.05, recordings.batch)
            else:
                recordings.batch.backward()
                adam.step(0.05)
        results.append(content(model))
    assert results[0] == results[1]


class RowTimesMatrix:
    """A product of one parameter with a row of another, nothing computed in between."""

    def __init__(self, width):
        rng = random.Random(width)
        self.matrices = [random_matrix(rng, 5, width) for _ in range(2)]
        self.tape = Tape((self.matrices[1] @ self.matrices[0][Index(2)]).softmax()[1].log())


@pytest.mark.parametrize("chosen", [(0, 1), (1, 0), (0,), (1,)])
@pytest.mark.parametrize("width", [8, 32])
def test_a_product_with_a_row_of_a_parameter_that_moves_first(width, chosen):
    # The gradient of the product needs the row as it was, whoever is updated first.
    compare_steps(lambda: RowTimesMatrix(width), chosen)


def test_a_refused_step_is_no_step():
    net = Net(1, 32, 4, 3)
    adam = Adam(net.matrices)
    net.tape.forward()
    net.square.data = net.square.data
    before = [m.tobytes() for m in net.matrices]
    with pytest.raises(RuntimeError, match="changed"):
        adam.step(0.1, net.tape)
    assert [m.tobytes() for m in net.matrices] == before
    assert not any(any(flat(m, "grad")) for m in net.matrices)
    assert adam.t == 0


def test_a_second_step_needs_a_forward():
    net = Net(1, 32, 4, 3)
    adam = Adam(net.matrices)
    adam.step(0.1, net.tape)
    with pytest.raises(RuntimeError, match="changed"):
        adam.step(0.1, net.tape)


def test_after_a_step_the_gradients_are_zero_even_if_they_were_none():
    # Of 9, eight go through the vector unit and one does not.
    for bad in ("nan", "inf", "-inf", "1e308"):
        parameter = Matrix([[1.0] * 9])
        parameter.grad = float(bad)
        Adam([parameter]).step(0.1)
        assert parameter.grad == [[0.0] * 9]


# ---------------------------------------------------------------- generation


@settings(max_examples=80)
@given(st.data(), sizes(), seeds)
def test_readers_give_the_logits_of_a_recording(data, sizes, seed):
    vocab_size, block_size = sizes[0], sizes[-1]
    model, rng = new_model(seed, *sizes), random.Random(seed)
    readers = [Reader(model) for _ in range(2)]
    for length in data.draw(st.lists(st.integers(1, block_size), min_size=1, max_size=4)):
        reader = data.draw(st.sampled_from(readers))
        reader.restart()
        cache = KVCache(sizes[1])
        for _ in range(length):
            if rng.random() < 0.3:
                with pytest.raises(IndexError):
                    reader.read(rng.choice([-1, -vocab_size, vocab_size, 2**31, 2**64]))
            token = rng.randrange(vocab_size)
            assert bits(reader.read(token).data) == bits(model(token, cache).data)
        assert len(reader) == length
        if rng.random() < 0.5:
            train(model, [[BOS, rng.randrange(vocab_size), BOS]], Recipe(1))


# ---------------------------------------------------------------- Index


def test_an_index_chooses_in_every_way():
    i, j = Index(0), Index(1)
    m = Matrix([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]])
    v = Vector([1.5, 2.5, 3.5, 4.5])
    tape = Tape(
        m[i].sum()
        + m[i][j] ** 2
        + m[i][1:][j] * 3
        + m[i][1:][0] * 0.25
        + m[1:, 1:][j].sum() * 5
        + (v + v)[i] * 7
        + v[1:][j]
        + v[j] * v[i]
        + m[i] @ m[j]
    )
    for i.value, j.value in [(0, 1), (3, 0), (2, 1), (0, 0), (1, 1), (1, 0)]:
        m.grad, v.grad = 0, 0
        tape.forward()
        tape.backward()
        a, b = i.value, j.value
        twin_m, twin_v = Matrix(m.data), Vector(v.data)
        expected = (
            twin_m[a].sum()
            + twin_m[a][b] ** 2
            + twin_m[a][1 + b] * 3
            + twin_m[a][1] * 0.25
            + (twin_m[1 + b][1] + twin_m[1 + b][2]) * 5
            + twin_v[a] * 2 * 7
            + twin_v[1 + b]
            + twin_v[b] * twin_v[a]
            + twin_m[a] @ twin_m[b]
        )
        expected.backward()
        # These numbers are exact, in whatever order they are added.
        assert (tape.root.data, m.grad, v.grad) == (expected.data, twin_m.grad, twin_v.grad)


def test_an_index_shared_by_two_tapes():
    i, m = Index(0), Matrix([[1.0, 2.0], [3.0, 4.0]])
    row = m[i]
    own, first, second = Tape(m[i].sum()), Tape(row.sum()), Tape(row @ row)
    i.value = 1
    for tape in (own, first, second):
        tape.forward()
    assert (own.root.data, first.root.data, second.root.data) == (7.0, 7.0, 25.0)
    own.backward()
    assert m.grad == [[0.0, 0.0], [1.0, 1.0]]
    # The row itself was chosen again for `second`.
    with pytest.raises(RuntimeError, match="changed"):
        first.backward()
    second.backward()
    assert m.grad == [[0.0, 0.0], [7.0, 9.0]]


def test_an_index_outside_is_refused_before_anything_is_computed():
    i, j = Index(0), Index(1)
    x, m, v = Value(2.0), Matrix([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), Vector([1.0, 2.0])
    tape = Tape(m[i][j] * x + v[i] * x)
    for a, b in [(-1, 0), (2, 0), (0, -1), (0, 3), (-(2**40), 0), (2**40, 0), (1, 3), (2, -3)]:
        x.data = 2.0
        i.value, j.value = 0, 1
        tape.forward()
        i.value, j.value, x.data = a, b, 100.0
        with pytest.raises(IndexError, match="outside"):
            tape.forward()
        assert tape.root.data == 6.0
        i.value, j.value, x.data = 1, 2, 2.0
        tape.forward()
        assert tape.root.data == 16.0
    for make in (lambda: m[Index(-1)], lambda: m[Index(2)], lambda: v[Index(-1)]):
        with pytest.raises(IndexError, match="outside"):
            make()
    for bad in (1.0, "1", None, Value(1.0), [0]):
        with pytest.raises(TypeError):
            Index(bad)
        with pytest.raises(TypeError):
            i.value = bad
    with pytest.raises(IndexError):
        i.value = 2**70
    assert (i.value, int(i), [5, 6][i], Index(Index(1)).value, repr(i)) == (1, 1, 6, 1, "Index(1)")


def test_an_index_changed_between_forward_and_backward():
    i, m = Index(0), Matrix([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    tape = Tape(m[i] @ m[i])
    for value, other in [(1, 2), (0, 1), (2, 50), (1, -1)]:
        i.value = value
        tape.forward()
        i.value = other
        m.grad = 0
        # Also after a forward() that was refused: these are the gradients of what was computed.
        with suppress(IndexError):
            if other in (50, -1):
                tape.forward()
        tape.backward()
        assert m.grad == [[2 * x for x in row] if r == value else [0.0] * 2
                          for r, row in enumerate(m.data)]  # fmt: skip


def test_looking_inside_after_replays():
    i, m = Index(0), Matrix([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    row = m[i]
    chosen, doubled = row[i], row * 2
    y = chosen * 3.0
    tape = Tape(y + doubled.sum() + m[i][1:][0])
    for i.value in (1, 0, 1):
        m.grad = 0
        tape.forward()
        tape.backward()
        expected = [[0.0, 0.0] for _ in range(3)]
        expected[i.value] = [2.0, 3.0]
        expected[i.value][i.value] += 3.0
        assert m.grad == expected
        assert (row.data, row.grad) == (m.data[i.value], expected[i.value])
        assert (chosen.data, chosen.op) == (m.data[i.value][i.value], "")
        assert (chosen.children, chosen.grad) == ((), expected[i.value][i.value])
        assert y.children[0].data == chosen.data
        assert y.local_grads == (3.0, chosen.data)
        assert [c.data for c in doubled[1].children] == [row.data[1], 2.0]
        assert doubled[1].local_grads == (2.0, row.data[1])
        assert doubled[1].children[0].grad == expected[i.value][1]


@settings(max_examples=120)
@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_gradients_land_in_the_chosen_rows(seed, rows, cols):
    rng = random.Random(seed)
    m = random_matrix(rng, rows, cols)
    computed = Matrix([row * 2 for row in m])
    indexes = [Index(rng.randrange(rows)) for _ in range(4)]
    column = Index(rng.randrange(cols))
    tape = Tape(
        sum((m[i] + computed[i]).tanh().sum() * (n + 1) for n, i in enumerate(indexes))
        + computed[indexes[0]][column] * m[indexes[1]][column]
    )
    for _ in range(3):
        for i in indexes:
            i.value = rng.randrange(rows)
        column.value = rng.randrange(cols)
        m.grad = 0
        tape.forward()
        tape.backward()
        at = [i.value for i in indexes]
        twin = Matrix(m.data)
        twice = Matrix([row * 2 for row in twin])
        expected = sum((twin[i] + twice[i]).tanh().sum() * (n + 1) for n, i in enumerate(at))
        expected = expected + twice[at[0]][column.value] * twin[at[1]][column.value]
        expected.backward()
        assert tape.root.data == expected.data
        assert flat(m, "grad") == pytest.approx(flat(twin, "grad"), rel=1e-13, abs=1e-13)


# ---------------------------------------------------------------- single Values


UNARY = [Value.__neg__, Value.exp, Value.log, Value.relu, Value.tanh, Value.sqrt]
BINARY = [add, sub, mul, truediv, pow]
draws = st.lists(
    st.tuples(
        st.integers(0, 10),
        st.integers(0, 99),
        st.one_of(st.integers(0, 99), st.sampled_from([2, 3, -1, 0.5, -0.5, 1, 0])),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


def compute(plan, leaves):
    """All scalars in the order of computing; a float among the operands is a plain number."""
    pool = list(leaves)
    for op, i, j, swap in plan:
        a = pool[i % len(pool)]
        if op < 6:
            pool.append(UNARY[op](a))
            continue
        b = pool[j % len(pool)] if isinstance(j, int) and j > 3 else float(j)
        pool.append(BINARY[op - 6](*((b, a) if swap else (a, b))))
    return [*pool, sum(pool[1:], pool[0])]


numbers = st.one_of(st.floats(0.25, 2.0), st.floats(-2.0, 2.0), st.sampled_from([0.0, -0.0, 1.0]))


def recordable(plan, data):
    try:
        return compute(plan, map(Value, data))
    except ArithmeticError:
        assume(False)


@settings(max_examples=400)
@given(draws, st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=3))
def test_replayed_scalars_have_the_bits_of_a_new_recording(plan, data):
    first, *others = zip(*data, strict=True)
    pool = recordable(plan, first)
    tape = Tape(pool[-1])
    for moved in [*others, first]:
        fresh = recordable(plan, moved)
        fresh[-1].backward()
        # The smallest numbers have a test of their own.
        assume(all(n == 0 or abs(n) > 1e-100 for x in fresh for n in (x.data, x.grad)))
        for leaf, x in zip(pool, moved, strict=False):
            leaf.data = x
            leaf.grad = 0
        for _ in range(2):  # nothing of the first is left
            tape.forward()
        tape.backward()
        assert bits(x.data for x in pool) == bits(x.data for x in fresh)
        assert bits(x.grad for x in pool) == bits(x.grad for x in fresh)
        for x, y in zip(pool, fresh, strict=True):
            assert (x.op, bits(x.local_grads)) == (y.op, bits(y.local_grads))
            assert bits(c.data for c in x.children) == bits(c.data for c in y.children)
        # What lies between holds the gradients of one call, however many there were.
        once = bits(x.grad for x in pool)
        for leaf in pool[: len(first)]:
            leaf.grad = 0
        tape.backward()
        assert bits(x.grad for x in pool) == once


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda a, b: a / b, (0.0, 1e-160)),
        (lambda a, b: a / b, (1e-20, 1e-160)),
        (lambda a, b: a * 1e-10 / b, (1e-290, 1e-308)),
        (lambda a, b: a.log() * b, (1e-308, 1.0)),
        (lambda a, b: a**0.5 * b, (1e-308, 1.0)),
        (lambda a, b: a * b, (1e-310, 1e300)),
    ],
    ids=["0 / b", "a / b", "denormal / b", "log", "root", "product"],
)
def test_numbers_near_the_smallest_have_the_gradients_of_a_recording(make, data):
    # During backward() denormal numbers are zero, but not where a recording knew better.
    gradients = []
    for replay in (True, False):
        a, b = map(Value, data)
        tape = Tape(make(a, b))
        if replay:
            tape.forward()
        tape.backward()
        gradients.append(bits((a.grad, b.grad)))
    assert gradients[0] == gradients[1]


def square_and_double():
    x = Value(3.0)
    y = x * x
    return x, y, y * 2


@pytest.mark.parametrize("kind", ["tape", "value", "grad"])
@pytest.mark.parametrize("which", ["inner", "root"])
def test_what_inner_grads_hold_is_not_passed_on(kind, which):
    # "The grads of the scalars in between are those of this call alone."
    x, y, z = square_and_double()
    tape = Tape(z)
    for _ in range(2):
        tape.forward()
        other = y if which == "inner" else z
        if kind == "tape":
            Tape(other).backward()
        elif kind == "value":
            other.backward()
        else:
            other.grad = 5.0
        x.grad = 0
        tape.backward()
        assert (x.grad, y.grad, z.grad) == (12.0, 2.0, 1.0)


def test_two_tapes_with_one_root():
    x, y, z = square_and_double()
    tapes = [Tape(z), Tape(z), Tape(y)]
    for tape in tapes:
        tape.forward()
    with pytest.raises(RuntimeError, match="changed"):  # y is newer than z
        tapes[0].backward()
    for order in [(0, 1), (1, 0)]:
        tapes[order[0]].forward()
        tapes[order[1]].forward()
        for n in order:
            x.grad = 0
            tapes[n].backward()
            assert (x.grad, y.grad, z.grad) == (12.0, 2.0, 1.0)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from("ffbbbvdt"), st.integers(0, 3)), min_size=6, max_size=30))
def test_overlapping_tapes_in_any_order_are_right_or_refuse(calls):
    """Right: d root / d x where the root's data is what x was when it was computed."""
    x = Value(2.0)
    v = Vector([x, 1.0])
    shared = x * x  # 2, x**2
    u = v[0] * v[1] + shared  # x + x**2, through a run
    roots = [shared, shared * x, u * shared, u.tanh() + shared]
    formulas = [
        lambda x: x * x,
        lambda x: x * x * x,
        lambda x: (x * 1.0 + x * x) * (x * x),
        lambda x: (x * 1.0 + x * x).tanh() + x * x,
    ]
    tapes = [Tape(root) for root in roots]
    seen = {2.0}
    for n, (call, which) in enumerate(calls):
        x.grad = 0
        try:
            if call == "f":
                tapes[which].forward()
                assert roots[which].data == pytest.approx(formulas[which](Value(x.data)).data)
            elif call in "bv":
                (tapes if call == "b" else roots)[which].backward()
                possible = []
                for number in seen:
                    twin = Value(number)
                    formula = formulas[which](twin)
                    formula.backward()
                    possible.append((formula.data, twin.grad))
                found = (roots[which].data, x.grad)
                assert any(found == pytest.approx(p, rel=1e-12) for p in possible)
            elif call == "d":
                x.data = 2.0 + n / 8
                seen.add(x.data)
            else:
                tapes[which] = Tape(roots[which])
        except RuntimeError:
            assert (call in "bv", x.grad) == (True, 0.0)


def test_a_tape_after_another_in_either_order():
    for order in [(0, 1), (1, 0)]:
        x, w = Value(2.0), Value(1.0)
        inner = x * x
        before = Tape(inner)
        tapes = (before, Tape(inner + w, after=before))
        for n in order:
            tapes[n].forward()
        x.data = 3.0
        for tape in tapes:
            tape.forward()
        assert (inner.data, tapes[1].root.data) == (9.0, 10.0)


def test_a_tape_after_another_has_no_backward():
    x, y, z = square_and_double()
    first = Tape(y)
    later = Tape(z, after=first)
    assert (len(first), len(later)) == (1, 1)
    with pytest.raises(TypeError, match="whole Tape"):
        later.backward()
    later.forward()
    with pytest.raises(TypeError, match="whole Tape"):
        later.backward()
    assert (x.grad, y.grad) == (0.0, 0.0)
    # But all of it together can go backward, as long as the order was right.
    z.backward()
    assert x.grad == 12.0
    first.forward()
    with pytest.raises(RuntimeError, match="changed"):
        z.backward()


def test_handles_outlive_the_tape_and_the_tape_outlives_handles():
    x, y, z = square_and_double()
    tape = Tape(z)
    tape.forward()
    tape.backward()
    del tape
    gc.collect()
    rubbish = [Tape(Value(1.0) + 1) for _ in range(50)]
    for other in rubbish:
        other.forward()
    assert (x.data, y.data, z.data, y.grad, z.grad) == (3.0, 9.0, 18.0, 2.0, 1.0)
    x.grad = y.grad = z.grad = 0
    z.backward()
    assert (x.grad, y.local_grads) == (12.0, (3.0, 3.0))
    # A new Tape of what lives in the block of the old one.
    x.data, x.grad = 4.0, 0.0
    tape = Tape(z)
    del y, z
    gc.collect()
    tape.forward()
    tape.backward()
    assert (tape.root.data, x.grad) == (32.0, 16.0)
    root = tape.root
    del tape, x
    gc.collect()
    inner = root.children[0]
    assert (root.data, inner.data, inner.children[0].data) == (32.0, 16.0, 4.0)


def test_a_replay_leaves_values_where_sets_and_dicts_find_them():
    x, y, z = square_and_double()
    known, before = {x: "x", y: "y", z: "z"}, [hash(n) for n in (x, y, z)]
    Tape(z).forward()
    assert [hash(n) for n in (x, y, z)] == before
    assert [known.get(n) for n in (x, y, z)] == ["x", "y", "z"]
    assert z.children[0] in known


def test_a_deep_chain():
    x = Value(1.0)
    y = x
    for _ in range(100_000):
        y = y * 0.5 + x
    tape = Tape(y)
    assert len(tape) == 200_000
    x.data = 3.0
    tape.forward()
    tape.backward()
    assert (y.data, x.grad) == (6.0, 2.0)
    del tape
    assert y.children[0].data == 3.0


# ---------------------------------------------------------------- stale graphs


def test_assigned_leaves_of_a_recording_leave_single_values_as_recorded():
    x, _, z = square_and_double()
    tape = Tape(z)
    x.data = 100.0
    tape.backward()
    assert x.grad == 12.0


def test_assigned_data_after_a_replay_is_refused_before_any_grad_is_touched():
    x, y, z = square_and_double()
    w = z * y
    tape = Tape(w)
    for changed in (x, y, z):
        tape.forward()
        x.grad = 7.0
        changed.data = changed.data + 1.0
        for backward in (tape.backward, w.backward, lambda: Adam([]).step(0.1, tape)):
            with pytest.raises(RuntimeError, match="changed"):
                backward()
            assert (x.grad, y.grad, z.grad) == (7.0, 0.0, 0.0)
        tape.forward()
        tape.backward()
        assert x.grad == 7.0 + 8 * x.data**3
    # What a formula does not need for its gradient may change.
    total = Tape(x + y)
    total.forward()
    x.data = -1.0
    with pytest.raises(RuntimeError, match="changed"):
        total.backward()  # y needs it
    difference = Tape(x - Value(2.0))
    difference.forward()
    x.data, x.grad = 50.0, 0.0
    difference.backward()
    assert x.grad == 1.0


@pytest.mark.parametrize(("data", "ones"), [(3.0, 1.0), ([3.0, 4.0], [1.0, 1.0])])
def test_a_result_that_needs_no_data_for_its_gradient_may_be_assigned_after_a_replay(data, ones):
    def total(x):
        return x if isinstance(x, Value) else x.sum()

    leaf = Value(data) if isinstance(data, float) else Vector(data)
    result = leaf * 1.0 + 1.0
    tape = Tape(total(result))
    tape.forward()
    before = total(result - 2.0)
    result.data = result.data
    for last in (tape.root, before, total(result + 2.0)):
        leaf.grad = 0.0
        last.backward()
        assert leaf.grad == ones
    result.data = result.data
    tape.forward()
    with pytest.raises(RuntimeError, match="changed"):
        before.backward()
    leaf.grad = 0.0
    tape.backward()
    assert leaf.grad == ones


REPLAYED = {
    "run": (Vector, lambda v: v * v),
    "view of a run": (Vector, lambda v: (v * v)[:1]),
    "Value of Values": (Value, lambda x: x * x),
    "Value of elements": (Vector, lambda v: v[0] * v[1]),
    "sum": (Vector, lambda v: v.sum()),
    "dot product": (Vector, lambda v: v @ v),
}


@pytest.mark.parametrize(("kind", "make"), REPLAYED.values(), ids=REPLAYED)
@pytest.mark.parametrize("by_another", [False, True])
def test_after_a_replay_and_an_assignment_backward_is_right_or_refuses(kind, make, by_another):
    """It tells when a result was computed again from when it was assigned to, in any order."""

    def single(result):
        return result if isinstance(result, Value) else result[0]

    leaf = kind(3.0 if kind is Value else [2.0, 5.0])
    result = make(leaf)
    if by_another:  # Tape, which has moved its single Values already
        other = Tape(single(result) + 0.0)
        other.forward()
    tape = Tape(single(result) + 0.0)

    def gradients(root):
        leaf.grad = 0.0
        root.backward()
        return leaf.grad if kind is Vector else [leaf.grad]

    expected = gradients(single(make(leaf)))
    tape.forward()
    between = single(result) - 2.0
    times = single(result) * single(result)
    factor = 2 * single(result).data
    run = Vector([1.0, 2.0]) * single(result)
    for _ in range(2):
        result.data = result.data  # its own gradient and those recorded on it stay right
        after = single(result) + 2.0
        for root in (tape, tape.root, between, after, single(result)):
            assert gradients(root) == expected
        assert gradients(times) == pytest.approx([factor * g for g in expected])
        with pytest.raises(RuntimeError, match="changed"):
            gradients(run.sum())
    tape.forward()
    assert gradients(tape) == expected
    for root in (between, times, after):
        result.data = result.data  # between the replay and backward
        with pytest.raises(RuntimeError, match="changed"):
            gradients(root)


def test_a_replay_before_or_after_an_assignment_is_found_all_the_same():
    v = Vector([1.0, 2.0])
    inner = v * v
    tape = Tape(inner.sum())
    for replay_first in (True, False):
        result = inner + 1.0
        for step in (True, False):
            if step == replay_first:
                tape.forward()
            else:
                result.data = [9.0, 9.0]
        with pytest.raises(RuntimeError, match="changed"):
            result.sum().backward()
        (inner + 1.0).sum().backward()


def test_an_element_of_a_row_that_a_replay_has_moved_is_computed_with_again():
    m = Matrix([[1.0, 2.0], [3.0, 4.0]])
    index = Index(0)
    row = m[index]
    element = row[0]
    before = element * 5.0
    tape = Tape(row.sum())
    index.value = 1
    tape.forward()
    between = element * 5.0  # what it showed before, until somebody asks for the row's again
    assert row[0] is element
    assert element.data == 3.0
    (row[0] * 2.0).backward()
    assert m.grad == [[0.0, 0.0], [2.0, 0.0]]
    for stale in (before, between):
        with pytest.raises(RuntimeError, match="changed"):
            stale.backward()
    assert m.grad == [[0.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("replayed", [True, False])
def test_a_parameter_or_part_of_it_assigned_before_backward_is_refused(replayed):
    def whole(m):
        m.data = m.data

    def row(m):
        m[0].data = m[0].data

    def element(m):
        m[-1][0].data = 0.5

    def block(m):
        m[:1, :1].data = [[0.25]]

    for change in (whole, row, element, block):
        model = new_model(1, 5, 1, 4, 1, 6)
        indexes = [Index(token) for token in (0, 1, 2, 0)]
        loss = sequence_loss(model, indexes)
        tape = Tape(loss)
        if replayed:
            replay(tape, indexes, [0, 3, 4, 0])
        for name in ("h.0.attn.q_proj.weight", "h.0.mlp.down_proj.weight", "lm_head.weight"):
            change(model.parameters[name])
            for backward in (tape.backward, loss.backward):
                with pytest.raises(RuntimeError, match="changed"):
                    backward()
                assert not any(any(flat(m, "grad")) for m in model.parameters.values())
            replay(tape, indexes, [0, 3, 4, 0])
        tape.backward()
        twin = GPT(model.config, {n: Matrix(m.data) for n, m in model.parameters.items()})
        sequence_loss(twin, [0, 3, 4, 0]).backward()
        for name, m in model.parameters.items():
            assert m.grad == twin.parameters[name].grad


def test_parameters_cannot_be_exchanged():
    model = new_model(1, 5, 1, 4, 1, 6)
    with pytest.raises(TypeError):
        model.parameters["wte.weight"] = Matrix([[0.0] * 4] * 5)
    with pytest.raises(TypeError):
        del model.parameters["wte.weight"]


def test_plain_numbers_stay_as_recorded():
    factor = 2.0
    x = Value(3.0)
    tape = Tape(x * factor + factor**x + (1.0 if x.data > 2.5 else 9.0))
    factor = 5.0
    x.data = 2.0
    tape.forward()
    assert tape.root.data == 2.0 * 2.0 + 2.0**2 + 1.0


def test_a_plain_number_cannot_be_assigned_to():
    y = Value(3.0) * 2.0
    with pytest.raises(TypeError, match="plain number"):
        y.children[1].data = 7.0
    assert (y.children[1].data, y.local_grads) == (2.0, (2.0, 3.0))


# ---------------------------------------------------------------- memory


def check_flat(step, n):
    """Fails if every other step leaves a Python object behind."""
    for _ in range(n // 10):
        step()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(n):
        step()
    gc.collect()
    assert sys.getallocatedblocks() - before < n / 2


def test_little_memory_for_tapes_made_and_dropped():
    m, x, i = Matrix([[0.5, -1.0], [1.0, 0.0]]), Value(0.5), Index(0)

    def step():
        first = Tape((m @ (m[i] * x)).softmax())
        tape = Tape(-first.root[i].log() * x + x)
        again = Tape(tape.root * 2, after=tape)
        i.value = 1 - i.value
        for each in (first, tape, again):
            each.forward()
        tape.backward()
        again.root.backward()

    check_flat(step, 3000)


def test_little_memory_for_replays():
    net = Net(1, 8, 4, 3)
    adam = Adam(net.matrices)

    def step():
        net.tokens[0].value = (net.tokens[0].value + 1) % 4
        net.tape.forward()
        net.tape.backward()
        net.tape.forward()
        adam.step(1e-3, net.tape)

    check_flat(step, 2000)


def test_little_memory_for_an_index_outside():
    m, v, i = Matrix([[0.5, -1.0]]), Vector([1.0, 2.0]), Index(9)
    before = sys.getrefcount(i)

    def step():
        for run in (m, v, v[1:], m[0]):
            with suppress(IndexError):
                run[i]

    check_flat(step, 1000)
    assert sys.getrefcount(i) == before


# ---------------------------------------------------------------- threads


def in_threads(*works):
    """Run them at once; returns what they returned, raises what one of them raised."""
    results = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(n, work):
        start.wait()
        try:
            results[n] = work()
        except BaseException as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that they take turns more often than once in 5 ms
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_two_models_in_two_threads():
    rng = random.Random(1)
    documents = [[BOS, *(rng.randrange(9) for _ in range(n)), BOS] for n in (14, 7, 14, 3)]

    def work(seed, width):
        def run():
            model = new_model(seed, 9, 2, width, 2, 15)
            losses = train(model, documents, Recipe(150))
            reader = Reader(model)
            for _ in range(20):
                reader.restart()
                logits = [reader.read(token).data for token in documents[0][:15]]
            return losses, content(model), logits

        return run

    works = [work(1, 20), work(2, 32)]
    expected = [run() for run in works]
    for _ in range(3):
        assert in_threads(*works) == expected


def test_a_replay_in_another_thread_makes_nothing_stale():
    # A long forward(), during which another thread replays, and then that one's again.
    def work(layers):
        def run():
            x = Vector([0.5] * 512)
            y = x
            for _ in range(layers):
                y = y * ((y @ y) / 512 + 1.0) ** -0.5 + x
            tape = Tape(y.sum())
            for _ in range(100):
                x.grad = 0
                tape.forward()
                sleep(1e-4)  # the others' turn
                tape.backward()
            return y.data, x.grad

        return run

    works = [work(300), work(5), work(300)]
    expected = [run() for run in works]
    assert in_threads(*works) == expected


def test_a_step_moves_nothing_that_another_thread_happens_to_record():
    # `absent` has no gradient here; the other thread only looks at it.
    rng = random.Random(1)
    weights, absent = (random_matrix(rng, 32, 32) for _ in range(2))
    before = absent.tobytes()
    y = Vector([0.5] * 32)
    for _ in range(1000):
        y = (weights @ y).tanh()
    tape, adam = Tape(y.sum()), Adam([absent, weights])
    done = threading.Event()

    def step():
        try:
            for _ in range(200):
                tape.forward()
                with suppress(RuntimeError):  # another test's matter
                    adam.step(1e-3, tape)
        finally:
            done.set()

    def record():
        while not done.is_set():
            Tape(absent[0].sum())

    in_threads(step, record)
    assert absent.tobytes() == before
