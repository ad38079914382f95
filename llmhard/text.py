"""What the tokenizers do with text: clean it, split it into words, join words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category, normalize

# Soft hyphens, zero-width spaces, byte order marks, changes of direction: two words that differ in
# them look the same. The zero-width joiners stay; Persian, Hindi and emoji are spelled with them.
INVISIBLE = "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"


def clean(text: str) -> str:
    """Return the text without invisible characters, in Unicode's normalization form C.

    An accent may be part of its letter or a character after it. The two look the same, and form C
    makes them the same.
    """
    return text if text.isascii() else normalize("NFC", re.sub(INVISIBLE, "", text))


# ---------------------------------------------------------------- words


class _Kinds(dict[int, str]):
    """A table for str.translate: each character becomes one that says what kind it is.

    a  letters and numerals; d  digits; +  what belongs to the character before it, as accents do;
    s  emoji and other symbols that may be several code points long; ' - . , :  themselves;
    p  other punctuation marks and symbols; and the space.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = category(character)
        if character.isspace():
            self[code] = " "
        elif character in "'-.,:":
            self[code] = character
        elif kind == "Nd":
            self[code] = "d"
        elif kind[0] == "M" or kind == "Cf":
            self[code] = "+"
        elif kind in ("So", "Sk"):
            self[code] = "s"
        else:
            self[code] = "p" if kind[0] in "PS" else "a"
        return self[code]


_KINDS = _Kinds()
# In kinds: a word or a number, emoji, a mark. Like all patterns here, it is compiled on first use;
# `sample` can do without.
_WORD = r"[ad+]+(?:(?:['-](?=[ad])|(?<=d)[.,:](?=d))[ad+]+)*|s[s+]*|[^ ]"
_STRAIGHT = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{DOUBLE LOW-9 QUOTATION MARK}": '"',
        "\N{HYPHEN}": "-",
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{MINUS SIGN}": "-",
    }
)
_DASHES = "\N{EN DASH}|\N{EM DASH}|\N{HORIZONTAL BAR}|--+"
_DOTS = r"\.(?:\s*\.)+"
_QUOTES = frozenset("'\"")  # the first opens, the second closes, and so on
_OPENING = frozenset("([{\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}¿¡")
_CLOSING = frozenset(
    ")]}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}.,!?;:%\N{HORIZONTAL ELLIPSIS}"
    "\N{ARABIC COMMA}\N{ARABIC SEMICOLON}\N{ARABIC QUESTION MARK}\N{DEVANAGARI DANDA}"
)


def split_words(text: str) -> list[str]:
    """Return the words of a text, in lower case.

    Punctuation marks and symbols are words of their own, except for an apostrophe or hyphen between
    letters and a mark between digits: "don't", "well-known", "3.5". Curly quotes become straight,
    all long dashes become the same, and a row of dots becomes an ellipsis.
    """
    text = clean(clean(text).lower())  # some letters include their accent in one case only
    if text.replace(" ", "").isalnum():  # as in every sentence of the package; this is faster
        return text.split()
    text = re.sub(_DASHES, "\N{EM DASH}", text.translate(_STRAIGHT))
    text = re.sub(_DOTS, "\N{HORIZONTAL ELLIPSIS}", text)
    kinds = text.translate(_KINDS)
    return [text[found.start() : found.end()] for found in re.finditer(_WORD, kinds)]


def join_words(words: Iterable[str]) -> str:
    """Return a text that split_words splits into these words, with spaces as in print."""
    text, quotes = "", set[str]()
    attached = True  # to what came before
    for word in words:
        closes = word in _CLOSING or word in quotes
        text += word if attached or closes else " " + word
        attached = word in _OPENING or (word in _QUOTES and not closes)
        if word in _QUOTES:
            quotes ^= {word}
    return text


def is_mark(word: str) -> bool:
    """Return whether a word is a punctuation mark or a symbol."""
    return word.translate(_KINDS)[0] not in "ad+"


# ---------------------------------------------------------------- characters


def plain(character: str) -> str:
    """Return a character without its case, accent or curliness."""
    return normalize("NFKD", character.translate(_STRAIGHT))[0].casefold()
