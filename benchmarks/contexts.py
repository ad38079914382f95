"""A model with a context of 256 characters, one text a step, trained with a memory limit.

    python -m benchmarks.contexts NAME FOLDER STEPS

prints what benchmarks.engines prints, or `exceeded`, if the process would take over 4 GB.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import engines

CONTEXT = 256
LIMIT = 4_000_000_000  # bytes

ENGINES = {name: engines.OF_BATCHES[name] for name in ("c", "c-single", "llmhard")}


def lengths(count: int) -> list[int]:
    """Return `count` evenly spaced lengths of texts, the last one as long as the context."""
    return [CONTEXT * (i + 1) // count for i in range(count)]


def main(arguments: Sequence[str]) -> None:
    name, folder, steps = arguments
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, hard))
    except (ImportError, OSError, ValueError):
        pass  # no such limit on this system
    try:
        result = ENGINES[name](Path(folder), int(steps))
    except (MemoryError, SystemError):  # the latter if CPython has no room for a frame
        result = {"exceeded": LIMIT}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
