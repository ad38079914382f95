"""Which of a wheel's engines is imported: the one for this processor's level.

A wheel holds the engine three times, in llmhard/engine/baseline/, v3/ and v4/: for any x86-64
processor, with AVX2, and with AVX-512. The modules have the same names in each folder, so the one
on the path of the package llmhard.engine is imported. LLMHARD_LEVEL forces a level.

An engine that was compiled in place (LLMHARD_ARCH in setup.py) has one level, that of its machine.
"""

from __future__ import annotations

import os
from collections.abc import MutableSequence
from pathlib import Path

LEVELS = ["baseline", "v3", "v4"]  # each has the instructions of those before it


class LevelError(ImportError):
    """LLMHARD_LEVEL names a level that cannot be used here."""


def choose(path: MutableSequence[str]) -> str:
    """Put the modules for this processor first on the package's path and return their level.

    The level is an empty string if the engine was compiled for one kind of processor only.
    """
    folder = Path(path[0])
    there = [level for level in LEVELS if (folder / level).is_dir()]
    wanted = os.environ.get("LLMHARD_LEVEL", "")
    if wanted and wanted not in LEVELS:
        raise LevelError(f"LLMHARD_LEVEL is baseline, v3 or v4, not {wanted!r}")
    if not there:
        if wanted:
            raise LevelError(
                f"LLMHARD_LEVEL={wanted} chooses in a wheel, and this engine is compiled for one "
                f"kind of processor; compile it for another: {_command(wanted)}, or: "
                f"unset LLMHARD_LEVEL"
            )
        return ""
    path.insert(0, str(folder / there[0]))  # runs on every processor, and asks what it can do
    from llmhard.engine.processor import highest_level

    highest = LEVELS.index(highest_level())
    possible = [level for level in there if LEVELS.index(level) <= highest]
    if wanted and wanted not in possible:
        why = "this processor lacks" if wanted in there else "the engine was not compiled for"
        raise LevelError(
            f"LLMHARD_LEVEL={wanted} is what {why}; the highest here: LLMHARD_LEVEL={possible[-1]}"
        )
    path[0] = str(folder / (wanted or possible[-1]))
    return wanted or possible[-1]


def _command(level: str) -> str:
    arch = "portable" if level == "baseline" else f"x86-64-{level}"
    return f"LLMHARD_ARCH={arch} python setup.py build_ext --inplace --force"
