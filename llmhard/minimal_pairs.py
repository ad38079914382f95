"""Minimal pairs: a good sentence and a bad one that differ in as little as possible.

A model that has learned a rule of the language finds the good one more likely (the method of BLiMP:
Warstadt et al., 2020). The good sentences are drawn from the grammar, what makes them bad comes
from its tables, and it has the last word: it accepts every good sentence and no bad one. What makes
sense is what makes sense in its world, where ducks swim and do not fly.

    agreement  the verb in the other number           seven ducks swims
    article    "a" and "an" exchanged                 she eats a apple
    meaning    a verb that does not go with the rest  the fish flies; mom wears a book
    order      two neighbours exchanged               mom reads big a book
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from llmhard import grammar
from llmhard.grammar import NOUN_FORMS, VERB_FORMS

Replacements = dict[str, list[str]]  # a word -> what may stand in its place
Variants = Callable[[Sequence[str]], Iterator[list[str]]]  # a sentence's words -> candidates

# After these a verb stands in its base form and agrees with nobody: "sam can swim".
BEFORE_BASE_FORMS = frozenset({"can", "please", "to"})
# After these both numbers are good English: the fish swim, the fish swims.
BEFORE_BOTH_NUMBERS = frozenset(
    noun.one for nouns in NOUN_FORMS.values() for noun in nouns if noun.one == noun.many
)
# One word further to the front these make a good question: "can sam swim".
QUESTION_WORDS = frozenset({"am", "are", "can", "is"})


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences of equally many words; the grammar accepts `good` and does not accept `bad`."""

    good: str
    bad: str


def with_another_word(
    words: Sequence[str], replacements: Replacements, never_after: frozenset[str]
) -> Iterator[list[str]]:
    """The words with one of them replaced, but none that follows one of `never_after`."""
    for i, word in enumerate(words):
        if i == 0 or words[i - 1] not in never_after:
            for other in replacements.get(word, ()):
                yield [*words[:i], other, *words[i + 1 :]]


def with_neighbours_exchanged(words: Sequence[str]) -> Iterator[list[str]]:
    """The words with each two neighbours exchanged in turn, unless that makes a question."""
    for i in range(len(words) - 1):
        if words[i + 1] not in QUESTION_WORDS:
            yield [*words[:i], words[i + 1], words[i], *words[i + 2 :]]


def _same_form(verbs: str) -> Replacements:
    """Each form of these verbs -> the same form of the others."""
    replacements: Replacements = {}
    group = [VERB_FORMS[verb] for verb in verbs.split()]
    for forms in group:
        for place, form in enumerate(forms):
            if forms.count(form) == 1:  # "read" may be present or past, and so may what replaces it
                others = [other[place] for other in group if other is not forms]
                replacements[form] = [other for other in others if other in grammar.WORDS]
    return replacements


SINGULAR = {"is": ["are"]} | {
    verb.does: [verb.do]
    for verb in VERB_FORMS.values()
    if verb.do != verb.did  # "mom read" is the past tense
}
PLURAL = {"are": ["is"], "am": ["is", "are"]} | {
    verb.do: [verb.does] for verb in VERB_FORMS.values()
}


def _replacing(
    *classes: Replacements, never_after: frozenset[str] = BEFORE_BASE_FORMS
) -> tuple[Variants, ...]:
    return tuple(
        partial(with_another_word, replacements=replacements, never_after=never_after)
        for replacements in classes
    )


# A kind has classes, so that a model which always prefers "a" to "an" is right in half the pairs.
KINDS: dict[str, tuple[Variants, ...]] = {
    "agreement": _replacing(SINGULAR, PLURAL, never_after=BEFORE_BASE_FORMS | BEFORE_BOTH_NUMBERS),
    "article": _replacing({"a": ["an"]}, {"an": ["a"]}),
    "meaning": _replacing(_same_form("swim fly jump"), _same_form("eat wear read")),
    "order": (with_neighbours_exchanged,),
}


def minimal_pairs(kind: str, n: int, rng: random.Random) -> list[MinimalPair]:
    """`n` pairs of a kind of KINDS, its classes in turn.

    Within a class the good sentence has the grammar's distribution: it is drawn until there is a
    bad one to it; of several bad ones each is equally likely. So a pair may come more than once.
    Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"the kinds of minimal pairs are {', '.join(KINDS)}, not {kind!r}")
    classes = KINDS[kind]
    return [_draw(classes[i % len(classes)], rng) for i in range(n)]


def _draw(variants: Variants, rng: random.Random) -> MinimalPair:
    while True:
        good = grammar.sample(rng)
        candidates = [" ".join(words) for words in variants(good.split(" "))]
        rng.shuffle(candidates)
        for bad in candidates:
            if not grammar.accepts(bad):
                return MinimalPair(good, bad)


def prefers_good(pair: MinimalPair, score: Callable[[str], float]) -> bool:
    """Whether `score`, a sentence's log-probability, is higher for the good one; a tie is not."""
    return score(pair.good) > score(pair.bad)
