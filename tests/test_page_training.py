"""What the module of lab 06 computes, draws and makes sure of."""

import re
from itertools import pairwise
from math import log
from types import SimpleNamespace

import pytest

from docs_tools import blocks
from docs_tools.pages import training
from docs_tools.session import ROOT
from llmhard import Matrix, Value, corpus, minimal_pairs
from llmhard.adam import Adam
from llmhard.layers import softmax

WITHOUT = """as it is                 0.57
the rate does not fall   0.93
no momentum              0.57
no bias correction       0.70
gradient descent         0.64
"""
PAIRS = """step  300   order  89 %   agreement  62 %   distance  51 %
step 1000   order  98 %   agreement  79 %   distance  49 %
step 5000   order 100 %   agreement  95 %   distance  66 %
"""
LESSONS = """none.txt
step 5000   order 100 %   agreement  95 %   distance  55 %
more.txt
step 5000   order 100 %   agreement  93 %   distance  95 %
"""
RATES = (
    "rate 0.001\nmean 1.850, of\nmean 0.407, of\nmean 0.505, of\nValueError: math domain error\n"
)


@pytest.fixture
def printed(monkeypatch):
    """Say what the last command of the page has printed."""
    page = SimpleNamespace(last_output="")
    monkeypatch.setattr(blocks, "page", page)
    return page


def test_the_table_of_adam_is_what_the_solution_does(written):
    parameter = Matrix([[1.0]])
    optimizer = Adam([parameter])
    moved = []
    for gradient in (3.0, 1.0, -2.0):
        (parameter[0][0] * gradient).backward()
        optimizer.step(0.1)
        moved.append(f"{parameter[0][0].data:.4f}")
    training.adam_table([3, 1, -2])
    training.adam_table([0.03, 0.01, -0.02])
    ((header, *rows), (_, *small)) = written[0]
    assert [row[header.index("data")] for row in rows] == moved
    assert [row[-2:] for row in rows] == [row[-2:] for row in small]


def test_the_slow_parameter_goes_as_adam_moves_it():
    slow = Matrix([[0.0]])
    optimizer = Adam([slow])
    path = [0.0]
    for _ in range(40):
        (0.01 * (slow[0][0] - 2) ** 2).backward()
        optimizer.step(0.1)
        path.append(slow[0][0].data)
    assert [y for _, y in training.slow_adam()] == pytest.approx(path)
    assert training.slow_descent(0.1)[-1][1] == pytest.approx(0.154, abs=0.001)
    assert all(a < b < 2 for (_, a), (_, b) in pairwise(training.slow_descent(0.9)))


def test_the_arrows_are_minus_the_gradients(written):
    logits = [Value(x) for x in training.LOGITS]
    (-softmax(logits)[1].log()).backward()
    training.pushes_figure()
    arrows = [label for label in written[1]["pushes"][0] if label[0] in "+-"]
    assert arrows == [f"{-logit.grad:+.3f}" for logit in logits]


def test_the_numbers_of_the_loss(written):
    assert training.mean_guess_loss() == pytest.approx(1.2334, abs=1e-4)
    assert training.surprise(1.0) == 0
    assert str(training.surprise(1.0)) == "0.0"
    training.sentence_table()
    training.surprise_table()
    assert [row[:2] for row in written[0][0][1:]][-1] == ["quack", "BOS"]
    assert training.next_probability("ducks say", "quack") == pytest.approx(1)
    assert training.floor_of_five() == pytest.approx(log(5) / 4)
    assert training.price_of_being_wrong()[0] == pytest.approx(3.974, abs=0.001)


def test_what_the_page_says_of_its_experiments_is_made_sure_of(printed):
    for check, output, wrong in (
        (training.the_falling_rate_is_worth_most, WITHOUT, ("0.93", "0.60")),
        (
            training.the_falling_rate_is_worth_most,
            WITHOUT,
            ("momentum              0.57", "x 0.66"),
        ),
        (training.first_comes_order, PAIRS, ("66 %", "90 %")),
        (training.first_comes_order, PAIRS, ("89 %", "70 %")),
        (training.lessons_decide, LESSONS, ("distance  95 %", "distance  70 %")),
        (training.lessons_decide, LESSONS, ("distance  55 %", "distance  80 %")),
        (training.rates_of_five, RATES, ("0.407", "0.450")),
    ):
        printed.last_output = output
        check()
        assert wrong[0] in output
        printed.last_output = output.replace(*wrong)
        with pytest.raises(AssertionError):
            check()


def test_the_mean_of_five_is_above_the_floor(printed):
    printed.last_output = "1.69  a duck moos\nmean 0.438, of the five sentences\n"
    assert training.mean_of_five() == 0.438
    printed.last_output = "mean 0.401, of the five sentences\n"
    with pytest.raises(AssertionError):
        training.mean_of_five()


def test_the_sentences_that_are_taken_out_are_those_with_a_place_between():
    """The command of the page finds all sentences that have a minimal pair of this kind."""
    page = (ROOT / "docs" / "06-training.md").read_text()
    (pattern,) = re.findall(r'grep -E "([^"]+)"', page)
    sentences = set(corpus.read_sentences(corpus.default_path()))
    far = {
        s
        for s in sentences
        if any(any(vary(s.split())) for vary in minimal_pairs.KINDS["distance"])
    }
    found = {s for s in sentences if re.search(pattern, s)}
    assert far <= found
    assert len(found) < 1.1 * len(far)
