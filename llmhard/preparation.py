"""From a text and settings to a training run that can begin."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmhard import corpus
from llmhard.advice import explained, typed
from llmhard.model import GPT, Config
from llmhard.recipe import Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import Keep, Trainer
from llmhard.training_record import DataRecord

DEFAULT_PRESET = "thorough"
DEFAULT_TOKENIZER = "word"
DEFAULT_SEED = 42
MAX_PARAMETERS = 100_000_000
MANY_WORDS = 3000  # with so many, a step takes more than twice as long as with 1,000
FEW_WORDS = 100  # a vocabulary too small to worry about, however rare its words
PYTHON = "sentences in Python"  # the name of a text that came from no file


# ---------------------------------------------------------------- the text


@dataclass(frozen=True)
class Text:
    """Sentences and where they come from; `path` is None for standard input and for Python."""

    sentences: list[str]
    name: str
    path: str | None


def read_text(path: str | os.PathLike[str] | None) -> Text:
    """Return the sentences of a file, of standard input ("-") or the bundled ones (None).

    Raises OSError if it cannot be read, CorpusError if there are no sentences in it.
    """
    source = str(corpus.default_path() if path is None else path)
    name = "standard input" if source == "-" else source
    with explained(f"cannot read sentences from {name}", corpus.CorpusError):
        sentences = corpus.read_sentences(source)
    if source == "-":
        return Text(sentences, name, None)
    return Text(sentences, Path(source).name, str(Path(source).resolve()))


def text_of(sentences: Iterable[str]) -> Text:
    """Return sentences from Python as a text, cleaned like those of a file.

    Raises TypeError if one is not a string, CorpusError if there are none.
    """
    given = list(sentences)
    for sentence in given:
        if not isinstance(sentence, str):
            raise TypeError(f"a sentence is a string, not {sentence!r:.40}")
    with explained("cannot learn from these sentences", corpus.CorpusError):
        return Text(corpus.sentences_in("\n".join(given)), PYTHON, None)


# ---------------------------------------------------------------- its tokens


@dataclass(frozen=True)
class Encoded:
    """The documents of a text: those to train on and those held out; what was skipped."""

    training: list[list[int]]
    held_out: list[list[int]]
    skipped: int  # sentences with words that the vocabulary lacks
    record: DataRecord


def encode(
    tokenizer: Tokenizer,
    text: Text,
    rng: random.Random,
    skip_unknown: bool = False,
    made_of_it: bool = False,
) -> Encoded:
    """Split a text and encode it.

    Raises ValueError for words that the vocabulary lacks, unless their sentences are skipped; a
    vocabulary made from the text lacks none.
    """
    unknown: dict[str, None] = {}
    parts: list[list[list[int]]] = []
    skipped = 0
    split = corpus.split(text.sentences, rng)
    for sentences in split:
        documents = []
        for sentence in sentences:
            if not made_of_it and (missing := tokenizer.unknown(sentence)):
                unknown |= dict.fromkeys(missing)
                skipped += 1
            else:
                documents.append(tokenizer.encode_document(sentence))
        parts.append(documents)
    if unknown and not skip_unknown:
        some = ", ".join(f"{word!r:.40}" for word in list(unknown)[:10])
        more = " ..." if len(unknown) > 10 else ""
        raise ValueError(
            f"the model does not know {len(unknown):,} of the {tokenizer.unit}s in {text.name}: "
            f"{some}{more}; leave out the {tokenizer.document}s with them "
            f"({skipped:,} of {len(text.sentences):,}) with {typed().setting('skip_unknown', True)}"
        )
    fingerprint = corpus.fingerprint(text.sentences)
    record = DataRecord(text.name, fingerprint, len(text.sentences), len(split[1]))
    training, held_out = parts
    return Encoded(training, held_out, skipped, record)


def about_many_words(tokenizer: Tokenizer, sentences: Sequence[str]) -> str:
    """Return advice if there are more words than a small model can learn from these sentences."""
    words = len(tokenizer.words)
    if tokenizer.kind != "word" or words < FEW_WORDS:
        return ""
    counts = Counter(word for sentence in sentences for word in tokenizer.split(sentence))
    once = sum(count == 1 for count in counts.values())
    if words <= MANY_WORDS and 2 * once <= words:
        return ""
    width, steps = typed().setting("n_embd"), typed().setting("steps")
    return (
        f"{words:,} different words are many for this text: {once:,} occur only once, and "
        f"each occurs {counts.total() / words:.1f} times on average; more text, or a larger "
        f"{width} with more {steps}, may help; {typed().setting('tokenizer', 'char')} needs few "
        f"tokens for any text"
    )


def about_long(tokenizer: Tokenizer, encoded: Encoded, block_size: int, advice: bool = True) -> str:
    """Return how many documents are longer than the context and, as `advice`, what would hold them.

    Return an empty string if none is.
    """
    lengths = [len(document) - 1 for document in (*encoded.training, *encoded.held_out)]
    long = sum(length > block_size for length in lengths)
    if not long:
        return ""
    one, many = f"1 {tokenizer.document} is", f"{long:,} {tokenizer.document}s are"
    message = (
        f"{one if long == 1 else many} longer than the context of {block_size} tokens; "
        f"only the beginning is learned"
    )
    if not advice:
        return message
    holds = "it" if long == 1 else "them all"
    return f"{message}; {typed().setting('block_size', max(lengths))} would hold {holds}"


# ---------------------------------------------------------------- the settings


def changed_recipe(base: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with these settings changed; those that are None stay.

    Raises ValueError if one is out of range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    for name in ("lr", "weight_decay", "average"):
        if isinstance(given.get(name), int) and not isinstance(given[name], bool):
            given[name] = float(given[name])
    try:
        recipe = replace(base, **given)
        if not recipe.steps:
            raise ValueError("steps is a whole number of at least 1, not 0")
    except ValueError as error:
        raise ValueError(typed().settings(str(error))) from None
    return recipe


def what_to_keep(keep: Keep | None, encoded: Encoded) -> Keep:
    """Return what was asked for, or the default. Raises ValueError if no step can be the best."""
    if keep == "best" and not encoded.held_out:
        raise ValueError(
            f"{typed().setting('keep', 'best')} needs held-out sentences to find the best step "
            f"with, and none are held out of fewer than ten; leave it out"
        )
    return keep or ("best" if encoded.held_out else "last")


@dataclass(frozen=True)
class Preparation:
    """All that a training run of a new model needs; `rng` draws the initial parameters."""

    text: Text
    tokenizer: Tokenizer
    encoded: Encoded
    config: Config
    recipe: Recipe
    seed: int
    keep: Keep
    rng: random.Random

    def notices(self) -> list[str]:
        """Return what a person should know before the run begins, short of errors."""
        many = about_many_words(self.tokenizer, self.text.sentences)
        return list(
            filter(None, [many, about_long(self.tokenizer, self.encoded, self.config.block_size)])
        )

    def trainer(self, threads: int | None = None) -> Trainer:
        """Return the training run, before its first step. Call this once.

        `threads` share the sentences of a step, by default as many as there are cores.
        """
        return Trainer(
            GPT.initialize(self.config, self.rng),
            self.encoded.training,
            self.recipe,
            self.seed,
            self.encoded.held_out,
            keep=self.keep,
            threads=threads or n_cores(),
        )


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare(
    text: Text,
    tokenizer: type[Tokenizer],
    recipe: Recipe,
    seed: int,
    keep: Keep | None,
    sizes: Mapping[str, int],
) -> Preparation:
    """Make a vocabulary from a text, split and encode it, and choose the sizes of a model.

    `sizes` holds those of a Config that differ from the defaults. Raises ValueError if they do not
    make one, or if the model would be too large.
    """
    made = tokenizer.from_sentences(text.sentences)
    try:
        config = Config(made.vocab_size, **sizes)
    except ValueError as error:
        raise ValueError(typed().settings(str(error))) from None
    if config.n_parameters() > MAX_PARAMETERS:
        raise ValueError(
            f"a model of {config.n_parameters():,} parameters is too large to train here"
        )
    rng = random.Random(seed)
    encoded = encode(made, text, rng, made_of_it=True)
    kept = what_to_keep(keep, encoded)
    return Preparation(text, made, encoded, config, recipe, seed, kept, rng)
