"""Each mistake in tests/mutants/ is caught by its lab's check, with words that point at it."""

import shutil
from collections import Counter

import pytest
from mutants import MUTANTS

from llmhard.workbook import LABS, SOLUTIONS
from llmhard.workbook.book import Book
from llmhard.workbook.grading import SHOWN, causes
from llmhard.workbook.worker import TO_DO, WRONG, run_lab


def told(outcomes):
    """The failures that the report tells in full; it does not wait for more of them."""
    failures = []
    for outcome in outcomes:
        assert outcome.status != TO_DO
        failures += [outcome] * (outcome.status == WRONG)
        if len(causes(failures)) == SHOWN:
            break
    return [first for first, *_ in causes(failures)]


def words(failures):
    return "\n".join(f"{' '.join(o.lines)} {o.hint}" for o in failures)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.lab} {m.slip}")
def test_the_check_points_at_the_mistake(mutant, tmp_path):
    shutil.copytree(SOLUTIONS, tmp_path, dirs_exist_ok=True)
    path = tmp_path / LABS[mutant.lab].file
    source = path.read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
    failures = told(run_lab(mutant.lab, Book(tmp_path), locate=False))
    assert failures, "it was not caught"
    if mutant.says not in words(failures):  # to look for the expression takes time
        failures = told(run_lab(mutant.lab, Book(tmp_path)))
    said = words(failures)
    assert mutant.says in said
    # It says what is wrong, not how it is done.
    assert mutant.old.strip() not in said


def test_there_are_enough_for_each_lab():
    counts = Counter(mutant.lab for mutant in MUTANTS)
    assert set(counts) == set(LABS)
    assert min(counts.values()) >= 15
    assert len(MUTANTS) >= 240
    assert all(mutant.says for mutant in MUTANTS)
