"""What `train --watch` shows: sentences of the model while it learns."""

from __future__ import annotations

import random
import sys

from llmhard.cli.common import aside
from llmhard.film import SEEDS, TEMPERATURE
from llmhard.model import GPT
from llmhard.sampler import Reader, Sampling, generate
from llmhard.terminal import columns, wrap
from llmhard.tokenizer import Tokenizer


class Watch:
    """Shows a sentence for each seed at the steps 0, 10, 30, 100, 300, ... and at the end.

    It has its own random numbers and only reads the parameters, so the training run goes on as if
    nobody were watching.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def show(self, step: int, model: GPT) -> None:
        """Write the model's sentences after this step to stderr, if it is one of those steps."""
        if step == 0 or (step >= 10 and str(step).rstrip("0") in ("1", "3")):
            self._write(f"step {step:,}", model)

    def show_end(self, step: int, model: GPT) -> None:
        """Write the sentences of the model that is saved, whose parameters are from this step."""
        self._write(f"saved model, step {step:,}", model)

    def _write(self, title: str, model: GPT) -> None:
        reader, sampling = Reader(model), Sampling(TEMPERATURE)
        width = columns(sys.stderr) - 1  # some terminals break a full line
        lines = [title]
        for seed in SEEDS:
            sentence = self._tokenizer.decode(generate(reader, random.Random(seed), sampling))
            lines += wrap(sentence.strip() or "(nothing)", width, "  ", "    ")
        aside("\n".join(lines))
