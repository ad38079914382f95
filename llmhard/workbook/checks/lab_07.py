"""Lab 07: the model file."""

from __future__ import annotations

import json
import random
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from llmhard import model_file
from llmhard.model import GPT, Config, KVCache
from llmhard.recipe import Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.training_record import DataRecord, TrainingRecord
from llmhard.workbook.answers import Wrong, agree, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks

check = Checks("07")

Matrices = dict[str, list[list[float]]]

SIZES = {"vocab_size": 4, "n_layer": 1, "n_embd": 4, "n_head": 2, "block_size": 5}
WORDS = ["caf\u00e9", "cat", "the"]
TRAINING = [{"steps": 3, "loss": 1.5}]

TWO_BY_THREE = {"a": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}
TWO = TWO_BY_THREE | {"b": [[7.0]]}

rows = st.integers(1, 3).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([0.0, 1.5, -2.25, 0.1]), min_size=n, max_size=n),
        min_size=1,
        max_size=3,
    )
)
some_matrices = st.dictionaries(st.sampled_from(["a", "b", "c"]), rows, min_size=1, max_size=3)


def packed(book: Book, matrices: Matrices, metadata: dict[str, str]) -> tuple[str, bytes]:
    function = book.get("saving", "pack")
    text = f"pack({matrices}, {metadata})"
    found = book.attempt(
        text, lambda: function(matrices, metadata), matrices=matrices, metadata=metadata
    )
    if not isinstance(found, bytes | bytearray):
        raise Wrong(f"{text} should be bytes. Yours is {show(found)}.")
    return text, bytes(found)


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def header_of(text: str, content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the numbers of a file's content."""
    if len(content) < 8:
        raise Wrong(f"{text} has {len(content)} bytes; the length of the header alone takes 8.")
    length = int.from_bytes(content[:8], "little")
    raw = content[8 : 8 + length]
    try:
        header: dict[str, Any] = json.loads(raw)
    except ValueError:
        hint = "struct.pack('<Q', ...) makes 8 bytes of a number."
        if raw.startswith(b"{'"):
            hint = "str() writes a dict as Python does. json.dumps makes JSON of it."
        elif int.from_bytes(content[:8], "big") < len(content):
            hint = "The length is there with its largest byte first. Little-endian, '<', begins "
            hint += "with the smallest."
        elif is_json(raw.decode("latin-1")):
            hint = "The length is right, but the header is not UTF-8: encode('utf-8')."
        elif raw[: length - 8].endswith(b"}"):
            hint = "It is the length of the header alone: its own 8 bytes do not count."
        elif length < content[8:].rfind(b"}") + 1:
            hint = (
                "Count the header's bytes after encode(), not its characters: some take two bytes."
            )
        raise Wrong(
            f"{text}:",
            f"the first 8 bytes say that the header has {length:,} bytes, but these are no JSON.",
            hint=hint,
        ) from None
    return header, content[8 + length :]


@check("pack: the length, then the header", "The safetensors format")
def begins(book: Book) -> None:
    for metadata in ({"k": "v"}, {"k": "caf\u00e9"}):
        text, content = packed(book, TWO_BY_THREE, metadata)
        header, _ = header_of(text, content)
        hint = 'The metadata is in the header under the name "__metadata__".'
        book.same(f"{text}: __metadata__ of the header", header.get("__metadata__"), metadata, hint)


@check(
    "pack: the header describes each matrix",
    "Writing",
    after=["pack: the length, then the header"],
    cases=[{"matrices": TWO_BY_THREE}, {"matrices": TWO}],
    matrices=some_matrices,
)
def describes(book: Book, matrices: Matrices) -> None:
    text, content = packed(book, matrices, {})
    header, data = header_of(text, content)
    places, total = {}, 0
    for name, matrix in matrices.items():
        size = 8 * len(matrix) * len(matrix[0])
        places[name] = [total, total + size]
        total += size
    if total != len(data):
        hint = "Each number takes 8 bytes."
        if len(data) * 2 == total:
            hint = (
                "Yours takes 4 bytes for a number: '<d' is the format with 8, '<f' the one with 4."
            )
        raise Wrong(
            f"{text}: {len(data)} bytes follow the header, but its numbers take {total}.", hint=hint
        )
    for name, (start, end) in places.items():
        described = header.get(name)
        if not isinstance(described, dict):
            raise Wrong(f"{text}: the header says nothing about {name!r}.")
        book.same(f"{text}: dtype of {name!r}", described.get("dtype"), "F64")
        shape = [len(matrices[name]), len(matrices[name][0])]
        hint = "The rows come first, then the columns."
        book.same(f"{text}: shape of {name!r}", described.get("shape"), shape, hint)
        offsets, before = described.get("data_offsets"), len(content) - len(data)
        hint = "Where the matrix begins and ends, in bytes after the header: each number takes 8."
        if offsets == [start // 8, end // 8]:
            hint = "Yours counts numbers. The offsets count bytes, and each number takes 8."
        elif offsets == [start, end - start]:
            hint = "The second offset is where the matrix ends, not how long it is."
        elif offsets == [0, end - start]:
            hint = "A matrix begins where the one before it ends."
        elif offsets in ([start + before, end + before], [start + 8, end + 8]):
            hint = "The offsets count from the end of the header, not from the start of the file."
        book.same(f"{text}: data_offsets of {name!r}", offsets, [start, end], hint)


@check(
    "pack: the numbers, row by row",
    "Writing",
    after=["pack: the header describes each matrix"],
    cases=[{"matrices": TWO_BY_THREE}, {"matrices": TWO}],
    matrices=some_matrices,
)
def writes(book: Book, matrices: Matrices) -> None:
    text, content = packed(book, matrices, {})
    header, data = header_of(text, content)
    for name, matrix in matrices.items():
        start, end = header[name]["data_offsets"]
        part = data[start:end]
        flat = [x for row in matrix for x in row]
        if len(part) != 8 * len(flat):
            raise Wrong(
                f"{text}: data_offsets {[start, end]} of {name!r} hold {len(part)} bytes, not "
                f"{8 * len(flat)}."
            )
        found = list(struct.unpack(f"<{len(flat)}d", part))
        hint = "The first row from left to right, then the second, and so on."
        if found == [x for column in zip(*matrix, strict=True) for x in column]:
            hint = "Yours goes column by column. It should be row by row."
        elif list(struct.unpack(f">{len(flat)}d", part)) == flat:
            hint = (
                "Yours are big-endian: '<d' begins with the smallest byte, '>d' with the largest."
            )
        book.same(f"{text}: the numbers of {name!r}", found, flat, hint)


@check(
    "pack: other programs can read it",
    "Writing",
    after=["pack: the numbers, row by row"],
    hint="The library safetensors reads the files of many programs; it has refused this one.",
    matrices=some_matrices,
)
def is_standard(book: Book, matrices: Matrices) -> None:
    text, content = packed(book, matrices, {"k": "v"})
    try:
        deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise Wrong(f"{text}: {error}") from None


def by_hand(matrices: Matrices, metadata: dict[str, str] | None, backwards: bool = False) -> bytes:
    """Return a file's content; backwards, the header names the last matrix first."""
    described: dict[str, object] = {}
    data = b""
    for name, matrix in matrices.items():
        start = len(data)
        for row in matrix:
            data += struct.pack(f"<{len(row)}d", *row)
        shape = [len(matrix), len(matrix[0])]
        described[name] = {"dtype": "F64", "shape": shape, "data_offsets": [start, len(data)]}
    if backwards:
        described = dict(reversed(described.items()))
    noted: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    header = json.dumps(noted | described, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)  # spaces at the end are allowed
    return struct.pack("<Q", len(header)) + header + data


@check(
    "unpack: the matrices and the metadata come back",
    "Reading",
    cases=[{"matrices": TWO_BY_THREE}, {"matrices": TWO}],
    matrices=some_matrices,
)
def reads(book: Book, matrices: Matrices) -> None:
    metadata = {"k": "caf\u00e9"}
    function = book.get("saving", "unpack")
    for backwards in (False, True):
        content = by_hand(matrices, metadata, backwards)
        order = ", the header naming the last matrix first" if backwards else ""
        text = f"unpack(a file with {matrices}{order})"
        found = book.attempt(text, partial(function, content))
        found_matrices, found_metadata = book.sequence(text, found, 2, "dicts")
        if not isinstance(found_matrices, dict):
            raise Wrong(f"{text} should begin with a dict. Yours is {show(found_matrices)}.")
        hint = "__metadata__ is no matrix, and what is not __metadata__ is one."
        book.same(f"the names of the matrices of {text}", set(found_matrices), set(matrices), hint)
        for name, matrix in matrices.items():
            mine = [list(row) for row in found_matrices[name]]
            hint = "The numbers are there row by row; a row has as many as there are columns."
            if any(len(row) != len(matrix[0]) for row in mine) or len(mine) != len(matrix):
                book.same(f"{text}: {name!r}", mine, matrix, hint)
            flat, wanted = ([x for row in rows for x in row] for rows in (mine, matrix))
            if struct.pack(f">{len(flat)}d", *flat) == struct.pack(f"<{len(wanted)}d", *wanted):
                hint = "Yours reads the bytes in the other order: '<d' begins with the smallest."
            elif len(wanted) > 1 and flat[1:] == wanted[:-1]:
                hint = "The numbers begin after the length and the header: at byte 8 + length."
            elif backwards:
                hint = "Where a matrix begins is what its data_offsets say, whatever the order."
            book.same(f"{text}: {name!r}", mine, matrix, hint)
        hint = ""
        if found_metadata == {"k": metadata["k"].encode().decode("latin-1")}:
            hint = "Yours reads the header as latin-1. It is UTF-8: decode('utf-8')."
        book.same(f"{text}: the metadata", found_metadata, metadata, hint)


@check(
    "unpack: JSON as any program may write it",
    "Reading",
    after=["unpack: the matrices and the metadata come back"],
)
def reads_json(book: Book) -> None:
    function = book.get("saving", "unpack")
    content = by_hand(TWO, {"k": "<>"})
    header = content[8 : 8 + int.from_bytes(content[:8], "little")].rstrip()
    # An escape of JSON that means something else in Python.
    header = header.replace(b"<>", rb"\/\ud83d\ude00")
    data = content[8 + int.from_bytes(content[:8], "little") :]
    text = r'unpack(a file with the metadata {"k": "\/\ud83d\ude00"}): the metadata'
    whole = struct.pack("<Q", len(header)) + header + data
    found = book.attempt(text, lambda: function(whole))
    _, metadata = book.sequence(text, found, 2, "dicts")
    hint = "json.loads knows the escapes of JSON. eval and str do not."
    book.same(text, metadata, {"k": "/\U0001f600"}, hint)
    text = "unpack(a file without __metadata__)"
    found = book.attempt(text, lambda: function(by_hand(TWO, None)))
    _, metadata = book.sequence(text, found, 2, "dicts")
    book.same(f"{text}: the metadata", metadata, {})


# ---------------------------------------------------------------- whole models


def new_model(book: Book) -> tuple[Any, Any]:
    """A GPT and a Tokenizer of the reader's."""
    make, config = book.get("model", "GPT"), book.get("model", "Config")
    tokenizer = book.get("tokenizer", "Tokenizer")
    mine = book.attempt(
        "GPT.initialize(...)", lambda: make.initialize(config(**SIZES), random.Random(5))
    )
    return mine, book.attempt("Tokenizer(words)", lambda: tokenizer(WORDS))


def numbers(model: Any) -> dict[str, list[list[float]]]:
    return {name: [[p.data for p in row] for row in m] for name, m in model.parameters.items()}


def loaded(book: Book, path: Path, text: str) -> tuple[Any, Any, Any]:
    function = book.get("saving", "load")
    found = book.attempt(text, lambda: function(path))
    model, tokenizer, training = book.sequence(
        text, found, 3, "results: the model, the tokenizer, the training record"
    )
    for name, item, kind in (
        ("first", model, book.get("model", "GPT")),
        ("second", tokenizer, book.get("tokenizer", "Tokenizer")),
    ):
        if not isinstance(item, kind):
            raise Wrong(f"The {name} result of {text} should be a {kind.__name__}: {show(item)}.")
    return model, tokenizer, training


def check_loaded(
    book: Book, text: str, found: tuple[Any, Any, Any], expected: Matrices, training: Any
) -> None:
    model, tokenizer, record = found
    for name, size in SIZES.items():
        book.same(f"{text}: config.{name}", getattr(model.config, name, None), size)
    for name, rows_of_values in model.parameters.items():
        for row in rows_of_values:
            if not all(hasattr(p, "data") for p in row):
                raise Wrong(
                    f"{text}: {name} holds {show(row)}.",
                    hint="Each parameter stays the Value that it was; its .data gets the number.",
                )
    mine = numbers(model)
    book.same(f"{text}: the names of the parameters", list(mine), list(expected))
    for name, matrix in expected.items():
        hint = "Each parameter's .data should be the number from the file."
        for row, wanted in zip(mine[name], matrix, strict=True):
            if any(not isinstance(x, float) for x in row):
                raise Wrong(f"{text}: {name} holds {show(row)}.", hint=hint)
            if any(not agree(x, y, 1e-12) for x, y in zip(row, wanted, strict=True)):
                book.same(f"{text}: a row of {name}", row, wanted, hint)
                raise Wrong(
                    f"{text}: {name} is not the same to the last digit.", hint="'<d', not '<f'."
                )
    book.same(f"{text}: the words", list(tokenizer.words), WORDS)
    book.same(f"{text}: the training record", record, training)


@check(
    "save, then load: the same model",
    "The model file",
    after=["pack: the numbers, row by row", "unpack: the matrices and the metadata come back"],
)
def keeps(book: Book) -> None:
    model, tokenizer = new_model(book)
    before = numbers(model)
    function = book.get("saving", "save")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.safetensors"
        text = "save(path, model, tokenizer, training)"
        book.attempt(text, lambda: function(path, model, tokenizer, TRAINING))
        if not path.is_file():
            raise Wrong(f"{text} has not written the file.")
        found = loaded(book, path, "load(path)")
        check_loaded(book, "save, then load(path)", found, before, TRAINING)
        once = path.stat().st_size
        book.attempt(text, lambda: function(path, model, tokenizer, TRAINING))
        if path.stat().st_size != once:
            raise Wrong(
                f"{text}, twice with one path: the file has {once:,} bytes after the first time "
                f"and {path.stat().st_size:,} after the second.",
                hint="The second model replaces the first: mode 'wb' (or write_bytes) begins anew, "
                "'ab' goes on at the end.",
            )
    if numbers(model) != before:
        raise Wrong(f"{text} changes the model's parameters.")


@check(
    "load reads what llmhard has written",
    "The model file",
    after=["unpack: the matrices and the metadata come back"],
    hint="It has the same format, but another program wrote it: its header may be longer and its "
    "matrices in another order.",
)
def reads_ours(book: Book) -> None:
    model = GPT.initialize(Config(**SIZES), random.Random(6))
    data = DataRecord("sentences.txt", "0", 100, 10)
    record = TrainingRecord(Recipe(3), 7, 1.5, data, (), "0.1.0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model_file.save(path, model_file.SavedModel(model, Tokenizer(WORDS), (record,)))
        text = "load(a file of `python -m llmhard train`)"
        found = loaded(book, path, text)
        header, _ = header_of(text, path.read_bytes())
    training = json.loads(header["__metadata__"][model_file.MODEL])["training"]
    expected = {name: matrix.data for name, matrix in model.parameters.items()}
    check_loaded(book, text, found, expected, training)


@check(
    "llmhard reads what save has written",
    "The model file",
    after=["save, then load: the same model"],
)
def is_read_by_us(book: Book) -> None:
    model, tokenizer = new_model(book)
    function = book.get("saving", "save")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.safetensors"
        book.attempt(
            "save(path, model, tokenizer, training)",
            lambda: function(path, model, tokenizer, []),
        )
        try:
            saved = model_file.load(path)
        except model_file.ModelFileError as error:
            raise Wrong(
                f"python -m llmhard sample --model FILE says: {error}",
                hint="It needs the metadata that the docstring of save describes.",
            ) from None
    kept, cache = KVCache(SIZES["n_layer"]), book.get("model", "KVCache")(SIZES["n_layer"])
    for token in (0, 3, 1):
        ours = saved.model(token, kept).data
        mine = book.attempt(f"model({token}, cache)", partial(model, token, cache))
        book.same(
            "the logits that llmhard and your model compute from the file",
            [v.data for v in mine],
            ours,
        )
    book.same("the words that llmhard reads", list(saved.tokenizer.words), WORDS)
