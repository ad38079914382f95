"""The search for the thorough recipe: one change at a time, measured against the grammar.

python -m benchmarks.recipes [--out docs/recipes.md]        about 20 minutes on two cores
python -m benchmarks.recipes --train NAME SEED              one training run; prints JSON
python -m benchmarks.recipes --try steps=12500,lr=0.008,average=0.3 SEED

--try takes any numbers of a recipe, in place of the thorough one's, and those of EXTRAS. With
--train and --try, --steps N makes the run short, to see whether it works.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean

from benchmarks.dropout import Dropping
from llmhard import corpus, grammar
from llmhard.autograd import Tape
from llmhard.model import GPT, Config
from llmhard.recipe import CLASSIC, THOROUGH, Recipe
from llmhard.sampler import Reader, Sampling, generate
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import Keep, Recordings, Trainer

SEEDS = (42, 1, 2)
FRESH = 5000  # sentences drawn from the grammar, the same for all training runs
SAMPLES = 2000
TEMPERATURES = (0.8, 1.0)
SENTENCES = THOROUGH.steps * THOROUGH.batch_size
STABLE = 0.8  # with a stable rate, the share of the steps before it falls


class Cosine(Recipe):
    """After warmup, the rate falls along half a cosine."""

    def learning_rate(self, step: int) -> float:
        part = max(0, step - self.warmup) / (self.steps - self.warmup)
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return self.lr * rise * (1 + math.cos(math.pi * part)) / 2


class StableDecay(Recipe):
    """After warmup, the rate is constant, and in the last fifth of the steps it falls in a straight
    line (WSD: Hu et al., "MiniCPM", 2024)."""

    def learning_rate(self, step: int) -> float:
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return self.lr * rise * min(1.0, (1 - step / self.steps) / (1 - STABLE))


class Constant(Recipe):
    """After warmup, the rate stays constant to the end, for averaging."""

    def learning_rate(self, step: int) -> float:
        return self.lr * min(1.0, (step + 1) / (self.warmup + 1))


class Clipping(Trainer):
    """Scales the gradients of a step so that their norm is at most 1."""

    def _read_batch(self) -> tuple[float, Tape | None]:
        loss, tape = super()._read_batch()
        tape.backward()
        grads = [p.grad for p in self.parameters]
        norm = math.sqrt(sum(g * g for rows in grads for row in rows for g in row))
        if norm > 1:
            for p, rows in zip(self.parameters, grads, strict=True):
                p.grad = [[g / norm for g in row] for row in rows]
        return loss, None


@dataclass(frozen=True)
class Variant:
    """A change to the thorough recipe."""

    recipe: Recipe
    trainer: Callable[..., Trainer] = Trainer
    scale: Callable[[str], float] | None = None  # for a parameter's initial values, by its name
    text: str = "corpus"  # or "once": each sentence once; "fresh": new ones at each step
    keep: Keep = "last"


def batches_of(size: int, sentences: int = SENTENCES, **changes: float) -> Variant:
    warmup = round(THOROUGH.warmup * THOROUGH.batch_size / size)
    return Variant(
        replace(THOROUGH, steps=sentences // size, batch_size=size, warmup=warmup, **changes)
    )


def with_(**changes: float) -> Variant:
    return Variant(replace(THOROUGH, **changes))


def dropping(**rates: float) -> Callable[..., Trainer]:
    """Return a trainer with these dropout rates: `words`, `branches`."""

    def trainer(*arguments: object, **options: object) -> Trainer:
        return Dropping(*arguments, **options, **rates)

    return trainer


VARIANTS = {
    "**thorough**": Variant(THOROUGH),
    "decay 1 (a straight line)": with_(decay=1.0),
    "decay 3": with_(decay=3.0),
    "half a cosine": Variant(Cosine(**vars(THOROUGH))),
    "a stable rate, falling in the last fifth": Variant(StableDecay(**vars(THOROUGH))),
    "parameters averaged over the last 30%": with_(average=0.3),
    "a constant rate, averaged over the last 30%": Variant(
        Constant(**vars(THOROUGH) | {"average": 0.3})
    ),
    **{f"lr {factor * THOROUGH.lr:.3g}": with_(lr=factor * THOROUGH.lr) for factor in (0.5, 1.5)},
    "8 sentences a step": batches_of(8),
    "32 sentences a step": batches_of(32),
    f"half the sentences, lr {1.5 * THOROUGH.lr:.3g}": batches_of(
        THOROUGH.batch_size, SENTENCES // 2, lr=1.5 * THOROUGH.lr
    ),
    f"twice the sentences, lr {0.7 * THOROUGH.lr:.3g}": batches_of(
        THOROUGH.batch_size, 2 * SENTENCES, lr=0.7 * THOROUGH.lr
    ),
    "beta2 0.99": with_(beta2=0.99),
    "weight decay 0.02": with_(weight_decay=0.02),
    "first parameters a quarter as large": Variant(THOROUGH, scale=lambda _: 0.25),
    "5% of the input words dropped": Variant(THOROUGH, trainer=dropping(words=0.05)),
    "5% of what layers add dropped": Variant(THOROUGH, trainer=dropping(branches=0.05)),
    "*30,000 sentences, each once*": Variant(THOROUGH, text="once"),
    "*fresh sentences at each step*": Variant(THOROUGH, text="fresh"),
    "*classic*": Variant(CLASSIC),
    "*classic, lr 0.01, beta1 0.85, beta2 0.99*": Variant(
        replace(CLASSIC, lr=0.01, beta1=0.85, beta2=0.99)
    ),
}

SCHEDULES = {"power": Recipe, "cosine": Cosine, "stable": StableDecay, "constant": Constant}
# What --try takes besides the numbers of a recipe.
EXTRAS = {
    "schedule": ", ".join(SCHEDULES),
    "words": "the share of the input words that are dropped",
    "branches": "the share of what the layers add that is dropped",
    "clip": "1: clip the gradients at norm 1",
    "scale": "a factor for the initial parameters",
    "keep": "best or last",
    "text": "corpus, once (30,000 sentences, each once) or fresh (new ones at each step)",
}


def variant_of(changes: str) -> Variant:
    """Return the thorough recipe with changes such as "lr=0.008,average=0.3". Raises ValueError."""
    given = {}
    for change in filter(None, changes.split(",")):
        name, equals, given[name] = change.partition("=")
        if not equals:
            raise ValueError(f"a change is name=value, not {change!r}")
    numbers = {field.name: type(getattr(THOROUGH, field.name)) for field in fields(Recipe)}
    known = [*numbers, *EXTRAS]
    if unknown := given.keys() - set(known):
        raise ValueError(f"--try knows {', '.join(known)}, not {', '.join(sorted(unknown))}")
    schedule = given.get("schedule", "power")
    if schedule not in SCHEDULES:
        raise ValueError(f"a schedule is one of {', '.join(SCHEDULES)}, not {schedule!r}")
    recipe = {name: kind(given[name]) for name, kind in numbers.items() if name in given}
    rates = {name: float(given[name]) for name in ("words", "branches") if name in given}
    if rates and "clip" in given:
        raise ValueError("--try drops out or clips, not both at once")
    trainer = dropping(**rates) if rates else Clipping if "clip" in given else Trainer
    scale = float(given.get("scale", 1.0))
    return Variant(
        SCHEDULES[schedule](**vars(THOROUGH) | recipe),
        trainer,
        scale=None if scale == 1.0 else lambda _: scale,
        text=given.get("text", "corpus"),
        keep="best" if given.get("keep") == "best" else "last",
    )


def fresh_sentences() -> list[str]:
    rng = random.Random("fresh")
    return [grammar.sample(rng) for _ in range(FRESH)]


def grammar_loss(sentences: Sequence[str]) -> float:
    """Return the grammar's own loss in nats a token: an estimate of its entropy."""
    tokens = sum(len(sentence.split()) + 1 for sentence in sentences)
    return -sum(map(grammar.log_prob, sentences)) / tokens


def train(variant: Variant, seed: int) -> dict[str, float]:
    sentences = corpus.read_sentences(corpus.default_path())
    if variant.text == "once":
        sentences = grammar.SENTENCES.distinct(len(sentences), random.Random(42))
    tokenizer = Tokenizer(grammar.WORDS)
    rng = random.Random(seed)
    training, held_out = corpus.split(sentences, rng)
    if variant.text == "fresh":
        draws = variant.recipe.steps * variant.recipe.batch_size
        training = [grammar.sample(rng) for _ in range(draws)]
    model = GPT.initialize(Config(tokenizer.vocab_size), rng)
    if variant.scale:
        for name, p in model.parameters.items():
            p.data = [[x * variant.scale(name) for x in row] for row in p.data]
    documents = [tokenizer.encode_document(sentence) for sentence in training]
    validation = [tokenizer.encode_document(sentence) for sentence in held_out]
    trainer = variant.trainer(model, documents, variant.recipe, seed, validation, keep=variant.keep)
    start = time.process_time()
    trainer.run()
    seconds = time.process_time() - start

    encoded = [tokenizer.encode_document(sentence) for sentence in fresh_sentences()]
    recordings = Recordings(model)  # not the trainer's, which may apply dropout
    return {
        "seconds": seconds,
        "validation": recordings.mean_loss(validation),
        "fresh": recordings.mean_loss(encoded),
        **{f"accepted at {t}": accepted(model, tokenizer, t) for t in TEMPERATURES},
    }


def accepted(model: GPT, tokenizer: Tokenizer, temperature: float) -> float:
    """Return the share of the model's sentences that the grammar accepts."""
    reader, rng, sampling = Reader(model), random.Random("samples"), Sampling(temperature)
    samples = [tokenizer.decode(generate(reader, rng, sampling)) for _ in range(SAMPLES)]
    return mean(map(grammar.accepts, samples))


def measure(jobs: int) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Yield each variant with its results by seed, every training run in a process of its own."""

    def one(name: str, seed: int) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.recipes", "--train", name, str(seed)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result: dict[str, float] = json.loads(done.stdout)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        futures = {name: [pool.submit(one, name, seed) for seed in SEEDS] for name in VARIANTS}
        for name, results in futures.items():
            yield name, [future.result() for future in results]
            print(name, file=sys.stderr)


INTRODUCTION = """\
# The search for the thorough recipe

Written by `python -m benchmarks.recipes`. The aim: to come as close as possible, in thirty seconds
on one core, to the entropy of the grammar, which no model beats in the long run. Every row is the
thorough recipe ({r.steps:,} steps of {r.batch_size} sentences; learning rate {r.lr:g} after
{r.warmup} steps of warmup, then falling as the share of the steps that is left, to the power
{r.decay:g}; beta1 {r.beta1:g}, beta2 {r.beta2:g}) with one change. The figures are means over the
seeds {seeds}.

- validation: the loss on held-out sentences, in nats a token
- gap: how far the loss on fresh sentences is above the grammar's own loss on them
  ({fresh:,} sentences, {floor:.4f} nats a token); in parentheses, that of each seed
- accepted: how many of {samples:,} samples, for each seed and temperature, the grammar accepts
- seconds: the processor time of a training run, including the validation loss along the way

| recipe | validation | gap, % | accepted, % at 0.8 | at 1.0 | seconds |
| --- | ---: | ---: | ---: | ---: | ---: |
"""
CONCLUSION = """
Two rows near the end show where the gap comes from. With fresh sentences at each step, nothing can
be learned by heart: what is left is what the model cannot do in this many steps. Among 30,000
different sentences, the likely ones are rarer than in the language, and the model learns that, too.
"""


def report(jobs: int) -> str:
    floor = grammar_loss(fresh_sentences())
    seeds = ", ".join(map(str, SEEDS))
    text = INTRODUCTION.format(r=THOROUGH, seeds=seeds, fresh=FRESH, floor=floor, samples=SAMPLES)
    for name, results in measure(jobs):
        gaps = [100 * (result["fresh"] / floor - 1) for result in results]
        cells = [
            name,
            f"{mean(result['validation'] for result in results):.4f}",
            f"{mean(gaps):.2f} ({', '.join(f'{gap:.2f}' for gap in gaps)})",
            *(
                f"{100 * mean(result[f'accepted at {t}'] for result in results):.1f}"
                for t in TEMPERATURES
            ),
            f"{mean(result['seconds'] for result in results):.1f}",
        ]
        text += f"| {' | '.join(cells)} |\n"
    return text + CONCLUSION


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/recipes.md"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--train", nargs=2, metavar=("NAME", "SEED"))
    one.add_argument(
        "--try",
        nargs=2,
        dest="changes",
        metavar=("CHANGES", "SEED"),
        help=f"such as lr=0.008,average=0.3; also {'; '.join(map(': '.join, EXTRAS.items()))}",
    )
    parser.add_argument("--steps", type=int, help="take only this many, with --train and --try")
    options = parser.parse_args()
    if not options.train and not options.changes:
        options.out.write_text(report(options.jobs), encoding="utf-8")
        return
    what, seed = options.train or options.changes
    if options.train and what not in VARIANTS:
        parser.error(f"there is no variant {what!r}; there are {', '.join(map(repr, VARIANTS))}")
    try:
        variant = VARIANTS[what] if options.train else variant_of(what)
    except ValueError as error:
        parser.error(str(error))
    if options.steps is not None:
        variant = replace(variant, recipe=replace(variant.recipe, steps=options.steps))
    print(json.dumps(train(variant, int(seed))))


if __name__ == "__main__":
    main()
