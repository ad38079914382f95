"""Adam, the optimizer: how far each parameter moves, given its gradient."""

from __future__ import annotations

from collections.abc import Sequence

from llmhard.autograd import Batch, Matrix, Tape, adam_update


class Adam:
    """Adam (Kingma and Ba, 2015): steps along a running mean of the gradients, each scaled by a
    running root mean square, both corrected for having started at zero.

        m = beta1 m + (1 - beta1) g            v = beta2 v + (1 - beta2) g^2
        data -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    With a weight decay, data loses lr weight_decay data first (AdamW: Loshchilov and Hutter, 2019).
    `m` and `v` have the shapes of the parameters, `t` counts the steps.
    """

    def __init__(
        self,
        parameters: Sequence[Matrix],
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.weight_decay = weight_decay
        self.m = [zeros_like(p) for p in self.parameters]
        self.v = [zeros_like(p) for p in self.parameters]
        self.t = 0

    def step(self, lr: float, tape: Tape | Batch | None = None) -> None:
        """Move every parameter once, at the learning rate `lr`, and set all gradients to zero.

        With a `tape`, `tape.backward()` comes first; the two in one are faster.
        """
        adam_update(
            self.parameters,
            self.m,
            self.v,
            lr=lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            t=self.t + 1,
            tape=tape,
        )
        self.t += 1


def zeros_like(like: Matrix) -> Matrix:
    """Return a new matrix of the same shape, all zeros."""
    rows, cols = like.shape
    return Matrix.frombytes(bytes(8 * rows * cols), rows, cols)
