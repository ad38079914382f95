"""Where a model looks: the attention weights of each layer and head, read from the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmhard.autograd import Vector
from llmhard.model import GPT, KVCache

if TYPE_CHECKING:
    from llmhard.drawing import Drawing

WIDEST = 10  # characters of a token in a table
MOST = 40  # tokens shown
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, repr=False)
class Head:
    """The attention weights of one head.

    Row i of `weights` has i + 1 numbers, which sum to 1: how much token i takes from each token
    before it and from itself.
    """

    layer: int
    head: int
    tokens: tuple[str, ...]
    weights: Rows

    def __repr__(self) -> str:
        left_out, which = _left_out(self.tokens)
        title = f"layer {self.layer}, head {self.head}: what each token takes from those before it"
        rows = {
            f"{position} {self.tokens[position]}": self.weights[position][left_out:]
            for position in range(left_out, len(self.tokens))
        }
        return "\n".join([title + which, *_table(self.tokens[left_out:], rows)])

    def _repr_svg_(self) -> str:
        return self.drawing()._repr_svg_()

    def drawing(self) -> Drawing:
        """Return the weights as a picture: a row for each token, darker where it looks more."""
        from llmhard.drawing import heat_map  # only here: importing it takes longer than the answer

        left_out, which = _left_out(self.tokens)
        tokens, rows = self.tokens[left_out:], [row[left_out:] for row in self.weights[left_out:]]
        padded = [[*row, *[None] * (len(tokens) - len(row))] for row in rows]
        drawing = heat_map(padded, tokens, tokens)
        drawing.title = f"Attention of layer {self.layer}, head {self.head}{which}"
        drawing.description = " ".join(
            f"{token} takes {_listed(tokens, row)}."
            for token, row in zip(tokens, rows, strict=True)
        )
        if which:
            drawing.caption(drawing.title)
        return drawing


class Attention:
    """The attention weights of all layers and heads for a text.

    `attention[layer, head]` is one head, with its whole matrix; iterate to get all of them. A
    notebook shows where the last token looks, as a picture.

    Attributes:
        tokens: The words or characters that were read, with BOS, the beginning, first.
        weights: The numbers: `weights[layer][head][position]` is a list of position + 1 of them,
            which sum to 1: how much the token there takes from each one up to itself.
    """

    def __init__(self, tokens: Sequence[str], weights: Sequence[Sequence[Rows]]) -> None:
        self.tokens = tuple(tokens)
        self.weights = [[[list(row) for row in head] for head in layer] for layer in weights]

    def __getitem__(self, place: tuple[int, int]) -> Head:
        layer, head = place
        weights = self.weights[layer][head]
        return Head(layer, head, self.tokens, tuple(map(tuple, weights)))

    def __iter__(self) -> Iterator[Head]:
        for layer, heads in enumerate(self.weights):
            for head in range(len(heads)):
                yield self[layer, head]

    def __repr__(self) -> str:
        left_out, which = _left_out(self.tokens)
        title = f"where {self.tokens[-1]!r}, the last token, looks; [layer, head] has all tokens"
        return "\n".join([title + which, *_table(self.tokens[left_out:], self._last_rows())])

    def _repr_svg_(self) -> str:
        from llmhard.drawing import heat_map

        left_out, which = _left_out(self.tokens)
        tokens, rows = self.tokens[left_out:], self._last_rows()
        drawing = heat_map(list(rows.values()), list(rows), tokens)
        drawing.title = f"Where {tokens[-1]!r}, the last token, looks{which}"
        drawing.description = " ".join(
            f"{name} takes {_listed(tokens, row)}." for name, row in rows.items()
        )
        if which:
            drawing.caption(drawing.title)
        return drawing._repr_svg_()

    def _last_rows(self) -> dict[str, tuple[float, ...]]:
        left_out, _ = _left_out(self.tokens)
        return {
            f"layer {head.layer}, head {head.head}": head.weights[-1][left_out:] for head in self
        }


def read_attention(model: GPT, tokens: Sequence[int]) -> list[list[Rows]]:
    """Return the attention weights [layer][head][position] of the model on these tokens."""
    watching = _Watching(model)
    cache = KVCache(model.config.n_layer)
    for token in tokens:
        watching(token, cache)
    return [[tuple(rows) for rows in heads] for heads in watching.rows]


class _Watching(GPT):
    """A GPT that looks up its attention weights in the graph after computing with them."""

    def __init__(self, model: GPT) -> None:
        super().__init__(model.config, dict(model.parameters))
        n_layer, n_head = model.config.n_layer, model.config.n_head
        self.rows: list[list[list[tuple[float, ...]]]] = [
            [[] for _ in range(n_head)] for _ in range(n_layer)
        ]

    def attention(self, layer: int, x: Vector, cache: KVCache) -> Vector:
        gathered = super().attention(layer, x, cache)
        # An element of it is a row of the output matrix times the heads, one after the other.
        heads = gathered[0].children[self.config.n_embd :]
        for head, rows in enumerate(self.rows[layer]):
            # A head's element is a mixture: the weights times the values of all tokens so far.
            (mixture,) = heads[head * self.config.head_dim].children
            weights = mixture.children[: len(cache.keys[layer])]
            rows.append(tuple(weight.data for weight in weights))
        return gathered


def _left_out(tokens: Sequence[str]) -> tuple[int, str]:
    """Return how many tokens at the beginning are not shown, and a note that says so."""
    left_out = max(0, len(tokens) - MOST)
    return left_out, f" (the last {MOST} of {len(tokens)} tokens)" if left_out else ""


def _table(tokens: Sequence[str], rows: dict[str, tuple[float, ...]]) -> list[str]:
    """Return lines with the numbers below their tokens, one row per line."""
    columns = [max(4, min(WIDEST, len(token))) for token in tokens]
    left = max(map(len, rows))

    def line(name: str, cells: Sequence[str]) -> str:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, columns, strict=False))
        return "  ".join([f"{name:{left}}", *padded]).rstrip()

    heading = line("", [token[:WIDEST] for token in tokens])
    return [heading, *(line(name, [f"{w:.2f}" for w in row]) for name, row in rows.items())]


def _listed(tokens: Sequence[str], row: Sequence[float]) -> str:
    return ", ".join(f"{w:.2f} from {token}" for token, w in zip(tokens, row, strict=False))
