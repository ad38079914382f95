"""Mistakes in lab 03, automatic differentiation: name, old text, new text, what check says."""

ROWS = [
    (
        "the local gradients of * not crossed",
        "(other.data, self.data))",
        "(self.data, other.data))",
        "d(a * b)/da at a = 2.0, b = 3.0: yours 2.0, nudging a by 1e-6 gives 3.0",
    ),
    (
        "+ passes on the other number",
        "(self, other), (1.0, 1.0))",
        "(self, other), (other.data, self.data))",
        "d(a + b)/da at a = 2.0, b = 3.0: yours 3.0, nudging a by 1e-6 gives 1.0",
    ),
    (
        "no children",
        "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        "return Value(self.data + other.data)",
        "a is not among the children",
    ),
    (
        "an operation that gives a plain number",
        "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        "return self.data + other.data",
        "should be a Value. Yours is 5.0",
    ),
    (
        "the operation changes its operand",
        "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        """self.data += other.data
        return Value(self.data, (self, other), (1.0, 1.0))""",
        "has changed a itself",
    ),
    (
        "the power rule without the step down",
        "slope = exponent * self.data ** (exponent - 1)",
        "slope = exponent * self.data**exponent",
        "The power rule",
    ),
    (
        "exp's slope is its argument",
        "return Value(power, (self,), (power,))",
        "return Value(power, (self,), (self.data,))",
        "its own slope",
    ),
    (
        "log to the base 10",
        "math.log(self.data), (self,)",
        "math.log10(self.data), (self,)",
        "a.log() at a = 2.0",
    ),
    (
        "a variable where an attribute should be",
        "self.grad = 0.0",
        "grad = 0.0",
        "To keep it, write self.grad",
    ),
    (
        "relu with a slope everywhere",
        "return Value(0.0, (self,), (0.0,))",
        "return Value(0.0, (self,), (1.0,))",
        "Below zero relu is flat",
    ),
    (
        "relu with a slope at zero",
        "if self.data > 0:",
        "if self.data >= 0:",
        "the slope there counts as 0",
    ),
    (
        "no comma in a tuple of one",
        "(self,), (1 / self.data,))",
        "(self), (1 / self.data))",
        "A tuple of one thing needs a comma",
    ),
    (
        "- the wrong way round",
        "return self + -as_value(other)",
        "return -self + as_value(other)",
        "a - b at a = 2.0, b = 3.0",
    ),
    (
        "no plain numbers",
        '        """Return self * other."""\n        other = as_value(other)\n',
        '        """Return self * other."""\n',
        "as_value(other) makes a Value of a plain number",
    ),
    (
        "= for += in backward",
        "gradient[child] += gradient[value] * local_grad",
        "gradient[child] = gradient[value] * local_grad",
        "Does the second one replace the first?",
    ),
    (
        "backward does not start with 1",
        """\
        gradient[self] = 1.0
""",
        "",
        "d(c)/d(c) is 1",
    ),
    (
        "the chain rule adds instead of multiplying",
        "gradient[value] * local_grad",
        "gradient[value] + local_grad",
        "is the parent's gradient times the local gradient",
    ),
    (
        "backward from the children to the parents",
        "for value in reversed(order):",
        "for value in order:",
        "the other way round, reversed(...)",
    ),
    (
        "backward forgets earlier gradients",
        "value.grad += gradient[value]",
        "value.grad = gradient[value]",
        "never sets it back",
    ),
    (
        "backward counts in grad itself",
        """\
        gradient = dict.fromkeys(order, 0.0)  # grad may hold an earlier call's
        gradient[self] = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                gradient[child] += gradient[value] * local_grad
        for value in order:
            value.grad += gradient[value]
""",
        """\
        self.grad = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                child.grad += value.grad * local_grad
""",
        "Keep the gradients of a call apart",
    ),
    (
        "Values visited once for each way",
        """\
        elif value not in visited:
            visited.add(value)
""",
        """\
        else:
""",
        "A Value is in the list twice",
    ),
    (
        "parents before their children",
        """\
            visited.add(value)
            to_visit.append((value, True))
""",
        """\
            visited.add(value)
            order.insert(0, value)
""",
        "and turns the list round",
    ),
    (
        "recursion",
        """\
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
""",
        """\

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
    (
        "a list for visited",
        """\
    visited = set()
    to_visit = [(root, False)]
    while to_visit:
        value, children_done = to_visit.pop()
        if children_done:
            order.append(value)
        elif value not in visited:
            visited.add(value)
""",
        """\
    visited = []
    to_visit = [(root, False)]
    while to_visit:
        value, children_done = to_visit.pop()
        if children_done:
            order.append(value)
        elif value not in visited:
            visited.append(value)
""",
        "A set finds a Value at once",
    ),
    (
        "a set of children",
        "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        "return Value(self.data + other.data, {self, other}, (1.0, 1.0))",
        "A set has no order",
    ),
    (
        "return inside topological loop",
        """\
    return order
""",
        """\
        return order
""",
        "this `return` is inside the loop",
    ),
    (
        "exp by the power rule",
        "return Value(power, (self,), (power,))",
        "return Value(power, (self,), (self.data * math.exp(self.data - 1),))",
        "That is the power rule, but here a is the exponent",
    ),
    (
        "log slope is 1/log",
        "(1 / self.data,))",
        "(1 / math.log(self.data),))",
        "at 2 a nudge counts half",
    ),
    (
        "- gives a plain number",
        "return self * -1",
        "return -self.data",
        "-a should be a Value. Yours is -2.0",
    ),
    (
        "/ with the slopes of the first for both",
        "return self * as_value(other) ** -1",
        """other = as_value(other)
        return Value(self.data / other.data, (self, other), (1 / other.data, 1 / other.data))""",
        "a / b is a times b ** -1",
    ),
    (
        "/ the wrong way round",
        "return self * as_value(other) ** -1",
        "return as_value(other) * self ** -1",
        "The two have changed places",
    ),
    (
        "relu's slope is its value",
        """\
        if self.data > 0:
            return Value(self.data, (self,), (1.0,))
        return Value(0.0, (self,), (0.0,))
""",
        """\
        result = max(0.0, self.data)
        return Value(result, (self,), (result,))
""",
        "a nudge of 1 moves it by 1",
    ),
    (
        "* with the slopes of +",
        "return Value(self.data * other.data, (self, other), (other.data, self.data))",
        "return Value(self.data * other.data, (self, other), (1.0, 1.0))",
        "1 and 1 are the slopes of a + b",
    ),
    (
        "power precedence",
        "self.data ** (exponent - 1)",
        "self.data ** exponent - 1",
        "`x ** n - 1` is (x ** n) - 1",
    ),
    (
        "* without return",
        "return Value(self.data * other.data, (self, other), (other.data, self.data))",
        "Value(self.data * other.data, (self, other), (other.data, self.data))",
        "Is `return` missing",
    ),
    (
        "data without self",
        "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        "return Value(data + other.data, (self, other), (1.0, 1.0))",
        "write self.data",
    ),
    (
        "backward starts with data",
        "gradient[self] = 1.0",
        "gradient[self] = self.data",
        "d(c)/d(c) is 1",
    ),
    (
        "root gets no grad",
        """\
        for value in order:
            value.grad""",
        """\
        for value in order[:-1]:
            value.grad""",
        "c itself has got none",
    ),
    (
        "root not in the list",
        """\
    return order
""",
        """\
    return order[:-1]
""",
        "The root itself comes last",
    ),
    (
        "order turned round",
        """\
    return order
""",
        """\
    return order[::-1]
""",
        "Yours is the right list turned round",
    ),
    (
        "visited holds numbers",
        """value not in visited:
            visited.add(value)""",
        """value.data not in visited:
            visited.add(value.data)""",
        "remember the Values that were visited, not their numbers",
    ),
    (
        "- adds",
        "return self + -as_value(other)",
        "return self + as_value(other)",
        "yours:     5.0",
    ),
    (
        "relu by abs",
        """\
        if self.data > 0:
            return Value(self.data""",
        """\
        if True:
            return Value(abs(self.data)""",
        "a.relu() at a = -2.0",
    ),
    (
        "exp with 2.718",
        "power = math.exp(self.data)",
        "power = 2.718 ** self.data",
        "yours:     2.718",
    ),
    (
        "log slope without self.data",
        "(1 / self.data,))",
        "(1 / self,))",
        "a local_grad of a.log() should be a number. Yours is Value(0.5)",
    ),
    (
        "pow multiplies",
        "return Value(self.data**exponent, (self,), (slope,))",
        "return Value(self.data * exponent, (self,), (slope,))",
        "a ** 2 at a = 3.0 yours:     6.0",
    ),
    (
        "grad stays None",
        """\
        self.grad = 0.0
""",
        """\
        self.grad = None
""",
        "Value(2.0).grad yours:     None",
    ),
    (
        "children not kept",
        """\
        self.children = children
""",
        """\
        self.children = ()
""",
        "does not use `children`",
    ),
    (
        "backward writes into the children only of self",
        """\
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                gradient[child] += gradient[value] * local_grad
        for value in order:
            value.grad += gradient[value]
""",
        """\
        for child, local_grad in zip(self.children, self.local_grads, strict=True):
            child.grad += local_grad
        self.grad += 1.0
""",
        "It goes on from each Value to its children",
    ),
    (
        "topological order only one child",
        "to_visit.extend((child, False) for child in value.children)",
        "to_visit.extend((child, False) for child in value.children[:1])",
        "Missing: b",
    ),
    (
        "neg of the gradient only",
        "return self * -1",
        "return Value(-self.data, (self,), (1.0,))",
        "-a falls when a grows",
    ),
    (
        "sub recursion",
        "return self + -as_value(other)",
        "return self - as_value(other)",
        "Value.__sub__ calls itself",
    ),
    (
        "+ without as_value",
        """\
        other = as_value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))""",
        "        return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        "as_value(other) makes a Value",
    ),
    (
        "sums gradients of the call into grad twice",
        """\
            value.grad += gradient[value]
""",
        """\
            value.grad += value.grad + gradient[value]
""",
        "What was in grad before counts twice",
    ),
    (
        "the list given to visited before pushing children",
        """\
            visited.add(value)
            to_visit.append((value, True))
            to_visit.extend""",
        """\
            visited.add(value)
            order.append(value)
            to_visit.extend""",
        "Yours lists each Value when it is first met",
    ),
    (
        "division by gradient",
        "gradient[value] * local_grad",
        "gradient[value] / local_grad",
        "is the parent's gradient times the local gradient",
    ),
    (
        "relu with min",
        """\
        if self.data > 0:
            return Value(self.data""",
        """\
        if self.data < 0:
            return Value(self.data""",
        "a.relu() at a = 2.0 yours:     0.0",
    ),
    (
        "b times gradient as a Value",
        "(other.data, self.data))",
        "(other, self))",
        "a local_grad of a * b should be a number",
    ),
    (
        "self other swapped in grads of pow",
        "slope = exponent * self.data ** (exponent - 1)",
        "slope = self.data * exponent ** (self.data - 1)",
        "The power rule",
    ),
    (
        "exp forgets children",
        "return Value(power, (self,), (power,))",
        "return Value(power)",
        "a is not among the children",
    ),
    (
        "children as a list in a tuple",
        "return Value(self.data + other.data, (self, other), (1.0, 1.0))",
        "return Value(self.data + other.data, ([self, other],), (1.0, 1.0))",
        "1 children and 2 local_grads",
    ),
    (
        "backward visits only the root",
        """\
        order = topological_order(self)
""",
        """\
        order = [self]
""",
        "It should have all Values that topological_order lists",
    ),
    (
        "-other instead of -1",
        "return self * -1",
        "return self * 1",
        "-a at a = 2.0 yours:     2.0",
    ),
    (
        "grad added before the loop",
        """\
        gradient[self] = 1.0
""",
        """\
        gradient[self] = 1.0
        self.grad = 0.0
""",
        "it is not set",
    ),
    (
        "children popped",
        """\
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
""",
        """\
            for child, local_grad in zip(value.children[:1], value.local_grads[:1], strict=True):
""",
        "Only the first child gets its gradient",
    ),
    (
        "__mul__ gives the Values themselves as local gradients, not their numbers",
        "(self, other), (other.data, self.data))",
        "(self, other), (other, self))",
        "`(other, self)` gives (Value(3.0), Value(2.0)). With (3.0, 2.0) in its place",
    ),
    (
        "backward gives a grad to the leaves only",
        "        for value in order:\n            value.grad += gradient[value]",
        """\
        for value in order:
            if not value.children:
                value.grad += gradient[value]""",
        "c itself has got none",
    ),
    (
        "backward works directly in grad, without a dict of its own",
        """\
        gradient = dict.fromkeys(order, 0.0)  # grad may hold an earlier call's
        gradient[self] = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                gradient[child] += gradient[value] * local_grad
        for value in order:
            value.grad += gradient[value]""",
        """\
        self.grad += 1.0
        for value in reversed(order):
            for child, local_grad in zip(value.children, value.local_grads, strict=True):
                child.grad += value.grad * local_grad""",
        "Keep the gradients of a call apart",
    ),
    (
        "topological_order marks the children as visited when they are put on the list, "
        "not when they are taken out",
        """\
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
""",
        """\
    visited = {root}
    to_visit = [(root, False)]
    while to_visit:
        value, children_done = to_visit.pop()
        if children_done:
            order.append(value)
        else:
            to_visit.append((value, True))
            for child in value.children:
                if child not in visited:
                    visited.add(child)
                    to_visit.append((child, False))
""",
        "Mark a Value when it is taken out",
    ),
    (
        "the -1 in __truediv__ applies to the whole product",
        """\
        return self * as_value(other) ** -1
""",
        """\
        return (self * as_value(other)) ** -1
""",
        "Yours computes 1 / (a * b)",
    ),
    (
        "takes entries from the front of to_visit",
        "value, children_done = to_visit.pop()",
        "value, children_done = to_visit.pop(0)",
        "Take the one that was put in last: pop()",
    ),
    (
        "exp with the exponent itself as its slope",
        "(self,), (power,))",
        "(self,), (self.data,))",
        "Yours is the argument",
    ),
    (
        "__pow__ uses the rule for integrals: one more, and divided by it",
        "slope = exponent * self.data ** (exponent - 1)",
        "slope = self.data ** (exponent + 1) / (exponent + 1)",
        "The power rule: the exponent comes down in front",
    ),
]
