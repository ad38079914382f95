"""Minimal pairs: a good sentence and a bad one that differ in as little as possible.

A model that has learned a rule of the language finds the good one more likely (the method of BLiMP:
Warstadt et al., 2020). The good sentences are drawn from the grammar, and it has the last word: it
accepts every good sentence and no bad one. What makes sense is what makes sense in its world, where
ducks swim and potatoes do not.

    agreement   the verb in the other number            seven ducks swims
    distance    ... with a place before it              the dogs by the pond barks
    article     "a" and "an" exchanged                  she eats a apple
    possessor   somebody else's                         he brushes her teeth
    subject     a noun that cannot do this              the potato swims
    object      a noun that this is not done to         mom drinks the toy
    place       a noun that is no place for this        the cup is on the soup
    comparison  the two sides exchanged                 the ant is bigger than the horse
    order       two neighbours exchanged                mom reads big a book

A bad sentence has to be bad for the reason that its kind names. So another noun has the same number
and the same article, and makes the sentence leave the language at the very word that it does not go
with. It comes from a class of which no noun goes with the verb (or the place) in a plain sentence,
and verbs that go with most classes are left alone: what is missing there is more likely a gap of
the grammar than nonsense.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from llmhard import grammar
from llmhard.grammar import NOUN_FORMS, VERB_FORMS
from llmhard.rules import with_article

MOST_DRAWS = 10_000  # sentences drawn for one pair before its class counts as impossible

NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
POSSESSORS = ["my", "your", "his", "her", "our", "their"]
DETERMINERS = frozenset({"the", "a", "an", "some", *NUMBERS, *POSSESSORS})
PLACE_PREPOSITIONS = frozenset(["at", "behind", "by", "in", "near", "on", "over", "to", "under"])
PREPOSITIONS = PLACE_PREPOSITIONS | {"with", "for", "from", "of"}
# After these verbs "at" and "to" lead to somebody, not to a place: "she reads to the kids".
TOWARDS_SOMEBODY = frozenset(
    {"bark", "give", "listen", "look", "read", "sing", "smile", "talk", "wave", "write"}
)
# After these a verb is in its base form and agrees with nobody: "sam can swim".
BEFORE_BASE_FORMS = frozenset({"can", "cannot", "not", "please", "to", "will"})
# After these both numbers are good English: the fish swim, the fish swims.
BEFORE_BOTH_NUMBERS = frozenset(
    noun.one for nouns in NOUN_FORMS.values() for noun in nouns if noun.one == noun.many
)
# One word further to the front these make a good question: "can sam swim".
QUESTION_WORDS = frozenset({"am", "are", "can", "cannot", "do", "does", "did", "is", "will"})


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences of equally many words; the grammar accepts `good` and does not accept `bad`."""

    good: str
    bad: str


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be the bad one.

    To be bad for the right reason it has to leave the language at the word `leaves_at`, counted
    from 0; None stands for any word.
    """

    words: list[str]
    leaves_at: int | None = None

    def is_bad(self) -> bool:
        """Whether the grammar does not accept it, for the right reason."""
        departure = grammar.SENTENCES.where_it_leaves(" ".join(self.words))
        return departure is not None and self.leaves_at in (None, departure.position)


Variants = Callable[[Sequence[str]], Iterable[Candidate]]  # a good sentence's words -> candidates
Replacements = dict[str, list[str]]  # a word -> what may replace it


# ------------------------------------------------------------------------------------- the words

VERBS = {form: verb for verb in VERB_FORMS.values() for form in verb}
NOUNS = {form: noun for nouns in NOUN_FORMS.values() for noun in nouns for form in noun}
SINGULAR: Replacements = {"is": ["are"], "does": ["do"]} | {
    verb.does: [verb.do]
    for verb in VERB_FORMS.values()
    if verb.do != verb.did  # "mom read" is the past tense
}
PLURAL: Replacements = {"are": ["is"], "am": ["is", "are"], "do": ["does"]} | {
    verb.do: [verb.does] for verb in VERB_FORMS.values()
}


def number_of(word: str) -> int | None:
    """0 for a singular noun, 1 for a plural; None for both, and for what may be no noun."""
    noun = NOUNS.get(word)
    if noun is None or noun.one == noun.many or word in VERBS:
        return None
    return noun.index(word)


@cache
def classes_after(*beginnings: str) -> frozenset[str]:
    """The classes of which a noun can follow one of the beginnings."""
    following = {word for beginning in beginnings for word in grammar.next_words(beginning)}
    return frozenset(
        name for name, nouns in NOUN_FORMS.items() if any(following & set(noun) for noun in nouns)
    )


@cache
def classes_that_do(verb: str) -> frozenset[str]:
    """The classes of which a noun can do this, in the present tense."""
    forms = VERB_FORMS[verb]
    return frozenset(
        name
        for name, nouns in NOUN_FORMS.items()
        if any(
            forms.does in grammar.next_words(f"the {noun.one}")
            or forms.do in grammar.next_words(f"the {noun.many}")
            for noun in nouns
        )
    )


def strangers(word: str, fitting: frozenset[str]) -> list[str]:
    """The nouns of the same number and article in no class of the noun's own or the fitting ones.

    None if most classes fit.
    """
    number = number_of(word)
    if number is None or len(fitting) > len(NOUN_FORMS) / 2:
        return []
    article = with_article(word).split()[0]
    found: dict[str, None] = {}
    for name, nouns in NOUN_FORMS.items():
        if name not in fitting and NOUNS[word] not in nouns:
            found |= dict.fromkeys(noun[number] for noun in nouns)
    return [
        other
        for other in found
        if other in grammar.WORDS
        and other not in VERBS
        and with_article(other).split()[0] == article
    ]


def replaced(words: Sequence[str], position: int, other: str) -> list[str]:
    """The words with another one at a position."""
    return [*words[:position], other, *words[position + 1 :]]


# ------------------------------------------------------------------------------------- the kinds


def verb_in_the_other_number(
    words: Sequence[str], verbs: Replacements, distant: bool
) -> Iterator[Candidate]:
    """A verb in the other number: `distant` if there is a place between it and its subject."""
    for i, word in enumerate(words[1:], start=1):
        subject = _subject_before_a_place(words, i)
        before = words[i - 1] if subject is None else words[subject]
        is_verb = word not in NOUNS and before not in BEFORE_BASE_FORMS
        if is_verb and (subject is not None) == distant and before not in BEFORE_BOTH_NUMBERS:
            for other in verbs.get(word, ()):
                yield Candidate(replaced(words, i, other))


def _subject_before_a_place(words: Sequence[str], verb: int) -> int | None:
    """The position of "dogs" in "the dogs by the big pond bark"; None if no place is between."""
    if words[verb - 1] in NOUNS:
        for i in range(verb - 2, max(verb - 5, 0), -1):
            if words[i] in PREPOSITIONS:
                return i - 1 if words[i - 1] in NOUNS else None
    return None


def other_word(words: Sequence[str], replacements: Replacements) -> Iterator[Candidate]:
    """One of the words replaced."""
    for i, word in enumerate(words):
        for other in replacements.get(word, ()):
            yield Candidate(replaced(words, i, other))


def other_possessor(words: Sequence[str], replacements: Replacements) -> Iterator[Candidate]:
    """A possessor replaced, but not "her" in "i see her" or "we give her a kite"."""
    for i, word in enumerate(words[:-1]):
        if words[i + 1] not in DETERMINERS | PREPOSITIONS:
            for other in replacements.get(word, ()):
                yield Candidate(replaced(words, i, other))


def other_subject(words: Sequence[str]) -> Iterator[Candidate]:
    """The noun before a verb replaced by one that cannot do this."""
    for i in range(len(words) - 1):
        verb = VERBS.get(words[i + 1])
        if verb and _begins_the_clause(words, i):
            for other in strangers(words[i], classes_that_do(verb.do)):
                yield Candidate(replaced(words, i, other), i + 1)


def _begins_the_clause(words: Sequence[str], noun: int) -> bool:
    """Whether the noun's phrase follows no verb, preposition or other noun."""
    first = next(
        (i for i in range(noun - 1, max(noun - 4, -1), -1) if words[i] in DETERMINERS), noun
    )
    before = words[first - 1] if first else ""
    return before not in PREPOSITIONS | VERBS.keys() | NOUNS.keys() | {"and", "than"}


def _noun_after(words: Sequence[str], position: int) -> int | None:
    """The position of the noun that follows with nothing but articles and the like between.

    None if there is none, or a singular without an article: "go to school".
    """
    for i in range(position + 1, len(words)):
        if words[i] not in DETERMINERS:
            bare_singular = i == position + 1 and number_of(words[i]) == 0
            return i if words[i] in NOUNS and not bare_singular else None
    return None


def other_object(words: Sequence[str]) -> Iterator[Candidate]:
    """The noun after a verb replaced by one that this is not done to."""
    for i, word in enumerate(words):
        noun = _noun_after(words, i)
        if word in VERBS and noun is not None:
            frame = f"i {VERBS[word].do}"
            fitting = classes_after(f"{frame} the", " ".join([frame, *words[i + 1 : noun]]))
            for other in strangers(words[noun], fitting):
                yield Candidate(replaced(words, noun, other), noun)


def other_place(words: Sequence[str]) -> Iterator[Candidate]:
    """The noun after a preposition of place replaced by one that is no such place."""
    for i, word in enumerate(words[1:], start=1):
        noun = _noun_after(words, i)
        verb = VERBS.get(words[i - 1])
        towards_somebody = verb and verb.do in TOWARDS_SOMEBODY and word in ("at", "to")
        if word in PLACE_PREPOSITIONS and noun is not None and not towards_somebody:
            fitting = classes_after(
                f"mom is {word} the", f"i {verb.do} {word} the" if verb else "i"
            )
            for other in strangers(words[noun], fitting):
                yield Candidate(replaced(words, noun, other), noun)


def sides_exchanged(words: Sequence[str]) -> Iterator[Candidate]:
    """What stands before the verb and what follows "than" exchanged, if they have one number."""
    if "than" not in words:
        return
    than = words.index("than")
    verb = next((i for i in range(than) if words[i] in ("is", "are")), 0)
    left, right = words[:verb], words[than + 1 :]
    numbers = {number_of(side[-1]) for side in (left, right) if side}
    if len(numbers) == 1 and None not in numbers:
        yield Candidate([*right, *words[verb : than + 1], *left])


def neighbours_exchanged(words: Sequence[str]) -> Iterator[Candidate]:
    """Each two neighbours exchanged in turn, unless that makes a question."""
    for i in range(len(words) - 1):
        if words[i + 1] not in QUESTION_WORDS:
            yield Candidate([*words[:i], words[i + 1], words[i], *words[i + 2 :]])


def _agreement(distant: bool) -> tuple[Variants, ...]:
    return tuple(
        partial(verb_in_the_other_number, verbs=verbs, distant=distant)
        for verbs in (SINGULAR, PLURAL)
    )


def _others(word: str) -> list[str]:
    return [other for other in POSSESSORS if other != word and other in grammar.WORDS]


# A kind has classes, so that a model which always prefers "a" to "an" is right in half the pairs.
KINDS: dict[str, tuple[Variants, ...]] = {
    "agreement": _agreement(distant=False),
    "distance": _agreement(distant=True),
    "article": (
        partial(other_word, replacements={"a": ["an"]}),
        partial(other_word, replacements={"an": ["a"]}),
    ),
    "possessor": (
        partial(other_possessor, replacements={"his": ["her"]}),
        partial(other_possessor, replacements={"her": ["his"]}),
        partial(
            other_possessor,
            replacements={word: _others(word) for word in ("my", "your", "our", "their")},
        ),
    ),
    "subject": (other_subject,),
    "object": (other_object,),
    "place": (other_place,),
    "comparison": (sides_exchanged,),
    "order": (neighbours_exchanged,),
}


class NoPairsError(ValueError):
    """The grammar writes no sentence that has pairs of a kind, or hardly any."""


def minimal_pairs(kind: str, n: int, rng: random.Random) -> list[MinimalPair]:
    """Draw `n` pairs of a kind of KINDS, its classes in turn.

    Within a class the good sentence has the grammar's distribution: it is drawn until there is a
    bad one to it; of several bad ones each is equally likely. So a pair may come more than once. A
    class for which MOST_DRAWS sentences bring no pair is left out from then on. Raises ValueError
    for an unknown kind, NoPairsError if no class is left.
    """
    if kind not in KINDS:
        raise ValueError(f"the kinds of minimal pairs are {', '.join(KINDS)}, not {kind!r}")
    classes = list(KINDS[kind])
    pairs: list[MinimalPair] = []
    while len(pairs) < n:
        if not classes:
            raise NoPairsError(
                f"the grammar has no minimal pairs of the kind {kind}: none in {MOST_DRAWS:,} "
                f"sentences"
            )
        variants = classes[len(pairs) % len(classes)]
        if pair := _draw(variants, rng):
            pairs.append(pair)
        else:
            classes.remove(variants)
    return pairs


def _draw(variants: Variants, rng: random.Random) -> MinimalPair | None:
    for _ in range(MOST_DRAWS):
        good = grammar.sample(rng)
        candidates = list(variants(good.split(" ")))
        rng.shuffle(candidates)
        for candidate in candidates:
            if candidate.is_bad():
                return MinimalPair(good, " ".join(candidate.words))
    return None


def prefers_good(pair: MinimalPair, score: Callable[[str], float]) -> bool:
    """Whether `score`, a sentence's log-probability, is higher for the good one; a tie is not."""
    return score(pair.good) > score(pair.bad)
