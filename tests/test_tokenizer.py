"""The tokenizers, of words and of characters."""

import sys
from unicodedata import category, is_normalized

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmhard import corpus
from llmhard.text import clean, is_mark, join_words, split_words
from llmhard.tokenizer import BOS, TOKENIZERS, CharTokenizer, Tokenizer, UnknownWordError

# What a keyboard gives, and what is likely to go wrong: marks that join letters or digits, accents
# and joiners that belong to what is before them, letters that change their length in lower case.
TRICKY = "abAB019 \t'\"-.,:;!?()[]/_#$\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u00bf" + (
    "\u0301\u030c\u0338\u20e3\ufe0f\u200d\u200b\u202e\u00ad\u0130J\u03a3\u1e9e\U0001f408\u2764"
)
texts = st.text(st.sampled_from(TRICKY) | st.characters(), max_size=30)
# Words as split_words leaves them: letters of any script.
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8).filter(
    lambda word: split_words(word) == [word]
)
sentences = st.lists(words, min_size=1, max_size=10).map(" ".join)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_sentences(["the cat sat", "the dog ran", "The end"])


@pytest.fixture
def letters() -> CharTokenizer:
    return CharTokenizer.from_sentences(["Emma", "Emil", "Mary Ann"])


# ---------------------------------------------------------------- words and ids


def test_vocabulary_is_the_words_in_alphabetical_order_after_bos(tokenizer):
    assert tokenizer.words == ("cat", "dog", "end", "ran", "sat", "the")
    assert BOS == 0
    assert tokenizer.vocab_size == 7
    assert [tokenizer.encode(word) for word in tokenizer.words] == [[i] for i in range(1, 7)]


def test_the_order_of_the_sentences_does_not_matter():
    assert (
        Tokenizer.from_sentences(["b a", "c"]).words == Tokenizer.from_sentences(["c", "a b"]).words
    )


def test_encode_decode(tokenizer):
    assert tokenizer.encode("the cat ran") == [6, 1, 4]
    assert tokenizer.encode_document("the cat ran") == [BOS, 6, 1, 4, BOS]
    assert tokenizer.decode([BOS, 6, 1, 4, BOS]) == "the cat ran"
    assert tokenizer.encode(" The\tCAT\n ran ") == [6, 1, 4]


def test_nothing_to_encode_or_decode(tokenizer):
    assert tokenizer.encode(" \t\n") == []
    assert tokenizer.encode_document("") == [BOS, BOS]
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([BOS]) == ""


@given(st.lists(sentences, min_size=1, max_size=8))
def test_every_sentence_of_words_comes_back(corpus):
    tokenizer = Tokenizer.from_sentences(corpus)
    assert tokenizer.vocab_size == len({w for s in corpus for w in s.split()}) + 1
    for sentence in corpus:
        ids = tokenizer.encode(sentence)
        assert BOS not in ids
        assert tokenizer.decode(ids) == sentence
        assert tokenizer.decode(tokenizer.encode_document(sentence)) == sentence


def test_the_sentences_of_the_package_come_back():
    for path in (corpus.default_path(), corpus.questions_path()):
        text = path.read_text(encoding="utf-8").splitlines()
        assert corpus.read_sentences(path) == text
        tokenizer = Tokenizer.from_sentences(text)
        assert tokenizer.words == tuple(sorted({word for line in text for word in line.split()}))
        assert [tokenizer.decode(tokenizer.encode(line)) for line in text] == text
        assert tokenizer.changes(text) == ""


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
    assert f"the word {unknown!r} is not" in str(error.value)
    assert tokenizer.unknown(unknown) == [unknown]


def test_an_unknown_word_suggests_near_ones(tokenizer):
    with pytest.raises(UnknownWordError, match=r"'cats' is not in the vocabulary.*\bcat\b"):
        tokenizer.encode("the cats")
    with pytest.raises(UnknownWordError) as error:
        tokenizer.encode("xylophone")
    assert str(error.value) == "the word 'xylophone' is not in the vocabulary"


@pytest.mark.parametrize("kind", TOKENIZERS.values())
@pytest.mark.parametrize("token", [-1, 4, 10**30])
def test_decode_refuses_what_is_no_token(kind, token):
    with pytest.raises(IndexError, match=f"{token} is not a token id"):
        kind("abc").decode([1, token])


# Control characters, halves of characters, and what is not seen.
UNPRINTABLE = "\n\x00\x1b\x7f\x9b\ud800\u2028\u200b\u202e\ufeff"


@pytest.mark.parametrize(
    "vocabulary",
    [["a", "a"], [""], ["a b"], ["a\nb"], [" a"], ["a", "b", "a"], [" "]]
    + [["a" + character] for character in UNPRINTABLE],
    ids=repr,
)
def test_a_vocabulary_that_cannot_be_one(vocabulary):
    with pytest.raises(ValueError, match=r"each word once|without spaces"):
        Tokenizer(vocabulary)


@pytest.mark.parametrize(
    "vocabulary",
    [["a", "a"], [""], ["ab"], ["a", "e\u0301"], ["\t"], ["\u00a0"], ["\u3000"], [1], [None]]
    + [[character] for character in UNPRINTABLE],
    ids=repr,
)
def test_characters_that_cannot_be_a_vocabulary(vocabulary):
    with pytest.raises(ValueError, match=r"each character once|one letter, mark or space"):
        CharTokenizer(vocabulary)


# ---------------------------------------------------------------- case and punctuation


@pytest.mark.parametrize(
    ("text", "expected", "decoded"),
    [
        ("The Cat sat.", "the cat sat .", "the cat sat."),
        ("Don't! A well-known cat.", "don't ! a well-known cat .", "don't! a well-known cat."),
        ("Pi is 3.14, or 1,204 at 10:30", "pi is 3.14 , or 1,204 at 10:30", None),
        ("wait... what?!", "wait \u2026 what ? !", "wait\u2026 what?!"),
        ("so . . . well", "so \u2026 well", "so\u2026 well"),
        ("end.Next", "end . next", "end. next"),
        ("10. 5% of $3", "10 . 5 % of $ 3", "10. 5% of $ 3"),
        ("\u201cIt\u2019s me,\u201d he said.", '" it\'s me , " he said .', '"it\'s me," he said.'),
        ("say \"hi\" and 'bye' now", "say \" hi \" and ' bye ' now", "say \"hi\" and 'bye' now"),
        ("a (small [b]) {c}", "a ( small [ b ] ) { c }", "a (small [b]) {c}"),
        ("\u00abOui\u00bb \u00bfQu\u00e9?", "\u00ab oui \u00bb \u00bf qu\u00e9 ?", None),
        ("he\u2014she -- it \u2013 we", "he \u2014 she \u2014 it \u2014 we", None),
        ("a - b, -5, 7-8", "a - b , - 5 , 7-8", None),
        ("non\u2011breaking", "non-breaking", None),
        ("'tis the dogs'", "' tis the dogs '", "'tis the dogs'"),
        ("v.5, at,3 or x:y", "v . 5 , at , 3 or x : y", "v. 5, at, 3 or x: y"),
        ("\u2212 \u201ea\u201c \u2015", '- " a " \u2014', '- "a" \u2014'),
        ("a_b c/d", "a _ b c / d", "a _ b c / d"),
        ("?", "?", "?"),
    ],
)
def test_words_and_marks(text, expected, decoded):
    assert split_words(text) == expected.split()
    shown = join_words(expected.split())
    assert shown == (decoded or shown)
    assert split_words(shown) == expected.split()
    tokenizer = Tokenizer.from_sentences([text])
    assert tokenizer.decode(tokenizer.encode(text)) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u041a\u043e\u0442.", "\u043a\u043e\u0442 ."),
        # Vowel signs, which Python's \w leaves out.
        ("\u0939\u093f\u0902\u0926\u0940\u0964", "\u0939\u093f\u0902\u0926\u0940 \u0964"),
        # Right to left: the order in memory is the order of reading.
        ("\u0645\u0631\u060c \u0623\u0646\u0627", "\u0645\u0631 \u060c \u0623\u0646\u0627"),
        # A zero-width non-joiner is a part of the spelling.
        ("\u0645\u06cc\u200c\u062e\u0648\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0645"),
        ("cafe\u0301 caf\u00e9", "caf\u00e9 caf\u00e9"),
        ("J\u030c \u01f0", "\u01f0 \u01f0"),
        ("\u0130I", "i\u0307i"),
        ("c\u00ada\u200bt\ufeff", "cat"),
        # Emoji of several code points: with a joiner, a variation, a skin tone; a flag; a keycap.
        ("hi\U0001f469\u200d\U0001f680!", "hi \U0001f469\u200d\U0001f680 !"),
        ("\u2764\ufe0f.\U0001f44b\U0001f3fd", "\u2764\ufe0f . \U0001f44b\U0001f3fd"),
        ("\U0001f1eb\U0001f1f7 1\ufe0f\u20e3", "\U0001f1eb\U0001f1f7 1\ufe0f\u20e3"),
    ],
    ids=ascii,
)
def test_words_of_all_scripts(text, expected):
    assert split_words(text) == expected.split(" ")


@settings(max_examples=500)
@given(texts)
@example("( \u0301b")
@example("don ' t")
@example(". . . 3 . 5")
def test_what_is_put_together_is_taken_apart_the_same(text):
    words = split_words(text)
    assert split_words(join_words(words)) == words
    assert all(split_words(word) == [word] for word in words)
    assert bool(words) == bool(clean(text).split()), "no character gets lost, no word is empty"


@settings(max_examples=300)
@given(st.lists(texts, min_size=1, max_size=5))
def test_any_text_has_a_vocabulary_and_comes_back_as_it_was_put_together(corpus):
    printable = ["".join(c for c in t if category(c) not in ("Cc", "Cs")) for t in corpus]
    for kind in TOKENIZERS.values():
        tokenizer = kind.from_sentences(printable)
        for text in printable:
            shown = kind.join(kind.split(text))
            assert tokenizer.decode(tokenizer.encode(text)) == shown
            assert kind.join(kind.split(shown)) == shown
            assert tokenizer.unknown(text) == []
        assert isinstance(tokenizer.changes(printable), str)


@given(texts)
def test_what_is_shown_grows_with_the_words(text):
    # So that a sentence can be shown while it is written.
    words = split_words(text)
    shown = join_words(words)
    for i in range(len(words)):
        assert shown.startswith(join_words(words[:i]))


@settings(max_examples=300)
@given(texts)
def test_a_clean_text_is_clean(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert is_normalized("NFC", cleaned)
    assert not any("\u202a" <= c <= "\u202e" or c == "\u200b" for c in cleaned)


def test_every_character_there_is():
    # Each stands for itself, is left out as invisible or white space, or is spelled in another way.
    for code in range(0, sys.maxunicode + 1, 7):
        words = split_words(chr(code))
        assert all(split_words(word) == [word] for word in words)
        assert sum(map(is_mark, words)) == (category(chr(code))[0] in "PS")
        assert words or clean(chr(code)).strip() == ""


def test_what_is_done_is_said(tokenizer):
    changes = tokenizer.changes
    assert changes([]) == changes(["the cat", "3.5 don't well-known"]) == ""
    assert changes(["the cat", "The cat"]) == "made lower case"
    assert changes(["the cat."]) == "1 punctuation mark is a word of its own"
    assert changes(["Hi!", "a, b: c."] * 500) == (
        "made lower case; 2,000 punctuation marks are words of their own"
    )


# ---------------------------------------------------------------- characters


def test_characters_are_tokens(letters):
    assert letters.words == (" ", "A", "E", "M", "a", "i", "l", "m", "n", "r", "y")
    assert letters.vocab_size == 12
    assert letters.encode("Emma") == [3, 8, 8, 5]
    assert letters.encode_document("Emma") == [BOS, 3, 8, 8, 5, BOS]
    assert letters.decode([BOS, 3, 8, 8, 5, BOS]) == "Emma"
    assert letters.encode_document("") == [BOS, BOS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("E m", "E m"),
        (" \t Emma", "Emma"),
        # That a word has ended is worth saying in a prompt.
        ("Mary ", "Mary "),
        ("Mary \u00a0\t Ann\n", "Mary Ann "),
        ("E\u200bm", "Em"),
    ],
)
def test_white_space_is_one_space(letters, text, expected):
    assert letters.decode(letters.encode(text)) == expected


@given(st.text(st.characters(exclude_categories=["Z", "C", "M"]), min_size=1))
def test_characters_are_kept_as_they_are(text):
    kept = clean(text)
    assert CharTokenizer.from_sentences([text]).words == tuple(sorted(set(kept)))
    assert CharTokenizer.split(text) == list(kept)


def test_an_accent_is_a_part_of_its_letter_where_unicode_has_it():
    assert CharTokenizer.split("e\u0301") == ["\u00e9"]
    assert CharTokenizer.split("x\u0301") == ["x", "\u0301"]
    assert CharTokenizer.split("\u2764\ufe0f") == ["\u2764", "\ufe0f"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mMx", "the character 'x' is not in the vocabulary"),
        ("mMe", "the character 'e' is not in the vocabulary; near it: E"),
        ("\u00c1", "the character '\u00c1' is not in the vocabulary; near it: A, a"),
        ("\x1b", r"the character '\x1b' is not in the vocabulary"),
    ],
)
def test_an_unknown_character_suggests_other_case_and_accent(letters, text, message):
    with pytest.raises(UnknownWordError) as error:
        letters.encode(text)
    assert str(error.value) == message
    assert letters.unknown(text) == [text[-1]]


def test_a_curly_apostrophe_suggests_a_straight_one_and_the_other_way_round():
    for known, typed in ("'\u2019", "\u2019'"):
        with pytest.raises(UnknownWordError, match=f"near it: {known}"):
            CharTokenizer([known]).encode(typed)


def test_that_characters_are_kept_is_said(letters):
    assert letters.changes(["emma", "o'neil"]) == "kept as it is"
    assert letters.changes(["emma", "O'Neil"]) == "kept as it is, capitals too"
