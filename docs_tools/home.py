"""The home page: where the model looks, what it expects, and the way through the labs."""

from __future__ import annotations

import tomllib
from math import cos, pi, sin
from pathlib import Path
from typing import Any

from docs_tools.errors import DocsError
from docs_tools.labs import all_labs
from llmhard.attention import Attention, Head
from llmhard.drawing import CURVES, EDGE, MUTED, SIZE, Box, Drawing, Point, text_width
from llmhard.language_model import LanguageModel
from llmhard.next_words import NextWords

TEXT, LOOKED_AT = "the dogs by the pond", "dogs"
LABS, PICTURE = "<!-- labs -->", "<!-- picture -->"
IMAGE = "home.svg"
WORDS = 4  # how many of the next words are shown
LEAST = 0.1  # share of a head's attention that gets an arc


def filled(markdown: str, root: Path, model: LanguageModel) -> str:
    """Put the picture and the way through the labs into the text of the home page."""
    alt, caption = described(model.attention(TEXT), model.next_words(TEXT))
    image = f'![{alt}]({IMAGE} "{caption}")'
    return markdown.replace(PICTURE, image).replace(LABS, way(root))


# ---------------------------------------------------------------- the way through the labs


def way(root: Path) -> str:
    """Return a table of the labs with the minutes that each takes, and how they were estimated."""
    data = tomllib.loads((root / "docs_tools" / "minutes.toml").read_text(encoding="utf-8"))
    minutes = _minutes(all_labs(root), data["minutes"])
    rows = [f"| [{_title(root, lab)}]({lab}.md) | {minutes[lab]} |" for lab in minutes]
    hours = round(sum(minutes.values()) / 60)
    return "\n".join(
        [
            "## The way through the labs",
            "",
            "| lab | minutes |",
            "| --- | ---: |",
            *rows,
            "",
            f"About {hours} hours in all. {data['estimated']}",
        ]
    )


def _minutes(labs: list[str], minutes: dict[str, Any]) -> dict[str, int]:
    """Return the minutes in the order of the labs. Raises DocsError unless each lab has some."""
    if list(minutes) != labs:
        different = sorted(set(labs) ^ set(minutes)) or ["their order"]
        raise DocsError(f"docs_tools/minutes.toml and the labs differ: {', '.join(different)}")
    return minutes


def _title(root: Path, lab: str) -> str:
    """Return the heading of a lab, such as "Lab 03: Autograd"."""
    return (root / "docs" / f"{lab}.md").read_text(encoding="utf-8").partition("\n")[0][2:]


# ---------------------------------------------------------------- the picture


def looking(attention: Attention) -> Head:
    """Return the head that, at the last word, looks most at the one the verb must agree with."""
    place = attention.tokens.index(LOOKED_AT)
    return max(attention, key=lambda head: head.weights[-1][place])


def described(attention: Attention, following: NextWords) -> tuple[str, str]:
    """Return what the picture shows, for somebody who cannot see it, and its caption."""
    head = looking(attention)
    share = head.weights[-1][head.tokens.index(LOOKED_AT)]
    word, probability = next(iter(following.items()))
    other = f"{word}s"  # the form after one dog
    caption = (
        f"The model has read “{TEXT}” and is about to say what comes next. Each arc is a head "
        f"that looks back; one looks past the pond at “{LOOKED_AT}”, with {share:.2%} of "
        f"its attention: the verb has to agree with them. It expects “{word}” at {probability:.0%}"
    ) + (f", and “{other}” at {following[other]:.2%}." if other in following else ".")
    alt = (
        f"The words {TEXT} in a row. Arcs lead from the last one back to the others, the thickest "
        f"to {LOOKED_AT}. Below are bars for the words that may come next; the longest is {word}."
    )
    return alt, caption


def picture(attention: Attention, following: NextWords) -> Drawing:
    """Draw where the heads look from the last word, as arcs, and what comes next, as bars."""
    drawing = Drawing(TEXT, described(attention, following)[0])
    boxes = _sentence(drawing, attention.tokens[1:])
    chosen = looking(attention)
    for head in attention:
        for box, weight in zip(boxes[:-1], head.weights[-1][1:-1], strict=True):
            if weight >= LEAST and head != chosen:
                drawing.line(_arc(boxes[-1], box, 0.4 + 0.1 * head.head), MUTED, 2 * weight)
    place = attention.tokens[1:].index(LOOKED_AT)
    drawing.line(_arc(boxes[-1], boxes[place], 0.9), CURVES[0], 5)
    _bars(drawing, boxes[-1].right[0], following)
    return drawing


def _sentence(drawing: Drawing, words: tuple[str, ...]) -> list[Box]:
    """Draw the words in boxes, in a row."""
    boxes: list[Box] = []
    left = 0.0
    for word in words:
        width = text_width(word) + 18
        kind = "parameter" if word == LOOKED_AT else "data"
        boxes.append(drawing.box(left + width / 2, 0, word, kind))
        left += width + 8
    return boxes


def _arc(start: Box, end: Box, height: float) -> list[Point]:
    """Return half an ellipse, from the top of one box to that of another."""
    (x1, top), (x2, _) = start.top, end.top
    middle, half = (x1 + x2) / 2, (x1 - x2) / 2
    turns = [pi * i / 40 for i in range(41)]
    return [(middle + half * cos(t), top - height * half * sin(t)) for t in turns]


def _bars(drawing: Drawing, right: float, following: NextWords) -> None:
    """Draw the words that may come next, below the sentence, the likeliest first."""
    likeliest = following.likeliest(WORDS).items()
    left = max(text_width(word) for word, _ in likeliest) + 8
    whole = right - left - 40  # the width of the bar for a probability of 1
    for i, (word, probability) in enumerate(likeliest):
        y, length = 46 + i * 25.0, probability * whole
        drawing.label(left - 8, y, word, anchor="end")
        drawing.rectangle(Box(left + whole / 2, y, whole, 15), EDGE, radius=2, opacity=0.5)
        drawing.rectangle(Box(left + length / 2, y, length, 15), CURVES[2], radius=2)
        shown = f"{probability:.2f}"
        drawing.label(left + whole + 6, y, shown, anchor="start", size=SIZE - 2, colour=MUTED)
