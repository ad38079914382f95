"""The threads that share the work of a Batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


class Crew(ThreadPoolExecutor):
    """Threads that help the one that calls a Batch; their number, `size`, is one less than `cores`.

    None of them outlives the `with` block. The results do not depend on their number.
    """

    def __init__(self, cores: int) -> None:
        super().__init__(max(1, cores - 1), "llmhard")
        self.size = cores - 1
