"""Several sentences a step: the models that are trained so, and what others have published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.recipe import Recipe

SIZE = 16  # sentences a step

# A recipe of so many steps, by name.
MODELS: dict[str, Callable[[int], Recipe]] = {
    "the default model": partial(Recipe.of_the_corpus, batch_size=SIZE),
    "microgpt's": partial(Recipe.of_names, 16, batch_size=SIZE),
    "microgpt's at width 64": partial(Recipe.of_names, 64, batch_size=SIZE),
}

# Microseconds a sentence by width, as https://github.com/Entrpi/eemicrogpt had them in March 2026:
# one core of an Apple M5, single precision, 16 first names a step.
PUBLISHED = {16: 3.0, 64: 36.8}
