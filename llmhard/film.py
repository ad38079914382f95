"""A training run as a film: what the model was like after some of its steps, in one file.

`train --film` keeps one. It is a tensor file. For each of T snapshots it has, in eight bits per
number (quantize.py): the parameters ("weights", as changes since the snapshot before), and for the
matrices of the layers Adam's moments ("m" and, as v spans twice as many orders of magnitude, its
square root, "v"). Each is an int8 matrix [T, numbers] with a float32 matrix [T, rows] of units
("weights.units"), in the order of `Config.shapes`. The description holds the rest.

A snapshot of the default model takes 64 KB for the parameters and 49 KB for the moments. Those of
the embeddings, three fifths of all weights, are left out, as they would double that.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Self

from llmhard import tensor_file
from llmhard.advice import explained, typed
from llmhard.autograd import Matrix, Vector, no_grad
from llmhard.model import GPT, Config
from llmhard.model_file import ModelFileError, SavedModel, describe, read_description
from llmhard.quantize import Track, tobytes, vector
from llmhard.sampler import Reader, Sampling, choices
from llmhard.tensor_file import Packed, TensorFile
from llmhard.tokenizer import BOS, Tokenizer
from llmhard.trainer import Trainer
from llmhard.training_record import TrainingRecord, checked, from_fields

FILM = "llmhard-film"  # the kind of tensor file
SNAPSHOTS, FEWEST, MOST = 24, 2, 1000
SEEDS = (1, 2, 3)  # one for each sentence written, the same at every step
TEMPERATURE = 0.8
MOST_TOKENS = 32  # of a sentence, so that it costs little even with a long context
LAYERS = "h."  # how the names of the layers' matrices begin


def film_steps(steps: int, n: int) -> list[int]:
    """Return the n steps, from 0 to the last, after which a snapshot is taken.

    What is learned first is learned fast, so most of them come early, on a logarithmic scale; the
    last third is spread evenly. If there are fewer than n steps, there are fewer snapshots.
    """
    if n > steps:
        return list(range(steps + 1))
    even = max(1, n // 3)
    early = n - 1 - even
    first = max(1.0, steps / 2000)
    growth = steps / even / first  # up to where the even steps begin
    wanted = [0.0, *(first * growth ** (i / early) for i in range(early))]
    wanted += [steps * part / even for part in range(1, even + 1)]
    chosen: list[int] = []
    for left, step in zip(reversed(range(n)), wanted, strict=True):
        after_the_one_before = chosen[-1] + 1 if chosen else 0
        chosen.append(min(max(round(step), after_the_one_before), steps - left))
    return chosen


def sentences(reader: Reader, tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return what a model writes now: the beginning of a sentence for each of the SEEDS."""
    written = []
    for seed in SEEDS:
        chosen = choices(reader, random.Random(seed), Sampling(TEMPERATURE))
        tokens = [choice.token for choice in islice(chosen, MOST_TOKENS)]
        written.append(tokenizer.decode([token for token in tokens if token != BOS]))
    return tuple(written)


def fingerprint(model: GPT) -> str:
    """Return what identifies a model: the SHA-256 of its parameters."""
    import hashlib  # only here: `sample` starts faster without it

    content = hashlib.sha256()
    for matrix in model.parameters.values():
        content.update(matrix.tobytes())
    return content.hexdigest()


def film_path(model: Path) -> Path:
    """Return where to find the film of the training run that saved its model in this file."""
    return Path(f"{model}.film")


@dataclass(frozen=True)
class Snapshot:
    """The state of a training run after a step; losses are in nats a token.

    training    the mean loss since the previous snapshot; at step 0 that of the first batch
    validation  the latest loss on held-out sentences, None if there was none
    sentences   what the model wrote, with the same random numbers each time
    """

    step: int
    training: float | None
    validation: float | None
    sentences: tuple[str, ...]


class Camera:
    """Takes snapshots of a training run in progress; it only reads the model.

    `shots` holds those taken so far, with their steps and the sentences written then.
    """

    def __init__(self, config: Config, tokenizer: Tokenizer, steps: int, n: int) -> None:
        """Raises ValueError if n is not from FEWEST to MOST."""
        if not FEWEST <= n <= MOST:
            raise ValueError(f"a film has {FEWEST} to {MOST:,} snapshots, not {n:,}")
        self.n = n
        self.config, self.tokenizer = config, tokenizer
        self.shots: list[tuple[int, tuple[str, ...]]] = []
        self.tracks = _tracks(config)
        self._due = frozenset(film_steps(steps, n))
        self._reader: Reader | None = None

    def take(self, trainer: Trainer) -> None:
        """Take a snapshot if one is due after this step and has not been taken yet."""
        if trainer.step not in self._due or (self.shots and self.shots[-1][0] >= trainer.step):
            return
        model, optimizer = trainer.current, trainer.optimizer
        if self._reader is None or self._reader.model is not model:
            self._reader = Reader(model)
        self.tracks["weights"].add(_joined(list(model.parameters.values())))
        with no_grad():
            self.tracks["m"].add(_joined(self._of_layers(optimizer.m)))
            self.tracks["v"].add(_joined(self._of_layers(optimizer.v)) ** 0.5)
        self.shots.append((trainer.step, sentences(self._reader, self.tokenizer)))

    def film(self, trainer: Trainer, saved: SavedModel) -> Film:
        """Return the film of a finished training run and of the model that it saves."""
        snapshots = [self._snapshot(i, trainer) for i in range(len(self.shots))]
        model = saved.model
        return Film(
            model.config, saved.tokenizer, saved.records, fingerprint(model), snapshots, self.tracks
        )

    def size(self) -> int:
        """Return how many bytes the film will have at most, not counting its description."""
        return len(self._due) * sum(
            sum(track.widths) + 4 * len(track.widths) for track in self.tracks.values()
        )

    def _of_layers(self, matrices: Sequence[Matrix]) -> list[Matrix]:
        named = zip(self.config.shapes(), matrices, strict=True)
        return [matrix for name, matrix in named if name.startswith(LAYERS)]

    def _snapshot(self, i: int, trainer: Trainer) -> Snapshot:
        step, written = self.shots[i]
        past = [point for point in trainer.curve if point.step <= step]
        since = trainer.losses[self.shots[i - 1][0] if i else 0 : step]
        training = sum(since) / len(since) if since else past[0].training if past else None
        return Snapshot(step, training, past[-1].validation if past else None, written)


class Film:
    """A training run, snapshot by snapshot.

    `records` are those of the finally saved model, oldest first; `fingerprint` is that model's. The
    model of a snapshot has the parameters that `trainer.current` had, rounded.
    """

    def __init__(
        self,
        config: Config,
        tokenizer: Tokenizer,
        records: tuple[TrainingRecord, ...],
        fingerprint: str,
        snapshots: Sequence[Snapshot],
        tracks: dict[str, Track],
    ) -> None:
        self.config, self.tokenizer, self.records = config, tokenizer, records
        self.fingerprint = fingerprint
        self.snapshots = list(snapshots)
        self.tracks = tracks

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a film. Raises OSError if it cannot be read, ModelFileError if it is not a film."""
        file = TensorFile(path)
        if not file.is_kind(FILM):
            raise ModelFileError("it is not a film: train --film keeps them")
        described = file.description(FILM)
        try:
            config, tokenizer, records = read_description(described)
            snapshots = [_read_snapshot(each) for each in checked(described["snapshots"], list)]
            fingerprint = str(checked(described["fingerprint"], str))
            if not records:
                raise ValueError("there is no record")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelFileError(f"its metadata is damaged: {error}") from None
        if tokenizer.vocab_size != config.vocab_size:
            raise ModelFileError("its vocabulary does not fit its configuration")
        check_order([snapshot.step for snapshot in snapshots], records[-1].steps)
        tracks = unpacked(config, file.take(""), len(snapshots))
        return cls(config, tokenizer, records, fingerprint, snapshots, tracks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the film atomically. Raises OSError if it cannot be written."""
        description = describe(self.config, self.tokenizer, self.records) | {
            "fingerprint": self.fingerprint,
            "snapshots": [asdict(snapshot) for snapshot in self.snapshots],
        }
        tensor_file.write(path, FILM, description, packed(self.tracks))

    def __len__(self) -> int:
        """Return how many snapshots there are."""
        return len(self.snapshots)

    def is_of(self, saved: SavedModel) -> bool:
        """Return whether this is the training run that ended with the model."""
        ours = self.config, self.tokenizer.kind, self.tokenizer.words, self.fingerprint
        tokenizer, model = saved.tokenizer, saved.model
        return ours == (model.config, tokenizer.kind, tokenizer.words, fingerprint(model))

    def model_at(self, i: int) -> GPT:
        """Return the model of a snapshot. Raises IndexError if there is no such snapshot."""
        return self._model(self.tracks["weights"][i])

    def models(self) -> Iterator[GPT]:
        """Yield the model of each snapshot in turn; this is faster than one by one."""
        return map(self._model, self.tracks["weights"])

    def moments_at(self, i: int) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
        """Return Adam's m and the square root of its v after a step, without bias correction.

        They belong to the layers' matrices. Raises IndexError if there is no such snapshot.
        """
        shapes = _layers(self.config)
        return _matrices(self.tracks["m"][i], shapes), _matrices(self.tracks["v"][i], shapes)

    def _model(self, numbers: Vector) -> GPT:
        return GPT(self.config, _matrices(numbers, self.config.shapes()))


def read_film(path: Path, saved: SavedModel) -> Film:
    """Return the film in a file.

    Raises OSError if it cannot be read, ModelFileError if it is not a film or of another model.
    """
    named = typed().file(path)
    with explained(f"cannot read the film {named}", ModelFileError):
        film = Film.load(path)
    if film.is_of(saved):
        return film
    raise ModelFileError(
        f"the film {named} is not of this model; train --film keeps one beside the model it saves"
    )


def film_beside(path: Path, saved: SavedModel, say: Callable[[str], None]) -> Film | None:
    """Return the film in a file that may be there, if it belongs to this model.

    A model can do without one, so a problem with it is only passed to `say`.
    """
    if not path.exists():
        return None
    try:
        return read_film(path, saved)
    except (OSError, ModelFileError) as error:
        say(str(error))
        return None


def check_order(steps: Sequence[int], last: int) -> None:
    """Raise ModelFileError unless these steps are in order and none is after the last."""
    if not steps or any(before >= after for before, after in pairwise([*steps, last + 1])):
        raise ModelFileError("it has no snapshots, or their steps are not in order")


def packed(tracks: dict[str, Track]) -> dict[str, Packed]:
    """Return the tracks as tensors."""
    tensors = {}
    for name, track in tracks.items():
        tensors[name] = Packed(track.wholes, (len(track), sum(track.widths)))
        tensors[f"{name}.units"] = Packed(track.units, (len(track), len(track.widths)))
    return tensors


def unpacked(config: Config, tensors: dict[str, Packed], times: int) -> dict[str, Track]:
    """Return the tracks, which have `times` times.

    Raises ModelFileError if the tensors do not make such tracks.
    """
    found = {name: (tensor.numbers.typecode, *tensor.shape) for name, tensor in tensors.items()}
    # The sizes come from the file: check that it holds so many numbers before allocating any.
    if found.get("weights") != ("b", times, config.n_parameters()):
        raise ModelFileError("its tensors do not fit its configuration")
    tracks = _tracks(config)
    for name, track in tracks.items():
        wholes, units = ("b", times, sum(track.widths)), ("f", times, len(track.widths))
        if found.pop(name, ()) != wholes or found.pop(f"{name}.units", ()) != units:
            raise ModelFileError(f"its tensors {name!r} do not fit its configuration")
        track.wholes, track.units = tensors[name].numbers, tensors[f"{name}.units"].numbers
    if found:
        raise ModelFileError(f"these tensors do not belong to a film: {', '.join(found)}")
    return tracks


def _tracks(config: Config) -> dict[str, Track]:
    """Return the tracks that a film keeps of a model, still empty."""
    layers = _widths(_layers(config))
    return {
        "weights": Track(_widths(config.shapes()), differences=True),
        "m": Track(layers, differences=False),
        "v": Track(layers, differences=False),
    }


def _layers(config: Config) -> dict[str, tuple[int, int]]:
    shapes = config.shapes().items()
    return {name: shape for name, shape in shapes if name.startswith(LAYERS)}


def _widths(shapes: dict[str, tuple[int, int]]) -> list[int]:
    """Return how many numbers each row has."""
    return [cols for rows, cols in shapes.values() for _ in range(rows)]


def _joined(matrices: Sequence[Matrix]) -> Vector:
    """Return all numbers of the matrices, one after the other."""
    return vector(b"".join(matrix.tobytes() for matrix in matrices))


def _matrices(numbers: Vector, shapes: dict[str, tuple[int, int]]) -> dict[str, Matrix]:
    """Return the numbers as matrices again."""
    content, start, matrices = tobytes(numbers), 0, {}
    for name, (rows, cols) in shapes.items():
        end = start + 8 * rows * cols
        matrices[name] = Matrix.frombytes(content[start:end], rows, cols)
        start = end
    return matrices


def _read_snapshot(content: Any) -> Snapshot:
    """Return what JSON made of a snapshot.

    Raises KeyError, TypeError or ValueError if it is not one.
    """
    values = dict(checked(content, dict))
    values["sentences"] = read_sentences(values["sentences"])
    return from_fields(Snapshot, values)


def read_sentences(content: Any) -> tuple[str, ...]:
    """Return the sentences that are in an object of JSON. Raises TypeError if it is not a list."""
    return tuple(checked(sentence, str) for sentence in checked(content, list))
