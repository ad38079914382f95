"""The example in PyTorch computes what llmhard computes. Needs torch, which no extra installs."""

import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from llmhard import model_file
from llmhard.model import GPT, Config
from llmhard.sampler import Reader, Sampling
from llmhard.tokenizer import BOS, Tokenizer

torch = pytest.importorskip("torch")

EXAMPLE = Path(__file__).parent.parent / "examples" / "pytorch_model.py"


@pytest.fixture(scope="module")
def load():
    return runpy.run_path(str(EXAMPLE))["load"]


@pytest.fixture(scope="module")
def full_size(tiny, tmp_path_factory):
    """The file of an untrained model of the default size with 597 tokens."""
    rng = random.Random(5)
    tokenizer = Tokenizer([f"word{i:03}" for i in range(596)])
    model = GPT.initialize(Config(tokenizer.vocab_size), rng)
    # Some ten times the initial size, so that the logits and the attention are far from even.
    model.parameters["wte.weight"].data = [
        [rng.gauss(0, 1) for _ in range(32)] for _ in range(tokenizer.vocab_size)
    ]
    path = tmp_path_factory.mktemp("full") / "model.safetensors"
    model_file.save(path, model_file.SavedModel(model, tokenizer, tiny.records))
    return path


def test_it_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("size", ["tiny", "full"])
def test_the_same_logits_at_every_position(load, tiny_file, full_size, size):
    path = {"tiny": tiny_file, "full": full_size}[size]
    model, words = load(path)
    ours = model_file.load(path)
    assert words[1:] == list(ours.tokenizer.words)
    reader, config, rng = Reader(ours.model), ours.model.config, random.Random(2)
    assert sum(p.numel() for p in model.parameters()) == config.n_parameters()
    for length in range(1, config.block_size + 1):
        tokens = [BOS, *(rng.randrange(config.vocab_size) for _ in range(length - 1))]
        theirs = model(torch.tensor(tokens)).tolist()
        reader.restart()
        for token, logits in zip(tokens, theirs, strict=True):
            expected = reader.read(token).data
            assert max(expected) - min(expected) > 0.1
            assert logits == pytest.approx(expected, rel=0, abs=1e-9)


def test_several_sentences_at_once(load, full_size):
    model, _ = load(full_size)
    tokens = torch.randint(597, (3, 9), generator=torch.Generator().manual_seed(1))
    together = model(tokens)
    assert together.shape == (3, 9, 597)
    for sentence, logits in zip(tokens, together, strict=True):
        assert torch.allclose(model(sentence), logits, rtol=0, atol=1e-12)


def test_as_a_program_it_names_the_likeliest_words(tiny, tiny_file):
    done = subprocess.run(
        [sys.executable, EXAMPLE],
        cwd=tiny_file.parent, input="the big\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    reader = Reader(tiny.model)
    for token in [BOS, *tiny.tokenizer.encode("the big")]:
        logits = reader.read(token)
    p = Sampling(1.0).probabilities(logits)
    likeliest = sorted(range(len(p)), key=lambda token: -p[token])[:5]
    names = ["(end)", *tiny.tokenizer.words]
    assert done.stdout.split("? ")[1].split() == [names[token] for token in likeliest]
