"""What of a model goes into the page: its weights, its vocabulary, its grammar, for JSON."""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import asdict
from typing import Any

from llmhard import grammar
from llmhard.model import GPT
from llmhard.model_file import SavedModel
from llmhard.pcfg import Grammar
from llmhard.tokenizer import Tokenizer
from llmhard.version import __version__

BOS_TEXT = "BOS"
KINDS = {"word": "words", "char": "characters"}


def contents(saved: SavedModel, title: str = "") -> dict[str, Any]:
    """Return the data of the page about a model."""
    language = grammar.SENTENCES
    return {
        "version": __version__,
        "title": title,
        "config": asdict(saved.model.config),
        "parameters": saved.model.config.shapes(),
        "weights": weights(saved.model),
        "tokenizer": _tokenizer(saved.tokenizer),
        "grammar": rules_of(language) if language else None,
        "film": None,
        "pairs": None,
        "sentences": [],
        "map": None,
    }


def weights(model: GPT) -> str:
    """Return all parameters as little-endian doubles, in base64."""
    rows = (row for matrix in model.parameters.values() for row in matrix.data)
    return b64encode(b"".join(struct.pack(f"<{len(row)}d", *row) for row in rows)).decode()


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    return {"kind": KINDS[tokenizer.kind], "tokens": [BOS_TEXT, *tokenizer.words]}


def rules_of(language: Grammar) -> dict[str, Any]:
    """Return the rules with a number for each symbol and word: first the symbols, then the words."""
    names = [*language.rules, *language.words]
    numbers = {name: number for number, name in enumerate(names)}
    rules = [
        [[weight, *(numbers[item] for item in items)] for weight, items in alternatives]
        for alternatives in language.rules.values()
    ]
    return {"start": numbers[language.start], "names": names, "rules": rules}
