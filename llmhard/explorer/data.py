"""What of a model goes into the page: its weights, its vocabulary, its grammar, for JSON."""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import asdict
from typing import Any

from llmhard.model import GPT
from llmhard.model_file import SavedModel
from llmhard.tokenizer import Tokenizer
from llmhard.version import __version__

BOS_TEXT = "BOS"
KINDS = {"word": "words", "char": "characters"}


def contents(saved: SavedModel, title: str = "") -> dict[str, Any]:
    """Return the data of the page about a model."""
    return {
        "version": __version__,
        "title": title,
        "config": asdict(saved.model.config),
        "parameters": saved.model.config.shapes(),
        "weights": weights(saved.model),
        "tokenizer": _tokenizer(saved.tokenizer),
        "grammar": None,
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
