"""The GPT: from a token and what came before it to the logits of the next token."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import sqrt
from types import MappingProxyType

from llmhard.autograd import Index, Matrix, Vector, concat
from llmhard.layers import linear, rmsnorm, softmax

INIT_STD = 0.08


@dataclass(frozen=True)
class Config:
    """The sizes of a GPT. Raises ValueError if they do not fit together."""

    vocab_size: int
    n_layer: int = 2
    n_embd: int = 32
    n_head: int = 4
    block_size: int = 16

    def __post_init__(self) -> None:
        for name, size in vars(self).items():
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {size!r}")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_head must divide n_embd, so that each head gets an equal share: "
                f"{self.n_embd} is not a multiple of {self.n_head}"
            )

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Name and shape [out, in] of every parameter matrix (embeddings: [rows, n_embd])."""
        n = self.n_embd
        shapes = {"wte.weight": (self.vocab_size, n), "wpe.weight": (self.block_size, n)}
        for i in range(self.n_layer):
            for name in "qkvo":
                shapes[f"h.{i}.attn.{name}_proj.weight"] = (n, n)
            shapes[f"h.{i}.mlp.up_proj.weight"] = (4 * n, n)
            shapes[f"h.{i}.mlp.down_proj.weight"] = (n, 4 * n)
        return shapes | {"lm_head.weight": (self.vocab_size, n)}

    def n_parameters(self) -> int:
        n = self.n_embd
        return (2 * self.vocab_size + self.block_size) * n + self.n_layer * 12 * n * n


@dataclass
class KVCache:
    """The keys and values of the tokens so far: for each layer, one Vector [n_embd] per token."""

    n_layer: int
    keys: list[list[Vector]] = field(init=False)
    values: list[list[Vector]] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = [[] for _ in range(self.n_layer)]
        self.values = [[] for _ in range(self.n_layer)]

    def __len__(self) -> int:
        """Return how many tokens the model has read."""
        return len(self.keys[0])


class GPT:
    """A decoder-only transformer: GPT-2's shape, with RMSNorm, ReLU and no biases.

    Raises ValueError if the parameters' names or shapes are not those of `config.shapes()`.
    """

    def __init__(self, config: Config, parameters: dict[str, Matrix]) -> None:
        shapes = {name: matrix.shape for name, matrix in parameters.items()}
        if shapes != config.shapes():
            raise ValueError(_difference(shapes, config.shapes()))
        self.config = config
        # Read-only: a graph recorded with one matrix must not outlive its place in the model.
        self.parameters = MappingProxyType({name: parameters[name] for name in config.shapes()})

    def __reduce__(self) -> tuple[type[GPT], tuple[Config, dict[str, Matrix]]]:
        """Say how to make a copy, for copy and pickle, which cannot copy a read-only dict."""
        return type(self), (self.config, dict(self.parameters))

    @classmethod
    def initialize(cls, config: Config, rng: random.Random) -> GPT:
        """Return a new GPT, every parameter drawn from a normal distribution around 0."""
        return cls(
            config,
            {
                name: Matrix([[rng.gauss(0, INIT_STD) for _ in range(cols)] for _ in range(rows)])
                for name, (rows, cols) in config.shapes().items()
            },
        )

    def __call__(self, token: int | Index, cache: KVCache) -> Vector:
        """Return the logits [vocab_size] of what follows `token`, and add the token to `cache`.

        The token's position is the number of tokens in the cache. Raises IndexError if the
        token is not in the vocabulary or the cache holds block_size tokens already.
        """
        if int(token) < 0:
            raise IndexError(f"{int(token)} is not a token: they count from 0")
        w = self.parameters
        x = w["wte.weight"][token] + w["wpe.weight"][len(cache)]
        x = rmsnorm(x)
        for layer in range(self.config.n_layer):
            x = x + self.attention(layer, rmsnorm(x), cache)
            x = x + self.mlp(layer, rmsnorm(x))
        return linear(x, w["lm_head.weight"])

    def attention(self, layer: int, x: Vector, cache: KVCache) -> Vector:
        """Return what this token gathers from itself and the tokens before it; shape [n_embd].

        Each head compares its share of the query with the keys and mixes the values:
        softmax(K q / sqrt(head_dim)) V.
        """
        w, name = self.parameters, f"h.{layer}.attn."
        q = linear(x, w[name + "q_proj.weight"])
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
        keys, values = Matrix(cache.keys[layer]), Matrix(cache.values[layer])  # [tokens, n_embd]
        d = self.config.head_dim
        heads = []
        for start in range(0, self.config.n_embd, d):
            head = slice(start, start + d)
            scores = keys[:, head] @ q[head] / sqrt(d)  # [tokens]
            weights = softmax(scores)
            heads.append(weights @ values[:, head])  # [head_dim]
        return linear(concat(heads), w[name + "o_proj.weight"])

    def mlp(self, layer: int, x: Vector) -> Vector:
        """Widen `x` to 4 n_embd hidden units, keep those above zero, go back; shape [n_embd]."""
        w, name = self.parameters, f"h.{layer}.mlp."
        hidden = linear(x, w[name + "up_proj.weight"]).relu()
        return linear(hidden, w[name + "down_proj.weight"])


def _difference(found: dict[str, tuple[int, int]], needed: dict[str, tuple[int, int]]) -> str:
    for name in needed:
        if name not in found:
            return f"the parameter {name} is missing"
        if found[name] != needed[name]:
            return f"{name} should be {list(needed[name])}, but is {list(found[name])}"
    extra = ", ".join(sorted(found.keys() - needed.keys()))
    return f"these parameters do not belong to the model: {extra}"
