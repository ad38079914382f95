"""What the commands share: plain arguments, likely slips, settings under their options' names."""

import json
import shlex
import sys
from dataclasses import fields

import pytest
from conftest import SENTENCES
from test_cli import assert_one_line, run

from llmhard import checkpoint, cli, model_file
from llmhard.cli import common
from llmhard.model import Config
from llmhard.recipe import Recipe
from llmhard.sampler import Sampling

QUICK = {
    "sample": ["-n", "1"],
    "info": [],
    "evaluate": ["--fresh", "10", "--samples", "10", "--pairs", "10"],
    "finetune": ["--steps", "2", "--quiet"],
}


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run the program in this process and an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def main(*arguments):
        capsys.readouterr()
        return cli.main([str(argument) for argument in arguments]), *capsys.readouterr()

    return main


@pytest.fixture
def refuses(call):
    """Check that bad input gets one line and exit code 2; returns the line."""

    def check(*arguments):
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert_one_line(err)
        return err

    return check


@pytest.fixture
def mine(tmp_path):
    """The text that the tiny model was trained on, and others, where they are looked for."""
    (tmp_path / "sentences.txt").write_text("\n".join(SENTENCES) + "\n")
    return ["--data", "sentences.txt"]


# ---------------------------------------------------------------- plain arguments


@pytest.mark.parametrize("command", QUICK)
def test_the_model_is_a_plain_argument(call, tiny_file, tmp_path, mine, command):
    (tmp_path / "model.safetensors").write_bytes(tiny_file.read_bytes())
    (tmp_path / "m.safetensors").write_bytes(tiny_file.read_bytes())
    data = mine if command in ("evaluate", "finetune") else []
    seed = [] if command == "info" else ["--seed", "3"]
    outputs = []
    for model in (
        ["m.safetensors"],
        ["--model", "m.safetensors"],
        ["--model=m.safetensors"],
    ):
        for options in ([*model, *data, *QUICK[command], *seed], [*data, *seed, *model]):
            code, out, err = call(command, *options, *QUICK[command])
            assert (code, err) == (0, "")
            outputs.append(out)
    assert len(set(outputs)) == 1
    if command != "finetune":
        assert call(command, *data, *seed, *QUICK[command])[0] == 0, "the default"


@pytest.mark.parametrize("command", QUICK)
@pytest.mark.parametrize("models", [["a", "--model", "b"], ["--model", "b", "a"]])
def test_the_model_is_given_once(refuses, command, models):
    assert "the model is given twice, as " in refuses(command, *models)


def test_of_an_option_the_last_one_counts(refuses):
    assert "there is no model b.safetensors" in refuses(
        "info", "--model", "a.safetensors", "--model", "b.safetensors"
    )


def test_evaluate_as_people_type_it(call, tiny_file, tmp_path, mine):
    (tmp_path / "m.safetensors").write_bytes(tiny_file.read_bytes())
    _, out, _ = call("evaluate", "m.safetensors", "--json", *mine, *QUICK["evaluate"])
    assert json.loads(out)["model"] == "m.safetensors"


# ---------------------------------------------------------------- likely slips


def advice(err):
    """The words of the command that is advised at the end."""
    return shlex.split(err.rstrip("\n").rpartition(": llmhard ")[2])


@pytest.mark.parametrize("command", QUICK)
def test_words_in_place_of_a_model(refuses, command):
    for words in ("the cat", "does she see it?", "  the cat "):
        assert advice(refuses(command, words)) == ["sample", "--prompt", words]
    err = refuses(command, "cat")
    assert "train one first: llmhard train; " in err
    assert advice(err) == ["sample", "--prompt", "cat"]


@pytest.mark.parametrize("command", QUICK)
def test_a_text_in_place_of_a_model(refuses, tmp_path, command):
    for name in ("sentences.txt", "my sentences.txt"):
        (tmp_path / name).write_text("the cat sat\n")
        err = refuses(command, name)
        assert f"cannot read the model {name}: it is a text" in err
        assert advice(err) == ["train", "--data", name]
    (tmp_path / "binary").write_bytes(b"\0\1\2")
    assert "not a safetensors file" in refuses(command, "binary")


@pytest.mark.parametrize("command", QUICK)
def test_a_checkpoint_in_place_of_a_model(call, refuses, tmp_path, command):
    texts = [
        f"the {word} sat" for word in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    ]
    (tmp_path / "t.txt").write_text("\n".join(texts))
    saved = checkpoint.save
    small = ["--n-embd", "4", "--n-head", "2", "--n-layer", "1", "--steps", "4", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:

        def stop(*given):
            saved(*given)
            raise LookupError

        patch.setattr(checkpoint, "save", stop)
        with pytest.raises(LookupError):
            call("train", "--data", "t.txt", *small, "--checkpoint-every", "2")
    (name,) = (path.name for path in tmp_path.glob("*checkpoint*"))
    err = refuses(command, name)
    assert "it is a checkpoint" in err
    assert advice(err) == ["train", "--resume", name]
    assert call(*advice(err))[0] == 0


@pytest.mark.parametrize("command", QUICK)
def test_a_mistyped_model(refuses, tiny_file, tmp_path, command):
    (tmp_path / "models").mkdir()
    for name in ("cats.safetensors", "models/two words.safetensors"):
        (tmp_path / name).write_bytes(tiny_file.read_bytes())
    for typed in ("cat.safetensors", "cats", "cats.safetensor"):
        assert refuses(command, typed).endswith("; did you mean cats.safetensors?\n")
    err = refuses(command, "models/twowords.safetensors")
    assert err.endswith("; did you mean 'models/two words.safetensors'?\n")
    assert "train one first: llmhard train" in refuses(command)
    assert "train one first: llmhard train" in refuses(command, "models/nothing-like-it")


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/lib/python3/site-packages/llmhard/__main__.py", "python -m llmhard"),
        ("/home/me/.local/bin/llmhard", "llmhard"),
        ("llmhard", "llmhard"),
        ("/usr/lib/python3/site-packages/pytest/__main__.py", "llmhard"),
        ("", "llmhard"),
    ],
)
def test_advice_names_the_program_as_it_was_called(refuses, monkeypatch, called, name):
    monkeypatch.setattr(sys, "argv", [called])
    assert common.program() == name
    assert f": {name} train\n" in refuses("info")
    assert f" {name} info --help)" in refuses("info", "--bogus")
    assert f": {name} workbook my-gpt\n" in refuses("check")


def test_the_module_says_how_it_is_called(tmp_path):
    assert ": python -m llmhard train\n" in run(["sample"], tmp_path)[2]


# ---------------------------------------------------------------- mistyped commands and options


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "there is no command 'trian'; did you mean train?"),
        (["evalute", "m"], "there is no command 'evalute'; did you mean evaluate?"),
        (["fine-tune"], "did you mean finetune?"),
        (["learn"], "there is no command 'learn'; choose from train, sample, "),
        (["train", "--step", "x"], "--steps"),
        (["train", "--stpes", "5"], "there is no option --stpes; did you mean --steps? "),
        (["train", "--stpes=5"], "there is no option --stpes; did you mean --steps? "),
        (["train", "--n_embd", "5"], "did you mean --n-embd? (see llmhard train --help)"),
        (["sample", "--temprature", "1"], "did you mean --temperature? "),
        (["evaluate", "m", "--jsn"], "did you mean --json? "),
        (["info", "--zzzzz"], "there is no option --zzzzz (see llmhard info --help)"),
        (["--verison"], "did you mean --version? (see llmhard --help)"),
        (["train", "--preset", "clasic"], "there is no 'clasic'; did you mean classic?"),
        (["train", "--tokenizer", "bpe"], "there is no 'bpe'; choose from word, char"),
        (["sample", "m", "the", "cat"], "'the' is one argument too many; what has spaces"),
        (["check", "03", "a", "b"], "'b' is one argument too many"),
        (["sample", "--t", "1"], "ambiguous option: --t could match --temperature, --top-k"),
        ([], "COMMAND"),
    ],
)
def test_a_slip_of_the_fingers(refuses, arguments, says):
    err = refuses(*arguments)
    assert says in err
    assert err.endswith("--help)\n")


def test_an_option_can_be_abbreviated(call, tiny_file):
    plain = call("sample", tiny_file, "--temperature", 3, "--seed", 1)
    assert plain[0] == 0
    for short in ("--temp", "--te"):
        assert call("sample", tiny_file, short, 3, "--se", 1) == plain


# ---------------------------------------------------------------- the names of settings


@pytest.mark.parametrize("kind", [Config, Recipe, Sampling])
def test_settings_have_their_options_names(kind):
    """Whatever value of whatever field is refused, the message names the option."""
    options = {
        "n_layer", "n_embd", "n_head", "block_size", "steps", "batch_size", "lr", "warmup",
        "weight_decay", "average", "temperature", "top_k", "top_p",
    }  # fmt: skip
    needed = {"vocab_size": 10} if kind is Config else {}
    tried = 0
    for field in fields(kind):
        if field.name not in options:
            continue
        for value in (-1, -0.5, 1e9, float("nan"), 3):
            try:
                kind(**needed | {field.name: value})
            except ValueError as refusal:
                said = common.in_options(str(refusal))
            else:
                continue
            assert f"--{field.name.replace('_', '-')}" in said
            assert not any(name in said for name in options if "_" in name)
            tried += 1
    assert tried


def test_what_only_looks_like_a_setting_stays():
    for message in (
        "the word 'n_head' is not in the vocabulary",
        "the word 'lr' is not in the vocabulary; did you mean 'top-k'?",
        "its average length is 3, after 5 steps",
        "cannot read my_lr.txt",
        "--n-head is a whole number",
    ):
        assert common.in_options(message) == message
    assert common.in_options("weight_decay is at least 0 and at most 1 / lr, not 5.0") == (
        "--weight-decay is at least 0 and at most 1 / --lr, not 5.0"
    )


@pytest.mark.parametrize("number", ["-1", "nan", "inf", "-inf", "x", "", "0,5", "1e999"])
def test_numbers_are_checked_by_the_parser(refuses, number):
    for kind in (common.positive, common.not_negative, common.share):
        with pytest.raises(common.argparse.ArgumentTypeError, match="a number "):
            kind(number)
    err = refuses("evaluate", f"--temperature={number}")
    assert "--temperature" in err
    assert "at least 0" in err


def test_a_model_named_like_a_word(tiny_file, call, tmp_path):
    (tmp_path / "the cat").write_bytes(tiny_file.read_bytes())
    assert call("info", "the cat")[0] == 0
    assert model_file.load(tmp_path / "the cat").model.config.n_layer == 1
