"""Reading a file of sentences, one per line, and setting some aside for validation."""

from __future__ import annotations

import codecs
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from llmhard import files
from llmhard.text import clean

HELD_OUT_SHARE = 0.1  # of the sentences, for validation
MARKS = {  # byte-order marks, which say how a text is encoded; the longest first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
LARGEST_LOOKED_AT = 100_000_000  # bytes of a file that is read to see what it is
CONTROL = "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]"


class CorpusError(ValueError):
    """A file that holds no sentences; the message says why."""


def default_path() -> Path:
    """Return the path of the 30,000 bundled sentences."""
    return _data_folder() / "grade1_sentences.txt"


def questions_path() -> Path:
    """Return the path of the 150 bundled questions, which are for fine-tuning."""
    return _data_folder() / "questions.txt"


def places(name: str) -> list[Path]:
    """Return where to look for a text of this name: in the package, then in the current folder."""
    bundled = {path.name: path for path in (default_path(), questions_path())}
    name = Path(name).name  # never a path out of this folder
    return [path for path in (bundled.get(name), Path(name)) if path]


def _data_folder() -> Path:
    """Return the data folder: beside the modules if installed, at the top of a checkout."""
    installed = Path(__file__).parent / "data"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "data"


def read_sentences(path: str | os.PathLike[str]) -> list[str]:
    """Return the non-blank lines, with words separated by single spaces; "-" is standard input.

    They are cleaned: no invisible characters, and each accented letter in only one spelling. The
    text is UTF-8 or begins with a byte-order mark, as PowerShell's UTF-16 does. Raises OSError if
    it cannot be read or has more than `files.LARGEST` bytes, CorpusError if it is not text or has
    no words.
    """
    if path != "-":
        content = files.read(path, files.LARGEST)
    elif sys.stdin and not sys.stdin.closed:
        content = files.read_stream(sys.stdin.buffer, files.LARGEST)
    else:
        raise CorpusError("it is closed")
    return sentences_in(_decode(content))


def sentences_in(text: str) -> list[str]:
    """Return the sentences of a string in the same form. Raises CorpusError if it has no words."""
    if control := re.search(CONTROL, text):
        raise CorpusError(f"it is not plain text: it has the control character {control[0]!r}")
    sentences = [" ".join(line.split()) for line in clean(text).splitlines() if line.split()]
    if not sentences:
        raise CorpusError("there are no sentences in it")
    return sentences


def _decode(content: bytes) -> str:
    """Return the text without its mark. Raises CorpusError, which says how to convert the text."""
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if encoding is None and b"\0" in content:
        if likely := _likely_encoding(content):
            raise CorpusError(
                f"it looks like {likely} without a byte-order mark; "
                f"save it as UTF-8 or convert it: iconv -f {likely} -t UTF-8"
            )
        raise CorpusError("it is a binary file, not text")
    try:
        return content.decode("UTF-8" if encoding is None else encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where = f"byte {error.start:,} is {content[error.start]:#04x}"
        if encoding:
            raise CorpusError(
                f"it begins as {encoding} but does not continue that way: {where}, {error.reason}"
            ) from None
        raise CorpusError(
            f"it is not UTF-8 text: {where}; "
            f"save it as UTF-8 or, if it is from an older Windows, "
            f"convert it: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def _likely_encoding(content: bytes) -> str | None:
    """Return the encoding that makes the bytes plain text, at least half of it ASCII, if any."""
    for encoding in ("UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"):
        with suppress(UnicodeDecodeError):
            beginning = codecs.getincrementaldecoder(encoding)().decode(content[:4096])
            half = len(beginning) / 2
            if sum(map(str.isascii, beginning)) >= half > 0 and not re.search(CONTROL, beginning):
                return encoding
    return None


def is_text(path: str | os.PathLike[str]) -> bool:
    """Return whether a model could learn from this file."""
    with suppress(OSError, CorpusError):
        if Path(path).is_file() and Path(path).stat().st_size <= LARGEST_LOOKED_AT:  # not a pipe
            return bool(read_sentences(path))
    return False


def split(sentences: Sequence[str], rng: random.Random) -> tuple[list[str], list[str]]:
    """Split the sentences into those to train on and those held out, in an order drawn by `rng`.

    A tenth is held out, taken from those that are repeated least often, together with their copies:
    no held-out sentence is trained on, and likely ones stay as likely in training as in the text.
    Nothing is held out of fewer than ten sentences, or of copies of a single one.
    """
    shuffled = list(sentences)
    rng.shuffle(shuffled)
    room = int(len(shuffled) * HELD_OUT_SHARE)
    copies = Counter(shuffled)
    unseen: set[str] = set()
    order = list(copies)
    rng.shuffle(order)  # else the held-out ones would all come from the beginning of `shuffled`
    for sentence in sorted(order, key=copies.__getitem__):
        if copies[sentence] > room:
            break
        unseen.add(sentence)
        room -= copies[sentence]
    training = [sentence for sentence in shuffled if sentence not in unseen]
    return training, [sentence for sentence in shuffled if sentence in unseen]


def fingerprint(sentences: Sequence[str]) -> str:
    """Return the SHA-256 of the sentences, in hexadecimal: equal only for equal texts."""
    import hashlib  # only here: `sample` starts faster without it

    return hashlib.sha256("\n".join(sentences).encode()).hexdigest()
