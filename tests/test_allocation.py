"""Memory that runs out at each allocation of an operation, one after another.

Whatever the place, MemoryError comes, nothing crashes, every number and gradient is as it was, and
what is computed later is right. The failures are Python's own (`_testcapi`), so they reach all that
the engine allocates: it uses Python's allocators only.
"""

import subprocess
import sys

import pytest

pytest.importorskip("_testcapi")

REFUSED = "\nexcept (ValueError, ArithmeticError, LookupError, TypeError): pass"
# One operation each, on what PROGRAM makes.
OPERATIONS = {
    "a Value": "Value(2.0)",
    "a Value of one's own": "Value(2.0, [x, y, s], [1.0, 2.0, 3.0])",
    "a Vector": "Vector([0.5] * 9)",
    "a Vector of Values": "Vector([x, 1.0, y])",
    "a Matrix": "Matrix([[0.5] * 9] * 3)",
    "a Matrix of Vectors": "Matrix([v, w, u])",
    "a Matrix of mixed rows": "Matrix([v, [x] * 9, [1.0] * 9])",
    "bytes": "Matrix.frombytes(m.tobytes(), 3, 9)",
    "arithmetic of Values": "(x + 1) * y / 2 - x ** y",
    "functions of Values": "(x.exp() + x.log() + x.sqrt()).tanh().relu()",
    "arithmetic of runs": "(v + 1) * w / 2 - w ** x",
    "functions of runs": "(v.exp() + w.log() + w.sqrt()).tanh().relu()",
    "a negation": "-v, -x",
    "a sum": "v.sum(), sum(v)",
    "a softmax": "v.softmax()",
    "a dot product": "v @ w",
    "matrix @ vector": "m @ v",
    "vector @ matrix": "v[:3] @ m",
    "concat": "concat([v, x, w])",
    "elements and slices": "v[1], v[2:4], m[1], m[1:], m[:2, 3:5], list(v), list(m)",
    "views of an Index": "m[i], m[i][i], m[1:][i][2:][i]",
    "an Index": "Index(10**30 - 10**30 + 2)",
    "reading": "x.data, x.grad, v.data, v.grad, u.data, u.grad, len(v), m.shape, repr(v), repr(m)",
    "reading a Matrix": "m.data, m.grad",
    "looking inside": "s.op, s.children, s.local_grads, u[1].children, u[1].local_grads",
    "looking inside products": "(m @ v)[1].children, (v @ w).local_grads, v.softmax()[0].children",
    "hashes": "hash(v), hash(v[1]), v == v[:], {v, x, m}, s._prev",
    "data of a Value": "x.data = 3",
    "grad of a Value": "fresh.grad = 3",
    "data of a Vector": "v.data = [3.0] * 9",
    "grad of a Vector": "v.grad = 1",
    "backward": "root.backward()",
    "backward of a new root": "((m @ v).softmax()[0] * root + (v @ w).exp()).backward()",
    "a Tape": "Tape(root)",
    "a Tape after another": "Tape(root * 2, after=tape)",
    "a replay": "tape.forward()",
    "a replay and backward": "tape.backward()",
    "a new Tape's replay": "Tape((m @ (m[i] * w)) @ (m[:, :3] @ v[:3])).forward()",
    "Adam": "adam_update([v], [a], [b], **rates)",
    "Adam with a Tape": "adam_update([v, m], [a, c], [b, d], **rates, tape=tape)",
    "a Batch": "Batch([i], [root])",
    "rows of a Batch": "batch.forward([[0], [2], [1]])",
    "rows of a new Batch": "Batch([i], [(m @ (m[i] * w)) @ (m[:, :3] @ v[:3])]).forward([[2]])",
    "backward of a Batch": "batch.backward()",
    "Adam with a Batch": "adam_update([v, m, x], [a, c, e], [b, d, f], **rates, tape=batch)",
    "Adam with a Batch for some": "adam_update([v], [a], [b], **rates, tape=batch)",
    "an error of a row": f"try: batch.forward([[0], [3]]){REFUSED}",
    "an error of a root": f"try: Batch([], [root]){REFUSED}",
    "an average": "average_update([v], [w], share=0.5)",
    "no_grad": "with no_grad(): v * w + (m @ v)[0]",
    "an error of lengths": f"try: v + u[1:]{REFUSED}",
    "an error of numbers": f"try: x / 0{REFUSED}",
    "an error of an index": f"try: v[99]{REFUSED}",
    "an error of a slice": f"try: v[::2]{REFUSED}",
    "an error of a type": f"try: Value('x'){REFUSED}",
    "an error of an argument": f"try: x + 'x'{REFUSED}",
    "data of a Matrix": "m.data = [[3.0] * 9] * 3",
    "grad of a Matrix": "m.grad = 1",
    "grads of a Matrix": "m.grad = [range(9)] * 3",
    "grad of a fresh Matrix": "Matrix([[1.0, 2.0]]).grad = [[3.0, 4.0]]",
    "data of a slice": "m[1:, 2:5].data = [[3.0] * 3] * 2",
    "grad of a slice": "m[1:, 2:5].grad = [[3.0] * 3] * 2",
    "data of an Index": "m[i].data = (k + 0.5 for k in range(9))",
    "what micrograd calls backward": "s._backward()",
    "that of an element": "u[1]._backward()",
    "no_grad inside itself": "with no_grad() as block, block, no_grad(): v * w",
}

PROGRAM = """
import _testcapi, gc
from llmhard.autograd import *

def make():
    x, y, fresh, i = Value(0.5), Value(1.5), Value(1.0), Index(1)
    v, w = Vector([0.1 * k - 0.3 for k in range(9)]), Vector([0.2 * k + 0.1 for k in range(9)])
    m = Matrix([[0.1 * (k - r) for k in range(9)] for r in range(3)])
    a, b = Vector([0.0] * 9), Vector([0.0] * 9)
    c, d = Matrix([[0.0] * 9] * 3), Matrix([[0.0] * 9] * 3)
    s, u = x * y, v * w
    root = (m @ (u * s)).softmax()[i] * s + m[i].sum() + s.exp()
    e, f = Value(0.0), Value(0.0)
    tape = Tape(root)
    batch = Batch([i], [root + (m @ (u * 2.0)).sum()])
    batch.forward([[1], [2]])
    root.backward()
    u.grad = 0.25
    rates = dict(lr=0.1, beta1=0.9, beta2=0.9, eps=1e-8, t=1)
    return locals() | globals()

def numbers(names):
    handles = [(n, h) for n, h in names.items() if isinstance(h, (Value, Vector, Matrix))]
    return {{n: (h.data, h.grad) for n, h in handles}}

def use(names):
    # what comes later: a new computation with all that is there
    v, w, m, s, tape, batch, root = (
        names[n] for n in ("v", "w", "m", "s", "tape", "batch", "root"))
    for leaf in (names["x"], names["y"], v, w, m):
        leaf.grad = 0
    tape.forward()
    tape.backward()
    again = ((m @ v) * s).sum() + (v @ w).exp()
    again.backward()
    computed = batch.forward([[2], [0], [1]])
    batch.backward()
    return again.data, root.data, computed, numbers(names)

act = compile({line!r}, "operation", "exec")
expected_use = use(make())
expected = make()
exec(act, expected)
expected = numbers(expected)
floats = [k + 0.5 for k in range(300)]
first, successes, failures = 0, 0, 0
while successes < 8:
    names = make()
    before = numbers(names)
    gc.disable()
    _testcapi.set_nomemory(first, first + 1)
    try:
        exec(act, names)
    except MemoryError:
        failed = True
    else:
        failed = False
    finally:
        _testcapi.remove_mem_hooks()
    gc.enable()
    after = numbers(names)
    if failed:
        failures += 1
        changed = [n for n in before if before[n] != after.get(n)]
        assert not changed, f"allocation {{first}} changed {{changed}}"
        assert use(names) == expected_use, f"later use is wrong after {{first}}"
    else:
        assert after == expected, f"allocation {{first}}: another result, and no MemoryError"
    assert [k + 0.5 for k in range(300)] == floats, f"allocation {{first}} corrupted memory"
    successes = 0 if failed else successes + 1
    first += 1
    assert first < 5000
print(failures)
"""


@pytest.mark.parametrize("line", OPERATIONS.values(), ids=OPERATIONS)
def test_memory_that_runs_out_anywhere_changes_nothing(line):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM.format(line=line)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr[-3000:]}"
    assert int(done.stdout) > 0  # failures
