"""Lab 12: a scaling law from measured runs, where PyTorch overtakes, and what it printed."""

from __future__ import annotations

import csv
import re
from functools import cache
from math import exp, log, log10
from typing import NamedTuple

from benchmarks import overtaking, scaling
from docs_tools import blocks, scale
from docs_tools.pages.everything_else_is_efficiency import rows_of
from docs_tools.session import ROOT
from llmhard.drawing import CURVES, EDGE, MUTED, Drawing
from llmhard.model import Config

HELD_OUT = 64  # the width that the law has not seen
FEWEST, LONG = 4000, 64_000  # sentences of the runs that the law is fitted to; LONG held out, too
SMALL = (8, 2, 16_000, 0.024, 1)  # a run that the reader repeats
MODEL, THEIRS = "llmhard/model.py", "llmhard/export/modeling_llmhard.py"
TRAIN = "examples/scale/train.py"
Law = tuple[float, float, float, float]  # a, b, log A, log B


def starts() -> None:
    """Give the reader the files of the labs before."""
    blocks.has_solved_before("saving")


# ---------------------------------------------------------------- the law


class Point(NamedTuple):
    """The gap, in nats a token, at a size and a number of sentences: the mean over the seeds."""

    width: int
    layers: int
    parameters: int
    sentences: int
    gap: float
    rate: float
    seeds: int
    spread: float  # between the highest and the lowest seed


@cache
def points() -> list[Point]:
    """Return what the file has, at each point with the best learning rate."""
    runs: dict[tuple[int, int, int], list[scaling.Run]] = {}
    for run in scaling.read(ROOT / scaling.OUT):
        runs.setdefault((run.width, run.layers, run.sentences), []).append(run)
    return [_point(some) for some in runs.values()]


def _point(runs: list[scaling.Run]) -> Point:
    rate = scaling.best_rate([run for run in runs if run.seed == scaling.SEEDS[0]])
    gaps = [run.gap for run in runs if run.rate == rate]
    sizes = (runs[0].width, runs[0].layers, runs[0].parameters, runs[0].sentences)
    return Point(*sizes, sum(gaps) / len(gaps), rate, len(gaps), max(gaps) - min(gaps))


def two_layers() -> list[Point]:
    """Return the points of the models that differ only in their width."""
    return [point for point in points() if point.layers == 2]


def repeated() -> None:
    """Run one small run of the file again."""
    blocks.shell(
        f"python -m benchmarks.scaling --one {' '.join(map(str, SMALL))}", timing=10, tolerance=0.1
    )


def measured() -> None:
    """Show all gaps, by size and by sentences, and how they were measured."""
    columns = sorted({point.sentences for point in two_layers()})
    gaps = {(p.width, p.sentences): p.gap for p in two_layers()}
    sizes = sorted({(p.width, p.parameters) for p in two_layers()})
    blocks.table(
        ["width", "parameters", *(f"{n:,}" for n in columns)],
        [
            [w, f"{n:,}", *(f"{gaps[w, d]:.3f}" if (w, d) in gaps else "" for d in columns)]
            for w, n in sizes
        ],
    )
    runs = scaling.read(ROOT / scaling.OUT)
    several = [p.spread / p.gap for p in two_layers() if p.seeds > 1 and p.sentences >= FEWEST]
    floor = sum(run.loss - run.gap for run in runs) / len(runs)
    blocks.text(
        f"""
        These are the gaps: how far the loss is above the grammar's own, which is {floor:.3f} nats
        a token. Downwards the models grow, to the right they read more sentences. The table comes
        from {len(runs)} training runs ({sum(run.seconds for run in runs) / 60:.0f} minutes on one
        core), which `python -m benchmarks.scaling` has written into
        [scaling.csv](scaling.csv). Where there are three seeds, the highest and the lowest of them
        are {100 * sum(several) / len(several):.0f} % apart on average, from {FEWEST:,} sentences
        on.
        """
    )


def found_law() -> Law:
    """Return the law that the reader's program has found."""
    a, b, log_a, log_b = (float(blocks.value(f"law[{i}]")) for i in range(4))
    return a, b, log_a, log_b


def gap_at(law: Law, n: float, d: float) -> float:
    """Return the gap that a law tells for n parameters and d sentences."""
    a, b, log_a, log_b = law
    return exp(a * (log_a - log(n))) + exp(b * (log_b - log(d)))


def law_figure() -> None:
    """Draw the measured points and the law, both axes logarithmic."""
    law = found_law()
    by_width: dict[int, list[Point]] = {}
    for point in two_layers():
        by_width.setdefault(point.width, []).append(point)
    blocks.figure(
        "scaling",
        _law_drawing(law, by_width),
        "The gap against the sentences, both axes logarithmic, one curve for each width. The "
        "crosses are measured, the curves are the law. The narrow models' curves flatten out, "
        "those of the wider ones are nearly straight lines. The dashed curve, of width 64, is a "
        "prediction, and the crosses lie a little below it.",
        caption="Crosses: measured. Curves: the law. The dashed one is a prediction.",
        tolerance=0.01,
    )


def _law_drawing(law: Law, by_width: dict[int, list[Point]]) -> Drawing:
    plot, width, height = Drawing(), 300.0, 300.0
    first, last = scaling.SENTENCES[0], scaling.SENTENCES[-1]
    left, right = log10(first) - 0.05, log10(last) + 0.05
    low, high = log10(0.07), log10(2)

    def place(sentences: float, gap: float) -> tuple[float, float]:
        across = (log10(sentences) - left) / (right - left)
        return across * width, (high - log10(gap)) / (high - low) * height

    for gap in (0.1, 0.2, 0.5, 1.0, 2.0):
        y = place(2000, gap)[1]
        plot.line([(0, y), (width, y)], EDGE, 1)
        plot.label(-8, y, f"{gap:g}", anchor="end", size=12, colour=MUTED)
    for sentences in scaling.SENTENCES:
        x = place(sentences, 1)[0]
        plot.label(x, height + 14, f"{sentences:,}", size=12, colour=MUTED)
    for i, ((size, some), colour) in enumerate(zip(by_width.items(), CURVES, strict=False)):
        n = some[0].parameters
        across = [first * (last / first) ** (j / 40) for j in range(41)]
        curve = [place(d, gap_at(law, n, d)) for d in across]
        plot.line(curve, colour, 2, dashed=size == HELD_OUT)
        for point in some:
            x, y = place(point.sentences, point.gap)
            plot.line([(x - 4, y - 4), (x + 4, y + 4)], colour, 2)
            plot.line([(x - 4, y + 4), (x + 4, y - 4)], colour, 2)
        x, y = i % 3 * 105.0, height + 58 + i // 3 * 20
        plot.line([(x, y), (x + 18, y)], colour, 3, dashed=size == HELD_OUT)
        plot.label(x + 24, y, f"width {size}", anchor="start", size=12)
    plot.label(width, height + 34, "sentences", anchor="end", size=12, colour=MUTED)
    plot.label(-8, -16, "nats a token above the floor", anchor="start", size=12, colour=MUTED)
    return plot


def _off(law: Law, point: Point) -> float:
    """Return by how many per cent a law's gap is above the one that was measured."""
    return 100 * (gap_at(law, point.parameters, point.sentences) / point.gap - 1)


def _compared(what: str, law: Law, some: list[tuple[int, Point]]) -> None:
    """Show what the law says about points, each with what tells it from the others."""
    blocks.table(
        [what, "predicted", "measured", "off by"],
        [
            [f"{name:,}", f"{told:.3f}", f"{p.gap:.3f}", f"{_off(law, p):+.0f} %"]
            for name, p in some
            for told in [gap_at(law, p.parameters, p.sentences)]
        ],
        tolerance=0.01,
        percent=2,
    )


def prediction() -> None:
    """Compare what the law says about the width that it has not seen with what was measured."""
    law = found_law()
    fitted = [p for p in two_layers() if FEWEST <= p.sentences < LONG]
    unseen = [p for p in fitted if p.width == HELD_OUT]
    known = [p for p in fitted if p.width < HELD_OUT]
    _compared("sentences", law, [(p.sentences, p) for p in unseen])
    off = [_off(law, p) for p in unseen]
    assert min(off) > 0
    largest = max(p.parameters for p in known)
    blocks.text(
        f"""
        The model has {unseen[0].parameters:,} parameters, {unseen[0].parameters / largest:.1f}
        times as many as the largest that the law has seen, and the law puts its gap
        {min(off):.0f} to {max(off):.0f} % too high. Where it has seen the model, it is off by
        {max(abs(_off(law, p)) for p in known):.0f} % at most. So it is a useful guess, and a
        cautious one: the wide model is better than the narrow ones promise.
        """,
        percent=2,
        tolerance=0.1,
    )


def longer() -> None:
    """Compare what the law says about more sentences than it has seen with what was measured."""
    law = found_law()
    _compared("width", law, [(p.width, p) for p in two_layers() if p.sentences == LONG])


def which_helps_more() -> None:
    """Answer the question: twice the parameters or twice the sentences."""
    law = found_law()
    starts = [(11_216, 32_000), (63_296, 4000)]
    rows: list[list[object]] = []
    for n, d in starts:
        gap = gap_at(law, n, d)
        larger, longer = gap_at(law, 2 * n, d), gap_at(law, n, 2 * d)
        rows.append([f"{n:,}", f"{d:,}", *(f"{x:.3f}" for x in (gap, larger, longer))])
    header = ["parameters", "sentences", "gap", "twice the parameters", "twice the sentences"]
    blocks.table(header, rows, tolerance=0.01)


def shapes() -> None:
    """Say what models with other numbers of layers do, which the law has not seen, either."""
    law = found_law()
    rows: list[list[object]] = []
    for p in points():
        if p.width == 32 and p.sentences == scaling.SHAPED:
            told = gap_at(law, p.parameters, p.sentences)
            rows.append([p.layers, f"{p.parameters:,}", f"{told:.3f}", f"{p.gap:.3f}"])
    blocks.table(["layers", "parameters", "the law", "measured"], rows, tolerance=0.01)


def published() -> None:
    """Compare the exponents with those of the large models."""
    a, b, *_ = found_law()
    blocks.text(
        f"""
        Kaplan et al. (["Scaling Laws for Neural Language Models"](https://arxiv.org/abs/2001.08361),
        2020) plotted the losses of models of up to 1.5 billion parameters on such axes, and the
        points lay on straight lines, some of them over more than seven orders of magnitude. Their
        exponents are 0.076 for the parameters and 0.095 for the tokens. Two years later Hoffmann
        et al. (["Training Compute-Optimal Large Language
        Models"](https://arxiv.org/abs/2203.15556), 2022) fitted the sum of two powers that you
        have just fitted, on top of a floor. They found a = 0.34 and b = 0.28, and a floor of 1.69
        nats a token. They had to estimate it along with the rest, as nobody knows the entropy of
        what people write. You know your grammar's.

        Your exponents, {a:.2f} and {b:.2f}, are larger. A toy language has a few hundred words
        and a finite grammar. The web has no end, and each doubling buys less. The form of the law
        is the same.
        """,
        tolerance=0.02,
    )


def budget() -> None:
    """Say how the best size and the sentences grow with the computation."""
    a, b, *_ = found_law()
    share = b / (a + b)
    blocks.text(
        f"""
        Put D = C/N into the law and look for the N with the lowest gap: N grows as C to the power
        b/(a + b), and D as C to the power a/(a + b). For your law these are {share:.2f} and
        {1 - share:.2f}: with a hundred times the computation, {100**share:.0f} times the
        parameters and {100 ** (1 - share):.0f} times the sentences. With the exponents of Hoffmann
        et al. it is {0.28 / 0.62:.2f} and {0.34 / 0.62:.2f}, nearly equal shares. That was news:
        Gopher had 280 billion parameters and had read 300 billion tokens. Chinchilla, for the same
        computation, had 70 billion and read 1.4 trillion, and was better.
        """,
        tolerance=0.02,
        timing=1.2,
    )


def own_prediction() -> None:
    """Compare the law with a run of a width that is not in the file."""
    told = gap_at(found_law(), Config(597, n_embd=24).n_parameters(), 32_000)
    blocks.shell("python -m benchmarks.scaling --one 24 2 32000 0.012 1", timing=10, tolerance=0.1)
    blocks.text(f"The law says {told:.3f}.", tolerance=0.01)


# ---------------------------------------------------------------- leaving


def _overtaking() -> tuple[str, list[dict[str, str]]]:
    machine, *lines = (ROOT / overtaking.OUT).read_text(encoding="utf-8").splitlines()
    return machine.lstrip("# "), list(csv.DictReader(lines))


def steps_by_width() -> None:
    """Show a step of both by width and batch, and from where PyTorch is the faster one."""
    machine, rows = _overtaking()
    engines = [name for name in rows[0] if name.endswith("_ms")]
    blocks.table(
        ["width", "sentences a step", "llmhard, ms", "PyTorch, double", "PyTorch, single"],
        [[row["width"], row["sentences"], *(row[name] for name in engines)] for row in rows],
    )
    told = [_verdict(rows, n, engines[1:]) for n in overtaking.BATCHES]
    positions, layers = (rows_of(f"{what} | parameters") for what in ("positions", "layers"))
    blocks.text(
        f"""
        {" ".join(told)} Sentences of {overtaking.POSITIONS} tokens, one thread, processor time, the
        fastest step of several; `python -m benchmarks.overtaking` measured it ({machine}).

        Longer sentences help PyTorch, too, and layers do not, as [benchmarks.md](benchmarks.md)
        found at width 32 with one sentence a step. With {positions[0][0]} positions PyTorch takes
        {positions[0][-1].rstrip("x")} times as long as llmhard, with {positions[-1][0]} positions
        {positions[-1][-1].rstrip("x")} times. With {layers[0][0]} layer it is
        {layers[0][-1].rstrip("x")} times, with {layers[-1][0]} layers
        {layers[-1][-1].rstrip("x")} times.
        """
    )


def _verdict(rows: list[dict[str, str]], sentences: int, engines: list[str]) -> str:
    """Say from which widths on PyTorch is faster, in double and in single precision."""
    many = f"With {sentences} sentence{'s' if sentences > 1 else ''} a step"
    double, single = (_overtakes(rows, str(sentences), engine) for engine in engines)
    if double is None and single is None:
        return f"{many}, llmhard is faster at all of these widths."
    found = {"single": single, "double": double}
    told = [f"in {name} precision from width {width} on" for name, width in found.items() if width]
    never = [f"in {name} precision at none of these" for name, width in found.items() if not width]
    return f"{many}, PyTorch is faster {', '.join(told + never)}."


def _overtakes(rows: list[dict[str, str]], sentences: str, engine: str) -> str | None:
    """Return the width from which on an engine is faster than llmhard, None if there is none."""
    some = [row for row in rows if row["sentences"] == sentences]
    slower = [i for i, row in enumerate(some) if float(row[engine]) >= float(row["llmhard_ms"])]
    first = slower[-1] + 1 if slower else 0
    return some[first]["width"] if first < len(some) else None


# ---------------------------------------------------------------- side by side


def beside(*lines: str, there: tuple[str, str], path: str = THEIRS) -> None:
    """Show lines of model.py, from the first to the last given, and their counterpart."""
    blocks.code(MODEL, first=lines[0], last=lines[-1])
    blocks.code(path, first=there[0], last=there[1])


def in_pytorch(first: str, last: str) -> None:
    """Show lines of the model in PyTorch."""
    blocks.code(THEIRS, first=first, last=last)


def example(first: str, last: str) -> None:
    """Show lines of the example that trains in PyTorch."""
    blocks.code(TRAIN, first=first, last=last)


# ---------------------------------------------------------------- the transcript


@cache
def _transcript() -> dict[str, str]:
    return scale.read((ROOT / scale.TRANSCRIPT).read_text(encoding="utf-8"))


def recorded(*names: str, head: int | None = None) -> None:
    """Show commands of the transcript, and what they printed, or the first lines of it."""
    for name in names:
        output = _transcript()[name].splitlines()
        cut = [f"[... {len(output) - head} lines left out ...]"] if head else []
        blocks.console("\n".join([f"$ {_typed(name)}", *output[:head], *cut]))


def _typed(name: str) -> str:
    """Return a command, broken before options into lines that fit."""
    first, *parts = re.split(r" (?=--)", scale.COMMANDS[name])
    lines = [first]
    for part in parts:
        if len(lines[-1]) + len(part) > 74:
            lines.append("   ")
        lines[-1] += f" {part}"
    return " \\\n".join(lines)


def same_losses() -> None:
    """Compare the losses of the reader's run with those of the transcript, to eight decimals."""
    ours = scale.losses(blocks.page.last_output)
    columns = [ours, *(scale.losses(_transcript()[name]) for name in ("one", "ddp", "fsdp"))]
    for theirs in columns[1:]:
        assert list(theirs) == list(ours)
        assert all(abs(theirs[step] - ours[step]) < 1e-8 for step in ours)
    blocks.table(
        ["step", "llmhard", "PyTorch", "2 processes, DDP", "2 processes, FSDP2"],
        [[step, *(f"{column[step]:.9f}" for column in columns)] for step in ours],
        tolerance=1e-8,
    )


def big() -> None:
    """Compare the gap of the model that PyTorch trained with what the law says."""
    (gap,) = re.findall(r"(?m)^gap +[\d.]+ +[\d.]+ +([\d.]+)", _transcript()["evaluate"])
    told = gap_at(found_law(), Config(597, n_embd=HELD_OUT).n_parameters(), 32_000)
    blocks.text(
        f"""
        Further down in that report the gap on fresh sentences is {gap} nats. The law, which was
        fitted to smaller models in another program, says {told:.3f}.
        """,
        tolerance=0.01,
    )


def padding() -> None:
    """Say which share of a padded batch is padding, as the prompt has counted it."""
    share = 100 * float(blocks.value("padded / total"))
    blocks.text(f"{share:.0f} % of the numbers that are computed are thrown away.", percent=0.5)
