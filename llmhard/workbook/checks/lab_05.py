"""Lab 05: the GPT."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import exp, log, sqrt
from typing import Any

from hypothesis import strategies as st

from llmhard.workbook.answers import Wrong, agree, show
from llmhard.workbook.book import Book
from llmhard.workbook.checks import Checks

check = Checks("05")

Row = list[float]
Matrix = list[Row]
Sizes = dict[str, int]

TINY = {"vocab_size": 5, "n_layer": 2, "n_embd": 6, "n_head": 2, "block_size": 4}
EPS = 1e-5


# ---------------------------------------------------------------- the same model on plain numbers


def linear(x: Row, w: Matrix) -> Row:
    return [sum(a * b for a, b in zip(row, x, strict=True)) for row in w]


def softmax(x: Row) -> Row:
    exps = [exp(a - max(x)) for a in x]
    return [e / sum(exps) for e in exps]


def rmsnorm(x: Row) -> Row:
    return [a / sqrt(sum(b * b for b in x) / len(x) + EPS) for a in x]


def add(x: Row, y: Row) -> Row:
    return [a + b for a, b in zip(x, y, strict=True)]


def attend(query: Row, keys: Matrix, values: Matrix, divisor: float | None = None) -> Row:
    divisor = sqrt(len(query)) if divisor is None else divisor
    weights = softmax([score / divisor for score in linear(query, keys)])
    return linear(weights, [list(column) for column in zip(*values, strict=True)])


class Plain:
    """The model, and what it becomes by a slip: an attribute for each."""

    def __init__(self, sizes: Sizes, w: dict[str, Matrix], slip: str = "") -> None:
        self.sizes, self.w, self.slip = sizes, w, slip
        self.keys: list[Matrix] = [[] for _ in range(sizes["n_layer"])]
        self.values: list[Matrix] = [[] for _ in range(sizes["n_layer"])]

    def attention(self, layer: int, x: Row) -> Row:
        slip = self.slip
        q, k, v, o = (self.w[f"h.{layer}.attn.{name}_proj.weight"] for name in "qkvo")
        query, key, value = linear(x, q), linear(x, k), linear(x, v)
        keys, values = self.keys[layer], self.values[layer]
        keys.append(x if slip == "raw" else key)
        values.append(key if slip == "key for value" else value)
        n, heads = self.sizes["n_embd"], 1 if slip == "one head" else self.sizes["n_head"]
        visible = slice(0, -1 if slip == "not itself" and len(keys) > 1 else None)
        if slip == "only itself":
            visible = slice(len(keys) - 1, None)
        out: Row = []
        for start in range(0, n, n // heads):
            part = slice(start, start + n // heads)
            if slip == "same head":
                part = slice(0, n // heads)
            elif slip == "combs":
                part = slice(start // (n // heads), None, heads)
            elif slip == "overlap":
                part = slice(start // (n // heads), start // (n // heads) + n // heads)
            out += attend(
                query[part],
                [k[part] for k in keys[visible]],
                [v[part] for v in values[visible]],
                sqrt(n) if slip == "root of n_embd" else None,
            )
        out = out if slip == "no o_proj" else linear(out, o)
        return add(out, x) if slip == "x in attention" else out

    def mlp(self, layer: int, x: Row) -> Row:
        layer = 0 if self.slip == "mlp of layer 0" else layer
        into = [max(a, 0.0) for a in x] if self.slip == "relu first" else x
        hidden = linear(into, self.w[f"h.{layer}.mlp.up_proj.weight"])
        if self.slip not in ("no relu", "relu last", "relu first"):
            hidden = [max(h, 0.0) for h in hidden]
        out = linear(hidden, self.w[f"h.{layer}.mlp.down_proj.weight"])
        out = add(out, x) if self.slip == "x in mlp" else out
        return [max(h, 0.0) for h in out] if self.slip == "relu last" else out

    def __call__(self, token: int) -> Row:
        slip, w = self.slip, self.w
        position = 0 if slip == "position 0" else len(self.keys[0])
        if slip == "next position":
            position = (position + 1) % self.sizes["block_size"]
        if slip == "layers for the position":
            position = len(self.keys)
        x = w["wte.weight"][token]
        x = x if slip == "no position" else add(x, w["wpe.weight"][position])
        x = x if slip == "no first norm" else rmsnorm(x)
        layers = range(1 if slip == "one layer" else self.sizes["n_layer"])
        for layer in layers:
            if slip == "norm after":
                x = rmsnorm(add(x, self.attention(layer, x)))
                x = rmsnorm(add(x, self.mlp(layer, x)))
                continue
            x = rmsnorm(x) if slip in ("normed line", "normed for attention") else x
            norms = slip not in ("attention norm", "normed line", "normed for attention")
            part = self.attention(layer, rmsnorm(x) if norms else x)
            normed, before = rmsnorm(x), x
            x = part if slip in ("no residual", "no attention residual") else add(x, part)
            x = rmsnorm(x) if slip in ("normed line", "normed for mlp") else x
            if slip in ("side by side", "mlp of the old x"):
                part = self.mlp(layer, normed)
            else:
                norms = slip not in ("mlp norm", "normed line", "normed for mlp")
                part = self.mlp(layer, rmsnorm(x) if norms else x)
            x = before if slip == "mlp of the old x" else x
            x = part if slip in ("no residual", "no mlp residual") else add(x, part)
        x = rmsnorm(x) if slip == "final norm" else x
        logits = linear(x, w["wte.weight" if slip == "wte again" else "lm_head.weight"])
        return softmax(logits) if slip == "probabilities" else logits


ATTENTION_SLIPS = {
    "raw": "The key in the cache is the token itself. It should go through k_proj first.",
    "key for value": "Yours mixes the keys. What is mixed are the values: cache.values holds them, "
    "made by v_proj.",
    "combs": "Yours gives a head every n-th number. A head's numbers are neighbours: head h has "
    "those from h * head_dim to (h + 1) * head_dim.",
    "overlap": "The shares of yours overlap. Head h starts at h * head_dim, not at h.",
    "root of n_embd": "Yours divides by the root of n_embd. d is what one head has: "
    "n_embd / n_head.",
    "one head": "Yours attends once with all the numbers. Each head attends with its own share of "
    "n_embd / n_head numbers.",
    "same head": "All heads of yours attend with the first share of the numbers. Head h starts at "
    "h * head_dim.",
    "not itself": "Yours attends to the tokens before it only. A token attends to itself, too: its "
    "key and value go into the cache before the heads read it.",
    "only itself": "Yours attends to the newest token only. The query meets all the keys in the "
    "cache.",
    "x in attention": "attention gives its own result only. It is the model that adds it to x.",
    "no o_proj": "The heads' results go through o_proj at the end.",
}

MODEL_SLIPS = {
    "norm after": "Yours normalizes after each addition. rmsnorm comes before attention and before "
    "mlp: x = x + attention(rmsnorm(x)).",
    "no position": "The token's row of wte is there, the position's row of wpe is missing.",
    "position 0": "Each token gets the row of position 0. The position is the number of tokens in "
    "the cache.",
    "next position": "The first token is at position 0: the number of tokens in the cache before "
    "this one.",
    "no first norm": "The rmsnorm after the embeddings is missing.",
    "layers for the position": "Yours takes the row of position len(cache.keys), which counts the "
    "layers. len(cache) counts the tokens.",
    "side by side": "mlp gets the same rmsnorm(x) as attention. It should get that of the new x, "
    "to which attention has been added.",
    "mlp of the old x": "What attention adds is lost: x = x + attention(...) comes first, and mlp "
    "works on the new x.",
    "no attention residual": "Attention adds to x, it does not replace it: x = x + attention(...)",
    "wte again": "Yours takes wte.weight for the logits. This model has a matrix of its own for "
    "them, lm_head.weight.",
    "relu last": "relu comes between up_proj and down_proj, not after both.",
    "relu first": "relu comes after up_proj, on what it gives, not before it.",
    "normed for attention": "Yours adds attention to rmsnorm(x). Only attention gets rmsnorm(x): "
    "what it gives is added to x as it was.",
    "normed for mlp": "Yours adds mlp to rmsnorm(x). Only mlp gets rmsnorm(x): what it gives is "
    "added to x as it was.",
    "x in mlp": "mlp gives its own result only. It is the model that adds it to x.",
    "mlp of layer 0": "mlp takes the matrices of layer 0 whatever the layer: the name begins "
    "with h.{layer}.",
    "one layer": "Yours stops after the first layer.",
    "attention norm": "attention should get rmsnorm(x), not x.",
    "mlp norm": "mlp should get rmsnorm(x), not x.",
    "no residual": "Attention and MLP add to x, they do not replace it: x = x + ...",
    "no mlp residual": "The MLP adds to x, it does not replace it: x = x + mlp(...)",
    "final norm": "There is no rmsnorm before lm_head in this model.",
    "no relu": "The relu between the two layers of the MLP is missing.",
    "normed line": "Only attention and mlp get rmsnorm(x). What they give is added to x as it was.",
    "probabilities": "Yours are probabilities. The model gives logits: no softmax at its end.",
}


# ---------------------------------------------------------------- the reader's model


def config(book: Book, sizes: Sizes) -> Any:
    make = book.get("model", "Config")
    return book.attempt("Config(...)", lambda: make(**sizes))


def numbers_for(sizes: Sizes, seed: int) -> dict[str, Matrix]:
    rng = random.Random(seed)
    return {
        name: [[round(rng.gauss(0, 0.7), 2) for _ in range(cols)] for _ in range(rows)]
        for name, (rows, cols) in shapes_of(**sizes).items()
    }


def shapes_of(
    vocab_size: int, n_layer: int, n_embd: int, n_head: int, block_size: int
) -> dict[str, tuple[int, int]]:
    del n_head  # the heads share the same matrices
    n = n_embd
    shapes = {"wte.weight": (vocab_size, n), "wpe.weight": (block_size, n)}
    for i in range(n_layer):
        shapes |= {f"h.{i}.attn.{name}_proj.weight": (n, n) for name in "qkvo"}
        shapes |= {
            f"h.{i}.mlp.up_proj.weight": (4 * n, n),
            f"h.{i}.mlp.down_proj.weight": (n, 4 * n),
        }
    return shapes | {"lm_head.weight": (vocab_size, n)}


def model(book: Book, sizes: Sizes, w: dict[str, Matrix]) -> Any:
    """The reader's GPT with these parameters."""
    make, value = book.get("model", "GPT"), book.engine
    parameters = {name: [[value(x) for x in row] for row in matrix] for name, matrix in w.items()}
    return book.attempt("GPT(config, parameters)", lambda: make(config(book, sizes), parameters))


def cache(book: Book, n_layer: int = 2) -> Any:
    make = book.get("model", "KVCache")
    return book.attempt("KVCache(n_layer)", lambda: make(n_layer))


def engine_values(book: Book, numbers: Row) -> list[Any]:
    return [book.engine(x) for x in numbers]


def data(book: Book, text: str, found: Any, n: int) -> Row:
    return [v.data for v in book.values(text, found, n)]


def compare(
    text: str,
    found: list[Row],
    wanted: Callable[[str], list[Row]],
    slips: dict[str, str],
    guess: str = "",
) -> None:
    """Check all rows; if they are those of a known slip, say which."""
    expected = wanted("")
    if agree(found, expected):
        return
    hint = next((known for slip, known in slips.items() if agree(found, wanted(slip))), "")
    i = next(i for i, (f, e) in enumerate(zip(found, expected, strict=True)) if not agree(f, e))
    raise Wrong(
        f"{text}, token number {i}:" if len(found) > 1 else f"{text}:",
        f"yours:     {show(found[i])}",
        f"should be: {show(expected[i])}",
        hint=hint,
        guess=guess,
    )


# ---------------------------------------------------------------- what happens on the way

Step = tuple[str, list[Row] | Row]  # what it is, and its numbers


def plain(x: Any) -> Any:
    """The numbers in lists of Values."""
    if isinstance(x, list | tuple):
        return [plain(item) for item in x]
    return x.data if hasattr(x, "data") else x


def first_difference(found: list[Step], expected: list[Step]) -> list[str]:
    """Say at which step two computations part: all before it is right."""
    right = ""
    for (name, mine), (wanted_name, wanted) in zip(found, expected, strict=False):
        if name != wanted_name:
            return [f"Yours goes on to {name}. Before that, there should be {wanted_name}."]
        if not agree(mine, wanted):
            return [
                f"The first thing that differs is {name}.",
                *([f"What comes before it is right, up to {right}."] if right else []),
                f"yours:     {show(mine)}",
                f"should be: {show(wanted)}",
            ]
        right = name
    if len(found) < len(expected):
        return [f"Yours has no {expected[len(found)][0]}."]
    return []


def told(function: Callable[[], None], steps: Callable[[], tuple[list[Step], list[Step]]]) -> None:
    """Run a comparison; if it fails and no slip is known, tell where the two computations part."""
    try:
        function()
    except Wrong as wrong:
        lines = [] if wrong.hint else first_difference(*steps())
        if not lines:
            raise
        kept = [line for line in wrong.lines if not line.startswith(("yours:", "should be:"))]
        hint = "Look at the line that makes it."
        if any(line.startswith("yours:     []") for line in lines):
            hint = "Key and value go first of all into cache.keys[layer] and cache.values[layer]. "
            hint += "Each head takes its share of each key and each value that is there."
        raise Wrong(*kept, *lines, hint=hint) from None


@check(
    "Config.shapes names every matrix",
    "The parameters",
    cases=[{"sizes": TINY}],
    sizes=st.fixed_dictionaries(
        {
            "vocab_size": st.integers(1, 9),
            "n_layer": st.integers(1, 3),
            "n_embd": st.sampled_from([2, 4, 8]),
            "n_head": st.sampled_from([1, 2]),
            "block_size": st.integers(1, 9),
        }
    ),
)
def names(book: Book, sizes: Sizes) -> None:
    mine = config(book, sizes)
    text = f"Config({', '.join(f'{name}={size}' for name, size in sizes.items())}).shapes()"
    found = book.attempt(text, mine.shapes)
    expected = shapes_of(**sizes)
    if not isinstance(found, dict):
        raise Wrong(f"{text} should be a dict. Yours is {show(found)}.")
    for name, shape in expected.items():
        if name not in found:
            strange = ", ".join(map(repr, found.keys() - expected.keys())) or "nothing else"
            raise Wrong(
                f"{text} lacks {name!r}. What it has besides those of the model: {strange}.",
                hint="The docstring lists all names.",
            )
        listed = tuple(found[name]) if isinstance(found[name], list | tuple) else found[name]
        hint = ""
        if listed != shape and listed == shape[::-1]:
            hint = "The rows come first: one row for each number that comes out."
        book.same(f"{text}[{name!r}]", listed, shape, hint)
    if extra := found.keys() - expected.keys():
        raise Wrong(f"{text} has {min(extra)!r}, which the model does not.")
    book.same(
        f"the names of {text}, in order",
        list(found),
        list(expected),
        "The order decides which random numbers a matrix gets.",
    )


@check(
    "initialize draws every parameter", "The parameters", after=["Config.shapes names every matrix"]
)
def draws(book: Book) -> None:
    sizes = TINY | {"vocab_size": 60, "n_embd": 16}
    make, settings = book.get("model", "GPT"), config(book, sizes)
    text = "GPT.initialize(config, random.Random(1))"
    mine = book.attempt(text, lambda: make.initialize(settings, random.Random(1)))
    if not isinstance(mine, make):
        raise Wrong(
            f"{text} should be a GPT. Yours is {show(mine)}.",
            hint="The method gets the class as `cls`: return cls(config, parameters).",
        )
    found = book.method(mine, "parameters")
    everything = []
    for name, (rows, cols) in shapes_of(**sizes).items():
        if name not in found:
            raise Wrong(f"{text} has no parameter {name!r}.")
        matrix = book.sequence(f"the matrix {name}", found[name], rows, "rows")
        for i, row in enumerate(matrix):
            if isinstance(row, list) and any(isinstance(p, float) for p in row):
                raise Wrong(
                    f"Row {i} of {name} holds plain numbers.",
                    hint="A parameter is a Value: Value(rng.gauss(0, INIT_STD)).",
                )
            everything += book.values(f"row {i} of {name}", row, cols)
    if len({id(p) for p in everything}) != len(everything):
        raise Wrong(
            "Two places in the parameters hold one and the same Value.",
            hint="[row] * rows is the same row many times, and [Value(...)] * cols the same Value. "
            "Every parameter is a Value of its own, made in a loop.",
        )
    mean = sum(p.data for p in everything) / len(everything)
    std = sqrt(sum((p.data - mean) ** 2 for p in everything) / len(everything))
    if not (abs(mean) < 0.01 and 0.076 < std < 0.084):
        raise Wrong(
            f"The {len(everything):,} parameters have the mean {show(mean)} and the standard "
            f"deviation {show(std)}; they should have 0 and 0.08.",
            hint="rng.gauss(0, INIT_STD) draws one.",
        )
    far = sum(abs(p.data) > 0.16 for p in everything) / len(everything)
    if not 0.03 < far < 0.06:
        raise Wrong(
            f"{far:.1%} of the parameters are further than two standard deviations from 0; with a "
            f"normal distribution it is 4.6 %.",
            hint="rng.gauss(0, INIT_STD) draws one.",
        )
    small = config(book, TINY)

    def first(seed: int) -> Any:
        drawn = book.attempt(text, lambda: make.initialize(small, random.Random(seed)))
        return drawn.parameters["wte.weight"][0][0].data

    if first(2) == found["wte.weight"][0][0].data:
        raise Wrong(
            "GPT.initialize(config, rng) gives the same model for random.Random(1) and for "
            "random.Random(2).",
            hint="Draw from rng as it comes: whoever made it has seeded it.",
        )
    if first(1) != found["wte.weight"][0][0].data:
        raise Wrong(
            f"{text}, twice, gives two different models.",
            hint="Draw with `rng`, not with the module random: then a seed gives the same again.",
        )


@check("scalars lists every parameter once", "The parameters")
def lists(book: Book) -> None:
    w = numbers_for(TINY, 1)
    mine = model(book, TINY, w)
    found = book.attempt("model.scalars()", mine.scalars)
    expected = [p for matrix in mine.parameters.values() for row in matrix for p in row]
    listed = {id(p) for p in found} if isinstance(found, list) else set()
    missing = [
        name
        for name, matrix in mine.parameters.items()
        if not any(id(p) in listed for row in matrix for p in row)
    ]
    if 0 < len(missing) < len(mine.parameters):
        raise Wrong(f"model.scalars() has {len(listed)} Values and none of {missing[0]}.")
    items = book.values("model.scalars()", found, len(expected))
    if any(a is not b for a, b in zip(items, expected, strict=True)):
        hint = "The optimizer changes what is in this list: copies would leave the model as it was."
        if listed == {id(p) for p in expected}:
            hint = "All of them are there, in another order. Collect them in a list, in the order "
            hint += "of the matrices: a set has no order."
        raise Wrong(
            "model.scalars() should list the parameters themselves, matrix by matrix, row by row.",
            hint=hint,
        )


@st.composite
def heads(draw: st.DrawFn) -> tuple[Row, Matrix, Matrix]:
    d, tokens = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    row = st.lists(st.integers(-20, 20).map(lambda n: n / 10), min_size=d, max_size=d)
    rows = st.lists(row, min_size=tokens, max_size=tokens)
    return draw(row), draw(rows), draw(rows)


@check(
    "attend: one head",
    "Attention",
    cases=[
        {"qkv": ([1.0, 0.0], [[2.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]])},
        {"qkv": ([1.0, 0.0], [[2.0, 5.0]], [[3.0, 4.0]])},
        {"qkv": ([1.0, 1.0, 0.0], [[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0] * 3, [3.0] * 3])},
    ],
    qkv=heads(),
)
def attends(book: Book, qkv: tuple[Row, Matrix, Matrix]) -> None:
    query, keys, vals = qkv
    text = f"attend({show(query)}, {show(keys)}, {show(vals)})"
    function = book.get("model", "attend")
    inputs = {
        "query": engine_values(book, query),
        "keys": [engine_values(book, key) for key in keys],
        "values": [engine_values(book, value) for value in vals],
    }
    steps: list[Step] = []
    with softmax_watched(book, steps):
        found = book.attempt(text, lambda: function(*inputs.values()), **inputs)
    d = len(query)
    numbers = data(book, text, found, d)
    expected = attend(query, keys, vals)
    if not agree(numbers, expected):
        scores = [score / sqrt(d) for score in linear(query, keys)]
        weights: list[Step] = [("what softmax gets", scores), ("the weights", softmax(scores))]
        known = slip_of_attend(numbers, query, keys, vals)
        raise Wrong(
            f"{text}:",
            f"yours:     {show(numbers)}",
            f"should be: {show(expected)}",
            *([] if known else first_difference(steps, weights)),
            hint=known,
            guess="Number i of the result is the sum, over all tokens, of the token's weight times "
            "number i of its value.",
        )


@contextmanager
def softmax_watched(book: Book, steps: list[Step]) -> Iterator[None]:
    """Note what the softmax of the reader's model gets and gives."""
    own = getattr(book.module("model"), "softmax", None)

    def watched(scores: Any) -> Any:
        steps.append(("what softmax gets", plain(scores)))
        steps.append(("the weights", plain(result := own(scores) if own else scores)))
        return result

    with book.replaced("model", "softmax", watched if own else None):
        yield


def slip_of_attend(numbers: Row, query: Row, keys: Matrix, vals: Matrix) -> str:
    """The slip that gives these numbers, "" if it is none of those that are known."""
    d, hint = len(query), ""
    halved = [x / sqrt(d) for x in linear(softmax(linear(query, keys)), turned(vals))]
    if agree(numbers, attend(query, keys, vals, 1.0)):
        hint = "The scores are not divided by sqrt(d), d being the length of the query."
    elif agree(numbers, attend(query, keys, vals, float(d))):
        hint = "The scores are divided by d itself; it takes its root."
    elif agree(numbers, attend(query, vals, keys)):
        hint = "Keys and values have changed places: the query is compared with the keys."
    elif agree(numbers, attend(query, vals, vals)):
        hint = "The scores should come from the keys: yours compares the query with the values."
    elif agree(numbers, halved):
        hint = "The scores are divided by sqrt(d) before the softmax, not the weights after it."
    elif agree(numbers, attend(query, keys, keys)):
        hint = "It mixes the values, not the keys."
    elif agree(
        numbers,
        linear([s / sqrt(d) for s in linear(query, keys)], turned(vals)),
    ):
        hint = "The softmax is missing: the weights should be above 0 and sum to 1."
    elif len(vals) == d and agree(
        numbers, linear(softmax([s / sqrt(d) for s in linear(query, keys)]), vals)
    ):
        hint = "Number i of the result mixes number i of each value: turn the values on their side."
    elif divisor := divisor_of(numbers, query, keys, vals):
        hint = f"Yours divides the scores by {divisor:.3f}"
        if agree(divisor**2, float(round(divisor**2))):
            hint += f", the root of {round(divisor**2)}"
        elif agree(1 / divisor**2, float(round(1 / divisor**2))):
            hint += f", which is to multiply them by the root of {round(1 / divisor**2)}"
        hint += f". Here it should be sqrt({d}), because d, the length of the query, is {d}."
    return hint


def turned(rows: Matrix) -> Matrix:
    return [list(column) for column in zip(*rows, strict=True)]


def divisor_of(numbers: Row, query: Row, keys: Matrix, vals: Matrix) -> float | None:
    """What the scores of two keys were divided by to give these numbers, if by anything."""
    apart = [i for i in range(len(query)) if len(vals) == 2 and vals[0][i] != vals[1][i]]
    if not apart:
        return None
    (i, *_), scores = apart, linear(query, keys)
    weight = (numbers[i] - vals[1][i]) / (vals[0][i] - vals[1][i])
    if not 0 < weight < 1 or weight == 0.5:
        return None
    divisor = (scores[0] - scores[1]) / log(weight / (1 - weight))
    return divisor if agree(numbers, attend(query, keys, vals, divisor or 1.0)) else None


def inputs(seed: int, n: int, count: int) -> list[Row]:
    rng = random.Random(seed)
    return [[round(rng.gauss(0, 1), 1) for _ in range(n)] for _ in range(count)]


@check(
    "attention keeps a key and a value of each token",
    "The KV cache",
    after=["attend: one head"],
    hint="Key and value go first of all into cache.keys[layer] and cache.values[layer]. Then each "
    "head takes its share of each key and each value.",
)
def caches(book: Book) -> None:
    w, tokens, steps = numbers_for(TINY, 2), inputs(1, 6, 2), list[Step]()
    told(
        lambda: check_caches(book, w, tokens, steps),
        lambda: (steps, attend_expected(1, w, tokens)),
    )


def check_caches(book: Book, w: dict[str, Matrix], tokens: Matrix, steps: list[Step]) -> None:
    mine, kept, model_of_it = model(book, TINY, w), cache(book), Plain(TINY, w)
    for i, x in enumerate(tokens):
        attention(book, mine, 1, x, kept, steps)
        model_of_it.attention(1, x)
        for name, lists, expected in (
            ("keys", kept.keys, model_of_it.keys),
            ("values", kept.values, model_of_it.values),
        ):
            counts = [len(part) for part in lists]
            if counts != [0, i + 1]:
                raise Wrong(
                    f"After {i + 1} calls of model.attention(1, x, cache) the lists in "
                    f"cache.{name} have the lengths {counts}; they should have {[0, i + 1]}.",
                    hint="Each call adds one key and one value to its own layer's lists only.",
                )
            text = f"cache.{name}[1][{i}]"
            found = data(book, text, lists[1][i], 6)
            hint = f"It is linear(x, {name[0]}_proj.weight of this layer)."
            book.same(text, found, expected[1][i], hint)


def attention(book: Book, mine: Any, layer: int, x: Row, kept: Any, steps: list[Step]) -> Any:
    """What the reader's attention makes of one more token; the steps on the way are noted."""
    steps.append((f"token number {sum(name.startswith('token') for name, _ in steps)}", x))
    x_values, name = engine_values(book, x), f"model.attention({layer}, x, cache)"
    o_proj = mine.parameters[f"h.{layer}.attn.o_proj.weight"]
    with attend_watched(book, steps), o_proj_watched(book, steps, o_proj):
        return book.attempt(name, partial(mine.attention, layer, x_values, kept), x=x_values)


@contextmanager
def attend_watched(book: Book, steps: list[Step]) -> Iterator[None]:
    """Note what the reader's attend gets and gives."""
    own, start = book.get("model", "attend"), len(steps)

    def watched(query: Any, keys: Any, values: Any) -> Any:
        name = f"head {(len(steps) - start) // 4} of {steps[start - 1][0]}"
        for what, given in (("query", query), ("keys", keys), ("values", values)):
            steps.append((f"the {what} that attend gets for {name}", plain(given)))
        result = own(query, keys, values)
        steps.append((f"what attend gives for {name}", plain(result)))
        return result

    with book.replaced("model", "attend", watched):
        yield


@contextmanager
def o_proj_watched(book: Book, steps: list[Step], o_proj: Any) -> Iterator[None]:
    """Note what the reader's linear layer at the end of attention gets."""
    own = getattr(book.module("model"), "linear", None)

    def watched(x: Any, w: Any) -> Any:
        if w is o_proj:
            steps.append(("what o_proj gets", plain(x)))
        return own(x, w) if own else None

    with book.replaced("model", "linear", watched if own else None):
        yield


def attend_expected(layer: int, w: dict[str, Matrix], tokens: Matrix) -> list[Step]:
    """What should be noted on the way through attention."""
    steps, cached = list[Step](), Plain(TINY, w)
    d = TINY["n_embd"] // TINY["n_head"]
    for i, x in enumerate(tokens):
        cached.attention(layer, x)
        query, joined = linear(x, w[f"h.{layer}.attn.q_proj.weight"]), list[float]()
        steps.append((f"token number {i}", x))
        for h in range(TINY["n_head"]):
            part, name = slice(h * d, (h + 1) * d), f"head {h} of token number {i}"
            keys = [key[part] for key in cached.keys[layer]]
            values = [value[part] for value in cached.values[layer]]
            for what, given in (("query", query[part]), ("keys", keys), ("values", values)):
                steps.append((f"the {what} that attend gets for {name}", given))
            joined += (result := attend(query[part], keys, values))
            steps.append((f"what attend gives for {name}", result))
        steps.append(("what o_proj gets", joined))
    return steps


@check(
    "attention mixes all tokens so far",
    "Several heads",
    after=["attend: one head", "attention keeps a key and a value of each token"],
)
def mixes(book: Book) -> None:
    w, tokens, steps = numbers_for(TINY, 3), inputs(3, 6, 3), list[Step]()
    mine, kept = model(book, TINY, w), cache(book)
    text = "model.attention(0, x, cache)"

    def wanted(slip: str) -> list[Row]:
        plain = Plain(TINY, w, slip)
        return [plain.attention(0, x) for x in tokens]

    def compute_and_compare() -> None:
        found = [
            data(book, text, attention(book, mine, 0, x, kept, steps), TINY["n_embd"])
            for x in tokens
        ]
        guess = (
            "Query, key and value by their linear layers; each head with its share; then o_proj."
        )
        compare(text, found, wanted, ATTENTION_SLIPS, guess)

    told(compute_and_compare, lambda: (steps, attend_expected(0, w, tokens)))


@check("mlp: up, relu, down", "The MLP")
def feeds_forward(book: Book) -> None:
    w = numbers_for(TINY, 4)
    mine = model(book, TINY, w)
    (x,) = inputs(4, 6, 1)
    text = f"model.mlp(1, {show(x)})"
    out = book.attempt(text, lambda: mine.mlp(1, engine_values(book, x)))
    found = [data(book, text, out, 6)]
    slips = {
        name: MODEL_SLIPS[name]
        for name in ("no relu", "relu last", "relu first", "x in mlp", "mlp of layer 0")
    }
    guess = "up_proj, relu of each number, down_proj, all of the layer that is asked for."
    compare(text, found, lambda slip: [Plain(TINY, w, slip).mlp(1, x)], slips, guess)


@check(
    "the logits of a whole sentence",
    "From token to logits",
    after=["attention mixes all tokens so far", "mlp: up, relu, down"],
    hint="add(x, y) adds two lists number by number; x + y would put one behind the other. The "
    "position is len(cache), and the first is 0.",
)
def predicts(book: Book) -> None:
    w, tokens = numbers_for(TINY, 5), [0, 3, 1, 4]
    mine, kept = model(book, TINY, w), cache(book)
    found, steps = [], list[Step]()
    watch_layers(mine, steps, plain)
    for i, token in enumerate(tokens):
        out = book.attempt(f"model({token}, cache)", partial(mine, token, kept))
        found.append(data(book, f"model({token}, cache)", out, 5))
        if len(kept) != i + 1:
            raise Wrong(
                f"After {i + 1} tokens len(cache) is {len(kept)}.",
                hint="Each token leaves one key and one value in every layer.",
            )

    def wanted(slip: str) -> list[Row]:
        plain = Plain(TINY, w, slip)
        return [plain(token) for token in tokens]

    def expected_steps() -> list[Step]:
        model, expected = Plain(TINY, w), list[Step]()
        watch_layers(model, expected, lambda x: x)
        for token in tokens:
            model(token)
        return expected

    guess = (
        "Embeddings, rmsnorm, the layers with what they add to x, lm_head: compare line by line."
    )
    told(
        lambda: compare(f"model(token, cache) for {tokens}", found, wanted, MODEL_SLIPS, guess),
        lambda: (steps, expected_steps()),
    )


def watch_layers(model: Any, steps: list[Step], numbers: Callable[[Any], Any]) -> None:
    """Let a model note what its attention and mlp get and give."""
    for name in ("attention", "mlp"):

        def watched(own: Any, name: str, layer: int, x: Any, *rest: Any) -> Any:
            steps.append((f"the x that {name} of layer {layer} gets", numbers(x)))
            result = own(layer, x, *rest)
            steps.append((f"what {name} of layer {layer} gives", numbers(result)))
            return result

        setattr(model, name, partial(watched, getattr(model, name), name))


@check(
    "what comes later changes nothing before",
    "The KV cache",
    after=["the logits of a whole sentence"],
    hint="A second sentence starts with a new cache, and a model keeps nothing of the first.",
)
def is_causal(book: Book) -> None:
    mine = model(book, TINY, numbers_for(TINY, 6))

    def logits(tokens: list[int]) -> Iterator[Row]:
        kept = cache(book)
        for token in tokens:
            out = book.attempt(f"model({token}, cache)", partial(mine, token, kept))
            yield data(book, f"model({token}, cache)", out, 5)

    first, second = list(logits([1, 2, 3])), list(logits([1, 2, 4]))
    for i in range(2):
        text = f"the logits of token number {i} of [1, 2, 3], and then of [1, 2, 4]"
        book.same(text, second[i], first[i])


@check(
    "gradients reach every parameter",
    "The parameters",
    after=["the logits of a whole sentence"],
    hint="Somewhere on the way a Value was replaced by its .data or made anew, and no gradient "
    "finds its way through it.",
)
def reaches(book: Book) -> None:
    mine, kept = model(book, TINY, numbers_for(TINY, 7)), cache(book)

    def compute() -> None:
        for token in (1, 2, 3):
            logits = mine(token, kept)
        sum(x * x for x in logits).backward()

    book.attempt("the gradients of the last logits of [1, 2, 3]", compute)
    for name, matrix in mine.parameters.items():
        if not any(p.grad for row in matrix for p in row):
            used = is_used(book, mine, name)
            raise Wrong(
                f"All gradients of {name} are zero.",
                hint=""
                if used
                else f"Changing {name} does not change the logits either: the "
                "model does not use it.",
            )


def is_used(book: Book, mine: Any, name: str) -> bool:
    """Whether the logits change with the numbers of a matrix."""

    def logits() -> list[Row]:
        kept = cache(book)
        return [plain(book.attempt("model(...)", partial(mine, t, kept))) for t in (1, 2, 3)]

    before = logits()
    for i, p in enumerate(p for row in mine.parameters[name] for p in row):
        p.data += 1.0 + i / 10
    return not agree(logits(), before)


@check(
    "a token that does not exist, a sentence that is too long",
    "From token to logits",
    after=["the logits of a whole sentence"],
    hint="Python counts negative positions from the end of a list, so -1 is no error of itself.",
)
def refuses(book: Book) -> None:
    mine = model(book, TINY, numbers_for(TINY, 8))
    for token in (5, -1):
        text = f"model({token}, cache) with 5 tokens"
        book.refuses(text, IndexError, partial(mine, token, cache(book)))
    kept = cache(book)
    for token in range(4):
        book.attempt(f"model({token}, cache)", partial(mine, token, kept))
    book.refuses("the fifth token with block_size = 4", IndexError, lambda: mine(0, kept))
