"""Which of the engines in a wheel is imported."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmhard.engine import processor
from llmhard.level import LEVELS, LevelError, choose


@pytest.fixture
def choice(tmp_path, monkeypatch):
    """Choose among folders, on a processor of some level; returns the level and the path."""

    def choose_from(there, highest, wanted=None):
        asked = SimpleNamespace(highest_level=lambda: highest)
        monkeypatch.setitem(sys.modules, "llmhard.engine.processor", asked)
        monkeypatch.delenv("LLMHARD_LEVEL", raising=False)
        if wanted is not None:
            monkeypatch.setenv("LLMHARD_LEVEL", wanted)
        for level in there:
            (tmp_path / level).mkdir()
        path = [str(tmp_path)]
        return choose(path), [str(Path(place).relative_to(tmp_path)) for place in path]

    return choose_from


@pytest.mark.parametrize(
    ("there", "highest", "wanted", "chosen"),
    [
        (LEVELS, "v4", None, "v4"),
        (LEVELS, "v3", None, "v3"),
        (LEVELS, "baseline", None, "baseline"),
        (LEVELS, "v4", "", "v4"),
        (LEVELS, "v4", "baseline", "baseline"),
        (LEVELS, "v4", "v3", "v3"),
        (LEVELS, "v3", "v3", "v3"),
        (["baseline"], "baseline", None, "baseline"),
        (["baseline"], "v4", None, "baseline"),
        (["baseline", "v3"], "v4", None, "v3"),
    ],
)
def test_the_highest_level_that_runs_here_unless_the_variable_says_another(
    choice, there, highest, wanted, chosen
):
    # The folder itself stays behind it: an old module there hides nothing.
    assert choice(there, highest, wanted) == (chosen, [chosen, "."])


def test_an_engine_of_one_level_stays_where_it_is(choice):
    assert choice([], "v4") == ("", ["."])


@pytest.mark.parametrize(
    ("there", "highest", "wanted", "said"),
    [
        (LEVELS, "v4", "native", "LLMHARD_LEVEL is baseline, v3 or v4, not 'native'"),
        (LEVELS, "v4", "V3", "LLMHARD_LEVEL is baseline, v3 or v4, not 'V3'"),
        ([], "v4", "v5", "LLMHARD_LEVEL is baseline, v3 or v4, not 'v5'"),
        (
            LEVELS,
            "v3",
            "v4",
            "LLMHARD_LEVEL=v4 is what this processor lacks; the highest here: LLMHARD_LEVEL=v3",
        ),
        (
            ["baseline"],
            "v4",
            "v3",
            "LLMHARD_LEVEL=v3 is what the engine was not compiled for; the highest here: "
            "LLMHARD_LEVEL=baseline",
        ),
        (
            [],
            "v4",
            "v3",
            "LLMHARD_LEVEL=v3 chooses in a wheel, and this engine is compiled for one kind of "
            "processor; compile it for another: LLMHARD_ARCH=x86-64-v3 python setup.py build_ext "
            "--inplace --force, or: unset LLMHARD_LEVEL",
        ),
    ],
)
def test_a_level_that_cannot_be_had(choice, there, highest, wanted, said):
    with pytest.raises(LevelError) as refused:
        choice(there, highest, wanted)
    assert str(refused.value) == said


def test_the_processor_has_what_linux_says_it_has():
    info = Path("/proc/cpuinfo")
    if not info.exists() or "flags" not in info.read_text():
        pytest.skip("no /proc/cpuinfo of an x86-64")
    flags = set(info.read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    v3 = {"avx2", "fma", "bmi1", "bmi2", "movbe", "f16c", "abm"}
    v4 = v3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    expected = "v4" if v4 <= flags else "v3" if v3 <= flags else "baseline"
    assert processor.highest_level() == expected
