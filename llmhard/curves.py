"""The curves of a training: its losses drawn with characters, or as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from llmhard.training_record import CurvePoint

HEIGHT, WIDTH = 10, 60  # characters


class PlotError(ValueError):
    """A picture that cannot be drawn; the message says why."""


def text(curve: Sequence[CurvePoint], height: int = HEIGHT, width: int = WIDTH) -> str:
    """The curve in lines of ASCII characters; empty for fewer than two points.

    One `*` is the mean training loss up to a step, one `o` the validation loss at it.
    """
    if len(curve) < 2:
        return ""
    losses = [point.training for point in curve]
    losses += [point.validation for point in curve if point.validation is not None]
    low, high = min(losses), max(losses)
    last_step = curve[-1].step
    rows = [[" "] * width for _ in range(height)]

    def draw(step: int, loss: float, mark: str) -> None:
        fraction = (high - loss) / (high - low) if high > low else 0.0
        rows[round(fraction * (height - 1))][round(step / last_step * (width - 1))] = mark

    for point in curve:
        draw(point.step, point.training, "*")
        if point.validation is not None:
            draw(point.step, point.validation, "o")
    lines = []
    for number, row in enumerate(rows):
        label = f"{high:.2f}" if number == 0 else f"{low:.2f}" if number == height - 1 else ""
        lines.append(f"{label:>8} |{''.join(row)}".rstrip())
    legend = "* training  o validation" if len(losses) > len(curve) else "* training"
    lines.append(f"{'':8} +{'-' * width}")
    lines.append(f"{'loss':>8}  0{f'{legend}   step {last_step:,}':>{width - 1}}")
    return "\n".join(lines) + "\n"


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise PlotError if `plot` could not draw this file."""
    if find_spec("matplotlib") is None:
        raise PlotError("matplotlib is missing; install it: python -m pip install matplotlib")
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise PlotError("the name of a picture ends in .png, .svg or .pdf")


def plot(curve: Sequence[CurvePoint], path: str | os.PathLike[str]) -> None:
    """Draw the curve into a file. Raises PlotError as `check_plot` does, OSError."""
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [point.step for point in curve]
    axes.plot(steps, [point.training for point in curve], marker="o", label="training")
    held_out = [(point.step, point.validation) for point in curve if point.validation is not None]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), marker="s", label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
