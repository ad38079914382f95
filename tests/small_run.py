"""A training run that takes a moment, for the tests of checkpoints and films."""

import os
from pathlib import Path

import llmhard

CHECKOUT = Path(llmhard.__file__).parents[1]
ENV = os.environ | {"PYTHONPATH": str(CHECKOUT)}
SIZES = ["--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--block-size", "8"]
RECIPE = ["--steps", "60", "--batch-size", "3", "--warmup", "4", "--weight-decay", "0.1",
          "--average", "0.5"]  # fmt: skip
SENTENCES = [f"the {a} {b} the {c}" for a in ["cat", "dog", "cow"] for b in ["saw", "bit"]
             for c in ["hen", "fox", "owl"]]  # fmt: skip
