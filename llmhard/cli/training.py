"""What the commands that train share: options, the text, the run from its first step to its end."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from llmhard import checkpoint, corpus, curves, model_file, preparation
from llmhard.checkpoint import Task
from llmhard.cli.common import (
    UsageError,
    advised,
    at_least_one,
    complain,
    explained,
    from_zero,
    notify,
    positive,
    refused,
    share,
    what_is_kept,
)
from llmhard.cli.outputs import Outputs, Target
from llmhard.cli.watch import Watch
from llmhard.film import FEWEST, MOST, SNAPSHOTS, Camera
from llmhard.preparation import Encoded, Text, n_cores
from llmhard.progress import pace, progress
from llmhard.recipe import Recipe
from llmhard.signals import ENDING, Held, Interrupted
from llmhard.terminal import columns, unfailing_streams, whole, wrap
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import LAST_STEPS, Keep, Trainer
from llmhard.training_record import CurvePoint, TrainingRecord, rise
from llmhard.version import __version__

Say = Callable[[str, str], None]


def fact(name: str, what: str) -> None:
    """Print a name and, in a column of its own, what there is to say about it."""
    print("\n".join(wrap(what, columns(), f"{name:<12}", " " * 12)))


def silence(_name: str, _what: str) -> None:
    pass


# ---------------------------------------------------------------- options


def add_recipe_options(command: argparse.ArgumentParser, defaults: str) -> None:
    """Add the options that change a recipe; `defaults` says where its numbers come from."""
    recipe = command.add_argument_group("recipe", f"defaults: {defaults}")
    options = (
        ("--steps", at_least_one, "how many times the parameters move"),
        ("--batch-size", at_least_one, "sentences per step"),
        ("--lr", positive, "highest learning rate; it ends at 0"),
        ("--warmup", from_zero, "steps in which the learning rate rises"),
        ("--weight-decay", float, "share of each parameter, times the rate, lost per step"),
        ("--average", share, "share of the steps, the last ones, whose parameters are averaged"),
    )
    metavars = {positive: "RATE", float: "RATE", share: "SHARE"}
    for name, kind, meaning in options:
        metavar = metavars.get(kind, "N")
        recipe.add_argument(name, metavar=metavar, type=kind, help=meaning)


def add_output_options(command: argparse.ArgumentParser, out: str) -> None:
    command.add_argument("--out", metavar="FILE", help=f"where to save the model (default: {out})")
    command.add_argument(
        "--force",
        action="store_true",
        help="replace what is in the way of the model, its checkpoint or the picture",
    )
    command.add_argument(
        "--checkpoint-every",
        metavar="N",
        type=at_least_one,
        help="save the state of the run every N steps; Ctrl-C saves it in any case",
    )
    command.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw the losses as a picture (needs matplotlib)"
    )
    command.add_argument(
        "--keep",
        choices=get_args(Keep),
        help=(
            "which parameters to save: best, the last ones before the validation loss rises, or "
            "last, those of the last step (default: best if sentences are held out, from ten on)"
        ),
    )
    command.add_argument(
        "--threads",
        metavar="N",
        type=at_least_one,
        default=n_cores(),
        help="share the sentences of a step among N threads; the model is the same for any N "
        "(default: as many as there are cores)",
    )
    command.add_argument(
        "--film",
        metavar="N",
        type=snapshots,
        nargs="?",
        const=SNAPSHOTS,
        help="keep N snapshots of the run, for explore, beside the model (default: no film; "
        f"{SNAPSHOTS} if N is left out)",
    )
    talk = command.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="print nothing but errors")
    talk.add_argument(
        "--watch",
        action="store_true",
        help="show three sentences at steps 0, 10, 30, 100, 300, ... as the model learns",
    )


def snapshots(text: str) -> int:
    """Return the number of a film's snapshots, as given on the command line."""
    if not text.isdecimal() or not FEWEST <= int(text[:9]) <= MOST:
        raise argparse.ArgumentTypeError(
            f"a whole number from {FEWEST} to {MOST:,}, not {text!r:.60}; without one, "
            f"--film comes last"
        )
    return int(text)


def changed_recipe(base: Recipe, options: argparse.Namespace) -> Recipe:
    """Return the recipe with the changes that the options ask for."""
    given = {field.name: getattr(options, field.name, None) for field in fields(Recipe)}
    with refused():
        return preparation.changed_recipe(base, given)


def filming(options: argparse.Namespace, trainer: Trainer, tokenizer: Tokenizer) -> Camera | None:
    """Return the camera if `--film` asks for one."""
    if options.film is None:
        return None
    return Camera(trainer.model.config, tokenizer, trainer.recipe.steps, options.film)


# ---------------------------------------------------------------- text


def read_text(path: str | None) -> Text:
    """Return the sentences of a file, of standard input ("-") or the bundled ones (None)."""
    if path == "-" and sys.stdin and sys.stdin.isatty():
        notify("type the sentences, one per line; Ctrl-D at the beginning of a line ends them")
    with refused():
        return preparation.read_text(path)


def say_what_the_text_is(say: Say, tokenizer: Tokenizer, text: Text, encoded: Encoded) -> None:
    """Say how many sentences, or lines, there are, and what the tokenizer makes of them."""
    aside = f", of which {len(encoded.held_out):,} held out" if encoded.held_out else ""
    say(f"{tokenizer.document}s", f"{len(text.sentences):,}{aside}")
    if not encoded.held_out:
        say("held out", f"none: {why_none_is_held_out(text.sentences, tokenizer.document)}")
    if changes := tokenizer.changes(text.sentences):
        say("text", changes)


def why_none_is_held_out(sentences: Sequence[str], document: str) -> str:
    fewest = round(1 / corpus.HELD_OUT_SHARE)
    if len(sentences) < fewest:
        return f"that takes at least {fewest} {document}s"
    return f"each {document} makes up more than a tenth of the text"


# ---------------------------------------------------------------- the run itself


@dataclass(frozen=True)
class Job:
    """A training run: what is learned and how, and what is printed and written on the way."""

    task: Task
    trainer: Trainer
    outputs: Outputs
    quiet: bool
    watch: bool
    camera: Camera | None = None

    def run(self) -> int:
        """Train, save the model, say how it went, and return the exit code.

        Raises Interrupted after a signal that asks the program to end. What was learned is then in
        a checkpoint or, if all steps were taken, in the model.
        """
        self.outputs.check_room(self.trainer, self.camera)
        with unfailing_streams():
            return self._run()

    def _run(self) -> int:
        trainer, steps_before = self.trainer, self.trainer.step
        model, state = Target(self.outputs.out), Target(self.outputs.checkpoint)
        if self.outputs.goes_on:
            state.adopt()
        watch = Watch(self.task.tokenizer) if self.watch else None
        with Held() as signals:
            began = time.perf_counter()
            self._train(watch, state, signals)
            seconds = time.perf_counter() - began
            record = checkpoint.record(self.task.data, trainer, __version__)
            records = (*self.task.earlier, record)
            saved = model_file.SavedModel(trainer.model, self.task.tokenizer, records)
            film = self._save_film(saved)  # before the model, whose file means that all is done
            with explained(f"cannot write {model.path}"):
                model.write(lambda path: model_file.save(path, saved))
            state.remove()
            if signals.number is not None:
                what = ENDING[signals.number]
                raise Interrupted(signals.number, f"{what} after the model was saved: {model.path}")
        if watch:
            watch.show_end(record.kept_step, trainer.model)
        if not self.quiet:
            self._report(record, trainer.step - steps_before, seconds)
            fact("saved", whole(str(model.path)))
            if film and self.camera:
                fact("film", f"{len(self.camera.shots)} snapshots, {whole(str(film))}")
        if self.outputs.plot:
            with explained(f"cannot draw {self.outputs.plot}"):
                curves.plot(record.curve, self.outputs.plot)
            if not self.quiet:
                fact("drawn", whole(str(self.outputs.plot)))
        return 0 if (model.path, film) == (self.outputs.out, self.outputs.film) else 2

    def _train(self, watch: Watch | None, state: Target, signals: Held) -> None:
        """Take the steps that are left."""
        with progress(self.trainer, self.quiet) as show:

            def on_step(trainer: Trainer) -> None:
                show(trainer)
                if self.camera:
                    self.camera.take(trainer)
                if trainer.step == trainer.recipe.steps:
                    return
                if watch:
                    watch.show(trainer.step, trainer.current)
                due = self.outputs.every and trainer.step % self.outputs.every == 0
                if due or signals.number is not None:
                    failure = self._save_state(state)
                    if signals.number is not None:
                        raise self._interrupted(signals.number, state, failure)
                    if failure:
                        complain(f"{failure}; the training run goes on")

            try:
                if self.camera:
                    self.camera.take(self.trainer)
                if watch and self.trainer.step == 0:
                    watch.show(0, self.trainer.model)
                self.trainer.run(on_step)
            except ArithmeticError as error:  # TrainingDivergedError, or logits not finite at once
                raise UsageError(f"{error}; {self.outputs.out} is as it was") from None

    def _save_film(self, saved: model_file.SavedModel) -> Path | None:
        """Write the film and return where; the model is saved even if this fails."""
        if self.camera is None or self.outputs.film is None:
            return None
        film, target = self.camera.film(self.trainer, saved), Target(self.outputs.film)
        try:
            target.write(film.save)
        except OSError as error:
            complain(f"cannot write the film {target.path}: {error.strerror}")
            return None
        return target.path

    def _save_state(self, state: Target) -> str:
        """Write the checkpoint; return what went wrong, or an empty string."""
        try:
            state.write(lambda path: checkpoint.save(path, self.task, self.trainer, self.camera))
        except OSError as error:
            return f"cannot write the checkpoint {state.path}: {error.strerror}"
        return ""

    def _interrupted(self, number: int, state: Target, failure: str) -> Interrupted:
        step, steps = self.trainer.step, self.trainer.recipe.steps
        message = f"{ENDING[number]} after step {step:,} of {steps:,}; "
        if failure:
            return Interrupted(number, message + failure)
        command = ["train", "--resume", str(state.path)]
        out = self.outputs.out
        if out.parent != Path() or out.exists():  # a checkpoint alone may not decide on these
            command += ["--out", str(out)]
        if self.task.data_path is None:
            command += ["--data", "FILE"]
        return Interrupted(number, f"{message}to go on: {advised(*command)}")

    def _report(self, record: TrainingRecord, steps: int, seconds: float) -> None:
        print(curves.text(record.curve), end="")
        last = min(LAST_STEPS, len(self.trainer.losses))
        fact("loss", f"{record.final_loss:.4f} nats a token, mean of the last {last} steps")
        if record.kept_validation is not None:
            number, document = len(self.trainer.held_out), self.task.tokenizer.document
            held_out = f"{number:,} held-out {document}" + "s" * (number > 1)
            fact("validation", f"{record.kept_validation:.4f} on {held_out}")
        if risen := rise(record.curve):
            fact("overfitting", overfitting(*risen))
        fact("kept", what_is_kept(record))
        fact("time", f"{seconds:.2f} s, {pace(steps, seconds)}")


def overfitting(low: CurvePoint, last: CurvePoint) -> str:
    """Explain, for people, what it means that the validation loss rose between these points."""
    return (
        f"lowest at step {low.step:,}, rising since ({low.validation:.2f} to "
        f"{last.validation:.2f}): the model learns the sentences by heart; fewer --steps or more "
        f"text would help"
    )
