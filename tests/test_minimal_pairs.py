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
from llmhard.minimal_pairs import (
    DETERMINERS,
    KINDS,
    NOUNS,
    PREPOSITIONS,
    VERBS,
    MinimalPair,
    NoPairsError,
    minimal_pairs,
    number_of,
    prefers_good,
    strangers,
)

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
    for pair in minimal_pairs(kind, 3, random.Random(seed)):
        words = pair.good.split(" ")
        ((good, bad),) = changed(pair)
        position = next(i for i, word in enumerate(words) if pair.bad.split(" ")[i] != word)
        departure = grammar.SENTENCES.where_it_leaves(pair.bad)
        assert departure.position == position + (kind == "subject")
        number = number_of(good)
        assert bad in (noun[number] for nouns in grammar.NOUN_FORMS.values() for noun in nouns)
        for nouns in grammar.NOUN_FORMS.values():
            assert not {NOUNS[good], NOUNS[bad]} <= set(nouns)
        assert grammar.with_article(good)[:2] == grammar.with_article(bad)[:2]
        before = next((w for w in words[:position][::-1] if w not in DETERMINERS), "")
        if kind == "object":
            assert before in VERBS
            assert not grammar.next_words(f"i {VERBS[before].do} the {bad}")
        elif kind == "place":
            assert before in PREPOSITIONS
            assert not grammar.next_words(f"mom is {before} the {bad}")
        else:
            one, many = NOUNS[bad]
            verb = VERBS[words[position + 1]]
            assert not grammar.next_words(f"the {one} {verb.does}")
            assert not grammar.next_words(f"the {many} {verb.do}")


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
        ("distance", "the dogs by the pond swim", {"the dogs by the pond swims"}),
        ("distance", "the dog by the big pond swims", {"the dog by the big pond swim"}),
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
        ("object", "she eats some soup", set()),
        ("object", "she looks at the dog", set()),
        ("place", "she looks at the park", set()),
        ("place", "we go to school", set()),
        ("place", "she plays with the dog", set()),
        ("comparison", "the cow is bigger than a cat", {"a cat is bigger than the cow"}),
        ("comparison", "cows are bigger than a cat", set()),
        ("comparison", "the cow is big", set()),
        ("order", "the duck swims", {"duck the swims", "the swims duck"}),
        ("order", "sam can swim", {"sam swim can"}),
        ("order", "they are sad", {"they sad are"}),
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


def test_a_stranger_is_of_the_same_number_and_article():
    foods = module.classes_after("i eat the", "i eat some", "i eat an")
    assert 0 < len(foods) < len(grammar.NOUN_FORMS) / 2
    for word in ("apple", "apples", "dog", "dogs"):
        found = strangers(word, foods)
        assert found
        assert set(map(number_of, found)) <= {number_of(word), None}
        assert len({grammar.with_article(other).split()[0] for other in found}) == 1
        eaten = {form for name in foods for noun in grammar.NOUN_FORMS[name] for form in noun}
        assert not eaten & set(found)
        assert word not in found
    half = len(grammar.NOUN_FORMS) // 2
    assert strangers("dog", frozenset(list(grammar.NOUN_FORMS)[:half]))
    assert strangers("dog", frozenset(list(grammar.NOUN_FORMS)[: half + 1])) == [], "universal"
    assert strangers("fish", foods) == [], "one or many?"
    assert strangers("swims", foods) == []


def test_who_can_swim():
    swimmers = module.classes_that_do("swim")
    owners = {name for name, nouns in grammar.NOUN_FORMS.items() if NOUNS["duck"] in nouns}
    assert owners <= swimmers
    assert (
        not {name for name, nouns in grammar.NOUN_FORMS.items() if NOUNS["ball"] in nouns}
        & swimmers
    )


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
