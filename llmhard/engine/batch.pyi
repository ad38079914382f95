from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import SupportsIndex

from llmhard.engine.indexing import Index
from llmhard.engine.values import Value

class Batch:
    def __init__(
        self,
        indexes: Iterable[Index],
        roots: Iterable[Value | None],
        pool: ThreadPoolExecutor | None = None,
        threads: int = 0,
    ) -> None: ...
    def forward(
        self, rows: Iterable[Iterable[SupportsIndex]], shares: Sequence[float] | None = None
    ) -> list[float]: ...
    def backward(self) -> None: ...
