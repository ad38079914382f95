"""What is shown while a model learns: a bar on a terminal or in Jupyter, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from math import ceil
from typing import TYPE_CHECKING, TextIO

from llmhard.terminal import COLUMNS, columns, console, is_live, unfailing
from llmhard.trainer import Trainer

if TYPE_CHECKING:
    from rich.text import Text

LOOK = 0.5  # seconds between checks whether to write a line
SILENCE = 10.0 - LOOK  # seconds after which the next check writes a line
REDRAW = 0.2  # seconds between redraws of the bar
RECENT = 100  # steps whose mean loss is shown
SHORTEST, LONGEST = 10, 40  # characters of the bar
MARKS = ("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}")  # done, to do
ASCII_MARKS = ("#", "-")
OnStep = Callable[[Trainer], None]


@contextmanager
def progress(trainer: Trainer, quiet: bool) -> Iterator[OnStep]:
    """Show progress; yield what to call after each step."""
    if quiet or not sys.stderr:
        yield lambda _: None
    elif in_jupyter():
        bar = NotebookBar(trainer)
        yield bar.on_step
        bar.show()
    elif is_live(sys.stderr):
        with _bar(trainer, unfailing(sys.stderr)):
            yield lambda _: None
    else:
        lines = Lines(trainer, unfailing(sys.stderr))
        with _every(LOOK, lines.break_silence):
            yield lines.on_step


def pace(steps: int, seconds: float) -> str:
    """Return the speed of a run, for people: "1,234 steps a second", "2.3 s a step"."""
    if not steps:
        return "no steps"
    seconds = max(seconds, 1e-9)  # a clock may stand still
    if steps >= seconds:
        speed = steps / seconds
        return f"{speed:,.0f} steps a second" if speed >= 10 else f"{speed:.1f} steps a second"
    return f"{seconds / steps:,.1f} s a step"


def clock(seconds: float) -> str:
    """Return a time for people: minutes and seconds, "0:18", or with hours, "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Measured:
    """What can be said about a training run at this moment; other threads may ask."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._first, self._began = trainer.step, time.monotonic()

    @property
    def seconds(self) -> float:
        """The time that the steps of this run have taken."""
        return time.monotonic() - self._began

    @property
    def steps(self) -> int:
        """The steps of this run; those before a checkpoint do not count."""
        return self.trainer.step - self._first

    def loss(self, steps: int = RECENT) -> str:
        recent = self.trainer.losses[-steps:] if steps else []
        return f"loss {sum(recent) / len(recent):.4f}" if recent else ""

    def validation(self) -> str:
        last = self.trainer.curve[-1].validation if self.trainer.curve else None
        return "" if last is None else f"validation {last:.4f}"

    def speed(self) -> str:
        return pace(self.steps, self.seconds) if self.steps else ""

    def left(self) -> str:
        """Return how long the remaining steps may take, at the pace of this run so far."""
        rest = self.trainer.recipe.steps - self.trainer.step
        if not rest:
            return ""
        if self.steps:
            return f"{clock(ceil(self.seconds / self.steps * rest))} left"
        return f"{clock(self.seconds)} so far" if self.seconds >= 1 else ""


class Lines:
    """Progress for a file or a pipe: a line at each tenth of the steps, others in between."""

    def __init__(self, trainer: Trainer, stream: TextIO) -> None:
        steps = trainer.recipe.steps
        self._measured, self._stream = Measured(trainer), stream
        self._tenths = {
            part * steps // 10 for part in range(1, 11)
        }  # the curve has a point at each of them
        self._told, self._last = trainer.step, time.monotonic()

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step in self._tenths:
            since, self._told = trainer.step - self._told, trainer.step
            self._write(since)

    def break_silence(self) -> None:
        """Write a line if there has been none for too long, even in the middle of a step."""
        if time.monotonic() - self._last >= SILENCE:
            self._write(RECENT)

    def _write(self, steps: int) -> None:
        """Write a line with the mean loss of the last `steps` steps."""
        self._last, now = time.monotonic(), self._measured
        done = f"step {now.trainer.step:,} of {now.trainer.recipe.steps:,}"
        parts = (done, now.loss(steps), now.validation(), now.left())
        self._stream.write("  ".join(filter(None, parts)) + "\n")
        self._stream.flush()


def in_jupyter() -> bool:
    """Return whether a Jupyter notebook shows the output and can replace it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class NotebookBar:
    """A bar in the output of a cell, replaced while the run goes on; the last one stays."""

    def __init__(self, trainer: Trainer) -> None:
        display = import_module("IPython.display").display  # a notebook has it
        self._measured, self._drawn = Measured(trainer), time.monotonic()
        self._handle = display(self._content(), raw=True, display_id=True)

    def on_step(self, _: Trainer) -> None:
        if time.monotonic() - self._drawn >= REDRAW:
            self.show()

    def show(self) -> None:
        """Replace the bar with an up-to-date one."""
        self._drawn = time.monotonic()
        self._handle.update(self._content(), raw=True)

    def _content(self) -> dict[str, str]:
        return {"text/plain": bar_text(self._measured, COLUMNS).plain.rstrip()}


@contextmanager
def _bar(trainer: Trainer, stream: TextIO) -> Iterator[None]:
    """Draw a bar while the block runs, then erase it; it stays if the block fails."""
    from rich.live import Live  # only here: importing it takes a good part of the time of `sample`

    measured = Measured(trainer)
    ascii_only = not stream.encoding.lower().startswith("utf")

    def draw() -> Text:
        screen.width = columns(stream)  # a window can be made wider or narrower
        return bar_text(measured, screen.width, ascii_only)

    screen = console(stream)
    live = Live(console=screen, get_renderable=draw, auto_refresh=False, redirect_stdout=False)
    with live, _every(REDRAW, live.refresh):
        live.refresh()
        yield
        live.transient = True  # no exception: what is printed next says more


def bar_text(measured: Measured, width: int, ascii_only: bool = False) -> Text:
    """Return the bar and, to its right, as many numbers as fit, the most important first."""
    from rich.text import Text

    step, steps = measured.trainer.step, measured.trainer.recipe.steps
    done = f"{step:,}/{steps:,}".rjust(2 * len(f"{steps:,}") + 1)
    bar = min(LONGEST, max(SHORTEST, width // 4))
    shown = {"steps": done}
    for name, text in (
        ("left", measured.left()),
        ("loss", measured.loss()),
        ("validation", measured.validation()),
        ("speed", measured.speed()),
    ):
        if text and bar + sum(2 + len(other) for other in (*shown.values(), text)) < width:
            shown[name] = text
    order = ("steps", "loss", "validation", "speed", "left")
    numbers = "  ".join(shown[name] for name in order if name in shown)
    full = bar * step // steps if steps else bar
    heavy, light = ASCII_MARKS if ascii_only else MARKS
    return Text.assemble(
        (heavy * full, "green"), (light * (bar - full), "dim"), f"  {numbers}", no_wrap=True
    )


@contextmanager
def _every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call something again and again in a thread while the block runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)  # it may be stuck writing to a pipe that nobody reads
