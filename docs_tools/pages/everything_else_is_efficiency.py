"""What lab 11 measures and draws."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from docs_tools import blocks
from docs_tools.session import ROOT
from llmhard import corpus, drawing
from llmhard.model import Config

MEASURED: dict[str, Any] = {"timing": 10, "tolerance": 1e-9}
CLOSE = 1e-9  # how far losses of different stages may be apart


def digits(number: float) -> str:
    """Return three digits of a number."""
    return f"{float(f'{number:.3g}'):,g}"


def ms(part: str = "a step") -> float:
    """Return the milliseconds of a part of a step, as the stopwatch has just printed them."""
    return float(blocks.found(rf"(?m)^{part} +([\d.,]+) ms").replace(",", ""))


def reader_has_built_a_gpt() -> None:
    """Give the reader the files of the labs before."""
    for name in ("value", "layers", "model", "training"):
        blocks.solves(name)


def first_three() -> None:
    """Name the sentences that are measured."""
    sentences = corpus.read_sentences(corpus.default_path())[:3]
    blocks.text(
        f"""
        We always take the same three sentences, the first three of the corpus:
        {", ".join(f"*{s}*" for s in sentences)}. We always begin with the same parameters, those
        of seed 42. And we take one step of training on each sentence. The three steps are a round.
        Of several rounds the fastest counts, since whatever else your machine does can only make a
        round slower. For the same reason `process_time` is our clock: it runs only while the
        processor works for this program.
        """
    )


@dataclass
class Bench:
    """What the stages of the lab have measured so far."""

    stages: dict[str, tuple[float, list[float]]] = field(default_factory=dict)  # ms, losses
    small: float = 0.0  # ms of a step at the size of gpt.py
    recording: float = 0.0  # ms of the loss, recorded
    nodes: int = 0  # of the first sentence, with single Values
    weights: int = 0  # numbers in the matrices of the linear layers
    positions: list[int] = field(default_factory=list)  # of each sentence

    def run(self, command: str, stage: str = "") -> None:
        """Show a measurement and, if it is a stage, keep it."""
        blocks.shell(command, **MEASURED)
        if stage:
            losses = [float(loss) for loss in blocks.found(r"losses: (.*)").split()]
            self.stages[stage] = (ms(), losses)

    def times(self, before: str, after: str) -> float:
        """Return how many times as fast a stage is."""
        return self.stages[before][0] / self.stages[after][0]

    def my_small(self) -> None:
        """Measure the reader's engine at the size of gpt.py."""
        self.run("python my_speed.py 1 16 2")
        self.small = ms()

    def my_large(self) -> None:
        """Measure the reader's engine at the size of the package."""
        self.run("python my_speed.py 2 32 1", "your Value")
        blocks.text(
            f"""
            A step takes about {digits(ms() / 1000)} seconds. `train --preset classic` takes 5,000
            steps. With your engine they would need {ms() * 5000 / 3.6e6:.1f} hours.
            """,
            timing=10,
            tolerance=20,
        )

    def count(self) -> None:
        """Say where the time goes, from the nodes that the prompt has counted."""
        self.nodes = int(blocks.value("nodes"))
        shapes = Config(int(blocks.value("vocab_size"))).shapes()
        self.weights = sum(
            rows * cols
            for name, (rows, cols) in shapes.items()
            if name not in ("wte.weight", "wpe.weight")
        )
        self.positions = [int(blocks.value(f"len(documents[{i}]) - 1")) for i in range(3)]
        blocks.text(
            f"""
            Each multiplication and each addition made an object of its own. That is one for each
            of the {self.weights:,} numbers in the matrices of the linear layers, at each of the
            {self.positions[0]} positions of the sentence: {self.weights:,} times
            {self.positions[0]} is {self.weights * self.positions[0]:,} multiplications, and about
            as many additions. For each of them Python looks up the method, checks the type of
            `other`, makes two tuples and an object, and later puts the object into a list, a set
            and a dict and takes it out again. The product itself, of two numbers, is the smallest
            part of the work.
            """
        )

    def compiled(self) -> None:
        """Measure the reader's GPT on the compiled engine."""
        self.run("python my_speed.py 1 16 4")
        small = ms()
        self.run("python my_speed.py 2 32 2", "compiled Value")
        blocks.text(
            f"""
            For one line that is {self.times("your Value", "compiled Value"):.1f} times as fast at
            the large size, {self.small / small:.1f} times at the small one.

            The losses are the same.
            """,
            timing=10,
        )

    def whole_runs(self) -> None:
        """Measure the package's GPT, recorded at every step."""
        self.run("python package_speed.py recorded 32", "whole runs")
        self.recording = ms("loss")
        blocks.text(
            f"""
            This is the greatest leap of the lab:
            {digits(self.times("compiled Value", "whole runs"))} times as fast as before, and the
            losses are still the same. How many nodes are left for the whole sentence?
            """,
            timing=10,
        )

    def operations(self) -> None:
        """Compare what the prompt has counted with the nodes of single Values."""
        operations = int(blocks.value("operations"))
        fewer = f"{self.nodes // operations:,}"
        blocks.text(
            f"""
            {operations} instead of {self.nodes:,}: one for {fewer}. The arithmetic is what it was.
            Python and the bookkeeping have {fewer} times less to do.
            """
        )

    def replayed(self) -> None:
        """Measure a replay."""
        self.run("python package_speed.py replayed 32", "replayed")
        blocks.text(
            f"""
            The part "loss" takes {digits(self.recording)} ms when it is recorded and
            {digits(ms("loss"))} ms when it is replayed: {self.recording / ms("loss"):.1f} times as
            fast. A whole step is {self.times("whole runs", "replayed"):.1f} times as fast.
            """,
            timing=10,
            tolerance=0.5,
        )

    def fused(self) -> None:
        """Measure Adam within the last kernel."""
        self.run("python package_speed.py fused 32", "fused Adam")
        blocks.text(
            f"""
            `backward` and Adam are one part now. Altogether a step has become
            {digits(self.times("your Value", "fused Adam"))} times as fast as with your `Value`.
            """,
            timing=10,
        )

    def side_by_side(self) -> None:
        """Draw all stages, and say how far down it can go."""
        blocks.figure(
            "efficiency",
            drawing.bars(
                {name: float(f"{number:.3g}") for name, (number, _) in self.stages.items()},
                ",g",
                230,
                " ms",
                least=0.01,
            ),
            "Milliseconds a step at each stage, on a logarithmic scale: your Value, the compiled "
            "Value, whole runs, replayed, fused Adam. Each is faster than the one before.",
            timing=10,
        )
        per_product = 1e6 * self.stages["fused Adam"][0] / (self.weights * sum(self.positions))
        blocks.text(
            f"""
            The scale of this figure is logarithmic: from one line to the next is a factor of ten.
            With a plain scale you would see one bar and nothing of the others.

            How far down can it go? A step multiplies each number of the linear layers' matrices
            three times at each position: once forward, and twice backward, for the gradients of
            the inputs and of the matrix itself. At the last stage there is a time of
            {digits(per_product)} ns for each of these multiplications, all else included. A
            processor with three billion ticks a second needs {1 / 3:.2f} ns for a single tick. So
            there is not much left to save by better bookkeeping; only more numbers at once would
            help.
            """,
            timing=10,
        )

    def losses(self) -> None:
        """Show the losses of all stages, which are the same."""
        blocks.table(
            ["stage", "loss 1", "loss 2", "loss 3"],
            [
                [name, *(f"{loss:.9f}" for loss in losses)]
                for name, (_, losses) in self.stages.items()
            ],
            tolerance=2e-9,
        )
        assert all(self.agrees(losses) for _, losses in self.stages.values())

    def agrees(self, losses: list[float]) -> bool:
        """Say whether losses are those of the first stage."""
        reference = self.stages["your Value"][1]
        return all(abs(a - b) < CLOSE for a, b in zip(losses, reference, strict=True))

    def one_node(self) -> None:
        """Solve the first exercise and say what comes out."""
        solutions = str(ROOT / "llmhard" / "workbook" / "solutions")
        done = subprocess.run(
            [sys.executable, "-c", ONE_NODE, solutions],
            capture_output=True,
            text=True,
            check=True,
            cwd=blocks.page.session.folder,
        )
        count, used, step_ms, *losses = map(float, done.stdout.split())
        assert self.agrees(losses)
        blocks.text(
            f"""
            `python -m llmhard check 04 my-gpt` still passes, the losses are the same, and the
            first sentence has {count:,.0f} nodes instead of {self.nodes:,}. Of these, {used:,.0f}
            are parameters, and most of the others belong to the softmax over all words.
            """
        )
        blocks.text(f"On our machine a step then took {digits(step_ms)} ms.", timing=10)


# The first exercise, solved: one node for each dot product.
ONE_NODE = """
import gc, random, sys, time
sys.path.insert(0, sys.argv[1])
import layers
from value import Value, topological_order
def linear(x, w):
    xs = [x_i.data for x_i in x]
    rows = [[w_i.data for w_i in row] for row in w]
    return [
        Value(sum(a * b for a, b in zip(ws, xs, strict=True)), (*row, *x), (*xs, *ws))
        for row, ws in zip(w, rows, strict=True)
    ]
layers.linear = linear
from model import GPT, Config
from training import Adam, sequence_loss
from stopwatch import documents, vocab_size
gc.set_threshold(1_000_000)
model = GPT.initialize(Config(vocab_size), random.Random(42))
adam = Adam(model.scalars())
start = time.process_time()
losses = []
for document in documents:
    loss = sequence_loss(model, document)
    loss.backward()
    adam.step(0.005)
    losses.append(loss.data)
seconds = time.process_time() - start
model = GPT.initialize(Config(vocab_size), random.Random(42))
order = topological_order(sequence_loss(model, documents[0]))
print(len(order), len(set(order) & set(model.scalars())), 1000 * seconds / len(documents), *losses)
"""


def change_one_line() -> None:
    """Put the reader's GPT on the compiled engine."""
    line = "s/^from value import Value/from llmhard import Value/"
    blocks.shell(f"sed -i.bak '{line}' my-gpt/model.py", output=False)
    blocks.shell("grep 'import Value' my-gpt/model.py")


def sums_side_by_side() -> None:
    """Measure one dot product in two ways."""
    blocks.shell("cc -O3 -march=native dots.c -o dots && ./dots", timing=10)
    one, eight = (float(blocks.found(rf"{name} sums? +([\d.]+) ns")) for name in ("one", "eight"))
    blocks.text(
        f"""
        The option `-march=native` allows all instructions that your processor has. The products
        are the same {1024:,}; side by side they are done {one / eight:.1f} times as fast.
        """,
        timing=10,
    )


def kernel(first: str, last: str) -> None:
    """Show lines of the kernels."""
    blocks.code("pyx/llmhard/engine/kernels.pxd", first=first, last=last)


# ---------------------------------------------------------------- the benchmarks


def rows_of(first: str) -> list[list[str]]:
    """Return the rows of the table in benchmarks.md whose header begins so."""
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    start = benchmarks.index(f"\n| {first} |") + 1
    lines = benchmarks[start:].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("x"))


def other_programs() -> None:
    """Compare with C, PyTorch and JAX, as the benchmarks measured them."""
    training = {row[0]: row for row in rows_of("engine | ms a step")}
    blocks.table(
        ["program", "ms a step", "compared with C"],
        [[row[0], row[1], row[3]] for row in training.values()],
    )
    ours, plain = training["llmhard, replayed"], training["plain Python"]
    slower = _number(training["PyTorch, fused Adam"][1]) / _number(ours[1])
    blocks.text(
        f"""
        "{ours[0]}" is our last stage. The C program is faster still, as it can do only this one
        thing: its gradients were derived by hand, and it has no tape to follow. The engine needs
        {ours[3]} its time and differentiates any formula that you write.

        "{plain[0]}" may surprise you: {plain[1]} ms is much less than your `Value` takes. It is a
        `Value`, too, in [benchmarks/scalar.py](../benchmarks/scalar.py), but one written for speed
        alone, without the checks and with fewer nodes. A better program in a slow language can
        catch up with a simple one in a fast language. Exercise 1 goes that way.

        And why is PyTorch, which trains the largest models there are, {slower:.1f} times as slow
        here? It has good kernels, too. But each of its operations is called from Python and first
        finds out what is to be done: which kind of numbers, on which device, is a gradient wanted?
        That takes the same time whatever the size, and our vectors are small. When the model
        grows, it matters less and less:
        """
    )
    blocks.table(
        ["width", "parameters", "llmhard, ms", "PyTorch, ms", "PyTorch compared with llmhard"],
        [list(row) for row in rows_of("width | parameters")],
    )


def wider() -> None:
    """Say how much longer a step takes at twice the width."""
    width = {row[0]: row for row in rows_of("width | parameters")}
    ratio, more = (_number(width["64"][i]) / _number(width["32"][i]) for i in (2, 1))
    blocks.text(
        f"""
        At width 64 there are {width["64"][1]} parameters, {more:.1f} times as many as at width 32.
        In the benchmark's table above a step takes {ratio:.1f} times as long.
        """
    )
