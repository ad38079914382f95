"""What the text of a function shows: slips that are there, and none where there are none."""

import textwrap

import pytest

from llmhard.workbook import SOLUTIONS
from llmhard.workbook.source import doubts, functions, slips


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
