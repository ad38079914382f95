"""The command `info`: what is in a model file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmhard import curves
from llmhard.cli.common import add_model_option, read_model, what_is_kept
from llmhard.model_file import SavedModel
from llmhard.recipe import PRESETS
from llmhard.terminal import measure, paint, printable, whole, wrap
from llmhard.training_record import TrainingRecord


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "info",
        help="show what is in a model file",
        description="Show a model's configuration, its parameters and how it was trained.",
        epilog=(
            f"examples:\n"
            f"  {program} info\n"
            f"  {program} info mine.safetensors\n"
            f"  {program} info --json > info.json"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
    command.add_argument("--json", action="store_true", help="print one JSON object, for programs")


def run(options: argparse.Namespace) -> None:
    saved = read_model(options.model)
    path = Path(options.model)
    size = path.stat().st_size if path.is_file() else None  # a pipe has none
    if options.json:
        facts = {"file": options.model, "file_size": size} | _facts(saved)
        print(json.dumps(facts, indent=2))
    else:
        title = whole(printable(options.model)) + (f", {size:,} bytes" if size else "")
        print(_text(saved, title), end="")


def _facts(saved: SavedModel) -> dict[str, Any]:
    config = saved.model.config
    return {
        "config": asdict(config),
        "tokenizer": saved.tokenizer.kind,
        "vocab_size": saved.tokenizer.vocab_size,
        "parameters": {
            name: {"shape": [rows, cols], "count": rows * cols}
            for name, (rows, cols) in config.shapes().items()
        },
        "n_parameters": config.n_parameters(),
        "training": [
            asdict(record) | {"last_validation": record.last_validation} for record in saved.records
        ],
    }


def _text(saved: SavedModel, title: str) -> str:
    """Return the report for people."""
    config, width = saved.model.config, measure()
    sizes = [(name, f"{size:,}") for name, size in asdict(config).items()]
    shapes = config.shapes().items()
    tensors = [(name, f"{rows:,} x {cols:,}", f"{rows * cols:,}") for name, (rows, cols) in shapes]
    parts = {
        "configuration": _pairs([("tokenizer", saved.tokenizer.kind), *sizes], width),
        "parameters": _table([*tensors, ("total", "", f"{config.n_parameters():,}")], width),
    }
    for number, record in enumerate(saved.records, start=1):
        several = f" {number} of {len(saved.records)}" if len(saved.records) > 1 else ""
        lines = _pairs(_record(record), width)
        if curve := curves.text(record.curve):
            lines += ["", *curve.splitlines()]
        parts[f"training{several}"] = lines
    blocks = [wrap(title, width, rest="  "), *([name, *lines] for name, lines in parts.items())]
    return "\n".join("\n".join([paint(head, "bold"), *rest, ""]) for head, *rest in blocks)


def _pairs(pairs: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return one line for each name and its value; longer values take several."""
    left = max(len(name) for name, _ in pairs) + 4
    return [
        line
        for name, value in pairs
        for line in wrap(value, width, f"{f'  {name}':{left}}", " " * left)
    ]


def _table(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    """Return one line for each name and its two numbers, or two lines where one is too narrow."""
    name, shape, count = (max(map(len, column)) for column in zip(*rows, strict=True))
    if 6 + name + shape + count <= width:
        return [f"  {n:{name}}  {s:>{shape}}  {c:>{count}}" for n, s, c in rows]
    return [line for n, s, c in rows for line in (f"  {n}", f"    {s:>{shape}}  {c:>{count}}")]


def _record(record: TrainingRecord) -> list[tuple[str, str]]:
    names = [name for name, recipe in PRESETS.items() if recipe == record.recipe]
    numbers = ", ".join(whole(f"{name} {value:,}") for name, value in asdict(record.recipe).items())
    sentences, held_out = record.data.sentences, record.data.held_out
    aside = f", of which {held_out:,} held out" if held_out else ""
    validation, last = record.kept_validation, record.last_validation
    at_the_end = "" if last in (None, validation) else f" ({last:.4f} at the end)"
    return [
        ("recipe", f"{names[0]}: {numbers}" if names else numbers),
        ("seed", str(record.seed)),
        ("data", whole(printable(record.data.name))),
        ("sentences", f"{sentences:,}{aside}"),
        ("final loss", f"{record.final_loss:.4f} nats a token"),
        ("validation", "-" if validation is None else f"{validation:.4f} nats a token{at_the_end}"),
        ("kept", what_is_kept(record)),
        ("version", printable(record.version)),
    ]
