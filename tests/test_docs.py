"""What the documents show is what the code does."""

import doctest
import random
import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from llmhard import autograd, corpus, grammar, model_file
from llmhard.cli import main
from llmhard.engine import batch, indexing, optimizer, recording, tape, values
from llmhard.evaluation import Surprise, evaluate
from llmhard.trainer import Recordings

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_examples_in_documents(name):
    results = doctest.testfile(str(ROOT / name), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 0


def test_examples_in_docstrings():
    attempted = 0
    for module in (batch, indexing, optimizer, recording, tape, values):
        results = doctest.testmod(module, extraglobs=vars(autograd))
        assert results.failed == 0
        attempted += results.attempted
    assert attempted >= 10


def test_the_excerpt_of_the_model_in_the_readme_is_in_the_model():
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (excerpt,) = [block for block in blocks if "softmax" in block]
    model = (ROOT / "llmhard" / "model.py").read_text()
    lines = [line.strip() for line in excerpt.splitlines() if line.strip()]
    missing = [line for line in lines if line not in model]
    assert lines
    assert not missing


TRAINING = (ROOT / "docs" / "training.md").read_text()


def stated(row):
    """The numbers of a row of a table in the training document."""
    (cells,) = re.findall(rf"^\| {row} \|(.*)\|$", TRAINING, re.MULTILINE)
    return [float(number) for number in re.findall(r"[\d.]+", cells)]


@pytest.fixture(scope="module")
def thorough(tmp_path_factory):
    """What `train` saves without flags."""
    out = tmp_path_factory.mktemp("thorough") / "model.safetensors"
    assert main(["train", "--quiet", "--out", str(out)]) == 0
    return out


def judged(path, **changes):
    sizes = {"fresh": 5000, "samples": 2000, "temperatures": [0.8], "pairs": 500, "seed": 42}
    sentences = corpus.read_sentences(corpus.default_path())
    return evaluate(model_file.load(path), sentences, **sizes | changes)


# Other compilers round differently, and that grows over thousands of steps; a wrong recipe is
# further off than these tolerances.


def test_the_losses_of_the_classic_recipe(tmp_path):
    out = tmp_path / "model.safetensors"
    arguments = ["train", "--preset", "classic", "--seed", "1", "--quiet", "--out", str(out)]
    assert main(arguments) == 0
    record = model_file.load(out).record
    training, validation, _, _ = stated("1")
    assert record.final_loss == pytest.approx(training, abs=0.05)
    assert record.last_validation == pytest.approx(validation, abs=0.1)
    against = judged(out)
    gap, accepted = (stated(name)[-5] for name in ("above the floor.*?", "samples at .*?0.8 .*?"))
    assert 100 * against.fresh.gap_share.value == pytest.approx(gap, abs=3)
    assert 100 * against.samples[0].accepted.value == pytest.approx(accepted, abs=5)


def test_the_losses_of_the_thorough_recipe(thorough):
    record = model_file.load(thorough).record
    _, _, training, validation = stated("42")
    assert record.final_loss == pytest.approx(training, abs=0.01)
    assert record.last_validation == pytest.approx(validation, abs=0.01)


def test_the_thorough_model_against_the_truth(thorough):
    against = judged(thorough)
    gap = stated("above the floor.*?")[-3]
    assert 100 * against.fresh.gap_share.value == pytest.approx(gap, abs=0.2)
    accepted, new = (
        stated(name)[-3] for name in ("samples at .*?0.8 .*?", "not in the training.*?")
    )
    assert 100 * against.samples[0].accepted.value == pytest.approx(accepted, abs=1)
    assert 100 * against.samples[0].new.value == pytest.approx(new, abs=3)
    kinds = [kind for kind in re.findall(r"^\| (\w+): ", TRAINING, re.M) if kind in against.pairs]
    assert kinds == list(against.pairs)
    for kind in kinds:
        right = stated(f"{kind}: .*?")[-3]
        assert 100 * against.pairs[kind].right.value == pytest.approx(right, abs=1.5)


def test_fine_tuning_in_the_training_document(thorough, tmp_path):
    out = tmp_path / "finetuned.safetensors"
    assert main(["finetune", "--model", str(thorough), "--quiet", "--out", str(out)]) == 0
    text = " ".join(TRAINING.split())
    falls = re.search(r"held-out questions falls from ([\d.]+) to ([\d.]+) nats", text)
    rises = re.search(r"it rises from ([\d.]+) to ([\d.]+), and of 1,000 samples", text)
    questions = corpus.read_sentences(corpus.questions_path())
    held_out = corpus.split(questions, random.Random(42))[1]
    assert len(held_out) == 15
    for path, new_loss, old_loss in zip(
        (thorough, out), map(float, falls.groups()), map(float, rises.groups()), strict=True
    ):
        saved = model_file.load(path)
        documents = [saved.tokenizer.encode_document(sentence) for sentence in held_out]
        loss = Recordings(saved.model).mean_loss(documents)
        assert loss == pytest.approx(new_loss, rel=0.1)
        against = judged(path, samples=1000, pairs=1)
        assert against.fresh.model.value == pytest.approx(old_loss, rel=0.05)
    assert against.samples[0].accepted.value < 0.01


def test_the_sentences_in_the_readme_are_those_of_such_a_model(thorough):
    (shown,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    surprise = Surprise(model_file.load(thorough))
    sentences = shown.splitlines()
    assert len(sentences) == 8
    # A sentence of the grammar costs 14 nats on average, one that no such model writes far more.
    assert all(surprise.log_prob(sentence) > -30 for sentence in sentences)
    assert surprise.log_prob(" ".join(reversed(sentences[0].split()))) < -30


def test_the_entropy_in_the_training_document():
    (entropy,) = re.findall(r"is (\d\.\d+) nats a token", TRAINING)
    rng = random.Random(0)
    sentences = [grammar.sample(rng) for _ in range(5000)]
    tokens = sum(len(sentence.split()) + 1 for sentence in sentences)
    measured = -sum(map(grammar.log_prob, sentences)) / tokens
    assert measured == pytest.approx(float(entropy), abs=0.02)


def test_the_speed_in_the_readme_is_the_one_of_the_benchmarks():
    (table,) = re.findall(
        r"^## Training$(.*?)^#", (ROOT / "docs" / "benchmarks.md").read_text(), re.M | re.S
    )
    time = {
        name: float(number)
        for name, number in re.findall(r"^\| ([^|]+) \| ([\d.]+) \|[^|]*\|[^|]*x \|", table, re.M)
    }
    ours = time["llmhard, replayed"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"A training step takes {ours:.2f} ms: {ours / time['C']:.1f} times what C" in readme
    assert "less than an eighth of what PyTorch takes" in readme
    assert ours < time["PyTorch, fused Adam"] / 8


def test_the_tests_that_the_page_on_reliability_names_are_there():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\w+\.py)`((?:: |, )?(?:`test_\w+`(?:, )?)*)", page)
    assert len(named) > 20
    for file, functions in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        for function in re.findall(r"`(test_\w+)`", functions):
            assert f"def {function}(" in source, f"{file} has no {function}"


def test_links_into_the_explorer_lead_to_views_that_it_has():
    app = (ROOT / "llmhard" / "explorer" / "js" / "app.js").read_text()
    views = set(re.findall(r'^  \{ name: "(\w+)"', app, re.MULTILINE))
    assert "next" in views
    links = [
        link
        for page in (ROOT / "docs").glob("*.md")
        for link in re.findall(r"\]\(explorer\.html#([^)]*)\)", page.read_text())
    ]
    assert links
    assert {parse_qs(link)["view"][0] for link in links} <= views
