"""Reading a file of sentences, one a line."""

from __future__ import annotations

import os
import re
from pathlib import Path


class CorpusError(ValueError):
    """A file that holds no sentences; the message says why."""


def default_path() -> Path:
    """The 30,000 sentences that come with the package: in an installed one beside the modules,
    in a checkout in `data/`."""
    installed = Path(__file__).parent / "data"
    folder = installed if installed.is_dir() else Path(__file__).parent.parent / "data"
    return folder / "grade1_sentences.txt"


def read_sentences(path: str | os.PathLike[str]) -> list[str]:
    """The lines that are not blank, words separated by single spaces.

    Raises OSError if the file cannot be read, CorpusError if it is not text or has no words.
    """
    content = Path(path).read_bytes()
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
    sentences = [" ".join(line.split()) for line in text.splitlines() if line.split()]
    if not sentences:
        raise CorpusError("there are no sentences in it")
    return sentences
