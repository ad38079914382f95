"""The irregular graph of scalars from "Fastest Autograd in the West", one engine a process.

    python -m benchmarks.irregular NAME FOLDER ITERATIONS

prints JSON: `seconds` that the iterations took, `recording` seconds before them, and `result`: the
last node and the sum of the gradients of the last 100 nodes, which show that all do the same work.

The leaves are the article's: 0, 1, ..., 99. All numbers stay finite in double precision, even where
softplus is written as a user would write it: log(1 + exp(x)).
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

Result = dict[str, Any]

N_OPERATIONS = 10_000
N_ITERATIONS = 10_000
LEAVES = [float(i) for i in range(100)]
# Seconds for all of it on an M1, from https://arogozhnikov.github.io/2023/12/28/fastest-autograd.html
PUBLISHED = {
    "PyTorch": 1130.0,
    "JAX, with compiling": 470.0,
    "Python with numba": 41.0,
    "Rust": 1.4,
    "C": 0.99,
}


def graph(
    leaves: Sequence[Any],
    softplus: Callable[[Any], Any],
    add: Callable[[Sequence[Any]], Any],
    softmax: Callable[[Sequence[Any]], Sequence[Any]],
) -> list[Any]:
    """Return the nodes, 17,600 for 10,000 operations."""
    nodes = list(leaves)
    for i in range(N_OPERATIONS):
        kind = i % 4
        if kind == 0:
            nodes.append(softplus(nodes[-10]))
        elif kind == 1:
            nodes.append(add(nodes[-30:-10:5]))
        elif kind == 2:
            nodes.append(nodes[-20] * nodes[-10])
        else:
            nodes.extend(softmax(nodes[-4:]))
    return nodes


def _timed(iterate: Callable[[], Any], iterations: int) -> float:
    start = perf_counter()
    for _ in range(iterations):
        iterate()
    return perf_counter() - start


def c(folder: Path, iterations: int) -> Result:
    command = [str(folder / "baseline_irregular"), str(N_OPERATIONS), str(iterations)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, *result = map(float, output.split())
    return {"seconds": seconds, "result": result}


def llmhard(_: Path, iterations: int, replay: bool) -> Result:
    from llmhard import Tape, Value
    from llmhard.layers import softmax

    leaves = [Value(x) for x in LEAVES]

    def record() -> list[Value]:
        return graph(leaves, lambda x: (1 + x.exp()).log(), sum, softmax)

    start = perf_counter()
    nodes = record()
    if replay:
        tape = Tape(nodes[-1])
        recording = perf_counter() - start

        def iterate() -> None:
            tape.forward()
            tape.backward()

        iterate()
    else:
        recording = 0.0

        def iterate() -> None:
            record()[-1].backward()

        nodes[-1].backward()
    result = [nodes[-1].data, sum(node.grad for node in nodes[-100:])]
    del nodes
    return {"seconds": _timed(iterate, iterations), "recording": recording, "result": result}


def python(_: Path, iterations: int) -> Result:
    from benchmarks.scalar import Value, backward, softmax, total

    gc.disable()  # there are no cycles to find among the Values, only time to lose
    leaves = [Value(x) for x in LEAVES]

    def iterate() -> list[Value]:
        nodes = graph(leaves, lambda x: x.exp().plus(1.0).log(), total, softmax)
        backward(nodes[-1])
        return nodes

    nodes = iterate()
    result = [nodes[-1].data, sum(node.grad for node in nodes[-100:])]
    return {"seconds": _timed(iterate, iterations), "result": result}


def pytorch(_: Path, iterations: int) -> Result:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    leaves = torch.tensor(LEAVES, dtype=torch.float64, requires_grad=True)

    def softmax(nodes: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return F.softmax(torch.stack(list(nodes)), 0).unbind()

    def record() -> list[torch.Tensor]:
        return graph(list(leaves), F.softplus, sum, softmax)

    nodes = record()
    for node in nodes[-100:]:
        node.retain_grad()
    nodes[-1].backward()
    gradients = [node.grad for node in nodes[-100:]]
    result = [nodes[-1].item(), float(sum(g for g in gradients if g is not None))]
    return {"seconds": _timed(lambda: record()[-1].backward(), iterations), "result": result}


# How many iterations each engine gets; with fewer than N_ITERATIONS, its time is extrapolated.
ENGINES: dict[str, tuple[Callable[[Path, int], Result], int]] = {
    "c": (c, N_ITERATIONS),
    "llmhard": (partial(llmhard, replay=True), 1000),
    "llmhard-recorded": (partial(llmhard, replay=False), 100),
    "python": (python, 10),
    "pytorch": (pytorch, 5),
}


def main(arguments: Sequence[str]) -> None:
    name, folder, iterations = arguments
    try:
        result = ENGINES[name][0](Path(folder), int(iterations))
    except ModuleNotFoundError as error:
        result = {"missing": error.name}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
