"""Lab 05: the GPT. From a token and what came before it to the logits of the next token.

To run everything on the compiled engine, change one line: `from llmhard import Value`.
"""

from dataclasses import dataclass
from math import sqrt

from layers import linear, rmsnorm, softmax
from value import Value

INIT_STD = 0.08


@dataclass
class Config:
    """The sizes of a GPT."""

    vocab_size: int  # how many tokens there are
    n_layer: int = 2  # how many layers, each of attention and MLP
    n_embd: int = 32  # how many numbers stand for a token
    n_head: int = 4  # attention heads; each gets n_embd / n_head of the numbers
    block_size: int = 16  # how many tokens the model can read

    def shapes(self):
        """Return the name and shape (rows, columns) of every matrix of parameters, in this order.

        wte.weight                (vocab_size, n_embd)    one row for each token
        wpe.weight                (block_size, n_embd)    one row for each position
        for each layer i from 0:
        h.{i}.attn.q_proj.weight  (n_embd, n_embd)        then k_proj, v_proj and o_proj alike
        h.{i}.mlp.up_proj.weight  (4 * n_embd, n_embd)
        h.{i}.mlp.down_proj.weight  (n_embd, 4 * n_embd)
        lm_head.weight            (vocab_size, n_embd)

        returns  a dict such as {"wte.weight": (597, 32), ...}
        """
        n = self.n_embd
        shapes = {"wte.weight": (self.vocab_size, n), "wpe.weight": (self.block_size, n)}
        for i in range(self.n_layer):
            for name in "qkvo":
                shapes[f"h.{i}.attn.{name}_proj.weight"] = (n, n)
            shapes[f"h.{i}.mlp.up_proj.weight"] = (4 * n, n)
            shapes[f"h.{i}.mlp.down_proj.weight"] = (n, 4 * n)
        shapes["lm_head.weight"] = (self.vocab_size, n)
        return shapes


class KVCache:
    """What the model keeps of the tokens it has read: in each layer a key and a value of each.

    cache.keys[layer] is a list with one key for each token; a key is a list of n_embd Values.
    cache.values[layer] holds the values in the same way. len(cache) is the number of tokens.
    """

    def __init__(self, n_layer):  # given
        self.keys = [[] for _ in range(n_layer)]
        self.values = [[] for _ in range(n_layer)]

    def __len__(self):  # given
        return len(self.keys[0])


def add(x, y):  # given
    """Return the sums of two lists, number by number."""
    return [x_i + y_i for x_i, y_i in zip(x, y, strict=True)]


def attend(query, keys, values):
    """Return what one attention head finds: the better a key fits, the more of its value.

    query    a list of d Values: what this token is looking for
    keys     for each token so far a list of d Values: what that token offers
    values   for each token so far a list of d Values: what it says
    returns  a list of d Values

    The scores are the dot products of the query with each key, divided by sqrt(d). Softmax
    turns the scores into weights, one a token, that sum to 1. Number i of the result is the sum,
    over the tokens, of weight times number i of the token's value.
    """
    scores = [score / sqrt(len(query)) for score in linear(query, keys)]
    weights = softmax(scores)
    return linear(weights, list(zip(*values, strict=True)))


class GPT:
    """A decoder-only transformer.

    config      its sizes, a Config
    parameters  a dict from the names of `config.shapes()` to matrices: lists of rows of Values
    """

    def __init__(self, config, parameters):  # given
        self.config = config
        self.parameters = parameters

    @classmethod
    def initialize(cls, config, rng):
        """Return a new GPT, made by `cls(config, parameters)`.

        Every parameter is a Value of its own, drawn from a normal distribution around 0 with the
        standard deviation INIT_STD: `rng.gauss(0, INIT_STD)`; rng is a `random.Random`. They are
        drawn in the order of `config.shapes()`, row by row.
        """
        parameters = {}
        for name, (rows, cols) in config.shapes().items():
            parameters[name] = [
                [Value(rng.gauss(0, INIT_STD)) for _ in range(cols)] for _ in range(rows)
            ]
        return cls(config, parameters)

    def scalars(self):
        """Return all parameters in one list, matrix by matrix, row by row, for the optimizer."""
        return [p for matrix in self.parameters.values() for row in matrix for p in row]

    def __call__(self, token, cache):
        """Return the logits of what follows `token`: a list of vocab_size Values.

        token  the id of the token to read
        cache  a KVCache of the tokens before it; it grows by this token

        Add the token's row of wte.weight and its position's row of wpe.weight; the position is
        the number of tokens in the cache. Normalize that. Then, in each layer,

            x = x + attention(rmsnorm(x))
            x = x + mlp(rmsnorm(x))

        and lm_head.weight turns the last x into logits, without another rmsnorm. Raises
        IndexError for a token that is not in the vocabulary, a negative one, too, and if the
        cache holds block_size tokens already.
        """
        if token < 0:
            raise IndexError(f"{token} is not a token: they count from 0")
        w = self.parameters
        x = add(w["wte.weight"][token], w["wpe.weight"][len(cache)])
        x = rmsnorm(x)
        for layer in range(self.config.n_layer):
            x = add(x, self.attention(layer, rmsnorm(x), cache))
            x = add(x, self.mlp(layer, rmsnorm(x)))
        return linear(x, w["lm_head.weight"])

    def attention(self, layer, x, cache):
        """Return what this token gathers from itself and those before it: n_embd Values.

        layer  which layer's parameters and which part of the cache to use
        x      this token, a list of n_embd Values
        cache  a KVCache; the layer's keys and values grow by this token's

        q_proj, k_proj and v_proj of the layer, linear layers, give its query, key and value. Key
        and value go into the cache first: a token attends to itself, too. Head 0 attends with
        the first n_embd / n_head numbers of query, keys and values, head 1 with the next, and so
        on. The heads' results, one after the other, go through o_proj.
        """
        w, name = self.parameters, f"h.{layer}.attn."
        query = linear(x, w[name + "q_proj.weight"])
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
        head_dim = self.config.n_embd // self.config.n_head
        heads = []
        for start in range(0, self.config.n_embd, head_dim):
            head = slice(start, start + head_dim)
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
            heads += attend(query[head], keys, values)
        return linear(heads, w[name + "o_proj.weight"])

    def mlp(self, layer, x):
        """Return n_embd Values: up_proj to four times as many, relu of each, then down_proj."""
        w, name = self.parameters, f"h.{layer}.mlp."
        hidden = [h.relu() for h in linear(x, w[name + "up_proj.weight"])]
        return linear(hidden, w[name + "down_proj.weight"])
