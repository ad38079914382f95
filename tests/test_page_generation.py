"""What lab 08 computes is what its reader's own sampler would compute."""

import random

import pytest

from docs_tools import blocks
from docs_tools.pages import generation
from docs_tools.session import ROOT
from llmhard.autograd import Vector
from llmhard.sampler import Sampling
from llmhard.workbook.stubs import stub


@pytest.fixture
def tables(monkeypatch):
    """The rows of each table that is written."""
    rows = []
    monkeypatch.setattr(blocks, "table", lambda _, lines, **__: rows.append(lines))
    monkeypatch.setattr(blocks, "text", lambda *_, **__: None)
    return rows


@pytest.mark.parametrize("temperature", generation.TEMPERATURES)
def test_the_probabilities_are_those_of_the_package(temperature):
    sampling = Sampling(temperature=temperature)
    p = sampling.probabilities(Vector(generation.LOGITS))
    assert generation.softmax(generation.LOGITS, temperature) == pytest.approx(p)
    assert generation.sums(p)[-1] == pytest.approx(1)


def test_the_tables_of_top_k_and_top_p_are_those_of_the_package(tables):
    logits = Vector(generation.FIVE).log()
    generation.top_k()
    kept = Sampling(temperature=1, top_k=2).probabilities(logits)
    assert [float(cells[3]) for cells in tables[0]] == pytest.approx(kept, abs=1e-4)
    generation.top_p()
    sums = [float(cells[2]) for cells in tables[1]]
    for top_p, count in ((0.75, 2), (0.80, 3), (0.5, 1), (1.0, 5)):
        left = Sampling(temperature=1, top_p=top_p).probabilities(logits)
        assert sum(x > 0 for x in left) == count
        assert sums[count - 1] >= top_p


def test_a_reader_who_has_written_some_functions_has_only_these():
    solution = (ROOT / generation.SOLUTION).read_text()
    imports, _, rest = generation.written(solution, "choose", "keep").partition("\n\n\n")
    assert "from layers import softmax" in imports
    names = {"BOS": 0}
    exec(rest, names)
    assert names["keep"]([0.5, 0.25, 0.25], [1, 2]) == [0.0, 0.5, 0.5]
    assert names["choose"]([0.0, 1.0], random.Random(1)) == 1
    for name, arguments in (("keep_top_k", ([1.0], 1)), ("generate", (None, None))):
        with pytest.raises(NotImplementedError):
            names[name](*arguments)
    assert generation.written(solution) == stub(solution)
