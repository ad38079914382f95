"""The map of a model: where each part of it is drawn, level by level.

There are three levels: the model, one layer, one head. A level is a list of columns; wide ones are
drawn from left to right, narrow ones from top to bottom. Where a connection jumps over columns, as
the residual stream does, it takes the lane below them (or to their right).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from llmhard.model import Config

LAYER, HEAD = "{layer}", "{head}"  # in a path: the layer and head that the page shows


class Part(NamedTuple):
    """A box before it has a place.

    `path` leads from a position's trace to the run that the box shows (gpt.js: runAt); `opens` is
    the level that it opens, with the number of the layer or head.
    """

    id: str
    label: str
    path: str
    opens: tuple[str, int] | None = None


@dataclass(frozen=True)
class Level:
    """A level of the map: columns of parts, and which part goes into which."""

    columns: Sequence[Sequence[Part]]
    connections: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Style:
    """The sizes of a drawing, in pixels; `across` is how many boxes fit side by side."""

    width: int
    is_wide: bool
    across: int
    box_height: int = 44
    most_width: int = 132
    gap: int = 28  # between columns
    space: int = 12  # between the boxes of a column
    margin: int = 12
    lane: int = 24  # room for the connections that jump


STYLES = {
    "wide": Style(width=1280, is_wide=True, across=16),
    "narrow": Style(width=390, is_wide=False, across=4, space=8, gap=32),
}


class Box(NamedTuple):
    """A part and its place, in pixels from the upper left corner."""

    part: Part
    x: float
    y: float
    w: float
    h: float


def layout(config: Config) -> dict[str, Any]:
    """Return the map of a model for JSON: the width and the levels of each style."""
    levels = {"model": _model(config), "layer": _layer(config), "head": _head()}
    return {
        name: {
            "width": style.width,
            "levels": {key: _drawn(level, style) for key, level in levels.items()},
        }
        for name, style in STYLES.items()
    }


# ---------------------------------------------------------------- what is on each level


def _model(config: Config) -> Level:
    layers = [
        Part(f"layer{i}", f"layer {i}", f"layers.{i}.after", ("layer", i))
        for i in range(config.n_layer)
    ]
    token = Part("token", "token", "token")
    place = Part("place", "position", "place")
    stream = [
        Part("embedding", "embedding", "embedding"),
        *layers,
        Part("logits", "logits", "logits"),
        Part("probabilities", "probabilities", "probabilities"),
    ]
    return Level(
        [[token, place], *([part] for part in stream)],
        [("token", "embedding"), ("place", "embedding"), *_chain(stream)],
    )


def _layer(config: Config) -> Level:
    at = f"layers.{LAYER}."
    projections = [Part(name, name, at + name) for name in "qkv"]
    heads = [
        Part(f"head{i}", f"head {i}", f"{at}heads.{i}.mix", ("head", i))
        for i in range(config.n_head)
    ]
    before = Part("before", "input", at + "before")
    norm = Part("attentionNorm", "norm", at + "attentionNorm")
    rest = [
        Part("attention", "attention", at + "attention"),
        Part("middle", "+", at + "middle"),
        Part("mlpNorm", "norm", at + "mlpNorm"),
        Part("hidden", "hidden", at + "hidden"),
        Part("mlp", "MLP", at + "mlp"),
        Part("after", "+", at + "after"),
    ]
    return Level(
        [[before], [norm], projections, heads, *([part] for part in rest)],
        [
            ("before", norm.id),
            *((norm.id, part.id) for part in projections),
            *((part.id, head.id) for part in projections for head in heads),
            *((head.id, "attention") for head in heads),
            *_chain(rest),
            ("before", "middle"),
            ("middle", "after"),
        ],
    )


def _head() -> Level:
    at = f"layers.{LAYER}."
    within = f"{at}heads.{HEAD}."
    projections = [Part(name, f"{name} of this head", at + name) for name in "qkv"]
    rest = [
        Part("dots", "q · k", within + "dots"),
        Part("scores", "scores", within + "scores"),
        Part("weights", "weights", within + "weights"),
        Part("mix", "mix", within + "mix"),
    ]
    return Level(
        [projections, *([part] for part in rest)],
        [("q", "dots"), ("k", "dots"), *_chain(rest), ("v", "mix")],
    )


def _chain(parts: Sequence[Part]) -> list[tuple[str, str]]:
    return [(a.id, b.id) for a, b in pairwise(parts)]


# ---------------------------------------------------------------- where it is drawn


def _drawn(level: Level, style: Style) -> dict[str, Any]:
    boxes = _wide(level.columns, style) if style.is_wide else _narrow(level.columns, style)
    end = max(box.y + box.h for box in boxes.values())
    column = {part.id: i for i, parts in enumerate(level.columns) for part in parts}
    lines = []
    for a, b in level.connections:
        draw = _straight if column[b] - column[a] == 1 else _jump
        lines.append({"from": a, "to": b, "path": draw(boxes[a], boxes[b], style, end)})
    return {
        "height": round(end + style.margin + (style.lane if style.is_wide else 0)),
        "boxes": [_for_json(box) for box in boxes.values()],
        "connections": lines,
    }


def _wide(columns: Sequence[Sequence[Part]], style: Style) -> dict[str, Box]:
    """Place columns from left to right, each centered around the same line."""
    room = (style.width - 2 * style.margin) / len(columns)
    w, h = min(style.most_width, room - style.gap), style.box_height
    step = h + style.space
    middle = style.margin + (step * max(map(len, columns)) - style.space) / 2
    boxes = {}
    for i, parts in enumerate(columns):
        x = style.margin + room * i + (room - w) / 2
        top = middle - (step * len(parts) - style.space) / 2
        for j, part in enumerate(parts):
            boxes[part.id] = Box(part, x, top + step * j, w, h)
    return boxes


def _narrow(columns: Sequence[Sequence[Part]], style: Style) -> dict[str, Box]:
    """Place columns from top to bottom, each on as many lines as it needs."""
    room = style.width - 2 * style.margin - style.lane
    boxes, y = {}, float(style.margin)
    for parts in columns:
        side_by_side = min(len(parts), style.across)
        w = min(style.most_width, (room + style.space) / side_by_side - style.space)
        for start in range(0, len(parts), style.across):
            line = parts[start : start + style.across]
            left = style.margin + (room - (w + style.space) * len(line) + style.space) / 2
            for j, part in enumerate(line):
                boxes[part.id] = Box(part, left + (w + style.space) * j, y, w, style.box_height)
            y += style.box_height + style.space
        y += style.gap - style.space
    return boxes


def _straight(a: Box, b: Box, style: Style, _end: float) -> str:
    """Return a curve from one box to one in the next column, as the path of an SVG."""
    if style.is_wide:
        (x1, y1), (x2, y2) = (a.x + a.w, a.y + a.h / 2), (b.x, b.y + b.h / 2)
        half = (x1 + x2) / 2
        return _path(f"M {x1} {y1} C {half} {y1} {half} {y2} {x2} {y2}")
    (x1, y1), (x2, y2) = (a.x + a.w / 2, a.y + a.h), (b.x + b.w / 2, b.y)
    half = (y1 + y2) / 2
    return _path(f"M {x1} {y1} C {x1} {half} {x2} {half} {x2} {y2}")


def _jump(a: Box, b: Box, style: Style, end: float) -> str:
    """Return a curve to a box further away, through the lane."""
    r = style.lane / 2  # of the round corners
    if style.is_wide:
        x1, x2, lane = a.x + a.w / 2, b.x + b.w / 2, end + r
        return _path(
            f"M {x1} {a.y + a.h} L {x1} {lane - r} Q {x1} {lane} {x1 + r} {lane} "
            f"L {x2 - r} {lane} Q {x2} {lane} {x2} {lane - r} L {x2} {b.y + b.h}"
        )
    y1, y2, lane = a.y + a.h / 2, b.y + b.h / 2, style.width - style.margin - r
    return _path(
        f"M {a.x + a.w} {y1} L {lane - r} {y1} Q {lane} {y1} {lane} {y1 + r} "
        f"L {lane} {y2 - r} Q {lane} {y2} {lane - r} {y2} L {b.x + b.w} {y2}"
    )


def _path(path: str) -> str:
    """Return the path with its numbers rounded to a tenth of a pixel."""
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}", path)


def _for_json(box: Box) -> dict[str, Any]:
    part, *place = box
    x, y, w, h = (round(number, 1) for number in place)
    opens = part.opens and dict(zip(("level", "number"), part.opens, strict=True))
    return {**part._asdict(), "opens": opens, "x": x, "y": y, "w": w, "h": h}
