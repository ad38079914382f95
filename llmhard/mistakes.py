"""Mistakes: where sentences leave the grammar's language, sorted by what is wrong there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmhard import grammar
from llmhard.minimal_pairs import (
    ADJECTIVES,
    ARTICLES,
    DETERMINERS,
    NOUNS,
    OTHERS,
    POSSESSORS,
    PREPOSITIONS,
    VERBS,
)
from llmhard.pcfg import END, Departure

# What is wrong -> what that means; the first that fits is the reason.
REASONS = {
    "stops too early": "more words must come",
    "goes on too long": "only the end of the sentence could come",
    "article": '"a" before a word that wants "an", or the other way round',
    "possessor": "not the one that the grammar wants: she brushes his teeth",
    "verb form": "another form of the verb could be there: the dogs barks",
    "noun form": "the noun could be there in its other number: two dog",
    "two of a kind": "it could replace the word before: the big little dog",
    "verb": "other verbs could be there: the fish flies",
    "noun": "other nouns, names or pronouns could be there: she eats the coat",
    "missing determiner": '"the" or the like has to come before it: the kind girl sees hat',
    "extra word": "the next word could be there: the puppy chases a big kitten",
    "preposition": "another one or none could be there: she looks on the dog",
    "adjective": "another one or none could be there: the ball is hungry",
    "determiner": "another one or none could be there: the worm crawls on a leaf",
    "word order": "no word of its part of speech could be there: mom rained",
}
BE = frozenset({"am", "are", "is"})
DO = frozenset({"do", "does"})
PRONOUNS = ["i", "he", "she", "it", "we", "they"]
NAMES = frozenset({"mom", "dad", "grandma", "grandpa", *PRONOUNS}).union(
    *(OTHERS[name] for name in ("Girl", "Boy", "Day", "Month"))
)
ALL_DETERMINERS = DETERMINERS.union(OTHERS["This"], OTHERS["These"])
PARTS_OF_SPEECH = {
    "verb": VERBS.keys() | BE | DO | {"can", "cannot", "will"},
    "noun": NOUNS.keys() | NAMES,
    "preposition": PREPOSITIONS,
    "adjective": ADJECTIVES,
    "determiner": ALL_DETERMINERS,
}
LIKELIEST = 3  # words that would have been allowed


@dataclass(frozen=True)
class Place:
    """Sentences that leave the language at the same word after the same word.

    `previous` is "" at the beginning of a sentence, `word` is pcfg.END where more must come. The
    `example` leaves the language at `position`, counted from 0; `allowed` are the likeliest words
    there and their probabilities, the likeliest first.
    """

    previous: str
    word: str
    count: int
    example: str
    position: int
    allowed: dict[str, float]


@dataclass(frozen=True)
class Mistake:
    """A key of REASONS: what is wrong with `count` sentences, and where, most frequent first."""

    reason: str
    count: int
    places: tuple[Place, ...]


def mistakes(sentences: Iterable[str]) -> tuple[Mistake, ...]:
    """Sort the sentences that the grammar does not accept by what is wrong with them.

    The most frequent reason comes first; accepted sentences are passed over.
    """
    counts: dict[str, Counter[tuple[str, str]]] = {}
    examples: dict[tuple[str, str, str], tuple[str, Departure]] = {}
    for sentence in sentences:
        departure = grammar.SENTENCES.where_it_leaves(sentence)
        if departure is None:
            continue
        words = sentence.split(" ")
        reason = reason_for(words, departure)
        previous = words[departure.position - 1] if departure.position else ""
        counts.setdefault(reason, Counter())[previous, departure.word] += 1
        examples.setdefault((reason, previous, departure.word), (sentence, departure))
    found = []
    for reason, places in sorted(counts.items(), key=lambda item: -item[1].total()):
        found.append(
            Mistake(
                reason,
                places.total(),
                tuple(
                    _place(previous, word, count, *examples[reason, previous, word])
                    for (previous, word), count in places.most_common()
                ),
            )
        )
    return tuple(found)


def _place(previous: str, word: str, count: int, example: str, departure: Departure) -> Place:
    likeliest = sorted(departure.allowed.items(), key=lambda item: -item[1])[:LIKELIEST]
    return Place(previous, word, count, example, departure.position, dict(likeliest))


def reason_for(words: Sequence[str], departure: Departure) -> str:
    """Return the key of REASONS that says why the words leave the language where they do."""
    word, allowed = departure.word, departure.allowed.keys()
    before = words[: departure.position]
    if word == END:
        return "stops too early"
    if allowed == {END}:
        return "goes on too long"
    if word in ARTICLES and ARTICLES[word] in allowed:
        return "article"
    if before and before[-1] in ARTICLES:
        with_the_other = " ".join([*before[:-1], ARTICLES[before[-1]]])
        if word in grammar.next_words(with_the_other):
            return "article"
    if word in POSSESSORS and allowed & set(POSSESSORS):
        return "possessor"
    if word in NOUNS and allowed & set(NOUNS[word]):
        return "noun form"
    if any(word in forms and allowed & set(forms) for forms in (VERBS.get(word, ()), BE, DO)):
        return "verb form"
    parts = [part for part, of_that_part in PARTS_OF_SPEECH.items() if word in of_that_part]
    if (
        before
        and any(before[-1] in PARTS_OF_SPEECH[part] for part in parts)
        and word in grammar.next_words(" ".join(before[:-1]))
    ):
        return "two of a kind"
    for part in parts:
        if allowed & PARTS_OF_SPEECH[part]:
            return part
    if allowed & ALL_DETERMINERS:
        if word in NAMES:
            return "noun"
        if word in NOUNS.keys() | ADJECTIVES:
            return "missing determiner"
    if [*words, END][departure.position + 1] in allowed:
        return "extra word"
    return next((part for part in parts if part not in ("verb", "noun")), "word order")
