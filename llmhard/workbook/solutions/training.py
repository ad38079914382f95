"""Lab 06: training. Show the model a sentence, measure its surprise, make it a little smaller."""

from itertools import pairwise
from math import sqrt

from layers import softmax
from model import KVCache

LEARNING_RATE = 0.005


def sequence_loss(model, tokens):
    """Return the mean surprise, a Value, of predicting each token from those before it.

    model   a GPT: `model(token, cache)` gives the logits of what follows
    tokens  a list of token ids, such as [0, 3, 1, 2, 0]

    The model reads the tokens one after the other, with one new KVCache for all of them. The
    surprise at a token is -log of the probability, the softmax of the logits, that the model gave
    it after reading the token before. The first token is not predicted, and the last one is not
    read. A list of more than block_size + 1 tokens is cut there. Raises ValueError if there are
    fewer than two tokens.
    """
    tokens = tokens[: model.config.block_size + 1]
    if len(tokens) < 2:
        raise ValueError("a sequence needs at least two tokens: one to read and one to predict")
    cache = KVCache(model.config.n_layer)
    losses = []
    for token, target in pairwise(tokens):
        probabilities = softmax(model(token, cache))
        losses.append(-probabilities[target].log())
    return sum(losses) / len(losses)


class Adam:
    """The optimizer Adam (Kingma and Ba, 2015): how far each parameter moves, given its gradient.

    m is a running mean of the gradient g, v one of its square. Both start at zero, which the
    divisions by 1 - beta**t make up for; t is 1 at the first step.

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        data -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
    """

    def __init__(self, parameters, beta1=0.9, beta2=0.999, eps=1e-8):  # given
        self.parameters = parameters
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.m = [0.0] * len(parameters)
        self.v = [0.0] * len(parameters)
        self.t = 0

    def step(self, lr):
        """Move the data of every parameter once, and set every grad to 0.0 for the next step.

        lr  the learning rate
        """
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * p.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * p.grad**2
            m_hat = self.m[i] / (1 - self.beta1**self.t)
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p.data -= lr * m_hat / (sqrt(v_hat) + self.eps)
            p.grad = 0.0


def train(model, documents, steps, lr=LEARNING_RATE, on_step=None):
    """Learn from one document a step, in order and again from the start; return the losses.

    model      a GPT; Adam moves `model.scalars()`
    documents  lists of token ids
    lr         the learning rate of the first step. It falls in a straight line: at step s, counted
               from 0, it is lr * (1 - s / steps)
    on_step    a function or None; after each step it is called with the step's number, from 1,
               and the loss
    returns    the loss of each step, as plain numbers
    """
    optimizer = Adam(model.scalars())
    losses = []
    for step in range(steps):
        loss = sequence_loss(model, documents[step % len(documents)])
        loss.backward()
        optimizer.step(lr * (1 - step / steps))
        losses.append(loss.data)
        if on_step:
            on_step(step + 1, loss.data)
    return losses
