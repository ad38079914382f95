"""Probabilistic context-free grammars without recursion: they write sentences and know how likely
each of them is.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple


class Alternative(NamedTuple):
    """What a symbol may become."""

    weight: float  # relative to the other alternatives of the same symbol
    items: tuple[str, ...]  # words in lower case, symbols with a capital letter


Rules = dict[str, list[Alternative]]


def read_rules(table: str) -> Rules:
    """Read the rules "Name = alternative | 3 alternative" of `table`.

    Raises ValueError for a symbol defined twice and for an alternative without words.
    """
    rules: Rules = {}
    name = ""
    for line in table.splitlines():
        if not line or line.startswith("#"):
            continue
        head, equals, body = line.rpartition("=")
        if equals:
            name = head.strip()
            if name in rules:
                raise ValueError(f"{name} is defined twice")
            rules[name] = []
        for text in body.strip().removeprefix("|").split("|"):
            items = text.split()
            weight = float(items.pop(0)) if items and items[0].isdigit() else 1.0
            if not items or not name:
                raise ValueError(f"an alternative without words: {line!r}")
            rules[name].append(Alternative(weight, tuple(items)))
    return rules


class Grammar:
    """A probabilistic context-free grammar without recursion.

    `rules` maps each symbol to its alternatives, `start` is the symbol of a whole sentence; rules
    which `start` does not reach are left out.  Raises ValueError for a symbol without a rule, a
    rule that leads back to itself, or a weight that is not positive.
    """

    def __init__(self, rules: Mapping[str, Sequence[Alternative]], start: str) -> None:
        self.start = start
        self._items: dict[str, list[tuple[str, ...]]] = {}
        self._cumulative: dict[str, list[float]] = {}
        # _starting[symbol][word]: (probability, items) of the alternatives that can begin with word
        self._starting: dict[str, dict[str, list[tuple[float, tuple[str, ...]]]]] = {}
        self._derivations: dict[str, int] = {}
        self._add(start, rules, ())
        self.words: tuple[str, ...] = tuple(
            sorted({w for alts in self._items.values() for a in alts for w in a if w.islower()})
        )

    def _add(
        self, symbol: str, rules: Mapping[str, Sequence[Alternative]], above: tuple[str, ...]
    ) -> None:
        """Enter `symbol` and all that it leads to; `above` are the symbols that led here."""
        if symbol in above:
            raise ValueError(f"{symbol} leads back to itself")
        if symbol in self._items:
            return
        if not rules.get(symbol):
            raise ValueError(f"no rule for {symbol}")
        alternatives = rules[symbol]
        if not all(alternative.weight > 0 for alternative in alternatives):
            raise ValueError(f"a weight of {symbol} is not positive")
        for item in (item for alternative in alternatives for item in alternative.items):
            if not item.islower():
                self._add(item, rules, (*above, symbol))
        self._items[symbol] = [alternative.items for alternative in alternatives]
        self._cumulative[symbol] = list(accumulate(a.weight for a in alternatives))
        self._derivations[symbol] = sum(
            math.prod(self._derivations.get(item, 1) for item in a.items) for a in alternatives
        )
        starting = self._starting[symbol] = {}
        for weight, items in alternatives:
            first = items[0]
            for word in (first,) if first.islower() else self._starting[first]:
                probability = weight / self._cumulative[symbol][-1]
                starting.setdefault(word, []).append((probability, items))

    def sample(self, rng: random.Random) -> str:
        """One sentence, drawn with the probabilities of the grammar."""
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
                todo.extend(reversed(self._items[item][choice]))
        return " ".join(words)

    def log_prob(self, sentence: str) -> float:
        """The log-probability, in nats, that `sample` yields `sentence` (words and single spaces).

        It is summed over all derivations; -inf when there is none.  Any text may be asked about.
        """
        words = sentence.split(" ")
        known: dict[tuple[str, int], dict[int, float]] = {}

        def inside(symbol: str, start: int) -> dict[int, float]:
            """end -> probability that `symbol` becomes words[start:end] (inside probability)."""
            if (symbol, start) in known:
                return known[symbol, start]
            found: dict[int, float] = {}
            next_word = words[start] if start < len(words) else ""
            for probability, items in self._starting[symbol].get(next_word, ()):
                ends = {start: probability}
                for item in items:
                    longer: dict[int, float] = {}
                    for end, so_far in ends.items():
                        if not item.islower():
                            for next_end, more in inside(item, end).items():
                                longer[next_end] = longer.get(next_end, 0.0) + so_far * more
                        elif end < len(words) and words[end] == item:
                            longer[end + 1] = longer.get(end + 1, 0.0) + so_far
                    ends = longer
                for end, total in ends.items():
                    found[end] = found.get(end, 0.0) + total
            known[symbol, start] = found
            return found

        probability = inside(self.start, 0).get(len(words), 0.0)
        return math.log(probability) if probability > 0 else -math.inf

    def accepts(self, sentence: str) -> bool:
        """Whether `sentence` (words and single spaces) can be derived."""
        return self.log_prob(sentence) > -math.inf

    def count_derivations(self) -> int:
        """The number of derivations of the start symbol."""
        return self._derivations[self.start]

    def distinct(self, n: int, rng: random.Random) -> list[str]:
        """`n` different sentences in the order in which they were drawn; repeats are thrown away.

        Raises ValueError when `n` is negative or more than a tenth of the derivations: waiting for
        the last unseen sentences would take for ever.
        """
        if not 0 <= n <= self.count_derivations() // 10:
            raise ValueError(f"n must be from 0 to {self.count_derivations() // 10}, not {n}")
        seen: dict[str, None] = {}
        while len(seen) < n:
            seen[self.sample(rng)] = None
        return list(seen)
