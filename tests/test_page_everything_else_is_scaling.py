"""What lab 12 computes from the stored measurements, and how these are made."""

import csv
import types
from math import exp, log

import pytest

from benchmarks import overtaking, scaling
from docs_tools import blocks, scale
from docs_tools.errors import DocsError
from docs_tools.pages import everything_else_is_scaling as lab
from docs_tools.session import ROOT
from llmhard import grammar
from llmhard.recipe import THOROUGH

LAW = (1.0, 0.5, log(1000.0), log(4000.0))  # gap = 1000 / N + (4000 / D) ** 0.5


def test_the_file_has_every_point_that_is_measured():
    found = {(point.width, point.layers, point.sentences) for point in lab.points()}
    assert found == set(scaling.points())
    widths = {point.width for point in lab.two_layers()}
    assert max(widths) == lab.HELD_OUT


def test_a_run_of_the_file_comes_out_again():
    stored = next(
        run for run in scaling.read(ROOT / scaling.OUT) if (run.width, run.sentences) == (4, 2000)
    )
    again = scaling.train(4, 2, 2000, stored.rate, stored.seed)
    assert again.gap == pytest.approx(stored.gap, abs=0.02)
    assert again.parameters == stored.parameters


def test_the_gap_is_the_loss_less_the_grammars_own():
    sentences, floor = scaling.judges()
    tokens = sum(len(sentence.split()) + 1 for sentence in sentences)
    own = -sum(map(grammar.log_prob, sentences)) / tokens
    assert sum(floor) / tokens == pytest.approx(own)
    for run in scaling.read(ROOT / scaling.OUT):
        assert run.loss - run.gap == pytest.approx(own, abs=1e-5)
        assert run.gap > 0


def test_a_recipe_ends_with_its_last_sentence():
    recipe = scaling.recipe(32_000, 0.012)
    assert recipe.steps * recipe.batch_size == 32_000
    assert (recipe.lr, recipe.warmup) == (0.012, THOROUGH.warmup)
    assert scaling.recipe(2000, 0.012).warmup == 12
    assert recipe.learning_rate(recipe.steps - 1) < 1e-6


def test_what_is_measured_is_kept_and_not_measured_again(tmp_path, monkeypatch):
    trained = []

    def train(width, layers, sentences, rate, seed):
        trained.append((sentences, rate, seed))
        gap = abs(rate - 0.012) + seed / 1000
        return scaling.Run(width, layers, 1000, sentences, rate, seed, 2.0 + gap, gap, 0.1, 1.0)

    monkeypatch.setattr(scaling, "train", train)
    path = tmp_path / "runs.csv"
    scaling.Measurement(path).at((8, 2, 2000))
    assert {rate for _, rate, seed in trained if seed == 1} == set(scaling.RATES)
    assert {rate for _, rate, seed in trained if seed > 1} == {0.012}
    trained.clear()
    scaling.Measurement(path).at((8, 2, 4000))
    assert [rate for _, rate, seed in trained if seed == 1] == [0.006, 0.012]
    trained.clear()
    scaling.Measurement(path).at((8, 2, 4000))
    assert not trained
    scaling.Measurement(path).at((8, 2, 64_000))
    assert {seed for _, _, seed in trained} == {1}


def test_below_the_least_rate_is_none():
    assert scaling.near(scaling.RATES[0]) == scaling.RATES[:1]
    assert scaling.near(scaling.RATES[-1]) == scaling.RATES[-2:]


def test_the_law_is_the_sum_of_two_powers():
    assert lab.gap_at(LAW, 1000, 4000) == pytest.approx(2)
    assert lab.gap_at(LAW, 2000, 16_000) == pytest.approx(1)
    assert lab.gap_at(LAW, 1e12, 400_000) == pytest.approx(0.1)


def test_the_readers_program_finds_a_law_that_is_there():
    """The fit of the page, on points that lie on a known law."""
    page = (ROOT / "docs" / "12-everything-else-is-scaling.md").read_text()
    source = page.partition("Save this as `law.py`:\n\n```python\n")[2].partition("```")[0]
    solutions = ROOT / "llmhard" / "workbook" / "solutions"
    start = source.replace('"my-gpt"', repr(str(solutions))).partition("points = [")[0]
    names = {}
    exec(start, names)
    points = [
        (0, n, d, (1000 / n) ** 0.9 + (4000 / d) ** 0.5)
        for n in (5000, 20_000, 80_000)
        for d in (4000, 16_000, 64_000)
    ]
    a, b, log_a, log_b = names["fit"](points)
    assert a == pytest.approx(0.9, abs=0.01)
    assert b == pytest.approx(0.5, abs=0.01)
    assert exp(log_a) == pytest.approx(1000, rel=0.05)
    assert exp(log_b) == pytest.approx(4000, rel=0.05)
    read = sorted(names["measured"](ROOT / scaling.OUT))
    assert len(read) == len(lab.two_layers())
    for point, expected in zip(read, sorted(lab.two_layers()), strict=True):
        assert point[:3] == (expected.width, expected.parameters, expected.sentences)
        assert point[3] == pytest.approx(expected.gap)


def test_the_figure_has_each_width_and_the_held_out_one_is_dashed(written, monkeypatch):
    monkeypatch.setattr(lab, "found_law", lambda: LAW)
    lab.law_figure()
    labels, alt = written[1]["scaling"]
    assert [label for label in labels if label.startswith("width")] == [
        f"width {width}" for width, layers in scaling.SIZES
    ]
    assert "dashed" in alt


def test_from_where_pytorch_is_faster():
    rows = [
        {"width": "32", "sentences": "1", "llmhard_ms": "1", "theirs": "0.5"},
        {"width": "64", "sentences": "1", "llmhard_ms": "2", "theirs": "2.5"},
        {"width": "128", "sentences": "1", "llmhard_ms": "9", "theirs": "4"},
    ]
    assert lab._overtakes(rows, "1", "theirs") == "128"
    assert lab._overtakes(rows[:2], "1", "theirs") is None
    assert lab._overtakes(rows[2:], "1", "theirs") == "128"
    told = lab._verdict(rows, 1, ["theirs", "llmhard_ms"])
    assert "With 1 sentence a step" in told
    assert "in double precision from width 128 on" in told
    assert "in single precision at none" in told
    assert "llmhard is faster" in lab._verdict(rows[:2], 1, ["theirs", "llmhard_ms"])


def test_the_file_of_steps_is_complete():
    lines = (ROOT / overtaking.OUT).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    found = [(int(row["width"]), int(row["sentences"])) for row in csv.DictReader(lines[1:])]
    assert found == [(width, n) for width in overtaking.WIDTHS for n in overtaking.BATCHES]


# ---------------------------------------------------------------- the transcript


def test_a_transcript_is_read_as_it_was_written():
    outputs = {name: f"step      1   loss 6.5\n{name}" for name in scale.COMMANDS}
    outputs["import"] = ""
    assert scale.read(scale.written(outputs)) == outputs
    with pytest.raises(DocsError, match="make scale-transcript"):
        scale.read(scale.written(outputs).replace("--steps 200", "--steps 20", 1))


def test_losses_that_the_example_printed():
    assert scale.losses("step      1   loss 6.5\nstep  1,000   loss 2.25\n") == {1: 6.5, 1000: 2.25}
    assert scale.losses("no losses") == {}


def test_a_command_that_fails_is_told(tmp_path):
    with pytest.raises(DocsError, match="exit code 3\nno luck"):
        scale.run("echo no luck >&2; exit 3", tmp_path)
    assert scale.run("python -c 'print(6 * 7)'", tmp_path) == "42"


def test_losses_that_are_not_ours_are_refused(monkeypatch, written):
    recorded = lab._transcript()["one"]
    monkeypatch.setattr(blocks, "page", types.SimpleNamespace(last_output=recorded))
    lab.same_losses()
    assert len(written[0][0]) == 1 + len(scale.losses(recorded))
    last = str(list(scale.losses(recorded).values())[-1])
    wrong = recorded.replace(last, f"{float(last) + 1e-6:.9f}")
    monkeypatch.setattr(blocks, "page", types.SimpleNamespace(last_output=wrong))
    with pytest.raises(AssertionError):
        lab.same_losses()


def test_commands_are_broken_into_lines_that_fit():
    for name, command in scale.COMMANDS.items():
        typed = lab._typed(name)
        assert max(map(len, typed.splitlines())) <= 80
        assert " ".join(typed.replace("\\\n", " ").split()) == command
