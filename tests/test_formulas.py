"""Formulas are named by the numbers that they give, and only if they give them everywhere."""

import pytest

from llmhard.workbook.formulas import formula


def named(function, numbers, n=None):
    return formula(lambda point: function(**point), numbers, n)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda a, b: a / b, "a / b"),
        (lambda a, b: 1 / (a * b), "1 / (a * b)"),
        (lambda a, b: -(a + b), "-(a + b)"),
        (lambda a, b: b - a, "b - a"),
        (lambda **_: 0.0, "0"),
        (lambda a, b: a * b + 7, ""),
        (lambda **_: None, ""),
    ],
)
def test_two_numbers(function, text):
    assert named(function, {"a": 2.0, "b": 3.0}) == text


def test_the_number_in_the_operation_is_shown():
    assert named(lambda a: a**3 * 3, {"a": 2.0}, 3) == "3 * a ** 3"
    assert named(lambda a: 3 / a, {"a": 2.0}, 3.0) == "3.0 / a"


def test_one_point_is_no_proof():
    assert named(lambda **_: 4.0, {"a": 2.0}) == ""  # a + 2, a * 2 and a ** 2 are 4 at a = 2
