"""Fine-tuning: a trained model learns other sentences, and says what it cannot learn."""

import random
import re
from pathlib import Path

import pytest

from llmhard import cli, corpus, grammar, model_file
from llmhard.autograd import Matrix
from llmhard.checkpoint import Checkpoint
from llmhard.model import GPT
from llmhard.recipe import FINE_TUNING, Recipe
from llmhard.sampler import Reader, Sampling, generate
from llmhard.trainer import Recordings, Trainer


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main(["finetune", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def new_text(tmp_path):
    path = tmp_path / "new.txt"
    path.write_text("ran the cat\nsat the dog\n")
    return path


def mean_loss(saved, sentences):
    documents = [saved.tokenizer.encode_document(sentence) for sentence in sentences]
    return Recordings(saved.model).mean_loss(documents)


def test_it_learns_the_new_and_forgets_of_the_old(call, tiny, tiny_file, new_text):
    code, out, err = call("--model", tiny_file, "--data", new_text, "--steps", 300, "--lr", 0.01)
    assert code == 0
    assert "sentences   2\n" in out
    assert "step 300 of 300" in err
    before, after = tiny, model_file.load("finetuned.safetensors")
    assert mean_loss(after, ["ran the cat"]) < 0.5 < mean_loss(before, ["ran the cat"])
    assert mean_loss(after, ["the big dog sat on the cat"]) > mean_loss(
        before, ["the big dog sat on the cat"]
    )


def test_the_record_tells_of_both_trainings(call, tiny, tiny_file, new_text):
    assert call("--model", tiny_file, "--data", new_text, "--steps", 3, "--seed", 9)[0] == 0
    after = model_file.load("finetuned.safetensors")
    assert after.tokenizer.words == tiny.tokenizer.words
    assert after.records[:-1] == tiny.records
    record = after.record
    assert (record.recipe.steps, record.recipe.lr, record.seed) == (3, FINE_TUNING.lr, 9)
    assert (record.data.name, record.data.sentences) == ("new.txt", 2)
    again = call(
        "--model", "finetuned.safetensors", "--data", new_text, "--out", "third", "--quiet"
    )
    assert again == (0, "", "")
    assert len(model_file.load("third").records) == 3


def test_watching_and_keeping_the_last(call, tiny, tiny_file, tmp_path):
    # Ten sentences: one is held out.
    (tmp_path / "new.txt").write_text("ran the cat\nsat the dog\n" * 4 + "the dog ran\na cat sat\n")
    arguments = ["--model", tiny_file, "--data", "new.txt", "--steps", 40, "--average", 0.5]
    code, out, err = call(*arguments, "--watch", "--keep", "last")
    assert code == 0
    assert re.search(r"^kept +step 40 of 40, averaged$", out, re.MULTILINE)
    titles = re.findall(r"^((?:saved model, )?step \d+)$", err, re.MULTILINE)
    assert titles == ["step 0", "step 10", "step 30", "saved model, step 40"]
    first = tiny.tokenizer.decode(generate(tiny.model, random.Random(1), Sampling(0.8)))
    assert err.splitlines()[:2] == ["step 0", f"  {first or '(nothing)'}"]
    assert model_file.load("finetuned.safetensors").record.best_step is None


def test_watching_a_model_whose_logits_are_not_finite(call, tiny, tmp_path, new_text):
    model = GPT(
        tiny.model.config,
        {
            name: Matrix([[1e308] * p.shape[1]] * p.shape[0])
            for name, p in tiny.model.parameters.items()
        },
    )
    model_file.save(tmp_path / "m", model_file.SavedModel(model, tiny.tokenizer, ()))
    code, _, err = call("--model", "m", "--data", new_text, "--watch")
    assert code == 2
    assert err.count("\n") == 1
    assert "finite" in err
    assert "finetuned.safetensors is as it was" in err


def test_unknown_words_are_named(call, tiny_file, tmp_path):
    (tmp_path / "new.txt").write_text("the cat sneezes\nthe dog ran\nthe wug ran\n")
    code, out, err = call("--model", tiny_file, "--data", "new.txt")
    assert (code, out) == (2, "")
    assert "'sneezes'" in err
    assert "'wug'" in err
    assert "2 of 3" in err
    assert "--skip-unknown" in err
    assert not Path("finetuned.safetensors").exists()


def test_unknown_words_can_be_skipped(call, tiny, tiny_file, tmp_path):
    (tmp_path / "new.txt").write_text("the cat sneezes\nthe dog ran\nthe wug ran\n")
    arguments = ["--model", tiny_file, "--data", "new.txt", "--skip-unknown", "--steps", 4]
    code, out, _ = call(*arguments)
    assert code == 0
    assert "skipped     2 with words" in out
    trainer = Trainer(
        model_file.load(tiny_file).model,
        [tiny.tokenizer.encode_document("the dog ran")],
        Recipe(4, FINE_TUNING.batch_size, FINE_TUNING.lr, beta1=0.9, beta2=0.999),
        seed=42,
    )
    trainer.run()
    found = model_file.load("finetuned.safetensors").model.parameters
    for name, matrix in trainer.model.parameters.items():
        assert found[name].tobytes() == matrix.tobytes()


@pytest.mark.parametrize("skip", [[], ["--skip-unknown"]])
def test_nothing_known_at_all(call, tiny_file, tmp_path, skip):
    (tmp_path / "new.txt").write_text("colorless green ideas\n")
    code, _, err = call("--model", tiny_file, "--data", "new.txt", *skip)
    assert code == 2
    assert err.count("\n") == 1
    assert ("no sentence of new.txt is left" in err) == bool(skip)


def test_an_interrupted_fine_tuning_goes_on(call, tiny_file, new_text, monkeypatch):
    text = new_text.read_text() + "the wug\n"
    new_text.write_text(text)
    arguments = ["--model", tiny_file, "--data", new_text, "--steps", 20, "--skip-unknown"]
    assert call(*arguments, "--out", "whole", "--quiet")[0] == 0

    def power_cut(trainer, on_step=None):
        def stop(trainer):
            on_step(trainer)
            if trainer.step == 11:
                raise LookupError

        run(trainer, stop)

    run = Trainer.run
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", power_cut)
        with pytest.raises(LookupError):
            call(*arguments, "--checkpoint-every", 5)
    checkpoint = Checkpoint("finetuned.safetensors.checkpoint")
    assert checkpoint.step == 10
    assert len(checkpoint.task.earlier) == 1
    assert cli.main(["train", "--resume", "finetuned.safetensors.checkpoint", "--quiet"]) == 0
    assert Path("finetuned.safetensors").read_bytes() == Path("whole").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none"], "there is no model none; train one first"),
        (["--model", "new.txt"], "not a safetensors file"),
        (["--data", "none.txt"], "cannot read sentences from none.txt"),
        (["--out", "new.txt"], "the model (--out) and the sentences (--data)"),
        (["--out", "none/x"], "cannot write"),
        (["--lr", "0"], "--lr"),
        (["--steps", "0"], "--steps"),
        (["--weight-decay", "-1"], "--weight-decay"),
        (["--average", "1.01"], "--average must be a number from 0 to 1, not '1.01'"),
        (["--average", "nan"], "--average"),
        (["--average", "half"], "--average"),
    ],
)
def test_bad_input(call, tiny_file, new_text, arguments, message):
    before = new_text.read_bytes()
    defaults = ["--model", tiny_file, "--data", "new.txt"]
    code, out, err = call(*defaults, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert new_text.read_bytes() == before


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of the package's corpus, trained for a second."""
    out = tmp_path_factory.mktemp("trained") / "model.safetensors"
    assert cli.main(["train", "--preset", "classic", "--quiet", "--out", str(out)]) == 0
    return out


def test_the_questions_that_come_along(call, trained):
    assert call("--model", trained)[0] == 0
    saved = model_file.load("finetuned.safetensors")
    assert saved.record.data.name == "questions.txt"

    reader, rng = Reader(saved.model), random.Random(1)
    sentences = [saved.tokenizer.decode(generate(reader, rng, Sampling())) for _ in range(200)]
    first_words = grammar.QUESTION_SENTENCES.next_words("")
    questions = sum(s.split()[0] in first_words for s in sentences if s)
    assert questions >= 190
    accepted = sum(map(grammar.QUESTION_SENTENCES.accepts, sentences))
    assert accepted >= 30, "before, none was"
    fresh = grammar.questions(300, seed=7)
    assert mean_loss(saved, fresh) < mean_loss(model_file.load(trained), fresh) - 2.2
    held_out = corpus.read_sentences(corpus.default_path())[:300]
    assert mean_loss(saved, held_out) > mean_loss(model_file.load(trained), held_out) + 0.8
