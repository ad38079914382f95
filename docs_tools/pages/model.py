"""Lab 05: drawings of the model and of attention, and the experiments with it."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from math import log, sqrt
from typing import Any

from docs_tools import blocks
from llmhard import corpus, drawing, grammar
from llmhard.model import Config
from llmhard.recipe import PRESETS
from llmhard.tokenizer import Tokenizer
from llmhard.workbook import experiment
from llmhard.workbook.checks.lab_05 import attend, linear, softmax

SOLUTION = "llmhard/workbook/solutions/model.py"
BROKEN = "try/model.py"
WRITTEN = (
    "Config.shapes",
    "GPT.initialize",
    "GPT.scalars",
    "attend",
    "GPT.attention",
    "GPT.mlp",
)
SLIP = ("[score / sqrt(len(query)) for score in linear(query, keys)]", "linear(query, keys)")
TOKENS = ["she", "brushes", "her"]
QUERY = [2.0, -1.0]
KEYS = [[0.0, 2.0], [2.0, 0.0], [1.0, 1.0]]
VALUES = [[1.0, 0.0], [0.0, 3.0], [-1.0, 1.0]]
POND = ["the", "dog", "by", "the", "pond", "barks"]

above: dict[str, float] = {}  # what the experiments of this run of the lab have measured


@cache
def config() -> Config:
    sentences = corpus.read_sentences(corpus.default_path())
    return Config(Tokenizer.from_sentences(sentences).vocab_size)


def before() -> None:
    """Let the reader have done the labs before this one."""
    blocks.has_solved_before("model")


def writes(*slips: tuple[str, str], only: tuple[str, ...] | None = None) -> None:
    """Let the reader write model.py, or the functions in `only`, with these slips."""
    blocks.solves("model", *slips, only=only)


def numbers(expression: str) -> Any:
    """Return lists and numbers of the reader's Python."""
    return json.loads(blocks.value(f"__import__('json').dumps({expression})"))


def listed(x: list[float], spec: str = "+.1f") -> str:
    return "[" + ", ".join(format(a, spec) for a in x) + "]"


# ---------------------------------------------------------------- the parameters


def model_figure() -> None:
    """Draw the way of a token through the model."""
    stream = drawing.Drawing()
    boxes = drawing.chain(
        stream,
        0,
        0,
        [
            ("token and position", "data"),
            ("embeddings, added", "parameter"),
            ("rmsnorm", "operation"),
        ],
    )
    last = boxes[-1]
    for layer in range(config().n_layer):
        last = _layer(stream, last, layer)
    for text, kind in (("lm_head", "parameter"), (f"{config().vocab_size} logits", "data")):
        after = stream.box(0, last.bottom[1] + 46, text, kind)
        stream.arrow(last, after)
        last = after
    blocks.figure(
        "model",
        stream,
        "From top to bottom: token and position, embeddings added, rmsnorm, then in each of two "
        "layers attention and an MLP, which read from the line in the middle and add to it, then "
        "lm_head and the logits.",
    )


def _layer(stream: drawing.Drawing, last: drawing.Box, layer: int) -> drawing.Box:
    """Draw attention and MLP beside the line; returns the sum below them."""
    top = last.bottom[1] + 26
    for what in ("attention", "MLP"):
        y = last.bottom[1] + 86
        plus = stream.box(0, y, "+", "operation")
        part = stream.box(165, y - 42, f"rmsnorm\n{what}", "parameter", width=120)
        stream.arrow(last, plus)
        stream.arrow((0, y - 42), part)
        stream.line([part.bottom, (part.x, plus.y)])
        stream.arrow((part.x, plus.y), plus)
        last = plus
    name = f"layer {layer}"
    stream.label(-40, (top + last.y) / 2, name, anchor="end", colour=drawing.MUTED)
    return last


MEANINGS = {
    "wte.weight": "a row for each token",
    "wpe.weight": "a row for each position",
    "attn.q_proj.weight": "makes queries",
    "attn.k_proj.weight": "makes keys",
    "attn.v_proj.weight": "makes values",
    "attn.o_proj.weight": "joins the heads",
    "mlp.up_proj.weight": "to the hidden units",
    "mlp.down_proj.weight": "and back",
    "lm_head.weight": "a row for each token",
}


def shapes_table() -> None:
    rows: list[list[object]] = []
    for name, (n_out, n_in) in config().shapes().items():
        if (short := name.removeprefix("h.0.")) in MEANINGS:
            layers = config().n_layer if name.startswith("h.") else 1
            shown = name.replace("h.0.", "h.i.")
            count = f"{layers * n_out * n_in:,}"
            rows.append([f"`{shown}`", f"{n_out} x {n_in}", MEANINGS[short], layers, count])
    rows.append(["all", "", "", "", f"{config().n_parameters():,}"])
    blocks.table(["name", "shape", "what for", "times", "parameters"], rows)


PARTS = {
    "token embeddings": "wte",
    "position embeddings": "wpe",
    "attention": "attn",
    "MLP": "mlp",
    "lm_head": "lm_head",
}


def shares() -> dict[str, int]:
    """Return how many parameters each part of the model has."""
    return {
        part: sum(rows * cols for name, (rows, cols) in config().shapes().items() if key in name)
        for part, key in PARTS.items()
    }


def shares_figure() -> None:
    listed = ", ".join(f"{part} {n:,}" for part, n in shares().items())
    blocks.figure(
        "parameters",
        drawing.bars(shares(), ",", width=150),
        f"How many parameters each part has: {listed}",
    )


def of_words() -> int:
    """Return how many parameters are in the two tables with a row for each word."""
    return shares()["token embeddings"] + shares()["lm_head"]


def sum_of_embeddings() -> None:
    rng = random.Random(1)
    word, place = ([round(rng.gauss(0, 1), 1) for _ in range(4)] for _ in range(2))
    blocks.formula(
        f"token 2, its row of wte      {listed(word)}\n"
        f"position 0, its row of wpe   {listed(place)}\n"
        f"                       sum   {listed([a + b for a, b in zip(word, place, strict=True)])}"
    )


# ---------------------------------------------------------------- attention


def scores() -> list[float]:
    return linear(QUERY, KEYS)


def attention_table() -> None:
    """Show the attention of *she brushes her* step by step."""
    assert set(grammar.next_words("she brushes her")) == {"teeth", "hair"}
    divided = [score / sqrt(2) for score in scores()]
    rows: list[list[object]] = [
        [token, listed(key, "g"), f"{score:g}", f"{d:.3f}", f"{weight:.4f}", listed(value, "g")]
        for token, key, score, d, weight, value in zip(
            TOKENS, KEYS, scores(), divided, softmax(divided), VALUES, strict=True
        )
    ]
    header = ["token", "key", "score: query . key", "score / √2", "weight", "value"]
    blocks.table(header, rows)


def mixture() -> None:
    weights, result = softmax([s / sqrt(2) for s in scores()]), attend(QUERY, KEYS, VALUES)
    lines = []
    for i in range(2):
        terms = (f"{w:.4f} * {v[i]:g}" for w, v in zip(weights, VALUES, strict=True))
        lines.append(f"result[{i}] = {' + '.join(terms)} = {result[i]:.3f}")
    blocks.formula("\n".join(lines))


def scores_table() -> None:
    """Show how the typical score grows with the length of the vectors."""
    rng, rows = random.Random(1), list[list[object]]()
    for d in (2, 8, 32, 128):
        squares = [
            sum(rng.gauss(0, 1) * rng.gauss(0, 1) for _ in range(d)) ** 2 for _ in range(2000)
        ]
        typical = sqrt(sum(squares) / len(squares))
        rows.append([d, f"{typical:.1f}", f"{sqrt(d):.1f}", f"{typical / sqrt(d):.2f}"])
    blocks.table(["length `d`", "typical score", "√d", "score / √d"], rows)


def heads_figure() -> None:
    heads, d, width = drawing.Drawing(), config().head_dim, 84
    for row, name in enumerate(["query", "each key", "each value"]):
        heads.label(-width / 2 - 8, row * 34, name, anchor="end")
        for h in range(config().n_head):
            heads.box(h * width, row * 34, f"{h * d} to {h * d + d - 1}", "data", width=width - 4)
    joined = heads.box(
        1.5 * width, 236, f"o_proj\n{config().n_embd} numbers", "parameter", width=160
    )
    for h in range(config().n_head):
        box = heads.box(h * width, 138, f"head {h}\n{d}", "operation", width=width - 8)
        heads.arrow((h * width, 84), box)
        heads.arrow((h * width, box.bottom[1]), (1.5 * width + (h - 1.5) * 36, joined.top[1]))
    blocks.figure(
        "heads",
        heads,
        f"Query, keys and values of {config().n_embd} numbers are each cut into {config().n_head} "
        f"pieces of {d}. Head h attends with piece number h of each. The results of the heads, "
        "side by side, go through o_proj.",
    )


def mask_figure() -> None:
    """Draw the scores of a sentence that is read at once, and which of them are hidden."""
    words, mask, cell = ["BOS", *POND[:5]], drawing.Drawing(), 60
    for j, word in enumerate(words):
        mask.label(j * cell, -28, word, colour=drawing.MUTED)
        mask.label(-cell / 2 - 8, j * 30, word, anchor="end", colour=drawing.MUTED)
        for i in range(len(words)):
            text, kind = ("score", "data") if j <= i else ("-inf", "plain")
            mask.box(j * cell, i * 30, text, kind, width=cell - 4)
    blocks.figure(
        "causal-mask",
        mask,
        "A table with a row for each token that asks and a column for each token that is asked. On "
        "the diagonal and to the left of it there are scores. To the right of it, where a token "
        "would look at later ones, there is minus infinity.",
    )


def cache_table() -> None:
    blocks.table(
        ["tokens in the sentence", "keys computed, with the cache", "without"],
        [[n, n, n * (n + 1) // 2] for n in (1, 4, 8, config().block_size)],
    )


def relu_table() -> None:
    cases = [(0, 0, "nothing"), (1, 0, "*three*"), (1, 1, "*three dogs*"), (0, 1, "*my dog*")]
    blocks.table(
        ["read", "number word", "noun", "linear: 1 * first - 1 * second", "after ReLU"],
        [[what, a, b, a - b, max(a - b, 0)] for a, b, what in cases],
    )


def residual_slopes() -> tuple[float, float]:
    """Return the slope of four parts in a row, each 0.1, without the line and with it."""
    parts = 2 * config().n_layer
    return 0.1**parts, 1.1**parts


# ---------------------------------------------------------------- the borrowed numbers


def sentences_read() -> tuple[int, int]:
    """Return how many sentences the package reads in training, and how often the whole file."""
    recipe = PRESETS["thorough"]
    count = recipe.steps * recipe.batch_size
    return count, round(count / (0.9 * 30_000))


def knows_what_fits() -> None:
    """Raise AssertionError unless the borrowed model knows its cows and brushes."""
    likeliest = "[max(p, key=p.get) for p in map(expects, ['the cow says', 'she brushes her'])]"
    cow, brushes = numbers(likeliest)
    assert cow == "moo", cow
    assert brushes in ("teeth", "hair"), brushes
    assert numbers("expects('the cow says')['moo']") > 0.9


def has_read_pieces() -> None:
    """Raise AssertionError unless what the page says of the sentences of the file is so."""
    starts = {
        "the dog by the ": False,
        "the puppies by the pond ": True,
        "the dog in the yard ": True,
    }
    for beginning, is_there in starts.items():
        found = numbers(f"any(sentence.startswith({beginning!r}) for sentence in sentences)")
        assert found == is_there, beginning


def tells_one_from_several() -> None:
    dog, dogs = (numbers(f"forms('the {who} by the pond')") for who in ("dog", "dogs"))
    assert dog[0] > 0.8 > 0.1 > dog[1], dog
    assert dogs[1] > 0.8 > 0.1 > dogs[0], dogs


def cannot_tell_when_covered() -> None:
    dog, dogs = (numbers(f"forms('the {who} by the pond')") for who in ("dog", "dogs"))
    assert all(abs(a - b) < 0.1 for a, b in zip(dog, dogs, strict=True)), (dog, dogs)
    assert dogs[1] < 0.3, dogs
    assert sum(dogs) < 0.9, dogs


def _seen() -> list[list[float]]:
    weights: list[list[float]] = numbers("seen")
    return weights


def weights(token: int, layer: int, head: int) -> list[float]:
    """Return what the reader's `watching` has seen: the weights of a token in a head."""
    return _seen()[8 * token + 4 * layer + head]


def looker() -> tuple[int, int]:
    """Return the layer and the head that look at the dog most, when the pond is read."""
    heads = [(layer, head) for layer in range(config().n_layer) for head in range(config().n_head)]
    return max(heads, key=lambda at: weights(5, *at)[2])


def attention_figure() -> None:
    words, at = ["BOS", *POND], looker()
    rows = [weights(i, *at) for i in range(len(words))]
    assert rows[5][2] > 0.8, rows
    padded: list[list[float | None]] = [[*row, *[None] * (len(words) - len(row))] for row in rows]
    blocks.figure(
        "attention-weights",
        drawing.heat_map(padded, words, words, ".2f"),
        "A triangle of attention weights: a row for each token of the sentence, a column for each "
        "token that it looks at, itself included. In the row of pond nearly all the weight is on "
        "dog.",
        trained=True,
        tolerance=1.0,
    )


def plural_left() -> list[float]:
    """Return what is left for the plural with each of the tokens covered, in per cent."""
    blocks.value("setattr(my_model, 'softmax', blindfolded)")
    left = []
    for i in range(6):
        blocks.value(f"globals().__setitem__('covered', {i})")
        left.append(100 * numbers("forms('the dogs by the pond')")[1])
    blocks.value("setattr(my_model, 'softmax', softmax)")
    assert min(left) == left[2], left
    return left


# ---------------------------------------------------------------- experiments


def copied() -> None:
    """Run what copies the workbook, and show it."""
    blocks.shell(output=False)


def one_head(*slips: tuple[str, str]) -> None:
    """Let the reader try a single head, with another change or without."""
    blocks.reader_writes(BROKEN, SOLUTION, ("n_head: int = 4", "n_head: int = 1"), *slips)


def luck(**tolerance: Any) -> None:
    """Run the experiment with other seeds; raises AssertionError if they are far apart."""
    found = _ran_with_seeds(**tolerance)
    assert max(found) - min(found) < 0.05, found


def mean_ran(name: str, **tolerance: Any) -> None:
    """Run an experiment with several seeds, and note the mean of what it has measured."""
    found = _ran_with_seeds(**tolerance)
    above[name] = sum(found) / len(found)


def _ran_with_seeds(**tolerance: Any) -> list[float]:
    blocks.shell(**tolerance)
    return [float(x) for x in re.findall(r"floor +(-?[\d.]+)", blocks.page.last_output)]


def sentences_tried() -> int:
    """Return how many sentences an experiment trains on."""
    return experiment.STEPS * experiment.BATCH_SIZE


def heads_told() -> None:
    """Say what the eight lines that were just printed show."""
    found = re.findall(r"(?m)^(\d) (\d) ([\d.]+) ([\d.]+)", blocks.page.last_output)
    above = {(int(a), int(b)): float(loss) for a, b, loss, _ in found}
    share = {(int(a), int(b)): float(distance) for a, b, _, distance in found}
    layer, head = min(share, key=lambda at: share[at])
    assert (layer, head) == looker(), (share, looker())
    others = min(right for at, right in share.items() if at != (layer, head))
    most = max(above, key=lambda at: above[at])
    blocks.text(
        f"""
        One head carries it: without head {head} of layer {layer} the share falls to
        {share[layer, head]:.3f}. It is the head that looks at the dog. Without any other it stays
        at {others:.3f} or more. For the loss as a whole, head {most[1]} of layer {most[0]} matters
        most. What it does, these pairs do not ask. And one head of layer 1 more or less hardly
        matters: without any of them the model is at most
        {max(above[1, h] for h in range(4)):.3f} above the floor.
        """,
        trained=True,
        tolerance=0.3,
    )


NO_ROOT = [
    (
        "    scores = [score / sqrt(len(query)) for score in linear(query, keys)]",
        "    scores = linear(query, keys)",
    )
]
NO_POSITIONS = [
    (
        '        x = add(w["wte.weight"][token], w["wpe.weight"][len(cache)])',
        '        x = w["wte.weight"][token]',
    )
]
NO_RESIDUAL = [
    (
        "            x = add(x, self.attention(layer, rmsnorm(x), cache))",
        "            x = self.attention(layer, rmsnorm(x), cache)",
    ),
    (
        "            x = add(x, self.mlp(layer, rmsnorm(x)))",
        "            x = self.mlp(layer, rmsnorm(x))",
    ),
]
NO_ATTENTION = [
    (
        "            x = add(x, self.attention(layer, rmsnorm(x), cache))",
        "            self.attention(layer, rmsnorm(x), cache)",
    )
]
THREE_HEADS = [
    (
        "            heads += attend(query[head], keys, values)",
        "            heads += attend(query[head], keys, values) if start else [0.0] * head_dim",
    )
]
ZEROS = [("INIT_STD = 0.08", "INIT_STD = 0.0")]


def breaks(slips: list[tuple[str, str]]) -> None:
    """Let the reader change try/model.py, from what works, and show which lines."""
    blocks.reader_writes(BROKEN, SOLUTION, *slips)
    lines = [f"- {old.strip()}\n+ {new.strip()}" for old, new in slips]
    blocks.formula("\n".join(lines))


def whole() -> None:
    """Let the reader undo the change in try/model.py."""
    blocks.reader_writes(BROKEN, SOLUTION)


def ran(name: str) -> float:
    """Note what the experiment that was just shown has measured; returns it."""
    above[name] = float(blocks.found(r"above the floor +(-?[\d.]+)"))
    return above[name]


def experiments_figure() -> None:
    numbers = ", ".join(f"{name} {number:.3f}" for name, number in above.items())
    blocks.figure(
        "taken-out",
        drawing.bars(above, ".3f", width=260),
        f"How far above the floor the loss is in each experiment: {numbers}",
        trained=True,
        tolerance=0.1,
    )


def computes_the_same() -> None:
    """Raise AssertionError unless the reader's model and the package's have the same logits."""
    assert blocks.page.last_output.strip().endswith("True"), blocks.page.last_output


# ---------------------------------------------------------------- exercises


def larger() -> tuple[int, int]:
    """Return the parameters of a larger model, and how many of them are in its MLPs."""
    sizes = Config(config().vocab_size, n_layer=4, n_embd=64)
    mlps = sum(a * b for name, (a, b) in sizes.shapes().items() if ".mlp." in name)
    return sizes.n_parameters(), mlps


def no_question() -> list[float]:
    """Return the results for a query of zeros, and for one ten times as long as the example's."""
    sharp = [abs(round(a, 3)) for a in attend([20, -10], KEYS, VALUES)]
    return [*attend([0, 0], KEYS, VALUES), *sharp]


def first_loss() -> float:
    return log(config().vocab_size)
