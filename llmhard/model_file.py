"""The model file: all that sampling needs, in one safetensors file.

The tensors are float64 under the parameters' names. The metadata has one key, "llmhard": JSON
with the configuration, the vocabulary (without BOS) and the training record.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from array import array
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, TensorSpec, deserialize, serialize

from llmhard.autograd import Matrix
from llmhard.model import GPT, Config
from llmhard.tokenizer import Tokenizer

METADATA_KEY = "llmhard"


class ModelFileError(ValueError):
    """A file that is not a model of ours; the message, one short line, says in what respect."""

    def __init__(self, message: str) -> None:
        # It quotes the file, which may hold anything: line ends, commands to the terminal, books.
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message[:300])
        super().__init__(shown if len(message) <= 300 else shown + " ...")


@dataclass(frozen=True)
class TrainingRecord:
    """How the model came to be. `final_loss`: mean over the last steps, at most 500, in nats."""

    steps: int
    seed: int
    final_loss: float
    version: str


@dataclass(frozen=True)
class SavedModel:
    model: GPT
    tokenizer: Tokenizer
    record: TrainingRecord


def save(path: str | os.PathLike[str], saved: SavedModel) -> None:
    """Write the file atomically: a reader finds the old content or the new, never a part.

    Raises OSError if it cannot be written; an earlier file of that name is then as it was.
    """
    metadata = {
        "config": asdict(saved.model.config),
        "vocabulary": saved.tokenizer.words,
        "training": asdict(saved.record),
    }
    # The serializer takes addresses, so the arrays must live until it is done.
    arrays = {name: _little_endian(m.tobytes()) for name, m in saved.model.parameters.items()}
    specs = {}
    for name, numbers in arrays.items():
        address, length = numbers.buffer_info()
        specs[name] = TensorSpec(
            dtype="float64",
            shape=saved.model.parameters[name].shape,
            data_ptr=address,
            data_len=length * numbers.itemsize,
        )
    content = serialize(specs, {METADATA_KEY: json.dumps(metadata)})
    _write_atomically(Path(path), content)


def load(path: str | os.PathLike[str]) -> SavedModel:
    """Read a model file. Raises OSError if it cannot be read, ModelFileError if it is no model."""
    content = Path(path).read_bytes()
    try:
        tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
        metadata = _metadata(content)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ModelFileError(f"not a safetensors file, or only a part of one ({error})") from None
    if METADATA_KEY not in metadata:
        raise ModelFileError(f"its metadata lacks {METADATA_KEY!r}, so llmhard did not write it")
    try:
        described = json.loads(metadata[METADATA_KEY])
        sizes = _checked(described["config"], dict)
        config = Config(**{field.name: sizes.pop(field.name) for field in fields(Config)}, **sizes)
        tokenizer = Tokenizer(_checked(described["vocabulary"], list))
        training = described["training"]
        record = TrainingRecord(
            steps=_checked(training["steps"], int),
            seed=_checked(training["seed"], int),
            final_loss=_checked(training["final_loss"], float),
            version=_checked(training["version"], str),
        )
        if record.steps < 0 or not isfinite(record.final_loss):
            raise ValueError("its training record holds numbers that cannot be")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"its metadata is damaged: {error}") from None
    if tokenizer.vocab_size != config.vocab_size:
        raise ModelFileError(
            f"its vocabulary has {tokenizer.vocab_size} tokens, its configuration says "
            f"{config.vocab_size}"
        )
    if config.n_layer > len(tensors):  # before anything is made for each layer
        raise ModelFileError(f"it has too few tensors for {config.n_layer} layers")
    parameters = {}
    for name, tensor in tensors.items():
        if tensor["dtype"] != "F64" or len(tensor["shape"]) != 2 or 0 in tensor["shape"]:
            raise ModelFileError(f"the tensor {name!r} is not a float64 matrix")
        numbers = _little_endian(tensor["data"])
        if not all(map(isfinite, numbers)):
            raise ModelFileError(f"the tensor {name!r} holds a number that is not finite")
        parameters[name] = Matrix.frombytes(numbers.tobytes(), *tensor["shape"])
    try:
        return SavedModel(GPT(config, parameters), tokenizer, record)
    except ValueError as error:
        raise ModelFileError(f"its tensors do not fit its configuration: {error}") from None


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file that `deserialize` has accepted.

    The format: 8 bytes with the length of the header, then the header, a JSON object.
    """
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__")
    return metadata or {}


def _little_endian(content: bytes) -> array[float]:
    """float64 numbers between the file's byte order, little-endian, and this machine's."""
    numbers = array("d", content)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is not of the type {kind.__name__}")
    return value


def _write_atomically(path: Path, content: bytes) -> None:
    path = path.resolve()  # through a link to the file itself
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".llmhard-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files are private; a model file gets the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
