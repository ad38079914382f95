"""What `sample` and its prompt share: how to choose, writing a sentence, showing the choices."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from llmhard.cli.common import aside
from llmhard.sampler import Choice, Reader, Sampling, choices
from llmhard.tokenizer import BOS, Tokenizer

CANDIDATES = 5
PAUSE = 0.08  # seconds between words, for a person to watch; the model needs far less than that

WIDTH, WORD = 80, 20  # columns of what --show-probs writes, of a word in it
BAR = 40  # characters that stand for the probability 1
END = "(end)"


def add_choice_options(command: argparse._ActionsContainer, dashes: str = "--") -> None:
    """The options that decide which word is chosen, under names that begin with `dashes`."""
    command.add_argument(
        f"{dashes}temperature",
        metavar="T",
        type=float,
        default=Sampling.temperature,
        help="below 1 plays safe, above 1 dares more, 0 is greedy (default: %(default)s)",
    )
    command.add_argument(
        f"{dashes}top-k",
        metavar="K",
        type=int,
        default=Sampling.top_k,
        help="choose among the K likeliest tokens; 0 is all (default: %(default)s)",
    )
    command.add_argument(
        f"{dashes}top-p",
        metavar="P",
        type=float,
        default=Sampling.top_p,
        help="choose among the likeliest tokens that make up P; 1 is all (default: %(default)s)",
    )
    command.add_argument(
        f"{dashes}seed",
        metavar="N",
        type=int,
        help="the same number writes the same sentences (default: new ones each time)",
    )


def sampling_of(options: argparse.Namespace) -> Sampling:
    """Raises ValueError if a setting is out of range."""
    return Sampling(options.temperature, options.top_k, options.top_p)


def legend(sampling: Sampling) -> str:
    """What the numbers of `candidates_text` are."""
    return (
        f"(probabilities after temperature {sampling.temperature:g}, top-k {sampling.top_k}, "
        f"top-p {sampling.top_p:g}; > is chosen)"
    )


@dataclass
class Writer:
    """Writes sentences to stdout and, if asked to, what each word was chosen from to stderr.

    stream      write each word when it is chosen, on a terminal with a pause after it
    candidates  how many of the likeliest words to show before each choice; 0 shows none, and with
                more the sentence is written as a whole, below them
    """

    tokenizer: Tokenizer
    reader: Reader
    rng: random.Random
    sampling: Sampling
    stream: bool
    candidates: int

    def write(self, prompt: Sequence[int]) -> None:
        """Write a sentence. Raises ValueError and ArithmeticError as `choices` does."""
        pause = PAUSE if self.stream and sys.stdout and sys.stdout.isatty() else 0.0
        tokens, written = list(prompt), ""
        try:
            for choice in choices(self.reader, self.rng, self.sampling, prompt):
                if self.candidates:
                    aside(candidates_text(self.tokenizer, tokens, choice, self.candidates))
                if choice.token == BOS:
                    break
                tokens.append(choice.token)
                if self.stream and not self.candidates:
                    before, written = written, self.tokenizer.decode(tokens)
                    print(written[len(before) :], end="", flush=True)
                if pause:
                    time.sleep(pause)
        except (KeyboardInterrupt, ArithmeticError):
            if written:  # what is said about it begins on a line of its own
                print(flush=True)
            raise
        rest = self.tokenizer.decode(tokens)[len(written) :]
        print(rest, flush=self.stream or self.candidates > 0)


def candidates_text(tokenizer: Tokenizer, tokens: Sequence[int], choice: Choice, count: int) -> str:
    """The sentence so far and the `count` likeliest to follow it, the chosen one marked.

    A line has the mark, the rank, the probability, the word and a bar. The chosen one is there in
    any case, those with the probability 0 are not.
    """
    p = choice.probabilities
    digits = len(str(len(p)))
    lines = [f"{_last_columns(tokenizer.decode(tokens), WIDTH - 4)} ...".lstrip()]
    for rank, token in enumerate(sorted(range(len(p)), key=lambda token: -p[token]), start=1):
        mark = ">" if token == choice.token else " "
        if mark == ">" or (rank <= count and p[token]):
            number = f"{p[token]:.4f}" if p[token] >= 0.00005 else f"{p[token]:6.0e}"
            word = _column(END if token == BOS else tokenizer.decode([token]))
            bar = "#" * round(p[token] * BAR)
            lines.append(f"{mark} {rank:{digits}}  {number}  {word}  {bar}".rstrip())
    return "\n".join(lines)


def _column(word: str) -> str:
    """The word in a column of its own; white space, a token of characters, in quotes."""
    from rich.cells import cell_len, set_cell_size  # a Chinese character is two columns wide

    shown = word if word.strip() else repr(word)
    if cell_len(shown) > WORD:
        shown = set_cell_size(shown, WORD - 3) + "..."
    return set_cell_size(shown, WORD)


def _last_columns(text: str, width: int) -> str:
    from rich.cells import cell_len

    text = text[-width:]
    while cell_len(text) > width:
        text = text[1:]
    return text
