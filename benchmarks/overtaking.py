"""From which width and batch on PyTorch takes less time for a step than llmhard.

python -m benchmarks.overtaking [--out docs/overtaking.csv]      some minutes on one core

One thread of each; the processor time of a whole step, forward, backward and Adam, on sentences of
one length: the fastest of several. PyTorch runs the model of examples/pytorch_model.py, in double
precision like llmhard, and in single precision. The first line of the file says what it ran on.
Needs: python -m pip install torch safetensors
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import ModuleType

from benchmarks.run import processor
from llmhard import __version__
from llmhard.adam import Adam
from llmhard.model import GPT, Config
from llmhard.trainer import Recordings

ROOT = Path(__file__).parent.parent
OUT = Path("docs/overtaking.csv")
WIDTHS = (32, 64, 128, 256)
BATCHES = (1, 16, 64)
VOCABULARY, POSITIONS, LEARNING_RATE = 597, 7, 0.001
FEWEST, SECONDS = 3, 2.0  # steps that are timed, and for how long
HEADER = "width,sentences,parameters,llmhard_ms,pytorch_double_ms,pytorch_single_ms"

Step = Callable[[], object]


def sentences(n: int) -> list[list[int]]:
    """Return random sentences of one length, as tokens."""
    rng = random.Random(n)
    return [[rng.randrange(VOCABULARY) for _ in range(POSITIONS + 1)] for _ in range(n)]


def fastest(step: Step) -> float:
    """Return the milliseconds of processor time that the fastest step takes."""
    step()
    times: list[float] = []
    while len(times) < FEWEST or sum(times) < SECONDS:
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def ours(width: int, documents: Sequence[list[int]]) -> Step:
    """Return a step of llmhard."""
    model = GPT.initialize(Config(VOCABULARY, n_embd=width), random.Random(0))
    adam = Adam(list(model.parameters.values()))
    recordings = Recordings(model)
    shares = [1 / len(documents)] * len(documents)

    def step() -> None:
        recordings.losses(documents, shares)
        adam.step(LEARNING_RATE, recordings.batch)

    return step


def example() -> ModuleType:
    """Import examples/pytorch_model.py."""
    path = ROOT / "examples" / "pytorch_model.py"
    spec = importlib.util.spec_from_file_location("pytorch_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def theirs(width: int, documents: Sequence[list[int]], precision: str) -> Step:
    """Return a step of PyTorch."""
    import torch

    dtype = getattr(torch, precision)
    sizes = vars(Config(VOCABULARY, n_embd=width))
    model = example().GPT(**sizes).to(dtype)
    adam = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    tokens = torch.tensor(documents)

    def step() -> None:
        logits = model(tokens[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def row(width: int, n: int) -> str:
    """Measure one width with so many sentences a step."""
    documents = sentences(n)
    steps = [ours(width, documents)]
    steps += [theirs(width, documents, precision) for precision in ("float64", "float32")]
    times = (f"{fastest(step):.3g}" for step in steps)
    return ",".join([f"{width},{n},{Config(VOCABULARY, n_embd=width).n_parameters()}", *times])


def machine() -> str:
    """Say what this runs on, and when."""
    import torch

    return (
        f"# {processor()}, {os.cpu_count()} processors, {platform.system()}; "
        f"llmhard {__version__}, PyTorch {torch.__version__.partition('+')[0]}, {date.today()}"
    )


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [machine(), HEADER]
    for width in WIDTHS:
        for n in BATCHES:
            lines.append(row(width, n))
            print(lines[-1], flush=True)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
