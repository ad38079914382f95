"""The command `evaluate`: judge a model against the grammar that wrote the sentences."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmhard.cli.common import UsageError, at_least_one, printable, read_model
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
            "Judge a model against the grammar that wrote the sentences and so knows how likely\n"
            "each of them is: its loss on held-out and on fresh sentences beside the grammar's,\n"
            "what the grammar says of the model's own sentences, and minimal pairs."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} evaluate\n"
            f"  {program} evaluate --fresh 50000 --temperature 1\n"
            f"  {program} evaluate --model mine.safetensors --data my_sentences.txt --json"
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
        "--data",
        metavar="FILE",
        help="sentences, one a line, those of the training or others; - is standard input "
        "(default: the 30,000 that come along)",
    )
    for name, default, meaning in (
        ("fresh", 5000, "sentences to draw from the grammar"),
        ("samples", 1000, "sentences that the model is to write"),
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

Rows = list[tuple[str, ...]]


def _report(model: str, text: Text, evaluation: Evaluation) -> str:
    from rich.console import Console
    from rich.table import Table

    # On a terminal, too: a table that is too wide wraps there, but loses no figures.
    console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)

    def show(columns: Sequence[str], rows: Rows) -> None:
        """A table: texts in the first column and under "a bad one", numbers in the others."""
        if not rows:
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for number, name in enumerate(columns):
            words = number == 0 or name == "a bad one"
            table.add_column(name, justify="left" if words else "right", no_wrap=not words)
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)

    unseen = f"{evaluation.unseen:,} held out" if evaluation.trained_on else "none trained on"
    samples, temperature = evaluation.samples, evaluation.samples.temperature
    with console.capture() as captured:
        console.print(f"model  {printable(model)}: {evaluation.parameters:,} parameters")
        console.print(f"text   {printable(text.name)}: {len(text.sentences):,} sentences, {unseen}")
        columns = {"validation": evaluation.validation, "fresh": evaluation.fresh}
        shown = {name: losses for name, losses in columns.items() if losses is not None}
        names = [heading for name in shown for heading in (name, "s.e.")]
        rows = _loss_rows(list(shown.values()))
        if evaluation.fresh is not None and evaluation.fresh_in_training is not None:
            blank = ("", "") * (len(shown) - 1)
            rows.append(("in the training text", *blank, *_percent(evaluation.fresh_in_training)))
        show(["nats a token", *names], rows)
        show(
            [f"{samples.count:,} samples at {temperature:g}", "share", "s.e."], _shares(evaluation)
        )
        show(
            ["minimal pairs", "pairs", "right", "s.e.", "a bad one"],
            [
                (kind, f"{result.count:,}", *_percent(result.right), result.example.bad)
                for kind, result in evaluation.pairs.items()
            ],
        )
        for note in evaluation.notes:
            console.print()
            console.print(textwrap.fill(printable(note), WIDTH))
    lines = captured.get().splitlines()
    return "".join(line.rstrip() + "\n" for line in lines)


def _loss_rows(columns: Sequence[Losses]) -> Rows:
    """One row a figure, two cells for each of the columns: the figure and its standard error."""
    if not columns:
        return []
    figures: list[tuple[str, Callable[[Losses], tuple[str, str]]]] = [
        ("sentences", lambda losses: (f"{losses.sentences:,}", "")),
        ("tokens", lambda losses: (f"{losses.tokens:,}", "")),
        ("the model's loss", lambda losses: _nats(losses.model)),
        ("its perplexity", lambda losses: (f"{losses.perplexity:.3f}", "")),
        ("the grammar's loss", lambda losses: _nats(losses.grammar)),
        ("gap", lambda losses: _nats(losses.gap)),
        ("gap, of the grammar's loss", lambda losses: _percent(losses.gap_share, 2)),
    ]
    rows = [
        (name, *(cell for losses in columns for cell in show(losses))) for name, show in figures
    ]
    return [row for row in rows if any(row[1:])]


def _shares(evaluation: Evaluation) -> Rows:
    samples = evaluation.samples
    rows = [
        ("accepted by the grammar", *_percent(samples.accepted)),
        ("not in the training text", *_percent(samples.new)),
        ("distinct", f"{100 * samples.distinct:.1f} %", ""),
    ]
    return [row for row in rows if any(row[1:])]


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
