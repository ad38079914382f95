"""Random programs on the engine and on a second autograd; `make fuzz` runs them for longer."""

import copy
import datetime
import pickle
import re

import fuzz
import fuzz_reference as reference
import pytest

from llmhard import Matrix, Tape, Value, Vector
from llmhard.autograd import Index

TODAY = datetime.date.today().toordinal() * 1000  # a failure prints the seed and the program


@pytest.mark.parametrize("first", [0, TODAY], ids=["the same", "new each day"])
def test_programs(first):
    for seed in range(first, first + 80):
        fuzz.check(seed)


@pytest.mark.parametrize("share", [False, True], ids=["own leaves", "shared leaves"])
def test_programs_in_four_threads(share):
    fuzz.check_in_threads([*range(1000, 1040), *range(TODAY + 200, TODAY + 220)], 4, share)


def written(seeds):
    """All lines of the programs of these seeds."""
    lines = []
    for seed in seeds:
        pair = fuzz.Pair()
        fuzz.run(fuzz.Writer(seed, pair), pair, lines)
    return lines


def test_the_programs_use_everything():
    lines = written(range(80))
    text = "\n".join(lines)
    for rule in reference.BINARY + reference.UNARY:
        use = rule.row.symbol if rule.row.method.startswith("__") else f".{rule.row.method}("
        negation = rule.row.method == "__neg__" and ".__neg__()"
        assert (negation or (f" {use} " if len(use) < 3 else use)) in text, rule.row.name
    for use in (
        *fuzz.FACE,
        "after=t",
        "tape=t",
        "with no_grad",
        "gc.collect",
        "del ",
        "[Index(",
        ".local_grads",
        ".children[",
        "weight_decay",
    ):
        assert use in text, use
    for line in (r"t\d+\.forward", r"t\d+\.backward", r"w\d+ = w\d+\[\w", r"i\d+\.value = \d"):
        assert len(re.findall(line, text)) > 10, line


def test_all_kinds_of_lines_are_written():
    kinds = {name for name in dir(fuzz.Writer) if name.startswith("write_")}
    assert kinds == {f"write_{kind}" for kind in fuzz.WEIGHTS}


def test_a_seed_is_a_program():
    assert written([7]) == written([7])
    assert written([7]) != written([8])


# ---------------------------------------------------------------- a fault is found


def off(rule):
    """The rule, with the last gradient of each scalar 1 % too large."""

    def wrong(*inputs):
        for data, error, terms in rule(*inputs):
            *others, (cell, local, local_error) = terms
            yield data, error, [*others, (cell, local * 1.01, local_error)]

    return wrong


def find_fault():
    """The first fault that programs find, and the line at which they do."""
    for seed in range(400):
        pair, lines = fuzz.Pair(), []
        try:
            fuzz.run(fuzz.Writer(seed, pair), pair, lines)
        except fuzz.Fault as fault:
            return f"{fault} after {lines[-1]}"
    return pytest.fail("400 programs have not found it")


@pytest.mark.parametrize("name", ["dot", "matrix_vector", "vector_matrix", "softmax", "add_up"])
def test_a_wrong_gradient_of_a_run_is_found(monkeypatch, name):
    monkeypatch.setattr(reference, name, off(getattr(reference, name)))
    assert re.search(r"\.grad is|\.local_grads", find_fault())


@pytest.mark.parametrize("rule", reference.BINARY + reference.UNARY, ids=lambda rule: rule.row.name)
def test_a_wrong_gradient_of_an_elementwise_operation_is_found(monkeypatch, rule):
    right = rule.locals[-1]
    monkeypatch.setattr(rule, "locals", [*rule.locals[:-1], lambda *x: right(*x) * 1.01])
    assert re.search(r"\.grad is|\.local_grads", find_fault())


def forgets(name, instead):
    return lambda patch: patch.setattr(reference, name, instead)


PLANTED = {
    "an assignment that backward() overlooks": forgets("check_unchanged", lambda _: None),
    "inner gradients that stay": forgets("clear", lambda _: None),
    "a mean that forgets": forgets("average_update", lambda *_, **__: None),
    "an Index that may lie outside": forgets("outside", lambda *_: False),
    "slices with steps": forgets("span", lambda part, length: part.indices(length)[:2]),
    "leaves of other shapes": forgets("check_leaves", lambda *_: None),
    "no_grad that records": lambda patch: patch.setattr(
        reference, "state", type("State", (), {"blocks": property(lambda _: 0, lambda *_: None)})()
    ),
    "views that stand still": lambda patch: patch.setattr(
        reference.Index, "value", property(lambda _: 0, lambda *_: None)
    ),
    "moments that do not move": forgets("update", lambda *_: None),
}


@pytest.mark.parametrize("name", PLANTED)
def test_other_faults_are_found(monkeypatch, name):
    PLANTED[name](monkeypatch)
    find_fault()


def test_a_fault_is_printed_as_a_short_program(monkeypatch):
    monkeypatch.setattr(reference, "dot", off(reference.dot))
    with pytest.raises(fuzz.Fault) as caught:
        fuzz.run_round(0)
    seed, program = re.match(r"seed (\d+): .*?\n\n(.*)", str(caught.value), re.DOTALL).groups()
    exec(program, names := {})
    assert len(program.splitlines()) <= 12
    assert any("@" in line for line in program.splitlines())
    assert any(name in names for name in ("v1", "v2", "v3"))
    with pytest.raises(fuzz.Fault):
        fuzz.check(int(seed))


# ---------------------------------------------------------------- found by random programs


@pytest.mark.parametrize(
    "show", [lambda row: row[1], lambda row: row[:2], lambda row: row[Index(1)]]
)
def test_a_view_of_what_an_index_chose_is_not_stale_when_it_is_made(show):
    Value().data = 1.0  # anything, anywhere, before
    m, i = Matrix([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), Index(1)
    part = show(m[i])
    root = Vector([part]).sum() if isinstance(part, Value) else part.sum()
    root.backward()
    tape = Tape(root)
    tape.backward()
    assert m.grad[0] == [0.0] * 3
    assert m.grad[1][1] == 2.0


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_has_the_gradient_that_backward_gave(twin):
    x, v, m = Value(2.0), Vector([1.0, 2.0]), Matrix([[1.0, 2.0]])
    ((m @ v)[0] * x).backward()
    assert (twin(x).grad, twin(v).grad, twin(m).grad) == (5.0, [2.0, 4.0], [[2.0, 4.0]])
