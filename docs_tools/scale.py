"""The commands of lab 12 that need PyTorch and transformers, and what they print.

    make scale-transcript         run them and write docs/scale-transcript.txt, some minutes
    python -m docs_tools.scale big import sample        only these, in the folder of the last time

Nobody needs PyTorch to read or check the lab: it shows the transcript. `make interop` runs the
commands again and compares. What they say on the standard error output is left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from docs_tools.errors import DocsError
from docs_tools.session import ROOT, environment

TRANSCRIPT = Path("docs/scale-transcript.txt")
FOLDER = ROOT / "build" / "scale"  # where the commands run
OURS = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
TIME_LIMIT = 1200  # seconds for a command, also on a busy machine
STEPS, EVERY = 200, 50  # of the runs whose losses are compared with llmhard's
_SHORT = f"--dtype float64 --steps {STEPS} --every {EVERY}"
_ONE = "python examples/scale/train.py"
_TWO = "torchrun --standalone --nproc-per-node 2 examples/scale/train.py"

COMMANDS = {
    "one": f"{_ONE} --out one {_SHORT}",
    "ddp": f"{_TWO} --parallel ddp --out two {_SHORT}",
    "fsdp": f"{_TWO} --parallel fsdp --out sharded {_SHORT}",
    "wide": f"{_ONE} --width 256 --layers 4 --lr 0.002 --steps 20 --every 5 --out wide",
    "big": f"{_ONE} --width 64 --lr 0.012 --steps 2000 --every 500 --out big",
    "import": "python -m llmhard import big --out big.safetensors",
    "sample": "python -m llmhard sample -n 5 --seed 1 big.safetensors",
    "evaluate": "python -m llmhard evaluate --samples 1000 --pairs 100 big.safetensors",
    "export": "python -m llmhard export --to transformers exported big.safetensors",
    "generate": "python examples/scale/generate.py exported the dogs",
}


def run(command: str, folder: Path) -> str:
    """Return what a command prints. Raises DocsError if it fails."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment() | OURS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT,
    )
    if done.returncode:
        raise DocsError(f"{command}: ended with exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout.rstrip()


def record(folder: Path, names: Iterable[str] = COMMANDS) -> dict[str, str]:
    """Run the commands of these names in a folder; returns what each prints."""
    folder.mkdir(parents=True, exist_ok=True)
    for linked in ("examples", "data"):
        if not (folder / linked).is_symlink():
            (folder / linked).symlink_to(ROOT / linked)
    return {name: run(COMMANDS[name], folder) for name in names}


def written(outputs: dict[str, str]) -> str:
    """Return the transcript: each command after a `$ `, and what it printed."""
    parts = (f"$ {COMMANDS[key]}\n{output}".rstrip() for key, output in outputs.items())
    return "\n\n".join(parts) + "\n"


def read(transcript: str) -> dict[str, str]:
    """Return what each command printed. Raises DocsError if it has other commands than these."""
    parts = re.split(r"(?m)^\$ ", transcript)[1:]
    found = dict(part.rstrip("\n").partition("\n")[::2] for part in parts)
    if list(found) != list(COMMANDS.values()):
        raise DocsError(f"{TRANSCRIPT} has other commands; to renew: make scale-transcript")
    return {key: found[command] for key, command in COMMANDS.items()}


def losses(output: str) -> dict[int, float]:
    """Return the losses that the example printed, by their step."""
    lines = re.findall(r"(?m)^step +([\d,]+) +loss ([\d.]+)$", output)
    return {int(step.replace(",", "")): float(loss) for step, loss in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    names = parser.parse_args().names
    path = ROOT / TRANSCRIPT
    known = read(path.read_text(encoding="utf-8")) if names else {}
    if not names:
        shutil.rmtree(FOLDER, ignore_errors=True)
    found = known | record(FOLDER, names or COMMANDS)
    path.write_text(written(found), encoding="utf-8")


if __name__ == "__main__":
    main()
