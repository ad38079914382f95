"""What a written file may replace: nothing that anybody would miss."""

from __future__ import annotations

from pathlib import Path

from llmhard import export, files
from llmhard.advice import explained, typed
from llmhard.corpus import is_text
from llmhard.film import FILM
from llmhard.model_file import CHECKPOINT, MODEL
from llmhard.tensor_file import is_kind


def or_force() -> str:
    """Return the end of a piece of advice: how to replace what is there."""
    return f"or replace it with {typed().setting('force', True)}"


def check_model_place(path: Path, force: bool, setting: str) -> None:
    """Raise OSError if a model cannot be saved there, FileExistsError if something else is there.

    `setting` is how the place is given, for the message.
    """
    if not is_there(path, setting) or force:
        return
    if is_kind(path, CHECKPOINT):
        raise FileExistsError(
            f"{path} is a checkpoint, an interrupted training run; to go on with it: "
            f"{typed().resume(path)}; to save a model, choose another {setting}, {or_force()}"
        )
    if not is_kind(path, MODEL):
        learn = f"to learn from it: {typed().train(path)}; " if is_text(path) else ""
        raise FileExistsError(
            f"{path} is there already, and it is not a model; {learn}"
            f"to save the model, choose another {setting}, {or_force()}"
        )


def check_film_place(path: Path, force: bool, setting: str) -> None:
    """Do the same for the film of a training run."""
    if is_there(path, setting) and not force and not is_kind(path, FILM):
        raise FileExistsError(
            f"the film would replace {path}, which is not one; choose another {setting}, "
            f"{or_force()}"
        )


def check_page_place(path: Path, force: bool, setting: str, mark: str) -> None:
    """Do the same for a page of the explorer, which has this mark."""
    if not is_there(path, setting) or force:
        return
    with explained(f"cannot read {path}"):
        is_page = mark.encode() in files.read(path)
    if not is_page:
        raise FileExistsError(
            f"{path} is there already, and explore did not write it; "
            f"choose another {setting}, {or_force()}"
        )


def check_export_place(path: Path, force: bool, setting: str) -> None:
    """Do the same for the folder of an export, which must be empty or an earlier export."""
    check_folder(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, not a folder; choose another {setting}")
    if path.is_dir() and any(path.iterdir()) and not (force or export.is_folder(path)):
        raise FileExistsError(
            f"{path} holds files already, but no exported model; choose another {setting}, or "
            f"write among them with {typed().setting('force', True)}"
        )


def is_there(path: Path, setting: str) -> bool:
    """Return whether there is a file that is not empty. Raises OSError if it must stay."""
    with explained(f"cannot write {path}"):
        if not path.exists():
            return False
        if not path.is_file():
            raise OSError(f"it is not a file; choose another {setting}")
        status = path.stat()
        if not status.st_mode & 0o222:
            raise PermissionError(f"it is read-only; choose another {setting}")
    return status.st_size > 0


def check_folder(path: Path) -> None:
    """Raise FileNotFoundError if the folder of a file is not there."""
    with explained(f"cannot write {path}"):
        if not path.parent.exists():
            make = typed().make_folder(path.parent)
            raise FileNotFoundError(f"there is no folder {path.parent}; to make it: {make}")
