"""The tokenizers, of words and of characters: from text to lists of token ids, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from llmhard.text import INVISIBLE, clean, is_mark, join_words, plain, split_words

# Terminal commands, halves of characters, which cannot be written, and invisible characters.
_UNPRINTABLE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|{INVISIBLE}")

BOS = 0  # the id of the token before and after every sentence


class UnknownWordError(ValueError):
    """A word or character that the vocabulary lacks; the message names it and similar ones."""


class Tokenizer:
    """One token for each word, and BOS, "beginning of sequence", which also marks the end.

    `words` is the vocabulary without BOS; word i has the id i + 1. Raises ValueError if a word
    is in it twice, is empty, or contains white space or characters that cannot be shown.
    """

    kind = "word"  # its name in model files and on the command line
    unit = "word"  # what people call a token
    form = "letters without spaces"  # of a token
    document = "sentence"  # and what people call a line of text

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: i for i, word in enumerate(self.words, start=BOS + 1)}
        if len(self._ids) != len(self.words):
            raise ValueError(f"a vocabulary holds each {self.unit} once")
        for word in self.words:
            if not isinstance(word, str) or _UNPRINTABLE.search(word) or not self._is_unit(word):
                raise ValueError(f"a {self.unit} is {self.form}, not {word!r:.40}")

    @classmethod
    def from_sentences(cls, sentences: Iterable[str]) -> Self:
        """Return a tokenizer whose vocabulary is the words of the sentences, alphabetically."""
        return cls(sorted({word for sentence in sentences for word in cls.split(sentence)}))

    @staticmethod
    def split(text: str) -> list[str]:
        """Return the words of a text, in lower case, and its punctuation marks."""
        return split_words(text)

    @staticmethod
    def join(words: Iterable[str]) -> str:
        """Return the text that has these words, spaced as in print."""
        return join_words(words)

    @staticmethod
    def changes(sentences: Sequence[str]) -> str:
        """Return, for people, what `split` changes in these sentences besides splitting them."""
        done = ["made lower case"] if any(s != s.lower() for s in sentences) else []
        with_marks = (s for s in sentences if not s.replace(" ", "").isalpha())
        marks = sum(is_mark(word) for sentence in with_marks for word in split_words(sentence))
        if marks == 1:
            done.append("1 punctuation mark is a word of its own")
        elif marks:
            done.append(f"{marks:,} punctuation marks are words of their own")
        return "; ".join(done)

    @staticmethod
    def _is_unit(word: str) -> bool:
        return word.split() == [word]

    def _near(self, word: str) -> list[str]:
        from difflib import get_close_matches  # only here: `sample` starts faster without it

        return get_close_matches(word, self.words, n=3, cutoff=0.6)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are: the words and BOS."""
        return len(self.words) + 1

    def unknown(self, sentence: str) -> list[str]:
        """Return the words of the sentence that the vocabulary lacks."""
        return [word for word in self.split(sentence) if word not in self._ids]

    def encode(self, sentence: str) -> list[int]:
        """Return the ids of the words, without BOS. Raises UnknownWordError."""
        ids = []
        for word in self.split(sentence):
            if word not in self._ids:
                near = self._near(word)
                hint = f"; near it: {', '.join(near)}" if near else ""
                raise UnknownWordError(
                    f"the {self.unit} {word!r:.100} is not in the vocabulary{hint}"
                )
            ids.append(self._ids[word])
        return ids

    def encode_document(self, sentence: str) -> list[int]:
        """BOS, the ids of the words, BOS: what the model is trained on."""
        return [BOS, *self.encode(sentence), BOS]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of the ids as text; BOS stands for no word.

        Raises IndexError if an id is not in the vocabulary.
        """
        return self.join(self._words(ids))

    def _words(self, ids: Iterable[int]) -> Iterator[str]:
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise IndexError(f"{token} is not a token id: the vocabulary has {self.vocab_size}")
            if token != BOS:
                yield self.words[token - 1]


class CharTokenizer(Tokenizer):
    """One token for each character, and BOS; its `words` are characters.

    A character is one code point of Unicode: capitals, punctuation marks and the space are
    characters. An accent is part of its letter wherever Unicode has the two as one; elsewhere it is
    a character of its own, and so are the parts of an emoji.
    """

    kind = "char"
    unit = "character"
    form = "one letter, mark or space"
    document = "line"

    @staticmethod
    def split(text: str) -> list[str]:
        """Return the characters of a text; white space becomes one space, none at the beginning."""
        return list(re.sub(r"\s+", " ", clean(text)).lstrip())

    @staticmethod
    def join(words: Iterable[str]) -> str:
        """Return the characters, one after the other."""
        return "".join(words)

    @staticmethod
    def changes(sentences: Sequence[str]) -> str:
        """Return, for people, that `split` leaves these sentences as they are."""
        capitals = any(sentence != sentence.lower() for sentence in sentences)
        return "kept as it is, capitals too" if capitals else "kept as it is"

    @staticmethod
    def _is_unit(word: str) -> bool:
        return len(word) == 1 and (word == " " or not word.isspace())

    def _near(self, word: str) -> list[str]:
        return [other for other in self.words if plain(other) == plain(word)][:3]


TOKENIZERS = {tokenizer.kind: tokenizer for tokenizer in (Tokenizer, CharTokenizer)}
