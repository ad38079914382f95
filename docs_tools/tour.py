"""A tour of every command and option on terminals of 40 and 80 columns: docs/tour.txt.

    python -m docs_tools.tour            record it, in about two minutes
    python -m docs_tools.tour COMMAND    show one command at both widths

Each command runs in a real pseudo-terminal, and what its screen shows at the end is recorded. This
includes times and, on other processors, other sentences, so it is not compared but read.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte

from docs_tools.session import ROOT
from llmhard import cli
from llmhard.workbook import SOLUTIONS

WIDTHS = (40, 80)
TALL = 1500  # lines on a screen, so that nothing scrolls away
QUIET = 0.4  # seconds without output after which a person types the next line
LONGEST = 60.0  # seconds

TEXT = "".join(
    f"The {who} {does} the {whom}.\n"
    for who in ("cat", "dog", "owl")
    for does in ("sees", "likes")
    for whom in ("moon", "sun", "old tree", "little boat")
)
NAMES = "Ada\nAlan\nAnna\nBen\nCarl\nClara\nDora\nEdsger\nEmma\nGrace\nKurt\nNoam\n"

Keys = tuple[str, ...]  # what a person types, line by line
Stop = tuple[str, Keys]

TOUR: dict[str, list[str | Stop]] = {
    "The program": [
        "llmhard",
        "llmhard --help",
        "llmhard --version",
        "llmhard trian",
    ],
    "train": [
        "llmhard train --help",
        "llmhard train --preset classic",
        "llmhard train --preset classic --watch --plot losses.png --out watched.safetensors",
        "llmhard train story.txt --out story.safetensors --steps 300 --batch-size 2 --lr 0.01 "
        "--warmup 10 --weight-decay 0.01 --average 0.2 --seed 7 --keep last",
        "llmhard train --data names.txt --tokenizer char --out names.safetensors --steps 200 "
        "--n-layer 1 --n-embd 16 --n-head 2 --block-size 4",
        "llmhard train names.txt --tokenizer char --out names.safetensors --preset classic --quiet",
        "llmhard train names.txt --tokenizer char --out filmed.safetensors --preset classic "
        "--film 5 --threads 1",
        "llmhard train --preset classic --out piped.safetensors 2>&1 | cat",
    ],
    "train: interrupted and resumed": [
        "timeout -s INT 3 llmhard train --out long.safetensors --checkpoint-every 1000",
        "llmhard train --out long.safetensors",
        "llmhard train --resume long.safetensors.checkpoint --steps 5",
        "llmhard train --resume long.safetensors.checkpoint > resumed.txt 2>&1; "
        "head -n 4 resumed.txt; tail -n 4 resumed.txt",
        "timeout -s TERM 2 llmhard train --out long.safetensors",
        "llmhard train --resume long.safetensors.checkpoint",
        "timeout -s HUP 2 llmhard train --out long.safetensors --force --quiet",
    ],
    "train: what it refuses": [
        "llmhard train --out story.txt",
        "llmhard train story.txt --out story.txt --force",
        "llmhard train --plot losses.txt",
        "llmhard train --out none/model.safetensors",
        "llmhard train --n-head 3",
        "llmhard train --steps many",
        "llmhard train --tokenizer letter",
        "llmhard train none.txt",
        "llmhard train --resume model.safetensors",
    ],
    "sample": [
        "llmhard sample --help",
        "llmhard sample -n 5 --seed 1",
        "llmhard sample model.safetensors -n 3 --prompt 'the cat' --temperature 0.5 --seed 1",
        "llmhard sample --model names.safetensors -n 3 --temperature 1.2 --top-k 10 --top-p 0.9 "
        "--seed 1",
        "llmhard sample -n 1 --seed 2 --stream",
        "llmhard sample -n 1 --seed 2 --show-probs",
        "llmhard sample -n 1 --temperature 0 --show-probs 3",
        "llmhard sample names.safetensors -n 1 --top-k 3 --show-probs 3 --seed 1",
        "llmhard sample --prompt 'the cta'",
        "llmhard sample --top-p 2",
        "llmhard sample 'the cat'",
        "llmhard sample story.txt",
        ("llmhard sample --interactive --seed 1",
         ("the cat", "the dgo", "/help", "/temperature 0", "/show-probs 3", "the", "/show-probs 0",
          "exit", "/bogus", "/number 2", "my", "/top-k 5", "/top-p 0.9", "/seed 3", "/quit")),
        ("llmhard sample --interactive", ("the cat", "\x03", "\x04")),
    ],
    "explore": [
        "llmhard explore --help",
        "llmhard explore",
        "llmhard explore names.safetensors --out names.html",
        "llmhard explore --model names.safetensors --film filmed.safetensors.film --out mixed.html",
        "BROWSER=true llmhard explore filmed.safetensors --open --out names.html",
        "llmhard explore --out story.txt",
        "cp story.txt page.html; llmhard explore --out page.html; "
        "llmhard explore --out page.html --force",
        "llmhard explore gone.safetensors",
        "llmhard explore --workbook nowhere",
    ],
    "evaluate": [
        "llmhard evaluate --help",
        "llmhard evaluate --fresh 500 --samples 300 --pairs 50 --seed 1",
        "llmhard evaluate story.safetensors --data story.txt --samples 200 --temperature 0.5 1 2",
        "llmhard evaluate --samples 100 --fresh 100 --pairs 20 --json | head -n 12",
        "llmhard evaluate --model names.safetensors",
        "llmhard evaluate --temperature -1",
    ],
    "finetune": [
        "llmhard finetune --help",
        "llmhard finetune",
        "llmhard finetune model.safetensors --data story.txt",
        "llmhard finetune --data story.txt --skip-unknown --out mine.safetensors --seed 2 --quiet",
        "llmhard finetune --model model.safetensors --out other.safetensors --steps 60 --lr 0.001 "
        "--batch-size 2 --warmup 5 --weight-decay 0 --average 0 --keep best --watch "
        "--plot losses.png --checkpoint-every 50 --film 3 --threads 1 --force",
        "llmhard finetune model.safetensors --out model.safetensors",
    ],
    "export and import": [
        "llmhard export --help",
        "llmhard export for-pytorch",
        "llmhard export --model names.safetensors --to transformers for-pytorch",
        "llmhard export . --force",
        "llmhard export --model names.safetensors --force names",
        "llmhard import --help",
        "llmhard import for-pytorch --out back.safetensors",
        "llmhard import for-pytorch --out story.txt",
        "llmhard import names --out story-2.txt --force",
        "llmhard sample for-pytorch -n 2 --seed 1",
        "llmhard import mygpt",
    ],
    "info": [
        "llmhard info --help",
        "llmhard info",
        "llmhard info finetuned.safetensors",
        "llmhard info --model names.safetensors --json | head -n 12",
        "llmhard info long.safetensors.checkpoint",
        "llmhard info story.txt",
    ],
    "workbook and check": [
        "llmhard workbook --help",
        "llmhard check --help",
        "llmhard check",
        "llmhard workbook mygpt",
        "llmhard workbook mygpt",
        "llmhard check 02 mygtp",
        "llmhard check 02 mygpt",
        'cp "$SOLUTIONS/tokenizer.py" mygpt/; cd mygpt; llmhard check 02',
        "cd mygpt; sed -i 's/i + 1 for/i for/' tokenizer.py; llmhard check",
        "cd mygpt; llmhard check 05",
        "cd mygpt; llmhard workbook",
        "llmhard check 99 mygpt",
    ],
    "completion": [
        "llmhard completion --help",
        "llmhard completion bash | head -n 3",
        "llmhard completion tcsh",
    ],
}  # fmt: skip


class Terminal:
    """A screen of a given width on which a person runs commands in a folder."""

    def __init__(self, columns: int, folder: Path) -> None:
        self.columns = columns
        self.folder = folder

    def run(self, command: str, keys: Keys = ()) -> list[str]:
        """Run a command and return the lines that the screen shows at the end.

        Keys are typed, each as a line, whenever the program has fallen silent; control characters
        come without the line's end.
        """
        screen = pyte.Screen(self.columns, TALL)
        stream = pyte.ByteStream(screen)
        ours, theirs = pty.openpty()
        size = struct.pack("HHHH", TALL, self.columns, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        left = list(keys)
        for content in self._output(ours, process):
            if content:
                stream.feed(content)
                if b"\x1b[6n" in content:  # the program asks where the cursor is
                    place = f"\x1b[{screen.cursor.y + 1};{screen.cursor.x + 1}R"
                    os.write(ours, place.encode())
            elif left:
                key = left.pop(0)
                os.write(ours, key.encode() if key < " " else f"{key}\r".encode())
        os.close(ours)
        process.wait()
        lines = [line.rstrip() for line in screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _output(self, descriptor: int, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Yield what the program writes, piece by piece, and nothing whenever it falls silent."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            ready, _, _ = select.select([descriptor], [], [], QUIET)
            try:
                content = os.read(descriptor, 65536) if ready else b""
            except OSError:  # how Linux says that the other end is closed
                return
            yield content
            if ready and not content:
                return
        os.killpg(process.pid, signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        unwanted = ("PYTHON", "COLUMNS", "LINES", "NO_COLOR", "CI")
        binaries = Path(sys.executable).parent
        return {k: v for k, v in os.environ.items() if not k.startswith(unwanted)} | {
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / ".state"),
            "SOLUTIONS": str(SOLUTIONS),  # a lab that is done
        }


def record(columns: int) -> Iterator[str]:
    """Return the lines of the tour on a terminal with this many columns."""
    with tempfile.TemporaryDirectory() as name:
        terminal = Terminal(columns, Path(name))
        (terminal.folder / "story.txt").write_text(TEXT)
        (terminal.folder / "names.txt").write_text(NAMES)
        for section, stops in TOUR.items():
            yield from ("=" * columns, f"{columns} columns: {section}", "=" * columns)
            for stop in stops:
                command, keys = (stop, ()) if isinstance(stop, str) else stop
                yield from ("", f"$ {command}", *terminal.run(command, keys))
            yield ""


def forgotten() -> list[str]:
    """Return the commands and options that the tour does not cover."""
    commands = [
        (stop if isinstance(stop, str) else " ".join((stop[0], *stop[1])))
        for stops in TOUR.values()
        for stop in stops
    ]
    (choices,) = (
        action.choices
        for action in cli._parser("llmhard")._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return [
        f"{name} {option}"
        for name, parser in choices.items()
        for option in {
            action.option_strings[-1] for action in parser._actions if action.option_strings
        }
        if not any(f"llmhard {name}" in c and option in c.split() for c in commands)
    ]


def main(arguments: list[str]) -> int:
    if arguments:
        for columns in WIDTHS:
            with tempfile.TemporaryDirectory() as name:
                print(f"--- {columns} columns")
                print("\n".join(Terminal(columns, Path(name)).run(" ".join(arguments))))
        return 0
    if missing := forgotten():
        print(f"the tour does not come to: {', '.join(missing)}", file=sys.stderr)
        return 1
    place = ROOT / "docs" / "tour.txt"
    lines = [line for columns in WIDTHS for line in record(columns)]
    place.write_text("\n".join(lines), encoding="utf-8")
    print(f"{place.relative_to(ROOT)}: {len(lines):,} lines")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
