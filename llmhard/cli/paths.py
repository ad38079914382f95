"""Which files a training run reads and writes: none may be another one, or somebody else's."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path

from llmhard import curves, files, replacing
from llmhard.cli.common import UsageError, advised, explained, refused
from llmhard.model_file import CHECKPOINT
from llmhard.replacing import check_folder, is_there, or_force
from llmhard.tensor_file import is_kind

MODEL_OUT, ITS_CHECKPOINT, PICTURE = "the model (--out)", "its checkpoint", "the picture (--plot)"
ITS_FILM = "its film (--film)"
STANDARD_INPUT = "-"


def checkpoint_path(out: Path) -> Path:
    """Return where a run that saves its model in `out` keeps its checkpoint: beside the model."""
    return Path(f"{out}.checkpoint")


def check_collisions(reads: Mapping[str, str], writes: Mapping[str, Path | None]) -> None:
    """Raise UsageError if a file to be written is also read, or written under another name.

    The keys say what a file is. Files are compared by identity, so that other names, links and
    standard streams that lead to the same file are recognised.
    """
    read, written = {}, {}
    for what, path in reads.items():
        with suppress(OSError, RuntimeError):  # whoever reads it will explain that
            read[what] = identity(path)
    for what, place in writes.items():
        if place is not None:
            with explained(f"cannot write {place}"):
                written[what] = identity(place)
    streams = {
        "standard output": _stream_identity(sys.stdout),
        "standard error": _stream_identity(sys.stderr),
    }
    pairs = [*combinations(written.items(), 2)]
    pairs += [(w, other) for w in written.items() for other in [*read.items(), *streams.items()]]
    for (what, one), (other, two) in pairs:
        if one & two:
            option = "--plot" if what == PICTURE else "--out"
            raise UsageError(
                f"{writes[what]} would be {what} and {other} at the same time; "
                f"choose another {option}"
            )


def identity(path: str | os.PathLike[str]) -> set[object]:
    """Return what all names of the same file have in common; "-" is standard input.

    Raises OSError or RuntimeError if links lead nowhere or a folder may not be entered.
    """
    if path == STANDARD_INPUT:
        return _stream_identity(sys.stdin)
    resolved = str(Path(path).resolve())
    found: set[object] = {resolved}
    if sys.platform in ("win32", "darwin"):  # where Text.txt and text.txt are one file
        found.add(unicodedata.normalize("NFC", resolved).casefold())
    if Path(path).exists():
        status = Path(path).stat()
        found.add((status.st_dev, status.st_ino))
    return found


def _stream_identity(stream: object) -> set[object]:
    """Return the identity of a standard stream's file, or an empty set if it leads to no file."""
    try:
        status = os.fstat(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # closed, or replaced by an object without one
        return set()
    return {(status.st_dev, status.st_ino)} if stat.S_ISREG(status.st_mode) else set()


# ---------------------------------------------------------------- what may be replaced


def check_model_place(path: Path, force: bool) -> None:
    """Raise UsageError if the model cannot be saved there, or would replace something else."""
    with refused():
        replacing.check_model_place(path, force, "--out")


def check_checkpoint_place(path: Path, resumed: bool, force: bool) -> None:
    """Raise UsageError if the checkpoint cannot be saved there, or would replace something else.

    `resumed` says that the run goes on from what is there.
    """
    with refused():
        if not is_there(path, "the checkpoint") or force or resumed:
            return
    if is_kind(path, CHECKPOINT):
        raise UsageError(
            f"there is a checkpoint of an interrupted training run, {path}; to go on with it: "
            f"{advised('train', '--resume', path)}; "
            f"to begin anew, choose another --out, {or_force()}"
        )
    raise UsageError(
        f"the checkpoint would replace {path}, which is not one; choose another --out, {or_force()}"
    )


def check_film_place(path: Path, force: bool) -> None:
    """Raise UsageError if the film cannot be kept there, or would replace something else."""
    with refused():
        replacing.check_film_place(path, force, "--out")


def check_picture_place(path: Path, force: bool) -> None:
    """Raise UsageError if the curves cannot be drawn there, or would replace something else."""
    with explained(f"cannot draw {path}"):
        curves.check_plot(path)
    with refused():
        there = is_there(path, "--plot")
    if there and not force and not curves.is_plot(path):
        raise UsageError(
            f"{path} is there already and not drawn by llmhard; choose another --plot, {or_force()}"
        )


def check_page_place(path: Path, force: bool) -> None:
    """Raise UsageError if the page cannot be written there, or would replace something else."""
    from llmhard.explorer.page import MARK  # needed only here

    with refused():
        replacing.check_page_place(path, force, "--out", MARK)


def check_room(path: Path, size: int) -> None:
    """Raise UsageError if a file of so many bytes cannot be written there."""
    with refused():
        check_folder(path)
    with explained(f"cannot write {path}"):
        files.remove_leftovers(path)
        files.check_room(path, size)
