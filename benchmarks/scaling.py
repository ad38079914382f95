"""A scaling law: loss above the grammar's entropy, by parameters and by sentences.

python -m benchmarks.scaling [--out docs/scaling.csv]        some minutes on one core
python -m benchmarks.scaling --one WIDTH LAYERS SENTENCES RATE SEED
                                                             one training run; prints its row

Each training run has a schedule of its own, which ends with its last sentence. No sentence is read
twice in a training run, except by chance: all are drawn anew from the grammar. The runs are judged
on the same 5,000 sentences, drawn from it, too. At each size and for each number of sentences, the
first seed tries learning rates: all of them for the fewest sentences, then the best for half as
many sentences and the next lower one, as the best rate falls when there are more steps. Where there
are other seeds, they take the best of them. Rows that the file has already are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cache
from pathlib import Path

from llmhard import grammar
from llmhard.evaluation import losses
from llmhard.model import GPT, Config
from llmhard.recipe import THOROUGH, Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import Recordings, Trainer

OUT = Path("docs/scaling.csv")
JUDGED_ON = 5000  # sentences, the same for all
SIZES = ((4, 2), (8, 2), (16, 2), (32, 2), (64, 2))  # width, layers
SHAPES = ((32, 1), (32, 4))  # how much the shape matters, with so many sentences:
SHAPED = 8000
SENTENCES = tuple(2000 * 2**doubled for doubled in range(6))
RATES = (0.003, 0.006, 0.012, 0.024, 0.048)
SEEDS = (1, 2, 3)
SEVERAL_SEEDS = 16_000  # sentences at most, for more than one seed


@dataclass(frozen=True)
class Run:
    """A training run: its size, its sentences, and how far it ended above the floor.

    `gap` is the loss less the grammar's own on the same sentences, in nats a token; `gap_error` is
    the standard error that comes from judging by so many sentences. `seconds` are processor time.
    """

    width: int
    layers: int
    parameters: int
    sentences: int
    rate: float
    seed: int
    loss: float
    gap: float
    gap_error: float
    seconds: float


def recipe(sentences: int, rate: float) -> Recipe:
    """Return the thorough recipe with this learning rate, ending with this many sentences."""
    steps = sentences // THOROUGH.batch_size
    return replace(THOROUGH, steps=steps, lr=rate, warmup=min(THOROUGH.warmup, steps // 10))


def fresh(n: int, seed: object) -> list[str]:
    """Draw sentences from the grammar."""
    rng = random.Random(f"scaling {seed}")
    return [grammar.sample(rng) for _ in range(n)]


@cache
def judges() -> tuple[list[str], list[float]]:
    """Return the sentences that judge all runs, and what each costs the grammar, in nats."""
    sentences = fresh(JUDGED_ON, "judges")
    return sentences, [-grammar.log_prob(sentence) for sentence in sentences]


def train(width: int, layers: int, sentences: int, rate: float, seed: int) -> Run:
    """Train one model and judge it."""
    tokenizer = Tokenizer(sorted(grammar.WORDS))
    documents = [tokenizer.encode_document(sentence) for sentence in fresh(sentences, seed)]
    config = Config(tokenizer.vocab_size, n_embd=width, n_layer=layers)
    model = GPT.initialize(config, random.Random(seed))
    start = time.process_time()
    Trainer(model, documents, recipe(sentences, rate), seed).run()
    seconds = time.process_time() - start
    held_out, floor = judges()
    encoded = [tokenizer.encode_document(sentence) for sentence in held_out]
    lengths = [len(document) - 1 for document in encoded]
    recordings = Recordings(model)
    nats = [recordings.losses([d])[0] * n for d, n in zip(encoded, lengths, strict=True)]
    found = losses(nats, lengths, floor)
    assert found.gap is not None
    assert found.gap.standard_error is not None
    numbers = (found.model.value, found.gap.value, found.gap.standard_error)
    rounded = (float(f"{number:.6f}") for number in numbers)
    sizes = (width, layers, config.n_parameters(), sentences)
    return Run(*sizes, rate, seed, *rounded, round(seconds, 2))


def read(path: Path = OUT) -> list[Run]:
    """Return the runs that a file has, none if there is no file."""
    if not path.exists():
        return []
    kinds = [{"int": int, "float": float}[str(field.type)] for field in fields(Run)]
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [Run(*(kind(cell) for kind, cell in zip(kinds, row, strict=True))) for row in rows]


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write the runs, sorted, to a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(Run))
        rows.writerows(map(astuple, sorted(runs, key=astuple)))


def best_rate(runs: Sequence[Run]) -> float:
    """Return the learning rate of the run that ended nearest to the floor."""
    return min(runs, key=lambda run: run.gap).rate


def near(rate: float) -> Sequence[float]:
    """Return a learning rate and the next lower one among those that are tried."""
    place = RATES.index(rate)
    return RATES[max(0, place - 1) : place + 1]


Point = tuple[int, int, int]  # width, layers, sentences


def points() -> Iterator[Point]:
    """Yield what is measured, the quick ones first."""
    for sentences in SENTENCES:
        for width, layers in SIZES:
            yield width, layers, sentences
        if sentences == SHAPED:
            yield from ((width, layers, sentences) for width, layers in SHAPES)


class Measurement:
    """The runs of a file, which grows with each one that is measured."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = {(r.width, r.layers, r.sentences, r.rate, r.seed): r for r in read(path)}

    def run(self, point: Point, rate: float, seed: int) -> Run:
        """Return a run of the file, or measure it and write it there."""
        key = (*point, rate, seed)
        if key not in self.runs:
            self.runs[key] = train(*key)
            write(self.path, list(self.runs.values()))
            print(self.runs[key], file=sys.stderr)
        return self.runs[key]

    def rate(self, point: Point) -> float:
        """Return the best learning rate at a point, by the first seed."""
        width, layers, sentences = point
        half = (width, layers, sentences // 2)
        known = [
            run for run in self.runs.values() if (run.width, run.layers, run.sentences) == half
        ]
        rates = near(best_rate(known)) if known else RATES
        return best_rate([self.run(point, rate, SEEDS[0]) for rate in rates])

    def at(self, point: Point) -> None:
        """Measure one point: the best learning rate, then the other seeds with it."""
        rate = self.rate(point)
        for seed in SEEDS[1:] if point[2] <= SEVERAL_SEEDS else ():
            self.run(point, rate, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--one", nargs=5, metavar=("WIDTH", "LAYERS", "SENTENCES", "RATE", "SEED"))
    options = parser.parse_args()
    if options.one:
        width, layers, sentences, rate, seed = options.one
        run = train(int(width), int(layers), int(sentences), float(rate), int(seed))
        print(
            f"{run.parameters:,} parameters, {run.sentences:,} sentences: {run.gap:.3f} nats a "
            f"token above the floor, in {run.seconds:.1f} seconds"
        )
        return
    measurement = Measurement(options.out)
    for point in points():
        measurement.at(point)


if __name__ == "__main__":
    main()
