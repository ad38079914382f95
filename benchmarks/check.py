"""Do all engines compute the same? Gradients of C and llmhard, losses and results of all."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import batches, compiler, contexts, engines
from benchmarks.recipe import Recipe
from llmhard.autograd import Matrix
from llmhard.model import GPT
from llmhard.trainer import sequence_loss

GRADIENT_TOLERANCE = 1e-10
LOSS_TOLERANCE = 1e-9
SINGLE_TOLERANCE = 1e-3  # for losses in single precision, after some steps
FIRST_LOSSES = 20

Run = Callable[[str, str, Path, int], dict[str, Any]]


def check(folder: Path, run: Run, names: dict[str, list[str]]) -> bool:
    """Print each comparison; return whether all agree. `names` has each module's engines."""
    ok = True
    for what, recipe in _recipes_of_gradients().items():
        ok &= _gradients(what, recipe, folder)
    recipe = Recipe.of_the_corpus(FIRST_LOSSES)
    ok &= _losses(f"the first {FIRST_LOSSES} losses", recipe, folder, run, names["engines"])
    for model, recipe_of in batches.MODELS.items():
        what = f"{batches.SIZE} sentences a step, {model}"
        ok &= _losses(what, recipe_of(FIRST_LOSSES), folder, run, list(engines.OF_BATCHES))
    compiler.compile_irregular(folder / "baseline_irregular")
    results = {name: run("irregular", name, folder, 1) for name in names["irregular"]}
    ok &= _same("the irregular graph", results, "result")
    results = {name: run("singles", name, folder, 5) for name in names["singles"]}
    ok &= _same("the losses on single Values", results, "losses")
    return ok


def _recipes_of_gradients() -> dict[str, Recipe]:
    """Return recipes with sentences of all lengths, up to the context's, and the shortest."""
    corpus = Recipe.of_the_corpus(steps=500)
    by_length = {len(document): document for document in corpus.documents}
    vocab_size, block_size = corpus.config.vocab_size, corpus.config.block_size
    full = [(i * i + 7) % vocab_size for i in range(block_size + 1)]
    documents = [*by_length.values(), full, [1, 2]]
    together = replace(corpus, steps=1, batch_size=len(documents))
    return {
        "one sentence a step": replace(corpus, documents=documents, steps=len(documents)),
        "all in one step": replace(together, documents=documents),
        "microgpt's model": Recipe.of_names(16, 2, batches.SIZE),
        "microgpt's model at width 64": Recipe.of_names(64, 2, batches.SIZE),
        "texts of characters": Recipe.of_texts([contexts.CONTEXT, 100, 1], 3),
    }


def _gradients(what: str, recipe: Recipe, folder: Path) -> bool:
    worst = gradients_apart(recipe, folder)
    if worst is None:
        print(f"skipped  gradients, {what}: no C compiler")
        return True
    positions = sorted({len(document) - 1 for document in recipe.documents})
    print(
        f"{_verdict(worst, GRADIENT_TOLERANCE)}  gradients of C and llmhard, {what}, sentences of "
        f"{', '.join(map(str, positions))} positions: they differ by {worst:.1e} at most"
    )
    return worst <= GRADIENT_TOLERANCE


def gradients_apart(recipe: Recipe, folder: Path, *defines: str) -> float | None:
    """Return the largest difference between C and llmhard, before a step, in a loss or gradient.

    None where C cannot be compiled.
    """
    recipe.write(folder)
    if not compiler.compile_recipe(recipe, folder / "baseline-check", "CHECK", *defines):
        return None
    engines.c(folder, recipe.steps, "baseline-check")
    numbers = array("d", (folder / "baseline-check.losses").read_bytes())
    matrices = {
        name: Matrix.frombytes(values.tobytes(), *shape)
        for name, (shape, values) in recipe.matrices().items()
    }
    model = GPT(recipe.config, matrices)
    size = 1 + recipe.config.n_parameters()
    worst = 0.0
    for step in range(recipe.steps):
        batch = recipe.documents[step * recipe.batch_size :][: recipe.batch_size]
        expected = [_backward(model, batch)]
        expected += [g for matrix in matrices.values() for row in matrix.grad for g in row]
        found = numbers[step * size : (step + 1) * size]
        worst = max(worst, *(abs(a - b) for a, b in zip(expected, found, strict=True)))
    return worst


def _backward(model: GPT, batch: Sequence[Sequence[int]]) -> float:
    """Return the mean loss over all tokens of the batch; its gradients are in the parameters."""
    for matrix in model.parameters.values():
        matrix.grad = 0.0
    tokens = sum(len(document) - 1 for document in batch)
    total = 0.0
    for document in batch:
        loss = sequence_loss(model, document) * ((len(document) - 1) / tokens)
        loss.backward()
        total += loss.data
    return total


def _losses(what: str, recipe: Recipe, folder: Path, run: Run, names: Sequence[str]) -> bool:
    recipe.write(folder)
    compiled = compiler.compile_engines(recipe, folder, names)
    for name in names:
        if name not in compiled:
            print(f"skipped  {what}: {name}, which cannot be compiled here")
    results = {name: run("engines", name, folder, recipe.steps) for name in compiled}
    return _same(what, results, "losses")


def _same(what: str, results: dict[str, dict[str, Any]], key: str) -> bool:
    reference = next(results[name][key] for name in results if name.startswith("llmhard"))
    ok = True
    for name, result in results.items():
        if "missing" in result:
            print(f"skipped  {what}: {name}, because {result['missing']} is missing")
            continue
        worst = max(abs(a - b) for a, b in zip(reference, result[key], strict=True))
        tolerance = SINGLE_TOLERANCE if name.endswith("single") else LOSS_TOLERANCE
        print(f"{_verdict(worst, tolerance)}  {what}: {name} and llmhard differ by {worst:.1e}")
        ok &= worst <= tolerance
    return ok


def _verdict(worst: float, tolerance: float) -> str:
    sys.stdout.flush()
    return "ok" if worst <= tolerance else "WRONG"
