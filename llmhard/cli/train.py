"""The command `train`: learn from a file of sentences and save the model."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmhard import corpus, model_file
from llmhard.cli.common import UsageError, at_least_one, complain, explained, positive
from llmhard.model import GPT, Config
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import LEARNING_RATE, TrainingDivergedError, train
from llmhard.version import __version__

MAX_PARAMETERS = 100_000_000
LAST_STEPS = 500  # the final loss is the mean over this many steps

OnStep = Callable[[int, float], None] | None


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "train",
        help="learn from a file of sentences and save the model",
        description="Learn from a file of sentences, one a line, and save the model.",
        epilog=(
            f"examples:\n"
            f"  {program} train\n"
            f"  {program} train --steps 1000 --seed 1 --out small.safetensors\n"
            f"  {program} train --data my_sentences.txt --n-embd 64"
        ),
    )
    command.set_defaults(run=run)
    command.add_argument(
        "--data", metavar="FILE", help="sentences, one a line (default: the 30,000 that come along)"
    )
    command.add_argument(
        "--steps",
        metavar="N",
        type=at_least_one,
        default=5000,
        help="how many sentences to learn from, one a step (default: %(default)s)",
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=42,
        help="for the order of the sentences and the first parameters (default: %(default)s)",
    )
    command.add_argument(
        "--lr",
        metavar="RATE",
        type=positive,
        default=LEARNING_RATE,
        help="learning rate at the first step; falls to 0 (default: %(default)s)",
    )
    for name, default, meaning in (
        ("--n-layer", Config.n_layer, "layers"),
        ("--n-embd", Config.n_embd, "width: numbers that stand for a token"),
        ("--n-head", Config.n_head, "attention heads; must divide the width"),
        ("--block-size", Config.block_size, "context: how many tokens the model sees"),
    ):
        command.add_argument(
            name,
            metavar="N",
            type=at_least_one,
            default=default,
            help=f"{meaning} (default: %(default)s)",
        )
    command.add_argument(
        "--out",
        metavar="FILE",
        default="model.safetensors",
        help="where to save the model (default: %(default)s)",
    )
    command.add_argument("--quiet", action="store_true", help="say nothing but errors")


def run(options: argparse.Namespace) -> None:
    say = silence if options.quiet else print
    out = Path(options.out)
    data = corpus.default_path() if options.data is None else options.data
    _check_writable(out, data)
    with explained(f"cannot read sentences from {data}"):
        sentences = corpus.read_sentences(data)

    tokenizer = Tokenizer.from_sentences(sentences)
    try:
        config = Config(
            vocab_size=tokenizer.vocab_size,
            n_layer=options.n_layer,
            n_embd=options.n_embd,
            n_head=options.n_head,
            block_size=options.block_size,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    rng = random.Random(options.seed)
    rng.shuffle(sentences)
    documents = [tokenizer.encode_document(sentence) for sentence in sentences]
    say(f"sentences   {len(sentences):,}")
    say(f"vocabulary  {tokenizer.vocab_size:,} tokens: {len(tokenizer.words):,} words and BOS")
    say(f"parameters  {config.n_parameters():,}")
    if config.n_parameters() > MAX_PARAMETERS:
        raise UsageError(
            f"a model of {config.n_parameters():,} parameters is too large to train here"
        )
    long = sum(len(document) > config.block_size + 1 for document in documents)
    if long:
        sentences_are = "1 sentence is" if long == 1 else f"{long:,} sentences are"
        complain(
            f"{sentences_are} longer than the context of {config.block_size} tokens; "
            f"only the beginning is learned"
        )

    model = GPT.initialize(config, rng)
    start = time.perf_counter()
    with _progress(options.steps, options.quiet) as on_step:
        try:
            losses = train(model, documents, options.steps, options.lr, on_step)
        except TrainingDivergedError as error:
            raise UsageError(f"{error}; {out} is as it was") from None
    seconds = time.perf_counter() - start

    last = losses[-LAST_STEPS:]
    final_loss = sum(last) / len(last)
    record = model_file.TrainingRecord(options.steps, options.seed, final_loss, __version__)
    with explained(f"cannot write {out}"):
        model_file.save(out, model_file.SavedModel(model, tokenizer, record))
    say(f"loss        {final_loss:.4f} nats a token, mean of the last {len(last)} steps")
    say(f"time        {seconds:.2f} s, {options.steps / seconds:,.0f} steps a second")
    say(f"saved       {out}")


def silence(_: str) -> None:
    pass


def _check_writable(out: Path, data: str | os.PathLike[str]) -> None:
    """Find out before the training whether its result can be saved."""
    with explained(f"cannot write {out}"):
        if out.exists():
            if not out.is_file():
                raise UsageError(f"cannot write {out}: it is not a file")
            if Path(data).exists() and out.samefile(data):
                raise UsageError(f"cannot write {out}: that is the file with the sentences")
        with tempfile.TemporaryFile(dir=out.resolve().parent):
            pass


@contextmanager
def _progress(steps: int, quiet: bool) -> Iterator[OnStep]:
    """What to call after each step: a progress bar on a terminal, else some lines."""
    recent: list[float] = []

    def line(step: int, loss: float) -> None:
        recent.append(loss)
        if step % max(1, steps // 10) == 0 or step == steps:
            if sys.stderr:
                mean = sum(recent) / len(recent)
                print(f"step {step:,} of {steps:,}  loss {mean:.4f}", file=sys.stderr)
            recent.clear()

    if quiet:
        yield None
    elif not sys.stderr or not sys.stderr.isatty():
        yield line
    else:
        # Imported only here: it takes a good part of the time that `sample` as a whole takes.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[speed]:,.0f} steps/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as progress:
            task = progress.add_task("training", total=steps, loss=float("nan"), speed=0.0)
            began = time.perf_counter()

            def bar(step: int, loss: float) -> None:
                recent.append(loss)
                if step % 20 == 0 or step == steps:
                    del recent[:-100]
                    mean = sum(recent) / len(recent)
                    progress.update(
                        task, completed=step, loss=mean, speed=step / (time.perf_counter() - began)
                    )

            yield bar
