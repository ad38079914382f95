"""What `--show-probs` shows: the words that each word was chosen from, and how likely they were."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from llmhard.cli.common import aside
from llmhard.sampler import MODELS_OWN, Sampling
from llmhard.terminal import cells, paint, wrap
from llmhard.tokenizer import BOS, Tokenizer

END = "(end)"  # how BOS is shown
DOTS = "..."
NUMBER = 6  # columns of a probability
LONGEST_WORD = 20  # columns of a word at most; what is longer ends with dots
SHORTEST_BAR, LONGEST_BAR = 5, 100  # columns for a probability of 1


class Line(NamedTuple):
    """A line of a step; `chosen` marks the row of the chosen token."""

    text: str
    chosen: bool = False


class Table:
    """Lays out the `count` likeliest tokens of each step in a given number of columns.

    A row has the mark `>` if its token was chosen, the rank, the model's own probability, the
    probability of drawing it if temperature, top-k or top-p change that, the word, and a bar of
    both.
    """

    def __init__(self, tokenizer: Tokenizer, sampling: Sampling, count: int, columns: int) -> None:
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._count = count
        self._changes = sampling != MODELS_OWN
        self._columns = columns
        self._rank = len(str(tokenizer.vocab_size))
        left = cells(self._row(" ", "", "", "", "", ""))
        longest = max(map(cells, (END, *map(_shown, tokenizer.words))))
        most = self._columns - left - 2 - SHORTEST_BAR
        self._word = max(len(END), min(longest, LONGEST_WORD, most))
        self._bar = max(0, min(LONGEST_BAR, self._columns - left - self._word - 2))

    def legend(self) -> list[Line]:
        """Return an explanation of the numbers, and the heading of their columns."""
        meaning = "(model: its own probability, with which the word is drawn; > is chosen)"
        if self._changes:
            meaning = (
                f"(model: its own probability; drawn: the one with which the word is drawn, after "
                f"{settings(self._sampling)}; bar: # in both, + added, - taken away; > is chosen)"
            )
        heading = self._row(" ", "", f"{'model':>{NUMBER}}", f"{'drawn':>{NUMBER}}", "word", "")
        return [*map(Line, wrap(meaning, self._columns)), Line(heading)]

    def step(
        self, tokens: Sequence[int], chosen: int, model: Sequence[float], drawn: Sequence[float]
    ) -> list[Line]:
        """Return the sentence so far and a row for each of the likeliest tokens.

        `model` holds the model's own probabilities, `drawn` those that `chosen` was drawn with. The
        chosen token always has a row; tokens with a model probability of 0 have none.
        """
        said = _last_words(self._tokenizer.decode(tokens), self._columns - len(DOTS) - 1)
        lines = [Line(f"{said} {DOTS}".lstrip())]
        for rank, token in enumerate(sorted(range(len(model)), key=lambda t: -model[t]), start=1):
            if token == chosen or (rank <= self._count and model[token]):
                row = self._row(
                    ">" if token == chosen else " ",
                    str(rank),
                    _number(model[token]),
                    _number(drawn[token]),
                    END if token == BOS else _shown(self._tokenizer.words[token - 1]),
                    _bar(model[token], drawn[token], self._bar),
                )
                lines.append(Line(row, token == chosen))
        return lines

    def _row(self, mark: str, rank: str, model: str, drawn: str, word: str, bar: str) -> str:
        numbers = [model, drawn] if self._changes else [model]
        columns = [f"{mark} {rank:>{self._rank}}", *(f"{number:>{NUMBER}}" for number in numbers)]
        if not word:  # how wide is what is left of it?
            return "  ".join([*columns, ""])
        return "  ".join([*columns, _fitted(word, self._word), bar]).rstrip()


def show(lines: Sequence[Line]) -> None:
    """Write the lines to stderr; on a terminal the chosen word stands out."""
    aside(
        "\n".join(
            paint(line.text, "bold green", sys.stderr) if line.chosen else line.text
            for line in lines
        )
    )


def settings(sampling: Sampling) -> str:
    """Return the settings that change the model's probabilities, for people."""
    values = (
        ("temperature", sampling.temperature, MODELS_OWN.temperature),
        ("top-k", sampling.top_k, MODELS_OWN.top_k),
        ("top-p", sampling.top_p, MODELS_OWN.top_p),
    )
    return ", ".join(f"{name} {value:g}" for name, value, neutral in values if value != neutral)


def _number(p: float) -> str:
    if p == 0:
        return "0"
    return f"{p:.4f}" if p >= 0.00005 else f"{p:.0e}"


def _bar(model: float, drawn: float, columns: int) -> str:
    """Return a bar with # for the share that both have, + for what is added, - for what is lost."""
    before, after = round(model * columns), round(drawn * columns)
    return "#" * min(before, after) + "+" * (after - before) + "-" * (before - after)


def _shown(word: str) -> str:
    """Return the word, in quotes if it is white space."""
    return word if word.strip() else repr(word)


def _fitted(word: str, width: int) -> str:
    """Return the word in exactly `width` columns."""
    if cells(word) > width:
        room = width - len(DOTS)
        while cells(word) > room:
            word = word[:-1]
        word += " " * (room - cells(word)) + DOTS
    return word + " " * (width - cells(word))


def _last_words(text: str, width: int) -> str:
    """Return the end of the text that fits, starting at a word if a whole word fits."""
    if cells(text) <= width:
        return text
    end = text[-width:]
    while cells(end) > width - len(DOTS) - 1:
        end = end[1:]
    _, space, words = end.partition(" ")
    return f"{DOTS} {words if space else end}"
