"""Dropout (Srivastava et al., 2014) for the search for a recipe, without a line of it in the model.

A replayed recording has fixed operations, but the data of its leaves may change: here the masks
are leaves, drawn anew before each sentence. They are used only in training; the model that is
validated, sampled and saved has the same parameters and no masks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from llmhard.autograd import Index, Value, Vector
from llmhard.layers import linear, rmsnorm
from llmhard.model import GPT, KVCache
from llmhard.recipe import Recipe
from llmhard.trainer import Keep, Recordings, Trainer


class DroppingGPT(GPT):
    """The parameters of a GPT and, for each position, masks to multiply by, all ones at first.

    words     with this probability the embedding of a word is replaced by zeros, its position not
    branches  the same for each number that attention or MLP adds; the others are scaled up, so
              that the mean stays
    """

    def __init__(self, model: GPT, words: float, branches: float, rng: random.Random) -> None:
        super().__init__(model.config, dict(model.parameters))
        self.words, self.branches = words, branches
        self._rng = rng
        positions = range(self.config.block_size)
        self._word_masks = [Value(1.0) for _ in positions]
        self._branch_masks = [
            [Vector([1.0] * self.config.n_embd) for _ in range(2 * self.config.n_layer)]
            for _ in positions
        ]

    def draw(self, positions: int) -> None:
        """Draw the masks of the first positions."""
        drawn = self._rng.random
        if self.words:
            for word in self._word_masks[1:positions]:  # the first is BOS, no word
                word.data = float(drawn() >= self.words)
        if self.branches:
            kept = 1 / (1 - self.branches)
            for masks in self._branch_masks[:positions]:
                for mask in masks:
                    mask.data = [
                        kept if drawn() >= self.branches else 0.0 for _ in range(len(mask))
                    ]

    def __call__(self, token: int | Index, cache: KVCache) -> Vector:
        """Return the logits as GPT.__call__ does, with the masks."""
        w, position = self.parameters, len(cache)
        masks = iter(self._branch_masks[position])
        x = w["wte.weight"][token] * self._word_masks[position] + w["wpe.weight"][position]
        x = rmsnorm(x)
        for layer in range(self.config.n_layer):
            x = x + self.attention(layer, rmsnorm(x), cache) * next(masks)
            x = x + self.mlp(layer, rmsnorm(x)) * next(masks)
        return linear(x, w["lm_head.weight"])


class Dropping(Trainer):
    """Trains with dropout, at these rates."""

    def __init__(
        self,
        model: GPT,
        documents: Sequence[Sequence[int]],
        recipe: Recipe,
        seed: int = 0,
        held_out: Sequence[Sequence[int]] = (),
        keep: Keep = "last",
        words: float = 0.0,
        branches: float = 0.0,
    ) -> None:
        super().__init__(model, documents, recipe, seed, held_out, keep=keep)
        self.dropping = DroppingGPT(model, words, branches, random.Random(f"dropout {seed}"))
        self.recordings = Recordings(self.dropping)  # only for training

    def _losses_of(
        self, documents: Sequence[Sequence[int]], shares: Sequence[float]
    ) -> list[float]:
        """Compute one sentence after another, since each has masks of its own."""
        losses: list[float] = []
        for document, share in zip(documents, shares, strict=True):
            if losses:
                self.recordings.batch.backward()
            self.dropping.draw(len(document) - 1)
            losses += self.recordings.losses([document], [share])
        return losses
