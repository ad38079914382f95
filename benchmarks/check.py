"""Do all engines compute the same? Gradients of C and llmhard, losses and results of all."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import compiler, engines
from benchmarks.recipe import Recipe
from llmhard.autograd import Matrix
from llmhard.model import GPT
from llmhard.trainer import sequence_loss

GRADIENT_TOLERANCE = 1e-10
LOSS_TOLERANCE = 1e-9
FIRST_LOSSES = 20

Run = Callable[[str, str, Path, int], dict[str, Any]]


def check(folder: Path, run: Run, names: dict[str, list[str]]) -> bool:
    """Print each comparison; False if one fails. `names`: of the engines of each module."""
    ok = _gradients(folder)
    recipe = Recipe.of_the_corpus(FIRST_LOSSES)
    recipe.write(folder)
    missing = set()
    if not compiler.compile_recipe(recipe.config, folder / "baseline"):
        missing |= {"c", "c-intrinsics"}
    elif not compiler.compile_recipe(recipe.config, folder / "baseline-intrinsics", "INTRINSICS"):
        missing.add("c-intrinsics")
    for name in sorted(missing):
        print(f"skipped  {name}, which cannot be compiled here")
    names = {module: [n for n in of if n not in missing] for module, of in names.items()}
    results = {name: run("engines", name, folder, FIRST_LOSSES) for name in names["engines"]}
    ok &= _same(f"the first {FIRST_LOSSES} losses", results, "losses", LOSS_TOLERANCE)
    compiler.compile_irregular(folder / "baseline_irregular")
    results = {name: run("irregular", name, folder, 1) for name in names["irregular"]}
    ok &= _same("the irregular graph", results, "result", LOSS_TOLERANCE)
    results = {name: run("singles", name, folder, 5) for name in names["singles"]}
    ok &= _same("the losses on single Values", results, "losses", LOSS_TOLERANCE)
    return ok


def _gradients(folder: Path) -> bool:
    """C beside llmhard, on sentences of the corpus and on one as long as the context."""
    recipe = Recipe.of_the_corpus(steps=500)
    by_length = {len(document): document for document in recipe.documents}
    vocab_size, block_size = recipe.config.vocab_size, recipe.config.block_size
    full = [(i * i + 7) % vocab_size for i in range(block_size + 1)]
    documents = [*by_length.values(), full, [1, 2]]
    replace(recipe, documents=documents, steps=len(documents)).write(folder)
    if not compiler.compile_recipe(recipe.config, folder / "baseline-check", "CHECK"):
        print("gradients: skipped, no C compiler")
        return True
    engines.c(folder, len(documents), "baseline-check")
    numbers = array("d", (folder / "baseline-check.losses").read_bytes())
    matrices = {
        name: Matrix.frombytes(values.tobytes(), *shape)
        for name, (shape, values) in recipe.matrices().items()
    }
    size = 1 + recipe.config.n_parameters()
    worst = 0.0
    for i, document in enumerate(documents):
        model = GPT(recipe.config, matrices)
        for matrix in matrices.values():
            matrix.grad = 0.0
        loss = sequence_loss(model, document)
        loss.backward()
        expected = [loss.data]
        expected += [g for matrix in matrices.values() for row in matrix.grad for g in row]
        found = numbers[i * size : (i + 1) * size]
        worst = max(worst, *(abs(a - b) for a, b in zip(expected, found, strict=True)))
    lengths = sorted(len(document) - 1 for document in documents)
    print(
        f"{_verdict(worst, GRADIENT_TOLERANCE)}  gradients of C and llmhard, sentences of "
        f"{', '.join(map(str, lengths))} positions: they differ by {worst:.1e} at most"
    )
    return worst <= GRADIENT_TOLERANCE


def _same(what: str, results: dict[str, dict[str, Any]], key: str, tolerance: float) -> bool:
    reference = next(results[name][key] for name in results if name.startswith("llmhard"))
    ok = True
    for name, result in results.items():
        if "missing" in result:
            print(f"skipped  {what}: {name}, because {result['missing']} is missing")
            continue
        worst = max(abs(a - b) for a, b in zip(reference, result[key], strict=True))
        print(f"{_verdict(worst, tolerance)}  {what}: {name} and llmhard differ by {worst:.1e}")
        ok &= worst <= tolerance
    return ok


def _verdict(worst: float, tolerance: float) -> str:
    sys.stdout.flush()
    return "ok" if worst <= tolerance else "WRONG"
