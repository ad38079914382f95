"""A training step of C and one of llmhard, both built for one kind of processor.

    LLMHARD_ARCH=x86-64-v3 python -m benchmarks.widths STEPS ROUNDS

prints JSON: for each number of sentences a step and each engine the milliseconds a step in each
round, in turn. Run it in a copy of the checkout whose engine was built with the same LLMHARD_ARCH,
as made by `build`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import batches, compiler
from benchmarks.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
# The value of LLMHARD_ARCH, and how many doubles a register then holds, on x86-64.
LEVELS = {"x86-64-v4": 8, "x86-64-v3": 4, "portable": 2}
NEEDED = ("benchmarks", "llmhard", "pyx", "data", "setup.py", "pyproject.toml", "README.md")

# The number of sentences a step, and what the number of steps is divided by.
SIZES = {1: 1, batches.SIZE: 4}

Times = dict[str, dict[str, list[float]]]


def build(place: Path, level: str) -> bool:
    """Copy the checkout and build an engine for that level; return whether that worked."""
    for name in NEEDED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / name, place / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, place / name)
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    return _run(command, place, level).returncode == 0


def measure(place: Path, level: str, steps: int, rounds: int) -> Times:
    """Return the times in the copy that build() made; none if this processor cannot run it."""
    done = _run([sys.executable, "-m", __name__, str(steps), str(rounds)], place, level)
    times: Times = json.loads(done.stdout) if done.returncode == 0 else {}
    return times


def _run(command: Sequence[str], place: Path, level: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"LLMHARD_ARCH": level, "PYTHONPATH": str(place)}
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)


def main(arguments: Sequence[str]) -> None:
    steps, rounds = map(int, arguments)
    times: Times = {}
    for size, share in SIZES.items():
        recipe = Recipe.of_the_corpus(max(1, steps // share), size)
        with tempfile.TemporaryDirectory() as folder:
            recipe.write(Path(folder))
            names = compiler.compile_engines(recipe, Path(folder), ["c", "llmhard"])
            times[str(size)] = {name: [] for name in names}
            for _ in range(rounds):
                for name, values in times[str(size)].items():
                    values.append(1e3 * _seconds(name, folder, recipe.steps) / recipe.steps)
    print(json.dumps(times))


def _seconds(name: str, folder: str, steps: int) -> float:
    command = [sys.executable, "-m", "benchmarks.engines", name, folder, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


if __name__ == "__main__":
    main(sys.argv[1:])
