"""The average of the parameters over the last part of a training run."""

from __future__ import annotations

from llmhard.adam import zeros_like
from llmhard.autograd import average_update
from llmhard.model import GPT


class Average:
    """The mean of a model's parameters over steps, all with the same weight: Polyak and Juditsky,
    "Acceleration of Stochastic Approximation by Averaging" (1992).

    Each step overshoots the goal a little, on a different side each time; the mean is nearer to it.
    `model` has the means as its parameters; `count` is the number of steps in them.
    """

    def __init__(self, of: GPT, model: GPT | None = None, count: int = 0) -> None:
        """Continue an earlier average if `model` and `count` are given."""
        zeros = {name: zeros_like(p) for name, p in of.parameters.items()}
        self.model = model or GPT(of.config, zeros)
        self.count = count
        self._of = of

    def add(self) -> None:
        """Include the model's parameters as they are now."""
        self.count += 1
        means, parameters = self.model.parameters.values(), self._of.parameters.values()
        average_update(list(means), list(parameters), share=1 / self.count)
