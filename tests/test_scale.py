"""The example that leaves the package: the same losses in PyTorch, whatever the processes."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llmhard import corpus, export
from llmhard.model import GPT, Config
from llmhard.preparation import Text, prepare
from llmhard.recipe import THOROUGH
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import train

pytest.importorskip("torch")
pytest.importorskip("transformers")

SCRIPT = Path(__file__).parent.parent / "examples" / "scale" / "train.py"
SIZES = {"n_embd": 16, "n_layer": 1, "n_head": 2, "block_size": 8}
STEPS = 15  # of six sentences: the text one and a half times
RECIPE = replace(THOROUGH, steps=STEPS, batch_size=6)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "sentences.txt"
    sentences = corpus.read_sentences(str(corpus.default_path()))[:60]
    path.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return path


def losses(out, text, *options, processes=1):
    """What the script prints, by step."""
    python = [sys.executable]
    if processes > 1:
        python += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    sizes = "--width=16 --layers=1 --heads=2 --context=8 --batch=6 --every=1"
    command = [*python, SCRIPT, "--out", out, "--text", text, "--dtype", "float64"]
    done = subprocess.run(
        [*map(str, command), *sizes.split(), "--steps", str(STEPS), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("step")]
    return [float(words[-1]) for words in lines]


@pytest.fixture(scope="module")
def ours(text):
    sentences = corpus.read_sentences(str(text))
    trainer = prepare(
        Text(sentences, "text", str(text)), Tokenizer, RECIPE, 42, "last", SIZES
    ).trainer(1)  # fmt: skip
    trainer.run()
    return trainer


def same_parameters(folder, gpt):
    back = export.read(folder).model
    for name, matrix in gpt.parameters.items():
        for row, expected in zip(back.parameters[name].data, matrix.data, strict=True):
            assert row == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("how", "processes"), [("none", 1), ("ddp", 2), ("fsdp", 2)], ids=["one", "ddp", "fsdp"]
)
def test_the_losses_and_the_model_are_ours(how, processes, text, ours, tmp_path):
    found = losses(tmp_path, text, "--parallel", how, processes=processes)
    assert found == pytest.approx(ours.losses, rel=0, abs=1e-8)
    assert len(found) == STEPS
    same_parameters(tmp_path, ours.model)


def test_a_text_that_is_read_as_it_is_needed(text, tmp_path):
    sentences = corpus.read_sentences(str(text))
    tokenizer = Tokenizer.from_sentences(sentences)
    model = GPT.initialize(Config(tokenizer.vocab_size, **SIZES), random.Random(42))
    documents = [tokenizer.encode_document(sentence) for sentence in sentences]
    expected = train(model, documents, RECIPE, seed=42)
    assert losses(tmp_path, text, "--stream") == pytest.approx(expected, rel=0, abs=1e-8)
    assert export.read(tmp_path).tokenizer.words == tokenizer.words
    same_parameters(tmp_path, model)


def test_it_is_short():
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 150
