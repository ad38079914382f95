"""Signals at random moments of runs with checkpoints: nothing is broken, foreign or different.

LLMHARD_KILLS=2000 python -m pytest tests/test_kills.py    ten times as many
"""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llmhard import cli, model_file
from llmhard.checkpoint import Checkpoint
from llmhard.film import Film

CHECKOUT = Path(cli.__file__).parents[2]
ENV = os.environ | {"PYTHONPATH": str(CHECKOUT)}
KILLS = int(os.environ.get("LLMHARD_KILLS", "200"))
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT]

SMALL = ["--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--block-size", "8"]
TEXT = [f"the {a} {b} the {c}" for a in ["cat", "dog", "cow"] for b in ["saw", "bit"]
        for c in ["hen", "fox", "owl"]]  # fmt: skip
BEGINNINGS = {
    "train": ["train", "text.txt", "--steps", "1500", *SMALL, "--out", "m.safetensors"],
    "finetune": ["finetune", "--model", "base.safetensors", "--data", "text.txt", "--steps", "1500",
                 "--batch-size", "1", "--out", "m.safetensors"],
    "film": ["train", "text.txt", "--steps", "1500", *SMALL, "--film", "9",
             "--out", "m.safetensors"],
}  # fmt: skip
OPTIONS = ["--checkpoint-every", "10", "--quiet"]
PICTURE = ["--plot", "m.svg"]  # takes long to load, so seldom
FOREIGN = {
    "notes.txt": b"a person's own\n",
    "m.checkpoint": b"not a checkpoint of this run\n",
    "m-2.safetensors": b"another model\n",
    ".llmhard-mine": b"not a leftover\n",
}


def run(arguments, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "llmhard", *arguments],
        cwd=folder, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """For each command a folder as it is before a run, what a run that nobody interrupted makes,
    and how long that took."""
    runs = {}
    for command, arguments in BEGINNINGS.items():
        folder = tmp_path_factory.mktemp(command)
        base = [
            "train",
            "text.txt",
            "--steps",
            "10",
            *SMALL,
            "--quiet",
            "--out",
            "base.safetensors",
        ]
        (folder / "text.txt").write_text("\n".join(TEXT))
        assert run([*base, "--quiet"], folder).wait(60) == 0
        before = {path.name: path.read_bytes() for path in folder.iterdir()} | FOREIGN
        began = time.monotonic()
        assert run([*arguments, *OPTIONS], folder).wait(60) == 0
        seconds = time.monotonic() - began
        made = {path.name: path.read_bytes() for path in folder.iterdir()}
        runs[command] = before, {n: made[n] for n in set(made) - set(before)}, [seconds]
    return runs


@dataclass
class Chain:
    """A run that is interrupted again and again, and goes on each time until it ends."""

    command: str
    folder: Path
    before: dict[str, bytes]
    rng: random.Random
    seconds: list[float]  # that whole runs have taken so far; how busy the machine is changes
    kills: list[signal.Signals] = field(default_factory=list)
    resumed: int = 0

    def follow(self, most):
        """Interrupt it so many times, at the most; then let it end."""
        for name, content in self.before.items():
            (self.folder / name).write_bytes(content)
        while True:
            began = time.monotonic()
            is_whole = not self.checkpoint.exists()
            if not is_whole:
                arguments = ["train", "--resume", self.checkpoint.name]
                if self.out.exists():  # it was interrupted between its last two acts
                    arguments += ["--out", self.out.name]
                self.resumed += 1
            else:
                arguments = BEGINNINGS[self.command]
            process = run(
                [*arguments, *OPTIONS, *(PICTURE if self.rng.random() < 0.1 else [])], self.folder
            )
            if len(self.kills) == most:
                assert process.communicate(timeout=120) == ("", "")
                assert process.returncode == 0
                return
            if self.interrupt(process):
                if is_whole:
                    self.seconds.append(time.monotonic() - began)
                return

    @property
    def out(self):
        return self.folder / "m.safetensors"

    @property
    def checkpoint(self):
        """There from step 10 on, and removed when `out` has been written."""
        return self.folder / "m.safetensors.checkpoint"

    @property
    def unfinished(self):
        return {p.name for p in self.folder.glob(".llmhard-*")} - set(FOREIGN)

    def had_begun(self, err):
        """Whether Python had come to our program; before, it answers Ctrl-C with a traceback."""
        return "KeyboardInterrupt" not in err or f"{CHECKOUT / 'llmhard'}{os.sep}" in err

    def interrupt(self, process):
        """Interrupt a run; true if it has ended before that."""
        number, was_there = self.rng.choice(SIGNALS), self.out.exists()
        try:
            process.communicate(timeout=self.rng.uniform(0.05, 1.3 * min(self.seconds)))
            assert process.returncode == 0
        except subprocess.TimeoutExpired:
            before = self.unfinished
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            if process.returncode == 1 and not self.had_begun(err):
                return False
            assert process.returncode in (128 + number, -number, 0), err
            if process.returncode:  # else it had just ended
                self.kills.append(number)
            if process.returncode == 128 + number and number != signal.SIGINT:
                assert err.count("\n") == 1, err
            if number != signal.SIGKILL:
                assert self.unfinished <= before, "only SIGKILL leaves unfinished files"
                assert was_there or not (self.out.exists() and self.checkpoint.exists())
        for name, content in self.before.items():
            assert (self.folder / name).read_bytes() == content, f"{name} was touched"
        if self.checkpoint.exists():
            Checkpoint(self.checkpoint)
        if (self.folder / "m.safetensors.film").exists():
            Film.load(self.folder / "m.safetensors.film")
        if self.out.exists():
            model_file.load(self.out)
        return self.out.exists() and not self.checkpoint.exists()


def test_killed_between_the_last_two_acts(whole, tmp_path):
    before, made, seconds = whole["train"]
    chain = Chain("train", tmp_path, before, random.Random(1), seconds)
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    process = run([*BEGINNINGS["train"], *OPTIONS], tmp_path)
    while not chain.checkpoint.exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    (tmp_path / "m.safetensors").write_bytes(made["m.safetensors"])
    resume = ["train", "--resume", chain.checkpoint.name, *OPTIONS]
    process = run(resume, tmp_path)
    assert "say --out m.safetensors if it may" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert run([*resume, "--out", "m.safetensors"], tmp_path).wait(60) == 0
    assert chain.out.read_bytes() == made["m.safetensors"]
    assert not chain.checkpoint.exists()


@pytest.mark.parametrize("command", BEGINNINGS)
def test_kills_at_random_moments(command, whole, tmp_path):
    before, made, seconds = whole[command]
    kills, chains, number = [], [], 0

    def follow(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        chain = Chain(command, folder, before, random.Random(f"{command} {number}"), seconds)
        chain.follow(most=10)
        return chain

    with ThreadPoolExecutor(2) as pool:
        while len(kills) < KILLS // len(BEGINNINGS):
            for chain in pool.map(follow, range(number, number + 2)):
                chains.append(chain)
                kills += chain.kills
            number += 2
    for chain in chains:
        left = {path.name for path in chain.folder.iterdir()} - set(before) - chain.unfinished
        assert left - {"m.svg"} == set(made)
        for name, content in made.items():
            assert (chain.folder / name).read_bytes() == content
        # The next run of the same output removes what SIGKILL has left in the last moment.
        end = [*BEGINNINGS[command], *OPTIONS, "--steps", "1"]
        assert run(end, chain.folder).wait(60) == 0
        assert chain.unfinished == set()
    counts = {number.name: kills.count(number) for number in SIGNALS}
    resumed = sum(chain.resumed for chain in chains)
    print(f"{command}: {len(kills)} kills {counts}, {len(chains)} runs resumed {resumed} times")
    assert all(counts.values())
    assert resumed > len(chains)
