"""Each mistake in tests/mutants.py is caught by its lab's check, with words that point at it."""

import shutil
from collections import Counter
from itertools import islice

import pytest
from mutants import MUTANTS

from llmhard.workbook import LABS, SOLUTIONS
from llmhard.workbook.book import Book
from llmhard.workbook.grading import SHOWN
from llmhard.workbook.worker import OK, WRONG, run_lab


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.lab} {m.slip}")
def test_the_check_points_at_the_mistake(mutant, tmp_path):
    shutil.copytree(SOLUTIONS, tmp_path, dirs_exist_ok=True)
    source = (tmp_path / mutant.file).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1
    changed = source.replace(mutant.old, mutant.new)
    (tmp_path / mutant.file).write_text(changed, encoding="utf-8")
    outcomes = run_lab(mutant.lab, Book(tmp_path))
    failures = list(islice((o for o in outcomes if o.status != OK), SHOWN))
    assert failures, "it was not caught"
    assert {o.status for o in failures} == {WRONG}
    said = "\n".join(f"{' '.join(o.lines)} {o.hint}" for o in failures)
    assert mutant.says in said
    # It says what is wrong, not how it is done.
    assert mutant.old.strip() not in said


def test_there_are_at_least_five_for_each_lab():
    counts = Counter(mutant.lab for mutant in MUTANTS)
    assert set(counts) == set(LABS)
    assert min(counts.values()) >= 5
    assert all(mutant.file == LABS[mutant.lab].file for mutant in MUTANTS)
    assert all(mutant.says for mutant in MUTANTS)
