"""Several sentences a step: the models trained that way, and what others have published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.recipe import Recipe

SIZE = 16  # sentences a step

# Recipes, given the number of steps, by name.
MODELS: dict[str, Callable[[int], Recipe]] = {
    "the default model": partial(Recipe.of_the_corpus, batch_size=SIZE),
    "microgpt's": partial(Recipe.of_names, 16, batch_size=SIZE),
    "microgpt's at width 64": partial(Recipe.of_names, 64, batch_size=SIZE),
}

# Microseconds a sentence by width, from https://github.com/Entrpi/eemicrogpt in March 2026:
# one core of an Apple M5, single precision, 16 first names a step.
PUBLISHED = {16: 3.0, 64: 36.8}
