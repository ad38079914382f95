"""How fast a trained model writes: python -m benchmarks.sampling MODEL SENTENCES."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from time import perf_counter

from llmhard import model_file
from llmhard.sampler import Reader, Sampling, generate


def main(arguments: Sequence[str]) -> None:
    path, sentences = arguments
    reader = Reader(model_file.load(path).model)
    rng, sampling = random.Random(0), Sampling(temperature=0.8)
    start = perf_counter()
    tokens = sum(len(generate(reader, rng, sampling)) + 1 for _ in range(int(sentences)))
    print(json.dumps({"tokens": tokens, "seconds": perf_counter() - start}))


if __name__ == "__main__":
    main(sys.argv[1:])
