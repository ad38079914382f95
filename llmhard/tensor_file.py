"""Matrices and their description in one safetensors file: models, checkpoints and films.

The tensors are float64 matrices; films also have numbers of fewer bits. The metadata has one key,
which names the kind of file; its value is the description, in JSON.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from array import array
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, TensorSpec, deserialize, serialize

from llmhard import files
from llmhard.autograd import Matrix


class ModelFileError(ValueError):
    """A file that is not one of ours; the message, one short line, says what is wrong with it."""

    def __init__(self, message: str) -> None:
        # It quotes the file, which may hold anything: line ends, terminal commands, whole books.
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message[:300])
        super().__init__(shown if len(message) <= 300 else shown + " ...")


class Packed(NamedTuple):
    """A matrix of numbers narrower than float64: int8 or float32, row by row."""

    numbers: array[Any]
    shape: tuple[int, int]


# The type code of an array -> what the format calls it for writing, and for reading.
TYPES = {"d": ("float64", "F64"), "f": ("float32", "F32"), "b": ("int8", "I8")}

NARROW = ("F32", "BF16", "F16")  # what float64 can hold exactly


def write(
    path: str | os.PathLike[str],
    kind: str,
    description: Any,
    matrices: Mapping[str, Matrix | Packed],
    metadata: Mapping[str, str] = {},
) -> None:
    """Write the file atomically: a reader finds the old content or the new, never a part.

    `metadata` is what other programs want to find there besides the description.

    Raises OSError if it cannot be written; an earlier file of that name is then unchanged.
    """
    # The serializer takes addresses, so the arrays must live until it is done.
    arrays = {name: _numbers_of(m) for name, m in matrices.items()}
    specs = {}
    for name, numbers in arrays.items():
        address, length = numbers.buffer_info()
        specs[name] = TensorSpec(
            dtype=TYPES[numbers.typecode][0],
            shape=matrices[name].shape,
            data_ptr=address,
            data_len=length * numbers.itemsize,
        )
    files.write_atomically(path, serialize(specs, {kind: json.dumps(description), **metadata}))


class TensorFile:
    """The content of a file. Raises OSError if it is unreadable, ModelFileError if malformed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        content = files.read(path)
        try:
            self._tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
            self._metadata = _metadata(content)
        except (SafetensorError, ValueError, RecursionError) as error:
            message = f"not a safetensors file, or only a part of one ({error})"
            raise ModelFileError(message) from None

    def __len__(self) -> int:
        """Return how many tensors there are."""
        return len(self._tensors)

    def is_kind(self, kind: str) -> bool:
        return kind in self._metadata

    def description(self, kind: str) -> Any:
        """Return the description. Raises ModelFileError if the file is of another kind."""
        if kind not in self._metadata:
            raise ModelFileError(f"its metadata lacks {kind!r}, so llmhard did not write it")
        try:
            return json.loads(self._metadata[kind])
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelFileError(f"its metadata is damaged: {error}") from None

    def matrices(self, narrow: bool = False) -> dict[str, Matrix]:
        """Return the tensors. Raises ModelFileError if one is no matrix of finite float64 numbers.

        With `narrow`, numbers of single and half precision become float64.
        """
        matrices = {}
        for name, tensor in self._tensors.items():
            known = tensor["dtype"] == "F64" or (narrow and tensor["dtype"] in NARROW)
            if not known or len(tensor["shape"]) != 2 or 0 in tensor["shape"]:
                kind = "matrix of floating-point numbers" if narrow else "float64 matrix"
                raise ModelFileError(f"the tensor {name!r} is not a {kind}")
            numbers = _widened(tensor["dtype"], tensor["data"])
            if not all(map(isfinite, numbers)):
                raise ModelFileError(f"the tensor {name!r} holds a number that is not finite")
            matrices[name] = Matrix.frombytes(numbers.tobytes(), *tensor["shape"])
        return matrices

    def take(self, prefix: str) -> dict[str, Packed]:
        """Take out the tensors with names that begin with `prefix`; return them by the rest of it.

        Raises ModelFileError if one is not a matrix of int8 or float32 numbers.
        """
        names = [name for name in self._tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): _packed(name, self._tensors.pop(name)) for name in names}


def _widened(dtype: str, data: bytes) -> array[float]:
    if dtype == "F16":
        return array("d", (number for (number,) in struct.iter_unpack("<e", data)))
    if dtype == "BF16":  # the upper half of a float32
        whole = bytearray(2 * len(data))
        whole[2::4], whole[3::4] = data[::2], data[1::2]
        data = bytes(whole)
    return array("d", _little_endian(array("d" if dtype == "F64" else "f", data)))


def is_kind(path: str | os.PathLike[str], kind: str) -> bool:
    """Return whether a file says that it is of this kind, reading only its header.

    Raises OSError if it cannot be read.
    """
    with Path(path).open("rb") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        if size > os.fstat(file.fileno()).st_size:
            return False
        try:
            return kind in _metadata(length + file.read(size))
        except (ValueError, AttributeError, TypeError, RecursionError):
            return False


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file that `deserialize` has accepted.

    The format: 8 bytes with the length of the header, then the header, a JSON object.
    """
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__")
    return metadata or {}


def _packed(name: str, tensor: dict[str, Any]) -> Packed:
    codes = {read: code for code, (_, read) in TYPES.items() if code != "d"}
    if tensor["dtype"] not in codes or len(tensor["shape"]) != 2:
        raise ModelFileError(f"the tensor {name!r} is not a matrix of int8 or float32 numbers")
    numbers = _little_endian(array(codes[tensor["dtype"]], tensor["data"]))
    if numbers.typecode == "f" and not all(map(isfinite, numbers)):
        raise ModelFileError(f"the tensor {name!r} holds a number that is not finite")
    return Packed(numbers, tuple(tensor["shape"]))


def _numbers_of(matrix: Matrix | Packed) -> array[Any]:
    """Return the numbers of a tensor as they are in the file."""
    if isinstance(matrix, Packed):
        return _little_endian(matrix.numbers)
    return _little_endian(array("d", matrix.tobytes()))


def _little_endian(numbers: array[Any]) -> array[Any]:
    """Convert numbers between the file's byte order, little-endian, and this machine's."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
