"""Lab 07: the bytes of a model file, and what a file has to hold."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

from docs_tools import blocks
from llmhard import corpus, drawing, model_file

BYTES_OF_A_NUMBER = 8
Offsets = tuple[int, int]


def starts() -> None:
    """Let the reader have done the labs before this one."""
    blocks.has_solved_before("saving")


def writes(*slips: tuple[str, str], only: tuple[str, ...] | None = None) -> None:
    """Let the reader write saving.py, or the functions in `only`, with these slips."""
    blocks.solves("saving", *slips, only=only)


def _content(name: str) -> bytes:
    return (blocks.page.session.folder / name).read_bytes()


def header_length(name: str) -> int:
    return int.from_bytes(_content(name)[:8], "little")


# ---------------------------------------------------------------- the format


def format_figure() -> None:
    """Draw the parts of a file, from its first byte to its last."""
    picture = drawing.Drawing()
    parts = drawing.chain(
        picture,
        0,
        0,
        [
            ("8 bytes\nhow long the header is", "plain"),
            ("the header, JSON\nnames, shapes, where they are", "data"),
            ("the numbers of the first matrix\n8 bytes each, row by row", "parameter"),
            ("the numbers of the next matrix\n...", "parameter"),
        ],
    )
    left = min(part.left[0] for part in parts) - 18
    between = (parts[1].bottom[1] + parts[2].top[1]) / 2
    for y, offset, right in (
        (between, "0", parts[2].left[0]),
        (parts[3].top[1] - 13, "48", parts[3].left[0]),
    ):
        picture.label(left, y, offset, anchor="end", size=12, colour=drawing.MUTED)
        picture.line([(left + 4, y), (right - 4, y)], drawing.MUTED, 1)
    blocks.figure(
        "safetensors",
        picture,
        "From top to bottom: 8 bytes that say how long the header is; the header in JSON; the "
        "numbers of the first matrix; those of the next. On the left the offsets: 0 where the "
        "first matrix begins, 48 where the next one begins, if the first has six numbers.",
    )


def double_bits() -> str:
    """Return the 64 bits of the number 5, the sign first."""
    return format(int.from_bytes(struct.pack(">d", 5.0)), "064b")


def double_figure() -> None:
    """Draw the bits of the number 5 and what they mean."""
    bits = double_bits()
    exponent, fraction = exponent_and_fraction()
    picture = drawing.Drawing()
    for x, width, title, content, meaning, kind in (
        (0, 56, "sign", bits[0], "+", "plain"),
        (100, 124, "exponent", bits[1:12], f"{exponent}", "data"),
        (282, 222, "fraction", f"{bits[12:22]} ... 0", f"{fraction}", "parameter"),
    ):
        picture.box(x, 0, content, kind, width=width)
        picture.label(x, -28, title, size=12, colour=drawing.MUTED)
        picture.label(x, 28, meaning, size=12, colour=drawing.MUTED)
    blocks.figure(
        "double",
        picture,
        f"The 64 bits of the number 5: the sign 0 means plus; the exponent {bits[1:12]} is "
        f"{exponent}; the fraction begins with 01 and is {fraction}.",
    )


def exponent_and_fraction() -> tuple[int, float]:
    """Return the exponent and the fraction of the number 5."""
    bits = double_bits()
    return int(bits[1:12], 2), int(bits[12:], 2) / 2**52


# ---------------------------------------------------------------- what a file has to hold


def gaps_say_what_the_page_says() -> None:
    """Make sure that the gaps of the three files are in the order that the page tells."""
    whole, heads, digits = (
        float(gap) for gap in re.findall(r"gap is ([\d.]+) %", blocks.page.last_output)
    )
    assert heads > digits + 1 > whole + 2 > 20
    assert heads < whole + 15


def sizes() -> tuple[int, int, int, int]:
    """Return the parameters of model.safetensors, the bytes of their numbers, of the header, and
    of all."""
    parameters = model_file.load(_path("model.safetensors")).model.config.n_parameters()
    numbers, header = BYTES_OF_A_NUMBER * parameters, header_length("model.safetensors")
    assert len(_content("model.safetensors")) == 8 + header + numbers
    return parameters, numbers, header, 8 + header + numbers


def _path(name: str) -> Path:
    folder: Path = blocks.page.session.folder
    return folder / name


def lines_of(path: str) -> int:
    """Return how many lines a file of the repository has."""
    return len((blocks.page.session.root / path).read_text(encoding="utf-8").splitlines())


# ---------------------------------------------------------------- the exercises


def sign_of_the_four() -> tuple[int, str, str]:
    """Return which byte of tiny.safetensors holds the sign of the 4, and its hexadecimal digits
    before and after."""
    tiny = bytearray(_content("tiny.safetensors"))
    start = 8 + header_length("tiny.safetensors") + 3 * BYTES_OF_A_NUMBER
    before = tiny[start + 7]
    tiny[start + 7] ^= 0x80
    assert struct.unpack("<d", tiny[start : start + 8]) == (-4.0,)
    return start + 7, f"{before:02x}", f"{tiny[start + 7]:02x}"


def half_the_size() -> tuple[int, int, float]:
    """Return the bytes that all numbers take with 4 bytes each, how far one is from what it was,
    in a hundred millionths, and the largest."""
    matrices = model_file.load(_path("model.safetensors")).model.parameters.values()
    numbers = [x for matrix in matrices for row in matrix.data for x in row]
    worst = max(abs(struct.unpack("<f", struct.pack("<f", x))[0] - x) for x in numbers)
    return 4 * len(numbers), round(worst * 1e8), max(map(abs, numbers))


def nearest(word: str) -> list[str]:
    """Return the five words whose rows are nearest to that of a word."""
    saved = model_file.load(_path("model.safetensors"))
    words = saved.tokenizer.words
    rows = dict(zip(words, saved.model.parameters["wte.weight"].data[1:], strict=True))

    def distance(other: str) -> float:
        return sum((x - y) ** 2 for x, y in zip(rows[other], rows[word], strict=True))

    return sorted(words, key=distance)[1:6]


def neighbours_table() -> None:
    assert len({"my", "her", "their", "our", "your"} & set(nearest("his"))) >= 3
    words = ("his", "dogs", "red", "seven", "lion")
    blocks.table(
        ["word", "nearest"], [[word, ", ".join(nearest(word))] for word in words], trained=True
    )


def times_read(word: str) -> int:
    """Return how often a word is in the sentences that the model of lab 06 has read."""
    sentences = corpus.read_sentences(corpus.default_path())
    read = corpus.split(sentences, random.Random(42))[0][:5000]
    return sum(sentence.split().count(word) for sentence in read)
