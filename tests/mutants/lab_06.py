"""Mistakes in lab 06, training: name, old text, new text, what check says."""

ROWS = [
    (
        "no minus before the logarithm",
        "losses.append(-probabilities[target].log())",
        "losses.append(probabilities[target].log())",
        "surprise is minus the logarithm",
    ),
    (
        "the sum for the mean",
        "return sum(losses) / len(losses)",
        "return sum(losses)",
        "Divide it by their number",
    ),
    (
        "predicting the token that was read",
        "losses.append(-probabilities[target].log())",
        "losses.append(-probabilities[token].log())",
        "Yours asks for the token that was just read",
    ),
    (
        "the closing BOS not predicted",
        "in pairwise(tokens):",
        "in pairwise(tokens[:-1] if len(tokens) > 2 else tokens):",
        "the closing BOS, is missing",
    ),
    (
        "no softmax",
        "probabilities = softmax(model(token, cache))",
        "probabilities = [x.exp() for x in model(token, cache)]",
        "The softmax is missing",
    ),
    (
        "a new cache for each token",
        "softmax(model(token, cache))",
        "softmax(model(token, KVCache(model.config.n_layer)))",
        "make it before the loop",
    ),
    (
        "not cut at block_size",
        """\
    tokens = tokens[: model.config.block_size + 1]
""",
        "",
        "The model reads block_size tokens at most",
    ),
    (
        "cut one token early",
        "tokens[: model.config.block_size + 1]",
        "tokens[: model.config.block_size]",
        "The model reads block_size tokens at most",
    ),
    (
        "the loss as a plain number",
        "return sum(losses) / len(losses)",
        "return sum(loss.data for loss in losses) / len(losses)",
        "no gradient can flow back",
    ),
    (
        "no bias correction",
        """\
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
""",
        """\
            m_hat = self.m[i]
            v_hat = self.v[i]
""",
        "The divisions by 1 - beta1**t and 1 - beta2**t are missing",
    ),
    (
        "no bias correction of v",
        "v_hat = self.v[i] / (1 - self.beta2**self.t)",
        "v_hat = self.v[i]",
        "v is not divided by 1 - beta2**t",
    ),
    (
        "uphill",
        "p.data -= lr",
        "p.data += lr",
        "Yours goes uphill",
    ),
    (
        "no square root",
        "(sqrt(v_hat) + self.eps)",
        "(v_hat + self.eps)",
        "The square root of v is missing",
    ),
    (
        "t stays at 1",
        "self.t += 1",
        "self.t = 1",
        "t does not grow",
    ),
    (
        "t counted up for each parameter",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
""",
        """\
        for i, p in enumerate(self.parameters):
            self.t += 1
""",
        "t grows with every parameter",
    ),
    (
        "eps under the root",
        "(sqrt(v_hat) + self.eps)",
        "sqrt(v_hat + self.eps)",
        "eps is under the root",
    ),
    (
        "logits for probabilities",
        "probabilities = softmax(model(token, cache))",
        "probabilities = model(token, cache)",
        "has a logarithm",
    ),
    (
        "gradients not set to zero",
        """\
            p.grad = 0.0
""",
        "",
        "What is not set to 0.0 comes in again",
    ),
    (
        "no backward",
        """\
        loss.backward()
""",
        "",
        "all gradients are zero when Adam.step is called",
    ),
    (
        "always the first document",
        "documents[step % len(documents)]",
        "documents[0]",
        "takes document number s",
    ),
    (
        "not from the start again",
        "documents[step % len(documents)]",
        "documents[step]",
        "raised IndexError",
    ),
    (
        "the same rate all the time",
        "lr * (1 - step / steps)",
        "lr",
        "Yours stays the same",
    ),
    (
        "a new optimizer each step",
        "        optimizer.step(lr",
        """\
        optimizer = Adam(model.scalars())
        optimizer.step(lr""",
        "make it once, before the loop",
    ),
    (
        "Values for the losses",
        "losses.append(loss.data)",
        "losses.append(loss)",
        "loss.data is the number",
    ),
    (
        "shuffled in place",
        """\
    optimizer = Adam(model.scalars())
    losses = []
""",
        """\
    optimizer = Adam(model.scalars())
    losses = []
    __import__('random').shuffle(documents)
""",
        "changes documents itself",
    ),
    (
        "sorted in place",
        """\
    optimizer = Adam(model.scalars())
    losses = []
""",
        """\
    optimizer = Adam(model.scalars())
    losses = []
    documents.sort(key=len)
""",
        "changes documents itself",
    ),
    (
        "reversed in place",
        """\
    optimizer = Adam(model.scalars())
    losses = []
""",
        """\
    optimizer = Adam(model.scalars())
    losses = []
    documents.reverse()
""",
        "changes documents itself",
    ),
    (
        "tokens popped",
        """\
    tokens = tokens[: model.config.block_size + 1]
""",
        """\
    while len(tokens) > model.config.block_size + 1:
        tokens.pop()
""",
        "changes tokens itself",
    ),
    (
        "documents rotated",
        """\
        loss = sequence_loss(model, documents[step % len(documents)])
""",
        """\
        documents.append(documents.pop(0))
        loss = sequence_loss(model, documents[-1])
""",
        "changes documents itself",
    ),
    (
        "// in the loss",
        "return sum(losses) / len(losses)",
        "return sum(losses) // len(losses)",
        "Write `/`",
    ),
    (
        "t from 0",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        """\
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
        self.t += 1
""",
        "t is 1 at the first step",
    ),
    (
        "zeroed before the update",
        """\
        for i, p in enumerate(self.parameters):
            self.m""",
        """\
        for i, p in enumerate(self.parameters):
            p.grad = 0.0
            self.m""",
        "every gradient is 0.0 when it is read",
    ),
    (
        "p = p - ...",
        "            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)",
        "            p = p - lr * m_hat / (sqrt(v_hat) + self.eps)",
        "gives the name p to something new",
    ),
    (
        "p = p.data - ...",
        """\
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        """\
            p.grad = 0.0
            p = p.data - lr * m_hat / (sqrt(v_hat) + self.eps)
""",
        "gives the name p to something new",
    ),
    (
        "a copy of the number moved",
        "            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)",
        """\
            data = p.data
            data -= lr * m_hat / (sqrt(v_hat) + self.eps)""",
        "this changes the number called data, and nothing reads it",
    ),
    (
        "betas swapped all",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta2 * self.m[i] + (1 - self.beta2) * p.grad
            self.v[i] = self.beta1 * self.v[i] + (1 - self.beta1) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta2**self.t)
            v_hat = self.v[i] / (1 - self.beta1**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        "beta1 and beta2 have changed places",
    ),
    (
        "betas swapped in the means",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta2 * self.m[i] + (1 - self.beta2) * p.grad
            self.v[i] = self.beta1 * self.v[i] + (1 - self.beta1) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        "beta1 and beta2 have changed places",
    ),
    (
        "shares swapped",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = (1 - self.beta1) * self.m[i] + self.beta1 * p.grad
            self.v[i] = (1 - self.beta2) * self.v[i] + self.beta2 * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        "The shares have changed places",
    ),
    (
        "return inside loss loop",
        """\
    return sum(losses) / len(losses)
""",
        """\
        return sum(losses) / len(losses)
""",
        "this `return` is inside the loop",
    ),
    (
        "return inside step",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
""",
        """\
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0
            return
""",
        "this `return` is inside the loop",
    ),
    (
        "return inside train",
        """\
            on_step(step + 1, loss.data)
    return losses
""",
        """\
            on_step(step + 1, loss.data)
        return losses
""",
        "this `return` is inside the loop",
    ),
    (
        "1 - p for the surprise",
        "losses.append(-probabilities[target].log())",
        "losses.append(1 - probabilities[target])",
        "Yours is 1 minus the probability",
    ),
    (
        "predicts the token before",
        "for token, target in pairwise(tokens):",
        "for target, token in pairwise(tokens):",
        "Yours goes backward",
    ),
    (
        "one index too far",
        """\
    for token, target in pairwise(tokens):
        probabilities = softmax(model(token, cache))
""",
        """\
    for i, token in enumerate(tokens):
        target = tokens[i + 1]
        probabilities = softmax(model(token, cache))
""",
        "looks one place further than i",
    ),
    (
        "v not of the square",
        "(1 - self.beta2) * p.grad**2",
        "(1 - self.beta2) * p.grad",
        "v is a running mean of squares",
    ),
    (
        "m_hat with beta2",
        "m_hat = self.m[i] / (1 - self.beta1**self.t)",
        "m_hat = self.m[i] / (1 - self.beta2**self.t)",
        "beta1 belongs to m",
    ),
    (
        "times t for to the power of t",
        "m_hat = self.m[i] / (1 - self.beta1**self.t)",
        "m_hat = self.m[i] / (1 - self.beta1 * self.t)",
        "It is a power",
    ),
    (
        "brackets forgotten before eps",
        "lr * m_hat / (sqrt(v_hat) + self.eps)",
        "lr * m_hat / sqrt(v_hat) + self.eps",
        "goes below the line, in brackets",
    ),
    (
        "the corrected m kept",
        """\
            m_hat = self.m[i] / (1 - self.beta1**self.t)
""",
        """\
            self.m[i] = m_hat = self.m[i] / (1 - self.beta1**self.t)
""",
        "m itself is replaced",
    ),
    (
        "=- for -=",
        "p.data -= lr",
        "p.data =- lr",
        "`=-` replaces what was there",
    ),
    (
        "the rate grows",
        "lr * (1 - step / steps)",
        "lr * (step + 1) / steps",
        "Yours grows",
    ),
    (
        "lr * 1 - ...",
        "lr * (1 - step / steps)",
        "lr * 1 - step / steps",
        "The brackets are missing",
    ),
    (
        "backward after the step",
        """\
        loss.backward()
        optimizer.step(lr * (1 - step / steps))
""",
        """\
        optimizer.step(lr * (1 - step / steps))
        loss.backward()
""",
        "all gradients are zero when Adam.step is called",
    ),
    (
        "on_step counts from 0",
        "on_step(step + 1, loss.data)",
        "on_step(step, loss.data)",
        "number of the step, from 1",
    ),
    (
        "on_step without if",
        """\
        if on_step:
            on_step""",
        "        on_step",
        "on_step may be None",
    ),
    (
        "Adam(model.parameters)",
        "Adam(model.scalars())",
        "Adam(model.parameters)",
        "model.scalars() is that list",
    ),
    (
        "log of the sum",
        "return sum(losses) / len(losses)",
        "return sum(losses) / model.config.block_size",
        "Yours divides the sum by 8",
    ),
    (
        "argmax instead",
        "probabilities[target].log()",
        "max(probabilities, key=lambda p: p.data).log()",
        "Yours asks for the likeliest token",
    ),
    (
        "skips BOS",
        "    for token, target in pairwise(tokens):",
        "    for token, target in pairwise(tokens[1:]):",
        "The first token, BOS, is read, too",
    ),
    (
        "softmax of the logits twice",
        "softmax(model(token, cache))",
        "softmax(softmax(model(token, cache)))",
        "It is for logits only",
    ),
    (
        "ValueError not raised",
        """\
    if len(tokens) < 2:
        raise ValueError("a sequence needs at least two tokens: one to read and one to predict")
""",
        "",
        "should raise ValueError",
    ),
    (
        "m with squared gradient",
        "(1 - self.beta1) * p.grad",
        "(1 - self.beta1) * p.grad**2",
        "self.m is [0.9, 0.025]",
    ),
    (
        "v adds v",
        "self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2",
        "self.v[i] + (1 - self.beta2) * p.grad**2",
        "self.v is [0.01, 0.0005]",
    ),
    (
        "m[0]",
        "self.m[i] = self.beta1 * self.m[i]",
        "self.m[i] = self.beta1 * self.m[0]",
        "self.m is [0.3, 0.22]",
    ),
    (
        "lr not used",
        "p.data -= lr * m_hat",
        "p.data -= LEARNING_RATE * m_hat",
        "times as far as it should be",
    ),
    (
        "v_hat not used",
        "(sqrt(v_hat) + self.eps)",
        "(sqrt(self.v[i]) + self.eps)",
        "v is not divided by 1 - beta2**t",
    ),
    (
        "grad set to None",
        """\
            p.grad = 0.0
""",
        """\
            p.grad = None
""",
        "yours:     [None, None]",
    ),
    (
        "losses returned as the last",
        """\
    return losses
""",
        """\
    return losses[-1]
""",
        "should be a list of 4 losses. Yours is 3.0885",
    ),
    (
        "on_step gets the Value",
        "on_step(step + 1, loss.data)",
        "on_step(step + 1, loss)",
        "its loss as a number",
    ),
    (
        "document by steps",
        "documents[step % len(documents)]",
        "documents[step % steps]",
        "It should begin anew after the last document",
    ),
    (
        "rate of integer division",
        "lr * (1 - step / steps)",
        "lr * (1 - step // steps)",
        "Yours stays the same",
    ),
    (
        "log10",
        "return sum(losses) / len(losses)",
        "return sum(losses) / len(losses) / 2.302585",
        "the logarithm to the base 10",
    ),
    (
        "target index plus one",
        "probabilities[target].log()",
        "probabilities[target - 1].log()",
        "the probability of token -1 from the one that comes next",
    ),
    (
        "cut to block_size tokens with +2",
        "tokens[: model.config.block_size + 1]",
        "tokens[: model.config.block_size + 2]",
        "The model reads block_size tokens at most",
    ),
    (
        "Adam with beta2 as 0.9",
        "self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2",
        "self.beta1 * self.v[i] + (1 - self.beta1) * p.grad**2",
        "v is made with beta1",
    ),
    (
        "t minus 1",
        "1 - self.beta1**self.t)",
        "1 - self.beta1**(self.t + 1))",
        "Every move is 0.5263 times as far",
    ),
    (
        "lr squared",
        "p.data -= lr * m_hat",
        "p.data -= lr * lr * m_hat",
        "Every move is 0.05 times as far",
    ),
    (
        "losses rounded",
        "losses.append(loss.data)",
        "losses.append(round(loss.data))",
        "yours:     [3, 2, 2, 3]",
    ),
    (
        "one step too few",
        "for step in range(steps):",
        "for step in range(1, steps):",
        "Step s, counted from 0, takes document number s",
    ),
    (
        "only target 0",
        "probabilities[target].log()",
        "probabilities[0].log()",
        "always takes the probability of token 0",
    ),
    (
        "m_hat never used",
        "lr * m_hat / (",
        "lr * self.m[i] / (",
        "m is not divided by 1 - beta1**t",
    ),
    (
        "backward on data",
        "loss.backward()",
        "loss.data.backward()",
        "A plain number is here where a Value is needed",
    ),
    (
        "sequence_loss takes the log of the mean probability",
        "        losses.append(-probabilities[target].log())\n    return sum(losses) / len(losses)",
        """\
        losses.append(probabilities[target])
    return -(sum(losses) / len(losses)).log()""",
        "Take the logarithm of each first",
    ),
    (
        "step writes ^ for a power, as in the formula",
        """\
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)""",
        """\
            m_hat = self.m[i] / (1 - self.beta1 ^ self.t)
            v_hat = self.v[i] / (1 - self.beta2 ^ self.t)""",
        "`^` is no power in Python",
    ),
    (
        "step sets grad to 0 after the loop, for the last parameter only",
        "            p.grad = 0.0\n",
        "        p.grad = 0.0\n",
        "Only the last parameter's is 0.0",
    ),
]
