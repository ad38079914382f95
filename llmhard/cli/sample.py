"""The command `sample`: write sentences with a trained model."""

from __future__ import annotations

import argparse
import random
from typing import Any

from llmhard.cli.common import UsageError, at_least_one, read_model
from llmhard.sampler import Reader, Sampling, generate


def add_parser(commands: Any, program: str) -> None:
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
    command.set_defaults(run=run)
    command.add_argument(
        "--model",
        metavar="FILE",
        default="model.safetensors",
        help="a model that train saved (default: %(default)s)",
    )
    command.add_argument(
        "-n",
        metavar="N",
        type=at_least_one,
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
        help="choose among the K likeliest tokens; 0 is all (default: %(default)s)",
    )
    command.add_argument(
        "--top-p",
        metavar="P",
        type=float,
        default=Sampling.top_p,
        help="choose among the likeliest tokens that make up P; 1 is all (default: %(default)s)",
    )
    command.add_argument(
        "--prompt", metavar="TEXT", default="", help="how every sentence begins (default: empty)"
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help="the same number writes the same sentences (default: new ones each time)",
    )


def run(options: argparse.Namespace) -> None:
    saved = read_model(options.model)
    try:
        sampling = Sampling(options.temperature, options.top_k, options.top_p)
        prompt = saved.tokenizer.encode(options.prompt)
        rng = random.Random(options.seed)
        reader = Reader(saved.model)
        for _ in range(options.n):
            print(saved.tokenizer.decode(generate(reader, rng, sampling, prompt)))
    except (ValueError, ArithmeticError) as error:
        raise UsageError(str(error)) from None
