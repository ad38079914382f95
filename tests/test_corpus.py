"""The split: what is held out has never been trained on."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import corpus
from llmhard.corpus import split

TEXTS = st.lists(st.sampled_from([f"sentence {n}" for n in range(25)]), max_size=80)
SEEDS = st.integers(0, 2**32)


@given(text=TEXTS, seed=SEEDS)
def test_held_out_and_training_share_no_sentence_and_nothing_is_lost(text, seed):
    training, held_out = split(text, random.Random(seed))
    assert not set(training) & set(held_out)
    assert Counter(training) + Counter(held_out) == Counter(text)
    assert len(held_out) <= len(text) // 10


@given(text=TEXTS, seed=SEEDS)
def test_what_is_held_out_is_repeated_least(text, seed):
    training, held_out = split(text, random.Random(seed))
    copies = Counter(text)
    if held_out:
        most = max(copies[sentence] for sentence in held_out)
        assert all(copies[sentence] >= most for sentence in training)
    # Another one would have been too many.
    least = min((copies[sentence] for sentence in training), default=1)
    assert len(held_out) + least > len(text) // 10


def test_a_tenth_of_the_bundled_corpus_is_held_out():
    text = corpus.read_sentences(corpus.default_path())
    training, held_out = split(text, random.Random(42))
    assert (len(training), len(held_out)) == (27_000, 3_000)
    assert set(Counter(held_out).values()) == {1}
    copies = Counter(text)
    likely = {sentence for sentence in copies if copies[sentence] > 1}
    assert len(likely) > 1000
    in_training = Counter(training)
    assert all(in_training[sentence] == copies[sentence] for sentence in likely)


def test_training_is_as_repetitive_at_the_beginning_as_later():
    text = corpus.read_sentences(corpus.default_path())
    copies = Counter(text)
    training, _ = split(text, random.Random(42))
    tenths = [training[i : i + 2700] for i in range(0, 27_000, 2700)]
    shares = [sum(copies[sentence] > 1 for sentence in tenth) / 2700 for tenth in tenths]
    # The standard deviation of a share is 0.008.
    assert max(shares) - min(shares) < 0.06


def test_the_seed_decides_what_is_held_out_and_the_order():
    text = [f"sentence {n}" for n in range(100)]
    one, same, other = (split(text, random.Random(seed)) for seed in (1, 1, 2))
    assert one == same
    assert set(one[1]) != set(other[1])
    assert one[0] != sorted(one[0]), "shuffled"


@pytest.mark.parametrize(
    ("text", "held_out"),
    [
        ([f"sentence {n}" for n in range(50)] * 2, 10),  # five of them, with their copies
        ([f"sentence {n}" for n in range(50)] * 3, 15),
        (["one", "two"] * 20, 0),  # each is a half of the text
        (["the same"] * 100, 0),
        (["the same"] * 9 + ["another"], 1),
        ([f"sentence {n}" for n in range(10)], 1),
        ([f"sentence {n}" for n in range(9)], 0),
        (["alone"], 0),
        ([], 0),
    ],
)
def test_how_many_are_held_out(text, held_out):
    for seed in range(5):
        training, others = split(text, random.Random(seed))
        assert len(others) == held_out
        assert len(training) == len(text) - held_out
        assert not set(training) & set(others)


@pytest.mark.parametrize("name", ["own.txt", "../own.txt", "/etc/own.txt", "a/b/own.txt"])
def test_a_text_is_looked_for_in_this_folder_only(name):
    assert corpus.places(name) == [Path("own.txt")]


def test_a_bundled_text_is_found_first():
    name = corpus.default_path().name
    assert corpus.places(f"somewhere/{name}") == [corpus.default_path(), Path(name)]
