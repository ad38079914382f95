"""What the documents show is what the code does."""

import doctest
from pathlib import Path

import pytest

from llmhard import autograd

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_examples_in_documents(name):
    results = doctest.testfile(str(ROOT / name), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 0


def test_examples_in_docstrings():
    results = doctest.testmod(autograd)
    assert results.failed == 0
    assert results.attempted >= 10


def test_the_excerpt_of_the_model_in_the_readme_is_in_the_model():
    excerpt = next(
        block for block in (ROOT / "README.md").read_text().split("```python\n") if "head" in block
    ).split("```")[0]
    model = (ROOT / "llmhard" / "model.py").read_text()
    lines = [line.strip() for line in excerpt.splitlines() if line.strip()]
    missing = [line for line in lines if line not in model]
    assert lines
    assert not missing
