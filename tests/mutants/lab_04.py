"""Mistakes in lab 04, linear, softmax and rmsnorm: name, old text, new text, what check says."""

ROWS = [
    (
        "an import in the function",
        """\
    largest = max(x.data for x in logits)
""",
        """\
    from value import Value

    largest = Value(max(x.data for x in logits))
""",
        "Import it at the top of the file",
    ),
    (
        "the exp of math",
        "[(x - largest).exp() for x in logits]",
        "[__import__('math').exp(x - largest) for x in logits]",
        "math takes plain numbers. A Value has its own",
    ),
    (
        "columns for rows",
        "zip(row, x, strict=True)) for row in w]",
        "zip(row, x)) for row in zip(*w)]",
        "One number for each row of w",
    ),
    (
        "the last number left out",
        "for w_i, x_i in zip(row, x, strict=True)",
        "for w_i, x_i in zip(row[:-1], x[:-1])",
        "multiply it with x, number by number, and add up",
    ),
    (
        "linear on plain numbers",
        "[sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]",
        "[sum(w_i.data * x_i.data for w_i, x_i in zip(row, x, strict=True)) for row in w]",
        "A plain number has forgotten where it came from",
    ),
    (
        "the graph cut in linear",
        "[sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]",
        "[type(x[0])(sum(w_i.data * x_i.data for w_i, x_i in zip(row, x))) for row in w]",
        "A Value made anew from .data is a stranger",
    ),
    (
        "no max in softmax",
        "largest = max(x.data for x in logits)",
        "largest = 0.0",
        "Subtract the largest logit from each first",
    ),
    (
        "the smallest subtracted",
        "largest = max(x.data for x in logits)",
        "largest = min(x.data for x in logits)",
        "Subtract the largest logit from each first",
    ),
    (
        "softmax without exp",
        "exps = [(x - largest).exp() for x in logits]",
        "exps = [x * 1.0 for x in logits]",
        "softmax([0.0, 0.0])",
    ),
    (
        "softmax of minus x",
        "exps = [(x - largest).exp() for x in logits]",
        "exps = [(largest - x).exp() for x in logits]",
        "is a sign turned round?",
    ),
    (
        "the sum as a plain number",
        "total = sum(exps)",
        "total = sum(e.data for e in exps)",
        "Is the sum made of Values",
    ),
    (
        "the sum instead of the mean in rmsnorm",
        "sum(x_i * x_i for x_i in x) / len(x)",
        "sum(x_i * x_i for x_i in x)",
        "it takes their mean",
    ),
    (
        "no root in rmsnorm",
        "** -0.5",
        "** -1",
        "the root is missing",
    ),
    (
        "multiplied instead of divided",
        "** -0.5",
        "** 0.5",
        "it should divide by it",
    ),
    (
        "LayerNorm",
        """\
    mean_square = sum(x_i * x_i for x_i in x) / len(x)
""",
        """\
    mean = sum(x) / len(x)
    x = [x_i - mean for x_i in x]
    mean_square = sum(x_i * x_i for x_i in x) / len(x)
""",
        "RMSNorm only scales",
    ),
    (
        "no eps",
        "(mean_square + RMSNORM_EPS) ** -0.5",
        "mean_square ** -0.5",
        "RMSNORM_EPS is added to the mean square",
    ),
    (
        "eps outside the root",
        "scale = (mean_square + RMSNORM_EPS) ** -0.5",
        "scale = 1 / ((mean_square + 1e-300) ** 0.5 + RMSNORM_EPS)",
        "below the root",
    ),
    (
        "// in softmax",
        "[e / total for e in exps]",
        "[e // total for e in exps]",
        "Write `/`",
    ),
    (
        "// in rmsnorm",
        "sum(x_i * x_i for x_i in x) / len(x)",
        "sum(x_i * x_i for x_i in x) // len(x)",
        "Write `/`",
    ),
    (
        "linear sets the sum to 0 once and not for each row",
        "    return [sum(w_i * x_i for w_i, x_i in zip(row, x, strict=True)) for row in w]",
        """\
    total = 0
    result = []
    for row in w:
        for w_i, x_i in zip(row, x, strict=True):
            total = total + w_i * x_i
        result.append(total)
    return result""",
        "Yours goes on adding from row to row",
    ),
]
