"""Probabilistic context-free grammars without recursion: they write sentences and know how likely
each of them is.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple, TypeVar


class Alternative(NamedTuple):
    """What a symbol may become."""

    weight: float  # relative to the other alternatives of the same symbol
    items: tuple[str, ...]  # words in lower case, symbols with a capital letter


Rules = dict[str, list[Alternative]]


# The end of a sentence as a next word: no real word is written like this.
END = "."

Stacks = dict[str, dict[tuple[str, ...], float]]  # top item -> {the items below it: probability}


class Departure(NamedTuple):
    """Where a text leaves the language, and what would have kept it there."""

    position: int  # of the first word that cannot be there, from 0; after the last if more is due
    word: str  # that word; END if more is due
    allowed: dict[str, float]  # next word -> its probability after the words before; not empty


class Grammar:
    """A probabilistic context-free grammar without recursion.

    `rules` maps each symbol to its alternatives, `start` is the symbol of a whole sentence; rules
    that `start` does not lead to are left out.  Raises ValueError for a symbol without a rule, a
    rule that leads back to itself, or a weight that is not positive.

    A sentence is read from left to right with *stacks*: the items that are still to come, each
    stack with the probability of the derivations that leave it.  To read a word is to replace the
    topmost item of each stack by what is left of it after that word.  Equal stacks are added up, so
    that the many derivations of a sentence need not be followed one by one.
    """

    def __init__(self, rules: Mapping[str, Sequence[Alternative]], start: str) -> None:
        self.start = start
        self._alternatives: dict[str, Sequence[Alternative]] = {}
        self._cumulative: dict[str, list[float]] = {}
        self._derivations: dict[str, int] = {}
        self._add(start, rules, ())
        self.words: tuple[str, ...] = tuple(
            sorted(
                {
                    w
                    for alts in self._alternatives.values()
                    for a in alts
                    for w in a.items
                    if w.islower()
                }
            )
        )
        # What _openings, _first_words, _stacks_after and next_words have found so far.
        self._known_openings: dict[str, dict[str, dict[tuple[str, ...], float]]] = {}
        self._known_first_words: dict[str, dict[str, float]] = {}
        self._known_stacks: dict[str, Stacks] = {}
        self._known_next_words: dict[str, dict[str, float]] = {}

    @property
    def rules(self) -> Mapping[str, Sequence[Alternative]]:
        """The rules that `start` leads to."""
        return MappingProxyType(self._alternatives)

    def _add(
        self, symbol: str, rules: Mapping[str, Sequence[Alternative]], above: tuple[str, ...]
    ) -> None:
        """Enter `symbol` and all that it leads to; `above` are the symbols that led here."""
        if symbol in above:
            raise ValueError(f"{symbol} leads back to itself")
        if symbol in self._alternatives:
            return
        if not rules.get(symbol):
            raise ValueError(f"no rule for {symbol}")
        alternatives = rules[symbol]
        if not all(alternative.weight > 0 for alternative in alternatives):
            raise ValueError(f"a weight of {symbol} is not positive")
        for item in (item for alternative in alternatives for item in alternative.items):
            if not item.islower():
                self._add(item, rules, (*above, symbol))
        self._alternatives[symbol] = alternatives
        self._cumulative[symbol] = list(accumulate(a.weight for a in alternatives))
        self._derivations[symbol] = sum(
            math.prod(self._derivations.get(item, 1) for item in a.items) for a in alternatives
        )

    def sample(self, rng: random.Random) -> str:
        """Draw one sentence with the probabilities of the grammar."""
        words: list[str] = []
        todo = [self.start]
        while todo:
            item = todo.pop()
            if item.islower():
                words.append(item)
            else:
                cumulative = self._cumulative[item]
                # rng.random() and bisect give the same sentences in every version of Python
                choice = bisect(cumulative, rng.random() * cumulative[-1], hi=len(cumulative) - 1)
                todo.extend(reversed(self._alternatives[item][choice].items))
        return " ".join(words)

    def log_prob(self, sentence: str) -> float:
        """Return the log-probability, in nats, that `sample` returns `sentence`.

        `sentence` is any text of words and single spaces.  The probability is summed over all
        derivations; its logarithm is -inf if there is none.
        """
        ended = self._stacks_after(sentence.split(" ")).get(END, {})
        return math.log(ended[()]) if ended else -math.inf

    def prefix_log_prob(self, beginning: str) -> float:
        """Return the log-probability, in nats, that a sentence begins like this; -inf if none does.

        "" begins every sentence, and a sentence begins itself, too.
        """
        stacks = self._stacks_after(_words(beginning))
        total = math.fsum(p for below in stacks.values() for p in below.values())
        return math.log(total) if total else -math.inf

    def next_words(self, beginning: str) -> dict[str, float]:
        """Return the probability of each word that can follow `beginning`, and of the end, as END.

        `beginning` has words and single spaces; "" asks for the first words.  The probabilities
        sum to 1; there are none if no sentence begins like this.
        """
        if beginning not in self._known_next_words:
            found: dict[str, float] = {}
            for top, below in self._stacks_after(_words(beginning)).items():
                weight = math.fsum(below.values())
                for word, probability in self._first_words(top).items():
                    found[word] = found.get(word, 0.0) + weight * probability
            total = math.fsum(found.values())
            _remember(
                self._known_next_words, beginning, {word: p / total for word, p in found.items()}
            )
        return dict(self._known_next_words[beginning])

    def where_it_leaves(self, sentence: str) -> Departure | None:
        """Return where `sentence` (words, single spaces) leaves the language; None if accepted."""
        words = _words(sentence)
        for position, word in enumerate([*words, END]):
            allowed = self.next_words(" ".join(words[:position]))
            if word not in allowed or (word == END and position < len(words)):
                return Departure(position, word, allowed)
        return None

    def _stacks_after(self, words: Sequence[str]) -> Stacks:
        """Return the stacks left after reading the words; none if no sentence begins like this."""
        stacks: Stacks = {self.start: {(END,): 1.0}}
        beginning = ""
        for word in words:
            beginning += f"{word} "
            if beginning not in self._known_stacks:
                _remember(self._known_stacks, beginning, self._read(stacks, word))
            stacks = self._known_stacks[beginning]
            if not stacks:
                break
        return stacks

    def _read(self, stacks: Stacks, word: str) -> Stacks:
        """Return the stacks that are left after reading one more word."""
        left: Stacks = {}
        for top, below in stacks.items():
            for tail, probability in self._openings(top).get(word, {}).items():
                for items, so_far in below.items():
                    stack = tail + items
                    if stack:  # none is left if the word is END, which no text may have
                        rests = left.setdefault(stack[0], {})
                        rests[stack[1:]] = rests.get(stack[1:], 0.0) + so_far * probability
        return left

    def _openings(self, item: str) -> dict[str, dict[tuple[str, ...], float]]:
        """Return each word that `item` may begin with -> {what is then left of it: probability}."""
        if item not in self._alternatives:
            return {item: {(): 1.0}}
        if item not in self._known_openings:
            openings = self._known_openings[item] = {}
            total = self._cumulative[item][-1]
            for weight, (first, *rest) in self._alternatives[item]:
                for word, tails in self._openings(first).items():
                    ours = openings.setdefault(word, {})
                    for tail, probability in tails.items():
                        stack = (*tail, *rest)
                        ours[stack] = ours.get(stack, 0.0) + weight / total * probability
        return self._known_openings[item]

    def _first_words(self, item: str) -> dict[str, float]:
        """Return each word that `item` may begin with -> its probability."""
        if item not in self._known_first_words:
            self._known_first_words[item] = {
                word: math.fsum(tails.values()) for word, tails in self._openings(item).items()
            }
        return self._known_first_words[item]

    def accepts(self, sentence: str) -> bool:
        """Return whether `sentence` (words and single spaces) can be derived."""
        return self.log_prob(sentence) > -math.inf

    def count_derivations(self) -> int:
        """Return the number of derivations of the start symbol."""
        return self._derivations[self.start]

    def distinct(self, n: int, rng: random.Random) -> list[str]:
        """Draw `n` different sentences, throwing repeats away; return them in the order of drawing.

        Raises ValueError if `n` is negative or more than a tenth of the derivations: waiting for
        the last unseen sentences would take forever.
        """
        if not 0 <= n <= self.count_derivations() // 10:
            raise ValueError(f"n must be from 0 to {self.count_derivations() // 10}, not {n}")
        seen: dict[str, None] = {}
        while len(seen) < n:
            seen[self.sample(rng)] = None
        return list(seen)


MOST_KNOWN = 20_000  # how many beginnings of sentences are remembered
Known = TypeVar("Known")


def _remember(known: dict[str, Known], beginning: str, value: Known) -> None:
    """Remember a value; if there are very many, forget all others first."""
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[beginning] = value


def _words(text: str) -> list[str]:
    return text.split(" ") if text else []
