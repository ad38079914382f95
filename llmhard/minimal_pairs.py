"""Minimal pairs: a good sentence and a bad one that differ in as little as possible.

A model that has learned a rule of the language finds the good one more likely (the method of BLiMP:
Warstadt et al., 2020). The good sentences are drawn from the grammar, and it has the last word: it
accepts every good sentence and no bad one.

    agreement   the verb in the other number            seven ducks swims
    distance    ... with a place before it              the dogs by the pond barks
    article     "a" and "an" exchanged                  she eats a apple
    possessor   somebody else's                         he brushes her teeth
    subject     a noun that cannot do this              the potato swims
    object      a noun that this is not done to         mom drinks the table
    place       a noun that is no place for this        the swan is on the desk
    comparison  the two sides exchanged                 the ant is bigger than the horse
    order       two neighbours exchanged                mom reads big a book

A bad sentence has to be bad for the reason that its kind names. That the grammar does not write
"the doctor carries a pencil" is a gap in its world, not nonsense, so tables say which nouns make no
sense as a subject, an object or a place. Possessors follow the rules of that world: since everybody
there uses their own things, "we feed her rabbit" is as wrong as "he brushes her teeth".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from llmhard import grammar
from llmhard.grammar import NOUN_FORMS, VERB_FORMS
from llmhard.rules import NounForms, read_entries, read_nouns, with_article

MOST_DRAWS = 10_000  # sentences drawn for one pair before its class counts as impossible

OTHERS = read_entries(grammar.OTHERS)
POSSESSORS = OTHERS["My"]
ARTICLES = {"a": "an", "an": "a"}
DETERMINERS = frozenset({"the", *ARTICLES, "some", *OTHERS["Number"], *POSSESSORS})
ADJECTIVES = frozenset({"bigger", "smaller", "sunny", "windy"}).union(
    *(words for name, words in OTHERS.items() if name.endswith(("Look", "Color", "Length")))
)
MASS_NOUNS = frozenset({*OTHERS["Meal"], *OTHERS["Drink"], "meat", "grass", "hair"})  # no plurals
PLACE_PREPOSITIONS = frozenset(["at", "behind", "by", "in", "near", "on", "over", "to", "under"])
PREPOSITIONS = PLACE_PREPOSITIONS | {"with", "for", "from", "of"}
# After these verbs "at" and "to" lead to somebody, not to a place: "she reads to the kids".
TOWARDS_SOMEBODY = frozenset({"bark", "dance", "give", "look", "read", "sing", "smile", "write"})
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
    """Two sentences with the same number of words; the grammar accepts `good` but not `bad`."""

    good: str
    bad: str


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be the bad one.

    To be bad for the right reason it has to leave the language at the word `leaves_at`, counted
    from 0, or at any word if that is None.
    """

    words: list[str]
    leaves_at: int | None = None

    def is_bad(self) -> bool:
        """Return whether the grammar does not accept it, for the right reason."""
        departure = grammar.SENTENCES.where_it_leaves(" ".join(self.words))
        return departure is not None and self.leaves_at in (None, departure.position)


Variants = Callable[[Sequence[str]], Iterable[Candidate]]  # a good sentence's words -> candidates
Replacements = dict[str, list[str]]  # a word -> what may replace it


# ------------------------------------------------------------------------------------- the words

# Nouns that the grammar does not list in both numbers.
OTHER_NOUNS = read_nouns(f"""
Yard:   {" ".join(OTHERS["Yard"])}
Water:  {" ".join(OTHERS["Water"])}
Ground: {" ".join(OTHERS["Ground"])} tree fence
Home:   {" ".join(OTHERS["Home"] + OTHERS["Town"])} room castle
Door:   door window gate
Mass:   {" ".join(sorted(MASS_NOUNS))}
Family: sister brother aunt uncle friend
Body:   ear eye face hand tail tooth/teeth wing
Sky:    moon star sun
Others: game horn name piano seed song train
""")
CLASSES = NOUN_FORMS | OTHER_NOUNS
NOUNS = {form: noun for nouns in CLASSES.values() for noun in nouns for form in noun}
VERBS = {form: verb for verb in VERB_FORMS.values() for form in verb}
SINGULAR: Replacements = {"is": ["are"], "does": ["do"]} | {
    verb.does: [verb.do]
    for verb in VERB_FORMS.values()
    if verb.do != verb.did  # "mom read" is the past tense
}
PLURAL: Replacements = {"are": ["is"], "am": ["is", "are"], "do": ["does"]} | {
    verb.do: [verb.does] for verb in VERB_FORMS.values()
}

# What can do nothing, and what can still be said of it: the cup sits on the table, the pizza
# cooks, the shirt has a button.
LIFELESS = ["Crop", "Cake", "Cloth", "Seat", "Table", "Door"]
LIFELESS_TOO = frozenset(
    {"carry", "close", "cook", "cut", "feed", "fly", "go", "have", "help", "hide", "live", "open"}
    | {"sit"}
)

# Verbs, and classes or nouns that cannot be their objects. "see" goes with everything, and so do,
# more or less, "clean", "kick" and "pick".
UNFIT_OBJECTS = """
bake cook eat: Cloth Text Toy Small Seat Table Door Car Bike Boat Plane
buy:           lake pond river sea moon sun
carry throw:   beach farm forest hill lake pond river sea
chase:         Crop Cake Small Seat Table Door Text
climb:         Crop Cake Cloth Text Small
close open:    apple pear cherry carrot onion potato tomato spoon fork coin chair bench rock stick
               log Bike
cut:           key coin ring pen spoon fork cup bowl plate Car Bike Boat Plane
drink:         Crop Cake Cloth Text Toy Seat Table Door Car Bike Boat Plane
drive:         Crop Cake Cloth Text Small Seat Table Door
feed help:     Cloth Text Small Seat Table Door rock log stick
fix:           Crop Nature
fly:           Crop Cake Cloth Small Seat Table Door
give:          Cake Cloth Text Small Seat Table Door
hug:           Crop Small Table Door
plant:         Cake Cloth Text Toy Small Seat Table Door Car Bike
play:          Crop Cake Cloth Seat Table
read write:    Crop Cake Cloth Seat Table Door Car Bike Boat Plane key button ring spoon fork
ride:          Crop Cake Cloth Text Small Door
sail:          Crop Cake Cloth Text Small Seat Table Door Car Bike
sing:          Crop Cake Cloth Small Seat Table Door
wash:          Cake Text
wear:          Crop Cake Text Seat Table Door Car Bike Boat Plane key coin pen pencil crayon spoon
               fork cup bowl plate
"""

# Prepositions, some only after certain verbs or for certain classes of subjects (a Kid stands for
# all people), and nouns that are no place for anything or for them. Everything can be by or over
# everything, and for bugs everything is a place.
UNFIT_PLACES = """
in:                          key coin button pencil fork apple pear banana carrot onion potato
                             tomato
Kid Seat Table Car Bike in:  cup spoon
Farm in:                     cup bowl bag basket tree
Wild in:                     cup bowl bag basket
Fish in:                     forest field barn kitchen school tree
Bird in:                     sea cup spoon
Kid on:                      apple carrot onion potato cookie leaf cup fork spoon
Farm Wild Duck on:           Table sofa bed
Dog Cat Hopper on:           river sea
Crop Cake on:                sofa bed chair lake river sea
Cloth Text Toy Small on:     lake river sea
Car Bike on:                 Table Seat moon sun
Boat on:                     Table Seat
Nature on:                   moon sun
sail on:                     Table Seat hill farm forest
ride on:                     worm ant carrot onion apple cookie pencil fork
sit sleep on:                carrot onion apple cookie pencil fork spoon
to:                          key coin button pencil fork spoon apple onion
drive go hop run walk to:    moon sun cup bowl cookie
under:                       Water
"""


def number_of(word: str) -> int | None:
    """Return 0 for a singular noun, 1 for a plural, None for both and for what may be no noun."""
    noun = NOUNS.get(word)
    if noun is None or noun.one == noun.many or word in VERBS:
        return None
    return noun.index(word)


def _nouns(names: Iterable[str]) -> list[NounForms]:
    """Return the nouns of the classes, and those given one by one."""
    return [noun for name in names for noun in CLASSES.get(name) or [NOUNS[name]]]


def _unfit(table: str) -> dict[str, list[NounForms]]:
    """Read UNFIT_OBJECTS or UNFIT_PLACES: "bake", "Farm on" -> nouns that do not go with it."""
    unfit: dict[str, list[NounForms]] = {}
    for entry, names in read_entries(table).items():
        *those, last = entry.split()
        keys = [*those, last]
        if those and last in PLACE_PREPOSITIONS:
            keys = [f"{one} {last}" for one in those]
        unfit |= dict.fromkeys(keys, _nouns(names))
    return unfit


OBJECTS, PLACES = _unfit(UNFIT_OBJECTS), _unfit(UNFIT_PLACES)
CLASS_OF = {form: name for name in CLASSES for noun in CLASSES[name] for form in noun}
CLASS_OF |= {form: "Kid" for noun in _nouns(["Job", "Family"]) for form in noun}


@cache
def who_cannot(verb: str) -> list[NounForms]:
    """Return the animals that cannot do this, according to the grammar."""
    return [
        noun
        for nouns in NOUN_FORMS.values()
        for noun in nouns
        if verb in grammar.next_words(f"the {noun.one} cannot")
    ]


def replacements_for(
    words: Sequence[str], position: int, nouns: Iterable[NounForms]
) -> Iterator[str]:
    """Yield the nouns that can replace the one at a position, as far as articles and number go."""
    number = number_of(words[position])
    before = words[position - 1] if position else ""
    if number is None:
        return
    for noun in nouns:
        other = noun[number]
        article_fits = before not in ARTICLES or with_article(other).split()[0] == before
        is_mass = words[position] in MASS_NOUNS or other in MASS_NOUNS
        if (
            number_of(other) == number
            and other in grammar.WORDS
            and words[position] not in noun
            and article_fits
            and (before == "the" or not is_mass)
        ):
            yield other


def replaced(words: Sequence[str], position: int, other: str) -> list[str]:
    """Return the words with another one at a position."""
    return [*words[:position], other, *words[position + 1 :]]


# ------------------------------------------------------------------------------------- the kinds


def verb_in_the_other_number(
    words: Sequence[str], verbs: Replacements, distant: bool
) -> Iterator[Candidate]:
    """Put a verb in the other number; `distant` asks for a place between subject and verb."""
    for i, word in enumerate(words[1:], start=1):
        subject = _subject_before_a_place(words, i)
        before = words[i - 1] if subject is None else words[subject]
        if (
            word in verbs
            and before not in BEFORE_BASE_FORMS | BEFORE_BOTH_NUMBERS
            and (subject is not None) == distant
            and _is_verb(words, i)
        ):
            for other in verbs[word]:
                yield Candidate(replaced(words, i, other))


def _is_verb(words: Sequence[str], position: int) -> bool:
    """Return whether the word, a form of a verb, is not a noun there: mom cooks, not: two cooks."""
    if words[position] not in NOUNS:
        return True
    following = grammar.next_words(" ".join(words[:position]))
    return not following.keys().isdisjoint(VERBS.keys() - NOUNS.keys())


def _subject_before_a_place(words: Sequence[str], verb: int) -> int | None:
    """Return the position of "dogs" in "the dogs by the pond bark"; None if no place is between."""
    if verb < 4 or words[verb - 3] not in PREPOSITIONS or words[verb - 2] not in DETERMINERS:
        return None
    return verb - 4 if words[verb - 4] in NOUNS else None


def other_word(words: Sequence[str], replacements: Replacements) -> Iterator[Candidate]:
    """Replace one of the words."""
    for i, word in enumerate(words):
        for other in replacements.get(word, ()):
            yield Candidate(replaced(words, i, other))


def other_possessor(words: Sequence[str], replacements: Replacements) -> Iterator[Candidate]:
    """Replace a possessor, but not "her" in "i see her" or "we give her a kite"."""
    for i, word in enumerate(words[:-1]):
        if words[i + 1] not in DETERMINERS | PREPOSITIONS:
            for other in replacements.get(word, ()):
                yield Candidate(replaced(words, i, other))


def lifeless_subject(words: Sequence[str]) -> Iterator[Candidate]:
    """Replace the noun before a verb with a thing that can do nothing."""
    for noun, verb in _subjects(words):
        if words[verb] in VERBS and VERBS[words[verb]].do not in LIFELESS_TOO:
            for other in replacements_for(words, noun, _nouns(LIFELESS)):
                yield Candidate(replaced(words, noun, other), noun + 1)


def unable_subject(words: Sequence[str]) -> Iterator[Candidate]:
    """Replace the noun before a verb with an animal that cannot do this."""
    for noun, verb in _subjects(words):
        if words[verb] in VERBS:
            for other in replacements_for(words, noun, who_cannot(VERBS[words[verb]].do)):
                yield Candidate(replaced(words, noun, other), verb)


def _subjects(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of each noun that begins a clause and of its verb: "the ducks swim", "the
    ducks can swim"."""
    for i in range(len(words) - 1):
        if words[i] in NOUNS and _begins_the_clause(words, i):
            verb = i + 2 if words[i + 1] in ("can", "will") else i + 1
            if verb < len(words):
                yield i, verb


def _begins_the_clause(words: Sequence[str], noun: int) -> bool:
    """Return whether the noun's phrase follows no verb, preposition or other noun."""
    first = noun
    while first and words[first - 1] in DETERMINERS | ADJECTIVES:
        first -= 1
    before = words[first - 1] if first else ""
    return before not in PREPOSITIONS | VERBS.keys() | NOUNS.keys() | {"and", "than"}


def _noun_after(words: Sequence[str], position: int) -> int | None:
    """Return the position of the next noun, if only articles, adjectives and the like come between.

    Return None if there is none, or a singular without an article: "go to school".
    """
    for i in range(position + 1, len(words)):
        if words[i] not in DETERMINERS | ADJECTIVES:
            bare_singular = i == position + 1 and number_of(words[i]) == 0
            return i if words[i] in NOUNS and not bare_singular else None
    return None


def other_object(words: Sequence[str]) -> Iterator[Candidate]:
    """Replace the noun after a verb with one that cannot be its object."""
    for i, word in enumerate(words):
        noun = _noun_after(words, i)
        if word in VERBS and noun is not None:
            for other in replacements_for(words, noun, OBJECTS.get(VERBS[word].do, ())):
                yield Candidate(replaced(words, noun, other), noun)


def other_place(words: Sequence[str], preposition: str) -> Iterator[Candidate]:
    """Replace the noun after the preposition with one that is no such place."""
    if any(CLASS_OF.get(word) == "Bug" for word in words):
        return
    for i, word in enumerate(words[1:], start=1):
        noun = _noun_after(words, i)
        verb = VERBS[words[i - 1]].do if words[i - 1] in VERBS else ""
        towards_somebody = verb in TOWARDS_SOMEBODY and word in ("at", "to")
        if word == preposition and noun is not None and not towards_somebody:
            unfit = [
                other
                for key in (preposition, f"{verb} {preposition}", f"{_who(words, i)} {preposition}")
                for other in PLACES.get(key, ())
            ]
            for other in replacements_for(words, noun, unfit):
                yield Candidate(replaced(words, noun, other), noun)


def _who(words: Sequence[str], place: int) -> str:
    """Return the class of whoever is at the place that begins at a position.

    It is "" if the place may be where something else is or is drawn: "she finds a key on the hill",
    "she writes on the hill".
    """
    subjects = [i for i in range(place) if words[i] in NOUNS and _begins_the_clause(words, i)]
    last = words[place - 1]
    if last in VERBS and VERBS[last].do in ("draw", "write"):
        return ""
    if last in NOUNS and last not in VERBS and subjects[-1:] != [place - 1]:
        return ""
    return CLASS_OF[words[subjects[-1]]] if subjects else "Kid"


def sides_exchanged(words: Sequence[str]) -> Iterator[Candidate]:
    """Exchange what precedes the verb and what follows "than", if they agree in number."""
    if "than" not in words:
        return
    than = words.index("than")
    verb = next((i for i in range(than) if words[i] in ("is", "are")), 0)
    left, right = words[:verb], words[than + 1 :]
    numbers = {number_of(side[-1]) for side in (left, right) if side}
    if len(numbers) == 1 and None not in numbers:
        yield Candidate([*right, *words[verb : than + 1], *left])


def neighbours_exchanged(words: Sequence[str]) -> Iterator[Candidate]:
    """Exchange each two neighbours in turn, unless that makes a question or "sing please"."""
    for i in range(len(words) - 1):
        if words[i + 1] not in QUESTION_WORDS and words[i] != "please":
            yield Candidate([*words[:i], words[i + 1], words[i], *words[i + 2 :]])


def _agreement(distant: bool) -> tuple[Variants, ...]:
    return tuple(
        partial(verb_in_the_other_number, verbs=verbs, distant=distant)
        for verbs in (SINGULAR, PLURAL)
    )


def _others(word: str) -> list[str]:
    return [other for other in POSSESSORS if other != word and other in grammar.WORDS]


# A kind has classes, so that a model that always prefers "a" to "an" is right in half the pairs.
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
    "subject": (lifeless_subject, unable_subject),
    "object": (other_object,),
    "place": tuple(
        partial(other_place, preposition=preposition) for preposition in ("in", "on", "to", "under")
    ),
    "comparison": (sides_exchanged,),
    "order": (neighbours_exchanged,),
}


class NoPairsError(ValueError):
    """The grammar writes no sentence that has pairs of a kind, or hardly any."""


def minimal_pairs(kind: str, n: int, rng: random.Random) -> list[MinimalPair]:
    """Draw `n` pairs of one of the KINDS, taking its classes in turn.

    Within a class the good sentence has the grammar's distribution: sentences are drawn until one
    has a bad counterpart; several bad ones are equally likely. A pair may be drawn several times.
    A class in which MOST_DRAWS sentences yield no pair is left out from then on. Raises ValueError
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
    """Return whether `score`, a sentence's log-probability, is strictly higher for the good one."""
    return score(pair.good) > score(pair.bad)
