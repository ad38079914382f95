"""Lab 02: the word tokenizer."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from llmhard.workbook.answers import Wrong, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks

check = Checks("02")

words = st.text("abC.", min_size=1, max_size=3)  # nothing in a word is to be changed
vocabularies = st.lists(words, min_size=1, max_size=6, unique=True).map(sorted)
sentences = st.lists(st.lists(words, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=4)

CATS = {"vocabulary": ["cat", "sat", "the"]}


def tokenizer(book: Book, vocabulary: list[str]) -> tuple[str, Any]:
    """The reader's Tokenizer of these words, and how to write it."""
    text = f"Tokenizer({show(vocabulary)})"
    make = book.get("tokenizer", "Tokenizer")
    return text, book.attempt(text, lambda: make(vocabulary), words=vocabulary)


def ids(book: Book, text: str, found: Any, length: int) -> list[int]:
    """`found` if it is a list of so many whole numbers."""
    for i, item in enumerate(book.sequence(text, found, length, "ids")):
        if isinstance(item, bool) or not isinstance(item, int):
            raise Wrong(f"number {i} of {text} should be an id, a whole number: {show(item)}.")
    return list(found)


@check(
    "a Tokenizer keeps its words",
    "The vocabulary",
    hint="__init__ puts the list into the attribute self.words.",
    cases=[CATS, {"vocabulary": ["the", "Cat", "sat"]}],
)
def keeps(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    found = book.sequence(f"{text}.words", book.method(mine, "words"), 3, "words")
    hint = ""
    if found == sorted(vocabulary):
        hint = "Yours sorts the words. __init__ keeps them in the order in which they come: the "
        hint += "id of a word is its place, and a saved vocabulary may have another order."
    book.same(f"{text}.words", found, vocabulary, hint)


@check(
    "from_sentences collects the words",
    "The vocabulary",
    cases=[{"texts": ["the cat sat", "the dog"]}, {"texts": ["The cat sat."]}],
    texts=sentences,
)
def collects(book: Book, texts: list[str]) -> None:
    make = book.get("tokenizer", "Tokenizer")
    text = f"Tokenizer.from_sentences({show(texts)})"
    found = book.attempt(text, lambda: make.from_sentences(texts), sentences=texts)
    if not isinstance(found, make):
        raise Wrong(
            f"{text} should be a Tokenizer. Yours is {show(found)}.",
            hint="The method gets the class as `cls`: return cls(words).",
        )
    listed = book.method(found, "words")
    expected = sorted(set(" ".join(texts).split()))
    listed = book.sequence(f"{text}.words", listed, len(listed), "words")
    hint = ""
    if len(listed) != len(set(listed)):
        hint = "A word that comes again is still one word: each is in the vocabulary once."
    elif set(listed) == set(expected):
        hint = "The order is alphabetical, so that the same sentences always give the same ids."
    elif set(listed) == {word.lower() for word in expected}:
        hint = "Yours makes the words lower case. They stay as they are, because encode looks for "
        hint += "them as they are."
    elif set(listed) == {word.strip(".") for word in expected}:
        hint = "Yours takes the full stops away. Words stay as they are between the spaces."
    elif " " in listed:
        hint = "Those are letters: sentence.split() gives a sentence's words."
    elif not set(expected) <= set(listed):
        hint = "Words are missing. Does the loop go through all the sentences, and all their words?"
    book.same(f"{text}.words", listed, expected, hint)


@check(
    "vocab_size counts the words and BOS",
    "BOS",
    hint="BOS is a token, too: it has an id that no word has.",
    cases=[CATS],
    vocabulary=vocabularies,
)
def counts(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    found = book.method(mine, "vocab_size")
    if callable(found):
        raise Wrong(f"{text}.vocab_size is a method.", hint="@property above its def is missing.")
    book.number(f"{text}.vocab_size", found)
    book.same(f"{text}.vocab_size", found, len(vocabulary) + 1)


def turned_dict(mine: Any) -> str:
    """Return what is wrong with a dict that leads from ids to words, "" if there is none."""
    for name, found in getattr(mine, "__dict__", {}).items():
        if isinstance(found, dict) and any(isinstance(key, int) for key in found):
            return (
                f"self.{name} is {show(found)}. encode looks up a word to find its id, so the dict "
                "has to lead from the word to the id: {word: id}."
            )
    return ""


@check(
    "encode gives the id of each word",
    "Encoding",
    cases=[CATS],
    vocabulary=vocabularies,
)
def encodes(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    sentence = " ".join(reversed(vocabulary))
    call = f"{text}.encode({sentence!r})"
    try:
        found = book.attempt(call, lambda: mine.encode(sentence))
    except Wrong as wrong:
        raise Wrong(*wrong.lines, hint=turned_dict(mine) or wrong.hint) from None
    expected = list(range(len(vocabulary), 0, -1))
    hint = ""
    if found == [i - 1 for i in expected]:
        hint = "0 is the id of BOS, so the first word has the id 1."
    elif found == [0, *expected, 0]:
        hint = "encode leaves BOS out; encode_document adds it."
    ids(book, call, found, len(expected))
    book.same(
        call, found, expected, hint or "The id of words[i] is i + 1, in the sentence's order."
    )


@check(
    "encode takes any white space between words",
    "Encoding",
    after=["encode gives the id of each word"],
    hint='"a  b".split(" ") has an empty word in the middle; "a  b".split() has not.',
    cases=[CATS],
    vocabulary=vocabularies,
)
def splits(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    sentence = f" {'  '.join(vocabulary)}\n"
    call = f"{text}.encode({sentence!r})"
    found = book.attempt(call, lambda: mine.encode(sentence))
    book.same(call, found, list(range(1, len(vocabulary) + 1)))


@check(
    "encode refuses a word that it does not know",
    "Unknown words",
    after=["encode gives the id of each word"],
    hint="A word that is left out or becomes BOS would change the sentence and nobody would know.",
    cases=[CATS],
)
def refuses(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    call = f"{text}.encode('the cow sat')"
    message = book.refuses(call, ValueError, lambda: mine.encode("the cow sat"))
    if "cow" not in message:
        raise Wrong(
            f"{call} raises ValueError, as it should, but does not say which word:",
            f"    {message}",
            hint="Put the word into the message, so that whoever reads it can find it.",
        )


@check(
    "encode_document puts BOS at both ends",
    "BOS",
    after=["encode gives the id of each word"],
    hint="The model learns where sentences begin from the first BOS and where they end from the "
    "last.",
    cases=[CATS],
    vocabulary=vocabularies,
)
def documents(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    sentence = " ".join(vocabulary)
    call = f"{text}.encode_document({sentence!r})"
    found = book.attempt(call, lambda: mine.encode_document(sentence))
    book.same(call, found, [0, *range(1, len(vocabulary) + 1), 0])


@check(
    "decode gives the words back",
    "Decoding",
    after=["vocab_size counts the words and BOS"],
    cases=[CATS],
    vocabulary=vocabularies,
)
def decodes(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    tokens = list(range(len(vocabulary), 0, -1))
    expected = " ".join(reversed(vocabulary))
    call = f"{text}.decode({tokens})"
    found = book.attempt(call, lambda: mine.decode(tokens), ids=tokens)
    hint = "The word of the id i is words[i - 1]."
    if isinstance(found, list):
        hint = "decode gives one text, not a list: ' '.join(words) puts spaces between them."
    elif isinstance(found, str) and found.split() == expected.split():
        hint = "One space between two words, none at the ends."
    elif isinstance(found, str) and found == expected.replace(" ", ""):
        hint = "There should be a space between two words: ' '.join(words)."
    book.same(call, found, expected, hint)


@check(
    "decode leaves BOS out",
    "Decoding",
    after=["decode gives the words back"],
    cases=[CATS],
    vocabulary=vocabularies,
)
def leaves_out(book: Book, vocabulary: list[str]) -> None:
    text, mine = tokenizer(book, vocabulary)
    tokens = [0, *range(1, len(vocabulary) + 1), 0]
    call = f"{text}.decode({tokens})"
    found = book.attempt(call, lambda: mine.decode(tokens), ids=tokens)
    hint = "BOS is not a word. Beware: words[0 - 1] is the last word."
    if found == "":
        hint = "Yours ends at the first BOS. There is one at the beginning, too: leave it out and "
        hint += "go on with the words after it."
    book.same(call, found, " ".join(vocabulary), hint)


@check(
    "decode refuses what is not an id",
    "Decoding",
    hint="Python counts negative positions from the end of a list: words[-2] is no error.",
    cases=[{"token": 4}, {"token": -1}],
)
def refuses_ids(book: Book, token: int) -> None:
    text, mine = tokenizer(book, ["cat", "sat", "the"])
    book.refuses(f"{text}.decode([{token}])", IndexError, lambda: mine.decode([token]))
