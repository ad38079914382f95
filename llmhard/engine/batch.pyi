from collections.abc import Iterable, Sequence
from typing import SupportsIndex

from llmhard.crew import Crew
from llmhard.engine.indexing import Index
from llmhard.engine.values import Value

class Batch:
    crew: Crew | None
    def __init__(self, indexes: Iterable[Index], roots: Iterable[Value | None]) -> None: ...
    def forward(
        self, rows: Iterable[Iterable[SupportsIndex]], shares: Sequence[float] | None = None
    ) -> list[float]: ...
    def backward(self) -> None: ...
