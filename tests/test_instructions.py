"""The engine's speed, as instructions counted by valgrind, which a busy machine does not change."""

import os
import shutil
import warnings

import count_steps
import pytest

LIMIT = 1.05
WRITE = "python tests/count_steps.py --write"


@pytest.fixture(scope="module")
def before():
    """The stored counts of this compiler and Python."""
    if not shutil.which("valgrind"):
        message = "instructions are counted by valgrind, which is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    tools = count_steps.toolchain()
    stored = count_steps.stored()
    if tools not in stored:
        pytest.skip(f"instructions.json has no counts for {tools}; {WRITE} adds them")
    return stored[tools]


@pytest.fixture(scope="module")
def engine(before, tmp_path_factory):  # noqa: ARG001 - without counts nothing is built
    """A folder with the engine built for valgrind."""
    place = tmp_path_factory.mktemp("portable")
    count_steps.build(place)
    return place


@pytest.mark.parametrize("name", count_steps.PIECES)
def test_it_takes_no_more_instructions_than_before(name, before, engine):
    now = count_steps.count(name, engine)
    growth = now / before[name] - 1
    if growth < -0.2:
        warnings.warn(f"a {name} takes {-growth:.0%} less than stored; {WRITE}", stacklevel=1)
    assert now <= LIMIT * before[name], (
        f"a {name} takes {growth:.1%} more instructions than before: {now:,}, not "
        f"{before[name]:,}. If that is meant: {WRITE}"
    )
