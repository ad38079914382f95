"""Install each of the packages named in a fresh environment of its own, and use it from an empty
folder: train, sample, explore, workbook, check.

    python tests/check_installed.py dist/*.whl dist/*.tar.gz

With --speed it trains by turns with the last of them and with the engine of this checkout, compiled
for this very processor, and prints the processor time that each takes.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# Nothing of the surroundings may decide what is installed or imported.
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("LLMHARD_", "PYTHON", "CFLAGS"))}
PROGRAMS = "Scripts" if os.name == "nt" else "bin"
SPEED = ["train", "--quiet", "--force", "--threads", "1", "--out", "speed.safetensors"]
ROUNDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--speed", type=int, metavar="STEPS", help="compare the speed, too")
    arguments = parser.parse_args()
    for package in arguments.packages:
        with tempfile.TemporaryDirectory() as folder:
            program = installed(package.resolve(), Path(folder, "env"))
            empty = Path(folder, "empty")
            empty.mkdir()
            use(program, empty)
            print(f"{package}: trains, samples, explores and checks", flush=True)
            if arguments.speed and package == arguments.packages[-1]:
                compare(program, empty, arguments.speed)


def installed(package, place):
    """Return the path of llmhard in a fresh environment, with what checking a workbook needs."""
    venv.create(place, with_pip=True)
    python = place / PROGRAMS / "python"
    run([python, "-m", "pip", "install", "--quiet", f"{package}[labs]"], place)
    return place / PROGRAMS / "llmhard"


def use(program, folder):
    """Go through what the README shows; ends with the message of the command that fails."""
    run([program, "train", "--steps", "200"], folder)
    assert Path(folder, "model.safetensors").stat().st_size > 500_000  # 63,296 numbers
    sentences = run([program, "sample", "-n", "3", "--prompt", "the"], folder).splitlines()
    assert len(sentences) == 3, sentences
    assert all(sentence.startswith("the ") for sentence in sentences), sentences
    expect("saved explorer.html", run([program, "explore"], folder))
    run([program, "workbook", "my-gpt"], folder)
    expect("Next: write Tokenizer.__init__", run([program, "check", "02", "my-gpt"], folder, 1))


def compare(program, folder, steps):
    """Print the median processor time of training with the package and with this checkout."""
    native = [sys.executable, "-m", "llmhard"]
    times = {"installed": [], "native": []}
    for _ in range(ROUNDS):
        for name, command in (("native", native), ("installed", [program])):
            times[name].append(seconds([*command, *SPEED, "--steps", str(steps)], folder))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(times)
    print(f"installed: {medians['installed'] / medians['native']:.2f} times the native time")


def seconds(command, folder):
    """Return the processor time that a command takes itself, whatever else the machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run(command, folder)
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 2)


def run(command, folder, code=0):
    """Return what a command prints; ends if its exit code is another."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command, cwd=folder, env=ENV, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode != code:
        said = done.stdout + done.stderr
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{said}")
    return done.stdout


def expect(words, said):
    if words not in said:
        sys.exit(f"{words!r} is not in what was printed:\n{said}")


if __name__ == "__main__":
    main()
