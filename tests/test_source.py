"""What the text of a function shows: slips that are there, and none where there are none."""

import textwrap

import pytest

from llmhard.workbook import SOLUTIONS
from llmhard.workbook.source import doubts, functions, returns_nothing, slips


def found(source, look=slips):
    return [text for each in functions(textwrap.dedent(source)).values() for text in look(each)]


@pytest.mark.parametrize("path", sorted(SOLUTIONS.glob("*.py")), ids=lambda path: path.name)
def test_the_solutions_have_none(path):
    for function in functions(path.read_text(encoding="utf-8")).values():
        assert slips(function) == []
        assert doubts(function) == []
        assert not function.is_empty


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("for i in x:\n    y += i\n    return y", "Line 4: this `return` is inside the loop"),
        ("while x:\n    x = x[1:]\n    return x", "below the `while`"),
        (
            "for i in x:\n    if i:\n        y = i\n    break\nreturn y",
            "this `break` ends the loop",
        ),
        ("for i in x:\n    out = []\n    out.append(i)\nreturn out", "`out` is made anew"),
        ("for i in x:\n    n = 0\n    n += i\nreturn n", "Make it above the `for`"),
        ("x.data == 2", "To set something, write `=`"),
        ("x + 1", "Is `return` missing"),
        ("Value(x)", "Is `return` missing"),
        ("x.backward", "write brackets: x.backward()"),
        ("x.data =- 2 * y", "`-=` subtracts"),
        ("x =+ y\nreturn x", "`+=` adds"),
        ("i = 1\nreturn x['h.{i}.w']", "the f before the quotes is missing"),
        ("for p in x:\n    p = p - 1\n    p.grad = 0.0", "gives the name p to something new"),
        ("for p in x:\n    n = p.data\n    n -= 1", "changes the number called n"),
        ("return eval(x)", "json.loads reads it"),
        ("return x.append(y)", "After that, the list is `x`"),
        ("y.shuffle(x)\nx = y.shuffle(x)\nreturn x", "the list is `x`"),
        ("x = x.sort()\nreturn x", "`.sort` changes the list and gives None"),
    ],
)
def test_a_slip_is_named_with_its_line(body, says):
    source = "def f(x, y):\n" + textwrap.indent(body, "    ")
    (text,) = found(source)
    assert says in text


@pytest.mark.parametrize(
    "body",
    [
        "for i in x:\n    if i:\n        return i\nreturn y",
        "for i in x:\n    if not i:\n        continue\n    return i\nreturn y",
        "while True:\n    y += 1\n    if y > x:\n        return y",
        "out = []\nfor i in x:\n    out.append(i)\nreturn out + y",
        "y = x.pop()\nreturn y",
        "for i in x:\n    row = []\n    row.append(i)\n    y.append(row)\nreturn y",
        "for w in x:\n    w = w.strip()\n    y.append(w)\nreturn y",
        "for p in x:\n    p.data -= y\n    p.grad = 0.0",
        "x = x[:3]\nreturn x, y",
        "while x:\n    last = x.pop()\n    y = last\nreturn y",
        "total = y\nfor i in x:\n    total = i + total\nreturn total",
        "x.sort()\nreturn y",
        'return f"{x} {y}" + "{x}".format(x=x)',
        "x[0] = -1\nreturn y",
        "return x == y",
        "global n\nn = x + y",
        "_ = x + y",
    ],
)
def test_what_is_right_is_left_alone(body):
    assert found("def f(x, y):\n" + textwrap.indent(body, "    ")) == []


def test_what_init_sets_without_self():
    source = """
    class Value:
        def __init__(self, data):
            self.data = data
            grad = 0.0

        def backward(self):
            self.grad = 1.0
    """
    assert found(source) == [
        "Line 5: `grad` is a name inside this call only. To keep it, write self.grad."
    ]


def test_doubts_are_what_is_not_used():
    assert found("def f(self, x, y):\n    z = x\n    return 1\n    return 2\n", doubts) == [
        "f does not use `y`.",
        "Line 2: `z` is set here, and nothing reads it.",
        "Line 4: nothing gets here: line 3 leaves before.",
    ]


def test_a_file_that_cannot_be_read_has_no_functions():
    assert functions("def f(:\n") == {}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "def f(x, order=[]):\n    order.append(x)\n    return order",
            "`order=[]` is made only once",
        ),
        ("def f(x, y=set()):\n    y.add(x)\n    return y", "Make a new one inside f"),
        ("def f(x, y=[]):\n    z = y\n    z += [x]\n    return z", "`y=[]`"),
        ("def f(x, y={}):\n    y[x] = 1\n    return y", "stays there for the next call"),
    ],
)
def test_a_default_that_is_filled_lives_on(source, says):
    (text,) = found(source)
    assert says in text


@pytest.mark.parametrize(
    "source",
    [
        "def f(x, y=[]):\n    z = list(y)\n    z.append(x)\n    return z",
        "def f(x, y=()):\n    return x in y",
        "def f(x, y=[]):\n    return y[0]",
    ],
)
def test_a_default_that_is_only_read_does_not(source):
    assert found(source) == []


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("if x:\n    return 1", True),
        ("for i in x:\n    if i:\n        return i", True),
        ("while x:\n    return x", True),
        ("while True:\n    if x:\n        break\n    return x", True),
        ("if x:\n    return 1\nelse:\n    return 2", False),
        ("if x:\n    return 1\nraise ValueError", False),
        ("while True:\n    if x:\n        return x", False),
        ("x.append(1)", False),  # it never returns anything, which is another slip
    ],
)
def test_an_end_without_a_return(body, ends):
    source = "def f(x):\n" + textwrap.indent(body, "    ")
    assert bool(returns_nothing(list(functions(source).values()))) == ends
