"""The yardstick: C computes what llmhard computes, and the page says what was measured."""

import json
import platform
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import batches, check, compiler, contexts, engines, run, texts, widths
from benchmarks.recipe import Recipe
from llmhard import trainer
from llmhard.model import Config

ROOT = Path(__file__).parent.parent
LEVELS = {
    "native": compiler.FLAGS,
    "x86-64-v3": ["-O1", "-march=x86-64-v3", "-ffast-math"],
    "portable": ["-O1", "-ffast-math"],
}
# Heads of 16 numbers and of 4; numbers of tokens that no register divides.
LARGE = Config(33, n_layer=2, n_embd=32, n_head=2, block_size=20)
SMALL = Config(27, n_layer=1, n_embd=16, n_head=4, block_size=16)

needs_compiler = pytest.mark.skipif(
    not shutil.which(compiler.command()[0]), reason="the yardstick is C, and there is no compiler"
)


def recipe_of(config, positions, batch_size, steps):
    """Sentences with so many positions in turn, of random tokens, some of them often."""
    rng = random.Random(3)
    common = [rng.randrange(config.vocab_size) for _ in range(3)]
    documents = [
        [rng.choice((*common, rng.randrange(config.vocab_size))) for _ in range(n + 1)]
        for n in (positions * steps * batch_size)[: steps * batch_size]
    ]
    recipe = Recipe.of_random_tokens(config, 1, 1)
    return replace(recipe, documents=documents, steps=steps, batch_size=batch_size)


def random_lengths(config):
    return random.Random(4).choices(range(1, config.block_size + 1), k=40)


def compiled(recipe, folder, *names):
    recipe.write(folder)
    return compiler.compile_engines(recipe, folder, names) == list(names)


# ---------------------------------------------------------------- C


@needs_compiler
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("config", "positions", "batch_size"),
    [
        (LARGE, [20, 1, 1, 1, 1, 1, 1, *random_lengths(LARGE)], 7),
        (SMALL, [1] * 16 + [16] * 16 + random_lengths(SMALL), 16),
        (LARGE, [20, 8, 4, 1, 9], 1),
    ],
    ids=["large", "small", "one a step"],
)
def test_gradients_of_c(config, positions, batch_size, level, tmp_path, monkeypatch):
    if level != "native" and not compiler._compiles([*LEVELS[level], "-E", "-x", "c", "/dev/null"]):
        pytest.skip("a level of another kind of processor")
    monkeypatch.setattr(compiler, "FLAGS", LEVELS[level])
    recipe = recipe_of(config, positions, batch_size, 5)
    assert check.gradients_apart(recipe, tmp_path) < 1e-13


@needs_compiler
def test_the_gradients_are_compared(tmp_path, monkeypatch):
    """One sentence that is another shows in the comparison."""
    recipe = recipe_of(SMALL, [3, 5], 2, 1)
    first, second = recipe.documents
    other = replace(recipe, documents=[first, [*second[:-1], (second[-1] + 1) % 27]])
    write = Recipe.write
    monkeypatch.setattr(Recipe, "write", lambda _, folder: write(other, folder))
    assert check.gradients_apart(recipe, tmp_path) > 1e-3


@needs_compiler
@pytest.mark.parametrize("batch_size", [1, 5])
def test_c_trains_as_llmhard_does(batch_size, tmp_path):
    recipe = recipe_of(SMALL, random_lengths(SMALL), batch_size, 60)
    assert compiled(recipe, tmp_path, "c", "c-single")
    ours, double, single = (
        engines.OF_BATCHES[name](tmp_path, 60)["losses"] for name in ("llmhard", "c", "c-single")
    )
    assert ours == pytest.approx(double, abs=1e-9)
    assert ours == pytest.approx(single, abs=1e-2)
    assert max(abs(a - b) for a, b in zip(ours, single, strict=True)) > 1e-7  # it is single
    assert ours[-1] < ours[0]


@needs_compiler
def test_c_refuses_a_sentence_that_is_too_long(tmp_path):
    recipe = replace(recipe_of(SMALL, [3], 2, 1), documents=[[1] * 17, [1] * 18])
    assert compiled(recipe, tmp_path, "c")
    with pytest.raises(subprocess.CalledProcessError) as error:
        engines.OF_BATCHES["c"](tmp_path, 1)
    assert "a sentence has 18 tokens" in error.value.stderr


# ---------------------------------------------------------------- llmhard, on one core or two


def test_two_threads_have_the_losses_of_one(tmp_path, monkeypatch):
    asked = []

    class Watched(trainer.Trainer):
        def __init__(self, *args, threads, **options):
            asked.append(threads)
            super().__init__(*args, threads=threads, **options)

    monkeypatch.setattr(trainer, "Trainer", Watched)
    recipe_of(SMALL, [3, 4], 2, 3).write(tmp_path)
    one, two = (engines.llmhard(tmp_path, 3, threads=threads) for threads in (1, 2))
    assert asked == [1, 2]
    assert one["losses"] == two["losses"]
    assert len(one["losses"]) == 3
    assert one["memory"] > 1e6


# ---------------------------------------------------------------- what is trained


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe.of_the_corpus(3, 4),
        Recipe.of_names(16, 3, 4),
        Recipe.of_texts([256, 1], 3),
        Recipe.of_random_tokens(SMALL, 3, 2),
    ],
    ids=["corpus", "names", "texts", "random"],
)
def test_a_recipe_is_read_as_it_was_written(recipe, tmp_path):
    recipe.write(tmp_path)
    assert Recipe.read(tmp_path) == recipe
    assert len(recipe.documents) == recipe.steps * recipe.batch_size
    assert all(0 <= t < recipe.config.vocab_size for d in recipe.documents for t in d)
    assert all(2 <= len(d) <= recipe.config.block_size + 1 for d in recipe.documents)


def test_more_steps_than_the_corpus_has_sentences_begin_again():
    recipe = Recipe.of_the_corpus(2_000, 16)
    assert len(recipe.documents) == 32_000
    assert recipe.documents[30_000:] == recipe.documents[:2_000]


def test_names_are_like_first_names():
    names = texts.names(5_000, 1)
    lengths = [len(name) for name in names]
    assert names == texts.names(5_000, 1) != texts.names(5_000, 2)
    assert sum(lengths) / len(lengths) == pytest.approx(6, abs=0.2)
    assert min(lengths) == 2
    assert 10 <= max(lengths) <= 15
    assert set("".join(names)) == set(texts.LETTERS)
    assert len(set(names)) > 4_500


@pytest.mark.parametrize("length", [1, 2, 255, 256, 1_000])
def test_texts_have_their_length(length):
    text = texts.text(random.Random(1), length)
    assert len(text) == length
    assert set(text) <= set(texts.CHARACTERS)
    assert texts.text(random.Random(1), length) == text


def test_a_document_stands_between_boundaries():
    assert texts.document("cab", "abc") == [3, 2, 0, 1, 3]


@pytest.mark.parametrize("count", [1, 8, 256])
def test_lengths_of_texts(count):
    lengths = contexts.lengths(count)
    assert len(set(lengths)) == count
    assert lengths[-1] == contexts.CONTEXT == Recipe.of_texts(lengths, 1).config.block_size
    documents = Recipe.of_texts(lengths, count).documents
    assert [len(document) - 1 for document in documents] == lengths


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("room", "key"), [(20e6, "exceeded"), (2e9, "losses")])
def test_a_training_may_take_so_much_memory(room, key, tmp_path):
    Recipe.of_texts([100, 120, 140], 3).write(tmp_path)
    program = f"""
import llmhard.trainer
from pathlib import Path
from benchmarks import contexts
pages = int(Path("/proc/self/statm").read_text().split()[0])
contexts.LIMIT = pages * 4096 + {int(room)}
contexts.main(["llmhard", {str(tmp_path)!r}, "3"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert key in json.loads(done.stdout)


# ---------------------------------------------------------------- the page


@pytest.fixture
def page(tmp_path, monkeypatch):
    """What a part writes if the engines have the times given; asked for: (module, names, steps)."""

    def write(part, times, plan=run.QUICK, names=tuple(run.LABELS)):
        asked = []

        def trained(recipe, module, names, *_):
            asked.append((module, list(names), recipe.steps))
            return {name: [result] for name, result in times.items() if name in names}

        monkeypatch.setattr(run, "_train", trained)
        report = run.Report()
        part(report, plan, tmp_path, names)
        return "\n".join(report.lines), asked

    return write


def result(seconds, losses=(1.0, 2.0), **more):
    return {"seconds": seconds, "losses": list(losses), **more}


def test_the_part_of_batches(page):
    times = {
        "c": result(0.016),
        "c-single": result(0.008, (1.5, 2.0)),
        "llmhard": result(0.032, (1.0, 2.25)),
        "llmhard-threads": {"missing": "a second core"},
    }
    text, asked = page(run.report_batches, times)
    assert [names for _, names, _ in asked] == [list(engines.OF_BATCHES)] * len(batches.MODELS)
    # 100 steps of 16 sentences
    assert "| the default model | C | 10.0 | 10.0 to 10.0 | 1.00x |" in text
    assert "|  | C, single precision | 5.00 | 5.00 to 5.00 | 0.500x |" in text
    assert "|  | llmhard, replayed | 20.0 | 20.0 to 20.0 | 2.00x |" in text
    assert text.count("|  | llmhard, 2 threads |  |  | cannot be run here |") == len(batches.MODELS)
    assert f"llmhard takes longer than C: {', '.join(batches.MODELS)}." in text
    assert "C, single precision, 5.0e-01; llmhard, replayed, 2.5e-01." in text
    assert all(f"| {width} | {time:.3g}" in text for width, time in batches.PUBLISHED.items())


def test_where_llmhard_is_faster_nothing_is_said_to_be_slower(page):
    text, _ = page(run.report_batches, {"c": result(2.0), "llmhard": result(1.0)})
    assert "takes longer" not in text
    assert "| 0.500x |" in text


def test_without_a_compiler_the_part_is_written_all_the_same(page):
    text, _ = page(run.report_batches, {"llmhard": result(1.0)})
    assert "| the default model | C |  |  | cannot be run here |" in text
    assert "differ" not in text
    assert "takes longer" not in text


def test_the_part_of_contexts(page):
    times = {
        "c": result(0.032),
        "c-single": result(0.016),
        "llmhard": result(0.08, memory=123.4e6),
    }
    text, asked = page(run.report_contexts, times)
    assert [(module, steps) for module, _, steps in asked] == [("contexts", 16)] * 2
    assert "| 1 length | C | 2.00 | 2.00 to 2.00 | 1.00x |  |" in text
    assert "|  | llmhard, replayed | 5.00 | 5.00 to 5.00 | 2.50x | 123 |" in text
    assert "llmhard takes longer than C: 1 length, 8 lengths." in text


def test_a_training_that_took_too_much_memory(page):
    times = {"c": result(0.032), "llmhard": {"exceeded": contexts.LIMIT}}
    text, _ = page(run.report_contexts, times)
    assert "|  | llmhard, replayed |  |  | cannot be run here | over 4,000 |" in text


def test_engines_can_be_chosen(page):
    _, asked = page(run.report_batches, {"llmhard": result(1.0)}, names=["llmhard", "python"])
    assert [names for _, names, _ in asked] == [["llmhard"]] * len(batches.MODELS)


def test_an_engine_that_failed_is_not_run_again(tmp_path, monkeypatch):
    calls = []

    def run_engine(_module, name, _folder, _count):
        calls.append(name)
        return {"c": {"seconds": 1.0}, "llmhard": {"exceeded": 1}, "jax": {"missing": "jax"}}[name]

    monkeypatch.setattr(run, "run_engine", run_engine)
    run.run_rounds("contexts", dict.fromkeys(("c", "llmhard", "jax"), 1), tmp_path, 3)
    assert sorted(calls) == ["c", "c", "c", "jax", "llmhard"]


def test_the_training_part_asks_for_engines_that_there_are(tmp_path, monkeypatch):
    asked = []

    def run_rounds(_module, counts, _folder, _rounds):
        asked.extend(counts)
        return {name: [result(1.0)] for name in counts}

    monkeypatch.setattr(run, "run_rounds", run_rounds)
    monkeypatch.setattr(compiler, "compile_engines", lambda _recipe, _folder, names: names[1:])
    report = run.Report()
    run.report_training(report, run.QUICK, tmp_path, list(run.LABELS))
    assert asked == list(engines.ENGINES)[1:]
    assert "Skipped: C, which the C compiler here cannot compile." in report.lines


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [
        (
            "model name : A b\ncpu family: 25\nmodel\t: 17\nflags : fpu sse2 avx avx2 avx512f",
            "A b, cpu family 25, model 17, AVX-512",
        ),
        ("model name : A b\nflags : sse2 avx avx2 avx512_bf16", "A b, AVX2"),
        ("Features : fp asimd", platform.machine()),
    ],
)
def test_the_page_says_which_processor(cpuinfo, said, tmp_path):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert run.processor(tmp_path / "cpuinfo") == said
    assert run.processor(tmp_path / "missing")


def test_the_part_of_widths(monkeypatch):
    times = {"1": {"c": [0.1, 0.3, 0.2], "llmhard": [0.3]}, "16": {"llmhard": [2.0]}}
    monkeypatch.setattr(run.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(widths, "build", lambda _place, level: level != "portable")
    monkeypatch.setattr(widths, "measure", lambda *_: times)
    report = run.Report()
    run.report_widths(report, replace(run.QUICK, levels=("x86-64-v3", "portable")))
    assert "| `x86-64-v3` | 4 | 1 | 0.200 | 0.300 | 1.50x |" in report.lines
    assert "| `x86-64-v3` | 4 | 16 |  | 2.00 |  |" in report.lines
    assert "| `portable` | 2 |  |  |  | cannot be run here |" in report.lines


def test_widths_are_measured_for_each_number_of_sentences(monkeypatch, capsys):
    asked = []

    def seconds(name, folder, steps):
        asked.append((name, Recipe.read(Path(folder)).batch_size, steps))
        return 2.0 * steps

    monkeypatch.setattr(compiler, "compile_recipe", lambda *_: True)
    monkeypatch.setattr(widths, "_seconds", seconds)
    widths.main(["8", "2"])
    assert json.loads(capsys.readouterr().out) == {
        size: {"c": [2e3, 2e3], "llmhard": [2e3, 2e3]} for size in ("1", "16")
    }
    assert asked == [*[("c", 1, 8), ("llmhard", 1, 8)] * 2, *[("c", 16, 2), ("llmhard", 16, 2)] * 2]
