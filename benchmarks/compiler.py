"""Compiling the C baselines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recipe import Recipe

HERE = Path(__file__).parent
# For the same machine as the engine: see setup.py.
ARCH = os.environ.get("LLMHARD_ARCH", "native")
MACHINE = {"native": ["-march=native", "-mprefer-vector-width=512"], "portable": []}
FLAGS = ["-O3", *MACHINE.get(ARCH, [f"-march={ARCH}"]), "-ffast-math"]
# The engines that are C programs, and the macros that they are compiled with.
PROGRAMS = {
    "c": ("baseline",),
    "c-intrinsics": ("baseline-intrinsics", "INTRINSICS"),
    "c-single": ("baseline-single", "SINGLE"),
}


def command() -> list[str]:
    return os.environ.get("CC", "cc").split()


def version() -> str:
    try:
        output = subprocess.run([*command(), "--version"], capture_output=True, text=True)
    except OSError:
        return "no C compiler"
    return output.stdout.splitlines()[0] if output.stdout else "an unknown C compiler"


def accepted_flags() -> list[str]:
    """Return those of FLAGS that the compiler accepts on this machine."""
    return [flag for flag in FLAGS if _compiles(["-Werror", flag, "-E", "-x", "c", os.devnull])]


def compile_recipe(recipe: Recipe, program: Path, *defines: str) -> bool:
    """Compile the training baseline for a model of this size; return whether that worked."""
    config = recipe.config
    sizes = {
        "VOCAB": config.vocab_size,
        "N_LAYER": config.n_layer,
        "N_EMBD": config.n_embd,
        "N_HEAD": config.n_head,
        "BLOCK_SIZE": config.block_size,
        "BATCH": recipe.batch_size,
    }
    options = [f"-D{name}={size}" for name, size in sizes.items()]
    options += [f"-D{name}" for name in defines]
    return _compile(HERE / "baseline.c", program, options)


def compile_engines(recipe: Recipe, folder: Path, names: Sequence[str]) -> list[str]:
    """Compile those of the engines that are programs; return those that can be run."""

    def can_be_run(name: str) -> bool:
        if name not in PROGRAMS:
            return True
        program, *defines = PROGRAMS[name]
        return compile_recipe(recipe, folder / program, *defines)

    return list(filter(can_be_run, names))


def compile_irregular(program: Path) -> bool:
    return _compile(HERE / "baseline_irregular.c", program, [])


def _compile(source: Path, program: Path, options: list[str]) -> bool:
    return _compiles([*accepted_flags(), *options, str(source), "-o", str(program), "-lm"])


def _compiles(options: list[str]) -> bool:
    try:
        return subprocess.run([*command(), *options], capture_output=True).returncode == 0
    except OSError:
        return False
