"""What several test files need: a small corpus and a small trained model."""

import random
from pathlib import Path

import pytest
import small_run
from browser import chromium
from hypothesis import settings

from llmhard import corpus, grammar, model_file
from llmhard.minimal_pairs import NoPairsError, minimal_pairs
from llmhard.model import GPT, Config
from llmhard.preparation import n_cores
from llmhard.recipe import Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import Trainer
from llmhard.training_record import DataRecord, TrainingRecord

# A shared machine is sometimes slow; a time limit for each example would only be noise.
settings.register_profile("llmhard", deadline=None)
settings.load_profile("llmhard")


def pytest_xdist_auto_num_workers():
    """Two workers for each processor: many tests wait for a program that they have started."""
    return 2 * n_cores()


# The files that take longest begin first, so that no worker is left with one in the end.
LONGEST = (
    "test_workbook", "test_package", "test_kills", "test_interactive", "test_explorer_page",
    "test_mutants", "test_docs", "test_docs_tools", "test_instructions", "test_terminal",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: (*LONGEST, item.path.stem).index(item.path.stem))


def bits(numbers):
    """What == cannot tell apart: 0.0 and -0.0; and what it does: NaN and NaN."""
    return [float(x).hex() for x in numbers]


SENTENCES = [
    "the cat sat",
    "the dog ran",
    "a cat ran home",
    "the big dog sat on the cat",
    "a bird sings",
    "mom reads a book",
]


@pytest.fixture(scope="module")
def browser():
    """A browser for the tests of a file; they are skipped without one."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The file of sentences that a small run (small_run.py) learns from."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(small_run.SENTENCES))
    return path


@pytest.fixture
def written(monkeypatch):
    """What a function of a module writes: its tables as rows of cells, its figures' labels."""
    from docs_tools import blocks  # only here: most tests do without what it needs

    tables, figures = [], {}
    monkeypatch.setattr(blocks, "table", lambda header, rows, **_: tables.append([header, *rows]))
    monkeypatch.setattr(
        blocks,
        "figure",
        lambda name, svg, alt, **_: figures.update({name: (blocks.labels(svg.svg()), alt)}),
    )

    def steps(name, pictures, still, alt):
        for number, picture in enumerate(pictures, 1):
            figures[f"{name}-{number}"] = blocks.labels(picture.svg()), picture.description
        figures[name] = blocks.labels(still.svg()), alt

    monkeypatch.setattr(blocks, "steps", steps)
    return tables, figures


@pytest.fixture(scope="session")
def tiny() -> model_file.SavedModel:
    """A model of a few hundred parameters, trained a little; nobody may change it."""
    tokenizer = Tokenizer.from_sentences(SENTENCES)
    config = Config(tokenizer.vocab_size, n_layer=1, n_embd=8, n_head=2, block_size=8)
    model = GPT.initialize(config, random.Random(1))
    trainer = Trainer(
        model, [tokenizer.encode_document(s) for s in SENTENCES], Recipe(steps=60), seed=1
    )
    trainer.run()
    data = DataRecord("sentences.txt", corpus.fingerprint(SENTENCES), len(SENTENCES), 0)
    record = TrainingRecord(
        trainer.recipe, 1, trainer.final_loss(), data, tuple(trainer.curve), "0.0.test"
    )
    return model_file.SavedModel(model, tokenizer, (record,))


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


def possible(kind: str) -> bool:
    """Whether the grammar has minimal pairs of this kind."""
    try:
        return bool(minimal_pairs(kind, 1, random.Random(1)))
    except NoPairsError:
        return False


GRAMMAR_SENTENCES = grammar.corpus(1500, seed=3)


@pytest.fixture(scope="session")
def schooled() -> model_file.SavedModel:
    """A small model that knows all words of the grammar, trained a little on 1,350 sentences."""
    tokenizer = Tokenizer(grammar.WORDS)
    rng = random.Random(5)
    training, held_out = corpus.split(GRAMMAR_SENTENCES, rng)
    config = Config(tokenizer.vocab_size, n_layer=1, n_embd=16, n_head=2, block_size=12)
    model = GPT.initialize(config, rng)
    documents = [tokenizer.encode_document(sentence) for sentence in training]
    trainer = Trainer(model, documents, Recipe(steps=3000, lr=0.02), seed=5)
    trainer.run()
    data = DataRecord(
        "school.txt", corpus.fingerprint(GRAMMAR_SENTENCES), len(GRAMMAR_SENTENCES), len(held_out)
    )
    record = TrainingRecord(
        trainer.recipe, 5, trainer.final_loss(), data, tuple(trainer.curve), "0.0.test"
    )
    return model_file.SavedModel(model, tokenizer, (record,))


@pytest.fixture(scope="session")
def schooled_files(
    schooled: model_file.SavedModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The files of that model and of its sentences; nobody may change them."""
    folder = tmp_path_factory.mktemp("schooled")
    model_file.save(folder / "model.safetensors", schooled)
    (folder / "school.txt").write_text("\n".join(GRAMMAR_SENTENCES) + "\n", encoding="utf-8")
    return folder / "model.safetensors", folder / "school.txt"
