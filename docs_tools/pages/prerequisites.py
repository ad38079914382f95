"""Lab 01: the pipeline, the language, its grammar and its floor."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise
from math import exp, log

from docs_tools import blocks
from llmhard import corpus, drawing, grammar
from llmhard.model import Config
from llmhard.tokenizer import Tokenizer

PAIRS = [
    ("ducks say quack", "ducks say moo", "every animal has a sound of its own"),
    ("the sailor sails a boat", "the sailor sails a cake", "what can be sailed"),
    ("birds can fly", "pigs can fly", "who can fly"),
    ("there is an onion in the box", "there is a onion in the box", "*a* or *an*"),
    ("grandma gives ben a red kite", "grandma gives a red kite ben", "words have an order"),
    ("they lose their keys", "they lose his keys", "here, people lose only what is theirs"),
    ("the horse is bigger than the ant", "the ant is bigger than the horse", "who is big"),
    ("sam is happy when it snows", "sam is happy when it rains", "what makes people happy"),
    ("the dog by the pond barks", "the dog by the pond bark", "one *barks*, two *bark*"),
]
REPLACED = [
    ("Apart", "the Kids Around BriefDo"),
    ("Kids", "girls"),
    ("Around", "Outdoors"),
    ("Outdoors", "under the trees"),
    ("BriefDo", "MoveDo"),
    ("MoveDo", "dance"),
]


@cache
def sentences() -> list[str]:
    return corpus.read_sentences(corpus.default_path())


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_sentences(sentences())


def config() -> Config:
    return Config(tokenizer().vocab_size)


def vocab_size() -> int:
    return config().vocab_size


def id_of_the() -> int:
    """Return the id of the word that is twice in the sentence of the pipeline."""
    first, *_ = tokenizer().encode("the")
    return first


# ---------------------------------------------------------------- the pipeline


def pipeline_figure() -> None:
    """Draw the whole program: what writes on the left, what learns on the right."""
    sizes = config()
    ids = [0, *tokenizer().encode("the dog by the pond")]
    picture = drawing.Drawing()
    boxes = drawing.chain(
        picture,
        0,
        0,
        [
            ("sentence\nthe dog by the pond ...", "plain"),
            (f"tokens\n{' '.join(map(str, ids))}", "data"),
            (f"embeddings\n{sizes.n_embd} numbers a token", "parameter"),
            (f"{sizes.n_layer} layers\nattention and MLP", "parameter"),
            (f"logits\n{sizes.vocab_size} numbers", "operation"),
            ("probabilities\nthey add up to 1", "operation"),
            ("next word\nbarks?", "plain"),
        ],
    )
    _learning(picture, boxes)
    blocks.figure(
        "pipeline",
        picture,
        "Left, from top to bottom: a sentence becomes tokens, embeddings, goes through the layers, "
        "becomes logits, probabilities and the next word. Right, from bottom to top: the "
        "probabilities give the loss, the loss the gradients, and with them Adam changes "
        "embeddings and layers.",
    )


def _learning(picture: drawing.Drawing, boxes: list[drawing.Box]) -> None:
    _, _, embeddings, layers, logits, probabilities, _ = boxes
    loss = picture.box(235, probabilities.y, "loss\nhow surprised", "loss")
    gradients = picture.box(235, logits.y, "gradients\nwho is to blame", "loss")
    adam = picture.box(235, layers.y, "Adam\nmoves parameters", "loss")
    for start, end in pairwise([probabilities, loss, gradients, adam, layers]):
        picture.arrow(start, end)
    picture.arrow((adam.left[0], adam.top[1]), embeddings)


# ---------------------------------------------------------------- the language


def pairs_table() -> None:
    """Show what the language says and what it never says."""
    for right, wrong, _ in PAIRS:
        assert grammar.accepts(right), right
        assert not grammar.accepts(wrong), wrong
    header = ["it says", "it never says", "what there is to know"]
    blocks.table(header, [list(pair) for pair in PAIRS])


def derivation() -> None:
    """Write a sentence as the grammar does, one replacement a line."""
    blocks.formula("\n-> ".join(derived()))


def derived() -> list[str]:
    rules, lines = grammar.english_rules(), ["Apart"]
    for symbol, alternative in REPLACED:
        assert tuple(alternative.split()) in [found.items for found in rules[symbol]], symbol
        items = lines[-1].split()
        i = next(i for i, item in enumerate(items) if not item.islower())
        assert items[i] == symbol
        lines.append(" ".join([*items[:i], alternative, *items[i + 1 :]]))
    assert grammar.accepts(lines[-1])
    return lines


def agreement_figure() -> None:
    """Draw how far the verb is from the word that it agrees with."""
    picture = drawing.Drawing()
    pairs = [("the dog by the pond barks", "one"), ("the dogs by the pond bark", "several")]
    for row, (sentence, how_many) in enumerate(pairs):
        y = row * 84.0
        kinds = {1: "data", 5: "operation"}
        boxes = [
            picture.box(i * 74, y, word, kinds.get(i, "plain"), 64)
            for i, word in enumerate(sentence.split())
        ]
        subject, verb, above = boxes[1], boxes[5], y - 34
        corners = [verb.top, (verb.x, above), (subject.x, above), subject.top]
        picture.line(corners, head=True)
        picture.note((subject.x + verb.x) / 2, above, how_many)
    blocks.figure(
        "far-apart",
        picture,
        "Two sentences in boxes: the dog by the pond barks, the dogs by the pond bark. An arrow "
        "leads from the verb over the pond back to the dog or the dogs: one barks, several bark.",
    )


def no_verb_fits_both() -> bool:
    """Return whether after one dog and several dogs come different words, equally likely."""
    one, several = (grammar.next_words(f"the {dog} by the pond") for dog in ("dog", "dogs"))
    return not set(one) & set(several) and sorted(one.values()) == sorted(several.values())


def once_in(log_probability: float) -> str:
    """Return in how many sentences one of this log-probability comes, to a thousand."""
    return f"{round(exp(-log_probability), -3):,.0f}"


# ---------------------------------------------------------------- exercises


@cache
def parroted() -> list[str]:
    """Return sentences by a memory of one word: each word is one that came after the last."""
    followers: dict[str, list[str]] = {}
    for sentence in sentences():
        for word, follower in pairwise([".", *sentence.split(), "."]):
            followers.setdefault(word, []).append(follower)
    rng = random.Random(2)
    return [_parrot(rng, followers) for _ in range(10_000)]


def _parrot(rng: random.Random, followers: dict[str, list[str]]) -> str:
    words = [rng.choice(followers["."])]
    while words[-1] != ".":
        words.append(rng.choice(followers[words[-1]]))
    return " ".join(words[:-1])


def parrot_text() -> None:
    """Write how often the grammar accepts a memory of one word, with one of its sentences."""
    accepted = sum(map(grammar.accepts, parroted())) / len(parroted())
    blocks.text(f"""
    About {100 * accepted:.0f} in 100. One of ours is *{longest_parroted()}*. Any two neighbours in
    it are fine. The program knows which word may follow which, and after each word it has
    forgotten all the others.
    """)


def longest_parroted() -> str:
    """Return the longest of the first sentences, which the grammar would not write."""
    longest = max(parroted()[:8], key=len)
    assert not grammar.accepts(longest)
    return longest


def repeated(length: int | None = None) -> tuple[int, int]:
    """Return how many of a thousand new sentences (of this length) the corpus has, of how many."""
    rng = random.Random(7)
    drawn = [grammar.sample(rng) for _ in range(1000)]
    chosen = [s for s in drawn if length in (None, len(s.split()))]
    known = set(sentences())
    return sum(sentence in known for sentence in chosen), len(chosen)


def ignorant() -> float:
    """Return the loss of a model that gives each token the same probability."""
    return log(vocab_size())


def coin(believed: float) -> float:
    """Return the surprise at a coin of 3 in 4 by a model that believes in this probability."""
    return -(0.75 * log(believed) + 0.25 * log(1 - believed))
