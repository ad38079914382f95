"""What lab 05 shows in figures and tables, and the changes of its experiments."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from docs_tools.pages import model as lab
from llmhard.workbook.book import Book

ROOT = Path(__file__).parent.parent
SOLUTION = (ROOT / lab.SOLUTION).read_text(encoding="utf-8")
EXPERIMENTS = [
    lab.ZEROS,
    lab.NO_ATTENTION,
    lab.NO_RESIDUAL,
    lab.THREE_HEADS,
    lab.NO_ROOT,
    lab.NO_POSITIONS,
    [lab.SLIP],
]


@pytest.mark.parametrize("slips", EXPERIMENTS)
def test_each_experiment_changes_lines_of_the_solution_that_are_there_once(slips, tmp_path):
    source = SOLUTION
    for old, new in slips:
        assert source.count(old) == 1
        assert old != new
        source = source.replace(old, new)
    for name in ("value", "layers"):
        (tmp_path / f"{name}.py").write_text((ROOT / lab.SOLUTION).with_stem(name).read_text())
    (tmp_path / "model.py").write_text(source)
    book = Book(tmp_path)
    config = book.get("model", "Config")(5, n_layer=1, n_embd=4, n_head=2, block_size=3)
    logits = book.get("model", "GPT").initialize(config, lab.random.Random(1))(
        1, book.get("model", "KVCache")(1)
    )
    assert len(logits) == 5


def test_the_shares_are_all_parameters():
    assert sum(lab.shares().values()) == lab.config().n_parameters() == 63_296
    assert lab.of_words() == 2 * 597 * 32


def test_the_residual_line_keeps_the_slope():
    without, with_line = lab.residual_slopes()
    assert without == pytest.approx(1e-4)
    assert with_line == pytest.approx(1.4641)


def test_the_larger_model_of_the_exercise():
    count, mlps = lab.larger()
    assert count == 2 * 597 * 64 + 16 * 64 + 4 * 12 * 64 * 64
    assert mlps == 4 * 8 * 64 * 64


def test_a_query_of_zeros_gives_the_mean_of_the_values():
    assert lab.no_question()[:2] == pytest.approx([0, 4 / 3])
    assert lab.no_question()[2:] == pytest.approx([0, 3], abs=1e-3)


def test_the_page_asks_before_it_answers():
    page = (ROOT / "docs" / "05-model.md").read_text(encoding="utf-8")
    part = page[page.index("## Part 3") : page.index("## In the package")]
    experiments = re.split(r"^### ", part, flags=re.M)[1:]
    assert len(experiments) == 7
    for experiment in experiments:
        question, fold, answer = experiment.partition("<details")
        assert fold
        assert "above the floor" in answer
        assert "above the floor  " not in question


def test_a_page_on_which_the_two_models_differ_is_not_written(monkeypatch):
    page = SimpleNamespace(last_output=">>> same\nTrue\n")
    monkeypatch.setattr(lab.blocks, "page", page)
    lab.computes_the_same()
    page.last_output = ">>> same\nFalse\n"
    with pytest.raises(AssertionError):
        lab.computes_the_same()
