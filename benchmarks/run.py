"""How fast llmhard is compared with C, PyTorch, JAX and plain Python. Writes benchmarks.md, .svg.

Each engine runs in a process of its own and starts from the same parameters and tokens. They take
turns, round after round, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import mean, median, stdev
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # so that this file can also be run by its path

from benchmarks import (  # noqa: E402
    batches,
    check,
    compiler,
    contexts,
    engines,
    irregular,
    singles,
    widths,
)
from benchmarks.recipe import Recipe  # noqa: E402
from llmhard.drawing import DARK, INK, PAPER  # noqa: E402
from llmhard.model import Config  # noqa: E402

LABELS = {
    "c": "C",
    "c-intrinsics": "C, AVX-512 intrinsics in Adam",
    "c-single": "C, single precision",
    "llmhard": "llmhard, replayed",
    "llmhard-threads": "llmhard, 2 threads",
    "llmhard-recorded": "llmhard, recorded every step",
    "jax-scan": "JAX, one `lax.scan`",
    "jax": "JAX, a jitted call a step",
    "pytorch-fused": "PyTorch, fused Adam",
    "pytorch": "PyTorch, plain Adam",
    "python": "plain Python",
    "python-no-gc": "plain Python, garbage collector off",
}
PARTS = ("training", "widths", "batches", "contexts", "irregular", "singles", "growth", "program")
LAST_STEPS = 500
FIRST_LOSSES = 20
PYTHON_STEPS = 20
REGISTERS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sse2": "SSE2"}  # widest first
VISIBLE = 0.001  # a difference between losses

Results = dict[str, list[dict[str, Any]]]


@dataclass
class Plan:
    """How much to run."""

    steps: int = 5000
    rounds: int = 5
    nudges: int = 30
    levels: Sequence[str] = tuple(widths.LEVELS)
    batch_steps: int = 2000
    text_steps: int = 512
    text_lengths: Sequence[int] = (1, 8, contexts.CONTEXT)
    irregular_share: float = 1.0
    single_steps: int = 20
    thorough: bool = True
    growth_steps: int = 200
    growth_rounds: int = 3
    widths: Sequence[int] = (32, 64, 128, 256)
    layers: Sequence[int] = (1, 2, 4, 8)
    positions: Sequence[int] = (4, 8, 16, 32, 64)
    sentences: int = 1000
    starts: int = 10


QUICK = Plan(
    steps=500,
    rounds=2,
    nudges=5,
    levels=("x86-64-v3",),
    batch_steps=100,
    text_steps=16,
    text_lengths=(1, 8),
    irregular_share=0.1,
    single_steps=5,
    thorough=False,
    growth_steps=30,
    growth_rounds=1,
    widths=(32, 128),
    layers=(2, 8),
    positions=(8, 64),
    sentences=100,
    starts=3,
)


@dataclass
class Report:
    """The text of benchmarks.md and the data of the plot."""

    lines: list[str] = field(default_factory=list)
    bars: dict[str, list[float]] = field(default_factory=dict)
    growth: dict[str, dict[str, list[tuple[int, float]]]] = field(default_factory=dict)

    def add(self, *lines: str) -> None:
        self.lines += [*lines, ""]

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        ruler = ["---"] + ["---:"] * (len(header) - 1)
        self.add(*(f"| {' | '.join(row)} |" for row in (header, ruler, *rows)))


# ---------------------------------------------------------------- processes


def run_engine(module: str, name: str, folder: Path, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{module}", name, str(folder), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode:
        raise SystemExit(f"{name} failed:\n{result.stderr}")
    report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return report


def run_rounds(module: str, counts: dict[str, int], folder: Path, rounds: int) -> Results:
    """Run each engine in turn, `rounds` times; `counts` says how many steps or iterations."""
    results: Results = {name: [] for name in counts}
    for i in range(rounds):
        for name, count in counts.items():
            if not results[name] or "seconds" in results[name][0]:
                say(f"{module} round {i + 1} of {rounds}: {LABELS[name]}")
                results[name].append(run_engine(module, name, folder, count))
    return results


def report_missing(report: Report, results: Results) -> Results:
    """Name the engines that were skipped; return the others."""
    for name, runs in results.items():
        if "missing" in runs[0]:
            report.add(f"Skipped: {LABELS[name]}, because {runs[0]['missing']} is not installed.")
    return {name: runs for name, runs in results.items() if "missing" not in runs[0]}


def compile_engines(
    report: Report, recipe: Recipe, folder: Path, names: Sequence[str]
) -> list[str]:
    """Compile the C programs among the engines; return the engines that can be run."""
    compiled = compiler.compile_engines(recipe, folder, names)
    for name in names:
        if name not in compiled:
            report.add(f"Skipped: {LABELS[name]}, which the C compiler here cannot compile.")
    return compiled


def run_program(arguments: Sequence[str]) -> float:
    """Return the wall time in seconds of `python -m llmhard ...`."""
    command = [sys.executable, "-m", "llmhard", *arguments]
    start = perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return perf_counter() - start


# Asked from inside the process: what the system reports afterwards includes the time before exec,
# when it was a copy of this one.
PEAK_MEMORY = """
import sys
from llmhard.cli import main
main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_memory(arguments: Sequence[str]) -> float:
    """Return the peak memory in MB of `python -m llmhard ...`; NaN if the system has no /proc."""
    if not Path("/proc/self/status").exists():
        return math.nan
    command = [sys.executable, "-c", PEAK_MEMORY, *arguments]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(output.stdout.split()[-1]) * 1024 / 1e6


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- numbers


def significant(x: float, digits: int = 3) -> str:
    """Return a number without an exponent: 1234.5 as 1,230 and 0.012345 as 0.0123."""
    if not x:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(x)))
    return f"{round(x, places):,.{max(places, 0)}f}"


def spread(values: Sequence[float]) -> str:
    return f"{significant(min(values))} to {significant(max(values))}"


def ratio(x: float, base: float | None) -> str:
    return f"{significant(x / base)}x" if base else ""


# ---------------------------------------------------------------- the parts


def report_training(report: Report, plan: Plan, folder: Path, names: Sequence[str]) -> None:
    recipe = Recipe.of_the_corpus(plan.steps)
    recipe.write(folder)
    names = compile_engines(report, recipe, folder, [n for n in names if n in engines.ENGINES])
    counts = {name: PYTHON_STEPS if name == "python" else plan.steps for name in names}
    results = report_missing(report, run_rounds("engines", counts, folder, plan.rounds))

    config = recipe.config
    report.add("## Training")
    report.add(
        f"{config.n_parameters():,} parameters, {config.vocab_size} tokens, {config.n_layer} "
        f"layers, width {config.n_embd}, {config.n_head} heads; {plan.steps:,} steps of one "
        f"sentence, cross-entropy and Adam in double precision. One thread. {plan.rounds} rounds "
        f"in which the engines take turns; the median, and the fastest and slowest round.",
    )
    steps = {
        name: [1e3 * run["seconds"] / len(run["losses"]) for run in runs]
        for name, runs in results.items()
    }
    base = median(steps["c"]) if "c" in steps else None
    rows = []
    for name, times in steps.items():
        compiling = [run["compiling"] for run in results[name] if "compiling" in run]
        rows.append(
            [
                LABELS[name],
                significant(median(times)),
                spread(times),
                ratio(median(times), base),
                f"{significant(median(compiling))} s" if compiling else "",
            ]
        )
    report.table(["engine", "ms a step", "rounds", "relative to C", "compiling, once"], rows)
    report.add(
        "- C: all positions of a sentence at once, gradients derived by hand, Adam fused with "
        "them (`benchmarks/baseline.c`).",
        "- llmhard: replayed; one recording serves all lengths, and its time is included.",
        "- JAX: sentences padded to the longest one's length, with the rest masked. Its process is "
        "tied to one processor where the system can do so.",
        "- PyTorch: all positions of a sentence at once, eager, with "
        "`scaled_dot_product_attention` and `rms_norm`.",
        f"- Plain Python: an engine in the style of micrograd, over the first {PYTHON_STEPS} "
        f"steps of the {plan.steps:,}.",
    )
    report.add("### They all do the same work")
    reference = next(iter(results.values()))[0]["losses"]
    rows = []
    for name, runs in results.items():
        losses = runs[0]["losses"]
        apart = [abs(a - b) for a, b in zip(reference, losses, strict=False)]
        agree = next((i for i, x in enumerate(apart) if x > VISIBLE), len(apart))
        rows.append(
            [
                LABELS[name],
                f"{losses[0]:.12f}",
                f"{max(apart[:FIRST_LOSSES]):.1e}",
                f"{agree:,} of {len(apart):,}",
                f"{_final(losses):.4f}" if len(losses) == plan.steps else "",
            ]
        )
    report.table(
        [
            "engine",
            "first loss",
            f"first {FIRST_LOSSES} losses differ by at most",
            f"steps until one differs by {VISIBLE}",
            f"mean of the last {min(LAST_STEPS, plan.steps)}",
        ],
        rows,
    )
    report.add("Differences are from the first row.")
    if "c" in results:
        finals = _finals_of_nudged(recipe, folder, plan.nudges)
        report.add(
            f"Differences in rounding grow during the run. How far that alone leads: C, "
            f"trained {plan.nudges} times more, each time with one random parameter changed in "
            f"its last bit before the first step, ends with means from {min(finals):.4f} to "
            f"{max(finals):.4f} (mean {mean(finals):.4f}, standard deviation "
            f"{stdev(finals):.4f})."
        )
    report.bars = steps


def _final(losses: Sequence[float]) -> float:
    return mean(losses[-LAST_STEPS:])


def _finals_of_nudged(recipe: Recipe, folder: Path, times: int) -> list[float]:
    rng = random.Random(0)
    finals = []
    for _ in range(times):
        recipe.nudged(rng).write(folder)
        finals.append(_final(engines.c(folder, recipe.steps, "baseline")["losses"]))
    return finals


def report_widths(report: Report, plan: Plan) -> None:
    report.add("## Narrower registers")
    if platform.machine() not in ("x86_64", "AMD64"):
        report.add("Skipped: the levels compared are those of x86-64.")
        return
    report.add(
        f"A step of the training above, {plan.steps:,} of them, and one of {batches.SIZE} "
        f"sentences, with C and llmhard both compiled for older processors: `LLMHARD_ARCH` sets "
        f"`-march`, and `portable` is what every x86-64 can run. {plan.rounds} rounds in turn on "
        f"this machine; medians."
    )
    rows = []
    for level in plan.levels:
        say(f"widths: {level}")
        with tempfile.TemporaryDirectory() as place:
            built = widths.build(Path(place), level)
            times = widths.measure(Path(place), level, plan.steps, plan.rounds) if built else {}
        rows += _rows_of_level(level, times)
    header = ["compiled for", "doubles in a register", "sentences a step"]
    report.table([*header, "C, ms", "llmhard, ms", "llmhard relative to C"], rows)


def _rows_of_level(level: str, times: widths.Times) -> list[list[str]]:
    kind = [f"`{level}`", f"{widths.LEVELS[level]}"]
    if not times:
        return [[*kind, "", "", "", "cannot be run here"]]
    rows = []
    for size, of in times.items():
        middle = {name: median(values) for name, values in of.items()}
        cells = [significant(middle[name]) if name in middle else "" for name in ("c", "llmhard")]
        rows.append([*kind, size, *cells, ratio(middle["llmhard"], middle.get("c"))])
    return rows


def report_batches(report: Report, plan: Plan, folder: Path, names: Sequence[str]) -> None:
    names = [name for name in engines.OF_BATCHES if name in names]
    report.add("## Sixteen sentences a step")
    report.add(
        f"A step minimizes the mean loss of all tokens of {batches.SIZE} sentences; "
        f"{plan.batch_steps:,} steps. C computes all their positions at once. microgpt's model has "
        f"1 layer, width 16, 4 heads, and 27 tokens: the letters and a boundary. It learns words "
        f"about as long as first names, which `benchmarks/texts.py` makes. {plan.rounds} rounds in "
        f"turn; one thread, unless it says two."
    )
    rows, slower = [], []
    apart: dict[str, list[float]] = {}
    for model, recipe_of in batches.MODELS.items():
        recipe = recipe_of(plan.batch_steps)
        say(f"batches: {model}")
        results = _train(recipe, "engines", names, folder, plan.rounds)
        times = _times(results, 1e6 / (recipe.steps * recipe.batch_size))
        rows += _rows_beside_c(model, names, times)
        slower += _where_slower(model, times)
        for name, runs in results.items():
            if name != "c" and "losses" in runs[0] and "c" in times:
                pairs = zip(results["c"][0]["losses"], runs[0]["losses"], strict=True)
                first = list(pairs)[:FIRST_LOSSES]
                apart.setdefault(name, []).append(max(abs(a - b) for a, b in first))
    report.table(["model", "engine", "us a sentence", "rounds", "relative to C"], rows)
    _add_slower(report, slower)
    if apart:
        differences = (f"{LABELS[name]}, {max(worst):.1e}" for name, worst in apart.items())
        report.add(
            f"The first {FIRST_LOSSES} losses differ from those of C by at most: "
            f"{'; '.join(differences)}."
        )
    report.add(
        "Published for models of microgpt's size, by "
        "[EEmicroGPT](https://github.com/Entrpi/eemicrogpt), in C: on one core of an Apple M5, in "
        "single precision, with 16 first names a step; not comparable with the times above:"
    )
    report.table(
        ["width", "us a sentence, published"],
        [[f"{width}", significant(time)] for width, time in batches.PUBLISHED.items()],
    )


def report_contexts(report: Report, plan: Plan, folder: Path, names: Sequence[str]) -> None:
    names = [name for name in contexts.ENGINES if name in names]
    config = Recipe.of_texts([1], 1).config
    report.add("## A long context")
    report.add(
        f"A model of characters: {config.block_size} positions, {config.vocab_size} tokens, "
        f"{config.n_layer} layers, width {config.n_embd}; {plan.text_steps:,} steps of one text, "
        f"including the recording. The texts, which `benchmarks/texts.py` makes, have one length "
        f"or several, up to the context. Memory is the peak of the process; it may take "
        f"{contexts.LIMIT / 1e9:.0f} GB. {plan.rounds} rounds in turn."
    )
    rows, slower = [], []
    for count in plan.text_lengths:
        what = "1 length" if count == 1 else f"{count} lengths"
        recipe = Recipe.of_texts(contexts.lengths(count), plan.text_steps)
        say(f"contexts: {what}")
        results = _train(recipe, "contexts", names, folder, plan.rounds)
        times = _times(results, 1e3 / recipe.steps)
        for name, row in zip(names, _rows_beside_c(what, names, times), strict=True):
            rows.append([*row, _memory(results.get(name, []))])
        slower += _where_slower(what, times)
    report.table(["texts", "engine", "ms a step", "rounds", "relative to C", "memory, MB"], rows)
    _add_slower(report, slower)


def _train(recipe: Recipe, module: str, names: Sequence[str], folder: Path, rounds: int) -> Results:
    """Run those of the engines that can be compiled here, in turn."""
    recipe.write(folder)
    compiled = compiler.compile_engines(recipe, folder, names)
    return run_rounds(module, dict.fromkeys(compiled, recipe.steps), folder, rounds)


def _times(results: Results, scale: float) -> dict[str, list[float]]:
    """Return `scale` times the seconds of each round, for the engines that could be run."""
    return {
        name: [scale * run["seconds"] for run in runs]
        for name, runs in results.items()
        if "seconds" in runs[0]
    }


def _rows_beside_c(
    what: str, names: Sequence[str], times: dict[str, list[float]]
) -> list[list[str]]:
    """Return a row for each engine, the first one labelled with what they compute."""
    base = median(times["c"]) if "c" in times else None
    rows = []
    for name in names:
        cells = ["", "", "cannot be run here"]
        if name in times:
            middle = median(times[name])
            cells = [significant(middle), spread(times[name]), ratio(middle, base)]
        rows.append([what if name == names[0] else "", LABELS[name], *cells])
    return rows


def _where_slower(what: str, times: dict[str, list[float]]) -> list[str]:
    """Return `what` in a list if llmhard takes longer than C on one thread, else an empty list."""
    if not {"c", "llmhard"} <= times.keys():
        return []
    return [what] if median(times["llmhard"]) > median(times["c"]) else []


def _add_slower(report: Report, slower: Sequence[str]) -> None:
    if slower:
        report.add(f"llmhard takes longer than C: {', '.join(slower)}.")


def _memory(runs: Sequence[dict[str, Any]]) -> str:
    if runs and "exceeded" in runs[0]:
        return f"over {significant(runs[0]['exceeded'] / 1e6)}"
    known = [run["memory"] / 1e6 for run in runs if "memory" in run]
    return significant(median(known)) if known else ""


def report_irregular(report: Report, plan: Plan, folder: Path, names: Sequence[str]) -> None:
    names = [name for name in names if name in irregular.ENGINES]
    if "c" in names and not compiler.compile_irregular(folder / "baseline_irregular"):
        names.remove("c")
    counts = {
        name: max(1, round(irregular.ENGINES[name][1] * plan.irregular_share)) for name in names
    }
    results = report_missing(report, run_rounds("irregular", counts, folder, plan.rounds))
    report.add("## An irregular graph of scalars")
    report.add(
        f"The graph of [Fastest Autograd in the West]"
        f"(https://arogozhnikov.github.io/2023/12/28/fastest-autograd.html): from "
        f"{len(irregular.LEAVES)} leaves, {irregular.N_OPERATIONS:,} operations in turn: softplus "
        f"of the node 10 back; the sum of the nodes 30, 25, 20 and 15 back; the product of the "
        f"nodes 20 and 10 back; softmax of the last four nodes, which is four nodes. Forward and "
        f"backward from the last node, {irregular.N_ITERATIONS:,} times, in double precision. The "
        f"leaves are the article's, 0, 1, ..., 99; all numbers stay finite."
    )
    scale = {name: irregular.N_ITERATIONS / count for name, count in counts.items()}
    times = {
        name: [run["seconds"] * scale[name] + run.get("recording", 0) for run in runs]
        for name, runs in results.items()
    }
    base = median(times["c"]) if "c" in times else None
    rows = []
    for name, values in times.items():
        extrapolated = counts[name] < irregular.N_ITERATIONS
        last, gradients = results[name][0]["result"]
        rows.append(
            [
                LABELS[name].replace(", plain Adam", "").replace("every step", "every time"),
                significant(median(values)),
                spread(values),
                ratio(median(values), base),
                f"from {counts[name]:,} iterations" if extrapolated else "",
                f"{last:.12f}, {gradients:.12f}",
            ]
        )
    header = ["engine", "seconds", "rounds", "relative to C", "extrapolated"]
    report.table([*header, "last node, sum of the last 100 gradients"], rows)
    report.add(
        "Published there, on an Apple M1, PyTorch in single precision; the seconds are not "
        "comparable with those above:"
    )
    report.table(
        ["engine", "seconds, published", "relative to C"],
        [
            [name, significant(seconds), ratio(seconds, irregular.PUBLISHED["C"])]
            for name, seconds in irregular.PUBLISHED.items()
        ],
    )


def report_singles(report: Report, plan: Plan, folder: Path, names: Sequence[str]) -> None:
    counts = dict.fromkeys((name for name in singles.ENGINES if name in names), plan.single_steps)
    results = run_rounds("singles", counts, folder, plan.rounds)
    report.add("## A program on single Values")
    report.add(
        f"A GPT of microgpt's size ({singles.VOCAB} tokens, width {singles.WIDTH}, "
        f"{singles.HEADS} heads, 1 layer) in lists of Values, with Adam in Python "
        f"(`benchmarks/singles.py`): the same program with llmhard's Value and with one of 60 "
        f"lines of Python. The median step of each round, a word of {singles.LENGTH} letters, "
        f"and how much the process grew over all {plan.single_steps} steps."
    )
    steps = {name: [1e3 * median(run["seconds"]) for run in of] for name, of in results.items()}
    grown = {name: median(run["memory"] / 1e6 for run in of) for name, of in results.items()}
    ours = next((median(steps[name]) for name in steps if name.startswith("llmhard")), None)
    report.table(
        ["Value", "ms a step", "rounds", "relative to llmhard", "memory, MB", "last loss"],
        [
            [
                LABELS[name].replace(", recorded every step", ""),
                significant(median(times)),
                spread(times),
                ratio(median(times), ours),
                significant(grown[name]),
                f"{results[name][0]['losses'][-1]:.12f}",
            ]
            for name, times in steps.items()
        ],
    )


def report_growth(report: Report, plan: Plan, folder: Path, names: Sequence[str]) -> None:
    names = [name for name in ("llmhard", "pytorch-fused") if name in names]
    vocab_size = Recipe.of_the_corpus(1).config.vocab_size
    positions = 7
    growths: dict[str, list[tuple[int, Config, int]]] = {
        "width": [(n, Config(vocab_size, n_embd=n), positions) for n in plan.widths],
        "layers": [(n, Config(vocab_size, n_layer=n), positions) for n in plan.layers],
        "positions": [(n, Config(vocab_size, block_size=max(16, n)), n) for n in plan.positions],
    }
    report.add("## How a step grows with the model")
    report.add(
        f"The median step in ms, on random sentences of one length: {positions} positions, unless "
        f"their number is what grows. Everything else is as in training above."
    )
    for what, sizes in growths.items():
        rows = []
        lines: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
        slower = []
        for size, config, length in sizes:
            Recipe.of_random_tokens(config, length, plan.growth_steps).write(folder)
            counts = dict.fromkeys(names, plan.growth_steps)
            say(f"growth: {what} {size}")
            results = run_rounds("engines", counts, folder, plan.growth_rounds)
            times = {
                name: 1e3 * median(run["median"] for run in runs)
                for name, runs in results.items()
                if "missing" not in runs[0]
            }
            for name, time in times.items():
                lines[name].append((size, time))
            if len(times) == 2 and times["llmhard"] > times["pytorch-fused"]:
                slower.append(size)
            quotient = times.get("pytorch-fused", math.nan) / times.get("llmhard", math.nan)
            cells = [significant(times[name]) if name in times else "" for name in names]
            rows.append([f"{size}", f"{config.n_parameters():,}", *cells, f"{quotient:.2f}x"])
        header = [what, "parameters", *(LABELS[name] for name in names)]
        report.table([*header, "PyTorch relative to llmhard"], rows)
        if slower:
            report.add(f"PyTorch is faster from {what} {min(slower)} on.")
        elif len(names) == 2:
            report.add("llmhard is faster at each of these sizes.")
        report.growth[what] = {name: line for name, line in lines.items() if line}


def report_program(report: Report, plan: Plan, folder: Path) -> None:
    model = str(folder / "model.safetensors")
    train = ["train", "--quiet", "--out", model]
    classic = [*train, "--preset", "classic", "--steps", str(plan.steps)]
    say("program: train, sample, start")
    trainings = [run_program(classic) for _ in range(plan.rounds)]
    memory = [peak_memory(classic) for _ in range(plan.rounds)]
    thorough = [run_program(train) for _ in range(plan.rounds)] if plan.thorough else []
    samples = [run_program(["sample", "-n", "20", "--model", model]) for _ in range(plan.starts)]
    starts = [run_program(["--version"]) for _ in range(plan.starts)]
    command = [sys.executable, "-m", "benchmarks.sampling", model, str(plan.sentences)]
    speeds = []
    for _ in range(plan.rounds):
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        result = json.loads(output.stdout)
        speeds.append(result["tokens"] / result["seconds"])
    report.add("## The program as a whole")
    rows = []
    for what, unit, values in (
        (f"`llmhard train --preset classic`, {plan.steps:,} steps", "s", trainings),
        ("its peak memory", "MB", memory),
        ("`llmhard train`", "s", thorough),
        ("`llmhard sample -n 20`", "s", samples),
        ("`llmhard --version`, which only starts", "s", starts),
        ("sampling at temperature 0.8 in one process", "tokens/s", speeds),
    ):
        if values:
            rows.append([what, f"{significant(median(values))} {unit}", spread(values)])
    report.table(["what", "median", "fastest to slowest, or least to most"], rows)


# ---------------------------------------------------------------- machine and plot


def report_machine(report: Report, versions: Sequence[str], load: str) -> None:
    flags = " ".join(compiler.accepted_flags())
    report.add("## The machine")
    report.add(
        f"- processor: {processor()}, {os.cpu_count()} seen by the system",
        f"- system: {platform.platform()}",
        f"- compiler: {compiler.version()}, `{flags}`",
        f"- {', '.join(sorted(set(versions) - {''}))}",
        f"- date: {date.today().isoformat()}; {load}",
    )


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return its name, its model and its widest registers, as far as the system reports them."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    about = {name.strip(): value.strip() for name, value in pairs}
    flags = about.get("flags", "").split()
    known = [about.get("model name", platform.machine())]
    known += [f"{name} {about[name]}" for name in ("cpu family", "model") if name in about]
    known += [name for flag, name in REGISTERS.items() if flag in flags][:1]
    return ", ".join(known)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def plot(report: Report, path: Path) -> bool:
    """Draw bars for training and lines for growth; return False if matplotlib is missing."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return False
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "llmhard", "font.size": 10})
    from matplotlib import pyplot, ticker

    rows = bool(report.bars) + bool(report.growth)
    figure = pyplot.figure(figsize=(9, 3.9 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, max(1, len(report.growth)))
    if report.bars:
        axes = figure.add_subplot(grid[0, :])
        names = list(reversed(report.bars))
        middle = [median(report.bars[name]) for name in names]
        below = [m - min(report.bars[name]) for m, name in zip(middle, names, strict=True)]
        above = [max(report.bars[name]) - m for m, name in zip(middle, names, strict=True)]
        colors = ["#c8553d" if name.startswith("llmhard") else "#8a9ba8" for name in names]
        labels = [LABELS[name].replace("`", "") for name in names]
        axes.barh(labels, middle, color=colors, xerr=[below, above], error_kw={"capsize": 3})
        for y, m in enumerate(middle):
            axes.annotate(significant(m), (m, y), (8, 0), textcoords="offset points", va="center")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.12)
        axes.set_xlabel("milliseconds a training step (log scale; bars are medians)")
        axes.spines[["top", "right"]].set_visible(False)
    for column, (what, lines) in enumerate(report.growth.items()):
        axes = figure.add_subplot(grid[-1, column])
        for name, line in lines.items():
            color = "#c8553d" if name == "llmhard" else "#8a9ba8"
            axes.plot(*zip(*line, strict=True), marker="o", color=color, label=LABELS[name])
        sizes = [size for size, _ in next(iter(lines.values()))]
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        axes.set_xlabel(what)
        axes.spines[["top", "right"]].set_visible(False)
        if column == 0:
            axes.set_ylabel("milliseconds a step")
    if report.growth:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, format="svg", metadata={"Date": None})
    path.write_text(with_dark_colours(path.read_text(encoding="utf-8")), encoding="utf-8")
    return True


def with_dark_colours(svg: str) -> str:
    """Return matplotlib's plot, dark on a dark screen like the drawings of llmhard.drawing."""
    ink, paper = (DARK[colour][0] for colour in (INK, PAPER))
    rules = (
        f'[style*="fill: #ffffff"] {{ fill: {paper} !important }} '
        f'[style*="stroke: #000000"] {{ stroke: {ink} !important }} [id^="text_"] {{ fill: {ink} }}'
    )
    return svg.replace("</style>", f" @media (prefers-color-scheme: dark) {{ {rules} }}</style>", 1)


# ---------------------------------------------------------------- the command


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="What --quick and --only measure is printed, and written only with --out.",
    )
    parser.add_argument("--quick", action="store_true", help="a short check, under 2 minutes")
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=[*PARTS, *LABELS],
        help=f"a part ({', '.join(PARTS)}) or an engine ({', '.join(LABELS)}); "
        f"can be given more than once",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure nothing; compare the gradients of C and llmhard, and the losses of all",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="for benchmarks.md and benchmarks.svg (default: docs)"
    )
    parser.add_argument("--steps", type=int, help="of training (default: 5000, or 500 if quick)")
    parser.add_argument("--rounds", type=int, help="in turn (default: 5, or 2 if quick)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    plan = QUICK if options.quick else Plan()
    plan.steps = options.steps or plan.steps
    plan.rounds = options.rounds or plan.rounds
    only = options.only or []
    names = [name for name in LABELS if name in only] or list(LABELS)
    parts = [part for part in PARTS if part in only]
    if not parts:
        parts = ["training", "irregular"] if only else list(PARTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.check:
            modules = (engines, irregular, singles)
            of_module = {m.__name__.split(".")[1]: list(m.ENGINES) for m in modules}
            return 0 if check.check(folder, run_engine, of_module) else 1
        report = measure(plan, folder, parts, names)
    text = "\n".join(report.lines)
    if options.out or not (options.quick or only):
        out = Path(options.out or ROOT / "docs")
        out.mkdir(parents=True, exist_ok=True)
        if (report.bars or report.growth) and plot(report, out / "benchmarks.svg"):
            text = text.replace("\n", "\n\n![The tables as a plot](benchmarks.svg)\n", 1)
        (out / "benchmarks.md").write_text(text)
    else:
        print(text)
    return 0


def measure(plan: Plan, folder: Path, parts: Sequence[str], names: Sequence[str]) -> Report:
    report = Report()
    command = " ".join(["python -m benchmarks.run", *sys.argv[1:]])
    report.add("# Benchmarks")
    report.add(
        f"Written by `{command}`. The numbers were measured in that run, except for those "
        f"marked as published."
    )
    before = _load()
    functions: dict[str, Callable[[], None]] = {
        "training": lambda: report_training(report, plan, folder, names),
        "widths": lambda: report_widths(report, plan),
        "batches": lambda: report_batches(report, plan, folder, names),
        "contexts": lambda: report_contexts(report, plan, folder, names),
        "irregular": lambda: report_irregular(report, plan, folder, names),
        "singles": lambda: report_singles(report, plan, folder, names),
        "growth": lambda: report_growth(report, plan, folder, names),
        "program": lambda: report_program(report, plan, folder),
    }
    for part in parts:
        functions[part]()
    load = f"load before and after: {before} and {_load()}"
    report_machine(report, [f"Python {platform.python_version()}", *_versions()], load)
    return report


def _versions() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = []
    for label, package in (("PyTorch", "torch"), ("JAX", "jax"), ("NumPy", "numpy")):
        try:
            versions.append(f"{label} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{label} missing")
    return versions


if __name__ == "__main__":
    sys.exit(main())
