"""Batches: many rows at once have the bits of a Tape replayed for one row after the other."""

import copy
import gc
import os
import pickle
import random
import threading
import time
import tracemalloc
from itertools import pairwise, product

import pytest
from conftest import bits
from hypothesis import given, settings
from hypothesis import strategies as st

from llmhard import Matrix, Value, Vector, concat
from llmhard.adam import Adam, zeros_like
from llmhard.autograd import Batch, Index, Tape, adam_update, no_grad
from llmhard.crew import Crew
from llmhard.model import GPT, Config
from llmhard.recipe import Recipe
from llmhard.tokenizer import BOS
from llmhard.trainer import Recordings, Trainer, beginning_losses, sequence_loss

seeds = st.integers(0, 10**6)


def gradients(leaves):
    found = []
    for leaf in leaves:
        rows = leaf.grad if isinstance(leaf, Matrix) else [leaf.grad]
        for row in rows:
            found += row if isinstance(row, list) else [row]
    return found


def clear(leaves):
    for leaf in leaves:
        leaf.grad = 0.0


class Program:
    """A text of random operations on vectors; its roots depend on more and more Indexes."""

    WIDTH = 8

    def __init__(self, seed, n_roots=3, width=WIDTH):
        rng = self.rng = random.Random(seed)
        gauss = rng.gauss
        self.table = Matrix([[gauss(0, 1) for _ in range(width)] for _ in range(5)])
        self.weights = [
            Matrix([[gauss(0, 0.5) for _ in range(width)] for _ in range(width)]) for _ in range(2)
        ]
        self.vector = Vector([gauss(0, 1) for _ in range(width)])
        self.scale = Value(0.5)
        self.leaves = [self.table, *self.weights, self.vector, self.scale]
        self.indexes = [Index(0) for _ in range(n_roots)]
        self.known = [self.vector, self.table[1]]
        self.rows = []
        self.roots = []
        total = Value(0.0)
        for index in self.indexes:
            self.known.append(self.table[index] * self.scale)
            self.rows.append(self.known[-1])
            for _ in range(6):
                self.known.append(self.operation(rng.choice(self.known), rng.choice(self.known)))
            last = self.known[-1].softmax()
            total = total + last[index if rng.random() < 0.5 else 3] * last.sum()
            self.roots.append(total / len(self.rows))

    def operation(self, a, b):
        width = len(a)
        kind = self.rng.randrange(11)
        if kind == 0:
            return a + b * 0.5
        if kind == 1:
            return (a - b).tanh()
        if kind == 2:
            return self.rng.choice(self.weights) @ a
        if kind == 3:
            return a * ((b @ b) / width + 1e-5) ** -0.5
        if kind == 4:
            return a.relu() + self.scale
        if kind == 5:
            half = width // 2
            return concat([a[:half], b[half:]])
        if kind == 6:
            keys = Matrix(self.rows)
            return ((keys @ a).softmax() @ keys).tanh()
        if kind == 7:
            block = self.weights[0][:3, 1:]
            return concat([block @ a[1:], b[3:]])
        if kind == 8:
            return (a * a + 1.0) ** (self.scale * 0.5) * 0.1
        if kind == 9:
            return (b @ self.weights[1]).tanh()
        return (a / (b * b + 1.0)).exp() * 0.1

    def tapes(self, rows, shares):
        """What Tapes compute, one row after the other."""
        results = []
        tapes = [Tape(root) for root in self.roots]
        scaled = []
        for row, share in zip(rows, shares, strict=True):
            for index, number in zip(self.indexes, row):  # noqa: B905 - a row may be shorter
                index.value = number
            root = self.roots[len(row) - 1]
            tapes[len(row) - 1].forward()
            results.append(root.data)
            clear(self.leaves)
            tapes[len(row) - 1].backward()
            scaled.append([share * g for g in gradients(self.leaves)])
        return results, [sum(column) for column in zip(*scaled, strict=True)]


rows_of_three = st.lists(
    st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=20
)


@settings(max_examples=150)
@given(seeds, rows_of_three, st.integers(1, 3))
def test_a_batch_computes_what_tapes_do(seed, rows, times):
    program = Program(seed)
    shares = [program.rng.choice([1.0, 0.25, -2.0]) for _ in rows]
    expected, expected_gradients = program.tapes(rows, shares)
    clear(program.leaves)
    batch = Batch(program.indexes, program.roots)
    for _ in range(times):
        assert bits(batch.forward(rows, shares)) == bits(expected)
        batch.backward()
    found = gradients(program.leaves)
    assert found == pytest.approx([times * g for g in expected_gradients], rel=1e-9, abs=1e-12)


EXTREMES = [0.0, -0.0, 1e-310, -1e-200, 1e200, -1e308, 1.0]


@settings(max_examples=100)
@given(seeds, rows_of_three)
def test_numbers_for_which_functions_are_undefined_give_what_they_give_a_tape(seed, rows):
    program = Program(seed)
    rng = program.rng
    for leaf in (program.table, program.vector):
        numbers = leaf.data
        for row in numbers if isinstance(leaf, Matrix) else [numbers]:
            row[rng.randrange(len(row))] = rng.choice(EXTREMES)
        leaf.data = numbers
    program.scale.data = rng.choice(EXTREMES)
    expected, expected_gradients = program.tapes(rows, [1.0] * len(rows))
    clear(program.leaves)
    batch = Batch(program.indexes, program.roots)
    assert bits(batch.forward(rows)) == bits(expected)
    batch.backward()
    finite = [abs(g) < 1e100 for g in expected_gradients]
    found = [g for g, is_finite in zip(gradients(program.leaves), finite, strict=True) if is_finite]
    expected = [g for g, is_finite in zip(expected_gradients, finite, strict=True) if is_finite]
    if len(rows) == 1:  # the sums over rows may go beyond what is finite in another order
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def formulas(x, y, z):
    """Of single Values: each leaf in several ways and at several depths."""
    a = x * y + x
    yield a * a - x / y
    b = a ** (y * 0.5) + x**3
    yield (b.tanh() + y.exp()) * x
    yield (a * a + z**2 + 1.0).log() * b.sqrt() + z.relu()


@given(st.lists(st.floats(0.25, 2.0), min_size=3, max_size=3), rows_of_three)
def test_single_values_in_several_ways(numbers, rows):
    leaves = [Value(number) for number in numbers]
    roots = list(formulas(*leaves))
    expected = [0.0] * 3
    for row in rows:
        clear(leaves)
        roots[len(row) - 1].backward()
        expected = [sum(pair) for pair in zip(expected, gradients(leaves), strict=True)]
    clear(leaves)
    batch = Batch([Index(0) for _ in roots], roots)
    assert bits(batch.forward(rows)) == bits(roots[len(row) - 1].data for row in rows)
    batch.backward()
    assert gradients(leaves) == pytest.approx(expected, rel=1e-12)


def test_a_row_goes_only_through_what_its_root_depends_on():
    """Where nothing is sent back, not even zeros are: 0 times an infinite derivative is nan."""
    x, y, v = Value(1.0), Value(2.0), Vector([1.0, 4.0])
    a, b = x**0.5, v.sqrt()
    roots = [a + b.sum(), y * 3.0, a * y + concat([b, b])[3], y * y, a.exp()]
    x.data, v.data = 0.0, [0.0, 4.0]
    batch = Batch([Index(0) for _ in roots], roots)
    for n, of_y in ((2, 3.0), (4, 4.0)):
        clear([x, y, v])
        batch.forward([[0] * n, [0] * n])
        batch.backward()
        assert (x.grad, y.grad, v.grad) == (0.0, 2 * of_y, [0.0, 0.0])
    assert bits(batch.forward([[0], [0, 0, 0], [0] * 5])) == bits([2.0, 2.0, 1.0])
    clear([v])
    batch.forward([[0, 0, 0]])
    batch.backward()
    assert v.grad[1] == 0.25


def test_a_hundred_roots_use_every_other_operation():
    """More roots than a word has bits."""
    leaves = [Value(0.25 + i) for i in range(5)]
    roots = [leaves[i % 5] * leaves[i % 7 % 5] + leaves[i % 3].exp() for i in range(100)]
    shared = [leaf.sqrt() for leaf in leaves]
    roots = [root * shared[i % 5] for i, root in enumerate(roots)]
    batch = Batch([Index(0) for _ in roots], roots)
    for n in (1, 2, 63, 64, 65, 66, 100):
        clear(leaves)
        roots[n - 1].backward()
        expected = gradients(leaves)
        clear(leaves)
        assert batch.forward([[0] * n]) == [roots[n - 1].data]
        batch.backward()
        assert gradients(leaves) == pytest.approx(expected, rel=1e-12)


def test_views_of_views_of_what_an_index_names():
    table, index = Matrix([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]), Index(0)
    row = table[index]
    for _ in range(200_000):
        row = row[:]
    batch = Batch([index], [row[1:][1:][0] * row[2:].sum()])
    assert batch.forward([[1], [0]]) == [7.0 * 15.0, 3.0 * 7.0]
    batch.backward()
    assert table.grad == [[0.0, 0.0, 10.0, 3.0], [0.0, 0.0, 22.0, 7.0]]


def elementwise_on(rng, kind, scalars):
    """One operation on each pair of neighbours: what may become a single loop, or must not."""
    number = rng.choice([0.5, 2.0, -1.0])
    pairs = list(pairwise(scalars))
    return {
        "a + b": lambda: [a + b for a, b in pairs],
        "b - a": lambda: [b - a for a, b in pairs],
        "a * a": lambda: [a * a for a, _ in pairs],
        "both": lambda: [(b - a) * a.tanh() for a, b in pairs],
        "every second": lambda: [a * b for a, b in pairs[::2]],
        "backward": lambda: [a * b for a, b in reversed(pairs)],
        "number first": lambda: [number - a for a in scalars],
        "number last": lambda: [a / number for a in scalars],
        "two numbers": lambda: [a * (number if i % 2 else 3.0) for i, a in enumerate(scalars)],
        "one for all": lambda: [a * scalars[0] for a in scalars],
        "power": lambda: [(a * a + 1.0) ** -0.5 for a in scalars],
        "unary": lambda: [(a * 0.5).tanh() for a in scalars],
    }[kind]()


KINDS = [
    "a + b", "b - a", "a * a", "both", "every second", "backward", "number first", "number last",
    "two numbers", "one for all", "power", "unary",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(seeds, st.lists(st.sampled_from(KINDS), max_size=4), st.integers(3, 12), st.integers(1, 3))
def test_operations_side_by_side_have_the_bits_of_single_ones(kind, seed, more, n, longest):
    rng = random.Random(seed)
    table = Matrix([[rng.gauss(0, 1) for _ in range(n)] for _ in range(4)])
    indexes, roots, total = [Index(0) for _ in range(longest)], [], Value(0.0)
    for count, index in enumerate(indexes, start=1):
        scalars = list(table[index] * 1.5)
        for each in (kind, *more):
            scalars = elementwise_on(rng, each, scalars) or scalars
        total = total + sum(a * rng.gauss(0, 1) for a in scalars)
        roots.append(total / count)
    batch = Batch(indexes, roots)
    for length in range(1, longest + 1):
        row = rng.sample(range(4), length)  # each adds once to the table
        for index, number in zip(indexes, row, strict=False):
            index.value = number
        tape = Tape(roots[length - 1])
        tape.forward()
        clear([table])
        tape.backward()
        expected = gradients([table])
        clear([table])
        assert bits(batch.forward([row])) == bits([roots[length - 1].data])
        batch.backward()
        assert bits(gradients([table])) == bits(expected)


def products_of(rng, kind, rows, queries):
    """Products of some queries with matrices of these rows: each adds to one number."""
    width, found = len(rows[0]), []
    for number, query in enumerate(queries):
        first, end, left, right = 0, number % len(rows) + 1, 0, width
        if kind == "windows":
            first = rng.randrange(end)
        if kind == "heads":
            left, right = [(0, width // 2), (width // 2, width)][number % 2]
        if kind == "columns that overlap":
            left, right = rng.randrange(width), width
        if kind == "in any order":
            end = rng.randint(1, len(rows))
        block = (
            Matrix(rows)[first:end, left:right]
            if rng.random() < 0.5
            else (Matrix(rows[first:end])[:, left:right])
        )
        weights = (block @ query[left:right]).softmax()
        if kind == "one vector for several":
            found.append((queries[0][left:right] @ block[0]).tanh())
            weights = queries[0][first:end] if end - first <= width else weights
        found.append((weights @ block).sum())
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "growing",
        "windows",
        "heads",
        "columns that overlap",
        "in any order",
        "one vector for several",
    ],
)
@settings(max_examples=40)
@given(seeds, st.integers(1, 21), st.integers(1, 20), st.integers(1, 20))
def test_products_with_parts_of_matrices(kind, seed, width, n_rows, n_queries):
    rng = random.Random(seed)
    width = max(width, 2)
    table = Matrix([[rng.gauss(0, 1) for _ in range(width)] for _ in range(4)])
    indexes, roots, total = [Index(0) for _ in range(3)], [], Value(0.0)
    for index in indexes:
        rows = [table[index] * rng.gauss(0, 1) for _ in range(n_rows)]
        queries = [table[index] * rng.gauss(0, 1) for _ in range(n_queries)]
        for number in products_of(rng, kind, rows, queries):
            total = total + number
        roots.append(total * 1.0)
    batch = Batch(indexes, roots)
    for row in ([1], [2, 0], [0, 3, 1]):
        for index, number in zip(indexes, row, strict=False):
            index.value = number
        tape = Tape(roots[len(row) - 1])
        tape.forward()
        clear([table])
        tape.backward()
        expected = gradients([table])
        clear([table])
        assert bits(batch.forward([row])) == bits([roots[len(row) - 1].data])
        batch.backward()
        assert gradients([table]) == pytest.approx(expected, rel=1e-9, abs=1e-10)


def one_vector_in_several(rows, vectors):
    """Products in an order in which matrices and vectors take turns."""
    blocks = [Matrix([rows[i], rows[i + 1], rows[i]]) for i in (0, 3, 6)]  # copies
    pairs = [(0, 0), (1, 1), (1, 0), (0, 1), (1, 2), (0, 2)]
    return [vectors[vector][:3] @ blocks[block] for vector, block in pairs]


def matrices_that_overlap(rows, vectors):
    block = Matrix([rows[0], rows[1], rows[0]])  # a copy
    parts = [block[:, :4], block[:, 1:5], block[:, :4], block[:, 2:6], block[:, 1:5]]
    return [v[:3] @ part for v, part in zip(vectors, parts, strict=False)]


@pytest.mark.parametrize("products", [one_vector_in_several, matrices_that_overlap])
@given(seeds)
def test_products_that_add_to_the_same_numbers_keep_their_order(products, seed):
    rng = random.Random(seed)
    table = Matrix([[rng.gauss(0, 1) for _ in range(6)] for _ in range(14)])
    scaled = [(table[i] * 1.5).tanh() for i in range(14)]
    index = Index(0)
    found = products(scaled[:9], scaled[9:])
    root = sum((p * p).sum() * rng.gauss(0, 1) for p in found) + Vector([1.0, 2.0])[index]
    root.backward()
    expected = gradients([table])
    clear([table])
    batch = Batch([index], [root])
    assert bits(batch.forward([[0]])) == bits([root.data])
    batch.backward()
    assert bits(gradients([table])) == bits(expected)


@settings(max_examples=60)
@given(seeds, st.lists(st.integers(2, 25), min_size=1, max_size=6))
def test_a_model_learns_to_the_same_bits(seed, lengths):
    rng = random.Random(seed)
    n_head = rng.choice([1, 2, 4])
    width = n_head * rng.choice([1, 2, 3, 4, 5, 8, 12, 20])
    config = Config(7, rng.randint(1, 2), width, n_head, 24)
    model = GPT.initialize(config, rng)
    leaves = list(model.parameters.values())
    documents = [[rng.randrange(7) for _ in range(n)] for n in lengths]
    losses = []
    for document in documents:
        loss = sequence_loss(model, document)
        loss.backward()
        losses.append(loss.data)
    expected = gradients(leaves)
    clear(leaves)
    recordings = Recordings(model)
    assert bits(recordings.losses(documents)) == bits(losses)
    recordings.batch.backward()
    assert bits(gradients(leaves)) == bits(expected)


@pytest.mark.parametrize("width", [5, 8, 16, 32, 40, 64])
@pytest.mark.parametrize("chosen", [range(5), [1], [0, 3, 4], [2, 1]])
@pytest.mark.parametrize("before", [0.0, 0.125])
def test_a_step_of_adam_is_backward_and_a_step(width, chosen, before):
    rows, results = [[1, 2, 3], [0], [4, 4], [2, 2, 2]], []
    for together in (True, False):
        program = Program(11, width=width)
        batch = Batch(program.indexes, program.roots)
        parameters = [program.leaves[i] for i in chosen]
        means, squares = ([like(p) for p in parameters] for _ in range(2))
        program.weights[0].grad = before
        for t in (1, 2, 3):
            batch.forward(rows)
            if not together:
                batch.backward()
            tape = batch if together else None
            adam_update(
                parameters, means, squares, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, t=t, tape=tape
            )
        numbers = [leaf.data for leaf in (*program.leaves, *means, *squares)]
        results.append((numbers, gradients(program.leaves)))
    assert results[0] == results[1]


def test_a_parameter_that_is_there_twice_is_moved_twice():
    results = []
    for together in (True, False):
        matrix = Matrix([[0.1 * (r + c) for c in range(8)] for r in range(4)])
        vector = Vector([0.3 * c for c in range(8)])
        batch = Batch([Index(0)], [(matrix @ (vector * 2.0)).sum()])
        adam = Moments([matrix, vector] * 2)
        batch.forward([[0], [0]])
        if not together:
            batch.backward()
        adam.step(0.01, batch if together else None)
        results.append((adam.numbers(), gradients([matrix, vector])))
    assert results[0] == results[1]


class Moments:
    """What Adam keeps for leaves of any shape."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.means, self.squares = ([like(p) for p in parameters] for _ in range(2))
        self.t = 0

    def step(self, lr, tape):
        self.t += 1
        rates = {"lr": lr, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "t": self.t}
        adam_update(self.parameters, self.means, self.squares, **rates, tape=tape)

    def numbers(self):
        return [leaf.data for leaf in (*self.parameters, *self.means, *self.squares)]


def like(parameter):
    if isinstance(parameter, Matrix):
        return zeros_like(parameter)
    return Value(0.0) if isinstance(parameter, Value) else Vector([0.0] * len(parameter))


def test_backward_refuses_leaves_that_have_changed():
    program = Program(3)
    batch = Batch(program.indexes, program.roots)
    for change in (lambda: setattr(program.scale, "data", 0.7), step_of(program)):
        batch.forward([[1, 2]])
        change()
        before = gradients(program.leaves)
        with pytest.raises(RuntimeError, match="call forward"):
            batch.backward()
        with pytest.raises(RuntimeError, match="call forward"):
            Adam([program.table]).step(0.1, batch)
        assert gradients(program.leaves) == before
    batch.forward([[1, 2]])
    batch.backward()


def step_of(program):
    return lambda: Adam([program.table]).step(0.1)


@pytest.mark.parametrize("fail", [[[0], [9] * 3], [[0], [0] * 4], [[]]])
def test_backward_needs_a_forward_that_came_to_its_end(fail):
    program = Program(5)
    batch = Batch(program.indexes, program.roots)
    adam = Moments(program.leaves)
    numbers = adam.numbers()

    def refuse_to_go_on():
        for go in (batch.backward, lambda: adam.step(0.1, batch)):
            with pytest.raises(RuntimeError, match="call forward"):
                go()

    refuse_to_go_on()
    batch.forward([[1, 2]])
    with pytest.raises((IndexError, ValueError)):
        batch.forward(fail)
    refuse_to_go_on()
    assert not any(gradients(program.leaves))
    assert adam.numbers() == numbers
    batch.forward([[1, 2]])
    batch.backward()
    assert any(gradients(program.leaves))


# ---------------------------------------------------------------- threads


DOCUMENTS = [[BOS, *random.Random(i).choices(range(1, 600), k=3 + i % 9), BOS] for i in range(64)]


def trained(threads, held_out=()):
    model = GPT.initialize(Config(600), random.Random(1))
    trainer = Trainer(model, DOCUMENTS, Recipe(steps=6, batch_size=16), 1, held_out)
    trainer.threads = threads
    trainer.run()
    return trainer.losses, [m.tobytes() for m in model.parameters.values()]


def test_the_number_of_threads_changes_no_bit():
    before = threading.active_count()
    expected = trained(1, DOCUMENTS)
    for threads in (2, 3, 8):
        assert trained(threads, DOCUMENTS) == expected
        assert threading.active_count() == before


class Stubborn:
    """A crew whose threads cannot be had."""

    size = 3

    def submit(self, _work):
        raise KeyboardInterrupt


def test_nothing_is_left_half_done_without_the_crew():
    model = GPT.initialize(Config(600), random.Random(1))
    parameters = list(model.parameters.values())
    recordings = Recordings(model)
    recordings.losses(DOCUMENTS)
    recordings.batch.backward()
    expected = gradients(parameters)
    clear(parameters)
    with Crew(2) as dismissed:
        pass
    for crew, error in ((Stubborn(), KeyboardInterrupt), (dismissed, RuntimeError)):
        clear(parameters)
        recordings.batch.crew = crew
        with pytest.raises(error):
            recordings.batch.forward(DOCUMENTS)
        with pytest.raises(error):
            recordings.batch.backward()
        assert gradients(parameters) == expected
        twin = GPT.initialize(Config(600), random.Random(1))
        other = Recordings(twin)
        other.losses(DOCUMENTS)
        Adam(list(twin.parameters.values())).step(0.01, other.batch)
        clear(parameters)
        with pytest.raises(error):
            recordings.batch.forward(DOCUMENTS)
        adam = Adam(parameters)
        with pytest.raises(error):
            adam.step(0.01, recordings.batch)
        moved = [m.tobytes() for m in parameters]
        assert moved == [m.tobytes() for m in twin.parameters.values()]
        for name, m in GPT.initialize(Config(600), random.Random(1)).parameters.items():
            model.parameters[name].data = m.data


def test_batches_in_two_threads_that_share_leaves():
    program = Program(5)
    rows = [[1, 2, 3], [0, 4], [2]] * 10
    batches = [Batch(program.indexes, program.roots) for _ in range(2)]
    expected = batches[0].forward(rows)
    batches[0].backward()
    once = gradients(program.leaves)
    clear(program.leaves)
    found = []

    def work(batch):
        for _ in range(50):
            found.append(batch.forward(rows) == expected)
            batch.backward()

    workers = [threading.Thread(target=work, args=[batch]) for batch in batches]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [True] * 100
    assert gradients(program.leaves) == pytest.approx([100 * g for g in once], rel=1e-9)


def test_a_batch_in_two_threads_is_refused_and_stays_whole():
    program = Program(5, width=64)
    rows = [[1, 2, 3]] * 300
    batch = Batch(program.indexes, program.roots)
    expected, refusals = batch.forward(rows[:1]) * 300, []
    end = time.monotonic() + 60

    def work():
        while not refusals and time.monotonic() < end:
            try:
                assert batch.forward(rows) == expected
            except RuntimeError as error:
                refusals.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert "this Batch is at work in another thread" in refusals[0]
    assert batch.forward(rows) == expected
    batch.backward()


class Meddler:
    """A crew that uses the Batch that gives it work, and never does any."""

    size = 2**31 - 1
    batch = None

    def submit(self, _work):
        self.batch.crew = None
        self.batch.forward([[0]])


def test_a_crew_that_uses_its_batch():
    program = Program(5, width=64)
    rows = [[1, 2, 3]] * 300
    batch = Batch(program.indexes, program.roots)
    expected = batch.forward(rows)
    batch.crew = meddler = Meddler()
    meddler.batch = batch
    with pytest.raises(RuntimeError, match="at work"):
        batch.forward(rows)
    assert batch.crew is None
    batch.help()
    assert batch.forward(rows) == expected
    for crew in (object(), type("Crew", (), {"size": "2"}), type("Crew", (), {"size": 10**30})):
        with pytest.raises((AttributeError, TypeError, OverflowError)):
            batch.crew = crew
    assert batch.crew is None


def test_a_tape_beside_a_step_with_a_parameter_that_the_batch_does_not_use():
    """All its numbers are moved alike: a Tape sees them before the step or after it."""
    program = Program(5, width=64)
    batch = Batch(program.indexes, program.roots)
    rows = [[1, 2, 3]] * 100
    aside = Vector([1.0] * 20_000)
    copies = [aside * 1.0 for _ in range(30)]
    tape = Tape(sum(copies[0][0] - copy[-1] for copy in copies))
    adam, done, found = Moments([*program.leaves, aside]), threading.Event(), []

    def read():
        while not done.is_set():
            tape.forward()
            found.append(tape.root.data)

    worker = threading.Thread(target=read)
    worker.start()
    for _ in range(30):
        batch.forward(rows)
        aside.grad = 1.0
        adam.step(0.01, batch)
    done.set()
    worker.join()
    assert set(found) == {0.0}
    assert set(aside.data) == {aside.data[0]} != {1.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_goes_on_without_the_crew():
    model = GPT.initialize(Config(600), random.Random(1))
    recordings = Recordings(model)
    with Crew(2) as recordings.crew:
        expected = recordings.losses(DOCUMENTS)
        child = os.fork()
        if child == 0:
            os._exit(0 if recordings.losses(DOCUMENTS) == expected else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---------------------------------------------------------------- what it refuses


def small():
    table, index = Vector([1.0, 4.0, 9.0]), Index(0)
    return table, index, table[index] * 10.0


class Evil:
    def __init__(self, action):
        self.action = action

    def __index__(self):
        self.action()
        return 1


def test_what_a_row_may_not_be():
    _, index, root = small()
    other = Index(0)
    batch = Batch([index, other], [root])
    refused = [
        ([[]], ValueError, "no root for a row of 0"),
        ([[0, 1]], ValueError, "no root for a row of 2"),
        ([[0], [3]], IndexError, "index 3 is outside a Vector of 3"),
        ([[-1]], IndexError, "index -1"),
        ([[10**30]], IndexError, "cannot fit|too large"),
        ([[1.0]], TypeError, "float"),
        ([["1"]], TypeError, "str"),
        ([0], TypeError, "iterable"),
    ]
    for rows, error, message in refused:
        with pytest.raises(error, match=message):
            batch.forward(rows)
    with pytest.raises(ValueError, match="2 rows need as many shares"):
        batch.forward([[0], [1]], [1.0])
    with pytest.raises(TypeError):
        batch.forward([[0]], ["half"])
    assert batch.forward([]) == []
    batch.backward()
    assert batch.forward([[Evil(lambda: batch.forward([[2]] * 30))]]) == [40.0]
    with pytest.raises(ZeroDivisionError):
        batch.forward([[Evil(lambda: 1 / 0)]])
    assert batch.forward([[2]]) == [90.0]


def test_what_a_root_may_not_be():
    table, index, root = small()
    matrix = Matrix([[1.0, 2.0]])
    late = table[Index(1)] * 2.0
    custom = Value(1.0, (Value(2.0),), (3.0,))
    for indexes, roots, error, message in [
        ([index], [root, root], ValueError, "at most as many roots"),
        ([index], [late], ValueError, "not among the first 1"),
        ([Index(0), index], [root], ValueError, "not among the first 1"),
        ([index], [custom * root], TypeError, "cannot be computed again"),
        ([index], [table], TypeError, "a root is a Value"),
        ([index], [matrix], TypeError, "a root is a Value"),
        ([index], [1.0], TypeError, "a root is a Value"),
        ([0], [root], TypeError, "is an Index"),
        (None, [root], TypeError, "iterable"),
        ([index], [Value.__new__(Value)], RuntimeError, "no scalars yet"),
    ]:
        with pytest.raises(error, match=message):
            Batch(indexes, roots)
    batch = Batch([index, Index(0)], [None, root])
    with pytest.raises(ValueError, match="no root for a row of 1"):
        batch.forward([[0]])
    assert batch.forward([[1, 0]]) == [40.0]
    for how in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied"):
            how(batch)
    assert Batch([], []).forward([]) == []


def test_an_index_for_two_numbers_of_a_row():
    _, index, root = small()
    with pytest.raises(ValueError, match="indexes 0 and 2 of the Batch are the same Index"):
        Batch([index, Index(0), index], [None, None, root])


def test_roots_without_operations():
    table, index, _ = small()
    leaf = Value(3.0)
    batch = Batch([index, Index(0), Index(1)], [table[index], leaf, table[1]])
    assert batch.forward([[2], [0, 0], [0, 0, 0]]) == [9.0, 3.0, 4.0]
    batch.backward()
    assert (table.grad, leaf.grad) == ([0.0, 1.0, 1.0], 1.0)


def test_an_index_of_an_index_and_an_index_twice():
    table, index, other = Matrix([[1.0, 2.0], [3.0, 4.0]]), Index(0), Index(0)
    row = table[index]
    batch = Batch([index, other], [None, row[other] * row[index] + table[other][0]])
    for i, j in product(range(2), repeat=2):
        data = table.data
        assert batch.forward([[i, j]]) == [data[i][j] * data[i][i] + data[j][0]]


def test_the_leaves_outlive_the_graph():
    def made():
        program = Program(7)
        batch = Batch(program.indexes, program.roots)
        return batch, batch.forward([[1, 2, 3]])

    batch, expected = made()
    gc.collect()
    blocks = [[random.random() for _ in range(500)] for _ in range(100)]
    assert batch.forward([[1, 2, 3]]) == expected
    batch.backward()
    del blocks


def test_recording_is_not_needed_any_more():
    model = GPT.initialize(Config(9, 1, 8, 2, 6), random.Random(1))
    indexes = [Index(0) for _ in range(7)]
    batch = Batch(indexes, [None, *beginning_losses(model, indexes)])
    with no_grad():
        assert batch.forward([[0, 1, 2], [0, 3]]) == [
            sequence_loss(model, [0, 1, 2]).data,
            sequence_loss(model, [0, 3]).data,
        ]
    batch.backward()
    assert any(model.parameters["wte.weight"].grad[1])


def test_memory_does_not_grow():
    program = Program(5)
    batch = Batch(program.indexes, program.roots)
    adam = Moments(program.leaves)

    def use(times):
        for i in range(times):
            batch.forward([[i % 5] * (1 + (i + k) % 3) for k in range(1 + i % 7)])
            batch.backward()
            adam.step(1e-6, batch)
            with pytest.raises(IndexError):
                batch.forward([[1], [9] * 3])
            Batch(program.indexes, program.roots).forward([[1, 2]])
            with pytest.raises(ValueError, match="not among"):
                Batch(program.indexes[:1], program.roots[-1:])

    use(50)
    gc.collect()
    tracemalloc.start()
    use(20)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    use(300)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 20_000
