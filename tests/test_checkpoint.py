"""Checkpoints: whatever interrupts a training, it ends with the same file."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import ENV, RECIPE, SIZES

from llmhard import checkpoint, cli, corpus, model_file, tensor_file
from llmhard.adam import Adam
from llmhard.checkpoint import Checkpoint, Task
from llmhard.cli.paths import checkpoint_path
from llmhard.model_file import ModelFileError
from llmhard.recipe import Recipe
from llmhard.trainer import Trainer
from llmhard.training_record import DataRecord


@pytest.fixture(scope="module")
def uninterrupted(text, tmp_path_factory):
    """The model file of a training that ran through."""
    out = tmp_path_factory.mktemp("whole") / "model.safetensors"
    arguments = ["train", "--data", str(text), "--quiet", "--out", str(out), *RECIPE, *SIZES]
    assert cli.main(arguments) == 0
    return out.read_bytes()


def llmhard(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "llmhard", *map(str, arguments)],
        cwd=cwd, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


class Stopped(BaseException):
    """The power is gone."""


# ---------------------------------------------------------------- interrupted and resumed


@pytest.mark.parametrize("every", [1, 7, 30, 59])
@pytest.mark.parametrize("at", [7, 30, 41, 59])
def test_stopped_after_any_step(monkeypatch, tmp_path, text, uninterrupted, every, at):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--data", str(text), "--quiet", *RECIPE, *SIZES]
    steps, whole_step = 0, Adam.step

    def power_cut(self, lr, tape=None):
        nonlocal steps
        if steps == at:
            raise Stopped
        steps += 1
        whole_step(self, lr, tape)

    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", power_cut)
        with pytest.raises(Stopped):
            cli.main([*arguments, "--checkpoint-every", str(every)])
    assert not Path("model.safetensors").exists()
    if at < every:
        assert list(tmp_path.iterdir()) == []
        return
    assert Checkpoint("model.safetensors.checkpoint").step == at - at % every
    assert cli.main(["train", "--resume", "model.safetensors.checkpoint", "--quiet"]) == 0
    assert Path("model.safetensors").read_bytes() == uninterrupted
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_stopped_while_a_checkpoint_is_written(monkeypatch, tmp_path, text, uninterrupted, moment):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--data", str(text), "--quiet", *RECIPE, *SIZES]
    count = 0

    def power_cut(*given):
        nonlocal count
        count += 1
        if count == (5 if moment == "fsync" else 3):  # the folder is synced as well
            raise Stopped
        return original(*given)

    with monkeypatch.context() as patch:
        if moment == "write":
            original = tensor_file.serialize
            patch.setattr(tensor_file, "serialize", power_cut)
        elif moment == "fsync":
            original = os.fsync
            patch.setattr(os, "fsync", power_cut)
        else:
            original = Path.replace
            patch.setattr(Path, "replace", power_cut)
        with pytest.raises(Stopped):
            cli.main([*arguments, "--checkpoint-every", "10"])
    assert Checkpoint("model.safetensors.checkpoint").step == 20
    assert cli.main(["train", "--resume", "model.safetensors.checkpoint", "--quiet"]) == 0
    assert Path("model.safetensors").read_bytes() == uninterrupted


def test_kill_dash_nine_at_any_moment(tmp_path, text):
    """Long enough to be hit while writing: a checkpoint after every step."""
    arguments = ["train", "--data", text, "--quiet", "--steps", 400, *SIZES]
    whole = llmhard(*arguments, "--out", "whole.safetensors", cwd=tmp_path)
    assert whole.wait(60) == 0
    rng = random.Random(1)
    process = llmhard(*arguments, "--checkpoint-every", 1, cwd=tmp_path)
    kills = 0
    while kills < 8:
        while process.poll() is None and not (tmp_path / "model.safetensors.checkpoint").exists():
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.06))
        process.kill()
        process.communicate()
        if (tmp_path / "model.safetensors").exists():
            break
        kills += 1
        resume = [
            "train",
            "--resume",
            "model.safetensors.checkpoint",
            "--checkpoint-every",
            1,
            "--quiet",
        ]
        process = llmhard(*resume, cwd=tmp_path)
        time.sleep(0.25)  # to load
    out, err = process.communicate(timeout=60)
    assert kills > 0
    assert (out, err) == ("", "")
    ends = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("model", "whole")]
    assert ends[0] == ends[1]


def test_ctrl_c_saves_first(tmp_path, text):
    arguments = ["train", "--data", text, "--steps", 30_000, *SIZES]
    whole = llmhard(*arguments, "--out", "whole.safetensors", cwd=tmp_path)
    process = llmhard(*arguments, cwd=tmp_path)
    while "step 3,000" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after step 3," in err
    assert "to go on: python -m llmhard train --resume model.safetensors.checkpoint" in err
    assert "Traceback" not in err
    resumed = llmhard("train", "--resume", "model.safetensors.checkpoint", cwd=tmp_path)
    out, err = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, err
    assert "resuming    model.safetensors.checkpoint, after step 3," in out
    assert whole.wait(60) == 0
    ends = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("model", "whole")]
    assert ends[0] == ends[1]
    assert not (tmp_path / "model.safetensors.checkpoint").exists()


# ---------------------------------------------------------------- what resuming refuses


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, text):
    """The checkpoint of a training that was stopped after 20 of 60 steps."""
    folder = tmp_path_factory.mktemp("stopped")
    out = folder / "model.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        written = checkpoint.save

        def power_cut(*given):
            written(*given)
            raise Stopped

        patch.setattr(checkpoint, "save", power_cut)
        arguments = ["train", "--data", str(text), "--quiet", "--out", str(out), *RECIPE, *SIZES]
        with pytest.raises(Stopped):
            cli.main([*arguments, "--checkpoint-every", "20"])
    return checkpoint_path(out)


@pytest.fixture
def refuses(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def check(*arguments):
        assert cli.main(["train", *map(str, arguments)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("llmhard: ")
        assert err.count("\n") == 1
        assert not (tmp_path / "model.safetensors").exists()
        return err

    return check


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--steps", 5), ("--lr", 0.1), ("--seed", 1), ("--batch-size", 2), ("--n-embd", 16),
        ("--preset", "classic"), ("--warmup", 0), ("--weight-decay", 0), ("--average", 0),
        ("--keep", "last"),
    ],
)  # fmt: skip
def test_settings_cannot_change_on_the_way(refuses, stopped, flag, value):
    assert f"leave out {flag}" in refuses("--resume", stopped, flag, value)


def test_other_sentences(refuses, stopped, tmp_path):
    (tmp_path / "other.txt").write_text("the cat saw the hen\n")
    line = refuses("--resume", stopped, "--data", "other.txt", "--out", "model.safetensors")
    assert "not those that the training run began with" in line


def test_the_sentences_under_another_name(stopped, text, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved.txt").write_bytes(text.read_bytes())
    (tmp_path / "c").write_bytes(stopped.read_bytes())
    arguments = ["--resume", "c", "--data", "moved.txt", "--out", "m", "--quiet"]
    assert cli.main(["train", *arguments]) == 0
    assert Path("m").read_bytes() == uninterrupted
    assert Path("c").read_bytes() == stopped.read_bytes(), "this run did not write it"


def test_a_model_is_no_checkpoint_and_a_checkpoint_no_model(refuses, stopped, tiny_file):
    assert "it is not a checkpoint" in refuses("--resume", tiny_file)
    with pytest.raises(ModelFileError, match="train --resume"):
        model_file.load(stopped)


def test_no_checkpoint_at_all(refuses, tmp_path):
    assert "cannot resume from none: No such file" in refuses("--resume", "none")
    (tmp_path / "text").write_text("hello")
    assert "not a safetensors file" in refuses("--resume", "text")
    assert "cannot resume" in refuses("--resume", tmp_path)


def described(content):
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return json.loads(header["__metadata__"]["llmhard-checkpoint"]), header, content[8 + length :]


def with_description(content, description):
    _, header, data = described(content)
    header["__metadata__"] = {"llmhard-checkpoint": json.dumps(description)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def load_or_refuse(path):
    refusal = "fine"
    try:
        return Checkpoint(path)
    except ModelFileError as error:
        refusal = str(error)
    assert refusal.isprintable()
    return None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 90) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=200)
@given(st.data())
def test_any_json_anywhere(tmp_path_factory, stopped, data):
    content = stopped.read_bytes()
    description = described(content)[0]
    place, key = description, data.draw(st.sampled_from(sorted(description)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
    place[key] = data.draw(json_values)
    path = tmp_path_factory.getbasetemp() / "changed.checkpoint"
    path.write_bytes(with_description(content, description))
    loaded = load_or_refuse(path)
    if loaded is None:
        return
    documents = [[0, 1, 2, 0], [0, 3, 0]]
    trainer = loaded.trainer(documents, documents)
    assert trainer.step == 20


@settings(max_examples=100)
@given(st.data())
def test_damaged_bytes(tmp_path_factory, stopped, data):
    content = bytearray(stopped.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, min(4000, len(content) - 1)))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.checkpoint"
    path.write_bytes(content)
    load_or_refuse(path)


def test_the_best_so_far_goes_on(tiny, tmp_path):
    """The best step is before the interruption, and the end must not have other parameters."""
    documents = [tiny.tokenizer.encode_document(s) for s in ("the cat sat", "a cat ran home")]
    held_out = [tiny.tokenizer.encode_document("a bird sings")]
    task = Task(tiny.tokenizer, (), DataRecord("x", "0", 2, 0), None, True, "x")
    ends = []
    for interrupted in (False, True):
        model = model_file.GPT.initialize(tiny.model.config, random.Random(1))
        trainer = Trainer(model, documents, Recipe(200), 1, held_out, keep="best")

        def save(trainer):
            if trainer.step == 123:
                checkpoint.save(tmp_path / "c", task, trainer)
                raise Stopped

        if interrupted:
            with pytest.raises(Stopped):
                trainer.run(save)
            trainer = Checkpoint(tmp_path / "c").trainer(documents, held_out)
        trainer.run()
        ends.append((trainer.curve, [p.tobytes() for p in trainer.parameters]))
        assert 0 < checkpoint.record(task.data, trainer, "x").best_step < 100
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "\x1b[31m\n"])
def test_a_checkpoint_whose_text_has_no_possible_name(stopped, tmp_path, refuses, name):
    file = tensor_file.TensorFile(stopped)
    path = tmp_path / "changed.checkpoint"
    description = file.description("llmhard-checkpoint") | {"data_path": name}
    tensor_file.write(path, "llmhard-checkpoint", description, file.matrices())
    assert "say where they are with --data" in refuses("--resume", path)


def test_averages_belong_to_the_steps_that_are_averaged(stopped, tmp_path):
    file = tensor_file.TensorFile(stopped)
    matrices, path = file.matrices(), tmp_path / "changed.checkpoint"
    assert Checkpoint(stopped).recipe.average == 0.5  # and 20 of 60 steps are done
    for share, begun in ((0.6, False), (0.7, True)):
        description = file.description("llmhard-checkpoint")
        description["recipe"]["average"] = share
        tensor_file.write(path, "llmhard-checkpoint", description, matrices)
        if begun:
            with pytest.raises(ModelFileError, match=r"wte\.weight is missing"):
                Checkpoint(path)
        else:
            assert Checkpoint(path).trainer([[0, 1, 0]], []).average is None


def test_a_checkpoint_of_the_first_versions(stopped, tmp_path):
    file = tensor_file.TensorFile(stopped)
    description, path = file.description("llmhard-checkpoint"), tmp_path / "old.checkpoint"
    del description["recipe"]["average"], description["keep"]
    names = ("model.", "m.", "v.", "losses")
    matrices = {name: m for name, m in file.matrices().items() if name.startswith(names)}
    tensor_file.write(path, "llmhard-checkpoint", description, matrices)
    loaded = Checkpoint(path)
    assert loaded.recipe.average == 0.0
    trainer = loaded.trainer([[0, 1, 0]], [[0, 2, 0]])
    assert (trainer.keep, trainer.best, trainer.average) == ("last", None, None)


def test_tensors_that_do_not_fit(stopped, tmp_path):
    file = tensor_file.TensorFile(stopped)
    description, matrices = file.description("llmhard-checkpoint"), file.matrices()
    for name in ("model.wte.weight", "m.wpe.weight", "v.lm_head.weight", "best.wte.weight"):
        without = {key: matrix for key, matrix in matrices.items() if key != name}
        path = tmp_path / "bad.checkpoint"
        tensor_file.write(path, "llmhard-checkpoint", description, without)
        with pytest.raises(ModelFileError, match="missing"):
            Checkpoint(path)
    for more in ("w.wte.weight", "losses2", "model.more", "average.wte.weight"):
        tensor_file.write(
            path, "llmhard-checkpoint", description, matrices | {more: matrices["losses"]}
        )
        with pytest.raises(ModelFileError, match="do not fit"):
            Checkpoint(path)
    short = {key: matrix for key, matrix in matrices.items() if key != "losses"}
    tensor_file.write(path, "llmhard-checkpoint", description, short)
    with pytest.raises(ModelFileError, match="not in order"):
        Checkpoint(path)


# ---------------------------------------------------------------- in code


@settings(max_examples=25)
@given(
    recipe=st.builds(
        Recipe,
        steps=st.integers(1, 12),
        batch_size=st.integers(1, 4),
        average=st.sampled_from([0.0, 0.4, 1.0]),
    ),
    seed=st.integers(0, 99),
    keep=st.sampled_from(["best", "last"]),
    data=st.data(),
)
def test_every_training_goes_on(tmp_path_factory, tiny, recipe, seed, keep, data):
    path = tmp_path_factory.getbasetemp() / "any.checkpoint"
    at = data.draw(st.integers(1, recipe.steps))
    documents = [tiny.tokenizer.encode_document(s) for s in ("the cat sat", "a cat ran home")]
    record = DataRecord("x", corpus.fingerprint(["x"]), 2, 0)
    task = Task(tiny.tokenizer, tiny.records, record, None, True, "x")

    def new_trainer():
        saved = model_file.GPT(
            tiny.model.config,
            {
                name: tensor_file.Matrix.frombytes(p.tobytes(), *p.shape)
                for name, p in tiny.model.parameters.items()
            },
        )
        return Trainer(saved, documents, recipe, seed, documents[:1], keep=keep)

    def save(trainer):
        if trainer.step == at:
            checkpoint.save(path, task, trainer)

    whole = new_trainer()
    whole.run(save)
    loaded = Checkpoint(path)
    assert loaded.task == Task(loaded.task.tokenizer, tiny.records, record, None, True, "x")
    assert loaded.task.tokenizer.words == tiny.tokenizer.words
    again = loaded.trainer(documents, documents[:1])
    again.run()
    assert again.losses == whole.losses
    assert again.curve == whole.curve
    assert [p.tobytes() for p in again.parameters] == [p.tobytes() for p in whole.parameters]
