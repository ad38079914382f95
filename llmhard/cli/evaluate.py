"""The command `evaluate`: judge a model against the grammar that wrote the sentences."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmhard.cli.common import UsageError, add_model_option, at_least_one, printable, read_model
from llmhard.cli.training import Text, read_text
from llmhard.sampler import Sampling
from llmhard.version import __version__

if TYPE_CHECKING:
    from llmhard.evaluation import Estimate, Evaluation, Losses

DEFAULT_SEED = 42
WIDTH = 80  # columns of the report


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "evaluate",
        help="judge a model against the grammar that wrote the sentences",
        description=(
            "Judge a model against the grammar that wrote the sentences and knows how\n"
            "likely each of them is: by its loss on held-out and on fresh sentences, in nats\n"
            "a token, beside the grammar's own; by what it writes; by minimal pairs."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} evaluate\n"
            f"  {program} evaluate --fresh 50000 --temperature 1\n"
            f"  {program} evaluate --model mine.safetensors --data mine.txt --json"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
    command.add_argument(
        "--data",
        metavar="FILE",
        help="sentences, one a line, those of the training or others; - is standard input "
        "(default: the 30,000 that come along)",
    )
    for name, default, meaning in (
        ("fresh", 5000, "sentences to draw from the grammar"),
        ("samples", 1000, "sentences the model writes"),
        ("pairs", 500, "minimal pairs of each kind"),
    ):
        help_text = f"how many {meaning} (default: %(default)s)"
        command.add_argument(
            f"--{name}", metavar="N", type=at_least_one, default=default, help=help_text
        )
    command.add_argument(
        "--temperature",
        metavar="T",
        type=float,
        default=Sampling.temperature,
        help="of the sentences that the model writes (default: %(default)s)",
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=DEFAULT_SEED,
        help="another number draws other sentences and pairs (default: %(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> None:
    # Imported only here: `sample` does not need the grammar.
    from llmhard.evaluation import evaluate

    try:
        Sampling(options.temperature)
    except ValueError as error:
        raise UsageError(str(error)) from None
    saved = read_model(options.model)
    text = read_text(options.data)
    try:
        evaluation = evaluate(
            saved,
            text.sentences,
            fresh=options.fresh,
            samples=options.samples,
            temperature=options.temperature,
            pairs=options.pairs,
            seed=options.seed,
        )
    except (ValueError, ArithmeticError) as error:
        raise UsageError(str(error)) from None
    if options.json:
        about = {"version": __version__, "model": options.model, "data": text.name}
        print(json.dumps(about | {"seed": options.seed} | asdict(evaluation), indent=2))
    else:
        print(_report(options.model, text, evaluation), end="")


# ---------------------------------------------------------------- the report for people

EXAMPLE = "a bad one"  # the heading of the only column of words, but for the first

Rows = list[tuple[str, ...]]


def _report(model: str, text: Text, evaluation: Evaluation) -> str:
    from rich.console import Console
    from rich.table import Table

    # On a terminal, too: a table that is too wide wraps there, but loses no figures.
    console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)
    unseen = f"{evaluation.unseen:,} held out" if evaluation.trained_on else "none trained on"
    with console.capture() as captured:
        for line in (
            f"model  {printable(model)}: {evaluation.parameters:,} parameters",
            f"text   {printable(text.name)}: {len(text.sentences):,} sentences, {unseen}",
        ):
            console.print(line, soft_wrap=True)
        for columns, rows in (_losses(evaluation), _samples(evaluation), _pairs(evaluation)):
            if rows:
                table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
                for number, name in enumerate(columns):
                    words = number == 0 or name == EXAMPLE
                    table.add_column(name, justify="left" if words else "right", no_wrap=not words)
                for row in rows:
                    table.add_row(*row)
                console.print()
                console.print(table)
        for note in evaluation.notes:
            console.print()
            console.print(textwrap.fill(printable(note), WIDTH))
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _losses(evaluation: Evaluation) -> tuple[list[str], Rows]:
    """Two columns for each text, the figure and its standard error."""
    texts = {"validation": evaluation.validation, "fresh": evaluation.fresh}
    known = {name: losses for name, losses in texts.items() if losses is not None}
    in_training = {"fresh": evaluation.fresh_in_training}

    def row(name: str, cells: Callable[[str, Losses], tuple[str, str]]) -> tuple[str, ...]:
        return (name, *(cell for text, losses in known.items() for cell in cells(text, losses)))

    rows = [
        row("sentences", lambda _, losses: (f"{losses.sentences:,}", "")),
        row("tokens", lambda _, losses: (f"{losses.tokens:,}", "")),
        row("the model's loss", lambda _, losses: _nats(losses.model)),
        row("its perplexity", lambda _, losses: (f"{losses.perplexity:.4g}", "")),
        row("the grammar's loss", lambda _, losses: _nats(losses.grammar)),
        row("gap", lambda _, losses: _nats(losses.gap)),
        row("gap, of the grammar's loss", lambda _, losses: _percent(losses.gap_share, 2)),
        row("in the training text", lambda text, _: _percent(in_training.get(text))),
    ]
    columns = ["nats a token", *(heading for text in known for heading in (text, "s.e."))]
    return columns, [row for row in rows if any(row[1:])]


def _samples(evaluation: Evaluation) -> tuple[list[str], Rows]:
    samples = evaluation.samples
    rows = [
        ("accepted by the grammar", *_percent(samples.accepted)),
        ("not in the training text", *_percent(samples.new)),
        ("distinct", f"{100 * samples.distinct:.1f} %", ""),
    ]
    title = f"{samples.count:,} samples at {samples.temperature:g}"
    return [title, "share", "s.e."], [row for row in rows if any(row[1:])]


def _pairs(evaluation: Evaluation) -> tuple[list[str], Rows]:
    rows: Rows = [
        (kind, f"{result.count:,}", *_percent(result.right), result.example.bad)
        for kind, result in evaluation.pairs.items()
    ]
    return ["minimal pairs", "pairs", "right", "s.e.", EXAMPLE], rows


def _nats(estimate: Estimate | None) -> tuple[str, str]:
    """A number of nats and its standard error; empty if there is none."""
    if estimate is None:
        return "", ""
    error = estimate.standard_error
    return f"{estimate.value:.4f}", "" if error is None else f"{error:.4f}"


def _percent(estimate: Estimate | None, digits: int = 1) -> tuple[str, str]:
    """A share and its standard error, both in per cent; empty if there is none."""
    if estimate is None:
        return "", ""
    error = estimate.standard_error
    shown = "" if error is None else f"{100 * error:.{digits}f}"
    return f"{100 * estimate.value:.{digits}f} %", shown
