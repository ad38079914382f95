"""Lab 07: the model file, in the format safetensors.

    8 bytes      the length of the header in bytes, a whole number, little-endian (struct: "<Q")
    the header   JSON, in UTF-8: {"__metadata__": {"key": "text", ...},
                 "name": {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 48]}, ...}
    the numbers  matrix after matrix, row by row, 8 bytes each, little-endian (struct: "<d")

The offsets say where a matrix begins and ends, in bytes, counted from the end of the header.
"""

import json
import random
import struct
from dataclasses import asdict
from pathlib import Path

from model import GPT, Config
from tokenizer import Tokenizer

METADATA_KEY = "llmhard"


def pack(matrices, metadata):
    """Return the content of a safetensors file.

    matrices  a dict from names to matrices: lists of rows of plain numbers
    metadata  a dict from texts to texts
    returns   bytes
    """
    header = {"__metadata__": metadata}
    data = b""
    for name, matrix in matrices.items():
        start = len(data)
        for row in matrix:
            data += struct.pack(f"<{len(row)}d", *row)
        header[name] = {
            "dtype": "F64",
            "shape": [len(matrix), len(matrix[0])],
            "data_offsets": [start, len(data)],
        }
    header_bytes = json.dumps(header).encode("utf-8")
    return struct.pack("<Q", len(header_bytes)) + header_bytes + data


def unpack(content):
    """Return the matrices and the metadata of a safetensors file: the opposite of `pack`.

    content  bytes; the matrices may lie in another order than the header names them
    returns  two dicts, (matrices, metadata), as `pack` takes them
    """
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    metadata = header.pop("__metadata__", {})
    matrices = {}
    for name, described in header.items():
        rows, cols = described["shape"]
        start, end = described["data_offsets"]
        numbers = struct.unpack(f"<{rows * cols}d", data[start:end])
        matrices[name] = [list(numbers[i * cols : (i + 1) * cols]) for i in range(rows)]
    return matrices, metadata


def save(path, model, tokenizer, training):
    """Write a model to a file.

    training  how it came to be: a list with one dict for each training run, or [] to tell nothing

    The matrices are the data of the model's parameters, under their names. The metadata has
    one key, METADATA_KEY; its text is the JSON of {"config": ..., "tokenizer": "word",
    "vocabulary": ..., "training": ...}: the five sizes as a dict (`dataclasses.asdict`), what a
    token stands for, the list of words, and `training`.
    """
    described = {
        "config": asdict(model.config),
        "tokenizer": "word",
        "vocabulary": tokenizer.words,
        "training": training,
    }
    matrices = {
        name: [[p.data for p in row] for row in matrix] for name, matrix in model.parameters.items()
    }
    Path(path).write_bytes(pack(matrices, {METADATA_KEY: json.dumps(described)}))


def load(path):
    """Read a model from a file that `save` wrote; return (model, tokenizer, training).

    A GPT that is initialized has all its parameters, with other numbers: each of them gets the
    data from the file.
    """
    matrices, metadata = unpack(Path(path).read_bytes())
    described = json.loads(metadata[METADATA_KEY])
    model = GPT.initialize(Config(**described["config"]), random.Random(0))
    for name, matrix in model.parameters.items():
        for row, numbers in zip(matrix, matrices[name], strict=True):
            for p, number in zip(row, numbers, strict=True):
                p.data = number
    return model, Tokenizer(described["vocabulary"]), described["training"]
