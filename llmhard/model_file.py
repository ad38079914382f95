"""The model file: all that sampling needs, in one safetensors file.

The tensors are the parameters, under their names. The description has the configuration, the kind
of tokenizer, its vocabulary (without BOS) and the records of the training runs, oldest first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from llmhard import tensor_file
from llmhard.model import GPT, Config
from llmhard.tensor_file import ModelFileError, TensorFile
from llmhard.tokenizer import TOKENIZERS, Tokenizer
from llmhard.training_record import TrainingRecord, checked

__all__ = ["CheckpointError", "ModelFileError", "SavedModel", "load", "save"]

MODEL = "llmhard"  # the kind of tensor file
CHECKPOINT = "llmhard-checkpoint"


class CheckpointError(ModelFileError):
    """The file is a checkpoint, not a model."""


@dataclass(frozen=True)
class SavedModel:
    """A model with its tokenizer and the known records of its training runs, in order."""

    model: GPT
    tokenizer: Tokenizer
    records: tuple[TrainingRecord, ...]

    @property
    def record(self) -> TrainingRecord:
        """The record of the last training run. Raises IndexError if none is known."""
        return self.records[-1]


def save(path: str | os.PathLike[str], saved: SavedModel) -> None:
    """Write the file atomically: a reader finds the old content or the new, never a part.

    Raises OSError if it cannot be written; an earlier file of that name is then unchanged.
    """
    description = describe(saved.model.config, saved.tokenizer, saved.records)
    tensor_file.write(path, MODEL, description, saved.model.parameters)


def load(path: str | os.PathLike[str]) -> SavedModel:
    """Read a model file. Raises OSError if it cannot be read, ModelFileError if it is no model."""
    file = TensorFile(path)
    if file.is_kind(CHECKPOINT):
        raise CheckpointError("it is a checkpoint: continue the training run with train --resume")
    described = file.description(MODEL)
    try:
        config, tokenizer, records = read_description(described)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"its metadata is damaged: {error}") from None
    return assembled(config, tokenizer, records, file)


def assembled(
    config: Config,
    tokenizer: Tokenizer,
    records: tuple[TrainingRecord, ...],
    file: TensorFile,
    narrow: bool = False,
) -> SavedModel:
    """Return the model with the parameters in a file; `narrow` as in TensorFile.matrices.

    Raises ModelFileError if they do not fit.
    """
    if tokenizer.vocab_size != config.vocab_size:
        raise ModelFileError(
            f"its vocabulary has {tokenizer.vocab_size} tokens, its configuration says "
            f"{config.vocab_size}"
        )
    if config.n_layer > len(file):  # before anything is allocated for each layer
        raise ModelFileError(f"it has too few tensors for {config.n_layer} layers")
    try:
        return SavedModel(GPT(config, file.matrices(narrow)), tokenizer, records)
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"its tensors do not fit its configuration: {error}") from None


def describe(
    config: Config, tokenizer: Tokenizer, records: Sequence[TrainingRecord]
) -> dict[str, Any]:
    """Return what is in the file besides the parameters, for JSON."""
    return {
        "config": asdict(config),
        "tokenizer": tokenizer.kind,
        "vocabulary": tokenizer.words,
        "training": [asdict(record) for record in records],
    }


def read_description(described: Any) -> tuple[Config, Tokenizer, tuple[TrainingRecord, ...]]:
    """Return what `describe` was given.

    Raises KeyError, TypeError or ValueError if it did not make this.
    """
    sizes = checked(described["config"], dict)
    config = Config(**{field.name: sizes.pop(field.name) for field in fields(Config)}, **sizes)
    tokenizer = TOKENIZERS[described["tokenizer"]](checked(described["vocabulary"], list))
    records = tuple(map(TrainingRecord.from_json, checked(described["training"], list)))
    return config, tokenizer, records
