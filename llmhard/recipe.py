"""Recipes: the numbers that define a training run, apart from the model and the text."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class Recipe:
    """How a training run goes. Raises ValueError for a number that is out of range.

    steps         how many times the parameters move
    batch_size    sentences per step; the loss is the mean over all their tokens
    lr            the highest learning rate
    warmup        steps in which the learning rate climbs to `lr`; then it falls to 0
    decay         how it falls: as this power of the share of the steps that is left
    beta1, beta2  how much of Adam's running means remains at each step
    eps           what keeps Adam from dividing by zero
    weight_decay  the share of a parameter, times the learning rate, that is lost at each step
                  (AdamW: Loshchilov and Hutter, 2019)
    average       the share of the steps, the last ones, over which the parameters are averaged;
                  0 keeps those of the last step
    """

    steps: int = 5000
    batch_size: int = 1
    lr: float = 0.005
    warmup: int = 0
    decay: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    average: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("batch_size", 1), ("warmup", 0)):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ValueError(f"{name} is a whole number of at least {least}, not {number!r}")
        for name in ("lr", "decay", "eps"):
            number = getattr(self, name)
            if not isinstance(number, float) or not isfinite(number) or number <= 0:
                raise ValueError(f"{name} is a number above 0, not {number!r}")
        for name in ("beta1", "beta2"):
            number = getattr(self, name)
            if not isinstance(number, float) or not 0 <= number < 1:
                raise ValueError(f"{name} is at least 0 and below 1, not {number!r}")
        if not isinstance(self.weight_decay, float) or not 0 <= self.weight_decay <= 1 / self.lr:
            raise ValueError(
                f"weight_decay is at least 0 and at most 1 / lr, not {self.weight_decay!r}"
            )
        if not isinstance(self.average, float) or not 0 <= self.average <= 1:
            raise ValueError(f"average is at least 0 and at most 1, not {self.average!r}")

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / (self.warmup + 1)
        left = 1 - (step - self.warmup) / (self.steps - self.warmup)
        return float(self.lr * left**self.decay)

    def averages(self, step: int) -> bool:
        """Return whether the parameters after a step, counted from 1, are part of the average."""
        return step > 0 and (self.steps - step) / self.steps < self.average


# What the labs build: one sentence a step, and nothing but Adam and a falling rate.
CLASSIC = Recipe()
# What docs/training.md finds best for thirty seconds on one core.
THOROUGH = Recipe(steps=17_000, batch_size=16, lr=0.006, warmup=125, decay=2.0)
# For a few sentences of another kind: docs/training.md shows what it teaches and what is forgotten.
FINE_TUNING = Recipe(steps=200, batch_size=4, lr=0.002)
PRESETS = {"classic": CLASSIC, "thorough": THOROUGH}
