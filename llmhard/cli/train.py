"""The command `train`: learn from a file of sentences and save the model."""

from __future__ import annotations

import argparse
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmhard import corpus
from llmhard.checkpoint import Checkpoint, Task, is_file_name
from llmhard.cli.common import (
    UsageError,
    add_plain_or_option,
    at_least_one,
    explained,
    notify,
    refused,
)
from llmhard.cli.outputs import Outputs
from llmhard.cli.training import (
    Job,
    add_output_options,
    add_recipe_options,
    changed_recipe,
    fact,
    filming,
    read_text,
    say_what_the_text_is,
    silence,
)
from llmhard.model import Config
from llmhard.preparation import (
    DEFAULT_PRESET,
    DEFAULT_SEED,
    DEFAULT_TOKENIZER,
    encode,
    prepare,
)
from llmhard.recipe import PRESETS
from llmhard.terminal import whole
from llmhard.tokenizer import TOKENIZERS

SENTENCES = "the sentences (--data)"
CHANGEABLE = (  # when a run is resumed
    "data", "resume", "out", "force", "checkpoint_every", "plot", "quiet", "watch", "threads",
    "run",
)  # fmt: skip
DEFAULT_OUT = "model.safetensors"
SIZES = {
    "n_layer": "layers",
    "n_embd": "width: how many numbers represent a token",
    "n_head": "attention heads; must divide the width",
    "block_size": "context: how many tokens the model sees",
}


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "train",
        help="learn from a file of sentences and save the model",
        description="Learn from a file of sentences, one per line, and save the model.",
        epilog=(
            f"examples:\n"
            f"  {program} train\n"
            f"  {program} train --watch\n"
            f"  {program} train --steps 1000 --seed 1 --out small.safetensors\n"
            f"  {program} train my_sentences.txt --n-embd 64\n"
            f"  {program} train my_names.txt --tokenizer char\n"
            f"  {program} train --checkpoint-every 1000 --plot losses.png\n"
            f"  {program} train --film                     # see the run with explore\n"
            f"  {program} train --resume model.safetensors.checkpoint"
        ),
    )
    command.set_defaults(run=run)
    add_plain_or_option(
        command,
        "data",
        None,
        "sentences, one per line; - is standard input (default: the 30,000 bundled ones)",
    )
    command.add_argument(
        "--tokenizer",
        choices=TOKENIZERS,
        help=(
            "what a token is: a word in lower case, with each punctuation mark a word of its own; "
            "or a character, as for a list of names; either way, white space becomes single spaces "
            f"(default: {DEFAULT_TOKENIZER})"
        ),
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help=f"for the order of the sentences and the initial parameters (default: {DEFAULT_SEED})",
    )
    command.add_argument(
        "--resume",
        metavar="FILE",
        help="continue from a checkpoint, with its settings, and end as if nothing had happened",
    )
    add_output_options(command, DEFAULT_OUT)
    presets = "; ".join(
        f"{name}, {recipe.steps:,} steps of {recipe.batch_size}" for name, recipe in PRESETS.items()
    )
    command.add_argument(
        "--preset",
        choices=PRESETS,
        help=f"the recipe: {presets} (default: {DEFAULT_PRESET})",
    )
    add_recipe_options(command, "those of the preset")
    sizes = command.add_argument_group("sizes")
    for name, meaning in SIZES.items():
        flag = "--" + name.replace("_", "-")
        help_text = f"{meaning} (default: {getattr(Config, name)})"
        sizes.add_argument(flag, metavar="N", type=at_least_one, help=help_text)


def run(options: argparse.Namespace) -> int:
    job = _begun(options) if options.resume is None else _resumed(options)
    return job.run()


def _begun(options: argparse.Namespace) -> Job:
    """Return a new training run."""
    say = silence if options.quiet else fact
    out = Path(DEFAULT_OUT if options.out is None else options.out)
    filmed = options.film is not None
    outputs = Outputs(out, options.plot, options.checkpoint_every, options.force, filmed=filmed)
    outputs.check({SENTENCES: options.data or str(corpus.default_path())})
    recipe = changed_recipe(PRESETS[options.preset or DEFAULT_PRESET], options)
    text = read_text(options.data)
    kind = TOKENIZERS[options.tokenizer or DEFAULT_TOKENIZER]
    seed = DEFAULT_SEED if options.seed is None else options.seed
    sizes = {name: getattr(options, name) for name in SIZES if getattr(options, name) is not None}
    with refused():
        prepared = prepare(text, kind, recipe, seed, options.keep, sizes)
    tokenizer, config = prepared.tokenizer, prepared.config
    say_what_the_text_is(say, tokenizer, text, prepared.encoded)
    units = f"{len(tokenizer.words):,} {tokenizer.unit}s"
    say("vocabulary", f"{tokenizer.vocab_size:,} tokens: {units} and BOS")
    say("parameters", f"{config.n_parameters():,}")
    for notice in prepared.notices():
        notify(notice)
    task = Task(tokenizer, (), prepared.encoded.record, text.path, False, out.name)
    trainer = prepared.trainer(options.threads)
    camera = filming(options, trainer, tokenizer)
    return Job(task, trainer, outputs, options.quiet, options.watch, camera)


def _resumed(options: argparse.Namespace) -> Job:
    """Return a training run that continues from a checkpoint."""
    path = Path(options.resume)
    for name, value in vars(options).items():
        if name not in CHANGEABLE and value is not None:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"--resume goes on with the checkpoint's settings; leave out {flag}")
    with explained(f"cannot resume from {path}"):
        checkpoint = Checkpoint(path)
    task = checkpoint.task
    data = _sentences_of(task) if options.data is None else options.data
    out = _place_of(task, path) if options.out is None else Path(options.out)
    filmed = checkpoint.camera is not None
    outputs = Outputs(
        out, options.plot, options.checkpoint_every, options.force, resumed=path, filmed=filmed
    )
    outputs.check({SENTENCES: data})
    text = read_text(data)
    if corpus.fingerprint(text.sentences) != task.data.sha256:
        raise UsageError(
            f"the sentences in {text.name} are not those that the training run began with; "
            f"say where those are with --data"
        )
    task = replace(task, out=out.name)
    with refused():
        encoded = encode(task.tokenizer, text, random.Random(checkpoint.seed), task.skip_unknown)
    trainer = checkpoint.trainer(encoded.training, encoded.held_out)
    trainer.threads = options.threads
    say = silence if options.quiet else fact
    say("resuming", f"{whole(str(path))}, after step {trainer.step:,} of {trainer.recipe.steps:,}")
    say("saving to", whole(str(out)))
    return Job(task, trainer, outputs, options.quiet, options.watch, checkpoint.camera)


def _sentences_of(task: Task) -> str:
    """Return the place that a checkpoint names for its sentences."""
    if task.data_path is None:
        raise UsageError(
            "this training run read standard input; give the same sentences with --data"
        )
    if not Path(task.data_path).is_file():  # nor a device or a pipe: it may be anybody's checkpoint
        raise UsageError(
            f"the sentences of this training run are not in {task.data_path} any more; "
            f"say where they are with --data"
        )
    return task.data_path


def _place_of(task: Task, path: Path) -> Path:
    """Return where a checkpoint wants its model: only ever a new file in the current folder."""
    if not is_file_name(task.out):
        raise UsageError(
            f"{path} would save its model in another folder, as {task.out}; "
            f"say where to save it with --out"
        )
    out = Path(task.out)
    if os.path.lexists(out):
        raise UsageError(f"{path} would replace {out}; say --out {out} if it may, or another name")
    return out
