"""Checkpoints: all that an interrupted training run needs to end as if it had never stopped.

A checkpoint is a tensor file with the parameters ("model."), Adam's moments ("m.", "v."), the
averages ("average.") and the best parameters so far ("best.") if there are any, the loss of every
step, and, if the run is filmed, the film so far ("film."). The description holds the rest. The
order of the sentences follows from the seed and the step (Trainer), so these two are also the state
of the random numbers.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, get_args

from llmhard import tensor_file
from llmhard.autograd import Matrix
from llmhard.average import Average
from llmhard.film import Camera, check_order, packed, read_sentences, unpacked
from llmhard.model import GPT, Config
from llmhard.model_file import CHECKPOINT, ModelFileError, describe, read_description
from llmhard.tensor_file import Packed, TensorFile
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import Keep, Trainer
from llmhard.training_record import (
    CurvePoint,
    DataRecord,
    TrainingRecord,
    best,
    checked,
    from_fields,
    recipe_from_json,
)


@dataclass(frozen=True)
class Task:
    """A training run as the command line starts it: what it learns from and where it saves.

    `earlier` holds the records of the model's previous training runs; `data_path` is None for
    standard input, which cannot be read again; `out` is the name of a file, without a folder.
    """

    tokenizer: Tokenizer
    earlier: tuple[TrainingRecord, ...]
    data: DataRecord
    data_path: str | None
    skip_unknown: bool
    out: str


def save(
    path: str | os.PathLike[str], task: Task, trainer: Trainer, camera: Camera | None = None
) -> None:
    """Write the state after a step, atomically. Raises OSError if it cannot be written."""
    description = describe(trainer.model.config, task.tokenizer, task.earlier) | {
        "recipe": asdict(trainer.recipe),
        "seed": trainer.seed,
        "keep": trainer.keep,
        "curve": [asdict(point) for point in trainer.curve],
        "data": asdict(task.data),
        "data_path": task.data_path,
        "skip_unknown": task.skip_unknown,
        "out": task.out,
    }
    names = list(trainer.model.parameters)
    groups = {
        "model": trainer.parameters,
        "m": trainer.optimizer.m,
        "v": trainer.optimizer.v,
    }
    if trainer.average:
        groups["average"] = list(trainer.average.model.parameters.values())
    if trainer.best:
        groups["best"] = list(trainer.best.parameters.values())
    matrices: dict[str, Matrix | Packed] = {
        f"{group}.{name}": matrix
        for group, members in groups.items()
        for name, matrix in zip(names, members, strict=True)
    }
    if trainer.losses:
        losses = array("d", trainer.losses).tobytes()
        matrices["losses"] = Matrix.frombytes(losses, 1, len(trainer.losses))
    if camera:
        description["film"] = {"n": camera.n, "shots": camera.shots}
        matrices |= {f"film.{name}": tensor for name, tensor in packed(camera.tracks).items()}
    tensor_file.write(path, CHECKPOINT, description, matrices)


def is_file_name(name: str) -> bool:
    """Return whether a name is a valid file name on any system and leads to no other folder."""
    return (
        name.isprintable()
        and name not in ("", ".", "..")
        and PurePosixPath(name).name == PureWindowsPath(name).name == name
    )


class Checkpoint:
    """The content of a checkpoint.

    Raises OSError if it cannot be read, ModelFileError if it is not a checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = TensorFile(path)
        if not file.is_kind(CHECKPOINT):
            raise ModelFileError("it is not a checkpoint: train --checkpoint-every writes them")
        described = file.description(CHECKPOINT)
        try:
            config, tokenizer, earlier = read_description(described)
            self.recipe = recipe_from_json(described["recipe"])
            self.seed = int(checked(described["seed"], int))
            self._keep: Keep = described.get("keep", "last")  # early versions lack it
            if self._keep not in get_args(Keep):
                raise ValueError(f"it keeps {self._keep!r:.40}, not best or last")
            points = checked(described["curve"], list)
            self._curve = [from_fields(CurvePoint, point) for point in points]
            path = described["data_path"]
            self.task = Task(
                tokenizer,
                earlier,
                from_fields(DataRecord, described["data"]),
                path if path is None else str(checked(path, str)),
                described["skip_unknown"] is True,
                str(checked(described["out"], str)),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelFileError(f"its metadata is damaged: {error}") from None
        if config.n_layer > len(file):  # before anything is made for each layer
            raise ModelFileError(f"it has too few tensors for {config.n_layer} layers")
        film = file.take("film.")
        matrices = file.matrices()
        losses = matrices.pop("losses", None)
        self._losses = losses.data[0] if losses is not None else []
        steps = [0, *(point.step for point in self._curve), self.step, self.recipe.steps]
        if any(before > after for before, after in pairwise(steps)):
            raise ModelFileError("its steps are not in order")
        names = ["model", "m", "v"]
        if self._averaged_steps:
            names.append("average")
        if self._keep == "best" and best(self._curve):
            names.append("best")
        groups: dict[str, dict[str, Matrix]] = {group: {} for group in names}
        for name, matrix in matrices.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = matrix
        try:
            models = {group: GPT(config, groups[group]) for group in names}
        except ValueError as error:
            raise ModelFileError(f"its tensors do not fit its configuration: {error}") from None
        if len(groups) != len(names) or tokenizer.vocab_size != config.vocab_size:
            raise ModelFileError("its tensors do not fit its vocabulary")
        self._models = models
        self.camera = self._read_camera(config, described.get("film"), film)

    @property
    def step(self) -> int:
        """How many steps were taken."""
        return len(self._losses)

    @property
    def _averaged_steps(self) -> int:
        return sum(map(self.recipe.averages, range(1, self.step + 1)))

    def _read_camera(
        self, config: Config, described: Any, tensors: dict[str, Packed]
    ) -> Camera | None:
        """Return the camera of a filmed training run."""
        if described is None and not tensors:
            return None
        try:
            n = checked(described["n"], int)
            shots = checked(described["shots"], list)
            camera = Camera(config, self.task.tokenizer, self.recipe.steps, n)
            camera.shots = [(checked(step, int), read_sentences(said)) for step, said in shots]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"its film is damaged: {error}") from None
        check_order([step for step, _ in camera.shots], self.step)
        camera.tracks = unpacked(config, tensors, len(camera.shots))
        return camera

    def trainer(
        self, documents: Sequence[Sequence[int]], held_out: Sequence[Sequence[int]]
    ) -> Trainer:
        """Return the training run, ready to continue with the documents that it began with."""
        models = self._models
        trainer = Trainer(
            models["model"], documents, self.recipe, self.seed, held_out, keep=self._keep
        )
        trainer.step = trainer.optimizer.t = self.step
        trainer.losses = list(self._losses)
        trainer.curve = list(self._curve)
        trainer.optimizer.m = list(models["m"].parameters.values())
        trainer.optimizer.v = list(models["v"].parameters.values())
        trainer.best = models.get("best")
        if "average" in models:
            trainer.average = Average(trainer.model, models["average"], self._averaged_steps)
        return trainer


def record(data: DataRecord, trainer: Trainer, version: str) -> TrainingRecord:
    """Return the record of a finished training run."""
    kept = best(trainer.curve) if trainer.best else None
    return TrainingRecord(
        trainer.recipe,
        trainer.seed,
        trainer.final_loss(),
        data,
        tuple(trainer.curve),
        version,
        kept.step if kept else None,
    )
