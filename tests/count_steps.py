"""How many machine instructions a training step and a sampled token take, counted by valgrind.

    python tests/count_steps.py           count with this compiler and Python, beside what is stored
    python tests/count_steps.py --write   and store the counts in tests/instructions.json
    python tests/count_steps.py WORK N    do N pieces of WORK: what valgrind runs

A count is a difference of two runs over the difference of their pieces, so that what comes before
the first piece does not count. The engine is the portable one: valgrind knows no AVX-512.
"""

import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
STORED = Path(__file__).parent / "instructions.json"
NEEDED = ("llmhard", "pyx", "data", "setup.py", "pyproject.toml", "README.md", "LICENSE")
# Nothing of the surroundings may decide what is built or how it runs.
FOREIGN = (
    "LLMHARD_ARCH",
    "LLMHARD_LEVEL",
    "CFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "VALGRIND_OPTS",
    "GLIBC_TUNABLES",
)
ENV = {k: v for k, v in os.environ.items() if k not in FOREIGN and not k.startswith("PYTHON")}

# The pieces of the two runs; every length of sentence is recorded before the first run ends.
PIECES = {"replayed step": (7, 107), "recorded step": (7, 27), "sampled token": (2, 12)}


def work(name: str, pieces: int) -> int:
    """Train for so many steps or sample so many sentences; returns how many steps or tokens."""
    from llmhard import corpus
    from llmhard.model import GPT, Config
    from llmhard.recipe import Recipe
    from llmhard.sampler import Reader, generate
    from llmhard.tokenizer import Tokenizer
    from llmhard.trainer import Trainer

    sentences = corpus.read_sentences(corpus.default_path())
    tokenizer = Tokenizer.from_sentences(sentences)
    rng = random.Random(42)
    model = GPT.initialize(Config(tokenizer.vocab_size), rng)
    if name == "sampled token":
        reader = Reader(model)
        return sum(len(generate(reader, rng)) for _ in range(pieces))
    documents = [tokenizer.encode_document(sentence) for sentence in rng.sample(sentences, 1000)]
    lengths = {len(document): document for document in documents}
    assert len(lengths) <= PIECES["replayed step"][0]
    replay = name == "replayed step"
    Trainer(model, [*lengths.values(), *documents], Recipe(steps=pieces), replay=replay).run()
    return pieces


def toolchain() -> str:
    """What a count depends on besides the code, such as "gcc 12.2.0, Python 3.11, x86_64"."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    macros = _run([compiler, "-dM", "-E", "-x", "c", os.devnull], CHECKOUT, ENV).stdout
    names = ("__clang_major__", "__clang_minor__", "__clang_patchlevel__")
    name = "clang" if names[0] in macros else "gcc"
    if name == "gcc":
        names = ("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__")
    defined = dict(re.findall(r"^#define (\w+) (\d+)$", macros, re.MULTILINE))
    version = ".".join(defined[part] for part in names)
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return f"{name} {version}, {python}, {platform.machine()}"


def build(place: Path, checkout: Path = CHECKOUT) -> None:
    """Compile a portable copy of the checkout in the folder `place`."""
    for name in NEEDED:
        if (checkout / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(checkout / name, place / name, ignore=ignored)
        else:
            shutil.copy(checkout / name, place / name)
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    _run(command, place, ENV | {"LLMHARD_ARCH": "portable"})


def count(name: str, place: Path) -> int:
    """The instructions of one piece of this work, with the engine built in `place`."""
    # -S: no site-packages, where another llmhard may be installed and which take time to start.
    program = [sys.executable, "-S", str(Path(__file__).resolve()), name]
    env = ENV | {"PYTHONPATH": str(place), "PYTHONHASHSEED": "0"}
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
    valgrind.append(f"--cachegrind-out-file={os.devnull}")
    _run([*program, "1"], place, env)  # leaves compiled modules behind, for both runs
    totals = []
    for pieces in PIECES[name]:
        done = _run([*valgrind, *program, str(pieces)], place, env)
        found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        assert found, done.stderr[-2000:]
        totals.append((int(found[1].replace(",", "")), int(done.stdout)))
    (before, first), (after, last) = totals
    return round((after - before) / (last - first))


def stored() -> dict[str, dict[str, int]]:
    """The counts in tests/instructions.json: for each toolchain, for each kind of work."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def _run(command: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done


def main() -> None:
    tools, known = toolchain(), stored()
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        counts = {name: count(name, Path(folder)) for name in PIECES}
    print(tools)
    for name, now in counts.items():
        before = known.get(tools, {}).get(name)
        change = f"{now / before - 1:+.2%} from {before:,}" if before else "not stored yet"
        print(f"{name}  {now:12,} instructions  {change}")
    if "--write" in sys.argv:
        known[tools] = counts
        STORED.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(work(sys.argv[1], int(sys.argv[2])))
    elif sys.argv[1:] in ([], ["--write"]):
        main()
    else:
        raise SystemExit(__doc__)
