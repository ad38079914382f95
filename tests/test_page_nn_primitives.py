"""What lab 04 shows in figures and tables is what its own functions compute."""

import re
from math import isclose
from pathlib import Path

import pytest

from docs_tools.pages import nn_primitives as lab
from llmhard import Value, layers
from llmhard.layers import RMSNORM_EPS

PAGE = Path(__file__).parent.parent / "docs" / "04-nn-primitives.md"


def values(numbers):
    return [Value(float(x)) for x in numbers]


def plain(numbers):
    return [x.data for x in numbers]


def test_the_plain_formulas_are_those_of_the_package():
    for x in (lab.X, lab.LOGITS, [0.001, -0.002, 0.5, 0.0]):
        assert lab.softmax(x) == pytest.approx(plain(layers.softmax(values(x))))
        assert lab.rmsnorm(x) == pytest.approx(plain(layers.rmsnorm(values(x))))
    matrix = [values(row) for row in lab.W]
    assert lab.linear(lab.X, lab.W) == plain(layers.linear(values(lab.X), matrix)) == [5, 6.5]


def test_a_product_is_written_as_one_would():
    assert lab.products([-1, 3, 0.5], [1, -2, 3]) == "-1 * 1 + 3 * -2 + 0.5 * 3"


def test_the_one_matrix_does_what_the_two_do():
    assert sum(map(sum, lab.both())) == 13
    for x in ([2, -1], [0.5, 7], [-3, 0]):
        assert lab.linear(x, lab.both()) == lab.linear(lab.linear(x, lab.FIRST), lab.SECOND)


def test_the_formula_of_the_norm_has_the_number_of_the_package():
    (formula,) = re.findall(r"```math\n(.*rmsnorm.*)\n```", PAGE.read_text())
    assert lab.EPS == RMSNORM_EPS
    assert f"+ {RMSNORM_EPS:.5f}}}" in formula


def test_the_norm_of_nothing_is_nothing():
    assert lab.rmsnorm([0, 0]) == [0, 0]
    assert isclose(lab.root_mean_square([1, 2, 2, 4]), 2.5)


def test_the_gradient_of_a_logit_is_its_probability_minus_one_for_the_word_that_came(written):
    lab.loss_figure()
    labels, alt = written[1]["backward-from-the-loss"]
    shares = lab.softmax(lab.LOGITS[:3])
    for word, share in zip(lab.WORDS, shares, strict=False):
        gradient = share - (word == "pie")
        assert labels[labels.index(word) + 2] == f"grad {gradient:.3f}"
        assert f"{gradient:.3f}" in alt
    last = written[1]["backward-from-the-loss-9"][0]
    grads = [[t for t in texts if t.startswith("grad ")] for texts in (last, labels)]
    assert grads[0] == grads[1]
