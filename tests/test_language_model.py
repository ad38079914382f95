"""llmhard.train and llmhard.load: the three-line face of the package, and what it shows."""

import doctest
import inspect
import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import types
import warnings
import webbrowser
from dataclasses import fields
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser import chromium
from conftest import SENTENCES

import llmhard
from llmhard import (
    attention,
    checkpoint,
    cli,
    drawing,
    graphs,
    language_model,
    next_words,
    preparation,
    progress,
)
from llmhard.film import Film
from llmhard.language_model import LanguageModel
from llmhard.layers import linear, rmsnorm, softmax
from llmhard.model import GPT, Config, KVCache
from llmhard.preparation import prepare, text_of
from llmhard.recipe import CLASSIC
from llmhard.sampler import Sampling
from llmhard.tokenizer import BOS, CharTokenizer, Tokenizer
from llmhard.trainer import sequence_loss

CHECKOUT = Path(llmhard.__file__).parents[1]
SMALL = {"preset": "classic", "n_layer": 1, "n_embd": 8, "n_head": 2, "progress": False}
OPTIONS = ["--preset", "classic", "--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--quiet"]
NAMES = Path(__file__).parent / "names.txt"


@pytest.fixture
def model(tiny):
    return LanguageModel.of(tiny)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a text of fifty sentences."""
    monkeypatch.chdir(tmp_path)
    sentences = [f"{sentence} {letter}" for sentence in SENTENCES for letter in "abcdefgh"]
    (tmp_path / "t.txt").write_text("\n".join(sentences))
    return tmp_path


# ---------------------------------------------------------------- the same as the command line


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"steps": 7}, ["--steps", "7"]),
        ({"steps": 5, "seed": -3, "film": 3}, ["--steps", "5", "--seed", "-3", "--film", "3"]),
        ({"steps": 30, "film": True}, ["--steps", "30", "--film"]),
        ({"steps": 3, "tokenizer": "char"}, ["--steps", "3", "--tokenizer", "char"]),
        (
            {"steps": 4, "lr": 1, "batch_size": 2, "warmup": 1, "average": 0.5, "keep": "last"},
            ["--steps", "4", "--lr", "1", "--batch-size", "2", "--warmup", "1", "--average", "0.5",
             "--keep", "last"],
        ),
        ({"steps": 3, "block_size": 4, "threads": 1}, ["--steps", "3", "--block-size", "4"]),
    ],
)  # fmt: skip
def test_it_trains_the_model_that_the_command_line_trains(settings, options):
    with warnings.catch_warnings(record=True):
        llmhard.train("t.txt", **SMALL | settings).save("python.safetensors")
    out = ["--out", "shell.safetensors"]
    assert cli.main(["train", "t.txt", *OPTIONS, *options, *out]) == 0
    for end in ("", ".film"):
        files = [Path(f"{name}.safetensors{end}") for name in ("python", "shell")]
        assert len({file.exists() for file in files}) == 1
        if files[0].exists():
            assert files[0].read_bytes() == files[1].read_bytes()


def test_a_list_trains_the_same_parameters_as_a_file(folder):
    sentences = (folder / "t.txt").read_text().split("\n")
    models = [
        llmhard.train(text, steps=5, **SMALL)
        for text in ("t.txt", Path("t.txt"), sentences, iter(sentences), ["\n".join(sentences)])
    ]
    weights = [[p.data for p in model.gpt.parameters.values()] for model in models]
    assert all(other == weights[0] for other in weights[1:])
    assert models[2].records[0].data.sha256 == models[0].records[0].data.sha256
    models[2].save("list.safetensors")
    assert llmhard.load("list.safetensors").records == models[2].records


def test_without_a_text_it_learns_the_bundled_one():
    model = llmhard.train(steps=1, **SMALL)
    assert {"seven", "ducks", "swim"} <= set(model.tokenizer.words)
    assert model.records[0].data.sentences == 30_000


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"n": 4}, ["-n", "4"]),
        ({"prompt": "The big", "temperature": 1.5}, ["-n", "1", "--prompt", "The big",
                                                     "--temperature", "1.5"]),
        ({"n": 3, "top_k": 3, "top_p": 0.9}, ["-n", "3", "--top-k", "3", "--top-p", "0.9"]),
        ({"temperature": 0}, ["-n", "1", "--temperature", "0"]),
    ],
)  # fmt: skip
def test_it_writes_what_the_command_line_writes(model, tiny_file, capsys, settings, options):
    assert cli.main(["sample", str(tiny_file), "--seed", "7", *options]) == 0
    assert model.sample(seed=7, **settings) == capsys.readouterr().out.splitlines()


def test_without_a_seed_it_writes_something_else_each_time(model):
    assert len({tuple(model.sample(n=8, temperature=3)) for _ in range(5)}) > 1


def test_the_defaults_are_those_of_the_command_line():
    defaults = {
        name: parameter.default
        for function in (llmhard.train, LanguageModel.sample)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    sizes = {field.name: field.default for field in fields(Config) if field.name != "vocab_size"}
    expected = sizes | vars(Sampling()) | {
        "tokenizer": preparation.DEFAULT_TOKENIZER,
        "preset": preparation.DEFAULT_PRESET,
    }  # fmt: skip
    assert {name: defaults[name] for name in expected} == expected
    assert inspect.signature(llmhard.train).parameters["seed"].default == preparation.DEFAULT_SEED


# ---------------------------------------------------------------- the same mistakes


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        (lambda _: llmhard.train("no.txt"), ["train", "no.txt"], FileNotFoundError),
        (lambda _: llmhard.train("."), ["train", "."], IsADirectoryError),
        (lambda _: llmhard.train("empty.txt"), ["train", "empty.txt"], ValueError),
        (lambda _: llmhard.train("binary"), ["train", "binary"], ValueError),
        (lambda _: llmhard.load("none"), ["sample", "none.safetensors"], FileNotFoundError),
        (lambda _: llmhard.load("binary"), ["sample", "binary"], ValueError),
        (lambda _: llmhard.load("."), ["sample", "."], OSError),
        (lambda m: m.sample("the cow"), ["sample", "tiny.safetensors", "--prompt", "the cow"],
         ValueError),
        (lambda m: m.sample("the " * 9), ["sample", "tiny.safetensors", "--prompt", "the " * 9],
         ValueError),
    ],
)  # fmt: skip
def test_a_mistake_has_the_command_lines_message(tiny_file, capsys, model, call, arguments, error):
    Path("empty.txt").write_text(" \n\n")
    Path("binary").write_bytes(b"\0\1\2")
    Path("tiny.safetensors").write_bytes(tiny_file.read_bytes())
    with pytest.raises(error) as caught:
        call(model)
    assert cli.main(arguments) == 2
    ours = str(caught.value).partition("; train one")[0].partition("; did you")[0]
    theirs = capsys.readouterr().err.removeprefix("llmhard: ").rstrip("\n")
    assert ours.replace("none", "none.safetensors", 1) in theirs or ours in theirs


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 0}, "steps is a whole number of at least 1, not 0"),
        ({"steps": 1.5}, "steps is a whole number of at least 0, not 1.5"),
        ({"lr": 0}, "lr is a number above 0, not 0.0"),
        ({"lr": "1"}, "lr is a number above 0, not '1'"),
        ({"average": True}, "average is at least 0 and at most 1, not True"),
        ({"weight_decay": -1}, "weight_decay is at least 0 and at most 1 / lr, not -1.0"),
        ({"n_head": 3}, "n_head must divide n_embd"),
        ({"n_embd": 0}, "n_embd must be a whole number of at least 1, not 0"),
        ({"n_embd": 40_000}, "parameters is too large to train here"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"seed": "a"}, "seed must be a whole number, not 'a'"),
        ({"threads": 0}, "threads must be a whole number of at least 1, not 0"),
        ({"film": 1}, "a film has 2 to 1,000 snapshots, not 1"),
        ({"tokenizer": "words"}, "tokenizer: there is no 'words'; did you mean word?"),
        ({"tokenizer": Tokenizer}, "tokenizer: there is no "),
        ({"preset": "clasic"}, "preset: there is no 'clasic'; did you mean classic?"),
        ({"keep": "worst"}, "keep: there is no 'worst'; choose from best, last"),
        ({"keep": "best"}, "keep='best' needs held-out sentences to find the best step with"),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong(settings, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        llmhard.train(SENTENCES, **SMALL | settings)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ([], ValueError, "cannot learn from these sentences: there are no sentences in it"),
        (["", " "], ValueError, "there are no sentences in it"),
        (["a\x00b"], ValueError, "it has the control character"),
        (["a\ud800b"], ValueError, "it has the control character '\\ud800'"),
        (["a", 5], TypeError, "a sentence is a string, not 5"),
        (5, TypeError, "a text is a file's name or a list of sentences, not 5"),
        (b"a.txt", TypeError, "a text is a file's name or a list of sentences, not b'a.txt'"),
        ("the cat\nthe dog", ValueError, "llmhard.train(text.splitlines())"),
        ("the cat sat", FileNotFoundError, "for sentences, give a list: ['the cat sat']"),
    ],
)
def test_what_is_no_text(text, error, says):
    with pytest.raises(error, match=re.escape(says)):
        llmhard.train(text, steps=1, **SMALL)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m: m.sample(0.8), TypeError, "the prompt is a string, not 0.8"),
        (lambda m: m.sample(n=0), ValueError, "n must be a whole number of at least 1, not 0"),
        (lambda m: m.sample(temperature=-1), ValueError, "temperature is a number of at least 0"),
        (lambda m: m.sample(temperature="1"), TypeError, "temperature is a number, not '1'"),
        (lambda m: m.sample(temperature=math.nan), ValueError, "temperature is a number of at lea"),
        (lambda m: m.sample(top_k=-1), ValueError, "top_k must be a whole number of at least 0"),
        (lambda m: m.sample(top_k=1.5), ValueError, "top_k must be a whole number of at least 0"),
        (lambda m: m.sample(top_p=0), ValueError, "top-p is above 0 and at most 1"),
        (lambda m: m.sample(seed="x"), ValueError, "seed must be a whole number, not 'x'"),
        (lambda m: m.next_words(["the"]), TypeError, "the text is a string, not ['the']"),
        (lambda m: m.next_words("a cow"), ValueError, "the word 'cow' is not in the vocabulary"),
        (lambda m: m.loss("the " * 8), ValueError, "the text has 8 tokens; with a context of 8 t"),
        (lambda m: m.attention("the " * 8), ValueError, "it can have at most 7"),
        (lambda m: m.explore("a cow"), ValueError, "the word 'cow' is not in the vocabulary"),
    ],
)  # fmt: skip
def test_a_question_that_is_wrong(model, call, error, says):
    with pytest.raises(error, match=re.escape(says)):
        call(model)


def test_a_loss_that_is_infinite():
    with pytest.raises(ArithmeticError, match="a smaller learning rate than 1e"):
        llmhard.train(SENTENCES, steps=50, lr=1e200, **SMALL)


def test_a_model_of_numbers_that_are_not_finite(tiny):
    broken = LanguageModel.of(pickle.loads(pickle.dumps(tiny)))
    broken.gpt.parameters["lm_head.weight"].data = [[math.nan] * 8] * broken.gpt.config.vocab_size
    for call in (broken.sample, broken.next_words, lambda: broken.loss("the cat")):
        with pytest.raises(ArithmeticError, match="logits are not finite"):
            call()


def test_what_one_should_know_is_a_warning():
    with pytest.warns(UserWarning, match="longer than the context of 3 tokens; .*; block_size=8 "):
        llmhard.train(SENTENCES, steps=1, block_size=3, **SMALL)
    with pytest.warns(
        UserWarning, match="a larger n_embd with more steps, .*; tokenizer='char' "
    ) as w:
        llmhard.train(NAMES, steps=1, **SMALL)
    assert w[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llmhard.train(SENTENCES, steps=1, **SMALL)


# ---------------------------------------------------------------- files


def test_a_model_is_saved_and_loaded_with_all_that_is_known_of_it():
    model = llmhard.train("t.txt", steps=5, film=2, **SMALL)
    model.save("m.safetensors")
    again = llmhard.load(Path("m.safetensors"))
    assert repr(again) == repr(model)
    assert again.sample(n=5, seed=1) == model.sample(n=5, seed=1)
    assert again.records == model.records
    assert len(again.film) == len(model.film) == 2
    again.save("m.safetensors")  # over itself
    assert len(llmhard.load("m.safetensors").film) == 2


def test_a_film_can_be_had_without_a_number_or_not_at_all():
    assert len(llmhard.train("t.txt", steps=40, film=True, **SMALL).film) == 24
    assert llmhard.train("t.txt", steps=5, film=False, **SMALL).film is None


def test_a_film_of_another_model_is_not_taken():
    llmhard.train("t.txt", steps=5, film=2, **SMALL).save("a.safetensors")
    llmhard.train("t.txt", steps=6, **SMALL).save("b.safetensors")
    Path("a.safetensors.film").rename("b.safetensors.film")
    other = llmhard.load("b.safetensors")
    with pytest.warns(UserWarning, match="the film b.safetensors.film is not of this model"):
        assert other.film is None
    Path("b.safetensors.film").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="cannot read the film b.safetensors.film: "):
        assert llmhard.load("b.safetensors").film is None
    assert llmhard.load("a.safetensors").film is None


def test_nothing_but_a_model_is_replaced(folder, model, tiny_file):
    kept = (folder / "t.txt").read_text()
    with pytest.raises(
        FileExistsError,
        match=re.escape(
            "t.txt is there already, and it is not a model; to learn from it: "
            "llmhard.train('t.txt'); to save the model, choose another path, or replace it with "
            "force=True"
        ),
    ):
        model.save("t.txt")
    with pytest.raises(FileExistsError, match="explore did not write it; choose another path, or"):
        model.explore().save("t.txt")
    assert (folder / "t.txt").read_text() == kept
    with pytest.raises(OSError, match=r"cannot write .*: it is not a file; choose another path"):
        model.save(folder)
    with pytest.raises(
        FileNotFoundError,
        match=re.escape(
            "cannot write no/m: there is no folder no; to make it: "
            "pathlib.Path('no').mkdir(parents=True)"
        ),
    ):
        model.save("no/m")
    (folder / "m").write_bytes(tiny_file.read_bytes())
    (folder / "m").chmod(0o444)
    with pytest.raises(OSError, match="cannot write m: it is read-only; choose another path"):
        model.save("m")
    model.save("t.txt", force=True)
    assert llmhard.load("t.txt").saved.records == model.records


def test_a_film_does_not_replace_another_file():
    model = llmhard.train("t.txt", steps=5, film=2, **SMALL)
    Path("m.film").write_text("my script")
    with pytest.raises(FileExistsError, match=re.escape("the film would replace m.film")):
        model.save("m")
    assert Path("m.film").read_text() == "my script"
    assert not Path("m").exists()
    model.save("m", force=True)
    assert Film.load("m.film").is_of(model.saved)


def test_a_text_a_checkpoint_and_words_in_place_of_a_model(folder, monkeypatch):
    with pytest.raises(
        ValueError,
        match=re.escape(
            "cannot read the model t.txt: it is a text, not a safetensors file; to learn from it: "
            "llmhard.train('t.txt')"
        ),
    ):
        llmhard.load("t.txt")
    with pytest.raises(FileNotFoundError, match=re.escape("model.sample('the cat')")):
        llmhard.load("the cat")
    llmhard.train(SENTENCES, steps=1, **SMALL).save("cats.safetensors")
    with pytest.raises(FileNotFoundError, match=r"did you mean cats\.safetensors"):
        llmhard.load("cat.safetensors")
    saved = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *given: [saved(*given), sys.exit(3)])
    with pytest.raises(SystemExit):
        cli.main(["train", "t.txt", *OPTIONS, "--steps", "4", "--checkpoint-every", "2"])
    (name,) = (path.name for path in folder.glob("*checkpoint*"))
    with pytest.raises(
        ValueError,
        match=re.escape(
            f"it is a checkpoint; to go on with the training run: "
            f"python -m llmhard train --resume {name}"
        ),
    ):
        llmhard.load(name)


def test_advice_in_python_stays_python_after_the_command_line_has_run(capsys):
    assert cli.main(["sample", "none"]) == 2
    assert "train one first: llmhard train; " in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=re.escape("train one first: llmhard.train();")):
        llmhard.load("none")


# ---------------------------------------------------------------- what it answers


def test_the_next_words_are_the_models_probabilities(model):
    after = model.next_words("the big")
    expected = softmax(_logits(model, "the big")).data
    assert list(after.values()) == sorted(expected, reverse=True)
    assert after["dog"] == expected[model.tokenizer.encode("dog")[0]]
    assert after[llmhard.END] == expected[BOS]
    assert sum(after.values()) == pytest.approx(1)
    assert len(after) == model.tokenizer.vocab_size
    cold = model.next_words("the big", temperature=0)
    assert list(cold.values())[:2] == [1.0, 0.0]
    assert next(iter(cold)) == next(iter(after))
    few = model.next_words("the big", top_k=2)
    assert sum(p > 0 for p in few.values()) == 2


def _logits(model, text):
    cache = KVCache(model.gpt.config.n_layer)
    for token in [BOS, *model.tokenizer.encode(text)]:
        logits = model.gpt(token, cache)
    return logits


def test_the_next_words_as_people_see_them(model):
    after = model.next_words("the cat")
    first, *rows = repr(after).splitlines()
    assert first == "after 'the cat':"
    assert len(rows) == 11
    assert "(end)" in repr(model.next_words("the cat sat"))
    assert rows[-1].endswith(f"  {len(after) - 10} others together")
    numbers = [float(row.split()[0]) for row in rows]
    assert sum(numbers) == pytest.approx(1, abs=0.001)
    root = ElementTree.fromstring(after._repr_svg_())
    assert root[0].text == "The likeliest words after 'the cat'"
    assert f"{next(iter(after.values())):.4f}" in [e.text for e in root.iter()]


def test_a_vocabulary_of_markup_stays_text():
    sentences = ["<script>alert(1)</script> & </svg>", "<!-- é 漢 -->"] * 2
    model = llmhard.train(sentences, steps=2, tokenizer="char", block_size=40, **SMALL)
    for shown in (
        model.next_words("<script>"), model.attention("<script>"), model.attention("&")[0, 1],
    ):  # fmt: skip
        svg = shown._repr_svg_()
        ElementTree.fromstring(svg)
        assert "<script" not in svg
        assert repr(shown)
    frame = model._repr_html_()
    assert frame.count("<") == 2  # the frame and its end


def test_the_attention_weights_are_those_of_the_formula(model):
    text = "the big dog sat on the cat"
    shown = model.attention(text)
    tokens = [BOS, *model.tokenizer.encode(text)]
    assert shown.tokens == ("BOS", *text.split())
    w, config = model.gpt.parameters, model.gpt.config
    keys = []
    for position, token in enumerate(tokens):
        x = rmsnorm(rmsnorm(w["wte.weight"][token] + w["wpe.weight"][position]))
        q = linear(x, w["h.0.attn.q_proj.weight"]).data
        keys.append(linear(x, w["h.0.attn.k_proj.weight"]).data)
        for head in range(config.n_head):
            part = slice(head * config.head_dim, (head + 1) * config.head_dim)
            scores = [
                sum(a * b for a, b in zip(k[part], q[part], strict=True)) / config.head_dim**0.5
                for k in keys
            ]
            total = sum(map(math.exp, scores))
            expected = [math.exp(score) / total for score in scores]
            assert shown.weights[0][head][position] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "config", [Config(5, 3, 6, 1, 4), Config(5, 2, 6, 6, 4), Config(5, 1, 1, 1, 4)]
)
def test_the_attention_of_models_of_any_shape(config):
    model = LanguageModel(GPT.initialize(config, random.Random(1)), Tokenizer("abcd"))
    shown = model.attention("a b d")
    assert len(shown.weights) == config.n_layer
    heads = list(shown)
    assert [(head.layer, head.head) for head in heads] == [
        (layer, head) for layer in range(config.n_layer) for head in range(config.n_head)
    ]
    for head in heads:
        assert [len(row) for row in head.weights] == [1, 2, 3, 4]
        assert all(sum(row) == pytest.approx(1) and min(row) > 0 for row in head.weights)
    assert len(model.attention("").weights[0][0]) == 1


def test_attention_as_people_see_it(model):
    shown = model.attention("the big dog")
    lines = repr(shown).splitlines()
    assert lines[0] == "where 'dog', the last token, looks; [layer, head] has all tokens"
    assert lines[1].split() == ["BOS", "the", "big", "dog"]
    assert lines[2].split()[:4] == ["layer", "0,", "head", "0"]
    assert [float(x) for x in lines[2].split()[4:]] == [
        round(w, 2) for w in shown.weights[0][0][-1]
    ]
    head = shown[0, 1]
    assert len(repr(head).splitlines()) == 2 + 4
    for picture, title, number in (
        (shown, "Where 'dog', the last token, looks", shown.weights[0][0][-1][0]),
        (head, "Attention of layer 0, head 1", head.weights[-1][0]),
    ):
        root = ElementTree.fromstring(picture._repr_svg_())
        assert root[0].text == title
        assert f"{number:.2f}" in [e.text for e in root.iter()]
        assert f"{number:.2f} from BOS" in root[1].text
    with pytest.raises(IndexError):
        _ = shown[0, 2]


def test_of_a_long_text_the_end_is_shown_and_that_it_is():
    config = Config(4, n_layer=1, n_embd=2, n_head=1, block_size=200)
    model = LanguageModel(GPT.initialize(config, random.Random(1)), CharTokenizer("a b"))
    shown = model.attention("ab a" * 30)
    assert len(shown.weights[0][0][-1]) == 121
    said = "(the last 40 of 121 tokens)"
    for picture in (shown, shown[0, 0]):
        assert repr(picture).splitlines()[0].endswith(said)
        assert max(map(len, repr(picture).splitlines())) < 300
        root = ElementTree.fromstring(picture._repr_svg_())
        texts = [e.text for e in root.iter() if e.tag.endswith("}text")]
        assert texts[-1] == root[0].text
        assert texts[-1].endswith(said)
        assert texts.count("' '") in (10, 20)
        assert len(picture._repr_svg_()) < 500_000
    assert len(repr(shown[0, 0]).splitlines()) == 2 + 40
    assert repr(shown[0, 0]).splitlines()[-1].split()[:2] == ["120", "a"]


def test_the_same_token_twice_has_a_row_each(model):
    assert len(repr(model.attention("the the the")[0, 0]).splitlines()) == 2 + 4


def test_the_loss_is_the_mean_cross_entropy(model):
    text = "the cat sat"
    tokens = model.tokenizer.encode_document(text)
    assert model.loss(text) == sequence_loss(model.gpt, tokens).data
    words = ["", "the", "the cat", "the cat sat"]
    nexts = ["the", "cat", "sat", llmhard.END]
    by_hand = [-math.log(model.next_words(w)[n]) for w, n in zip(words, nexts, strict=True)]
    assert model.loss(text) == pytest.approx(sum(by_hand) / 4)
    assert model.loss("") == pytest.approx(-math.log(model.next_words("")[llmhard.END]))
    assert model.loss("the cat sat") < model.loss("sat the cat")


def test_it_says_what_it_is(model, tiny):
    assert repr(model) == (
        f"A language model of {tiny.tokenizer.vocab_size} tokens with "
        f"{tiny.model.config.n_parameters():,} parameters, trained on sentences.txt: 60 steps"
    )
    bare = LanguageModel(tiny.model, tiny.tokenizer)
    assert "trained" not in repr(bare)
    assert bare.sample(seed=1) == model.sample(seed=1)
    assert bare.records == ()


def test_what_was_asked_of_it_does_not_change_it(model):
    before = [p.data for p in model.gpt.parameters.values()]
    gradients = [p.grad for p in model.gpt.parameters.values()]
    model.sample(n=3), model.next_words("the"), model.attention("the cat"), model.loss("the cat")
    assert [p.data for p in model.gpt.parameters.values()] == before
    assert [p.grad for p in model.gpt.parameters.values()] == gradients


def test_it_writes_with_the_parameters_that_it_has_now(tiny):
    mine = LanguageModel.of(pickle.loads(pickle.dumps(tiny)))
    before = mine.next_words("the")
    mine.gpt.parameters["lm_head.weight"].data = [
        [0.0] * 8 for _ in range(mine.gpt.config.vocab_size)
    ]
    assert len(set(before.values())) > 2
    assert {round(p, 9) for p in mine.next_words("the").values()} == {round(1 / len(before), 9)}


# ---------------------------------------------------------------- the explorer


def test_the_explorer_is_shown_saved_and_opened(model, folder, monkeypatch, capsys):
    page = model.explore("the cat")
    assert repr(page) == (
        "The explorer: .open() shows it in the browser, .save('explorer.html') writes it"
    )
    page.save("page.html")
    html = Path("page.html").read_text(encoding="utf-8")
    assert html == page.html
    assert '"start":"#text=the+cat"' in html
    page.save("page.html")  # over itself
    frame = page._repr_html_()
    assert frame.isascii()
    (source,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert unescape(source) == html
    assert 'sandbox="allow-scripts"' in frame
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    page.open()
    assert opened == [(folder / "explorer.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    page.open()
    assert capsys.readouterr().out == "there is no browser to open; open explorer.html in one\n"


def test_a_model_shows_itself_in_the_explorer(model):
    assert model._repr_html_().startswith("<iframe ")
    assert '"start":' not in model.explore().html


# ---------------------------------------------------------------- progress


def test_progress_in_a_pipe_and_none_if_not_wanted(capsys):
    llmhard.train(SENTENCES, steps=10, **SMALL | {"progress": True})
    assert capsys.readouterr().err.count("step ") == 10
    llmhard.train(SENTENCES, steps=10, **SMALL)
    assert capsys.readouterr() == ("", "")


class Display:
    """IPython as far as a bar needs it, in a notebook."""

    def __init__(self, kernel=True):
        self.shown = []
        self.__spec__ = None
        shell = types.SimpleNamespace(**{"kernel": None} if kernel else {})
        self.get_ipython = lambda: shell

    def display(self, content, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.shown.append(content)
        return self

    def update(self, content, raw):
        assert raw
        self.shown.append(content)


@pytest.mark.parametrize("kernel", [True, False])
def test_progress_in_a_notebook_is_a_bar_that_is_replaced(monkeypatch, capsys, kernel):
    ipython = Display(kernel)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr(progress, "REDRAW", 0.0)
    llmhard.train(SENTENCES, steps=10, **SMALL | {"progress": True})
    said = capsys.readouterr().err
    if not kernel:  # IPython in a terminal
        assert (ipython.shown, said.count("step ")) == ([], 10)
        return
    assert said == ""
    assert len(ipython.shown) == 12
    texts = [content["text/plain"] for content in ipython.shown]
    assert "0/10" in texts[0]
    assert "10/10" in texts[-1]
    assert re.search(r"loss \d\.\d{4}", texts[-1])


# ---------------------------------------------------------------- importing, Ctrl-C, documents


def test_what_is_not_used_is_not_loaded():
    script = (
        "import sys, llmhard\n"
        "late = ('llmhard.trainer', 'llmhard.drawing', 'llmhard.language_model', 'rich')\n"
        "print([name for name in late if name in sys.modules])\n"
        "print(llmhard.train.__module__, 'llmhard.trainer' in sys.modules)\n"
        "from llmhard import *\n"
        "print(load, LanguageModel, graph, repr(END), Value)\n"
        "print('train' in dir(llmhard), hasattr(llmhard, 'nothing'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "[]"
    assert lines[1] == "llmhard.language_model True"
    assert lines[2].startswith("<function load ")
    assert lines[3] == "True False"


def test_ctrl_c_ends_training_with_a_keyboard_interrupt():
    script = (
        "import llmhard, signal\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "print('begun', flush=True)\n"
        "try:\n"
        "    llmhard.train(['the cat sat', 'a dog ran'], steps=10**7, progress=False)\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "print(llmhard.train(['the cat'], steps=3, progress=False).sample('the'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("ended\n[")


@pytest.mark.parametrize("module", [language_model, graphs, next_words, attention, drawing])
def test_the_examples_in_docstrings(module):
    results = doctest.testmod(module)
    assert results.failed == 0
    assert results.attempted or module not in (language_model, graphs)


def test_every_public_method_has_a_docstring():
    public = [LanguageModel, language_model.Explorer, attention.Attention, next_words.NextWords]
    for kind in public:
        assert kind.__doc__
        for name, member in vars(kind).items():
            if not name.startswith("_") and callable(member):
                assert member.__doc__, name


# ---------------------------------------------------------------- the parts


def test_a_preparation_says_what_it_is_without_training():
    prepared = prepare(text_of(SENTENCES), Tokenizer, CLASSIC, 1, None, {"n_embd": 8})
    assert prepared.keep == "last"
    assert prepared.config.n_embd == 8
    assert prepared.notices() == []
    assert prepared.trainer(threads=1).step == 0


def test_an_empty_file_may_be_replaced(tmp_path, model):
    (tmp_path / "empty").write_text("")
    model.save(tmp_path / "empty")
    assert llmhard.load(tmp_path / "empty").records == model.records


# ---------------------------------------------------------------- in a browser


def test_the_frame_works_in_a_page_of_any_encoding(tmp_path):
    sentences = ["the café is open", "the naïve cat sat", "a <b>漢</b> </script> ran"] * 2
    model = llmhard.train(sentences, steps=20, **SMALL)
    page = model.explore("the café")._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<p>no encoding is declared</p>{page}", "ascii")
    with chromium() as browser:
        tab, wrong = browser.new_page(), []
        tab.on("console", lambda said: wrong.append(said.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto((tmp_path / "notebook.html").as_uri())
        frame = tab.frame_locator("iframe")
        frame.get_by_role("heading", name="What comes next?").wait_for()
        assert frame.locator("input").first.input_value() == "the café"
        assert wrong == []
