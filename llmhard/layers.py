"""The building blocks of the model: linear, softmax, rmsnorm.

Each is written twice: once for Vectors and Matrices, which the engine computes as a whole, and
once, for lists of single Values, as the formula itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from llmhard.autograd import Matrix, Value, Vector

RMSNORM_EPS = 1e-5


@overload
def linear(x: Vector, w: Matrix) -> Vector: ...
@overload
def linear(x: Sequence[Value], w: Sequence[Sequence[Value]]) -> list[Value]: ...
def linear(x, w):  # type: ignore[no-untyped-def]
    """w x: the dot product of each row of `w` [n_out, n_in] with `x` [n_in]; shape [n_out]."""
    if isinstance(w, Matrix):
        return w @ x
    return [sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]


@overload
def softmax(logits: Vector) -> Vector: ...
@overload
def softmax(logits: Sequence[Value]) -> list[Value]: ...
def softmax(logits):  # type: ignore[no-untyped-def]
    """exp(x_i) / sum_j exp(x_j): turns any numbers into probabilities; shape [n] to [n].

    Subtracting the largest first leaves the quotients as they are, and exp cannot overflow.
    """
    if isinstance(logits, Vector):
        return logits.softmax()
    largest = max(x.data for x in logits)
    exps = [(x - largest).exp() for x in logits]
    total = sum(exps)
    return [e / total for e in exps]


@overload
def rmsnorm(x: Vector) -> Vector: ...
@overload
def rmsnorm(x: Sequence[Value]) -> list[Value]: ...
def rmsnorm(x):  # type: ignore[no-untyped-def]
    """x / sqrt(mean(x^2) + eps): scales `x` [n] so that its root mean square is 1.

    Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019), without a learned gain.
    """
    if isinstance(x, Vector):
        return x * ((x @ x) / len(x) + RMSNORM_EPS) ** -0.5
    scale = (sum(x_i * x_i for x_i in x) / len(x) + RMSNORM_EPS) ** -0.5
    return [x_i * scale for x_i in x]
