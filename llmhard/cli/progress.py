"""What `train` and `finetune` show while they train: a bar on a terminal, elsewhere some lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmhard.trainer import Trainer

WIDE = 70  # columns of a terminal on which everything there is to say fits beside the bar
OnStep = Callable[[Trainer], None]


@contextmanager
def progress(trainer: Trainer, quiet: bool) -> Iterator[OnStep]:
    """What to call after each step: a progress bar on a terminal, else some lines."""
    steps, told = trainer.recipe.steps, trainer.step
    tenths = {part * steps // 10 for part in range(1, 11)}  # the curve has a point at each

    def line(trainer: Trainer) -> None:
        nonlocal told
        if trainer.step not in tenths:
            return
        recent = trainer.losses[told:]
        told = trainer.step
        message = f"step {told:,} of {steps:,}  loss {sum(recent) / len(recent):.4f}"
        if trainer.curve and trainer.curve[-1].validation is not None:
            message += f"  validation {trainer.curve[-1].validation:.4f}"
        if sys.stderr:
            print(message, file=sys.stderr)

    if quiet:
        yield lambda _: None
    elif not sys.stderr or not sys.stderr.isatty():
        yield line
    else:
        # Imported only here: it takes a good part of the time that `sample` as a whole takes.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        loss = TextColumn("loss {task.fields[loss]:.3f}")
        columns: list[ProgressColumn] = [BarColumn(bar_width=None), MofNCompleteColumn(), loss]
        if console.width >= WIDE:
            validation = TextColumn("validation {task.fields[validation]}")
            columns += [validation, TextColumn("{task.fields[speed]:,.0f} steps/s")]
        with Progress(*columns, TimeRemainingColumn(), console=console) as shown:
            first, began = trainer.step, time.perf_counter()
            task = shown.add_task(
                "training", total=steps, completed=first, loss=float("nan"), validation="-", speed=0
            )

            def bar(trainer: Trainer) -> None:
                if trainer.step % 20 and trainer.step != steps:
                    return
                recent = trainer.losses[-100:]
                validation = trainer.curve[-1].validation if trainer.curve else None
                shown.update(
                    task,
                    completed=trainer.step,
                    loss=sum(recent) / len(recent),
                    validation="-" if validation is None else f"{validation:.3f}",
                    speed=(trainer.step - first) / (time.perf_counter() - began),
                )

            yield bar
