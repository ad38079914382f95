"""Lab 03: automatic differentiation. A number that remembers how it was computed."""

import math


class Value:
    """A number that knows the Values it was computed from.

    >>> a, b = Value(2.0), Value(3.0)
    >>> c = a * b + a
    >>> c.backward()
    >>> c.data, a.grad, b.grad
    (8.0, 4.0, 2.0)
    """

    def __init__(self, data, children=(), local_grads=()):
        """Keep four attributes.

        data         the number itself
        grad         d(result)/d(this), 0.0 until backward() of the result finds it
        children     the Values that this one was computed from, a tuple
        local_grads  d(this)/d(child) for each of the children, numbers in the same order
        """
        self.data = data
        self.grad = 0.0
        self.children = children
        self.local_grads = local_grads

    def __add__(self, other):
        """Return self + other.

        The pattern for all operations: make `other` a Value in case it is a plain number, then
        return a new Value of the result, its two children and its two local gradients.
        """
        other = as_value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        """Return self * other."""
        other = as_value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, exponent):
        """Return self ** exponent, where the exponent is a plain number, such as 2 or -0.5."""
        if isinstance(exponent, Value):  # given: a^b is e^(b log a)
            return (exponent * self.log()).exp()
        slope = exponent * self.data ** (exponent - 1)
        return Value(self.data**exponent, (self,), (slope,))

    def exp(self):
        """Return e to the power of self."""
        power = math.exp(self.data)
        return Value(power, (self,), (power,))

    def log(self):
        """Return the natural logarithm of self."""
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def relu(self):
        """Return self if it is above zero, else zero. At zero the slope counts as 0."""
        if self.data > 0:
            return Value(self.data, (self,), (1.0,))
        return Value(0.0, (self,), (0.0,))

    def __neg__(self):
        """Return -self. Made of an operation that is there, it needs no gradient of its own."""
        return self * -1

    def __sub__(self, other):
        """Return self - other, made of operations that are there already."""
        return self + -as_value(other)

    def __truediv__(self, other):
        """Return self / other, made of operations that are there: a / b is a times b^-1."""
        return self * as_value(other) ** -1

    def backward(self):
        """Add d(self)/d(v) to v.grad, for every Value v that self was computed from, and for self.

        d(self)/d(self) is 1. From there the chain rule leads from each Value to its children:

            d(self)/d(child) += d(self)/d(value) * d(value)/d(child)

        for each value after all those that were computed from it. A second call adds the same
        gradients again.
        """
        order = topological_order(self)
        gradient = dict.fromkeys(order, 0.0)  # grad may hold an earlier call's
        gradient[self] = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                gradient[child] += gradient[value] * local_grad
        for value in order:
            value.grad += gradient[value]

    # What follows is given: numbers on the left, as in 2 * a, and how a Value is printed.

    def __radd__(self, other):  # given
        return self + other

    def __rmul__(self, other):  # given
        return self * other

    def __rsub__(self, other):  # given
        return as_value(other) - self

    def __rtruediv__(self, other):  # given
        return as_value(other) / self

    def __rpow__(self, other):  # given
        return as_value(other) ** self

    def __repr__(self):  # given
        return f"Value(data={self.data}, grad={self.grad})"


def as_value(x):  # given
    """Return x if it is a Value already, else a new Value of that number."""
    return x if isinstance(x, Value) else Value(x)


def topological_order(root):
    """Return a list of the root and all Values it was computed from: children before parents.

    Each Value is in it once, however many paths lead to it, and the root comes last. Python
    allows about 1,000 calls inside one another, and a chain may have 10,000 Values: so no
    function that calls itself, but a loop over a list of what is still to visit.
    """
    order = []
    visited = set()
    to_visit = [(root, False)]
    while to_visit:
        value, children_done = to_visit.pop()
        if children_done:
            order.append(value)
        elif value not in visited:
            visited.add(value)
            to_visit.append((value, True))
            to_visit.extend((child, False) for child in value.children)
    return order
