"""Lab 04: the building blocks of the model, on lists of Values: linear, softmax, rmsnorm."""

RMSNORM_EPS = 1e-5


def linear(x, w):
    """Return the dot product of each row of `w` with `x`.

    x        a list of n_in Values
    w        a list of n_out rows, each a list of n_in Values
    returns  a list of n_out Values

    With x = [1, 2] and w = [[3, 4], [5, 6], [7, 8]] it is [11, 17, 23].
    """
    return [sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]


def softmax(logits):
    """Turn any numbers into probabilities: exp(x_i) / sum of all exp(x_j).

    logits   a list of n Values
    returns  a list of n Values, above 0, that sum to 1

    exp(1000) is too large for a number. Subtracting the largest logit from each first changes
    none of the quotients, and then no exp is larger than 1.

    With logits 0 and log(3) it is [0.25, 0.75].
    """
    largest = max(x.data for x in logits)
    exps = [(x - largest).exp() for x in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x):
    """Scale `x` so that its root mean square is 1: x / sqrt(mean(x^2) + RMSNORM_EPS).

    x        a list of n Values
    returns  a list of n Values

    With x = [3, -3, 3, -3] it is very nearly [1, -1, 1, -1]; with x = [0, 0] it is [0, 0].
    """
    mean_square = sum(x_i * x_i for x_i in x) / len(x)
    scale = (mean_square + RMSNORM_EPS) ** -0.5
    return [x_i * scale for x_i in x]
