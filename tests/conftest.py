"""What several test files need: a small corpus and a small trained model."""

import random
from pathlib import Path

import pytest
from hypothesis import settings

from llmhard import model_file
from llmhard.model import GPT, Config
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import train

# A shared machine is sometimes slow; a time limit for each example would only be noise.
settings.register_profile("llmhard", deadline=None)
settings.load_profile("llmhard")

SENTENCES = [
    "the cat sat",
    "the dog ran",
    "a cat ran home",
    "the big dog sat on the cat",
    "a bird sings",
    "mom reads a book",
]


@pytest.fixture(scope="session")
def tiny() -> model_file.SavedModel:
    """A model of a few hundred parameters, trained a little; nobody may change it."""
    tokenizer = Tokenizer.from_sentences(SENTENCES)
    config = Config(tokenizer.vocab_size, n_layer=1, n_embd=8, n_head=2, block_size=8)
    model = GPT.initialize(config, random.Random(1))
    losses = train(model, [tokenizer.encode_document(s) for s in SENTENCES], steps=60)
    record = model_file.TrainingRecord(60, 1, sum(losses) / len(losses), "0.0.test")
    return model_file.SavedModel(model, tokenizer, record)


@pytest.fixture(scope="session")
def tiny_file(tiny: model_file.SavedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of that model; nobody may change it."""
    path = tmp_path_factory.mktemp("tiny") / "model.safetensors"
    model_file.save(path, tiny)
    return path


@pytest.fixture(scope="session")
def sentences_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of a few sentences."""
    path = tmp_path_factory.mktemp("corpus") / "sentences.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return path
