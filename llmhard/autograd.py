"""The autograd engine, as everything imports it; its source is in pyx/llmhard/engine/."""

from llmhard.engine.batch import Batch
from llmhard.engine.functions import DomainError
from llmhard.engine.indexing import Index
from llmhard.engine.optimizer import adam_update, average_update
from llmhard.engine.recording import no_grad
from llmhard.engine.tape import Tape
from llmhard.engine.values import Matrix, Value, Vector, concat

__all__ = [
    "Batch",
    "DomainError",
    "Index",
    "Matrix",
    "Tape",
    "Value",
    "Vector",
    "adam_update",
    "average_update",
    "concat",
    "no_grad",
]
