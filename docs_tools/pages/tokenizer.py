"""Lab 02: words, subwords and characters, and what belongs to which number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from docs_tools import blocks
from llmhard import corpus, drawing, grammar
from llmhard.tokenizer import Tokenizer

SOLUTION = "llmhard/workbook/solutions/tokenizer.py"
VOCABULARY = ("Tokenizer.__init__", "Tokenizer.from_sentences")
ENCODING = (*VOCABULARY, "Tokenizer.vocab_size", "Tokenizer.encode", "Tokenizer.encode_document")
FIRST_TRAP = (
    "            if token != BOS:\n                words.append",
    "            words.append",
)
TINY = ["the cat sat", "the dog sat", "a cat ran"]
EXAMPLE = "the kittens in the castle sleep"
ROUNDS = 200
SHOWN = ["duck", "ducks", "moo", "moon", "quack", "swan"]


def writes(*slips: tuple[str, str], only: tuple[str, ...] | None = None) -> None:
    """Let the reader write tokenizer.py, or the functions in `only`, with these slips."""
    blocks.solves("tokenizer", *slips, only=only)


@cache
def sentences() -> list[str]:
    return corpus.read_sentences(corpus.default_path())


@cache
def words() -> Counter[str]:
    return Counter(word for sentence in sentences() for word in sentence.split())


def letters() -> int:
    return len(set("".join(words())))


# ---------------------------------------------------------------- ways to cut


@dataclass
class Subwords:
    """The pieces of each word after some rounds, and how it came to them."""

    pieces: dict[str, list[str]]
    merges: list[str]  # the piece that each round has made
    counts: list[int]  # the pieces of the corpus, before the first round and after each


@cache
def subwords() -> Subwords:
    """Make the commonest pair of neighbours one piece, and repeat."""
    pieces = {word: list(word) for word in words()}
    found = Subwords(pieces, [], [_count(pieces)])
    for _ in range(ROUNDS):
        pair = _commonest_pair(pieces)
        for parts in pieces.values():
            _merge(parts, pair)
        found.merges.append("".join(pair))
        found.counts.append(_count(pieces))
    return found


def _count(pieces: dict[str, list[str]]) -> int:
    return sum(len(parts) * words()[word] for word, parts in pieces.items())


def _commonest_pair(pieces: dict[str, list[str]]) -> tuple[str, str]:
    pairs: Counter[tuple[str, str]] = Counter()
    for word, parts in pieces.items():
        for pair in pairwise(parts):
            pairs[pair] += words()[word]
    return pairs.most_common(1)[0][0]


def _merge(parts: list[str], pair: tuple[str, str]) -> None:
    i = 0
    while i + 1 < len(parts):
        if (parts[i], parts[i + 1]) == pair:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        i += 1


def ways_to_cut_table() -> None:
    """Show one sentence cut into characters, subwords and words, and what each costs."""
    assert grammar.accepts(EXAMPLE)
    pieces, counts = subwords().pieces, subwords().counts
    assert pieces["kittens"] == [*pieces["kitten"], "s"]
    n = len(sentences())
    cut = {
        "characters": " ".join(EXAMPLE.replace(" ", "_")),
        "subwords": " ".join(piece for word in EXAMPLE.split() for piece in pieces[word]),
        "words": EXAMPLE,
    }
    different = [letters() + 1, letters() + ROUNDS, len(words())]
    each = [len("".join(sentences())) / n, counts[-1] / n, words().total() / n]
    blocks.table(
        ["cut into", "different tokens", "tokens a sentence", "the example"],
        [
            [way, kinds, f"{tokens:.1f}", f"`{shown}`"]
            for (way, shown), kinds, tokens in zip(cut.items(), different, each, strict=True)
        ],
    )


# ---------------------------------------------------------------- numbers for words


def tiny_ids() -> dict[str, int]:
    """Return the ids of the words of three sentences."""
    known = sorted({word for sentence in TINY for word in sentence.split()})
    return {word: i for i, word in enumerate(known, start=1)}


def tiny_table() -> None:
    blocks.table(["word", "id"], [[word, i] for word, i in tiny_ids().items()])


def neighbours_table() -> None:
    """Show some ids of the whole vocabulary; the alphabet alone decides who is beside whom."""
    whole = Tokenizer.from_sentences(sentences())
    ids = {word: whole.encode(word)[0] for word in SHOWN}
    assert ids["ducks"] == ids["duck"] + 1
    assert ids["moon"] == ids["moo"] + 1
    blocks.table(["word", "id"], [[word, i] for word, i in ids.items()])


def document() -> list[int]:
    """Return the ids of "the cat sat" with BOS at both ends."""
    ids = tiny_ids()
    return [0, *(ids[word] for word in TINY[0].split()), 0]


def predictions_table() -> None:
    """Show what the model has read and what it should predict, token by token."""
    names = ["BOS", *TINY[0].split(), "BOS"]
    blocks.table(
        ["it has read", "it should predict", "id"],
        [
            [" ".join(names[: i + 1]), names[i + 1], document()[i + 1]]
            for i in range(len(names) - 1)
        ],
    )


def encoding_figure() -> None:
    """Draw a sentence with its ids, and what of them each function gives."""
    picture = drawing.Drawing()
    names = ["BOS", *TINY[0].split(), "BOS"]
    for i, (name, token) in enumerate(zip(names, document(), strict=True)):
        kind = "plain" if 0 < i < len(names) - 1 else "operation"
        word = picture.box(i * 76.0, 0, name, kind, 62)
        picture.arrow(word, picture.box(i * 76.0, 76, str(token), "data", 62))
    for y, text in ((0, "text"), (76, "ids")):
        picture.label(-46, y, text, anchor="end", size=12, colour=drawing.MUTED)
    for left, right, y, text in ((46, 258, 104, "encode"), (-30, 334, 136, "encode_document")):
        picture.line([(left, y), (left, y + 8), (right, y + 8), (right, y)])
        picture.label(152, y + 18, text, size=12, colour=drawing.MUTED)
    blocks.figure(
        "encoding",
        picture,
        "The sentence the cat sat as three boxes with one BOS before and one after; under each box "
        f"its id: {', '.join(map(str, document()))}. The three ids in the middle are what encode "
        "gives, all five are what encode_document gives.",
    )


# ---------------------------------------------------------------- exercises


def longest_documents() -> tuple[int, int]:
    """Return how many tokens the longest document has, of characters and of words."""
    return max(map(len, sentences())) + 2, max(len(s.split()) for s in sentences()) + 2


def known_from(n: int) -> tuple[int, int, int]:
    """Return how many words the first n sentences have, and how many others have only those."""
    some = {word for sentence in sentences()[:n] for word in sentence.split()}
    others = sentences()[n:]
    return len(some), sum(set(sentence.split()) <= some for sentence in others), len(others)


def subwords_text() -> None:
    found = subwords()
    first = "`, then `".join(found.merges[:3])
    blocks.text(f"""
    The first three pieces are `{first}`. After ten rounds the corpus has {found.counts[10]:,}
    pieces, where it began with {found.counts[0]:,} letters.
    """)
