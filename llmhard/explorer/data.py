"""What the page contains of a model, for JSON: its weights, vocabulary and language."""

from __future__ import annotations

import random
import struct
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from typing import Any

from llmhard import corpus, grammar
from llmhard.evaluation import split_as_trained
from llmhard.explorer.film_data import film_contents
from llmhard.explorer.map import layout
from llmhard.film import Film
from llmhard.minimal_pairs import KINDS, minimal_pairs
from llmhard.model import GPT
from llmhard.model_file import SavedModel
from llmhard.pcfg import Grammar
from llmhard.sampler import Reader, generate
from llmhard.tokenizer import Tokenizer, UnknownWordError
from llmhard.version import __version__

BOS_TEXT = "BOS"
TOKENIZER_KINDS = {"word": "words", "char": "characters"}
SENTENCES = 12  # to begin with
PAIRS = 6  # of each kind
TRIED = 100  # of a text's sentences at most, to see whether a grammar wrote it


def contents(saved: SavedModel, title: str = "", film: Film | None = None) -> dict[str, Any]:
    """Return the data of the page about a model and, if there is one, the film of its training."""
    text = _text_of(saved)
    language = _language_of(saved, text)
    return {
        "version": __version__,
        "title": title,
        "config": asdict(saved.model.config),
        "parameters": saved.model.config.shapes(),
        "weights": weights(saved.model),
        "tokenizer": _tokenizer(saved.tokenizer),
        "grammar": language and rules_of(language),
        "film": film and film_contents(film, judged=language is grammar.SENTENCES),
        "pairs": _pairs() if language is grammar.SENTENCES else None,
        "sentences": _sentences(saved, text),
        "map": layout(saved.model.config),
    }


def weights(model: GPT) -> str:
    """Return all parameters as little-endian doubles, in base64."""
    rows = (row for matrix in model.parameters.values() for row in matrix.data)
    return b64encode(b"".join(struct.pack(f"<{len(row)}d", *row) for row in rows)).decode()


def rules_of(language: Grammar) -> dict[str, Any]:
    """Return the rules with a number for each name: the symbols first, then the words."""
    names = [*language.rules, *language.words]
    numbers = {name: number for number, name in enumerate(names)}
    rules = [
        [[_short(weight), *(numbers[item] for item in items)] for weight, items in alternatives]
        for alternatives in language.rules.values()
    ]
    return {"start": numbers[language.start], "names": names, "rules": rules}


def _short(weight: float) -> float:
    """Return the weight in the form that takes JSON the fewest characters."""
    return int(weight) if weight == int(weight) else weight


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    return {"kind": TOKENIZER_KINDS[tokenizer.kind], "tokens": [BOS_TEXT, *tokenizer.words]}


def _text_of(saved: SavedModel) -> list[str] | None:
    """Return the text of the last training run, if it can be found and is unchanged."""
    for record in reversed(saved.records):
        for path in corpus.places(record.data.name):
            with suppress(OSError, corpus.CorpusError):
                sentences = corpus.read_sentences(path) if path.is_file() else []
                if sentences and corpus.fingerprint(sentences) == record.data.sha256:
                    return sentences
    return None


def _language_of(saved: SavedModel, text: Sequence[str] | None) -> Grammar | None:
    """Return the grammar that wrote the text, if the model knows all its words.

    For a model whose training is unknown, it is the grammar with the same words.
    """
    if saved.tokenizer.kind != "word":
        return None
    for language in (grammar.SENTENCES, grammar.QUESTION_SENTENCES):
        is_known = set(language.words) <= set(saved.tokenizer.words)
        if is_known and text and all(map(language.accepts, text[:: 1 + len(text) // TRIED])):
            return language
        if not saved.records and saved.tokenizer.words == language.words:
            return language
    return None


def _pairs() -> list[dict[str, str]]:
    """Return a few minimal pairs of each kind."""
    return [
        {"kind": kind} | asdict(pair)
        for kind in KINDS
        for pair in minimal_pairs(kind, PAIRS, random.Random(f"explore {kind}"))
    ]


def _sentences(saved: SavedModel, text: Sequence[str] | None) -> list[str]:
    """Return a few sentences that the model has not learned from; if there are none, its own."""
    rng = random.Random("explore")
    if text is None:
        return _samples(saved, rng)
    learned, held_out = list(text), list[str]()
    with suppress(ValueError):  # this version of llmhard holds out other sentences
        learned, held_out = split_as_trained(text, saved.records) or (learned, [])
    chosen = list(dict.fromkeys(held_out or learned))
    rng.shuffle(chosen)
    readable = (_beginning(saved, sentence) for sentence in chosen)
    return list(islice(filter(None, readable), SENTENCES))


def _beginning(saved: SavedModel, sentence: str) -> str:
    """Return as much of a sentence as fits into the context; "" if its words are unknown."""
    with suppress(UnknownWordError):
        ids = saved.tokenizer.encode(sentence)
        return saved.tokenizer.decode(ids[: saved.model.config.block_size - 1])
    return ""


def _samples(saved: SavedModel, rng: random.Random) -> list[str]:
    """Return sentences that the model writes; none if its numbers are not finite."""
    reader, written = Reader(saved.model), list[str]()
    with suppress(ArithmeticError):
        for _ in range(SENTENCES):
            written.append(saved.tokenizer.decode(generate(reader, rng)))
    return list(dict.fromkeys(filter(None, written)))
