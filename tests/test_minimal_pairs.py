"""Minimal pairs: one sentence is good, the other bad, and little lies between them."""

import random
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar
from llmhard.minimal_pairs import KINDS, MinimalPair, minimal_pairs, prefers_good

SEEDS = st.integers(0, 2**32)


def variants(kind, sentence):
    """All candidates of a kind that the grammar does not accept."""
    candidates = (" ".join(w) for make in KINDS[kind] for w in make(sentence.split()))
    return {bad for bad in candidates if not grammar.accepts(bad)}


def changed(pair):
    """The words that differ: (good, bad) place by place."""
    words = zip(pair.good.split(" "), pair.bad.split(" "), strict=True)
    return [(good, bad) for good, bad in words if good != bad]


@pytest.mark.parametrize("kind", KINDS)
@given(seed=SEEDS)
def test_the_grammar_accepts_the_good_one_and_not_the_bad_one(kind, seed):
    for pair in minimal_pairs(kind, 4, random.Random(seed)):
        assert grammar.accepts(pair.good)
        assert not grammar.accepts(pair.bad)
        assert set(pair.bad.split()) <= set(grammar.WORDS)


@pytest.mark.parametrize("kind", ["agreement", "article", "meaning"])
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


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("agreement", "seven ducks swim", {"seven ducks swims"}),
        ("agreement", "i am happy", {"i is happy", "i are happy"}),
        ("agreement", "there are two cats at the park", {"there is two cats at the park"}),
        ("agreement", "mom wants to see the lions", {"mom want to see the lions"}),
        ("agreement", "sam can swim", set()),
        ("agreement", "please look at the cat", set()),
        ("agreement", "dad ate an apple", set()),
        # Good English, which only this grammar does not know.
        ("agreement", "mom reads a big book", set()),
        ("agreement", "the fish swims", set()),
        ("agreement", "there is a fish at the zoo", {"there are a fish at the zoo"}),
        ("agreement", "we read a big book", {"we reads a big book"}),
        ("article", "she eats an apple", {"she eats a apple"}),
        ("article", "mom sees the apple", set()),
        ("meaning", "the fish swims", {"the fish flies", "the fish jumps"}),
        ("meaning", "two bees fly", {"two bees swim", "two bees jump"}),
        ("meaning", "he ate some soup", {"he read some soup"}),
        ("meaning", "amy wears a red hat", {"amy eats a red hat", "amy reads a red hat"}),
        ("meaning", "we read a big book", set()),
        ("meaning", "i can swim", set()),
        ("order", "the duck swims", {"duck the swims", "the swims duck"}),
        ("order", "sam can swim", {"sam swim can"}),
        ("order", "they are sad", {"they sad are"}),
    ],
)
def test_the_bad_ones_of_a_sentence(kind, good, bad):
    assert grammar.accepts(good)
    assert variants(kind, good) == bad


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind):
    one, same, other = (minimal_pairs(kind, 20, random.Random(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert len(one) == 20
    assert minimal_pairs(kind, 0, random.Random(1)) == []


def test_the_classes_take_turns():
    articles = minimal_pairs("article", 100, random.Random(1))
    assert Counter(map(tuple, map(changed, articles))) == {(("a", "an"),): 50, (("an", "a"),): 50}
    verbs = [changed(pair)[0][0] for pair in minimal_pairs("meaning", 100, random.Random(1))]
    assert sum(verb.startswith(("swim", "fly", "flies", "jump")) for verb in verbs) == 50


def test_every_verb_of_the_meaning_pairs_comes_up_on_both_sides():
    pairs = [changed(pair)[0] for pair in minimal_pairs("meaning", 300, random.Random(1))]
    for verbs in ("swims flies jumps", "eats wears reads"):
        for good in verbs.split():
            assert {bad for g, bad in pairs if g == good} == set(verbs.split()) - {good}


def test_good_sentences_have_the_distribution_of_the_grammar():
    # Any sentence has a disorder, so of these pairs none is passed over.
    n = 2000
    rng, good = random.Random(8), minimal_pairs("order", n, random.Random(9))
    drawn = [grammar.sample(rng) for _ in range(n)]
    for first in ("on", "in", "the", "mom"):
        ours = sum(pair.good.split()[0] == first for pair in good) / n
        expected = sum(sentence.split()[0] == first for sentence in drawn) / n
        assert abs(ours - expected) < 4 * sqrt(2 * expected * (1 - expected) / n)


@pytest.mark.parametrize("kind", KINDS)
def test_the_grammar_itself_is_always_right(kind):
    pairs = minimal_pairs(kind, 50, random.Random(4))
    assert all(prefers_good(pair, grammar.log_prob) for pair in pairs)
    assert not any(prefers_good(pair, lambda s: -grammar.log_prob(s)) for pair in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_who_guesses_is_right_in_half_the_pairs(kind):
    n, rng = 1000, random.Random(6)
    right = sum(prefers_good(p, lambda _: rng.random()) for p in minimal_pairs(kind, n, rng))
    assert abs(right / n - 0.5) < 4 * sqrt(0.25 / n)


def test_who_always_takes_the_frequent_article_is_right_in_half_the_pairs():
    pairs = minimal_pairs("article", 200, random.Random(6))
    assert sum(prefers_good(p, lambda s: s.split().count("a")) for p in pairs) == 100


def test_a_tie_is_not_right():
    assert not prefers_good(MinimalPair("the duck swims", "the duck flies"), lambda _: -1.0)


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="agreement, article, meaning, order, not 'spelling'"):
        minimal_pairs("spelling", 1, random.Random(1))
