"""The curves of a training run: its losses drawn with characters, or as a picture."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from math import log1p
from pathlib import Path

from llmhard import files
from llmhard.signals import Held
from llmhard.terminal import columns
from llmhard.training_record import CurvePoint

HEIGHT, WIDTH = 10, 60  # characters
MARGIN = 10  # left of the axis
MARK = "llmhard, the curves of a training run"  # in each picture


class PlotError(ValueError):
    """A picture that cannot be drawn; the message says why."""


def text(curve: Sequence[CurvePoint], height: int = HEIGHT, width: int | None = None) -> str:
    """Return the curve as lines of ASCII characters; empty for fewer than two points.

    A `*` is the mean training loss up to a step, an `o` the validation loss at that step. The axis
    of the steps is logarithmic. `width` is its width, by default one that fits the terminal: 60
    characters, or half the terminal if that is more.
    """
    if len(curve) < 2:
        return ""
    if width is None:
        width = max(20, min(columns() - MARGIN, max(WIDTH, columns() // 2)))
    losses = [point.training for point in curve]
    losses += [point.validation for point in curve if point.validation is not None]
    low, high = min(losses), max(losses)
    last_step = curve[-1].step
    rows = [[" "] * width for _ in range(height)]

    def column(step: int) -> int:
        return round(log1p(step) / log1p(last_step) * (width - 1))  # log1p: 0 has a place, too

    def draw(step: int, loss: float, mark: str) -> None:
        fraction = (high - loss) / (high - low) if high > low else 0.0
        rows[round(fraction * (height - 1))][column(step)] = mark

    for point in curve:
        draw(point.step, point.training, "*")
        if point.validation is not None:
            draw(point.step, point.validation, "o")
    lines = []
    for number, row in enumerate(rows):
        label = f"{high:.2f}" if number == 0 else f"{low:.2f}" if number == height - 1 else ""
        lines.append(f"{label:>8} |{''.join(row)}")
    marks, labels = _axis({tick: column(tick) for tick in _ticks(last_step)}, width)
    legend = "* training  o validation" if len(losses) > len(curve) else "* training"
    lines += [f"{'':8} +{marks}", f"{'step':>8}  {labels}", f"{'loss':>8}  {legend}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _ticks(last_step: int) -> list[int]:
    """Return the last step, 0, and the powers of ten between them, from large to small."""
    powers = [10**exponent for exponent in range(len(str(last_step)))]
    return [last_step, 0, *(power for power in reversed(powers) if power < last_step)]


def _axis(places: dict[int, int], width: int) -> tuple[str, str]:
    """Return the axis with its marks, and as many of their labels as fit, first ones first."""
    marks, labels = ["-"] * width, [" "] * width
    for tick, column in places.items():
        label = f"{tick:,}"
        begin = min(max(0, column - len(label) // 2), width - len(label))
        end = begin + len(label)
        if not "".join(labels[max(0, begin - 1) : end + 1]).strip():
            marks[column] = "+"
            labels[begin:end] = label
    return "".join(marks), "".join(labels)


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise PlotError if `plot` could not draw this file."""
    # Import it now, or a broken installation would be noticed only after training; and without
    # interruption, since numpy takes a signal in the middle for a broken installation.
    try:
        with Held(brief=True):
            from matplotlib.figure import Figure  # noqa: F401
    except ModuleNotFoundError:
        raise PlotError(
            "matplotlib is missing; install it: python -m pip install matplotlib"
        ) from None
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise PlotError(f"matplotlib does not work here: {reason}") from None
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise PlotError("the name of a picture must end in .png, .svg or .pdf")


def plot(curve: Sequence[CurvePoint], path: str | os.PathLike[str]) -> None:
    """Draw the curve into a file. Raises PlotError as `check_plot` does, and OSError."""
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [point.step for point in curve]
    axes.plot(
        steps, [point.training for point in curve], marker="o", markersize=4, label="training"
    )
    held_out = [(point.step, point.validation) for point in curve if point.validation is not None]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), marker="s", markersize=4, label="validation")
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)  # logarithmic except around 0
    last, zero, *powers = _ticks(steps[-1])
    ticks = [zero, *(power for power in powers if 3 * power < last), last]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    kind = Path(path).suffix[1:].lower()
    mark = {"Software" if kind == "png" else "Creator": MARK}
    figure.savefig(picture, format=kind, dpi=150, metadata=mark)
    files.write_atomically(path, picture.getvalue())


def is_plot(path: str | os.PathLike[str]) -> bool:
    """Return whether `plot` drew this file. Raises OSError if it cannot be read."""
    return MARK.encode() in Path(path).read_bytes()
