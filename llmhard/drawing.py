"""Pictures in one look: SVG that is text, one element a line; it is dark where the screen is.

A Drawing grows with what is put on it. Points are (x, y) in pixels, y downwards; text is
monospaced, so that its width is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, dist, floor, log1p, log10
from pathlib import Path
from xml.etree import ElementTree as ET

from llmhard import files

Point = tuple[float, float]

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SIZE = 14  # of the text
ADVANCE = 0.61  # width of a character, in sizes
LEADING = 1.35  # from line to line, in sizes
MARGIN = 14
PAPER, EDGE, INK, MUTED = "#fdfdfb", "#d5d5cc", "#1f2933", "#5b6673"
# The kinds of boxes: the fill and the outline of each.
KINDS = {
    "plain": ("#ffffff", "#5b6673"),
    "data": ("#e4efff", "#2f6fb7"),
    "parameter": ("#fff0dc", "#b96e14"),
    "operation": ("#e5f5e8", "#37834a"),
    "loss": ("#fde8e6", "#b93f37"),
}
WHITE_FROM = 0.75  # text on so strong a colour is white
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
CURVES = ["#2f6fb7", "#b96e14", "#37834a", "#b93f37", "#7a4fa3"]
# What each of these colours becomes on a dark screen, as an area and as a line. White is also the
# text on a strong colour, which is a light one there.
DARK = {
    PAPER: ("#1e2129", "#1e2129"),
    EDGE: ("#3d4250", "#3d4250"),
    INK: ("#e3e6ec", "#e3e6ec"),
    MUTED: ("#a9b1bf", "#a9b1bf"),
    "#ffffff": ("#272c37", "#272c37"),
    "#e4efff": ("#1d3350", "#1d3350"),
    "#fff0dc": ("#45331b", "#45331b"),
    "#e5f5e8": ("#1f3a28", "#1f3a28"),
    "#fde8e6": ("#4a2623", "#4a2623"),
    "#2f6fb7": ("#5a97dd", "#7db3f2"),
    "#b96e14": ("#cf8d3c", "#e5a755"),
    "#37834a": ("#5aab6e", "#79c98d"),
    "#b93f37": ("#e6827a", "#f08d85"),
    "#7a4fa3": ("#a47bcd", "#c39be8"),
}


@dataclass(frozen=True)
class Box:
    """A box on a drawing, by its centre."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return (self.x - self.width / 2, self.y)

    @property
    def right(self) -> Point:
        return (self.x + self.width / 2, self.y)

    @property
    def top(self) -> Point:
        return (self.x, self.y - self.height / 2)

    @property
    def bottom(self) -> Point:
        return (self.x, self.y + self.height / 2)

    def overlaps(self, other: Box) -> bool:
        """Return whether the two have a part of the drawing in common."""
        beside = abs(self.x - other.x) >= (self.width + other.width) / 2
        return not beside and abs(self.y - other.y) < (self.height + other.height) / 2


def text_width(text: str, size: float = SIZE) -> float:
    return max(map(len, text.split("\n"))) * size * ADVANCE


def box_size(text: str) -> tuple[float, float]:
    """Width and height of the box around a text."""
    return text_width(text) + 18, (text.count("\n") + 1) * SIZE * LEADING + 10


def note_box(x: float, y: float, text: str) -> Box:
    """Return the box that a note takes."""
    size = SIZE - 2
    return Box(x, y, text_width(text, size) + 6, (text.count("\n") + 1) * size * LEADING)


class Drawing:
    """Boxes, arrows, lines and labels; a notebook shows it, and `save` writes it.

    `title` and `description` say what it shows to somebody who cannot see it. Text that is put on
    it stays text, whatever it contains.
    """

    def __init__(self, title: str = "", description: str = "") -> None:
        self.title, self.description = title, description
        self._elements: list[ET.Element] = []
        self._low: list[float] = [0.0, 0.0]
        self._high: list[float] = [0.0, 0.0]

    def box(
        self, x: float, y: float, text: str, kind: str = "plain", width: float | None = None
    ) -> Box:
        """Draw and return a box around (x, y) with lines of text; `kind` is one of KINDS."""
        own_width, height = box_size(text)
        box = Box(x, y, width or own_width, height)
        fill, stroke = KINDS[kind]
        self.rectangle(box, fill, stroke, radius=5)
        self.label(x, y, text)
        return box

    def rectangle(
        self, box: Box, fill: str, stroke: str = "none", radius: float = 0, opacity: float = 1
    ) -> None:
        """Draw a rectangle; what is behind it shows through if its `opacity` is less than 1."""
        corner = (box.left[0], box.top[1])
        self._grow(corner, (box.right[0], box.bottom[1]))
        element = self._add(
            "rect",
            x=corner[0],
            y=corner[1],
            width=box.width,
            height=box.height,
            rx=radius,
            fill=fill,
            stroke=stroke,
        )
        if opacity < 1:
            element.set("fill-opacity", f"{opacity:.3g}")

    def label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "middle",
        size: float = SIZE,
        colour: str = INK,
    ) -> None:
        """Text centred on (x, y); with `anchor` "start" it begins there, with "end" it ends."""
        lines = text.split("\n")
        width = text_width(text, size)
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
        half = len(lines) * size * LEADING / 2
        self._grow((left, y - half), (left + width, y + half))
        for number, line in enumerate(lines):
            # A letter's middle is about a third of the size above its baseline.
            baseline = y - half + (number + 0.5) * size * LEADING + size * 0.35
            element = self._add("text", x=x, y=baseline, fill=colour)
            element.attrib |= {"font-size": _number(size), "text-anchor": anchor}
            element.text = _allowed(line)

    def line(
        self,
        points: Sequence[Point],
        colour: str = MUTED,
        width: float = 1.3,
        dashed: bool = False,
        head: bool = False,
    ) -> None:
        """Draw a line through the points, with an arrowhead at the last one if wanted."""
        self._grow(*points)
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        element = self._add("polyline", points=path, fill="none", stroke=colour)
        element.set("stroke-width", _number(width))
        if dashed:
            element.set("stroke-dasharray", "5 4")
        if head:
            self._head(points[-2], points[-1], colour)

    def arrow(
        self, start: Box | Point, end: Box | Point, text: str = "", dashed: bool = False
    ) -> None:
        """Draw an arrow from a box or point to another, between the sides that face each other."""
        points = _facing(start, end)
        self.line(points, dashed=dashed, head=True)
        if text:
            (x1, y1), (x2, y2) = points
            self.note((x1 + x2) / 2, (y1 + y2) / 2, text)

    def _head(self, start: Point, end: Point, colour: str) -> None:
        """Draw an arrowhead. A marker would need an id, and a notebook has many drawings."""
        length = dist(start, end) or 1.0
        u, v = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        corners = [(1.0, 0.0), (-8.0, 3.6), (-8.0, -3.6)]  # along the arrow, and beside it
        places = [(end[0] + a * u - b * v, end[1] + a * v + b * u) for a, b in corners]
        shown = " ".join(f"{_number(x)},{_number(y)}" for x, y in places)
        self._add("polygon", points=shown, fill=colour)

    def caption(self, text: str) -> None:
        """Write a small line below everything that is there."""
        x, y = (self._low[0] + self._high[0]) / 2, self._high[1]
        self.label(x, y + 22, text, size=SIZE - 2, colour=MUTED)

    def note(self, x: float, y: float, text: str) -> None:
        """Write a small label on top of a line."""
        self.rectangle(note_box(x, y, text), PAPER)
        self.label(x, y, text, size=SIZE - 2, colour=MUTED)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file whose name ends with .svg.

        Raises:
            ValueError: If the name ends otherwise.
            OSError: If the file cannot be written.
        """
        if Path(path).suffix.lower() != ".svg":
            raise ValueError(f"a drawing is saved as SVG, in a file such as {Path(path).stem}.svg")
        files.write_atomically(path, self.svg().encode())

    def __str__(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        return self.title or "A drawing"

    def _repr_svg_(self) -> str:
        """Return what a notebook shows: no wider than its page, and light, as that may be."""
        root = self._root()
        root.set("style", "max-width: 100%; height: auto")
        return _written(root)

    def svg(self) -> str:
        """Return the SVG, one element a line. Where the reader prefers dark, its colours are."""
        root = self._root()
        style = ET.Element("style")
        style.text = _dark(root)
        root.insert(2 if self.title else 0, style)
        return _written(root)

    def _root(self) -> ET.Element:
        left, top = (low - MARGIN for low in self._low)
        width, height = (
            high - low + 2 * MARGIN for low, high in zip(self._low, self._high, strict=True)
        )
        root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg")
        root.attrib |= {
            "viewBox": " ".join(map(_number, (left, top, width, height))),
            "width": _number(width),
            "height": _number(height),
            "font-family": FONT,
        }
        if self.title:
            root.set("role", "img")
            ET.SubElement(root, "title").text = _allowed(self.title)
            ET.SubElement(root, "desc").text = _allowed(self.description)
        paper = {"x": left + 1, "y": top + 1, "width": width - 2, "height": height - 2}
        ET.SubElement(
            root,
            "rect",
            {name: _number(number) for name, number in paper.items()},
            rx="8",
            fill=PAPER,
            stroke=EDGE,
        )
        root.extend(self._elements)
        return root

    def _add(self, tag: str, **attributes: float | str) -> ET.Element:
        element = ET.Element(
            tag, {k: v if isinstance(v, str) else _number(v) for k, v in attributes.items()}
        )
        self._elements.append(element)
        return element

    def _grow(self, *points: Point) -> None:
        if not self._elements:
            self._low, self._high = list(points[0]), list(points[0])
        for point in points:
            self._low = [min(pair) for pair in zip(self._low, point, strict=True)]
            self._high = [max(pair) for pair in zip(self._high, point, strict=True)]


def _written(root: ET.Element) -> str:
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode") + "\n"


def _dark(root: ET.Element) -> str:
    """Return the rules that make the colours below this element dark on a dark screen."""
    used = {(name, element.get(name)) for element in root.iter() for name in ("fill", "stroke")}
    rules = [
        f'[{name}="{light}"] {{ {name}: {dark} }}'
        for light, both in DARK.items()
        for name, dark in zip(("fill", "stroke"), both, strict=True)
        if (name, light) in used
    ]
    return "\n".join(["@media (prefers-color-scheme: dark) {", *rules, "}"])


def _allowed(text: str) -> str:
    """Return the text with what XML cannot contain as \\x.. or \\u...., the way Python shows it."""
    return _NOT_IN_XML.sub(lambda found: repr(found[0])[1:-1], text)


def _number(number: float) -> str:
    """Return the number with at most one decimal, and never as -0."""
    return f"{round(number, 1) + 0.0:.1f}".removesuffix(".0")


def _facing(start: Box | Point, end: Box | Point) -> tuple[Point, Point]:
    a = start if isinstance(start, Box) else Box(*start, 0, 0)
    b = end if isinstance(end, Box) else Box(*end, 0, 0)
    across = abs(b.x - a.x) - (a.width + b.width) / 2
    down = abs(b.y - a.y) - (a.height + b.height) / 2
    if across > down:
        return (a.right, b.left) if b.x > a.x else (a.left, b.right)
    return (a.bottom, b.top) if b.y > a.y else (a.top, b.bottom)


# ---------------------------------------------------------------- figures of numbers


def bars(
    rows: Mapping[str, float],
    spec: str = ".3g",
    width: float = 240,
    unit: str = "",
    least: float | None = None,
) -> Drawing:
    """Return a drawing with one bar per row, its name and its number; no number is negative.

    With `least`, the scale is logarithmic: it begins there, below all numbers, and each power of
    ten has a line.
    """
    drawing = Drawing()
    indent = max(map(text_width, rows)) + 8
    greatest = max(rows.values()) or 1.0

    def length(number: float) -> float:
        if least is None:
            return number / greatest * width
        return log10(number / least) / log10(greatest / least) * width

    if least is not None:
        bottom = len(rows) * 26.0 - 13
        for power in range(ceil(log10(least) - 1e-9), floor(log10(greatest) + 1e-9) + 1):
            x = indent + length(10.0**power)
            drawing.line([(x, -13), (x, bottom)], EDGE, 1)
            drawing.label(x, bottom + 10, f"{10.0**power:,g}", size=12, colour=MUTED)
    for i, (name, number) in enumerate(rows.items()):
        y = i * 26.0
        end = length(number)
        drawing.label(indent - 8, y, name, anchor="end")
        drawing.rectangle(Box(indent + end / 2, y, end, 18), KINDS["data"][1], radius=2)
        shown = format(number, spec) + unit
        drawing.label(indent + end + 6, y, shown, anchor="start", colour=MUTED)
    return drawing


def heat_map(
    rows: Sequence[Sequence[float | None]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    spec: str = ".2f",
) -> Drawing:
    """Return a table with darker cells for greater numbers; None leaves a cell empty."""
    drawing = Drawing()
    numbers = [abs(number) for row in rows for number in row if number is not None]
    greatest = max(numbers) or 1.0
    shown = [[None if number is None else format(number, spec) for number in row] for row in rows]
    cell = max(text_width(t) for row in [column_names, *shown] for t in row if t is not None) + 12
    indent = max(map(text_width, row_names)) + 8
    for j, name in enumerate(column_names):
        drawing.label(indent + (j + 0.5) * cell, -24, name, colour=MUTED)
    for i, (name, row) in enumerate(zip(row_names, rows, strict=True)):
        drawing.label(indent - 8, i * 28.0, name, anchor="end", colour=MUTED)
        for j, number in enumerate(row):
            text = shown[i][j]
            if number is None or text is None:
                continue
            share = abs(number) / greatest
            box = Box(indent + (j + 0.5) * cell, i * 28.0, cell - 2, 26)
            drawing.rectangle(box, CURVES[0 if number >= 0 else 3], radius=3, opacity=share)
            drawing.label(box.x, box.y, text, colour="#ffffff" if share > WHITE_FROM else INK)
    return drawing


def line_plot(
    curves: Mapping[str, Sequence[Point]],
    x_name: str,
    y_name: str,
    floor_at: tuple[str, float] | None = None,
    width: float = 460,
    height: float = 240,
    apart: Collection[str] = (),
    logarithmic: bool = False,
) -> Drawing:
    """Curves through points (x, y), with a legend; `floor_at` is a named dashed level.

    Those whose names are in `apart` are not joined: each of their points is a cross. With
    `logarithmic` the axis of the x, which are at least 0, is that of log(1 + x).
    """
    drawing = Drawing()
    points = [point for curve in curves.values() for point in curve]
    levels = [y for _, y in points] + ([floor_at[1]] if floor_at else [])
    last = max(x for x, _ in points)
    x_ticks = _powers(last) if logarithmic else _ticks(min(x for x, _ in points), last)
    y_ticks = _ticks(min(levels), max(levels))
    scale = log1p if logarithmic else float

    def place(x: float, y: float) -> Point:
        across = (scale(x) - scale(x_ticks[0])) / (scale(x_ticks[-1]) - scale(x_ticks[0]))
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (across * width, (1 - up) * height)

    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        drawing.line([(0, y), (width, y)], EDGE, 1)
        drawing.label(-8, y, f"{tick:g}", anchor="end", size=12, colour=MUTED)
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        drawing.label(x, height + 14, f"{tick:,g}", size=12, colour=MUTED)
    if floor_at:
        _, y = place(x_ticks[0], floor_at[1])
        drawing.line([(0, y), (width, y)], INK, 1.3, dashed=True)
        drawing.label(4, y - 9, floor_at[0], anchor="start", size=12)
    for (name, curve), colour in zip(curves.items(), CURVES, strict=False):
        places = [place(x, y) for x, y in curve]
        if name not in apart:
            drawing.line(places, colour, 2)
            continue
        for x, y in places:
            drawing.line([(x - 5, y - 5), (x + 5, y + 5)], colour, 2)
            drawing.line([(x - 5, y + 5), (x + 5, y - 5)], colour, 2)
    x = 0.0
    for name, colour in zip(curves, CURVES, strict=False):
        drawing.line([(x, height + 58), (x + 18, height + 58)], colour, 3)
        drawing.label(x + 24, height + 58, name, anchor="start", size=12)
        x += 24 + text_width(name, 12) + 24
    drawing.label(width, height + 34, x_name, anchor="end", size=12, colour=MUTED)
    drawing.label(-8, -16, y_name, anchor="start", size=12, colour=MUTED)
    return drawing


def _powers(last: float) -> list[float]:
    """0, the powers of ten that are well below the last number, and this."""
    powers = [10.0**exponent for exponent in range(ceil(log10(last)))]
    return [0.0, *(power for power in powers if 2 * power <= last), last]


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from at most `low` to at least `high`."""
    raw = (high - low or abs(high) or 1.0) / about
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def chain(
    drawing: Drawing, x: float, y: float, texts: Sequence[tuple[str, str]], gap: float = 26
) -> list[Box]:
    """Boxes below one another, joined by arrows, the first one's top at y; texts: (text, kind)."""
    boxes: list[Box] = []
    for text, kind in texts:
        height = box_size(text)[1]
        boxes.append(drawing.box(x, y + height / 2, text, kind))
        y += height + gap
    for before, after in pairwise(boxes):
        drawing.arrow(before, after)
    return boxes
