"""Threads that share leaves, results and parameters: no update is lost, no number is half done."""

import os
import random
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from llmhard import Matrix, Tape, Value, Vector
from llmhard.autograd import Index, adam_update, average_update

PERCENT = int(os.environ.get("LLMHARD_TURNS", "100"))  # fewer under ThreadSanitizer, which is slow


def turns(n):
    return n * PERCENT // 100


@pytest.fixture(autouse=True)
def _often():
    """Threads take turns more often than once in 5 ms."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def at_once(*works):
    """Run them in threads of their own; raises what one of them raised."""
    start, faults = threading.Barrier(len(works)), []

    def run(work):
        start.wait()
        try:
            work()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def passes(tape):
    """A function that runs a Tape forward and backward, turns(200) times."""

    def run():
        for _ in range(turns(200)):
            tape.forward()
            tape.backward()

    return run


def beside(work, *others):
    """Run the work, and the others again and again until it is done."""
    done = threading.Event()

    def first():
        try:
            work()
        finally:
            done.set()

    def again(other):
        def run():
            while not done.is_set():
                other()

        return run

    at_once(first, *map(again, others))


def added_up(x, times=30):
    y = x
    for _ in range(times):
        y = y + x
    return y


def wide(number=1.0, n=2000):
    return Vector([number] * n)


# ---------------------------------------------------------------- backward and backward


@pytest.mark.parametrize("way", ["Tape", "Value.backward"])
def test_gradients_of_a_shared_leaf_all_arrive(way):
    v = wide()
    roots = [added_up(v).sum() for _ in range(4)]

    def work(root):
        tape = Tape(root)

        def run():
            for _ in range(turns(200)):
                if way == "Tape":
                    tape.forward()
                    tape.backward()
                else:
                    root.backward()

        return run

    at_once(*map(work, roots))
    assert v.grad == [4 * turns(200) * 31.0] * 2000


def test_gradients_of_a_shared_matrix_all_arrive():
    m = Matrix([[0.5] * 64] * 64)
    tapes = [Tape(sum((m @ wide(1.0, 64)).sum() for _ in range(9))) for _ in range(4)]

    at_once(*map(passes, tapes))
    assert m.grad == [[4 * turns(200) * 9.0] * 64] * 64


def test_single_values_in_programs_of_their_tapes():
    x = Value(1.0)
    tapes = [Tape(added_up(x, 3000)) for _ in range(3)]

    at_once(*map(passes, tapes))
    assert x.grad == 3 * turns(200) * 3001.0


# ---------------------------------------------------------------- replays and what others do


def write_data(leaf, turn):
    leaf.data = float(turn)


def write_rows(leaf, turn):
    leaf.data = [[float(turn)] * leaf.shape[1]] * leaf.shape[0]


def write_mean(leaf, turn):
    of = type(leaf)(wide(turn).data if isinstance(leaf, Vector) else [[turn] * 64] * 64)
    average_update([leaf], [of], share=1.0)


@pytest.mark.parametrize("write", [write_data, write_mean])
def test_a_replay_sees_a_leaf_before_or_after_an_assignment(write):
    p = wide()
    y = added_up(p)
    tape, count = Tape(y), iter(range(10**9))

    def replay():
        for _ in range(turns(500)):
            tape.forward()
            numbers = set(y.data)
            assert len(numbers) == 1
            assert numbers.pop() % 31 == 0

    beside(replay, lambda: write(p, float(next(count) % 7)))


@pytest.mark.parametrize("write", [write_rows, write_mean])
def test_a_replay_sees_a_matrix_before_or_after_an_assignment(write):
    m = Matrix([[1.0] * 64] * 64)
    y = added_up(m @ wide(1.0, 64))
    tape, count = Tape(y), iter(range(10**9))

    def replay():
        for _ in range(turns(500)):
            tape.forward()
            assert len(set(y.data)) == 1

    beside(replay, lambda: write(m, float(next(count) % 7)))


def test_a_step_of_adam_beside_a_replay():
    p, m, v = wide(), wide(0.0), wide(0.0)
    y = added_up(p)
    tape, steps = Tape(y), iter(range(1, 10**9))

    def replay():
        for _ in range(turns(300)):
            tape.forward()
            assert len(set(y.data)) == 1

    def step():
        p.grad = 1.0
        adam_update([p], [m], [v], lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, t=next(steps))

    beside(replay, step)


def raises_only(work, message):
    """Run it; another RuntimeError than one with this message fails."""
    try:
        work()
    except RuntimeError as error:
        if message not in str(error):
            raise


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward and backward"])
def test_a_step_of_adam_with_a_tape_is_one_piece(backward):
    m, mean, square = (Matrix([[x] * 64] * 64) for x in (0.5, 0.0, 0.0))
    trained, other = (Tape((m @ wide(1.0, 64)).sum()) for _ in range(2))
    rates = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}

    def train():
        for t in range(1, turns(300) + 1):
            trained.forward()
            adam_update([m], [mean], [square], t=t, tape=trained, **rates)
            assert len({x for row in m.data for x in row}) == 1

    def replay():
        other.forward()
        if backward:  # the parameters may have moved since
            raises_only(other.backward, "was changed after")

    beside(train, replay)


@pytest.mark.parametrize("read", [lambda p: p.grad, lambda p: [p[0].grad], lambda p: p[:9].grad])
def test_a_gradient_is_read_before_or_after_a_backward(read):
    p = wide()
    tape = Tape(added_up(p).sum())

    def replay():
        for _ in range(turns(300)):
            tape.forward()
            tape.backward()

    def look():
        numbers = set(read(p))
        assert len(numbers) == 1
        assert numbers.pop() % 31 == 0

    beside(replay, look)
    assert p.grad == [turns(300) * 31.0] * 2000


def test_a_gradient_that_is_set_during_a_backward_stays_whole():
    p = wide()
    tape = Tape(added_up(p).sum())

    def replay():
        for _ in range(turns(300)):
            tape.forward()
            tape.backward()
            assert len(set(p.grad)) == 1

    beside(replay, lambda: setattr(p, "grad", 0))


def test_results_are_read_and_recorded_on_top_of_before_or_after_a_replay():
    p = wide()
    y = added_up(p)
    tape, count = Tape(y), iter(range(10**9))

    def replay():
        for _ in range(turns(300)):
            p.data = float(next(count) % 7)
            tape.forward()

    def look():
        for numbers in (y.data, (y + 1.0).data, (y * y).data, y.softmax().data):
            assert len(set(numbers)) == 1

    beside(replay, look)


def test_local_gradients_on_top_of_a_replay_are_those_before_it_or_refused():
    p = wide(n=500_000)
    y = p + 0.0
    tape, count = Tape(y), iter(range(10**9))

    def replay():
        for _ in range(turns(300)):
            p.data = float(next(count) % 7)
            tape.forward()

    def look():
        square = y * y
        recorded = square[0].data
        for _ in range(100):
            with suppress(RuntimeError):  # replayed since
                assert square[0].local_grads[0] ** 2 == recorded

    beside(replay, look)


def test_who_keeps_a_value_is_noted_while_a_tape_replays_it():
    """With `make tsan`: a replay and the GIL's owner write to no word of a node in common."""
    v = Vector([1.0])
    results = [v[0] + float(i) for i in range(2000)]
    tape = Tape(Vector(results))

    def label():
        for i, x in enumerate(results):
            x.label = f"result {i}"

    beside(label, tape.forward)
    above = [x * 1.0 for x in results]
    del tape
    results.clear()
    assert [x.children[0].label for x in above] == [f"result {i}" for i in range(2000)]


def test_two_tapes_with_results_in_common():
    p = wide()
    h = added_up(p)
    first, second = Tape(h), Tape(added_up(h).sum())
    start = threading.Barrier(2)

    def work(tape):
        def run():
            start.wait()
            for _ in range(turns(200)):
                tape.forward()
                assert len(set(h.data)) == 1

        return run

    at_once(work(first), work(second))
    assert second.root.data == 31 * 31 * 2000.0


def test_rows_that_an_index_moves():
    m, i = Matrix([[float(r)] * 2000 for r in range(5)]), Index(0)
    row = m[i]
    tape, rng = Tape(added_up(row).sum()), random.Random(1)

    def replay():
        for _ in range(turns(300)):
            i.value = rng.randrange(5)
            tape.forward()
            tape.backward()

    def look():
        assert len(set(row.data)) == 1
        assert len(set(row.grad)) == 1
        assert len(set((row + 1.0).data)) == 1
        Tape(row.sum())

    beside(replay, look)
    assert sum(numbers[0] for numbers in m.grad) == turns(300) * 31.0


# ---------------------------------------------------------------- at once, and in the end


def test_forwards_that_share_leaves_go_on_side_by_side():
    p = wide(1.0, 200_000)
    slow, quick = Tape(added_up(p, 400)), Tape(p.sum())
    began, ready = threading.Event(), []

    def long():
        slow.forward()
        began.set()
        slow.forward()
        ready.append("slow")

    def short():
        began.wait()
        quick.forward()
        ready.append("quick")

    at_once(long, short)
    assert ready == ["quick", "slow"]


def test_whoever_waits_has_its_turn():
    p = wide(1.0, 100_000)
    tape, looks = Tape(added_up(p).sum()), []

    def replay():
        for _ in range(100):
            tape.backward()

    beside(replay, lambda: looks.append(p[0].grad))
    assert len(looks) > 20


def test_a_tape_that_raises_keeps_nobody_waiting():
    x, i = Vector([1.0, 2.0]), Index(0)
    tape = Tape(x[i] * 2.0)
    stale = x.softmax()[0]
    i.value = 5
    with pytest.raises(IndexError):
        tape.forward()
    x.data = [3.0, 4.0]
    with pytest.raises(RuntimeError, match="changed after"):
        stale.backward()
    at_once(lambda: setattr(x, "data", 1.0), lambda: x.grad, Tape(x.sum()).backward)
    assert x.grad == [1.0, 1.0]


FORK = """
import os, sys, threading
from llmhard.autograd import *
sys.setswitchinterval(1e-5)
p = Vector([1.0] * 20_000)
y = p
for _ in range(30):
    y = y + p
tape, done = Tape(y.sum()), []

def replay():
    while not done:
        tape.forward()
        tape.backward()

thread = threading.Thread(target=replay)
thread.start()
for _ in range(40):
    child = os.fork()
    if not child:
        try:
            grads = set(p.grad)
            assert len(grads) == 1 and grads.pop() % 31 == 0, "half of a backward"
            p.grad = 0
            tape.forward()
            tape.backward()
            assert p.grad == [31.0] * 20_000
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
done.append(1)
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_during_a_replay_copies_whole_numbers_and_nobody_waits_for_ever():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
