"""The word tokenizer: from sentences to lists of token ids, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# Commands to the terminal and halves of characters, neither of which can be written.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

BOS = 0  # the id of the token that stands before and after every sentence


class UnknownWordError(ValueError):
    """A word that the vocabulary lacks; the message names it and words that look like it."""


class Tokenizer:
    """One token for each word, and BOS, "beginning of sequence", which also marks the end.

    `words` is the vocabulary without BOS; word i has the id i + 1. Raises ValueError if a word
    stands in it twice, is empty or contains white space.
    """

    kind = "word"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: i for i, word in enumerate(self.words, start=BOS + 1)}
        if len(self._ids) != len(self.words):
            raise ValueError("a vocabulary holds each word once")
        for word in self.words:
            if not isinstance(word, str) or word.split() != [word] or _UNPRINTABLE.search(word):
                raise ValueError(f"a word is letters without spaces, not {word!r:.40}")

    @classmethod
    def from_sentences(cls, sentences: Iterable[str]) -> Tokenizer:
        """The tokenizer whose vocabulary is the words of the sentences, in alphabetical order."""
        return cls(sorted({word for sentence in sentences for word in sentence.split()}))

    @property
    def vocab_size(self) -> int:
        """How many tokens there are: the words and BOS."""
        return len(self.words) + 1

    def unknown(self, sentence: str) -> list[str]:
        """The words of the sentence that the vocabulary lacks."""
        return [word for word in sentence.split() if word not in self._ids]

    def encode(self, sentence: str) -> list[int]:
        """The ids of the words, without BOS. Raises UnknownWordError."""
        ids = []
        for word in sentence.split():
            if word not in self._ids:
                near = get_close_matches(word.lower(), self.words, n=3, cutoff=0.6)
                hint = f"; near it: {', '.join(near)}" if near else ""
                raise UnknownWordError(f"the word {word!r} is not in the vocabulary{hint}")
            ids.append(self._ids[word])
        return ids

    def encode_document(self, sentence: str) -> list[int]:
        """BOS, the ids of the words, BOS: what the model is trained on."""
        return [BOS, *self.encode(sentence), BOS]

    def decode(self, ids: Iterable[int]) -> str:
        """The words of the ids, with single spaces; BOS stands for no word.

        Raises IndexError if an id is not in the vocabulary.
        """
        words = []
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise IndexError(f"{token} is not a token id: the vocabulary has {self.vocab_size}")
            if token != BOS:
                words.append(self.words[token - 1])
        return " ".join(words)


TOKENIZERS = {tokenizer.kind: tokenizer for tokenizer in (Tokenizer,)}
