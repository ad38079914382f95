"""Minimal pairs: one sentence is good, the other bad, and little lies between them."""

import random
from collections import Counter
from math import sqrt

import pytest
from conftest import possible
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar
from llmhard import minimal_pairs as module
from llmhard.grammar import NOUN_FORMS
from llmhard.minimal_pairs import (
    ADJECTIVES,
    CLASSES,
    DETERMINERS,
    KINDS,
    LIFELESS,
    LIFELESS_TOO,
    NOUNS,
    OBJECTS,
    PLACES,
    PREPOSITIONS,
    VERBS,
    MinimalPair,
    NoPairsError,
    minimal_pairs,
    number_of,
    prefers_good,
    replacements_for,
    who_cannot,
)
from llmhard.rules import with_article

SEEDS = st.integers(0, 2**32)
POSSIBLE = [kind for kind in KINDS if possible(kind)]
ONE_WORD = ["agreement", "distance", "article", "possessor", "subject", "object", "place"]
NOUN_KINDS = ["subject", "object", "place"]


def of(kinds):
    """Those of these kinds that the grammar has."""
    return [kind for kind in kinds if kind in POSSIBLE]


def candidates(kind, sentence):
    """All candidates of a kind, whether the grammar accepts them or not."""
    return {
        " ".join(candidate.words) for make in KINDS[kind] for candidate in make(sentence.split())
    }


def changed(pair):
    """The words that differ: (good, bad) place by place."""
    words = zip(pair.good.split(" "), pair.bad.split(" "), strict=True)
    return [(good, bad) for good, bad in words if good != bad]


@pytest.mark.parametrize("kind", POSSIBLE)
@given(seed=SEEDS)
def test_the_grammar_accepts_the_good_one_and_not_the_bad_one(kind, seed):
    for pair in minimal_pairs(kind, 4, random.Random(seed)):
        assert grammar.accepts(pair.good)
        assert not grammar.accepts(pair.bad)
        assert set(pair.bad.split()) <= set(grammar.WORDS)


@pytest.mark.parametrize("kind", of(ONE_WORD))
@given(seed=SEEDS)
def test_one_word_is_another(kind, seed):
    for pair in minimal_pairs(kind, 4, random.Random(seed)):
        assert len(changed(pair)) == 1


@given(seed=SEEDS)
def test_in_pairs_of_order_two_neighbours_have_changed_places(seed):
    for pair in minimal_pairs("order", 4, random.Random(seed)):
        ((a, b), (c, d)) = changed(pair)
        assert (a, b) == (d, c)
        assert f"{a} {c}" in pair.good
        assert f"{c} {a}" in pair.bad
        assert not grammar.QUESTION_SENTENCES.accepts(pair.bad)


@pytest.mark.parametrize("kind", of(NOUN_KINDS))
@given(seed=SEEDS)
def test_another_noun_is_wrong_at_the_word_that_it_does_not_go_with(kind, seed):
    for pair in minimal_pairs(kind, 4, random.Random(seed)):
        words = pair.good.split(" ")
        ((good, bad),) = changed(pair)
        position = next(i for i, word in enumerate(words) if pair.bad.split(" ")[i] != word)
        departure = grammar.SENTENCES.where_it_leaves(pair.bad)
        assert number_of(good) == number_of(bad) is not None
        if words[position - 1] in ("a", "an"):
            assert with_article(good)[:2] == with_article(bad)[:2]
        before = next((w for w in words[:position][::-1] if w not in DETERMINERS | ADJECTIVES), "")
        if kind == "subject":
            (does,) = words[departure.position :][:1]
            verb = words[position + 2 if words[position + 1] in ("can", "will") else position + 1]
            assert does in (words[position + 1], verb)
            lifeless = NOUNS[bad] in [noun for name in LIFELESS for noun in CLASSES[name]]
            assert lifeless or grammar.accepts(f"the {NOUNS[bad].one} cannot {VERBS[verb].do}")
        else:
            assert departure.position == position
            assert before in (VERBS if kind == "object" else PREPOSITIONS)


def test_the_tables_say_nothing_that_the_grammar_contradicts():
    for verb, nouns in OBJECTS.items():
        who = ("i", "the dogs", "the pilots", "the clowns")
        allowed = set().union(*(grammar.next_words(f"{some} {verb} the") for some in who))
        assert allowed, verb
        assert not allowed & {form for noun in nouns for form in noun}, verb
    for key, nouns in PLACES.items():
        *before, preposition = key.split()
        of_class = [f"the {noun.one} is" for name in before for noun in CLASSES.get(name, ())]
        who = {
            "": ("they are", "the pen is", "the snail is", "the shark is", "the ship is", "we go"),
            "Kid": ("i am", "she is", "anna is", "the boy is", "the nurse is", "his uncle is"),
        }.get("".join(before)) or of_class
        who = who or [f"{some} {before[0]}" for some in ("they", "the ships", "the rabbits")]
        follow = [grammar.next_words(f"{some} {preposition} the").keys() for some in who]
        allowed = set().union(*follow)
        assert all(follow) or not of_class, key
        assert allowed, key
        assert not allowed & {form for noun in nouns for form in noun}, key
    assert len({noun for nouns in PLACES.values() for noun in nouns}) > 40
    living = {name for name in NOUN_FORMS if grammar.accepts(f"the {NOUN_FORMS[name][0].one} eats")}
    assert not living & set(LIFELESS)
    assert grammar.VERB_FORMS.keys() >= LIFELESS_TOO


CAKES_AND_TEXTS = [noun.many for name in ("Cake", "Text") for noun in NOUN_FORMS[name]]

WATERS = ["lake", "pond", "river", "sea"]
NO_SEATS = ["apple", "carrot", "onion", "potato", "cookie", "leaf", "cup", "fork", "spoon"]


# What the kinds propose, whether or not the grammar writes these sentences.
@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("agreement", "seven ducks swim", {"seven ducks swims"}),
        ("agreement", "on monday the dog swims", {"on monday the dog swim"}),
        ("agreement", "i am happy", {"i is happy", "i are happy"}),
        ("agreement", "sam does not swim", {"sam do not swim"}),
        ("agreement", "mom wants to see the lions", {"mom want to see the lions"}),
        ("agreement", "sam can swim", set()),
        ("agreement", "please look at the cat", set()),
        ("agreement", "do not run", set()),
        ("agreement", "dad ate an apple", set()),
        # Both are good English, whatever the grammar knows.
        ("agreement", "mom reads a big book", set()),
        ("agreement", "the fish swims", set()),
        ("agreement", "the fish by the pond swims", set()),
        ("agreement", "the dogs by the pond swim", set()),
        ("agreement", "mom cooks a pear", {"mom cook a pear"}),
        ("agreement", "she brushes her hair", {"she brush her hair"}),
        ("agreement", "the cooks are happy", {"the cooks is happy"}),
        ("distance", "the dogs by the pond swim", {"the dogs by the pond swims"}),
        ("distance", "the dog under the trees swims", {"the dog under the trees swim"}),
        ("distance", "the kids in the barn cook", {"the kids in the barn cooks"}),
        ("distance", "the kid on the farm is big", {"the kid on the farm are big"}),
        ("distance", "the fish by the pond swims", set()),
        ("distance", "on monday the dog swims", set()),
        ("article", "she eats an apple", {"she eats a apple"}),
        ("article", "mom sees the apple", set()),
        ("possessor", "he likes her dog", {"he likes his dog"}),
        ("possessor", "his dog likes his cat", {"her dog likes his cat", "his dog likes her cat"}),
        ("possessor", "i see her", set()),
        ("possessor", "we want her with the dog", set()),
        ("subject", "mom swims", set()),
        ("subject", "the dog by the pond swims", set()),
        ("subject", "we see the dog swim", set()),
        ("subject", "the big cat sits on a sofa", set()),
        ("object", "she sees the dog", set()),
        ("object", "she looks at the dog", set()),
        ("object", "we run to a sofa", set()),
        (
            "object",
            "she throws an old ball",
            {
                f"she throws an old {thing}"
                for thing in ["beach", "farm", "forest", "hill", "lake", "pond", "river", "sea"]
            },
        ),
        ("object", "dad washes the hats", {f"dad washes the {bad}" for bad in CAKES_AND_TEXTS}),
        ("object", "dad washes an orange", set()),
        ("place", "she looks at the park", set()),
        ("place", "we go to school", set()),
        ("place", "we sing to the kid", set()),
        ("place", "she plays with the dog", set()),
        ("place", "the dog is by the pond", set()),
        ("place", "the cat is under a tree", {f"the cat is under a {bad}" for bad in WATERS}),
        ("place", "the cat is under the tree", {f"the cat is under the {bad}" for bad in WATERS}),
        ("place", "she is on the hill", {f"she is on the {bad}" for bad in NO_SEATS}),
        ("place", "his aunt is on the hill", {f"his aunt is on the {bad}" for bad in NO_SEATS}),
        (
            "place",
            "on monday sam sang on the hill",
            {f"on monday sam sang on the {bad}" for bad in NO_SEATS},
        ),
        (
            "place",
            "the swan by the pond is on a hill",
            {f"the swan by the pond is on a {bad}" for bad in ["bed", "desk", "sofa", "table"]},
        ),
        # The leaf may be where the key is, or the drawing.
        ("place", "she finds the key on the hill", set()),
        ("place", "she writes on the hill", set()),
        ("place", "the keys are under the trees", set()),
        ("place", "the ant is under the tree", set()),
        ("comparison", "the cow is bigger than a cat", {"a cat is bigger than the cow"}),
        ("comparison", "cows are bigger than a cat", set()),
        ("comparison", "the cow is big", set()),
        ("order", "the duck swims", {"duck the swims", "the swims duck"}),
        ("order", "sam can swim", {"sam swim can"}),
        ("order", "they are sad", {"they sad are"}),
        ("order", "please sing", set()),
    ],
)
def test_the_candidates_of_a_sentence(kind, good, bad):
    assert candidates(kind, good) == bad


def test_what_the_grammar_accepts_is_not_bad():
    sentence = grammar.sample(random.Random(1))
    assert not module.Candidate(sentence.split(" ")).is_bad()
    wrong = module.Candidate(f"the the {sentence}".split(" "))
    assert wrong.is_bad()
    assert module.Candidate(wrong.words, leaves_at=1).is_bad()
    assert not module.Candidate(wrong.words, leaves_at=2).is_bad()


def test_a_noun_is_replaced_by_one_of_its_number_that_fits_the_article():
    def found(sentence, *others):
        words = sentence.split()
        return list(replacements_for(words, len(words) - 1, [NOUNS[other] for other in others]))

    assert found("mom eats the apple", "dog", "owl", "milk") == ["dog", "owl", "milk"]
    assert found("mom eats the apples", "dog", "owl", "milk") == ["dogs", "owls"]
    assert found("mom eats an apple", "dog", "owl", "milk") == ["owl"]
    assert found("mom eats a pear", "dog", "owl", "milk") == ["dog"]
    assert found("mom eats an old pear", "dog", "owl", "milk") == ["dog", "owl"]
    assert found("mom eats some milk", "dog", "owl", "soup") == []
    assert found("mom eats the milk", "dog", "owl", "soup") == ["dog", "owl", "soup"]
    assert found("mom eats the pear", "pear", "fish", "cook") == []
    assert found("mom eats the fish", "dog") == []
    assert found("mom eats the plums", "park") == [], "no word of the grammar: parks"
    assert found("mom swims", "dog") == []


def test_who_cannot_swim():
    assert NOUNS["ant"] in who_cannot("swim")
    assert NOUNS["duck"] not in who_cannot("swim")
    assert {NOUNS["wolf"], NOUNS["shark"]} <= set(who_cannot("fly"))
    assert NOUNS["robin"] not in who_cannot("fly")
    assert who_cannot("wear") == []


@pytest.mark.parametrize("kind", POSSIBLE)
def test_a_kind_covers_what_it_names(kind):
    pairs = minimal_pairs(kind, 600, random.Random(2))
    goods = [pair.good.split() for pair in pairs]
    differences = [changed(pair)[0] for pair in pairs]
    firsts = {words[0] for words in goods}
    if kind == "distance":
        verbs = [next(i for i, (a, b) in enumerate(zip(*p, strict=True)) if a != b) for p in
                 ((pair.good.split(), pair.bad.split()) for pair in pairs)]  # fmt: skip
        attractors = {words[verb - 1] for words, verb in zip(goods, verbs, strict=True)}
        assert {"trees", "flowers", "tree", "pond", "park", "hill", "kitchen"} <= attractors
        subjects = {words[verb - 4] for words, verb in zip(goods, verbs, strict=True)}
        assert {"dog", "dogs", "kid", "kids", "bird", "ducks"} <= subjects
    elif kind == "possessor":
        assert {"i", "we", "they", "he", "she", "mom", "my", "please"} <= firsts
        assert {good for good, _ in differences} == {"my", "our", "their", "his", "her", "your"}
    elif kind == "subject":
        verbs = {VERBS[word].do for words in goods for word in words if word in VERBS}
        assert len(verbs) > 35
        assert {"wolf", "pie"} <= {NOUNS[bad].one for _, bad in differences}
    elif kind == "object":
        verbs = {VERBS[word].do for words in goods for word in words if word in VERBS}
        assert len(OBJECTS.keys() & verbs) > 25
        assert {"apple", "milk", "cap", "stories", "bike"} <= {good for good, _ in differences}
    elif kind == "place":
        prepositions = [set(words) & {"in", "on", "to", "under"} for words in goods]
        for n, preposition in enumerate(("in", "on", "to", "under")):
            assert all(preposition in some for some in prepositions[n::4])
        assert {"table", "lake", "kitchen", "forest", "tree"} <= {good for good, _ in differences}
    elif kind == "comparison":
        assert {"bigger", "smaller"} <= {word for words in goods for word in words}


@pytest.mark.parametrize("kind", POSSIBLE)
def test_the_seed_decides(kind):
    one, same, other = (minimal_pairs(kind, 20, random.Random(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert len(one) == 20
    assert minimal_pairs(kind, 0, random.Random(1)) == []


def test_the_classes_take_turns():
    articles = minimal_pairs("article", 100, random.Random(1))
    assert Counter(map(tuple, map(changed, articles))) == {(("a", "an"),): 50, (("an", "a"),): 50}
    numbers = minimal_pairs("agreement", 100, random.Random(1))
    singular = [good in module.SINGULAR for pair in numbers for good, _ in changed(pair)]
    assert singular == [True, False] * 50


def test_good_sentences_have_the_distribution_of_the_grammar():
    # Any sentence has a disorder, so of these pairs none is passed over.
    n = 2000
    rng, good = random.Random(8), minimal_pairs("order", n, random.Random(9))
    drawn = [grammar.sample(rng) for _ in range(n)]
    for first in ("on", "in", "the", "mom"):
        ours = sum(pair.good.split()[0] == first for pair in good) / n
        expected = sum(sentence.split()[0] == first for sentence in drawn) / n
        assert abs(ours - expected) < 4 * sqrt(2 * expected * (1 - expected) / n)


@pytest.mark.parametrize("kind", POSSIBLE)
def test_the_grammar_itself_is_always_right(kind):
    pairs = minimal_pairs(kind, 50, random.Random(4))
    assert all(prefers_good(pair, grammar.log_prob) for pair in pairs)
    assert not any(prefers_good(pair, lambda s: -grammar.log_prob(s)) for pair in pairs)


@pytest.mark.parametrize("kind", POSSIBLE)
def test_who_guesses_is_right_in_half_the_pairs(kind):
    n, rng = 1000, random.Random(6)
    right = sum(prefers_good(p, lambda _: rng.random()) for p in minimal_pairs(kind, n, rng))
    assert abs(right / n - 0.5) < 4 * sqrt(0.25 / n)


def test_who_always_takes_the_frequent_article_is_right_in_half_the_pairs():
    pairs = minimal_pairs("article", 200, random.Random(6))
    assert sum(prefers_good(p, lambda s: s.split().count("a")) for p in pairs) == 100


def test_a_tie_is_not_right():
    assert not prefers_good(MinimalPair("the duck swims", "the duck flies"), lambda _: -1.0)


def test_kinds_that_the_grammar_cannot_have_do_not_hang(monkeypatch):
    def never(_):
        return []

    def hardly_ever(words):
        return [module.Candidate(["the", "the"])] if words[0] == "mom" else []

    monkeypatch.setattr(module, "MOST_DRAWS", 2000)
    monkeypatch.setitem(KINDS, "order", (never, hardly_ever, never))
    pairs = minimal_pairs("order", 5, random.Random(1))
    assert {pair.good.split()[0] for pair in pairs} == {"mom"}
    monkeypatch.setitem(KINDS, "order", (never,))
    with pytest.raises(NoPairsError, match="the kind order: none in 2,000 sentences"):
        minimal_pairs("order", 5, random.Random(1))
    assert minimal_pairs("order", 0, random.Random(1)) == []


def test_an_unknown_kind():
    with pytest.raises(ValueError, match=r"agreement, distance, .*, order, not 'spelling'"):
        minimal_pairs("spelling", 1, random.Random(1))
