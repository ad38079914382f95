"""The command `sample`: write sentences with a trained model."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from llmhard.cli.common import UsageError, add_model_option, at_least_one, read_model
from llmhard.cli.writing import CANDIDATES, Writer, add_choice_options, sampling_of
from llmhard.sampler import Reader

SENTENCES = 20


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "sample",
        help="write sentences with a trained model",
        description="Write sentences with a trained model, one per line.",
        epilog=(
            f"examples:\n"
            f"  {program} sample\n"
            f"  {program} sample -n 5 --prompt 'the cat' --seed 1\n"
            f"  {program} sample --temperature 1.2 --top-k 50 --top-p 0.9 | sort\n"
            f"  {program} sample -n 1 --show-probs\n"
            f"  {program} sample --interactive"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
    command.add_argument(
        "-n",
        metavar="N",
        type=at_least_one,
        help=f"how many sentences (default: {SENTENCES}; with --interactive 1)",
    )
    add_choice_options(command)
    command.add_argument(
        "--prompt", metavar="TEXT", default="", help="how every sentence begins (default: empty)"
    )
    command.add_argument(
        "--stream",
        action="store_true",
        help="write each word as it is chosen, on a terminal slowly enough to watch; with "
        "--show-probs, the steps appear like that, with the whole sentence below them",
    )
    command.add_argument(
        "--show-probs",
        metavar="K",
        nargs="?",
        type=_candidates,
        const=CANDIDATES,
        help=f"before each choice, show the K likeliest words (default: {CANDIDATES}), the model's "
        f"own probabilities and what temperature, top-k and top-p make of them; on stderr, so that "
        f"a pipe or a file gets only the sentences",
    )
    command.add_argument(
        "--interactive",
        action="store_true",
        help="ask for beginnings and continue them; /help there lists what can be changed",
    )


def _candidates(text: str) -> int:
    try:
        return at_least_one(text)
    except argparse.ArgumentTypeError as error:
        if Path(text).suffix != ".safetensors":
            raise
        raise argparse.ArgumentTypeError(f"{error}; give the model before it") from None


def run(options: argparse.Namespace) -> None:
    if options.interactive and options.prompt:
        raise UsageError("--interactive asks for the beginnings; leave out --prompt")
    saved = read_model(options.model)
    try:
        writer = Writer(
            saved.tokenizer,
            Reader(saved.model),
            random.Random(options.seed),
            sampling_of(options),
            stream=options.stream or options.interactive,
            candidates=options.show_probs or 0,
        )
        if options.interactive:
            from llmhard.cli import interactive  # needed only here

            interactive.run(writer, options.n or 1)
            return
        prompt = saved.tokenizer.encode(options.prompt)
        writer.show_legend()
        for _ in range(options.n or SENTENCES):
            writer.write(prompt)
    except (ValueError, ArithmeticError) as error:
        raise UsageError(str(error)) from None
