"""What the commands that train share: progress, checkpoints, Ctrl-C, saving, reporting."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from shutil import get_terminal_size
from types import FrameType
from typing import get_args

from llmhard import checkpoint, corpus, curves, model_file
from llmhard.checkpoint import Task
from llmhard.cli.common import (
    UsageError,
    at_least_one,
    complain,
    explained,
    from_zero,
    positive,
    share,
    what_is_kept,
)
from llmhard.cli.progress import progress
from llmhard.cli.watch import Watch
from llmhard.recipe import Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import LAST_STEPS, Keep, Trainer
from llmhard.training_record import CurvePoint, DataRecord, rise
from llmhard.version import __version__


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; the message says how to go on."""


def silence(_: str) -> None:
    pass


# ---------------------------------------------------------------- options


def add_recipe_options(command: argparse.ArgumentParser, defaults: str) -> None:
    """The options that change a recipe; `defaults` says where it comes from."""
    recipe = command.add_argument_group("recipe", f"defaults: {defaults}")
    options = (
        ("--steps", at_least_one, "how many times the parameters move"),
        ("--batch-size", at_least_one, "sentences a step"),
        ("--lr", positive, "learning rate at its highest; it ends at 0"),
        ("--warmup", from_zero, "steps in which the learning rate rises"),
        ("--weight-decay", float, "share of each parameter, times the rate, lost a step"),
        ("--average", share, "share of the steps, the last ones, whose parameters are averaged"),
    )
    metavars = {positive: "RATE", float: "RATE", share: "SHARE"}
    for name, kind, meaning in options:
        metavar = metavars.get(kind, "N")
        recipe.add_argument(name, metavar=metavar, type=kind, help=meaning)


def add_output_options(command: argparse.ArgumentParser, out: str) -> None:
    command.add_argument("--out", metavar="FILE", help=f"where to save the model (default: {out})")
    command.add_argument(
        "--checkpoint-every",
        metavar="N",
        type=at_least_one,
        help="save the state of the training after each N steps; Ctrl-C saves it in any case",
    )
    command.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw the losses as a picture (needs matplotlib)"
    )
    command.add_argument(
        "--keep",
        choices=get_args(Keep),
        help=(
            "which parameters are saved: best, the last ones before the validation loss rises, or "
            "those of the last step (default: best if sentences are held out, ten or more)"
        ),
    )
    talk = command.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="say nothing but errors")
    talk.add_argument(
        "--watch",
        action="store_true",
        help="show three sentences at steps 0, 10, 30, 100, 300, ... as the model learns",
    )


def changed_recipe(base: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe with what the options say instead."""
    given = {field.name: getattr(options, field.name, None) for field in fields(Recipe)}
    try:
        return replace(base, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise UsageError(str(error)) from None


def kept(options: argparse.Namespace, encoded: Encoded) -> Keep:
    """What `--keep` says, or what is best. Raises UsageError if there is nothing to judge by."""
    if options.keep is None:
        return "best" if encoded.held_out else "last"
    if options.keep == "best" and not encoded.held_out:
        raise UsageError(
            "--keep best needs held-out sentences to find the best step with, and none are held "
            "out of fewer than ten; leave it out"
        )
    keep: Keep = options.keep
    return keep


# ---------------------------------------------------------------- text


@dataclass(frozen=True)
class Text:
    """Sentences and where they come from; `path` is None for standard input."""

    sentences: list[str]
    name: str
    path: str | None


def read_text(path: str | None) -> Text:
    """The sentences of a file, of standard input ("-") or the bundled ones (None)."""
    source = corpus.default_path() if path is None else path
    name = "standard input" if source == "-" else str(source)
    if source == "-" and sys.stdin and sys.stdin.isatty():
        complain("type the sentences, one a line; Ctrl-D at the beginning of a line ends them")
    with explained(f"cannot read sentences from {name}"):
        sentences = corpus.read_sentences(source)
    if source == "-":
        return Text(sentences, name, None)
    return Text(sentences, Path(source).name, str(Path(source).resolve()))


@dataclass(frozen=True)
class Encoded:
    """The documents of a text: those to train on and those held out; what was skipped."""

    training: list[list[int]]
    held_out: list[list[int]]
    skipped: int  # sentences, for words that the vocabulary lacks
    record: DataRecord


def encode(
    tokenizer: Tokenizer,
    text: Text,
    rng: random.Random,
    skip_unknown: bool = False,
    made_of_it: bool = False,
) -> Encoded:
    """Split a text and encode it. Raises UsageError for words that the vocabulary lacks, unless
    their sentences are to be skipped; a vocabulary made of the text lacks none."""
    unknown: dict[str, None] = {}
    parts: list[list[list[int]]] = []
    skipped = 0
    split = corpus.split(text.sentences, rng)
    for sentences in split:
        documents = []
        for sentence in sentences:
            if not made_of_it and (missing := tokenizer.unknown(sentence)):
                unknown |= dict.fromkeys(missing)
                skipped += 1
            else:
                documents.append(tokenizer.encode_document(sentence))
        parts.append(documents)
    if unknown and not skip_unknown:
        some = ", ".join(f"{word!r:.40}" for word in list(unknown)[:10])
        more = " ..." if len(unknown) > 10 else ""
        raise UsageError(
            f"the model does not know {len(unknown):,} of the {tokenizer.unit}s in {text.name}: "
            f"{some}{more}; leave out the {tokenizer.document}s with them "
            f"({skipped:,} of {len(text.sentences):,}) with --skip-unknown"
        )
    fingerprint = corpus.fingerprint(text.sentences)
    record = DataRecord(text.name, fingerprint, len(text.sentences), len(split[1]))
    training, held_out = parts
    return Encoded(training, held_out, skipped, record)


def say_what_the_text_is(
    say: Callable[[str], None], tokenizer: Tokenizer, text: Text, encoded: Encoded
) -> None:
    """How many sentences, or lines, there are, and what the tokenizer makes of them."""
    aside = f", of which {len(encoded.held_out):,} held out" if encoded.held_out else ""
    say(f"{tokenizer.document + 's':<12}{len(text.sentences):,}{aside}")
    if changes := tokenizer.changes(text.sentences):
        say(f"text        {changes}")


def tell_of_long(tokenizer: Tokenizer, encoded: Encoded, block_size: int) -> None:
    long = sum(len(document) > block_size + 1 for document in encoded.training)
    if long:
        one, many = f"1 {tokenizer.document} is", f"{long:,} {tokenizer.document}s are"
        sentences_are = one if long == 1 else many
        complain(
            f"{sentences_are} longer than the context of {block_size} tokens; "
            f"only the beginning is learned"
        )


def check_outputs(out: Path, plot: Path | None, data: str | None) -> None:
    """Find out before the training whether its results can be saved."""
    _check_writable(out, data)
    if plot is not None:
        with explained(f"cannot draw {plot}"):
            curves.check_plot(plot)
        _check_writable(plot, data)


def _check_writable(out: Path, data: str | None) -> None:
    with explained(f"cannot write {out}"):
        if out.exists():
            if not out.is_file():
                raise UsageError(f"cannot write {out}: it is not a file")
            if data is not None and Path(data).exists() and out.samefile(data):
                raise UsageError(f"cannot write {out}: that is the file with the sentences")
        with tempfile.TemporaryFile(dir=out.resolve().parent):
            pass


# ---------------------------------------------------------------- the training itself


@dataclass(frozen=True)
class Job:
    """A training to be run to its end: what, and what happens on the way."""

    task: Task
    trainer: Trainer
    checkpoint_path: Path
    checkpoint_every: int | None
    plot: Path | None
    quiet: bool
    watch: bool

    def run(self) -> None:
        """Train, save the model and say how it went."""
        say = silence if self.quiet else print
        trainer, out = self.trainer, Path(self.task.out)
        began, steps_before = time.perf_counter(), trainer.step
        watch = Watch(self.task.tokenizer) if self.watch else None
        with progress(trainer, self.quiet) as show, _noticing_ctrl_c() as ctrl_c:

            def on_step(trainer: Trainer) -> None:
                show(trainer)
                if watch and trainer.step < trainer.recipe.steps:
                    watch.show(trainer.step, trainer.current)
                due = self.checkpoint_every and trainer.step % self.checkpoint_every == 0
                if trainer.step < trainer.recipe.steps and (due or ctrl_c.is_set()):
                    with explained(f"cannot write the checkpoint {self.checkpoint_path}"):
                        checkpoint.save(self.checkpoint_path, self.task, trainer)
                if ctrl_c.is_set() and trainer.step < trainer.recipe.steps:
                    raise Interrupted(
                        f"interrupted after step {trainer.step:,} of {trainer.recipe.steps:,}; "
                        f"to go on: llmhard train --resume {self.checkpoint_path}"
                    )

            try:
                if watch and trainer.step == 0:
                    watch.show(0, trainer.model)
                trainer.run(on_step)
            except ArithmeticError as error:  # TrainingDivergedError, or logits not finite at once
                raise UsageError(f"{error}; {out} is as it was") from None
        seconds = time.perf_counter() - began

        record = checkpoint.record(self.task, trainer, __version__)
        saved = model_file.SavedModel(
            trainer.model, self.task.tokenizer, (*self.task.earlier, record)
        )
        with explained(f"cannot write {out}"):
            model_file.save(out, saved)
        if self.checkpoint_every or steps_before:
            self.checkpoint_path.unlink(missing_ok=True)
        if watch:
            watch.show_end(record.kept_step, trainer.model)
        if not self.quiet:
            print(curves.text(record.curve), end="")
        last = min(LAST_STEPS, len(trainer.losses))
        say(f"loss        {record.final_loss:.4f} nats a token, mean of the last {last} steps")
        if record.kept_validation is not None:
            held_out = f"{len(trainer.held_out)} held-out {self.task.tokenizer.document}s"
            say(f"validation  {record.kept_validation:.4f} on {held_out}")
        if risen := rise(record.curve):
            say(overfitting(*risen))
        say(f"kept        {what_is_kept(record)}")
        speed = (trainer.step - steps_before) / seconds
        say(f"time        {seconds:.2f} s, {speed:,.0f} steps a second")
        say(f"saved       {out}")
        if self.plot:
            with explained(f"cannot draw {self.plot}"):
                curves.plot(record.curve, self.plot)
            say(f"drawn       {self.plot}")


def overfitting(low: CurvePoint, last: CurvePoint) -> str:
    """What it means that the validation loss has risen between these points, for people."""
    meaning = (
        f"overfitting lowest at step {low.step:,}, rising since ({low.validation:.2f} to "
        f"{last.validation:.2f}): the model learns the sentences by heart; fewer --steps or more "
        f"text would help"
    )
    return textwrap.fill(meaning, get_terminal_size().columns, subsequent_indent=" " * 12)


@contextmanager
def _noticing_ctrl_c() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that a step can be finished; the second one stops at once."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def notice(_number: int, _frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, notice)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
