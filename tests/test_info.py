"""`info`: what it says is what is in the file, for people and for programs."""

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from test_cli import assert_one_line, run, start

from llmhard import curves, model_file
from llmhard.recipe import THOROUGH, Recipe
from llmhard.training_record import CurvePoint, DataRecord, TrainingRecord

SMALL = ["--n-layer", "2", "--n-embd", "8", "--n-head", "2", "--block-size", "8"]


@pytest.fixture
def trained(tmp_path, sentences_file):
    """A folder with a model that `train` has made."""
    arguments = ["train", "--data", sentences_file, "--steps", 40, "--seed", 5, *SMALL]
    assert run(arguments, tmp_path)[0] == 0
    return tmp_path


def save(saved, path, *records):
    model_file.save(path, replace(saved, records=tuple(records)))


def sections(out):
    """The lines below each heading, without the margin."""
    found = {}
    for line in out.splitlines():
        if line and not line.startswith(" "):
            rows = found.setdefault(line, [])
        elif line.strip():
            rows.append(line[2:])
    return found


def test_it_shows_what_train_has_saved(trained):
    code, out, err = run(["info"], trained)
    assert (code, err) == (0, "")
    assert out.isascii()
    assert all(len(line) <= 80 and line == line.rstrip() for line in out.splitlines())
    title, *_ = shown = sections(out)
    path = trained / "model.safetensors"
    assert title == f"model.safetensors, {path.stat().st_size:,} bytes"
    assert list(shown) == [title, "configuration", "parameters", "training"]

    saved = model_file.load(path)
    config, record = saved.model.config, saved.record
    assert [line.split() for line in shown["configuration"]] == [
        ["tokenizer", "word"],
        *([name, str(size)] for name, size in asdict(config).items()),
    ]
    *tensors, total = (line.replace(" x ", "x").split() for line in shown["parameters"])
    assert {name: tuple(map(int, shape.split("x"))) for name, shape, _ in tensors} == {
        name: matrix.shape for name, matrix in saved.model.parameters.items()
    }
    counts = [int(count.replace(",", "")) for _, _, count in tensors]
    assert sum(counts) == config.n_parameters()
    assert total == ["total", f"{config.n_parameters():,}"]

    text = "\n".join(shown["training"])
    for expected in (
        "steps 40, batch_size 16, lr 0.006, ",
        "seed        5\n",
        "data        sentences.txt\n",
        "sentences   6\n",
        f"final loss  {record.final_loss:.4f} nats a token\n",
        "validation  -\n",
        "kept        step 40 of 40\n",
        f"version     {record.version}\n",
    ):
        assert expected in text
    assert len(record.curve) > 1
    assert out.endswith("\n\n" + curves.text(record.curve))


def test_json_is_the_same_for_programs(trained):
    code, out, err = run(["info", "--json", "model.safetensors"], trained)
    assert (code, err) == (0, "")
    content = json.loads(out)
    path = trained / "model.safetensors"
    saved = model_file.load(path)
    record = json.loads(json.dumps(asdict(saved.record)))
    assert content == {
        "file": "model.safetensors",
        "file_size": path.stat().st_size,
        "config": asdict(saved.model.config),
        "tokenizer": "word",
        "vocab_size": saved.tokenizer.vocab_size,
        "parameters": {
            name: {"shape": list(m.shape), "count": len(m.tobytes()) // 8}
            for name, m in saved.model.parameters.items()
        },
        "n_parameters": saved.model.config.n_parameters(),
        "training": [record | {"last_validation": None}],
    }


def test_every_training_has_its_place(tiny, tmp_path):
    data = DataRecord("first.txt", "0" * 64, 30_000, 3000)
    points = (CurvePoint(100, 3.25, 3.5), CurvePoint(17_000, 2.0, 2.125))
    first = TrainingRecord(THOROUGH, -3, 2.0625, data, points, "0.0.1")
    second = replace(
        first, recipe=Recipe(steps=7), data=replace(data, name="x y.txt"), curve=points[:1]
    )
    save(tiny, tmp_path / "m", first, second)
    shown = sections(run(["info", "m"], tmp_path)[1])
    one, two = ("\n".join(shown[f"training {i} of 2"]) for i in (1, 2))
    assert "recipe      thorough: steps 17,000, batch_size 16, " in one
    assert "recipe      steps 7, batch_size 1, " in two
    assert "seed        -3\n" in one
    assert "data        first.txt\n" in one
    assert "data        x y.txt\n" in two
    assert "sentences   30,000, of which 3,000 held out\n" in one
    assert "final loss  2.0625 nats a token\nvalidation  2.1250 nats a token\n" in one
    assert "validation  3.5000 nats a token\n" in two
    assert "17,000" in one
    assert "+---" in one
    assert "+---" not in two  # a curve of one point is none
    assert "kept        step 17,000 of 17,000\n" in one
    told = json.loads(run(["info", "m", "--json"], tmp_path)[1])["training"]
    assert [record["last_validation"] for record in told] == [2.125, 3.5]
    assert [record["data"]["name"] for record in told] == ["first.txt", "x y.txt"]


def test_the_step_that_the_model_is_from(tiny, tmp_path):
    points = (CurvePoint(0, 6.0, 6.5), CurvePoint(100, 3.25, 3.5), CurvePoint(200, 2.0, 3.75))
    recipe = Recipe(steps=200, average=0.6)
    record = replace(tiny.record, recipe=recipe, curve=points, best_step=100)
    save(tiny, tmp_path / "m", record)
    out = run(["info", "m"], tmp_path)[1]
    assert "validation  3.5000 nats a token (3.7500 at the end)\n" in out
    assert "kept        step 100 of 200, averaged, before the validation loss rose\n" in out
    (told,) = json.loads(run(["info", "m", "--json"], tmp_path)[1])["training"]
    assert (told["best_step"], told["last_validation"]) == (100, 3.75)
    save(tiny, tmp_path / "m", replace(record, best_step=99))
    code, out, err = run(["info", "m"], tmp_path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert "its best step 99 is not on its curve" in err


def test_a_long_name_is_not_broken(tiny, tmp_path):
    name = "-".join(["sentences"] * 20)
    record = replace(tiny.record, data=replace(tiny.record.data, name=name))
    save(tiny, tmp_path / "m", record)
    assert name in run(["info", "m"], tmp_path)[1]


def test_a_record_cannot_write_to_the_terminal(tiny, tmp_path):
    evil = "\x1b]0;owned\x07\n"
    data = replace(tiny.record.data, name=evil)
    save(tiny, tmp_path / "m", replace(tiny.record, data=data, version=evil))
    for flags in ([], ["--json"]):
        code, out, _ = run(["info", "m", *flags], tmp_path)
        assert code == 0
        assert "\x1b" not in out
        assert "\x07" not in out
    name = f"{evil}.safetensors"
    (tmp_path / name).write_bytes((tmp_path / "m").read_bytes())
    assert "\x1b" not in run(["info", name], tmp_path)[1]


@pytest.mark.parametrize(
    "points",
    [
        [CurvePoint(9, 2.0, None), CurvePoint(5, 1.0, None)],
        [CurvePoint(5, 2.0, None), CurvePoint(5, 1.0, None)],
        [CurvePoint(0, 2.0, None), CurvePoint(0, 1.0, None)],
        [CurvePoint(1, -1e308, None), CurvePoint(2, 1e308, None)],
    ],
)
def test_a_curve_that_cannot_be(tiny, tmp_path, points):
    save(tiny, tmp_path / "m", replace(tiny.record, curve=tuple(points)))
    code, out, err = run(["info", "m"], tmp_path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert "its metadata is damaged" in err


def test_files_that_are_no_models(trained, sentences_file):
    valid = (trained / "model.safetensors").read_bytes()
    (trained / "cut").write_bytes(valid[:-1])
    (trained / "empty").write_bytes(b"")
    for arguments, why in (
        (["none"], "train one first: python -m llmhard train"),
        ([sentences_file], "it is a text, not a safetensors file"),
        (["cut"], "not a safetensors file"),
        (["empty"], "not a safetensors file"),
        (["."], "folder"),
        ([""], ""),
        (["x" * 300], "too long"),
        (["model.safetensors", "cut"], "--help"),
        (["--bogus"], "--help"),
    ):
        for flags in ([], ["--json"]):
            code, out, err = run(["info", *flags, *arguments], trained)
            assert (code, out) == (2, "")
            assert_one_line(err)
            assert why in err


def test_a_checkpoint_is_named_as_one(tmp_path, sentences_file):
    arguments = ["--data", sentences_file, "--steps", 10**9, "--checkpoint-every", 5, *SMALL]
    training = start(["train", *arguments], tmp_path)
    while not (tmp_path / "model.safetensors.checkpoint").exists():
        assert training.poll() is None
        time.sleep(0.01)
    training.kill()
    training.communicate()
    code, out, err = run(["info", "model.safetensors.checkpoint"], tmp_path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert "it is a checkpoint" in err


def test_a_pipe_has_no_size(tiny_file, tmp_path):
    read, write = os.pipe()
    os.write(write, tiny_file.read_bytes())
    os.close(write)
    code, out, _ = run(["info", "/dev/stdin"], tmp_path, stdin=read)
    os.close(read)
    assert code == 0
    assert out.startswith("/dev/stdin\n\nconfiguration\n")


def test_output_that_leads_nowhere(tiny_file, tmp_path):
    for flags in ([], ["--json"]):
        arguments = ["info", tiny_file, *flags]
        with Path("/dev/full").open("w") as full:
            code, _, err = run(arguments, tmp_path, stdout=full)
        assert code == 2
        assert_one_line(err)
        code, _, err = run(arguments, tmp_path, stdout=None, preexec_fn=lambda: os.close(1))
        assert (code, err) == (0, "")
