"""The workbook's solutions: the published algorithms in plain Python, which import nothing of ours.

What the engine and the model must agree with. The scalars are those of micrograd and microgpt:
data, grad, the Values that a number was computed from and the local gradients towards them.
"""

from llmhard.workbook import SOLUTIONS
from llmhard.workbook.book import Book

_book = Book(SOLUTIONS)
value, layers, model, training = map(_book.module, ("value", "layers", "model", "training"))


def gradients(root, local_grads=lambda scalar: scalar.local_grads):
    """The derivative of `root` by everything it depends on: the sum over all paths."""
    order = value.topological_order(root)
    result = dict.fromkeys(order, 0.0)
    result[root] = 1.0
    for scalar in reversed(order):
        for child, local_grad in zip(scalar.children, local_grads(scalar), strict=True):
            result[child] += local_grad * result[scalar]
    return result


def sizes_of_paths(root):
    """Like gradients, but no two paths cancel: the scale that rounding errors are measured by."""
    return gradients(root, lambda scalar: map(abs, scalar.local_grads))
