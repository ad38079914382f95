"""Handles: what a Value, Vector, Matrix, Index or Tape is before, during and after its __init__."""

import operator
import threading
from contextlib import suppress
from fractions import Fraction
from itertools import count, repeat

import pytest

from llmhard import Index, Matrix, Tape, Value, Vector, adam_update, average_update, concat, no_grad

KINDS = {Value: 5.0, Vector: [1.0, 2.0], Matrix: [[1.0, 2.0], [3.0, 4.0]]}
ADAM = {"lr": 1.0, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "t": 1}

# ---------------------------------------------------------------- without scalars

USES = {
    "data": lambda h: h.data,
    "assigned data": lambda h: setattr(h, "data", 1.0),
    "grad": lambda h: h.grad,
    "assigned grad": lambda h: setattr(h, "grad", 1.0),
    "repr": repr,
    "equality": lambda h: h == h,
    "equality with another": lambda h: Value(1.0) == h,
    "hash": hash,
    "adam": lambda h: adam_update([h], [h], [h], **ADAM),
    "average": lambda h: average_update([h], [h], share=1.0),
    "average of another": lambda h: average_update([Value(1.0)], [h], share=1.0),
}
USES_AS_AN_OPERAND = {
    "sum": lambda h: h + 1.0,
    "sum from the left": lambda h: 1.0 + h,
    "sum with a Value": lambda h: Value(1.0) + h,
    "sum with a Vector": lambda h: Vector([1.0]) + h,
    "power": lambda h: 2.0**h,
    "negative": operator.neg,
    "exp": lambda h: h.exp(),
    "tape": Tape,
    "concat": lambda h: concat([h]),
    "concat with others": lambda h: concat([Value(1.0), h]),
}
USES_OF_A_KIND = {
    Value: {
        "backward": lambda h: h.backward(),
        "op": lambda h: h.op,
        "children": lambda h: h.children,
        "local_grads": lambda h: h.local_grads,
        "child": lambda h: Value(1.0, (h,), (1.0,)),
        "child beside others": lambda h: Value(1.0, (Value(1.0), h), (1.0, 1.0)),
        "element": lambda h: Vector([h]),
        "element beside others": lambda h: Vector([1.0, h]),
    },
    Vector: {
        "length": len,
        "element": lambda h: h[0],
        "slice": lambda h: h[:],
        "Index": lambda h: h[Index(0)],
        "iteration": list,
        "sum": lambda h: h.sum(),
        "softmax": lambda h: h.softmax(),
        "dot": lambda h: h @ h,
        "dot with another": lambda h: Vector([1.0]) @ h,
        "product": lambda h: Matrix([[1.0]]) @ h,
        "row": lambda h: Matrix([h]),
        "row beside others": lambda h: Matrix([Vector([1.0]), h]),
    },
    Matrix: {
        "length": len,
        "shape": lambda h: h.shape,
        "bytes": lambda h: h.tobytes(),
        "row": lambda h: h[0],
        "slice": lambda h: h[:, :],
        "Index": lambda h: h[Index(0)],
        "iteration": list,
        "product": lambda h: h @ Vector([1.0]),
        "product from the left": lambda h: Vector([1.0]) @ h,
    },
}


def uses(kind):
    operand = {} if kind is Matrix else USES_AS_AN_OPERAND
    return (USES | operand | USES_OF_A_KIND[kind]).items()


ALL_USES = [pytest.param(k, use, id=f"{k.__name__}-{name}") for k in KINDS for name, use in uses(k)]


@pytest.mark.parametrize(("kind", "use"), ALL_USES)
def test_every_use_of_a_handle_without_scalars_raises(kind, use):
    class Silent(kind):
        def __init__(self):
            """Forget what a subclass has to do."""

    for handle in (kind.__new__(kind), Silent()):
        with pytest.raises(RuntimeError, match=r"no scalars yet: call super\(\).__init__"):
            use(handle)
        kind.__init__(handle, KINDS[kind])
        assert handle.data == KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_init_raises_and_changes_nothing(kind):
    handle = kind(KINDS[kind])
    with pytest.raises(TypeError, match="make a new one instead"):
        handle.__init__(KINDS[kind])
    assert handle.data == KINDS[kind]
    assert type(handle)(handle.data) != handle


class During:
    """Calls `act` when it is asked for its number, in every way that there is."""

    def __init__(self, act, number):
        self.act, self.number = act, number

    def __index__(self):
        self.act()
        return self.number

    def __float__(self):
        return float(self.__index__())

    def __iter__(self):
        self.act()
        yield float(self.number)

    def __del__(self):
        self.act()


class Float(During, Fraction):
    def __new__(cls, *_):
        return super().__new__(cls)

    def __float__(self):
        self.act()
        return float(self.number)


DURING = {
    "__index__": lambda v, act: v[During(act, 0)],
    "__index__ in a slice": lambda v, act: v[During(act, 0) :],
    "__float__": lambda v, act: v + Float(act, 1),
    "__float__ from the left": lambda v, act: Float(act, 1) + v,
    "__float__ of an element": lambda v, act: setattr(v, "data", [Float(act, 1), 1.0]),
    "__float__ of a gradient": lambda v, act: setattr(v, "grad", [Float(act, 1), 1.0]),
    "a generator": lambda v, act: setattr(v, "data", (x for x in [*During(act, 1), 2.0])),
    "__del__": lambda v, act: setattr(v, "data", (float(During(act, 1)) for _ in range(2))),
}


@pytest.mark.parametrize("name", DURING)
def test_an_init_that_runs_inside_a_method(name):
    """Nobody else's number changes: uninit_silent.py, uninit_index.py and their kind."""
    kept, others = Vector.__new__(Vector), []

    def act():
        if not others:
            Vector.__init__(kept, [7.0, 8.0])
        with pytest.raises(TypeError, match="make a new one instead"):
            Vector.__init__(kept, [9.0] * 100)
        others.append([-Value(5.0) for _ in range(3)])

    with suppress(RuntimeError):  # unless its scalars come before they are needed
        DURING[name](kept, act)
    if not others:
        act()
    DURING[name](kept, act)
    assert all(x.data == -5.0 for other in others for x in other)
    assert len(kept.data) == 2


def test_an_init_inside_of_init():
    class Twice(list):
        def __iter__(self):
            vector.__init__([1.0])
            return iter([2.0, 3.0])

    vector = Vector.__new__(Vector)
    with pytest.raises(TypeError, match="make a new one instead"):
        vector.__init__(Twice())
    assert vector.data == [1.0]


def test_an_index_and_a_tape_are_never_without_what_they_need():
    for kind in (Index, Tape):
        with pytest.raises(TypeError):
            kind.__new__(kind)
    index, x = Index(1), Value(2.0)
    tape = Tape(x * x)
    index.__init__(0)
    tape.__init__(Value(1.0))
    assert (index.value, tape.root.data) == (1, 4.0)


# ---------------------------------------------------------------- numbers that lie


class Liar(int):
    """A number whose arithmetic and comparisons are wrong."""

    def __mul__(self, _):
        return 10_000

    __rmul__ = __floordiv__ = __mod__ = __add__ = __sub__ = __mul__

    def __lt__(self, _):
        return False

    __gt__ = __eq__ = __ne__ = __lt__
    __hash__ = None


class FloatLiar(float):
    __mul__ = __rmul__ = __add__ = __sub__ = lambda *_: 10_000.0


@pytest.mark.parametrize(
    ("n_bytes", "rows", "cols"),
    [
        (80_000, Liar(1), 1),
        (80_000, 1, Liar(1)),
        (80_000, Liar(1), Liar(1)),
        (8, Liar(-1), Liar(-1)),
        (8, Liar(0), Liar(1)),
        (8, 2**61, 8),  # times 8 is 0 in 64 bits
        (8, 2**32 + 1, 2**32),
        (8, 2**64 + 1, 1),
        (16, 2**63, 2),
    ],
)
def test_sizes_that_lie_or_overflow(n_bytes, rows, cols):
    with pytest.raises(ValueError, match=r"do not fit|cannot fit"):
        Matrix.frombytes(bytes(n_bytes), rows, cols)


def test_numbers_that_lie_are_the_numbers_that_they_are():
    assert Matrix.frombytes(bytes(16), Liar(1), Liar(2)).shape == (1, 2)
    v = Vector([Liar(3), FloatLiar(4.0), 5])
    assert v.data == [3.0, 4.0, 5.0]
    assert v[Liar(1)].data == v[Index(Liar(1))].data == 4.0
    assert v[Liar(1) : Liar(3)].data == [4.0, 5.0]
    assert (v * FloatLiar(2.0)).data == [6.0, 8.0, 10.0]
    assert (Value(Liar(2)) * Liar(3)).data == 6.0


# ---------------------------------------------------------------- recording, thread by thread


def is_recording():
    return (Value(1.0) + Value(1.0)).children != ()


def in_thread(function):
    """Return what the function gives in a thread of its own."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_no_grad_in_one_thread_leaves_the_others_alone():
    with no_grad():
        assert not is_recording()
        assert in_thread(is_recording)
        assert not is_recording()
    assert is_recording()

    def inside():
        with no_grad():
            return is_recording(), in_thread(is_recording)

    assert in_thread(inside) == (False, True)
    assert is_recording()


def test_one_block_shared_by_two_threads():
    block = no_grad()

    def inside():
        before = is_recording()
        with block:
            during = is_recording()
        return before, during, is_recording()

    with block:
        assert in_thread(inside) == (True, False, True)
        assert not is_recording()
    assert in_thread(inside) == (True, False, True)
    assert is_recording()


def test_a_block_that_is_left_too_often_changes_nothing():
    block = no_grad()
    block.__exit__(None, None, None)
    assert is_recording()
    with block:
        block.__exit__(None, None, None)
        assert is_recording()
        with no_grad():
            block.__exit__(None, None, None)
            assert not is_recording()
    block.__exit__(None, None, None)
    assert is_recording()
    with no_grad():
        assert not is_recording()
    assert is_recording()


def test_a_block_that_is_left_in_another_thread_stays_where_it_was_entered():
    block = no_grad()
    with block:
        in_thread(lambda: block.__exit__(None, None, None))
        assert not is_recording()
        assert in_thread(is_recording)
    assert is_recording()


def test_a_block_that_is_entered_again():
    block = no_grad()
    with block, block, block:
        assert not is_recording()
    assert is_recording()
    with block:
        assert not is_recording()
    assert is_recording()


def test_training_beside_a_thread_that_samples():
    stop = threading.Event()

    def sample():
        x = Value(2.0)
        while not stop.is_set():
            with no_grad():
                assert (x * x).children == ()

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        for _ in range(2000):
            w = Value(3.0)
            (w * w).backward()
            assert w.grad == 6.0
    finally:
        stop.set()
        thread.join()


# ---------------------------------------------------------------- tapes


def test_a_tape_in_two_threads_at_once_raises():
    matrix = Matrix([[0.001] * 300] * 300)
    x = Vector([1.0] * 300)
    for _ in range(60):
        x = matrix @ x
    tape = Tape(x.sum())
    tape.forward()
    expected = tape.root.data
    refused = []

    def work():
        for _ in range(30):
            try:
                tape.forward()
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused
    assert all("another thread" in message for message in refused)
    tape.forward()
    tape.backward()
    assert tape.root.data == expected


def test_a_tape_that_raised_is_free_again():
    matrix, index = Matrix([[1.0], [2.0]]), Index(5)
    with pytest.raises(IndexError):
        matrix[index]
    index.value = 1
    tape = Tape(matrix[index].sum())
    index.value = 7
    for _ in range(2):
        with pytest.raises(IndexError):
            tape.forward()
    index.value = 0
    tape.forward()
    tape.backward()
    assert matrix.grad == [[1.0], [0.0]]


@pytest.mark.parametrize("use", [lambda w: w[Index(0)], lambda w: w[Index(0)] * 1.0])
@pytest.mark.parametrize("rank", [1, 2])
def test_a_stale_view_through_an_index_is_refused_like_any_other(use, rank):
    v = Vector([1.0, 2.0]) if rank == 1 else Matrix([[1.0, 2.0], [3.0, 4.0]])
    w = v * v if rank == 1 else Matrix([row * row for row in v])
    y = use(w).exp()
    y = y if rank == 1 else y.sum()
    Tape(w.sum() if rank == 1 else w[0].sum()).forward()
    with pytest.raises(RuntimeError, match="changed after it was recorded"):
        y.backward()


def test_no_grad_left_in_a_thread_that_never_entered_it():
    block = no_grad()
    for _ in range(3):  # the threads come one after another, and may have the same address
        thread = threading.Thread(target=block.__enter__)
        thread.start()
        thread.join()
        seen = []

        def leave(seen=seen):
            block.__exit__()
            seen.append((Value(2.0) * 3).op)

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        assert seen == ["*"]
    with block, block:
        assert (Value(2.0) * 3).op == ""
    assert (Value(2.0) * 3).op == "*"


@pytest.mark.parametrize(
    "rows", [[[5.0], [6.0, 7.0]], [[5.0, 6.0]], [[5.0, 6.0]] * 3, [[5.0, "x"]] * 2]
)
def test_a_table_of_another_shape_changes_nothing(rows):
    m = Matrix([[1.0, 2.0], [3.0, 4.0]])
    m.grad = 9
    for name in ("data", "grad"):
        with pytest.raises((ValueError, TypeError)):
            setattr(m, name, rows)
    assert (m.data, m.grad) == ([[1.0, 2.0], [3.0, 4.0]], [[9.0, 9.0]] * 2)


def test_numbers_of_numpy_that_are_true_or_false():
    np = pytest.importorskip("numpy")
    for yes, no in [(True, False), (np.True_, np.False_)]:
        v, m = Vector([yes, 2.0]), Matrix([[no, 2.0]])
        v.grad = yes
        m.data = [[yes, no]]
        assert (v.data, v.grad, m.data) == ([1.0, 2.0], [1.0, 1.0], [[1.0, 0.0]])
        assert ((v * yes).data, (yes * v).data, (Value(yes) - no).data) == (
            [1.0, 2.0],
            [1.0, 2.0],
            1.0,
        )


# ---------------------------------------------------------------- numbers without end


@pytest.mark.parametrize("name", ["data", "grad"])
def test_numbers_without_end_are_refused_as_soon_as_there_are_too_many(name):
    vector, matrix = Vector([1.0, 2.0]), Matrix([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match="2 numbers are needed here, not more"):
        setattr(vector, name, count())
    for rows in ([count(), count()], repeat([5.0, 6.0])):
        with pytest.raises(ValueError, match="2 rows of 2 numbers are needed here"):
            setattr(matrix, name, rows)
    assert vector.data == [1.0, 2.0]
    assert vector.grad == [0.0, 0.0]
    assert matrix.data == [[1.0, 2.0], [3.0, 4.0]]
    assert matrix.grad == [[0.0, 0.0]] * 2
