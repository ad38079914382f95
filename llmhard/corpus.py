"""Reading a file of sentences, one a line, and setting some aside for validation."""

from __future__ import annotations

import hashlib
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from llmhard.text import clean

HELD_OUT_SHARE = 0.1  # of the sentences, for validation


class CorpusError(ValueError):
    """A file that holds no sentences; the message says why."""


def default_path() -> Path:
    """The 30,000 sentences that come with the package."""
    return _data_folder() / "grade1_sentences.txt"


def questions_path() -> Path:
    """The 150 questions that come with the package, for fine-tuning."""
    return _data_folder() / "questions.txt"


def _data_folder() -> Path:
    """In an installed package beside the modules, in a checkout at its top."""
    installed = Path(__file__).parent / "data"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "data"


def read_sentences(path: str | os.PathLike[str]) -> list[str]:
    """The lines that are not blank, words separated by single spaces; "-" is standard input.

    They are `clean`: no invisible characters, and each accented letter in one spelling only. Raises
    OSError if the file cannot be read, CorpusError if it is not text or has no words.
    """
    if path != "-":
        content = Path(path).read_bytes()
    elif sys.stdin:
        content = sys.stdin.buffer.read()
    else:
        raise CorpusError("it is closed")
    if b"\0" in content:
        raise CorpusError("it is a binary file, not text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"it is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}"
        ) from None
    if control := re.search("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]", text):
        raise CorpusError(f"it is not plain text: it has the control character {control[0]!r}")
    sentences = [" ".join(line.split()) for line in clean(text).splitlines() if line.split()]
    if not sentences:
        raise CorpusError("there are no sentences in it")
    return sentences


def split(sentences: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    """Split the sentences into those to train on and those held out, in an order drawn by `rng`.

    A tenth is held out, from those that are repeated least often, together with their copies: no
    held-out sentence is trained on, and likely ones stay as likely in training as they are in the
    text. Of fewer than ten sentences, or of copies of one, none is held out.
    """
    shuffled = list(sentences)
    rng.shuffle(shuffled)
    room = int(len(shuffled) * HELD_OUT_SHARE)
    copies = Counter(shuffled)
    unseen: set[str] = set()
    order = list(copies)
    rng.shuffle(order)  # or the held-out ones would all come from the beginning of `shuffled`
    for sentence in sorted(order, key=copies.__getitem__):
        if copies[sentence] > room:
            break
        unseen.add(sentence)
        room -= copies[sentence]
    training = [sentence for sentence in shuffled if sentence not in unseen]
    return training, [sentence for sentence in shuffled if sentence in unseen]


def fingerprint(sentences: Sequence[str]) -> str:
    """SHA-256, in hexadecimal, of the sentences, one a line: equal for equal texts only."""
    return hashlib.sha256("\n".join(sentences).encode()).hexdigest()
