"""Mistakes in lab 05, the GPT: name, old text, new text, what check says."""

ROWS = [
    (
        "up and down changed places",
        'up_proj.weight"] = (4 * n, n)',
        'up_proj.weight"] = (n, 4 * n)',
        "The rows come first",
    ),
    (
        "the same row many times",
        """[Value(rng.gauss(0, INIT_STD)) for _ in range(cols)] for _ in range(rows)
""",
        """*[[Value(rng.gauss(0, INIT_STD)) for _ in range(cols)]] * rows
""",
        "[row] * rows is the same row many times",
    ),
    (
        "the variance for the standard deviation",
        "Value(rng.gauss(0, INIT_STD))",
        "Value(rng.gauss(0, INIT_STD**2))",
        "the standard deviation 0.006",
    ),
    (
        "a uniform distribution",
        "Value(rng.gauss(0, INIT_STD))",
        "Value(rng.uniform(-INIT_STD * sqrt(3), INIT_STD * sqrt(3)))",
        "with a normal distribution",
    ),
    (
        "copies of the parameters",
        "return [p for matrix in",
        "return [Value(p.data) for matrix in",
        "copies would leave the model as it was",
    ),
    (
        "scores not divided",
        "[score / sqrt(len(query)) for",
        "[score for",
        "not divided by sqrt(d)",
    ),
    (
        "scores divided by d",
        "[score / sqrt(len(query)) for",
        "[score / len(query) for",
        "it takes its root",
    ),
    (
        "no softmax",
        "weights = softmax(scores)",
        "weights = scores",
        "The softmax is missing",
    ),
    (
        "mixing the keys",
        "list(zip(*values, strict=True))",
        "list(zip(*keys, strict=True))",
        "It mixes the values, not the keys",
    ),
    (
        "the causal slip: a token that does not see itself",
        "in cache.keys[layer]]",
        "in (cache.keys[layer][:-1] or cache.keys[layer])]",
        "in model.py, line",
    ),
    (
        "the causal slip in keys and values",
        """\
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
""",
        """\
            before = slice(0, max(1, len(cache.keys[layer]) - 1))
            keys = [key[head] for key in cache.keys[layer][before]]
            values = [value[head] for value in cache.values[layer][before]]
""",
        "A token attends to itself, too",
    ),
    (
        "only the newest token",
        """\
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
""",
        """\
            keys = [cache.keys[layer][-1][head]]
            values = [cache.values[layer][-1][head]]
""",
        "Yours attends to the newest token only",
    ),
    (
        "the token itself as its key",
        'cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))',
        "cache.keys[layer].append(x)",
        "It is linear(x, k_proj.weight of this layer)",
    ),
    (
        "always the cache of layer 0",
        """query = linear(x, w[name + "q_proj.weight"])
""",
        """query = linear(x, w[name + "q_proj.weight"])
        layer = 0
""",
        "cache.keys have the lengths [1, 0]; they should have [0, 1]",
    ),
    (
        "one head",
        "head_dim = self.config.n_embd // self.config.n_head",
        "head_dim = self.config.n_embd",
        "Each head attends with its own share",
    ),
    (
        "every head with the first share",
        "head = slice(start, start + head_dim)",
        "head = slice(0, head_dim)",
        "Head h starts at h * head_dim",
    ),
    (
        "no o_proj",
        'return linear(heads, w[name + "o_proj.weight"])',
        "return heads",
        "go through o_proj at the end",
    ),
    (
        "no relu",
        "[h.relu() for h in",
        "[h for h in",
        "The relu between the two layers of the MLP is missing",
    ),
    (
        "no position",
        'add(w["wte.weight"][token], w["wpe.weight"][len(cache)])',
        'w["wte.weight"][token]',
        "the position's row of wpe is missing",
    ),
    (
        "no norm after the embeddings",
        """\
        x = rmsnorm(x)
        for""",
        "        for",
        "The rmsnorm after the embeddings is missing",
    ),
    (
        "no residual connection",
        "x = add(x, self.mlp(layer, rmsnorm(x)))",
        "x = self.mlp(layer, rmsnorm(x))",
        "The MLP adds to x, it does not replace it",
    ),
    (
        "attention without norm",
        "self.attention(layer, rmsnorm(x), cache)",
        "self.attention(layer, x, cache)",
        "attention should get rmsnorm(x), not x",
    ),
    (
        "a norm at the end",
        'return linear(x, w["lm_head.weight"])',
        'return linear(rmsnorm(x), w["lm_head.weight"])',
        "There is no rmsnorm before lm_head",
    ),
    (
        "the line itself is normalized",
        """x = add(x, self.attention(layer, rmsnorm(x), cache))
            x = add(x, self.mlp(layer, rmsnorm(x)))""",
        """x = rmsnorm(x)
            x = add(x, self.attention(layer, x, cache))
            x = rmsnorm(x)
            x = add(x, self.mlp(layer, x))""",
        "What they give is added to x as it was",
    ),
    (
        "softmax at the end",
        'return linear(x, w["lm_head.weight"])',
        'return softmax(linear(x, w["lm_head.weight"]))',
        "Yours are probabilities",
    ),
    (
        "lists joined with +",
        'add(w["wte.weight"][token], w["wpe.weight"][len(cache)])',
        'w["wte.weight"][token] + w["wpe.weight"][len(cache)]',
        "x + y would put one behind the other",
    ),
    (
        "the heads' results as a list of lists",
        "heads += attend(query[head], keys, values)",
        "heads.append(attend(query[head], keys, values))",
        "Should a list of lists be one flat list?",
    ),
    (
        "into the cache too late",
        "cache.keys[layer].append(linear",
        "late = (linear",
        "Key and value go first of all into cache.keys[layer]",
    ),
    (
        "values not turned",
        "linear(weights, list(zip(*values, strict=True)))",
        "linear(weights, values)",
        "Number i of the result mixes number i of each value",
    ),
    (
        "query and keys in the other order",
        "linear(query, keys)",
        "linear(keys, query)",
        "look at the order of the arguments",
    ),
    (
        "parameters that are no Values",
        "[Value(rng.gauss(0, INIT_STD)) for",
        "[rng.gauss(0, INIT_STD) for",
        "Row 0 of wte.weight holds plain numbers",
    ),
    (
        "rows for columns",
        "for _ in range(cols)] for _ in range(rows)",
        "for _ in range(rows)] for _ in range(cols)",
        "the matrix wte.weight should have 60 rows. Yours has 16: [[Value(",
    ),
    (
        "negative tokens",
        "if token < 0:",
        "if False:",
        "Python counts negative positions from the end",
    ),
    (
        "no residual at attention only",
        "x = add(x, self.attention(layer, rmsnorm(x), cache))",
        "x = self.attention(layer, rmsnorm(x), cache)",
        "Attention adds to x, it does not replace it",
    ),
    (
        "no residual at both",
        """\
            x = add(x, self.attention(layer, rmsnorm(x), cache))
            x = add(x, self.mlp(layer, rmsnorm(x)))
""",
        """\
            x = self.attention(layer, rmsnorm(x), cache)
            x = self.mlp(layer, rmsnorm(x))
""",
        "Attention and MLP add to x, they do not replace it",
    ),
    (
        "cached after use",
        """\
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
        head_dim = self.config.n_embd // self.config.n_head
        heads = []
        for start in range(0, self.config.n_embd, head_dim):
            head = slice(start, start + head_dim)
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
            heads += attend(query[head], keys, values)
""",
        """\
        head_dim = self.config.n_embd // self.config.n_head
        heads = []
        for start in range(0, self.config.n_embd, head_dim):
            head = slice(start, start + head_dim)
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
            heads += attend(query[head], keys, values)
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
""",
        "Key and value go first of all into cache.keys[layer]",
    ),
    (
        "cached after use, empty guarded",
        """\
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
        head_dim = self.config.n_embd // self.config.n_head
        heads = []
        for start in range(0, self.config.n_embd, head_dim):
            head = slice(start, start + head_dim)
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
            heads += attend(query[head], keys, values)
""",
        """\
        head_dim = self.config.n_embd // self.config.n_head
        heads = []
        for start in range(0, self.config.n_embd, head_dim):
            head = slice(start, start + head_dim)
            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
            if not keys:
                heads += query[head]
                continue
            heads += attend(query[head], keys, values)
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
""",
        "Before that, there should be the query that attend gets",
    ),
    (
        "the root of 32",
        "sqrt(len(query))",
        "sqrt(32)",
        "the root of 32. Here it should be sqrt(2)",
    ),
    (
        "the root of 8",
        "sqrt(len(query))",
        "sqrt(8)",
        "the root of 8. Here it should be sqrt(2)",
    ),
    (
        "return inside layer loop",
        """\
        return linear(x, w["lm_head.weight"])
""",
        """\
            return linear(x, w["lm_head.weight"])
""",
        "this `return` is inside the loop",
    ),
    (
        "scores from the values",
        "for score in linear(query, keys)]",
        "for score in linear(query, values)]",
        "The scores should come from the keys",
    ),
    (
        "scores times sqrt d",
        "score / sqrt(len(query))",
        "score * sqrt(len(query))",
        "which is to multiply them by the root of 2",
    ),
    (
        "divided after the softmax",
        """\
    scores = [score / sqrt(len(query)) for score in linear(query, keys)]
    weights = softmax(scores)
""",
        """\
    weights = [weight / sqrt(len(query)) for weight in softmax(linear(query, keys))]
""",
        "before the softmax, not the weights after it",
    ),
    (
        "sqrt of the number of tokens",
        "sqrt(len(query))",
        "sqrt(len(keys))",
        "the root of 2. Here it should be sqrt(3)",
    ),
    (
        "uniform from 0",
        "Value(rng.gauss(0, INIT_STD))",
        "Value(INIT_STD * rng.random())",
        "have the mean 0.0399",
    ),
    (
        "no f before the quotes",
        'shapes[f"h.{i}.mlp.up_proj.weight"]',
        'shapes["h.{i}.mlp.up_proj.weight"]',
        "the f before the quotes is missing",
    ),
    (
        "values from the keys' list",
        "value in cache.values[layer]]",
        "value in cache.keys[layer]]",
        "Yours mixes the keys",
    ),
    (
        "key by q_proj",
        'linear(x, w[name + "k_proj.weight"])',
        'linear(x, w[name + "q_proj.weight"])',
        "It is linear(x, k_proj.weight of this layer)",
    ),
    (
        "return after the first head",
        """\
            heads += attend(query[head], keys, values)
        return""",
        """\
            heads += attend(query[head], keys, values)
            return""",
        "this `return` is inside the loop",
    ),
    (
        "relu after down",
        """\
        hidden = [h.relu() for h in linear(x, w[name + "up_proj.weight"])]
        return linear(hidden, w[name + "down_proj.weight"])""",
        """\
        hidden = linear(x, w[name + "up_proj.weight"])
        return [h.relu() for h in linear(hidden, w[name + "down_proj.weight"])]""",
        "relu comes between up_proj and down_proj",
    ),
    (
        "mlp always of layer 0",
        'f"h.{layer}.mlp."',
        '"h.0.mlp."',
        "the matrices of layer 0 whatever the layer",
    ),
    (
        "len(cache.keys) for the position",
        'w["wpe.weight"][len(cache)]',
        'w["wpe.weight"][len(cache.keys)]',
        "len(cache) counts the tokens",
    ),
    (
        "attention and mlp side by side",
        """\
            x = add(x, self.attention(layer, rmsnorm(x), cache))
            x = add(x, self.mlp(layer, rmsnorm(x)))
""",
        """\
            normed = rmsnorm(x)
            x = add(x, add(self.attention(layer, normed, cache), self.mlp(layer, normed)))
""",
        "mlp gets the same rmsnorm(x) as attention",
    ),
    (
        "wte for lm_head",
        'return linear(x, w["lm_head.weight"])',
        'return linear(x, w["wte.weight"])',
        "a matrix of its own for them, lm_head.weight",
    ),
    (
        "every n-th number for a head",
        """\
        heads = []
        for start in range(0, self.config.n_embd, head_dim):
            head = slice(start, start + head_dim)
""",
        """\
        heads = []
        for start in range(self.config.n_head):
            head = slice(start, None, self.config.n_head)
""",
        "Yours gives a head every n-th number",
    ),
    (
        "query not by head",
        "heads += attend(query[head], keys, values)",
        "heads += attend(query, keys, values)",
        "The first thing that differs is the query that attend gets for head 0",
    ),
    (
        "one head's keys from layer 0",
        "[key[head] for key in cache.keys[layer]]",
        "[key[head] for key in cache.keys[0]]",
        "The first thing that differs is the keys",
    ),
    (
        "heads added instead of joined",
        """\
        heads = []
""",
        """\
        heads = [Value(0.0)] * head_dim
""",
        "The first thing that differs is what o_proj gets",
    ),
    (
        "up with 2 n",
        "(4 * n, n)",
        "(2 * n, n)",
        "should be: (24, 6)",
    ),
    (
        "initialize seeds again",
        """parameters = {}
        for name""",
        """rng.seed(0)
        parameters = {}
        for name""",
        "Draw from rng as it comes",
    ),
    (
        "zeros",
        "Value(rng.gauss(0, INIT_STD))",
        "Value(0.0)",
        "the standard deviation 0.0;",
    ),
    (
        "position one further",
        'w["wpe.weight"][len(cache)]',
        'w["wpe.weight"][len(cache) + 1]',
        "The position is len(cache), and the first is 0",
    ),
    (
        "embeddings multiplied",
        'x = add(w["wte.weight"][token], w["wpe.weight"][len(cache)])',
        'x = [a * b for a, b in zip(w["wte.weight"][token], w["wpe.weight"][len(cache)])]',
        "The first thing that differs is the x that attention of layer 0 gets",
    ),
    (
        "mlp before attention",
        """\
            x = add(x, self.attention(layer, rmsnorm(x), cache))
            x = add(x, self.mlp(layer, rmsnorm(x)))
""",
        """\
            x = add(x, self.mlp(layer, rmsnorm(x)))
            x = add(x, self.attention(layer, rmsnorm(x), cache))
""",
        "Before that, there should be the x that attention of layer 0 gets",
    ),
    (
        "scores by the data",
        "[score / sqrt(len(query)) for",
        "[score.data / sqrt(len(query)) for",
        "Something before this line took .data",
    ),
    (
        "o_proj for each head",
        """\
            heads += attend(query[head], keys, values)
        return linear(heads, w[name + "o_proj.weight"])""",
        """\
            heads += attend(query[head], keys, values)
        return linear(linear(heads, w[name + "o_proj.weight"]), w[name + "o_proj.weight"])""",
        "Yours goes on to what o_proj gets",
    ),
    (
        "scalars without lm_head",
        "for matrix in self.parameters.values() for row",
        "for matrix in list(self.parameters.values())[:-1] for row",
        "none of lm_head.weight",
    ),
    (
        "values appended to keys",
        'cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))',
        'cache.keys[layer].append(linear(x, w[name + "v_proj.weight"]))',
        "The first thing that differs is the keys",
    ),
    (
        "softmax over relu",
        "weights = softmax(scores)",
        "weights = softmax([s.relu() for s in scores])",
        "The first thing that differs is what softmax gets",
    ),
    (
        "relu forgotten brackets",
        "[h.relu() for h in",
        "[h.relu for h in",
        "Are brackets missing",
    ),
    (
        "head_dim is n_head",
        "head_dim = self.config.n_embd // self.config.n_head",
        "head_dim = self.config.n_head",
        "The first thing that differs is the query that attend gets",
    ),
    (
        "weights not per token",
        "return linear(weights, list(zip(*values, strict=True)))",
        "return [weights[0] * v for v in values[0]]",
        "the sum, over all tokens, of the token's weight",
    ),
    (
        "wpe shape",
        '"wpe.weight": (self.block_size, n)',
        '"wpe.weight": (self.vocab_size, n)',
        "should be: (4, 6)",
    ),
    (
        "rmsnorm of the sum only in layer 0",
        """\
            x = add(x, self.mlp(layer, rmsnorm(x)))
""",
        """\
            x = rmsnorm(add(x, self.mlp(layer, rmsnorm(x))))
""",
        "The first thing that differs is the x that attention of layer 1 gets",
    ),
    (
        "mlp adds x itself",
        '        return linear(hidden, w[name + "down_proj.weight"])',
        '        return add(x, linear(hidden, w[name + "down_proj.weight"]))',
        "It is the model that adds it to x",
    ),
    (
        "query normalized",
        """\
        query = linear(x, w[name + "q_proj.weight"])
""",
        """\
        query = rmsnorm(linear(x, w[name + "q_proj.weight"]))
""",
        "The first thing that differs is the query that attend gets",
    ),
    (
        "v_proj of the normed twice",
        'linear(x, w[name + "v_proj.weight"])',
        'linear(rmsnorm(x), w[name + "v_proj.weight"])',
        "It is linear(x, v_proj.weight of this layer)",
    ),
    (
        "attention called with layer 0",
        "self.attention(layer, rmsnorm(x), cache)",
        "self.attention(0, rmsnorm(x), cache)",
        "Each token leaves one key and one value in every layer",
    ),
    (
        "keys of all heads",
        "keys = [key[head] for key in cache.keys[layer]]",
        "keys = cache.keys[layer]",
        "The first thing that differs is the keys that attend gets",
    ),
    (
        "head slice end wrong",
        "head = slice(start, start + head_dim)",
        "head = slice(start, head_dim)",
        "The first thing that differs is the query that attend gets for head 1",
    ),
    (
        "query taken from the cache",
        "heads += attend(query[head], keys, values)",
        "heads += attend(keys[-1], keys, values)",
        "The first thing that differs is the query",
    ),
    (
        "wte row by position",
        'w["wte.weight"][token], w["wpe.weight"][len(cache)]',
        'w["wte.weight"][len(cache)], w["wpe.weight"][len(cache)]',
        "The first thing that differs is the x that attention of layer 0 gets",
    ),
    (
        "initialize takes the shape the other way round",
        "for name, (rows, cols) in config.shapes().items():",
        "for name, (cols, rows) in config.shapes().items():",
        "It lies on its side",
    ),
    (
        "scalars goes one level too few into the matrices",
        "[p for matrix in self.parameters.values() for row in matrix for p in row]",
        "[row for matrix in self.parameters.values() for row in matrix]",
        "What it lists are lists again",
    ),
    (
        "__call__ takes the position of the newest token in the cache",
        '["wpe.weight"][len(cache)])',
        '["wpe.weight"][len(cache) - 1])',
        'w["wpe.weight"][len(cache) - 1]) There, ',
    ),
    (
        "__call__ overwrites x by rmsnorm(x) before it adds the attention",
        "            x = add(x, self.attention(layer, rmsnorm(x), cache))\n",
        "            x = rmsnorm(x)\n            x = add(x, self.attention(layer, x, cache))\n",
        "Yours adds attention to rmsnorm(x)",
    ),
    (
        "mlp has the relu before up_proj",
        '        hidden = [h.relu() for h in linear(x, w[name + "up_proj.weight"])]',
        '        hidden = linear([x_i.relu() for x_i in x], w[name + "up_proj.weight"])',
        "relu comes after up_proj, on what it gives",
    ),
    (
        "scalars collects the parameters in a set",
        "[p for matrix in self.parameters.values() for row in matrix for p in row]",
        "list({p for matrix in self.parameters.values() for row in matrix for p in row})",
        "a set has no order",
    ),
    (
        "__call__ norms after each addition, as the first transformer did",
        """\
            x = add(x, self.attention(layer, rmsnorm(x), cache))
            x = add(x, self.mlp(layer, rmsnorm(x)))""",
        """\
            x = rmsnorm(add(x, self.attention(layer, x, cache)))
            x = rmsnorm(add(x, self.mlp(layer, x)))""",
        "Yours normalizes after each addition",
    ),
]
