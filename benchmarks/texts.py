"""Words and texts in no language, made from a seed, for the models of characters."""

from __future__ import annotations

import random
import string

LETTERS = string.ascii_lowercase
CHARACTERS = string.ascii_letters + " .,!?'-"
CONSONANTS, VOWELS, ENDINGS = "bcdfghjklmnpqrstvwxyz", "aaaaeeeeiioou", "lmnrsty"


def names(count: int, seed: int) -> list[str]:
    """Return words as long as first names: 2 to 11 letters, 6 on average."""
    rng = random.Random(seed)
    return [word(rng) for _ in range(count)]


def word(rng: random.Random) -> str:
    """Return one to five syllables of consonant and vowel; some words begin or end otherwise."""
    (syllables,) = rng.choices((1, 2, 3, 4, 5), (4, 31, 44, 17, 4))
    letters = [rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(syllables)]
    if syllables > 1 and rng.random() < 0.15:
        letters[0] = letters[0][1:]
    if rng.random() < 0.5:
        letters.append(rng.choice(ENDINGS))
    return "".join(letters)


def text(rng: random.Random, length: int) -> str:
    """Return sentences of such words, cut after `length` characters."""
    sentences = ""
    while len(sentences) < length:
        words = [word(rng) for _ in range(rng.randint(3, 9))]
        separators = rng.choices((" ", ", ", "-", "'"), (85, 9, 3, 3), k=len(words) - 1)
        sentences += words[0].capitalize()
        sentences += "".join(map("".join, zip(separators, words[1:], strict=True)))
        sentences += rng.choice(".....!?") + " "
    return sentences[:length]


def document(text: str, characters: str) -> list[int]:
    """Return the tokens of a text between two boundaries, which are the last token."""
    boundary = len(characters)
    return [boundary, *map(characters.index, text), boundary]
