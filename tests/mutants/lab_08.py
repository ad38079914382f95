"""Mistakes in lab 08, the sampler: name, old text, new text, what check says."""

ROWS = [
    (
        "multiplied by the temperature",
        "[x / temperature for x in logits]",
        "[x * temperature for x in logits]",
        "Yours multiplies by the temperature",
    ),
    (
        "no temperature",
        "[x / temperature for x in logits]",
        "logits",
        "The temperature has no effect in yours",
    ),
    (
        "divided by zero",
        "if temperature == 0:",
        "if False:",
        "ZeroDivisionError",
    ),
    (
        "Values for probabilities",
        "p = [x.data for x in softmax([x / temperature for x in logits])]",
        "p = softmax([x / temperature for x in logits])",
        ".data takes the number out of it",
    ),
    (
        "not scaled after the cut",
        "[p[token] / total if",
        "[p[token] if",
        "Divide each one that is kept by the sum of those that are kept",
    ),
    (
        "one token too many",
        "by_probability(p)[:k]",
        "by_probability(p)[: k + 1]",
        "Yours keeps 2 tokens, more than 1",
    ),
    (
        "the first k tokens",
        "return keep(p, by_probability(p)[:k])",
        "return keep(p, list(range(len(p)))[:k])",
        "Yours keeps other tokens than the likeliest",
    ),
    (
        "top-p cut one early",
        """\
        kept.append(token)
        total += p[token]
        if total >= top_p:
            break
""",
        """\
        total += p[token]
        if total >= top_p and kept:
            break
        kept.append(token)
""",
        "Yours stops one token early",
    ),
    (
        "top-p cut one late",
        "if total >= top_p:",
        "if total > top_p:",
        "Yours keeps one token too many",
    ),
    (
        "top-p in the order of the ids",
        "for token in by_probability(p):",
        "for token in range(len(p)):",
        "in the order of their probability",
    ),
    (
        "top-p before top-k",
        "keep_top_p(keep_top_k(p, top_k), top_p)",
        "keep_top_k(keep_top_p(p, top_p), top_k)",
        "Yours does top-p first",
    ),
    (
        "always the likeliest",
        "return rng.choices(range(len(p)), p)[0]",
        "return p.index(max(p))",
        "Yours always takes the same one",
    ),
    (
        "all equally likely",
        "return rng.choices(range(len(p)), p)[0]",
        "return rng.choice([token for token in range(len(p)) if p[token]])",
        "the probabilities are not used",
    ),
    (
        "the unlikely ones drawn",
        "return rng.choices(range(len(p)), p)[0]",
        "return rng.choices(range(len(p)), [1 - x for x in p])[0]",
        "A token with probability 0 came up",
    ),
    (
        "a list for a token",
        "return rng.choices(range(len(p)), p)[0]",
        "return rng.choices(range(len(p)), p)",
        "rng.choices gives a list",
    ),
    (
        "BOS not read",
        "for token in [BOS, *prompt]:",
        "for token in prompt or [1]:",
        "The model reads BOS first",
    ),
    (
        "BOS in the sentence",
        """\
        if token == BOS:
            return sentence
        sentence.append(token)
""",
        """\
        sentence.append(token)
        if token == BOS:
            return sentence
""",
        "BOS ends the sentence and is no part of it",
    ),
    (
        "the prompt not read",
        "for token in [BOS, *prompt]:",
        "for token in [BOS]:",
        "The model has to read the prompt",
    ),
    (
        "a sentence without its prompt",
        "sentence = list(prompt)",
        "sentence = []",
        "The sentence begins with the prompt",
    ),
    (
        "no end at block_size",
        """\
        if len(cache) == block_size:
            return sentence
""",
        "",
        "the model can read 6 tokens, and this is one more",
    ),
    (
        "the last choice lost",
        """\
        sentence.append(token)
        if len(cache) == block_size:
            return sentence
""",
        """\
        if len(cache) == block_size:
            return sentence
        sentence.append(token)
""",
        "one more is chosen",
    ),
    (
        "a prompt that is too long",
        "if len(prompt) >= block_size:",
        "if False:",
        "should raise ValueError. Yours raised IndexError",
    ),
    (
        "BOS read again in place of the choice",
        """\
            return sentence
        logits = model(token, cache)
""",
        """\
            return sentence
        logits = model(BOS, cache)
""",
        "otherwise keep the token and read it",
    ),
    (
        "keep_top_k changes its argument",
        "    return keep(p, by_probability(p)[:k])",
        """\
    kept = by_probability(p)[:k]
    for token in range(len(p)):
        if token not in kept:
            p[token] = 0.0
    return keep(p, kept)""",
        "changes p itself",
    ),
    (
        "cache carried over",
        """\
    cache = KVCache(model.config.n_layer)
""",
        """\
    global cache
    if 'cache' not in globals():
        cache = KVCache(model.config.n_layer)
""",
        "its cache holds 4 tokens",
    ),
    (
        "ties kept in top-k",
        "return keep(p, by_probability(p)[:k])",
        """least = sorted(p, reverse=True)[:k][-1]
    return keep(p, [token for token in range(len(p)) if p[token] >= least])""",
        "Of equally likely ones only the first are kept",
    ),
    (
        "top-k not scaled",
        "return keep(p, by_probability(p)[:k])",
        """kept = by_probability(p)[:k]
    return [x if token in kept else 0.0 for token, x in enumerate(p)]""",
        "those that are kept have to be scaled",
    ),
    (
        "top-p not scaled",
        """\
    return keep(p, kept)
""",
        """\
    return [x if token in kept else 0.0 for token, x in enumerate(p)]
""",
        "those that are kept have to be scaled",
    ),
    (
        "BOS read twice",
        "for token in [BOS, *prompt]:",
        "for token in [BOS, BOS, *prompt]:",
        "Yours reads BOS twice",
    ),
    (
        "prompt read twice",
        "for token in [BOS, *prompt]:",
        "for token in [BOS, *prompt, *prompt]:",
        "Yours reads the beginning twice",
    ),
    (
        "last token read again",
        """\
    while True:
        token = choose""",
        """\
    token = (prompt or [BOS])[-1]
    while True:
        logits = model(token, cache)
        token = choose""",
        "Yours reads BOS twice",
    ),
    (
        "return inside top-p loop",
        """\
            break
    return keep(p, kept)
""",
        """\
            break
        return keep(p, kept)
""",
        "this `return` is inside the loop",
    ),
    (
        "the token for a list at temperature 0",
        "return [1.0 if token == likeliest else 0.0 for token in range(len(logits))]",
        "return likeliest",
        "should be a list of 3 numbers. Yours is 1",
    ),
    (
        "all the largest at temperature 0",
        "[1.0 if token == likeliest else 0.0 for token in range(len(logits))]",
        "[1.0 if x == max(numbers) else 0.0 for x in numbers]",
        "the first of several that are equal",
    ),
    (
        "power without scaling",
        "p = [x.data for x in softmax([x / temperature for x in logits])]",
        "p = [x.data ** (1 / temperature) for x in softmax(logits)]",
        "Yours raises the probabilities to a power",
    ),
    (
        "equal shares for what is kept",
        "[p[token] / total if",
        "[1 / len(tokens) if",
        "Yours gives all that are kept the same share",
    ),
    (
        "a shorter list",
        "[p[token] / total if token in tokens else 0.0 for token in range(len(p))]",
        "[p[token] / total for token in tokens]",
        "should have 3 numbers. Yours has 2",
    ),
    (
        "the k unlikeliest",
        "by_probability(p)[:k]",
        "by_probability(p)[-k:]",
        "Yours keeps the unlikeliest",
    ),
    (
        "no case for k = 0",
        """\
    if k == 0:
        return p
""",
        "",
        "k = 0 keeps all",
    ),
    (
        "more than there are",
        "by_probability(p)[:k]",
        "[by_probability(p)[i] for i in range(k)]",
        "k may be larger than the number of tokens",
    ),
    (
        "a threshold for top-p",
        """\
        kept.append(token)
        total += p[token]
        if total >= top_p:
            break
""",
        """\
        if p[token] >= top_p:
            kept.append(token)
""",
        "It is their sum that has to reach top_p",
    ),
    (
        "break in the wrong place",
        """\
        if total >= top_p:
            break
""",
        """\
        if total >= top_p:
            total = 1.0
        break
""",
        "this `break` ends the loop in its first round",
    ),
    (
        "a choice without adding up",
        "    return rng.choices(range(len(p)), p)[0]",
        """\
    r = rng.random()
    for token, x in enumerate(p):
        if r < x:
            return token""",
        "only if the probabilities before it are added up",
    ),
    (
        "the settings not passed on",
        "probabilities(logits, temperature, top_k, top_p)",
        "probabilities(logits)",
        "generate does not use `temperature`",
    ),
    (
        "BOS skipped instead of the end",
        """\
        if token == BOS:
            return sentence
        sentence.append(token)
""",
        """\
        if token != BOS:
            sentence.append(token)
""",
        "When BOS is chosen, the sentence ends",
    ),
    (
        "the prompt itself grows",
        "sentence = list(prompt)",
        "sentence = prompt",
        "A tuple cannot change",
    ),
    (
        "the settings in another order",
        "probabilities(logits, temperature, top_k, top_p)",
        "probabilities(logits, temperature, top_p, top_k)",
        "Are two arguments in the wrong order?",
    ),
    (
        "temperature 0 random",
        """\
    if temperature == 0:
""",
        """\
    if temperature < 0:
""",
        "With temperature 0 nothing is divided",
    ),
    (
        "temperature subtracts",
        "[x / temperature for x in logits]",
        "[x - temperature for x in logits]",
        "To add or subtract it would have none either",
    ),
    (
        "top_k of 0 to the end twice",
        """\
    if k == 0:
        return p
""",
        """\
    if k == 0:
        return [0.0] * len(p)
""",
        "k = 0 keeps all",
    ),
    (
        "keep by value not token",
        "if token in tokens else",
        "if p[token] in tokens else",
        "places in p, not probabilities",
    ),
    (
        "total of all",
        "total = sum(p[token] for token in tokens)",
        "total = sum(p)",
        "Divide each one that is kept by the sum",
    ),
    (
        "top-p counts all tokens",
        """\
        total += p[token]
""",
        """\
        total += p[token] / len(p)
""",
        "as if the sum never reached top_p",
    ),
    (
        "choose returns the probability",
        "    return rng.choices(range(len(p)), p)[0]",
        "    return rng.choices(p, p)[0]",
        "its place in the list, not the probability",
    ),
    (
        "module random",
        "    return rng.choices(range(len(p)), p)[0]",
        """\
    import random
    return random.choices(range(len(p)), p)[0]""",
        "Draw with `rng`",
    ),
    (
        "uniform int",
        "    return rng.choices(range(len(p)), p)[0]",
        "    return rng.randint(0, len(p))",
        "are 0 to n - 1",
    ),
    (
        "generate without sampling",
        "token = choose(probabilities(logits, temperature, top_k, top_p), rng)",
        "token = max(range(len(logits)), key=lambda t: logits[t].data)",
        "generate does not use `rng`",
    ),
    (
        "sentence includes only new",
        """\
        sentence.append(token)
""",
        """\
        sentence = [token]
""",
        "Only the last token is left",
    ),
    (
        "stops a step early",
        "        if len(cache) == block_size:",
        "        if len(sentence) == block_size - 1:",
        "until block_size tokens are read and one more is chosen",
    ),
    (
        "top_p missing",
        "probabilities(logits, temperature, top_k, top_p)",
        "probabilities(logits, temperature, top_k)",
        "generate does not use `top_p`",
    ),
    (
        "prompt error for one less",
        "if len(prompt) >= block_size:",
        "if len(prompt) > block_size:",
        "should raise ValueError. Yours raised IndexError",
    ),
    (
        "largest of the probabilities with max",
        "numbers.index(max(numbers))",
        "max(numbers)",
        "the largest logit gets the probability 1",
    ),
    (
        "keep divides by count kept above 0",
        "    total = sum(p[token] for token in tokens)",
        "    total = len(tokens)",
        "Yours divides by how many are kept",
    ),
    (
        "top_k before softmax order",
        "keep_top_p(keep_top_k(p, top_k), top_p)",
        "keep_top_k(p, top_k)",
        "top_p has no effect in yours",
    ),
    (
        "top-p sums from the unlikeliest",
        "for token in by_probability(p):",
        "for token in reversed(by_probability(p)):",
        "Yours keeps other tokens",
    ),
    (
        "prompt not in a list",
        "for token in [BOS, *prompt]:",
        "for token in [BOS, prompt]:",
        "It reads one token at a time",
    ),
    (
        "BOS chosen as word 1",
        """\
        if token == BOS:
            return sentence
""",
        """\
        if token == 1:
            return sentence
""",
        "Yours ends where the model wants to say 1",
    ),
    (
        "cache from another size",
        """\
    cache = KVCache(model.config.n_layer)
""",
        """\
    cache = []
""",
        "'list' object has no attribute 'keys'",
    ),
    (
        "logits after the first prompt token only",
        """\
        logits = model(token, cache)
    sentence""",
        """\
        logits = model(token, cache)
        break
    sentence""",
        "this `break` ends the loop in its first round",
    ),
    (
        "choose compares the random number with each probability, not with the sum so far",
        "    return rng.choices(range(len(p)), p)[0]",
        """\
    number = rng.random()
    for token, probability in enumerate(p):
        if number < probability:
            return token
    return len(p) - 1""",
        "Compare it with the sum of the probabilities",
    ),
    (
        "choose draws a new random number for each token",
        "    return rng.choices(range(len(p)), p)[0]",
        """\
    total = 0.0
    for token, probability in enumerate(p):
        total += probability
        if rng.random() < total:
            return token
    return len(p) - 1""",
        "Draw one, before the loop",
    ),
    (
        "generate reads the chosen token but keeps the old logits",
        "            return sentence\n        logits = model(token, cache)\n",
        "            return sentence\n        model(token, cache)\n",
        "After each token that is read there are new ones",
    ),
    (
        "keep divides by the sum of all",
        "    total = sum(p[token] for token in tokens)\n",
        "    total = sum(p)\n",
        "`sum(p)` gives 1.0. With 0.5 in its place",
    ),
    (
        "returns from inside the loop only",
        """\
        if total >= top_p:
            break
    return keep(p, kept)""",
        """\
        if total >= top_p:
            return keep(p, kept)""",
        "line 53 is not always reached",
    ),
    (
        "keep returns only the kept probabilities",
        "    return [p[token] / total if token in tokens else 0.0 for token in range(len(p))]",
        "    return [p[token] / total for token in tokens]",
        "The list keeps its length",
    ),
]
