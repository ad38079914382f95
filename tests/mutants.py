"""Mistakes that learners make in the workbook: each is one change of a solution.

`says` is a part of the message by which the lab's check has to point at the mistake.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    lab: str
    slip: str
    file: str
    old: str
    new: str
    says: str


MUTANTS = [
    Mutant(*fields)
    for fields in (
        # ---------------------------------------------------------------- tokenizer
        (
            "02",
            "the words twice in the vocabulary",
            "tokenizer.py",
            "{word for sentence in sentences for word in sentence.split()}",
            "[word for sentence in sentences for word in sentence.split()]",
            "each stands in the vocabulary once",
        ),
        (
            "02",
            "the words in any order",
            "tokenizer.py",
            "sorted({word for sentence in sentences for word in sentence.split()})",
            "dict.fromkeys(word for sentence in sentences for word in sentence.split())",
            "The order is alphabetical",
        ),
        (
            "02",
            "letters for words",
            "tokenizer.py",
            "for word in sentence.split()}",
            "for word in sentence}",
            "sentence.split() gives a sentence's words",
        ),
        (
            "02",
            "BOS not counted",
            "tokenizer.py",
            "return len(self.words) + 1",
            "return len(self.words)",
            "BOS is a token, too",
        ),
        (
            "02",
            "ids from 0",
            "tokenizer.py",
            "{word: i + 1 for",
            "{word: i for",
            "0 is the id of BOS, so the first word has the id 1",
        ),
        (
            "02",
            "split at single spaces",
            "tokenizer.py",
            "for word in sentence.split():",
            'for word in sentence.split(" "):',
            "the word '' is not in the vocabulary",
        ),
        (
            "02",
            "unknown words left out",
            "tokenizer.py",
            """raise ValueError(f"the word {word!r} is not in the vocabulary")""",
            "continue",
            "should raise ValueError",
        ),
        (
            "02",
            "an error that does not say which word",
            "tokenizer.py",
            """f"the word {word!r} is not in the vocabulary\"""",
            '"a word is not in the vocabulary"',
            "does not say which word",
        ),
        (
            "02",
            "no BOS at the end",
            "tokenizer.py",
            "return [BOS, *self.encode(sentence), BOS]",
            "return [BOS, *self.encode(sentence)]",
            "where they end from the last",
        ),
        (
            "02",
            "decode one word too far",
            "tokenizer.py",
            "self.words[token - 1]",
            "self.words[token % len(self.words)]",
            "words[i - 1]",
        ),
        (
            "02",
            "decode keeps BOS",
            "tokenizer.py",
            "if token != BOS:",
            "if True:",
            "BOS stands for no word",
        ),
        (
            "02",
            "decode takes negative ids",
            "tokenizer.py",
            "if not 0 <= token < self.vocab_size:",
            "if token >= self.vocab_size:",
            "Python counts negative positions from the end",
        ),
        (
            "02",
            "decode gives a list",
            "tokenizer.py",
            'return " ".join(words)',
            "return words",
            "one text, not a list",
        ),
        # ---------------------------------------------------------------- value
        (
            "03",
            "the local gradients of * not crossed",
            "value.py",
            "(other.data, self.data))",
            "(self.data, other.data))",
            "d(a * b)/da at a = 2.0, b = 3.0: yours 2.0, nudging a by 1e-6 gives 3.0",
        ),
        (
            "03",
            "+ passes on the other number",
            "value.py",
            "(self, other), (1.0, 1.0))",
            "(self, other), (other.data, self.data))",
            "d(a + b)/da at a = 2.0, b = 3.0: yours 3.0, nudging a by 1e-6 gives 1.0",
        ),
        (
            "03",
            "no children",
            "value.py",
            "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
            "return Value(self.data + other.data)",
            "a is not among the children",
        ),
        (
            "03",
            "an operation that gives a plain number",
            "value.py",
            "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
            "return self.data + other.data",
            "should be a Value. Yours is 5.0",
        ),
        (
            "03",
            "the operation changes its operand",
            "value.py",
            "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
            "self.data += other.data\n        return Value(self.data, (self, other), (1.0, 1.0))",
            "has changed a itself",
        ),
        (
            "03",
            "the power rule without the step down",
            "value.py",
            "slope = exponent * self.data ** (exponent - 1)",
            "slope = exponent * self.data**exponent",
            "The power rule",
        ),
        (
            "03",
            "exp's slope is its argument",
            "value.py",
            "return Value(power, (self,), (power,))",
            "return Value(power, (self,), (self.data,))",
            "its own slope",
        ),
        (
            "03",
            "log to the base 10",
            "value.py",
            "math.log(self.data), (self,)",
            "math.log10(self.data), (self,)",
            "a.log() at a = 2.0",
        ),
        (
            "03",
            "relu with a slope everywhere",
            "value.py",
            "return Value(0.0, (self,), (0.0,))",
            "return Value(0.0, (self,), (1.0,))",
            "Below zero relu is flat",
        ),
        (
            "03",
            "- the wrong way round",
            "value.py",
            "return self + -as_value(other)",
            "return -self + as_value(other)",
            "a - b at a = 2.0, b = 3.0",
        ),
        (
            "03",
            "no numbers beside Values",
            "value.py",
            '        """self * other."""\n        other = as_value(other)\n',
            '        """self * other."""\n',
            "as_value(other) makes a Value of a plain number",
        ),
        (
            "03",
            "= for += in backward",
            "value.py",
            "gradient[child] += gradient[value] * local_grad",
            "gradient[child] = gradient[value] * local_grad",
            "Does the second one replace the first?",
        ),
        (
            "03",
            "backward does not start with 1",
            "value.py",
            "        gradient[self] = 1.0\n",
            "",
            "d(c)/d(c) is 1",
        ),
        (
            "03",
            "the chain rule adds instead of multiplying",
            "value.py",
            "gradient[value] * local_grad",
            "gradient[value] + local_grad",
            "is the parent's gradient times the local gradient",
        ),
        (
            "03",
            "backward from the children to the parents",
            "value.py",
            "for value in reversed(order):",
            "for value in order:",
            "is the parent's gradient times the local gradient",
        ),
        (
            "03",
            "backward forgets earlier gradients",
            "value.py",
            "value.grad += gradient[value]",
            "value.grad = gradient[value]",
            "never sets it back",
        ),
        (
            "03",
            "backward counts in grad itself",
            "value.py",
            """        gradient = dict.fromkeys(order, 0.0)  # grad may hold an earlier call's
        gradient[self] = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                gradient[child] += gradient[value] * local_grad
        for value in order:
            value.grad += gradient[value]
""",
            """        self.grad = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                child.grad += value.grad * local_grad
""",
            "Keep the gradients of a call apart",
        ),
        (
            "03",
            "Values visited once for each way",
            "value.py",
            "        elif value not in visited:\n            visited.add(value)\n",
            "        else:\n",
            "A Value is in the list twice",
        ),
        (
            "03",
            "parents before their children",
            "value.py",
            """            visited.add(value)
            to_visit.append((value, True))
""",
            """            visited.add(value)
            order.insert(0, value)
""",
            "should stand before",
        ),
        (
            "03",
            "recursion",
            "value.py",
            """    to_visit = [(root, False)]
    while to_visit:
        value, children_done = to_visit.pop()
        if children_done:
            order.append(value)
        elif value not in visited:
            visited.add(value)
            to_visit.append((value, True))
            to_visit.extend((child, False) for child in value.children)
    return order
""",
            """
    def visit(value):
        if value not in visited:
            visited.add(value)
            for child in value.children:
                visit(child)
            order.append(value)

    visit(root)
    return order
""",
            "a function calls itself more often than Python allows",
        ),
        # ---------------------------------------------------------------- layers
        (
            "04",
            "columns for rows",
            "layers.py",
            "zip(row, x, strict=True)) for row in w]",
            "zip(row, x)) for row in zip(*w)]",
            "One number for each row of w",
        ),
        (
            "04",
            "the last number left out",
            "layers.py",
            "for w_i, x_i in zip(row, x, strict=True)",
            "for w_i, x_i in zip(row[:-1], x[:-1])",
            "multiply it with x, number by number, and add up",
        ),
        (
            "04",
            "linear on plain numbers",
            "layers.py",
            "[sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]",
            "[sum(w_i.data * x_i.data for w_i, x_i in zip(row, x, strict=True)) for row in w]",
            "A plain number has forgotten where it came from",
        ),
        (
            "04",
            "the graph cut in linear",
            "layers.py",
            "[sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]",
            "[type(x[0])(sum(w_i.data * x_i.data for w_i, x_i in zip(row, x))) for row in w]",
            "A Value made anew from .data is a stranger",
        ),
        (
            "04",
            "no max in softmax",
            "layers.py",
            "largest = max(x.data for x in logits)",
            "largest = 0.0",
            "Subtract the largest logit from each first",
        ),
        (
            "04",
            "the smallest subtracted",
            "layers.py",
            "largest = max(x.data for x in logits)",
            "largest = min(x.data for x in logits)",
            "Subtract the largest logit from each first",
        ),
        (
            "04",
            "softmax without exp",
            "layers.py",
            "exps = [(x - largest).exp() for x in logits]",
            "exps = [x * 1.0 for x in logits]",
            "softmax([0.0, 0.0])",
        ),
        (
            "04",
            "softmax of minus x",
            "layers.py",
            "exps = [(x - largest).exp() for x in logits]",
            "exps = [(largest - x).exp() for x in logits]",
            "is a sign turned round?",
        ),
        (
            "04",
            "the sum as a plain number",
            "layers.py",
            "total = sum(exps)",
            "total = sum(e.data for e in exps)",
            "Is the sum made of Values",
        ),
        (
            "04",
            "the sum instead of the mean in rmsnorm",
            "layers.py",
            "sum(x_i * x_i for x_i in x) / len(x)",
            "sum(x_i * x_i for x_i in x)",
            "it takes their mean",
        ),
        (
            "04",
            "no root in rmsnorm",
            "layers.py",
            "** -0.5",
            "** -1",
            "the root is missing",
        ),
        (
            "04",
            "multiplied instead of divided",
            "layers.py",
            "** -0.5",
            "** 0.5",
            "it should divide by it",
        ),
        (
            "04",
            "LayerNorm",
            "layers.py",
            "    mean_square = sum(x_i * x_i for x_i in x) / len(x)\n",
            "    mean = sum(x) / len(x)\n    x = [x_i - mean for x_i in x]\n"
            "    mean_square = sum(x_i * x_i for x_i in x) / len(x)\n",
            "RMSNorm only scales",
        ),
        (
            "04",
            "no eps",
            "layers.py",
            "(mean_square + RMSNORM_EPS) ** -0.5",
            "mean_square ** -0.5",
            "RMSNORM_EPS is added to the mean square",
        ),
        (
            "04",
            "eps outside the root",
            "layers.py",
            "scale = (mean_square + RMSNORM_EPS) ** -0.5",
            "scale = 1 / ((mean_square + 1e-300) ** 0.5 + RMSNORM_EPS)",
            "below the root",
        ),
        # ---------------------------------------------------------------- model
        (
            "05",
            "up and down changed places",
            "model.py",
            'up_proj.weight"] = (4 * n, n)',
            'up_proj.weight"] = (n, 4 * n)',
            "The rows come first",
        ),
        (
            "05",
            "the same row many times",
            "model.py",
            "[Value(rng.gauss(0, INIT_STD)) for _ in range(cols)] for _ in range(rows)\n",
            "*[[Value(rng.gauss(0, INIT_STD)) for _ in range(cols)]] * rows\n",
            "[row] * rows is the same row many times",
        ),
        (
            "05",
            "the variance for the standard deviation",
            "model.py",
            "Value(rng.gauss(0, INIT_STD))",
            "Value(rng.gauss(0, INIT_STD**2))",
            "the standard deviation 0.006",
        ),
        (
            "05",
            "a uniform distribution",
            "model.py",
            "Value(rng.gauss(0, INIT_STD))",
            "Value(rng.uniform(-INIT_STD * sqrt(3), INIT_STD * sqrt(3)))",
            "with a normal distribution",
        ),
        (
            "05",
            "copies of the parameters",
            "model.py",
            "return [p for matrix in",
            "return [Value(p.data) for matrix in",
            "copies would leave the model as it was",
        ),
        (
            "05",
            "scores not divided",
            "model.py",
            "[score / sqrt(len(query)) for",
            "[score for",
            "not divided by sqrt(d)",
        ),
        (
            "05",
            "scores divided by d",
            "model.py",
            "[score / sqrt(len(query)) for",
            "[score / len(query) for",
            "it takes its root",
        ),
        (
            "05",
            "no softmax",
            "model.py",
            "weights = softmax(scores)",
            "weights = scores",
            "The softmax is missing",
        ),
        (
            "05",
            "mixing the keys",
            "model.py",
            "list(zip(*values, strict=True))",
            "list(zip(*keys, strict=True))",
            "It mixes the values, not the keys",
        ),
        (
            "05",
            "the causal slip: a token that does not see itself",
            "model.py",
            "in cache.keys[layer]]",
            "in (cache.keys[layer][:-1] or cache.keys[layer])]",
            "in model.py, line",
        ),
        (
            "05",
            "the causal slip in keys and values",
            "model.py",
            """            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
""",
            """            before = slice(0, max(1, len(cache.keys[layer]) - 1))
            keys = [key[head] for key in cache.keys[layer][before]]
            values = [value[head] for value in cache.values[layer][before]]
""",
            "A token attends to itself, too",
        ),
        (
            "05",
            "only the newest token",
            "model.py",
            """            keys = [key[head] for key in cache.keys[layer]]
            values = [value[head] for value in cache.values[layer]]
""",
            """            keys = [cache.keys[layer][-1][head]]
            values = [cache.values[layer][-1][head]]
""",
            "Yours attends to the newest token only",
        ),
        (
            "05",
            "the token itself as its key",
            "model.py",
            'cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))',
            "cache.keys[layer].append(x)",
            "It is linear(x, k_proj.weight of this layer)",
        ),
        (
            "05",
            "always the cache of layer 0",
            "model.py",
            'query = linear(x, w[name + "q_proj.weight"])\n',
            'query = linear(x, w[name + "q_proj.weight"])\n        layer = 0\n',
            "cache.keys have the lengths [1, 0]; they should have [0, 1]",
        ),
        (
            "05",
            "one head",
            "model.py",
            "head_dim = self.config.n_embd // self.config.n_head",
            "head_dim = self.config.n_embd",
            "Each head attends with its own share",
        ),
        (
            "05",
            "every head with the first share",
            "model.py",
            "head = slice(start, start + head_dim)",
            "head = slice(0, head_dim)",
            "Head h starts at h * head_dim",
        ),
        (
            "05",
            "no o_proj",
            "model.py",
            'return linear(heads, w[name + "o_proj.weight"])',
            "return heads",
            "go through o_proj at the end",
        ),
        (
            "05",
            "no relu",
            "model.py",
            "[h.relu() for h in",
            "[h for h in",
            "The relu between the two layers of the MLP is missing",
        ),
        (
            "05",
            "no position",
            "model.py",
            'add(w["wte.weight"][token], w["wpe.weight"][len(cache)])',
            'w["wte.weight"][token]',
            "the position's row of wpe is missing",
        ),
        (
            "05",
            "no norm after the embeddings",
            "model.py",
            "        x = rmsnorm(x)\n        for",
            "        for",
            "The rmsnorm after the embeddings is missing",
        ),
        (
            "05",
            "no residual connection",
            "model.py",
            "x = add(x, self.mlp(layer, rmsnorm(x)))",
            "x = self.mlp(layer, rmsnorm(x))",
            "The MLP adds to x, it does not replace it",
        ),
        (
            "05",
            "attention without norm",
            "model.py",
            "self.attention(layer, rmsnorm(x), cache)",
            "self.attention(layer, x, cache)",
            "attention should get rmsnorm(x), not x",
        ),
        (
            "05",
            "a norm at the end",
            "model.py",
            'return linear(x, w["lm_head.weight"])',
            'return linear(rmsnorm(x), w["lm_head.weight"])',
            "There is no rmsnorm before lm_head",
        ),
        (
            "05",
            "negative tokens",
            "model.py",
            "if token < 0:",
            "if False:",
            "Python counts negative positions from the end",
        ),
        # ---------------------------------------------------------------- training
        (
            "06",
            "no minus before the logarithm",
            "training.py",
            "losses.append(-probabilities[target].log())",
            "losses.append(probabilities[target].log())",
            "surprise is minus the logarithm",
        ),
        (
            "06",
            "the sum for the mean",
            "training.py",
            "return sum(losses) / len(losses)",
            "return sum(losses)",
            "Divide it by their number",
        ),
        (
            "06",
            "predicting the token that was read",
            "training.py",
            "losses.append(-probabilities[target].log())",
            "losses.append(-probabilities[token].log())",
            "Yours asks for the token that was just read",
        ),
        (
            "06",
            "the closing BOS not predicted",
            "training.py",
            "in pairwise(tokens):",
            "in pairwise(tokens[:-1] if len(tokens) > 2 else tokens):",
            "the closing BOS, is missing",
        ),
        (
            "06",
            "no softmax",
            "training.py",
            "probabilities = softmax(model(token, cache))",
            "probabilities = [x.exp() for x in model(token, cache)]",
            "The softmax is missing",
        ),
        (
            "06",
            "a new cache for each token",
            "training.py",
            "softmax(model(token, cache))",
            "softmax(model(token, KVCache(model.config.n_layer)))",
            "make it before the loop",
        ),
        (
            "06",
            "not cut at block_size",
            "training.py",
            "    tokens = tokens[: model.config.block_size + 1]\n",
            "",
            "The model reads block_size tokens at most",
        ),
        (
            "06",
            "cut one token early",
            "training.py",
            "tokens[: model.config.block_size + 1]",
            "tokens[: model.config.block_size]",
            "The model reads block_size tokens at most",
        ),
        (
            "06",
            "the loss as a plain number",
            "training.py",
            "return sum(losses) / len(losses)",
            "return sum(loss.data for loss in losses) / len(losses)",
            "no gradient can flow back",
        ),
        (
            "06",
            "no bias correction",
            "training.py",
            """            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
""",
            """            m_hat = self.m[i]
            v_hat = self.v[i]
""",
            "The divisions by 1 - beta1**t and 1 - beta2**t are missing",
        ),
        (
            "06",
            "no bias correction of v",
            "training.py",
            "v_hat = self.v[i] / (1 - self.beta2**self.t)",
            "v_hat = self.v[i]",
            "v is not divided by 1 - beta2**t",
        ),
        (
            "06",
            "uphill",
            "training.py",
            "p.data -= lr",
            "p.data += lr",
            "Yours goes uphill",
        ),
        (
            "06",
            "no square root",
            "training.py",
            "(sqrt(v_hat) + self.eps)",
            "(v_hat + self.eps)",
            "The square root of v is missing",
        ),
        (
            "06",
            "t stays at 1",
            "training.py",
            "self.t += 1",
            "self.t = 1",
            "t does not grow",
        ),
        (
            "06",
            "gradients not set to zero",
            "training.py",
            "            p.grad = 0.0\n",
            "",
            "What is not set to 0.0 comes in again",
        ),
        (
            "06",
            "no backward",
            "training.py",
            "        loss.backward()\n",
            "",
            "all gradients are zero when Adam.step is called",
        ),
        (
            "06",
            "always the first document",
            "training.py",
            "documents[step % len(documents)]",
            "documents[0]",
            "takes document number s",
        ),
        (
            "06",
            "not from the start again",
            "training.py",
            "documents[step % len(documents)]",
            "documents[step]",
            "raised IndexError",
        ),
        (
            "06",
            "the same rate all the time",
            "training.py",
            "lr * (1 - step / steps)",
            "lr",
            "Yours stays the same",
        ),
        (
            "06",
            "a new optimizer each step",
            "training.py",
            "        optimizer.step(lr",
            "        optimizer = Adam(model.scalars())\n        optimizer.step(lr",
            "make it once, before the loop",
        ),
        (
            "06",
            "Values for the losses",
            "training.py",
            "losses.append(loss.data)",
            "losses.append(loss)",
            "loss.data is the number",
        ),
        # ---------------------------------------------------------------- saving
        (
            "07",
            "a big-endian length",
            "saving.py",
            'return struct.pack("<Q", len(header_bytes))',
            'return struct.pack(">Q", len(header_bytes))',
            "largest byte first",
        ),
        (
            "07",
            "characters counted for bytes",
            "saving.py",
            'header_bytes = json.dumps(header).encode("utf-8")\n'
            '    return struct.pack("<Q", len(header_bytes)) +',
            "text = json.dumps(header, ensure_ascii=False)\n"
            '    header_bytes = text.encode("utf-8")\n'
            '    return struct.pack("<Q", len(text)) +',
            "Count the header's bytes after encode(), not its characters",
        ),
        (
            "07",
            "the length counts itself",
            "saving.py",
            'struct.pack("<Q", len(header_bytes))',
            'struct.pack("<Q", len(header_bytes) + 8)',
            "its own 8 bytes do not count",
        ),
        (
            "07",
            "offsets from the start of the file",
            "saving.py",
            '"data_offsets": [start, len(data)],',
            '"data_offsets": [start + 8, len(data) + 8],',
            "count from the end of the header",
        ),
        (
            "07",
            "offsets that count numbers",
            "saving.py",
            '"data_offsets": [start, len(data)],',
            '"data_offsets": [start // 8, len(data) // 8],',
            "The offsets count bytes",
        ),
        (
            "07",
            "a length for the end",
            "saving.py",
            '"data_offsets": [start, len(data)],',
            '"data_offsets": [start, len(data) - start],',
            "is where the matrix ends, not how long it is",
        ),
        (
            "07",
            "columns before rows in the shape",
            "saving.py",
            '"shape": [len(matrix), len(matrix[0])],',
            '"shape": [len(matrix[0]), len(matrix)],',
            "The rows come first, then the columns",
        ),
        (
            "07",
            "four bytes for a number",
            "saving.py",
            'struct.pack(f"<{len(row)}d", *row)',
            'struct.pack(f"<{len(row)}f", *row)',
            "Yours takes 4 bytes for a number",
        ),
        (
            "07",
            "column by column",
            "saving.py",
            "for row in matrix:\n            data +=",
            "for row in zip(*matrix):\n            data +=",
            "Yours goes column by column",
        ),
        (
            "07",
            "big-endian numbers",
            "saving.py",
            'struct.pack(f"<{len(row)}d", *row)',
            'struct.pack(f">{len(row)}d", *row)',
            "Yours are big-endian",
        ),
        (
            "07",
            "the metadata beside the header's own name",
            "saving.py",
            'header = {"__metadata__": metadata}',
            'header = {"metadata": metadata}',
            'in the header under the name "__metadata__"',
        ),
        (
            "07",
            "read in the order of the header",
            "saving.py",
            """        start, end = described["data_offsets"]
        numbers = struct.unpack(f"<{rows * cols}d", data[start:end])
""",
            """        numbers = struct.unpack(f"<{rows * cols}d", data[: 8 * rows * cols])
        data = data[8 * rows * cols :]
""",
            "is what its data_offsets say",
        ),
        (
            "07",
            "rows as long as there are rows",
            "saving.py",
            "numbers[i * cols : (i + 1) * cols]",
            "numbers[i * rows : (i + 1) * rows]",
            "a row has as many as there are columns",
        ),
        (
            "07",
            "the numbers thrown away",
            "saving.py",
            "                p.data = number\n",
            "                p = number\n",
            "Each parameter's .data should be the number from the file",
        ),
        (
            "07",
            "no training record",
            "saving.py",
            '        "training": training,\n',
            "",
            "KeyError: 'training'",
        ),
        # ---------------------------------------------------------------- sampling
        (
            "08",
            "multiplied by the temperature",
            "sampling.py",
            "[x / temperature for x in logits]",
            "[x * temperature for x in logits]",
            "Yours multiplies by the temperature",
        ),
        (
            "08",
            "no temperature",
            "sampling.py",
            "[x / temperature for x in logits]",
            "logits",
            "The temperature has no effect in yours",
        ),
        (
            "08",
            "divided by zero",
            "sampling.py",
            "if temperature == 0:",
            "if False:",
            "ZeroDivisionError",
        ),
        (
            "08",
            "Values for probabilities",
            "sampling.py",
            "p = [x.data for x in softmax([x / temperature for x in logits])]",
            "p = softmax([x / temperature for x in logits])",
            ".data takes the number out of it",
        ),
        (
            "08",
            "not scaled after the cut",
            "sampling.py",
            "[p[token] / total if",
            "[p[token] if",
            "Divide each one that is kept by the sum of those that are kept",
        ),
        (
            "08",
            "one token too many",
            "sampling.py",
            "by_probability(p)[:k]",
            "by_probability(p)[: k + 1]",
            "Yours keeps 2 tokens, more than 1",
        ),
        (
            "08",
            "the first k tokens",
            "sampling.py",
            "return keep(p, by_probability(p)[:k])",
            "return keep(p, list(range(len(p)))[:k])",
            "Yours keeps other tokens than the likeliest",
        ),
        (
            "08",
            "top-p cut one early",
            "sampling.py",
            """        kept.append(token)
        total += p[token]
        if total >= top_p:
            break
""",
            """        total += p[token]
        if total >= top_p and kept:
            break
        kept.append(token)
""",
            "Yours stops one token early",
        ),
        (
            "08",
            "top-p cut one late",
            "sampling.py",
            "if total >= top_p:",
            "if total > top_p:",
            "Yours keeps one token too many",
        ),
        (
            "08",
            "top-p in the order of the ids",
            "sampling.py",
            "for token in by_probability(p):",
            "for token in range(len(p)):",
            "in the order of their probability",
        ),
        (
            "08",
            "top-p before top-k",
            "sampling.py",
            "keep_top_p(keep_top_k(p, top_k), top_p)",
            "keep_top_k(keep_top_p(p, top_p), top_k)",
            "Yours does top-p first",
        ),
        (
            "08",
            "always the likeliest",
            "sampling.py",
            "return rng.choices(range(len(p)), p)[0]",
            "return p.index(max(p))",
            "Yours always takes the same one",
        ),
        (
            "08",
            "all equally likely",
            "sampling.py",
            "return rng.choices(range(len(p)), p)[0]",
            "return rng.choice([token for token in range(len(p)) if p[token]])",
            "the probabilities are not used",
        ),
        (
            "08",
            "the unlikely ones drawn",
            "sampling.py",
            "return rng.choices(range(len(p)), p)[0]",
            "return rng.choices(range(len(p)), [1 - x for x in p])[0]",
            "A token with probability 0 came up",
        ),
        (
            "08",
            "a list for a token",
            "sampling.py",
            "return rng.choices(range(len(p)), p)[0]",
            "return rng.choices(range(len(p)), p)",
            "rng.choices gives a list",
        ),
        (
            "08",
            "BOS not read",
            "sampling.py",
            "for token in [BOS, *prompt]:",
            "for token in prompt or [1]:",
            "The model reads BOS first",
        ),
        (
            "08",
            "BOS in the sentence",
            "sampling.py",
            """        if token == BOS:
            return sentence
        sentence.append(token)
""",
            """        sentence.append(token)
        if token == BOS:
            return sentence
""",
            "BOS ends the sentence and is no part of it",
        ),
        (
            "08",
            "the prompt not read",
            "sampling.py",
            "for token in [BOS, *prompt]:",
            "for token in [BOS]:",
            "The model has to read the prompt",
        ),
        (
            "08",
            "a sentence without its prompt",
            "sampling.py",
            "sentence = list(prompt)",
            "sentence = []",
            "The sentence begins with the prompt",
        ),
        (
            "08",
            "no end at block_size",
            "sampling.py",
            "        if len(cache) == block_size:\n            return sentence\n",
            "",
            "the model can read 6 tokens, and this is one more",
        ),
        (
            "08",
            "the last choice lost",
            "sampling.py",
            """        sentence.append(token)
        if len(cache) == block_size:
            return sentence
""",
            """        if len(cache) == block_size:
            return sentence
        sentence.append(token)
""",
            "one more is chosen",
        ),
        (
            "08",
            "a prompt that is too long",
            "sampling.py",
            "if len(prompt) >= block_size:",
            "if False:",
            "should raise ValueError. Yours raised IndexError",
        ),
        (
            "08",
            "BOS read again in place of the choice",
            "sampling.py",
            "            return sentence\n        logits = model(token, cache)\n",
            "            return sentence\n        logits = model(BOS, cache)\n",
            "otherwise keep the token and read it",
        ),
    )
]
