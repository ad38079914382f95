"""The command `evaluate`: judge a model by its text and, if there is one, by its grammar."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmhard import corpus
from llmhard.cli.common import (
    DEFAULT_MODEL,
    UsageError,
    add_model_option,
    advised,
    at_least_one,
    in_options,
    not_negative,
    read_model,
)
from llmhard.cli.training import read_text
from llmhard.sampler import Sampling
from llmhard.terminal import console, measure, printable, status, whole, wrap
from llmhard.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from llmhard.evaluation import Estimate, Evaluation
    from llmhard.mistakes import Mistake
    from llmhard.preparation import Text
from llmhard.model_file import SavedModel

DEFAULT_SEED = 42
DEFAULT_TEMPERATURES = (Sampling.temperature, 1.0)
NARROWEST = 40  # columns that the report needs


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "evaluate",
        help="judge a model against the grammar that wrote the sentences",
        description=(
            "Judge a model by sentences that it did not learn from and by what it writes. If\n"
            "these are sentences of the grammar, which knows how likely each of them is, the\n"
            "model is compared with the grammar: its loss, its mistakes and variety, the next\n"
            "words that it expects, and minimal pairs."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} evaluate\n"
            f"  {program} evaluate --fresh 50000 --temperature 0.5 1\n"
            f"  {program} evaluate mine.safetensors --data mine.txt --json"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
    command.add_argument(
        "--data",
        metavar="FILE",
        help="sentences, one per line, from training or elsewhere; - is standard input "
        "(default: the training sentences, if bundled or in the current folder)",
    )
    for name, default, meaning in (
        ("fresh", 5000, "sentences to draw from the grammar"),
        ("samples", 10_000, "sentences the model writes at each temperature"),
        ("pairs", 500, "minimal pairs of each kind"),
    ):
        help_text = f"how many {meaning} (default: {default:,})"
        command.add_argument(
            f"--{name}", metavar="N", type=at_least_one, default=default, help=help_text
        )
    command.add_argument(
        "--temperature",
        metavar="T",
        type=not_negative,
        nargs="+",
        default=DEFAULT_TEMPERATURES,
        help="one or more, for the sentences that the model writes (default: 0.8 1)",
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=DEFAULT_SEED,
        help="a different number draws different sentences and pairs (default: %(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> None:
    # Imported only here: `sample` does not need the grammar.
    from llmhard.evaluation import evaluate

    temperatures = list(dict.fromkeys(options.temperature))
    saved = read_model(options.model)
    text = read_text(options.data) if options.data else _text_of(saved, options.model)
    try:
        with status("evaluating") as tell:
            evaluation = evaluate(
                saved,
                text.sentences,
                fresh=options.fresh,
                samples=options.samples,
                temperatures=temperatures,
                pairs=options.pairs,
                seed=options.seed,
                tell=tell,
            )
    except (ValueError, ArithmeticError) as error:
        raise UsageError(in_options(str(error))) from None
    if options.json:
        about = {"version": __version__, "model": options.model, "data": text.name}
        print(json.dumps(about | {"seed": options.seed} | asdict(evaluation), indent=2))
    else:
        print(_report(options.model, text, evaluation), end="")


def _text_of(saved: SavedModel, model: str) -> Text:
    """Return the first of the model's training texts that can be found; a model keeps only names.

    Raises UsageError if there is none.
    """
    for record in saved.records:
        for path in corpus.places(record.data.name):
            if path.is_file():
                text = read_text(str(path))
                if corpus.fingerprint(text.sentences) == record.data.sha256:
                    return text
    if not saved.records:
        return read_text(None)
    name = Path(saved.records[0].data.name).name
    if name == "standard input":
        raise UsageError(
            f"the model was trained on standard input; pipe that in: "
            f"{whole('... | ')}{_command(model, '-')}"
        )
    found = next(filter(Path.is_file, corpus.places(name)), None)
    if found:
        raise UsageError(
            f"the model was trained on a different {name} from the one found, {whole(str(found))}; "
            f"say where the right one is, or name any other text: {_command(model, 'FILE')}"
        )
    raise UsageError(
        f"the model was trained on {whole(name)}, which is not in this folder; say where it is: "
        f"{_command(model, f'FOLDER/{name}')}"
    )


def _command(model: str, data: str) -> str:
    """Return the command that judges this model by a text."""
    return advised("evaluate", *([] if model == DEFAULT_MODEL else [model]), "--data", data)


# ---------------------------------------------------------------- the report for people

NEXT_WORDS = (
    "How far its probabilities of the next word are off after so many words (their divergence from "
    "the grammar's), and how open the grammar leaves it (entropy), in nats:"
)
PAIRS = "How often it finds the good one of two sentences likelier:"
EXAMPLE = "a bad one"  # the heading of the only column of words besides the first
ROOM_FOR_EXAMPLES = 64  # columns

Groups = dict[str, tuple[str, str]]  # the heading of a figure -> the figure and its standard error
Rows = list[tuple[str, ...]]


def _report(model: str, text: Text, evaluation: Evaluation) -> str:

    width = max(measure(), NARROWEST)
    screen = console(sys.stdout, width)
    unseen = f"{evaluation.unseen:,} held out"
    if not evaluation.trained_on:
        unseen = "none in its training record"
    with screen.capture() as captured:
        for name, file, about in (
            ("model  ", model, whole(f"{evaluation.parameters:,} parameters")),
            ("text   ", text.name, f"{len(text.sentences):,} sentences, {unseen}"),
        ):
            _print_text(screen, f"{whole(printable(file))}: {about}", name, " " * len(name))
        if short := list(_in_short(evaluation)):
            screen.print("\nIn short", style="bold")
        for line in short:
            _print_text(screen, line, "- ", "  ")
        _print_grouped(screen, "nats a token", _losses(evaluation))
        _print_grouped(screen, f"{evaluation.samples[0].count:,} samples", _samples(evaluation))
        for samples in evaluation.samples:
            _print_mistakes(screen, samples.count, samples.temperature, samples.mistakes)
        _print_table(screen, *_next_words(evaluation), NEXT_WORDS)
        _print_table(screen, *_pairs(evaluation, examples=width >= ROOM_FOR_EXAMPLES), PAIRS)
        for note in evaluation.notes:
            screen.print()
            _print_text(screen, printable(note))
    trailing = re.compile(r"(\x1b\[\d*m| )+$", re.M)  # tables end in spaces, some of them bold
    return trailing.sub(lambda end: end[0].replace(" ", ""), captured.get())


def _print_text(screen: Console, text: str, first: str = "", rest: str = "") -> None:
    for line in wrap(text, screen.width, first, rest):
        screen.print(line, soft_wrap=True)  # a name wider than a line stays in one piece


def _print_grouped(screen: Console, title: str, rows: dict[str, Groups]) -> None:
    """Print a table with two columns per group, or a table per group if that is too wide."""
    known = {name: groups for name, groups in rows.items() if any(map(any, groups.values()))}
    headings = list(dict.fromkeys(chain.from_iterable(known.values())))
    wide = len(headings) < 2 or screen.width >= ROOM_FOR_EXAMPLES
    for shown in [headings] if wide else [[heading] for heading in headings]:
        columns = [title, *chain.from_iterable((heading, "s.e.") for heading in shown)]
        cells = [
            (name, *chain.from_iterable(groups.get(heading, ("", "")) for heading in shown))
            for name, groups in known.items()
        ]
        _print_table(screen, columns, [row for row in cells if any(row[1:])])


def _print_table(
    screen: Console, columns: Sequence[str], rows: Rows, explanation: str = ""
) -> None:
    from rich.table import Table

    if not rows:
        return
    screen.print()
    if explanation:
        _print_text(screen, explanation)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        words = number == 0 or name == EXAMPLE
        table.add_column(name, justify="left" if words else "right", no_wrap=not words)
    for row in rows:
        table.add_row(*row)
    screen.print(table)


def _in_short(evaluation: Evaluation) -> Iterator[str]:
    """Yield what a newcomer should know, in sentences."""
    for samples in evaluation.samples:
        at = f"At temperature {samples.temperature:g}"
        if samples.accepted:
            share = f"{100 * samples.accepted.value:.1f} %"
            line = f"{at} the grammar accepts {share} of what it writes."
            if openings := samples.varieties.get("openings"):
                line += (
                    f" Those sentences begin with {openings.model:,} different pairs of words; as "
                    f"many sentences of the grammar's own begin with {openings.grammar:,}."
                )
            yield line
        elif samples.new:
            new = f"{100 * samples.new.value:.1f} % of what it writes is not in the training text"
            yield f"{at} {new}."
    texts = (("fresh", evaluation.fresh), ("held-out", evaluation.validation))
    name, losses = next((pair for pair in texts if pair[1]), ("", None))
    if losses and losses.gap and losses.grammar:
        yield (
            f"On {name} sentences it loses {losses.model.value:.2f} nats a token, the grammar "
            f"itself {losses.grammar.value:.2f}, which no model beats in the long run: the gap is "
            f"{100 * losses.gap.value / losses.grammar.value:.1f} %."
        )
    elif losses:
        yield (
            f"On {name} sentences it is as unsure of each token as if it guessed among "
            f"{_perplexity(losses.perplexity, 3)}."
        )
    if evaluation.pairs:
        right = {kind: result.right.value for kind, result in evaluation.pairs.items()}
        worst = min(right, key=lambda kind: right[kind])
        line = (
            f"Of a good sentence and one that is wrong in one thing it prefers the good one in "
            f"{100 * sum(right.values()) / len(right):.1f} % of the pairs"
        )
        if right[worst] < 1:
            line += f" (lowest: {worst}, {100 * right[worst]:.1f} %)"
        yield f"{line}."


def _losses(evaluation: Evaluation) -> dict[str, Groups]:
    texts = {"validation": evaluation.validation, "fresh": evaluation.fresh}
    in_training = {"fresh": evaluation.fresh_in_training}
    rows: dict[str, Groups] = {}
    for text, losses in texts.items():
        if losses is not None:
            for name, cells in {
                "sentences": (f"{losses.sentences:,}", ""),
                "tokens": (f"{losses.tokens:,}", ""),
                "the model's loss": _nats(losses.model),
                "its perplexity": (_perplexity(losses.perplexity, 4), ""),
                "the grammar's loss": _nats(losses.grammar),
                "gap": _nats(losses.gap),
                "gap, of the grammar's loss": _percent(losses.gap_share, 2),
                "in the training text": _percent(in_training.get(text)),
            }.items():
                rows.setdefault(name, {})[text] = cells
    return rows


def _samples(evaluation: Evaluation) -> dict[str, Groups]:
    rows: dict[str, Groups] = {}
    for samples in evaluation.samples:
        heading = f"at {samples.temperature:g}"
        for name, cells in {
            "accepted by the grammar": _percent(samples.accepted),
            "not in the training text": _percent(samples.new),
            "distinct": (f"{100 * samples.distinct:.1f} %", ""),
        }.items():
            rows.setdefault(name, {})[heading] = cells
        for name, variety in samples.varieties.items():
            cell = "" if variety.share is None else f"{100 * variety.share:.1f} %"
            rows.setdefault(f"{name}, of the grammar's", {})[heading] = (cell, "")
    return rows


def _print_mistakes(
    screen: Console, count: int, temperature: float, mistakes: Sequence[Mistake]
) -> None:
    """Print each reason with an example, the word at which it leaves the language in brackets,
    and the likeliest words there."""
    if not mistakes:
        return
    rejected = sum(mistake.count for mistake in mistakes)
    screen.print()
    line = (
        f"{rejected:,} of {count:,} samples rejected at {temperature:g}; [the wrong word] (what "
        f"could stand there; the full stop is the end of the sentence):"
    )
    _print_text(screen, line)
    for mistake in mistakes:
        place = mistake.places[0]
        words = place.example.split(" ")
        words[place.position : place.position + 1] = [f"[{place.word}]"]
        line = f"{mistake.reason}: {' '.join(words)} ({', '.join(place.allowed)})"
        _print_text(screen, printable(line), f"{mistake.count:>5,}  ", " " * 7)


def _next_words(evaluation: Evaluation) -> tuple[list[str], Rows]:
    rows: Rows = [
        (
            str(word.after),
            f"{word.sentences:,}",
            *_nats(word.divergence),
            _nats(word.entropy, 2)[0],
        )
        for word in evaluation.next_words
    ]
    return ["words", "cases", "off by", "s.e.", "entropy"], rows


def _pairs(evaluation: Evaluation, examples: bool) -> tuple[list[str], Rows]:
    rows: Rows = [
        (
            kind,
            f"{result.count:,}",
            *_percent(result.right),
            *([result.example.bad] if examples else []),
        )
        for kind, result in evaluation.pairs.items()
    ]
    return ["minimal pairs", "pairs", "right", "s.e.", *([EXAMPLE] if examples else [])], rows


def _perplexity(number: float, digits: int) -> str:
    return f"{number:.{digits}g}" if number < 1000 else f"{number:,.0f}"


def _nats(estimate: Estimate | None, digits: int = 4) -> tuple[str, str]:
    """Return a number of nats and its standard error; empty if there is none."""
    if estimate is None:
        return "", ""
    error = estimate.standard_error
    return f"{estimate.value:.{digits}f}", "" if error is None else f"{error:.{digits}f}"


def _percent(estimate: Estimate | None, digits: int = 1) -> tuple[str, str]:
    """Return a share and its standard error, both in per cent; empty if there is none."""
    if estimate is None:
        return "", ""
    error = estimate.standard_error
    shown = "" if error is None else f"{100 * error:.{digits}f}"
    return f"{100 * estimate.value:.{digits}f} %", shown
