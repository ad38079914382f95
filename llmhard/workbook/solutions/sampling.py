"""Lab 08: the sampler. From logits to probabilities, to a choice, to a sentence."""

from layers import softmax
from model import KVCache
from tokenizer import BOS


def probabilities(logits, temperature=0.8, top_k=0, top_p=1.0):
    """The probability of each token as the next one: a list of plain numbers that sum to 1.

    logits       a list of Values
    temperature  divides the logits before the softmax; 0 gives all the probability to the
                 largest logit, and to the first of several
    top_k        then keep this many of the likeliest tokens (`keep_top_k`)
    top_p        then, of what that left, keep the likeliest that make up this much
                 (`keep_top_p`)
    """
    if temperature == 0:
        numbers = [x.data for x in logits]
        likeliest = numbers.index(max(numbers))
        return [1.0 if token == likeliest else 0.0 for token in range(len(logits))]
    p = [x.data for x in softmax([x / temperature for x in logits])]
    return keep_top_p(keep_top_k(p, top_k), top_p)


def keep_top_k(p, k):
    """The probabilities `p` with all but the k largest set to 0, scaled to sum to 1 again.

    k = 0 keeps all. Of equal ones the first are kept.

    >>> keep_top_k([0.5, 0.125, 0.25, 0.125], 1)
    [1.0, 0.0, 0.0, 0.0]
    """
    if k == 0:
        return p
    return keep(p, by_probability(p)[:k])


def keep_top_p(p, top_p):
    """The probabilities `p` with the unlikely ones set to 0, scaled to sum to 1 again.

    The largest are kept, as few as make up at least `top_p` together. Of equal ones the first
    are kept.

    >>> keep_top_p([0.5, 0.125, 0.25, 0.125], 0.5)
    [1.0, 0.0, 0.0, 0.0]
    """
    kept, total = [], 0.0
    for token in by_probability(p):
        kept.append(token)
        total += p[token]
        if total >= top_p:
            break
    return keep(p, kept)


def by_probability(p):  # given
    """The tokens, the likeliest first; of equally likely ones the lower id first."""
    return sorted(range(len(p)), key=lambda token: -p[token])


def keep(p, tokens):
    """The probabilities `p` with all but those of these tokens set to 0, scaled to sum to 1.

    >>> keep([0.5, 0.25, 0.25], [1, 2])
    [0.0, 0.5, 0.5]
    """
    total = sum(p[token] for token in tokens)
    return [p[token] / total if token in tokens else 0.0 for token in range(len(p))]


def choose(p, rng):
    """A token, drawn so that token i comes up with probability p[i].

    rng  a `random.Random`: its `random()` gives a number from 0 to 1, and there is `choices()`
    """
    return rng.choices(range(len(p)), p)[0]


def generate(model, rng, temperature=0.8, top_k=0, top_p=1.0, prompt=()):
    """The tokens of one sentence: a list, with the prompt's and without BOS.

    prompt  the token ids that the sentence begins with

    The model reads BOS and the prompt. From the logits after the last of these a token is chosen
    and, in turn, read. The sentence ends when the choice is BOS, or when the model has read
    block_size tokens. Raises ValueError if the prompt has block_size tokens or more: nothing could
    follow.
    """
    block_size = model.config.block_size
    if len(prompt) >= block_size:
        raise ValueError(f"the prompt may have at most {block_size - 1} tokens")
    cache = KVCache(model.config.n_layer)
    for token in [BOS, *prompt]:
        logits = model(token, cache)
    sentence = list(prompt)
    while True:
        token = choose(probabilities(logits, temperature, top_k, top_p), rng)
        if token == BOS:
            return sentence
        sentence.append(token)
        if len(cache) == block_size:
            return sentence
        logits = model(token, cache)
