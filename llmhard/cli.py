"""The command line: `llmhard train` and `llmhard sample`."""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from llmhard import corpus, model_file
from llmhard.model import GPT, Config
from llmhard.sampler import Reader, Sampling, generate
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import LEARNING_RATE, TrainingDivergedError, train
from llmhard.version import __version__

MAX_PARAMETERS = 100_000_000
LAST_STEPS = 500  # the final loss is the mean over this many steps

OnStep = Callable[[int, float], None] | None


class UsageError(Exception):
    """What the user gave cannot be used; the message is one line that says what to do instead."""


class Parser(argparse.ArgumentParser):
    """Errors as one line; help with the examples laid out as written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show, it shows as \u...
            stream.reconfigure(errors="backslashreplace")
    program = "python -m llmhard" if sys.argv[0].endswith("__main__.py") else "llmhard"
    try:
        options = _parser(program).parse_args(arguments)
        options.run(options)
        if sys.stdout:  # None if it was closed before the start
            sys.stdout.flush()
    except UsageError as error:
        _complain(str(error))
        return 2
    except MemoryError:
        _complain("there is not enough memory for a model of this size")
        return 2
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever reads our output has seen enough; keep Python's exit from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # the disk that stdout is redirected to is full, for one
        _complain(f"cannot write the output: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return 0


def _complain(message: str) -> None:
    """One line on stderr, whatever the message quotes."""
    if sys.stderr:  # None if it was closed; print would take stdout instead
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        print(f"llmhard: {line}", file=sys.stderr)


# ---------------------------------------------------------------- train


def run_train(options: argparse.Namespace) -> None:
    say = _silence if options.quiet else print
    out = Path(options.out)
    data = corpus.default_path() if options.data is None else options.data
    _check_writable(out, data)
    with _explained(f"cannot read sentences from {data}"):
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
        _complain(
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
    with _explained(f"cannot write {out}"):
        model_file.save(out, model_file.SavedModel(model, tokenizer, record))
    say(f"loss        {final_loss:.4f} nats a token, mean of the last {len(last)} steps")
    say(f"time        {seconds:.2f} s, {options.steps / seconds:,.0f} steps a second")
    say(f"saved       {out}")


def _silence(_: str) -> None:
    pass


def _check_writable(out: Path, data: str | os.PathLike[str]) -> None:
    """Find out before the training whether its result can be saved."""
    with _explained(f"cannot write {out}"):
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


# ---------------------------------------------------------------- sample


def run_sample(options: argparse.Namespace) -> None:
    with _explained(f"cannot read the model {options.model}"):
        try:
            saved = model_file.load(options.model)
        except FileNotFoundError:
            raise UsageError(
                f"there is no model {options.model}; train one first: llmhard train"
            ) from None
    try:
        sampling = Sampling(options.temperature, options.top_k, options.top_p)
        prompt = saved.tokenizer.encode(options.prompt)
        rng = random.Random(options.seed)
        reader = Reader(saved.model)
        for _ in range(options.n):
            print(saved.tokenizer.decode(generate(reader, rng, sampling, prompt)))
    except (ValueError, ArithmeticError) as error:
        raise UsageError(str(error)) from None


# ---------------------------------------------------------------- what both need


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn an error about a file into one line: what failed, and why."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}") from None
    except RuntimeError as error:  # how Python up to 3.12 says that links lead in a circle
        raise UsageError(f"{what}: {error}") from None
    except (corpus.CorpusError, model_file.ModelFileError) as error:
        raise UsageError(f"{what}: {error}") from None


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return number


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not isfinite(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return number


def _parser(program: str) -> Parser:
    parser = Parser(
        prog=program,
        description="LLMs, the Hard Way: train a small GPT, and let it write.",
        epilog=f"examples:\n  {program} train\n  {program} sample --prompt 'the cat'",
    )
    parser.add_argument("--version", action="version", version=f"llmhard {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

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
    command.set_defaults(run=run_train)
    command.add_argument(
        "--data", metavar="FILE", help="sentences, one a line (default: the 30,000 that come along)"
    )
    command.add_argument(
        "--steps",
        metavar="N",
        type=_at_least_one,
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
        type=_positive,
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
            type=_at_least_one,
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

    command = commands.add_parser(
        "sample",
        help="write sentences with a trained model",
        description="Write sentences with a trained model, one a line.",
        epilog=(
            f"examples:\n"
            f"  {program} sample\n"
            f"  {program} sample -n 5 --prompt 'the cat' --seed 1\n"
            f"  {program} sample --temperature 1.2 --top-k 50 --top-p 0.9 | sort"
        ),
    )
    command.set_defaults(run=run_sample)
    command.add_argument(
        "--model",
        metavar="FILE",
        default="model.safetensors",
        help="a model that train saved (default: %(default)s)",
    )
    command.add_argument(
        "-n",
        metavar="N",
        type=_at_least_one,
        default=20,
        help="how many sentences (default: %(default)s)",
    )
    command.add_argument(
        "--temperature",
        metavar="T",
        type=float,
        default=Sampling.temperature,
        help="below 1 plays safe, above 1 dares more, 0 is greedy (default: %(default)s)",
    )
    command.add_argument(
        "--top-k",
        metavar="K",
        type=int,
        default=Sampling.top_k,
        help="choose among the K likeliest words; 0 is all (default: %(default)s)",
    )
    command.add_argument(
        "--top-p",
        metavar="P",
        type=float,
        default=Sampling.top_p,
        help="choose among the likeliest words that make up P; 1 is all (default: %(default)s)",
    )
    command.add_argument(
        "--prompt", metavar="WORDS", default="", help="how every sentence begins (default: empty)"
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help="the same number writes the same sentences (default: new ones each time)",
    )
    return parser
