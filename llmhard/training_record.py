"""The training record: how a model was trained, as its file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from operator import itemgetter
from typing import Any, Self, TypeVar, get_origin, get_type_hints

from llmhard.recipe import Recipe

CHANCE = 1.005  # how far a validation loss may be above the lowest without being worse
RISE = 1.05  # from here on, relative to the lowest validation loss, it is a rise and not chance

Dataclass = TypeVar("Dataclass")


@dataclass(frozen=True)
class DataRecord:
    """Which text a model was trained on: `sha256` is corpus.fingerprint, `sentences` all of them.

    The last `held_out` of them, shuffled by the seed of the run, were never trained on.
    """

    name: str
    sha256: str
    sentences: int
    held_out: int


@dataclass(frozen=True)
class CurvePoint:
    """The losses after a step, in nats a token.

    `training` is the mean over the steps since the previous point, at step 0 the loss of the first
    batch; `validation` is the loss on held-out sentences, None if there are none.
    """

    step: int
    training: float
    validation: float | None


@dataclass(frozen=True)
class TrainingRecord:
    """What is known about one training run.

    final_loss  the mean over the last steps, at most 500, in nats a token
    best_step   the step on the curve that the saved parameters are from: the last one before the
                validation loss rose, see `best`; None if they are those of the end
    """

    recipe: Recipe
    seed: int
    final_loss: float
    data: DataRecord
    curve: tuple[CurvePoint, ...]
    version: str
    best_step: int | None = None

    @property
    def steps(self) -> int:
        return self.recipe.steps

    @property
    def kept_step(self) -> int:
        """The step that the saved parameters are from, or where their averaging ended."""
        return self.steps if self.best_step is None else self.best_step

    @property
    def kept_validation(self) -> float | None:
        """The validation loss of the saved parameters, in nats a token; None if it is not known."""
        if self.best_step is None:
            return self.last_validation
        return next(point.validation for point in self.curve if point.step == self.best_step)

    @property
    def last_validation(self) -> float | None:
        """The loss on held-out sentences at the end, in nats a token; None if there are none."""
        return self.curve[-1].validation if self.curve else None

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the record that `dataclasses.asdict` and JSON made this from.

        Raises KeyError, TypeError or ValueError if it is not one.
        """
        values = {"best_step": None} | checked(content, dict)  # early versions lack it
        values["recipe"] = recipe_from_json(values["recipe"])
        values["data"] = from_fields(DataRecord, values["data"])
        points = checked(values["curve"], list)
        curve = values["curve"] = tuple(from_fields(CurvePoint, point) for point in points)
        if any(before.step >= after.step for before, after in pairwise(curve)):
            raise ValueError("the steps of its curve are not in order")
        best = values["best_step"]
        if best is not None and best not in [point.step for point in curve]:
            raise ValueError(f"its best step {best!r:.40} is not on its curve")
        return from_fields(cls, values)


def lowest(curve: Sequence[CurvePoint]) -> CurvePoint | None:
    """Return the first point with the lowest validation loss; None if there is none."""
    validated = [(point.validation, point) for point in curve if point.validation is not None]
    return min(validated, key=itemgetter(0))[1] if validated else None


def best(curve: Sequence[CurvePoint]) -> CurvePoint | None:
    """Return the last point whose validation loss is not clearly above the lowest, or None.

    Clearly means by more than 0.5 %, which may be chance (see `rise`): of two points that are
    equally good as far as 500 sentences can tell, the later one has learned more.
    """
    low = lowest(curve)
    if low is None or low.validation is None:
        return None
    limit = CHANCE * low.validation
    return [p for p in curve if p.validation is not None and p.validation <= limit][-1]


def rise(curve: Sequence[CurvePoint]) -> tuple[CurvePoint, CurvePoint] | None:
    """Return the lowest point and the last if the validation loss has risen for good, else None.

    For good means over 5 % above the lowest throughout the last quarter of the steps. Which
    500 sentences are held out moves the difference of two losses by half a per cent (the standard
    deviation, over six such sets and the points of a run of the preset classic).
    """
    low = lowest(curve)
    if low is None or low.validation is None:
        return None
    end = [p.validation for p in curve if 4 * p.step >= 3 * curve[-1].step]
    risen = all(loss is not None and loss > RISE * low.validation for loss in end)
    return (low, curve[-1]) if risen else None


def from_fields(kind: type[Dataclass], content: Any) -> Dataclass:
    """Return a dataclass made from a JSON object with exactly its fields, of their types.

    Raises TypeError or ValueError if it is not one, or if a number is negative or not finite.
    """
    types = get_type_hints(kind)
    if checked(content, dict).keys() != types.keys():
        raise ValueError(f"a {kind.__name__} has the fields {', '.join(types)}")
    for name, annotation in types.items():
        value = content[name]
        kind_of_value = tuple if get_origin(annotation) is tuple else annotation
        if isinstance(value, kind_of_value) and not isinstance(value, bool):
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name} is {value}, which is not finite")
            if isinstance(value, (int, float)) and value < 0 and name != "seed":
                raise ValueError(f"{name} is {value}, which is negative")
        else:
            raise TypeError(f"{name} is {value!r:.40}, which is not of the type {annotation}")
    return kind(**content)


def recipe_from_json(content: Any) -> Recipe:
    """Return a recipe made from a JSON object; files of early versions lack `average`.

    Raises TypeError or ValueError if it is not one.
    """
    return from_fields(Recipe, {"average": 0.0} | checked(content, dict))


def checked(value: Any, kind: type) -> Any:
    """Return the value. Raises TypeError unless it is of this type (True is not a number)."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is not of the type {kind.__name__}")
    return value
