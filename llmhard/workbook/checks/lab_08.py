"""Lab 08: the sampler."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from math import exp
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from llmhard.workbook.answers import Wrong, agree, brief, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks

check = Checks("08")

Row = list[float]

HALVES = [0.5, 0.125, 0.25, 0.125]
LOGITS = st.lists(st.integers(-30, 30).map(lambda n: n / 10), min_size=1, max_size=5)
WEIGHTS = st.lists(st.integers(1, 16), min_size=1, max_size=5)
SCALED = WEIGHTS.map(lambda weights: [w / sum(weights) for w in weights])


def softmax(x: Row) -> Row:
    exps = [exp(a - max(x)) for a in x]
    return [e / sum(exps) for e in exps]


def only(p: Row, tokens: list[int]) -> Row:
    total = sum(p[token] for token in tokens)
    return [x / total if token in tokens else 0.0 for token, x in enumerate(p)]


def ranked(p: Row) -> list[int]:
    return sorted(range(len(p)), key=lambda token: -p[token])


def reaching(p: Row, top_p: float) -> list[int]:
    """The likeliest tokens, as few as make up top_p."""
    total = 0.0
    for count, token in enumerate(ranked(p), start=1):
        total += p[token]
        if total >= top_p:
            return ranked(p)[:count]
    return ranked(p)


def call(book: Book, text: str, function: Callable[..., Any], n: int, p: Row | None = None) -> Row:
    """What one of the reader's functions makes of the probabilities `p`, if it gets any."""
    arguments = {} if p is None else {"p": list(p)}
    result = book.attempt(text, lambda: function(*arguments.values()), **arguments)
    if isinstance(result, list) and len(result) < n:
        raise Wrong(
            f"{text} should have {n} numbers. Yours has {len(result)}: {brief(result)}",
            hint="The list keeps its length, for a number's place in it is the token. A token that "
            "is not kept stays in the list, with the probability 0.0.",
        )
    found = book.sequence(text, result, n, "numbers")
    for i, x in enumerate(found):
        if not isinstance(x, int | float):
            raise Wrong(
                f"number {i} of {text} should be a plain number. Yours is {show(x)}.",
                hint="Nothing is learned here: .data takes the number out of a Value.",
            )
    return [float(x) for x in found]


def probabilities(book: Book, logits: Row, **settings: float) -> tuple[str, Row]:
    function = book.get("sampling", "probabilities")
    options = "".join(f", {name}={show(x)}" for name, x in settings.items())
    text = f"probabilities({show(logits)}{options})"
    values = [book.engine(x) for x in logits]
    return text, call(book, text, lambda: function(values, **settings), len(logits))


@check(
    "choose draws with these probabilities",
    "Choosing",
    cases=[{"p": [0.0, 1.0, 0.0]}, {"p": HALVES}, {"p": [0.1, 0.0, 0.9]}],
)
def draws(book: Book, p: Row) -> None:
    function = book.get("sampling", "choose")
    text = f"choose({show(p)}, rng)"
    n = 2000

    def drawn() -> list[Any]:
        rng = random.Random(1)
        return [function(p, rng) for _ in range(n)]

    tokens = book.attempt(text, drawn, p=p)
    for token in tokens:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < len(p):
            hint = "It gives the token: its place in the list, not the probability that is there."
            if isinstance(token, int):
                hint = "The tokens of a list of n probabilities are 0 to n - 1, no other numbers."
            elif token is None:
                hint = "Sometimes nothing is returned. A number from 0 to 1 meets the stretch of "
                hint += "each token in turn only if the probabilities before it are added up."
            if isinstance(token, list):
                hint = "rng.choices gives a list; its first element is the token."
            raise Wrong(
                f"{text} should be a token from 0 to {len(p) - 1}. Yours is {show(token)}.",
                hint=hint,
            )
    shares = [tokens.count(token) / n for token in range(len(p))]
    if any(abs(share - x) > 0.05 for share, x in zip(shares, p, strict=True)):
        hint = "Each token should come up as often as its probability says."
        if all(abs(share - 1 / len(p)) < 0.05 for share in shares):
            hint = "Yours draws all tokens equally often: the probabilities are not used."
        elif any(share > 0 and x == 0 for share, x in zip(shares, p, strict=True)):
            hint = "A token with probability 0 came up: it has no stretch that could be hit."
        elif all(abs(a - b) < 0.04 for a, b in zip(shares, not_added_up(p), strict=True)):
            hint = "Yours compares the random number with each probability alone. Compare it with "
            hint += "the sum of the probabilities up to there."
        elif all(abs(a - b) < 0.04 for a, b in zip(shares, drawn_anew(p), strict=True)):
            hint = "Yours draws another random number for each token. Draw one, before the loop."
        elif max(shares) == 1.0:
            hint = "Yours always takes the same one. The likeliest is only the likeliest."
        raise Wrong(
            f"{text}, {n:,} times: how often each token came up",
            f"yours:     {show(shares)}",
            f"should be: {show(p)}, about",
            hint=hint,
        )
    if book.attempt(text, drawn) != tokens:
        raise Wrong(
            f"{text}: the same seed gives other tokens the second time.",
            hint="Draw with `rng`, not with the module random.",
        )


def not_added_up(p: Row) -> Row:
    """How often each token comes up if a number from 0 to 1 is compared with each p alone."""
    below, shares = 0.0, Row()
    for x in p:
        shares.append(max(0.0, x - below))
        below = max(below, x)
    return [*shares[:-1], 1.0 - sum(shares[:-1])]


def drawn_anew(p: Row) -> Row:
    """How often each token comes up if each of them has a random number of its own."""
    left, total, shares = 1.0, 0.0, Row()
    for x in p:
        total += x
        shares.append(left * total)
        left -= shares[-1]
    return shares


@check(
    "keep: some tokens, scaled to sum to 1",
    "Top-k",
    hint="Divide each one that is kept by the sum of those that are kept.",
    cases=[{"p": [0.5, 0.25, 0.25], "tokens": [1, 2]}, {"p": HALVES, "tokens": [0, 3]}],
)
def keeps(book: Book, p: Row, tokens: list[int]) -> None:
    function = book.get("sampling", "keep")
    text = f"keep({show(p)}, {tokens})"
    found = call(book, text, lambda p: function(p, tokens), len(p), p)
    hint = ""
    others = [token for token, x in enumerate(found) if bool(x) != (token in tokens)]
    if others:
        hint = f"Yours is wrong about token {others[0]}. `tokens` lists the tokens that are kept: "
        hint += "places in p, not probabilities."
    elif agree(found, [1 / len(tokens) if token in tokens else 0.0 for token in range(len(p))]):
        hint = "Yours gives all that are kept the same share. Each keeps its own, divided by the "
        hint += "sum of those that are kept."
    elif agree(found, [x / len(tokens) if i in tokens else 0.0 for i, x in enumerate(p)]):
        hint = "Yours divides by how many are kept. Divide by the sum of their probabilities."
    book.same(text, found, only(p, tokens), hint)


def kept_count(found: Row) -> int:
    return sum(x > 0 for x in found)


@check(
    "keep_top_k keeps k of them",
    "Top-k",
    after=["keep: some tokens, scaled to sum to 1"],
    cases=[{"p": HALVES, "k": 1}, {"p": HALVES, "k": 3}, {"p": HALVES, "k": 0}],
    p=SCALED,
    k=st.integers(0, 6),
)
def takes_k(book: Book, p: Row, k: int) -> None:
    function = book.get("sampling", "keep_top_k")
    text = f"keep_top_k({show(p)}, {k})"
    try:
        found = call(book, text, lambda p: function(p, k), len(p), p)
    except Wrong as wrong:
        more = (
            "k may be larger than the number of tokens: then all of them are kept. [:k] does that."
        )
        raise Wrong(*wrong.lines, hint=wrong.hint or (more if k > len(p) else "")) from None
    expected = only(p, ranked(p)[: k or len(p)])
    hint = "The k likeliest tokens are kept, and scaled."
    if k == 0:
        hint = "k = 0 keeps all."
    elif kept_count(found) > kept_count(expected):
        hint = (
            f"Yours keeps {kept_count(found)} tokens, more than {k}. Of equally likely ones only "
        )
        hint += "the first are kept."
    elif kept_count(found) < kept_count(expected):
        hint = f"Yours keeps {kept_count(found)} tokens, fewer than {k}."
    elif {i for i, x in enumerate(found) if x} != {i for i, x in enumerate(expected) if x}:
        hint = "Yours keeps other tokens than the likeliest."
        if {i for i, x in enumerate(found) if x} == set(ranked(p)[-k:]) - set(range(k)):
            hint = "Yours keeps the unlikeliest. by_probability(p) begins with the likeliest."
    elif not agree(sum(found), 1.0):
        hint = "Yours do not sum to 1: those that are kept have to be scaled."
    book.same(text, found, expected, hint)


@check(
    "keep_top_p keeps as few as make up p",
    "Top-p",
    after=["keep: some tokens, scaled to sum to 1"],
    cases=[
        {"p": HALVES, "top_p": 0.5},
        {"p": HALVES, "top_p": 0.6},
        {"p": [0.25, 0.5, 0.25], "top_p": 0.7},
        {"p": HALVES, "top_p": 1.0},
        {"p": [0.1] * 10, "top_p": 1.0},
    ],
    p=SCALED,
    top_p=st.sampled_from([0.05, 0.33, 0.71, 0.9, 0.99]),
)
def takes_p(book: Book, p: Row, top_p: float) -> None:
    function = book.get("sampling", "keep_top_p")
    text = f"keep_top_p({show(p)}, {show(top_p)})"
    found = call(book, text, lambda p: function(p, top_p), len(p), p)
    tokens = reaching(p, top_p)
    expected = only(p, tokens)
    hint = "The likeliest first, until those that are kept make up top_p."
    kept = {i for i, x in enumerate(found) if x}
    alone = {i for i, x in enumerate(p) if x >= top_p}
    if kept == alone and kept != set(tokens):
        hint = "Yours keeps each token whose own probability is top_p or more. It is their sum "
        hint += "that has to reach top_p: add them up, the likeliest first."
    elif kept == set(tokens[:-1]) or (not kept and tokens):
        hint = "Yours stops one token early: the token that takes the sum to top_p is kept, too."
    elif len(kept) == len(p) and len(tokens) < len(p) - 1:
        hint = "Yours keeps them all, as if the sum never reached top_p. The sum is that of the "
        hint += "probabilities, just as they are."
    elif len(kept) == len(tokens) + 1 and kept > set(tokens):
        hint = "Yours keeps one token too many: without it they make up top_p already."
    elif kept != set(tokens):
        hint = "Yours keeps other tokens. They are taken in the order of their probability, not of "
        hint += "their ids."
    elif not agree(sum(found), 1.0):
        hint = "Yours do not sum to 1: those that are kept have to be scaled."
    book.same(text, found, expected, hint)


@check(
    "the temperature divides the logits",
    "Temperature",
    after=["keep_top_k keeps k of them", "keep_top_p keeps as few as make up p"],
    cases=[
        {"logits": [1.0, 2.0], "temperature": 1.0},
        {"logits": [1.0, 2.0], "temperature": 0.5},
        {"logits": [1.0, 2.0, 0.0], "temperature": 2.0},
    ],
    logits=LOGITS,
    temperature=st.sampled_from([0.5, 0.8, 1.0, 2.0]),
)
def divides(book: Book, logits: Row, temperature: float) -> None:
    text, found = probabilities(book, logits, temperature=temperature)
    hint = "Divide each logit by the temperature, then take the softmax."
    plain = softmax(logits)
    if agree(found, softmax([x * temperature for x in logits])):
        hint = "Yours multiplies by the temperature: a low one should make likely tokens likelier."
    elif agree(found, plain):
        hint = "The temperature has no effect in yours. Is it used? To add or subtract it would "
        hint += "have none either: the softmax does not notice what all logits have in common."
    elif agree(found, [x / temperature for x in plain]):
        hint = "Yours divides the probabilities. The temperature divides the logits, before the "
        hint += "softmax."
    elif agree(found, raised(book, plain, temperature)):
        hint = "Yours raises the probabilities to a power, and they no longer sum to 1. Divide the "
        hint += "logits by the temperature, before the softmax."
    elif not agree(sum(found), 1.0):
        hint = f"Yours sum to {show(sum(found))}, not to 1."
    book.same(text, found, softmax([x / temperature for x in logits]), hint)


def raised(book: Book, p: Row, temperature: float) -> Row:
    """The probabilities to the power 1 / temperature, then the reader's top-k and top-p."""
    powers = [x ** (1 / temperature) for x in p]
    for name, all_of_it in (("keep_top_k", 0), ("keep_top_p", 1.0)):
        function, given = book.get("sampling", name), powers
        powers = book.attempt(name, partial(function, given, all_of_it))
    return powers


@check(
    "temperature 0 takes the largest",
    "Temperature",
    hint="With temperature 0 nothing is divided: the largest logit gets the probability 1, the "
    "first of several that are equal.",
    cases=[{"logits": [1.0, 3.0, 2.0]}, {"logits": [2.0, 2.0]}],
    logits=LOGITS,
)
def is_greedy(book: Book, logits: Row) -> None:
    text, found = probabilities(book, logits, temperature=0)
    book.same(text, found, only(softmax(logits), [logits.index(max(logits))]))


@check(
    "temperature, then top-k, then top-p",
    "Top-p",
    after=["the temperature divides the logits"],
    cases=[
        {"logits": [2.0, 1.0, 0.5, 0.0], "temperature": 2.0, "top_k": 3, "top_p": 0.45},
        {"logits": [2.0, 1.0, 0.5, 0.0], "temperature": 0.5, "top_k": 0, "top_p": 0.9},
        {"logits": [2.0, 1.0, 0.5, 0.0], "temperature": 0.5, "top_k": 2, "top_p": 1.0},
    ],
)
def in_turn(book: Book, logits: Row, temperature: float, top_k: int, top_p: float) -> None:
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    text, found = probabilities(book, logits, **settings)
    p = softmax([x / temperature for x in logits])
    first = only(p, ranked(p)[: top_k or len(p)])
    expected = only(first, reaching(first, top_p))
    other = only(p, reaching(p, top_p))
    hint = "Each step works on what the one before has left."
    if agree(found, only(other, ranked(other)[: top_k or len(p)])):
        hint = "Yours does top-p first. Top-p takes its share of what top-k has left."
    elif agree(found, first):
        hint = "top_p has no effect in yours."
    elif agree(found, other):
        hint = "top_k has no effect in yours."
    elif agree(found, only(softmax(logits), reaching(softmax(logits), top_p))):
        hint = "The temperature comes first: it decides how much the likeliest make up."
    book.same(text, found, expected, hint)


class Script:
    """A model that wants to say certain tokens, and notes what it reads."""

    def __init__(self, book: Book, says: list[int], block_size: int = 6) -> None:
        self.config = SimpleNamespace(n_layer=1, block_size=block_size, vocab_size=5)
        self.engine, self.says = book.engine, says
        self.read: list[int] = []
        self.caches: list[Any] = []
        self.left_over = 0  # tokens that were in the cache before the first was read

    def __call__(self, token: int, cache: Any) -> list[Any]:
        if isinstance(token, bool) or not isinstance(token, int):
            raise Wrong(
                f"The model is asked to read {show(token)}. It reads one token at a time.",
                hint="[BOS, *prompt] has the tokens of the prompt in it, [BOS, prompt] the whole "
                "prompt as one thing.",
            )
        if not self.read:
            self.left_over = len(cache.keys[0])
        if len(self.read) >= self.config.block_size:
            raise IndexError(
                f"the model can read {self.config.block_size} tokens, and this is one more"
            )
        self.read.append(token)
        self.caches.append(cache)
        cache.keys[0].append([])
        cache.values[0].append([])
        wanted = self.says[min(len(self.read), len(self.says)) - 1]
        return [self.engine(50.0 if token == wanted else 0.0) for token in range(5)]


def check_generate(
    book: Book, says: list[int], prompt: list[int], expected: list[int], read: list[int]
) -> None:
    function = book.get("sampling", "generate")
    model = Script(book, says)
    options = f", prompt={prompt}" if prompt else ""
    text = f"generate(model, rng{options})"
    what = f"{text} with a model that wants to say {says} and block_size = 6"
    given = list(prompt)

    def write() -> Any:
        return function(model, random.Random(1), **({"prompt": given} if prompt else {}))

    found = book.attempt(what, write, prompt=given)
    if model.left_over:
        raise Wrong(
            f"{what}: before it reads anything, its cache holds {model.left_over} tokens.",
            hint="They are those of an earlier sentence. Make a new KVCache in each call, inside "
            "generate.",
        )
    if not isinstance(found, list | tuple):
        raise Wrong(f"{text} should be a list of tokens. Yours is {show(found)}.")
    mine, tokens = list(found), [0, *prompt]
    reads = f"{what}: what it reads"
    if model.read[: len(tokens)] == tokens and model.read != read and mine != expected:
        after = model.read[len(tokens) :]
        twice = ""
        if after[: len(tokens)] == tokens or (prompt and after[: len(prompt)] == prompt):
            twice = f"Yours reads {'BOS' if not prompt else 'the beginning'} twice."
        elif after[:1] == tokens[-1:] and read[len(tokens) :][:1] != tokens[-1:]:
            twice = "Yours reads the last token of the beginning once more."
        if twice:
            hint = f"{twice} The logits after it are there already: choose from them, and read "
            hint += "only what is new."
            book.same(reads, model.read, read, hint)
    if model.read[: len(read)] == read and 0 in model.read[len(read) :]:
        hint = "Yours reads BOS in the middle. When BOS is chosen, the sentence ends: return it. "
        hint += "Any other choice is the token to read next."
        book.same(reads, model.read, read, hint)
    hint = "Read BOS and the prompt; choose; stop at BOS; otherwise keep the token and read it."
    if model.read[:1] != [0]:
        hint = "The model reads BOS first: it learned that sentences begin after it."
        book.same(reads, model.read, read, hint)
    if model.read[: 1 + len(prompt)] != [0, *prompt]:
        hint = "The model has to read the prompt, after BOS, before anything is chosen."
        book.same(reads, model.read, read, hint)
    if mine != expected:
        if mine == [*expected, 0] or 0 in mine:
            hint = "BOS ends the sentence and is no part of it."
        elif mine == expected[len(prompt) :]:
            hint = "The sentence begins with the prompt."
        elif len(expected) > 1 and mine == expected[-1:]:
            hint = "Only the last token is left. Is the list made anew each time?"
        elif len(mine) > len(prompt) + 1 < len(says) and set(mine[len(prompt) :]) == {
            says[len(prompt)]
        }:
            hint = "Yours always chooses from the logits that came first. After each token that is "
            hint += "read there are new ones: logits = model(...)."
        elif len(mine) > len(expected):
            hint = "After BOS, or when the model has read block_size tokens, the sentence ends."
        elif len(mine) < len(expected):
            hint = "Go on until BOS, or until block_size tokens are read and one more is chosen."
            if len(mine) < len(model.read) and mine == expected[: len(mine)]:
                hint += f" Yours ends where the model wants to say {expected[len(mine)]}."
        book.same(what, mine, expected, hint)
    book.same(reads, model.read, read, hint)
    if len({id(c) for c in model.caches}) > 1:
        raise Wrong(
            f"{what} gives the model more than one cache.",
            hint="With a new KVCache at each token the model forgets what it has read.",
        )


@check(
    "generate: from BOS to BOS",
    "Writing a sentence",
    after=["choose draws with these probabilities", "the temperature divides the logits"],
    cases=[{"says": [3, 1, 2, 0]}, {"says": [0]}],
)
def writes(book: Book, says: list[int]) -> None:
    check_generate(book, says, [], says[:-1], [0, *says[:-1]])


@check(
    "generate: a sentence that does not end",
    "Writing a sentence",
    after=["generate: from BOS to BOS"],
)
def ends(book: Book) -> None:
    check_generate(book, [3], [], [3] * 6, [0, 3, 3, 3, 3, 3])


@check("generate: a prompt", "Writing a sentence", after=["generate: from BOS to BOS"])
def continues(book: Book) -> None:
    check_generate(book, [4, 4, 2, 0], [3, 1], [3, 1, 2], [0, 3, 1, 2])
    check_generate(book, [2], [3, 1, 3, 1, 3], [3, 1, 3, 1, 3, 2], [0, 3, 1, 3, 1, 3])
    function = book.get("sampling", "generate")
    text = "generate(model, rng, prompt=[1, 1, 1, 1, 1, 1]) with block_size = 6"
    book.refuses(
        text, ValueError, lambda: function(Script(book, [3]), random.Random(1), prompt=[1] * 6)
    )


@check(
    "generate: your GPT writes",
    "Writing a sentence",
    after=[
        "generate: a sentence that does not end",
        "generate: a prompt",
        "temperature 0 takes the largest",
        "temperature, then top-k, then top-p",
    ],
    hint="The settings and `rng` go on to probabilities and choose.",
)
def your_own(book: Book) -> None:
    make, config = book.get("model", "GPT"), book.get("model", "Config")
    function = book.get("sampling", "generate")
    mine = book.attempt(
        "GPT.initialize(...)", lambda: make.initialize(config(5, 1, 4, 2, 6), random.Random(1))
    )

    def sentence(seed: int, **settings: float) -> list[int]:
        text = "generate(model, rng)"
        found = book.attempt(text, lambda: function(mine, random.Random(seed), **settings))
        for token in found:
            if not isinstance(token, int) or not 0 < token < 5:
                raise Wrong(f"{text} with 5 tokens gives {show(found)}.")
        return list(found)

    several = [sentence(seed) for seed in range(6)]
    if [sentence(seed) for seed in range(6)] != several:
        raise Wrong("generate(model, rng): the same seed gives another sentence the second time.")
    if all(tokens == several[0] for tokens in several):
        raise Wrong("generate(model, rng): six seeds give the same sentence six times.")
    for settings in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}):
        greedy = [sentence(seed, **settings) for seed in range(4)]
        if any(tokens != greedy[0] for tokens in greedy):
            (name,) = settings
            raise Wrong(
                f"generate(model, rng, {name}={settings[name]}) should always write the same, as "
                f"only one token is left to choose. Yours: {show(greedy)}."
            )
