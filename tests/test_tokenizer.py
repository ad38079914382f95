"""The word tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard.tokenizer import BOS, Tokenizer, UnknownWordError

# Words of any script: whatever split() leaves whole and the terminal can show.
words = st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1, max_size=8)
sentences = st.lists(words, min_size=1, max_size=10).map(" ".join)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_sentences(["the cat sat", "the dog ran", "The end"])


def test_vocabulary_is_the_words_in_alphabetical_order_after_bos(tokenizer):
    assert tokenizer.words == ("The", "cat", "dog", "end", "ran", "sat", "the")
    assert BOS == 0
    assert tokenizer.vocab_size == 8
    assert [tokenizer.encode(word) for word in tokenizer.words] == [[i] for i in range(1, 8)]


def test_the_order_of_the_sentences_does_not_matter():
    assert (
        Tokenizer.from_sentences(["b a", "c"]).words == Tokenizer.from_sentences(["c", "a b"]).words
    )


def test_encode_decode(tokenizer):
    assert tokenizer.encode("the cat ran") == [7, 2, 5]
    assert tokenizer.encode_document("the cat ran") == [BOS, 7, 2, 5, BOS]
    assert tokenizer.decode([BOS, 7, 2, 5, BOS]) == "the cat ran"


def test_nothing_to_encode_or_decode(tokenizer):
    assert tokenizer.encode(" \t\n") == []
    assert tokenizer.encode_document("") == [BOS, BOS]
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([BOS]) == ""


@given(st.lists(sentences, min_size=1, max_size=8))
def test_every_sentence_comes_back(corpus):
    tokenizer = Tokenizer.from_sentences(corpus)
    assert tokenizer.vocab_size == len({w for s in corpus for w in s.split()}) + 1
    for sentence in corpus:
        ids = tokenizer.encode(sentence)
        assert BOS not in ids
        assert tokenizer.decode(ids) == sentence
        assert tokenizer.decode(tokenizer.encode_document(sentence)) == sentence


@given(st.lists(words, min_size=1, unique=True), st.data())
def test_all_ids_come_back(vocabulary, data):
    tokenizer = Tokenizer(vocabulary)
    ids = data.draw(st.lists(st.integers(1, len(vocabulary))))
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


@given(st.lists(words, min_size=1, max_size=8), words)
def test_an_unknown_word_names_itself(known, unknown):
    tokenizer = Tokenizer(sorted(set(known) - {unknown}))
    with pytest.raises(UnknownWordError) as error:
        tokenizer.encode(unknown)
    assert repr(unknown) in str(error.value)


def test_an_unknown_word_suggests_near_ones(tokenizer):
    with pytest.raises(UnknownWordError, match=r"'cats' is not in the vocabulary.*\bcat\b"):
        tokenizer.encode("the cats")
    # Capitals are the likeliest mistake of all.
    with pytest.raises(UnknownWordError, match=r"'DOG' .*\bdog\b"):
        tokenizer.encode("DOG")
    with pytest.raises(UnknownWordError) as error:
        tokenizer.encode("xylophone")
    assert str(error.value) == "the word 'xylophone' is not in the vocabulary"


@pytest.mark.parametrize("token", [-1, 8, 10**30])
def test_decode_refuses_what_is_no_token(tokenizer, token):
    with pytest.raises(IndexError, match=f"{token} is not a token id"):
        tokenizer.decode([1, token])


@pytest.mark.parametrize(
    "vocabulary",
    [["a", "a"], [""], ["a b"], ["a\nb"], [" a"], ["a\u2028"], ["a", "b", "a"]],
)
def test_a_vocabulary_that_cannot_be_one(vocabulary):
    with pytest.raises(ValueError, match=r"each word once|without spaces"):
        Tokenizer(vocabulary)
