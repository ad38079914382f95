"""Mistakes: what is wrong with a sentence that the grammar does not accept."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar, mistakes
from llmhard.minimal_pairs import NoPairsError, minimal_pairs
from llmhard.mistakes import LIKELIEST, REASONS, Mistake, Place
from llmhard.pcfg import END

WORD_SEQUENCES = st.lists(st.sampled_from(grammar.WORDS), max_size=9).map(" ".join)


def reason(sentence):
    (mistake,) = mistakes.mistakes([sentence])
    return mistake.reason


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("agreement", {"verb form", "determiner"}),  # determiner: "there are a dog"
        ("distance", {"verb form"}),
        ("article", {"article"}),
        ("possessor", {"possessor", "noun"}),
        ("subject", {"verb", "stops too early"}),
        ("object", {"noun"}),
        ("place", {"noun"}),
    ],
)
def test_a_bad_sentence_of_a_minimal_pair_is_wrong_for_its_kind(kind, expected):
    try:
        pairs = minimal_pairs(kind, 60, random.Random(5))
    except NoPairsError:
        pytest.skip("the grammar has no such pairs")
    reasons = Counter(reason(pair.bad) for pair in pairs)
    assert sum(reasons[name] for name in expected) > 0.9 * reasons.total(), reasons


@given(st.integers(0, 2**32))
def test_a_beginning_stops_too_early(seed):
    words = grammar.sample(random.Random(seed)).split()
    for n in range(1, len(words)):
        beginning = " ".join(words[:n])
        if not grammar.accepts(beginning):
            assert reason(beginning) == "stops too early"


def test_more_after_the_end():
    sentence = next(
        s
        for s in (grammar.sample(random.Random(seed)) for seed in range(1000))
        if grammar.next_words(s).keys() == {END}
    )
    assert reason(f"{sentence} the dog") == "goes on too long"


@given(st.integers(0, 2**32))
def test_two_words_where_one_could_stand(seed):
    rng = random.Random(seed)
    words = grammar.sample(rng).split()
    n = rng.randrange(len(words))
    one, other = rng.choices(sorted(grammar.next_words(" ".join(words[:n])).keys() - {END}), k=2)
    both = [*words[:n], one, other]
    alike = [one in part and other in part for part in mistakes.PARTS_OF_SPEECH.values()]
    if any(alike) and other not in grammar.next_words(" ".join(both[:-1])):
        kinds = {
            "two of a kind",
            "goes on too long",
            "noun form",
            "verb form",
            "possessor",
            "article",
        }
        assert reason(" ".join(both)) in kinds


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("the cat on", "stops too early"),
        ("it is hot on monday the", "goes on too long"),
        ("she eats a apple", "article"),
        ("she eats an pear", "article"),
        ("she brushes his teeth", "possessor"),
        ("the dogs barks", "verb form"),
        ("we is happy", "verb form"),
        ("two dog bark", "noun form"),
        ("the sick happy kid runs", "two of a kind"),
        ("the fish barks", "verb"),
        ("the nice car can go to the park", "verb"),
        ("she eats the coat", "noun"),
        ("the fish swims in the tree", "noun"),
        ("the girls go to the tree", "noun"),
        ("the doctor looks at mia", "noun"),
        ("ben is in june", "noun"),
        ("the worm crawls to the leaf", "preposition"),
        ("the chair is under the tree", "preposition"),
        ("the ball is hungry", "adjective"),
        ("a dog is bigger than a bear", "adjective"),
        ("the bear is smaller than an ant", "adjective"),
        ("the worm crawls on a leaf", "determiner"),
        ("the kind girl sees hat", "missing determiner"),
        ("the kind kid sees nice hats", "missing determiner"),
        ("the baker bakes when a cake", "extra word"),
        ("the puppy chases a big kitten", "extra word"),
        ("mom rained", "word order"),
        ("the sticks are balls", "word order"),
    ],
)
def test_the_reason_for_a_sentence(sentence, expected):
    assert reason(sentence) == expected


def test_each_reason_has_its_example():
    for name, meaning in mistakes.REASONS.items():
        _, colon, example = meaning.partition(": ")
        if colon:
            assert reason(example) == name


@given(st.lists(WORD_SEQUENCES, max_size=12))
def test_each_rejected_sentence_is_counted_once(sentences):
    found = mistakes.mistakes(sentences)
    rejected = [sentence for sentence in sentences if not grammar.accepts(sentence)]
    assert sum(mistake.count for mistake in found) == len(rejected)
    assert [m.count for m in found] == sorted((m.count for m in found), reverse=True)
    assert len({mistake.reason for mistake in found}) == len(found)
    for mistake in found:
        assert mistake.reason in REASONS
        assert sum(place.count for place in mistake.places) == mistake.count
        counts = [place.count for place in mistake.places]
        assert counts == sorted(counts, reverse=True)
        for place in mistake.places:
            assert place.example in rejected
            words = place.example.split(" ") if place.example else []
            assert [*words, END][place.position] == place.word
            assert place.previous == (words[place.position - 1] if place.position else "")
            beginning = " ".join(words[: place.position])
            following = grammar.next_words(beginning)
            assert place.word not in following
            likeliest = sorted(following.values(), reverse=True)[:LIKELIEST]
            assert list(place.allowed.values()) == likeliest


def test_equal_places_are_counted_together():
    first, second, other = "the the dog", "the the cat", "mom mom"
    found = mistakes.mistakes([other, first, grammar.sample(random.Random(1)), second])
    assert found[0].places[0] == Place("the", "the", 2, first, 1, found[0].places[0].allowed)
    assert sum(mistake.count for mistake in found) == 3


def test_nothing_is_wrong():
    assert mistakes.mistakes([]) == ()
    rng = random.Random(1)
    assert mistakes.mistakes(grammar.sample(rng) for _ in range(100)) == ()
    assert mistakes.mistakes(["mom mom"]) == (
        Mistake(reason("mom mom"), 1, mistakes.mistakes(["mom mom"])[0].places),
    )
