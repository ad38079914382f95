"""The command `finetune`: go on training a model with other sentences."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from llmhard import corpus
from llmhard.checkpoint import Task
from llmhard.cli.common import UsageError, add_model_option, notify, read_model, refused
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
from llmhard.preparation import about_long, encode, what_to_keep
from llmhard.recipe import FINE_TUNING
from llmhard.terminal import whole
from llmhard.trainer import Trainer

DEFAULT_OUT = "finetuned.safetensors"


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "finetune",
        help="go on training a model with other sentences",
        description=(
            "Go on training a model with other sentences, in fewer and smaller steps.\n"
            "The vocabulary stays the model's."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} finetune\n"
            f"  {program} finetune --data my_sentences.txt --skip-unknown --out mine.safetensors\n"
            f"  {program} evaluate --model {DEFAULT_OUT}    # what did it forget?"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
    command.add_argument(
        "--data",
        metavar="FILE",
        help="sentences, one per line; - is standard input (default: the bundled questions)",
    )
    command.add_argument(
        "--skip-unknown",
        action="store_true",
        help="leave out the sentences with words that the model does not know",
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=42,
        help="for the order of the sentences (default: %(default)s)",
    )
    add_output_options(command, DEFAULT_OUT)
    add_recipe_options(
        command,
        f"{FINE_TUNING.steps} steps of {FINE_TUNING.batch_size} sentences, rate {FINE_TUNING.lr:g}",
    )


def run(options: argparse.Namespace) -> int:
    say = silence if options.quiet else fact
    out = Path(DEFAULT_OUT if options.out is None else options.out)
    data = str(corpus.questions_path()) if options.data is None else options.data
    filmed = options.film is not None
    outputs = Outputs(out, options.plot, options.checkpoint_every, options.force, filmed=filmed)
    outputs.check({"the model to go on with": options.model, "the sentences (--data)": data})
    recipe = changed_recipe(FINE_TUNING, options)
    saved = read_model(options.model)
    tokenizer = saved.tokenizer
    text = read_text(data)
    rng = random.Random(options.seed)
    with refused():
        encoded = encode(tokenizer, text, rng, options.skip_unknown)
        keep = what_to_keep(options.keep, encoded)
    if not encoded.training:
        raise UsageError(f"no {tokenizer.document} of {text.name} is left to train on")
    say("model", f"{whole(options.model)}, {saved.model.config.n_parameters():,} parameters")
    say_what_the_text_is(say, tokenizer, text, encoded)
    if encoded.skipped:
        say("skipped", f"{encoded.skipped:,} with {tokenizer.unit}s that the model does not know")
    if long := about_long(tokenizer, encoded, saved.model.config.block_size, advice=False):
        notify(long)
    trainer = Trainer(
        saved.model,
        encoded.training,
        recipe,
        options.seed,
        encoded.held_out,
        keep=keep,
        threads=options.threads,
    )
    task = Task(tokenizer, saved.records, encoded.record, text.path, options.skip_unknown, out.name)
    camera = filming(options, trainer, tokenizer)
    return Job(task, trainer, outputs, options.quiet, options.watch, camera).run()
