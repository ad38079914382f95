"""What a training run writes: where, whether it can, and what happens if it no longer can."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmhard import files
from llmhard.cli.common import complain
from llmhard.cli.paths import (
    ITS_CHECKPOINT,
    ITS_FILM,
    MODEL_OUT,
    PICTURE,
    check_checkpoint_place,
    check_collisions,
    check_film_place,
    check_model_place,
    check_picture_place,
    check_room,
    checkpoint_path,
)
from llmhard.film import Camera, film_path
from llmhard.trainer import Trainer

PICTURE_SIZE = 200_000  # bytes, more than the curves take in any format
DESCRIPTION_SIZE = 200_000  # of what a model file holds besides the parameters
COPIES = 5  # of the parameters in a checkpoint: model, Adam's m and v, average, best


@dataclass(frozen=True)
class Outputs:
    """Where the model goes, its checkpoint, a film of the run and a picture of the curves.

    The last two are optional: `filmed`, `plot`. `every` is the number of steps between
    checkpoints, `resumed` the checkpoint from which the run continues. Without `force`, only
    models, films and pictures of our own are replaced.
    """

    out: Path
    plot: Path | None = None
    every: int | None = None
    force: bool = False
    resumed: Path | None = None
    filmed: bool = False

    @property
    def checkpoint(self) -> Path:
        return checkpoint_path(self.out)

    @property
    def film(self) -> Path | None:
        return film_path(self.out) if self.filmed else None

    @property
    def goes_on(self) -> bool:
        """Whether the run continues from its own checkpoint rather than from one elsewhere."""
        return self.resumed is not None and self.resumed.resolve() == self.checkpoint.resolve()

    def check(self, reads: Mapping[str, str]) -> None:
        """Raise UsageError, before anything begins, if a file would be lost or not be written.

        `reads` are the files that the run reads; the keys say what they are.
        """
        if self.resumed and not self.goes_on:
            reads = {**reads, "the checkpoint to go on with (--resume)": str(self.resumed)}
        writes = {MODEL_OUT: self.out, ITS_CHECKPOINT: self.checkpoint, ITS_FILM: self.film}
        check_collisions(reads, {**writes, PICTURE: self.plot})
        check_model_place(self.out, self.force)
        check_checkpoint_place(self.checkpoint, self.goes_on, self.force)
        check_room(self.out, 0)
        check_room(self.checkpoint, 0)
        if self.film is not None:
            check_film_place(self.film, self.force)
            check_room(self.film, 0)
        if self.plot is not None:
            check_picture_place(self.plot, self.force)
            check_room(self.plot, PICTURE_SIZE)

    def check_room(self, trainer: Trainer, camera: Camera | None) -> None:
        """Raise UsageError if there is no room for the files that this run will write."""
        parameters = 8 * trainer.model.config.n_parameters()
        film = camera.size() + DESCRIPTION_SIZE if camera else 0
        check_room(self.out, parameters + DESCRIPTION_SIZE)
        if self.film is not None:
            check_room(self.film, film)
        if self.every:
            losses = 8 * trainer.recipe.steps
            check_room(self.checkpoint, COPIES * parameters + losses + film + DESCRIPTION_SIZE)


class Target:
    """A file that a run writes, perhaps several times, and never over somebody else's.

    What was there when the run began may be replaced. If the file has changed since, or its folder
    is gone, the run writes elsewhere and says so; `path` is where it last wrote.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = files.stamp(path)
        self._is_ours = False

    def adopt(self) -> None:
        """Treat what is there as our own: this run wrote it before it was interrupted."""
        self._is_ours = True

    def write(self, write: Callable[[Path], None]) -> None:
        """Let `write` write the file. Raises OSError if it cannot be written anywhere."""
        if os.path.lexists(self.path) and files.stamp(self.path) != self._stamp:
            other = files.free_name(self.path)
            complain(f"{self.path} has changed since the run began; writing {other} instead")
            self.path = other
        try:
            write(self.path)
        except OSError as error:
            self.path = self._elsewhere(write, error)
        self._stamp, self._is_ours = files.stamp(self.path), True

    def remove(self) -> None:
        """Remove the file if this run wrote it and nobody has changed it since."""
        if self._is_ours and files.stamp(self.path) == self._stamp:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _elsewhere(self, write: Callable[[Path], None], error: OSError) -> Path:
        """Write the file in the first folder that works. Raises `error` if none does."""
        for folder in (Path.cwd, Path.home, lambda: Path(tempfile.gettempdir())):
            with suppress(OSError, RuntimeError):  # RuntimeError: there is no home folder
                other = files.free_name(folder() / self.path.name)
                write(other)
                complain(f"cannot write {self.path}: {error.strerror}; writing {other} instead")
                return other
        raise error
