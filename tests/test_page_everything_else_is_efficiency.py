"""What lab 11 computes from what it measures."""

import types

import pytest

from docs_tools import blocks
from docs_tools.pages import everything_else_is_efficiency as efficiency

SHOWN = "63,296 parameters\nlosses: 6.5 6.25\nloss    0.038 ms\na step    1,873.490 ms\n"


def test_the_stopwatch_is_read(monkeypatch):
    monkeypatch.setattr(blocks, "page", types.SimpleNamespace(last_output=SHOWN))
    monkeypatch.setattr(blocks, "shell", lambda *_, **__: None)
    bench = efficiency.Bench()
    bench.run("python my_speed.py 2 32 1", "your Value")
    assert bench.stages == {"your Value": (1873.49, [6.5, 6.25])}
    assert efficiency.ms("loss") == 0.038
    assert bench.agrees([6.5, 6.25 + 1e-12])
    assert not bench.agrees([6.5, 6.25 + 1e-6])
    with pytest.raises(ValueError, match="zip"):
        bench.agrees([6.5])


def test_times_and_digits():
    bench = efficiency.Bench({"slow": (1000.0, []), "fast": (0.5, [])})
    assert bench.times("slow", "fast") == 2000
    assert efficiency.digits(12_243.7) == "12,200"
    assert efficiency.digits(0.15468) == "0.155"


def test_the_tables_of_the_benchmarks_are_found():
    programs = [row[0] for row in efficiency.rows_of("engine | ms a step")]
    assert {"C", "llmhard, replayed", "PyTorch, fused Adam", "plain Python"} <= set(programs)
    assert [row[0] for row in efficiency.rows_of("width | parameters")][:2] == ["32", "64"]
    with pytest.raises(ValueError, match="not found"):
        efficiency.rows_of("no such table")
