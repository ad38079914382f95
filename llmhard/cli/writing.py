"""What `sample` and its prompt share: the options for choosing words, and writing a sentence."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from llmhard.cli import probabilities
from llmhard.cli.common import from_zero, not_negative
from llmhard.sampler import MODELS_OWN, Reader, Sampling, choices
from llmhard.terminal import cells, columns, is_terminal, wrap
from llmhard.tokenizer import BOS, Tokenizer

CANDIDATES = 5
PAUSE = 0.08  # seconds between words, for a person to watch; the model needs far less than that
INDENT = "  "  # of the second line of a sentence, where a terminal is too narrow for one


# ---------------------------------------------------------------- options


def add_choice_options(command: argparse._ActionsContainer, dashes: str = "--") -> None:
    """Add the options that decide which word is chosen, under names that begin with `dashes`."""
    command.add_argument(
        f"{dashes}temperature",
        metavar="T",
        type=not_negative,
        default=Sampling.temperature,
        help="below 1 plays it safe, above 1 dares more, 0 is greedy (default: %(default)s)",
    )
    command.add_argument(
        f"{dashes}top-k",
        metavar="K",
        type=from_zero,
        default=Sampling.top_k,
        help="choose among the K likeliest tokens; 0 is all (default: %(default)s)",
    )
    command.add_argument(
        f"{dashes}top-p",
        metavar="P",
        type=_top_p,
        default=Sampling.top_p,
        help="choose among the likeliest tokens that make up P; 1 is all (default: %(default)s)",
    )
    command.add_argument(
        f"{dashes}seed",
        metavar="N",
        type=_seed,
        help="the same number writes the same sentences (default: different ones each time)",
    )


def sampling_of(options: argparse.Namespace) -> Sampling:
    """Return the settings that the options give."""
    return Sampling(options.temperature, options.top_k, options.top_p)


def _top_p(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most 1, not {text!r:.40}")
    return number


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number, not {text!r:.40}") from None


# ---------------------------------------------------------------- sentences


@dataclass
class Writer:
    """Writes sentences to stdout and, if asked to, what each word was chosen from to stderr.

    stream      write each word when it is chosen, on a terminal with a pause after it
    candidates  how many of the likeliest words to show before each choice; 0 shows none; otherwise
                the sentence is written as a whole, below them
    """

    tokenizer: Tokenizer
    reader: Reader
    rng: random.Random
    sampling: Sampling
    stream: bool
    candidates: int

    def write(self, prompt: Sequence[int]) -> None:
        """Write a sentence. Raises ValueError and ArithmeticError as `choices` does."""
        pause = PAUSE if self.stream and is_terminal(sys.stdout) else 0.0
        table = self._table() if self.candidates else None
        tokens, sentence = list(prompt), Sentence()
        try:
            for choice in choices(self.reader, self.rng, self.sampling, prompt):
                if table:
                    own = MODELS_OWN.probabilities(self.reader.logits)
                    probabilities.show(table.step(tokens, choice.token, own, choice.probabilities))
                if choice.token == BOS:
                    break
                tokens.append(choice.token)
                if self.stream and not table:
                    sentence.extend(self.tokenizer.decode(tokens))
                if pause:
                    time.sleep(pause)
        except (KeyboardInterrupt, ArithmeticError):
            if sentence.text:  # what is said about it starts on a new line
                print(flush=True)
            raise
        sentence.end(self.tokenizer.decode(tokens), flush=self.stream or table is not None)

    def show_legend(self) -> None:
        """Explain the numbers that `write` shows, if it shows any."""
        if self.candidates:
            probabilities.show(self._table().legend())

    def _table(self) -> probabilities.Table:
        width = columns(sys.stderr)
        return probabilities.Table(self.tokenizer, self.sampling, self.candidates, width)


class Sentence:
    """A sentence on stdout, written at once or piece by piece.

    On a terminal that is too narrow, it continues on the next line with the word that did not fit.
    """

    def __init__(self) -> None:
        self.text = ""  # written so far
        self._columns = columns(sys.stdout) if is_terminal(sys.stdout) else None
        self._last = ""  # line on the terminal

    def extend(self, text: str) -> None:
        """Write the rest of the text, at once; it begins with what is written already."""
        rest, self.text = text[len(self.text) :], text
        print(self._laid_out(rest), end="", flush=True)

    def end(self, text: str, flush: bool) -> None:
        """Write the rest of the text and end it."""
        if not self.text and self._columns and cells(text) > self._columns:
            text = "\n".join(wrap(text, self._columns, rest=INDENT))
        print(text[len(self.text) :], flush=flush)

    def _laid_out(self, rest: str) -> str:
        """Return what to write for `rest`: a word that would cross the edge goes on a new line."""
        self._last += rest
        if not self._columns or cells(self._last) <= self._columns:
            return rest
        before, space, word = self._last.rpartition(" ")
        if not space or not before.strip():  # one word wider than the terminal
            return rest
        self._last = INDENT + word
        if rest.startswith(" "):
            return f"\n{self._last}"
        shown = cells(word) - cells(rest)
        return "\b" * shown + " " * shown + f"\n{self._last}"
