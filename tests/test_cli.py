"""The command line, as a careful and as a careless person uses it."""

import contextlib
import json
import math
import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from llmhard import checkpoint, cli, corpus, model_file
from llmhard.model import Config
from llmhard.preparation import n_cores
from llmhard.sampler import Sampling, generate
from llmhard.training_record import best as best_point
from llmhard.version import __version__

EXTENSION = EXTENSION_SUFFIXES[0]  # of a compiled module for this Python
CHECKOUT = Path(cli.__file__).parents[2]
SMALL = ["--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--block-size", "8"]
ENV = {k: v for k, v in os.environ.items() if k != "LLMHARD_ARCH"} | {"PYTHONPATH": str(CHECKOUT)}


def start(arguments, cwd, program=("-m", "llmhard"), **options):
    """Another process that runs the program as a person would."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        **({"cwd": cwd, "env": ENV, "text": True, "encoding": "utf-8"} | pipes | options),
    )


def run(arguments, cwd, **options):
    """Run it to its end: exit code, stdout, stderr."""
    process = start(arguments, cwd, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def call(capsys):
    """Run the program in this process: exit code, stdout, stderr."""

    def main(*arguments):
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit_:  # argparse ends so after --help
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return main


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def assert_one_line(err):
    assert "Traceback" not in err
    assert err.startswith("llmhard: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable(), "one line, without escape sequences"
    assert len(err) < 1000


@pytest.fixture
def refuses(call, folder):
    """Check that bad input gets one line, exit code 2 and leaves all files; returns the line."""

    def check(*arguments):
        before = files(folder)
        code, out, err = call(*arguments)
        assert code == 2
        assert out == ""
        assert_one_line(err)
        assert files(folder) == before
        return err

    return check


# ---------------------------------------------------------------- train


def test_train_and_sample_with_the_defaults(folder):
    code, out, err = run(["train", "--steps", 600], folder)
    assert code == 0
    sentences = corpus.read_sentences(corpus.default_path())
    vocabulary = {word for sentence in sentences for word in sentence.split()}
    parameters = 2 * 32 * (len(vocabulary) + 1) + 16 * 32 + 2 * 12 * 32 * 32
    assert re.search(rf"sentences +{len(sentences):,}, of which 3,000 held out\n", out)
    assert re.search(rf"vocabulary +{len(vocabulary) + 1:,} tokens", out)
    assert re.search(rf"parameters +{parameters:,}\n", out)
    loss = float(re.search(r"loss +([0-9.]+) nats.*last 500 steps", out)[1])
    assert re.search(r"time +[0-9.]+ s, [0-9,]+ steps a second", out)
    assert "step 600 of 600" in err
    assert [p.name for p in folder.iterdir()] == ["model.safetensors"]
    record = model_file.load(folder / "model.safetensors").record
    assert (record.steps, record.seed, record.version) == (600, 42, __version__)
    assert record.final_loss == pytest.approx(loss, abs=1e-4)
    # It has learned something: an untrained model has log(vocabulary), about 6.4.
    assert loss < 5

    code, out, err = run(["sample", "--seed", 1], folder)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 20
    assert all(set(line.split()) <= vocabulary for line in out.splitlines())
    assert run(["sample", "--seed", 1], folder)[1] == out
    assert run(["sample"], folder)[1] != run(["sample"], folder)[1]


def test_the_model_that_the_lessons_talk_about():
    sentences = corpus.read_sentences(corpus.default_path())
    words = {word for sentence in sentences for word in sentence.split()}
    assert len(sentences) == 30_000
    assert Config(len(words) + 1).n_parameters() == 63_296


def test_the_same_seed_gives_the_same_file_to_the_last_bit(folder, sentences_file):
    contents = []
    for i, (seed, hash_seed) in enumerate([(7, "1"), (7, "2"), (8, "1")]):
        arguments = ["train", "--data", sentences_file, "--steps", 50, "--seed", seed, *SMALL]
        env = ENV | {"PYTHONHASHSEED": hash_seed}
        assert run([*arguments, "--out", f"{i}.safetensors"], folder, env=env)[0] == 0
        contents.append((folder / f"{i}.safetensors").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_every_option_of_train_counts(call, folder, sentences_file):
    out = folder / "x.safetensors"
    options = {
        "steps": 5,
        "seed": -3,
        "lr": 0.5,
        "n-layer": 2,
        "n-embd": 6,
        "n-head": 3,
        "block-size": 9,
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    code, printed, _ = call("train", "--data", sentences_file, "--out", out, *flags)
    assert code == 0
    assert "last 5 steps" in printed
    loaded = model_file.load(out)
    c = loaded.model.config
    assert (c.n_layer, c.n_embd, c.n_head, c.block_size) == (2, 6, 3, 9)
    assert (loaded.record.steps, loaded.record.seed) == (5, -3)
    first = out.read_bytes()
    flags[flags.index("--lr") + 1] = 0.1
    call("train", "--data", sentences_file, "--out", out, *flags)
    assert out.read_bytes() != first


def test_quiet_says_nothing(call, folder, sentences_file):
    code, out, err = call("train", "--quiet", "--data", sentences_file, "--steps", 3, *SMALL)
    assert (code, out, err) == (0, "", "")
    assert (folder / "model.safetensors").is_file()


def read_terminal(descriptor, until=None):
    """What a program writes to a terminal, to its end or until something is shown."""
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while until is None or until not in shown:
            chunk = os.read(descriptor, 4096)
            if not chunk:
                break
            shown += chunk
    return shown


def test_on_a_terminal_there_is_a_bar(folder, sentences_file):
    ours, theirs = pty.openpty()
    process = start(
        ["train", "--data", sentences_file, "--steps", 300, *SMALL],
        folder,
        stderr=theirs,
        env=ENV | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = read_terminal(ours)
    os.close(ours)
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 0, shown.decode()[-500:]
    assert b"300/300" in shown
    assert b"Traceback" not in shown
    assert "last 300 steps" in out


@pytest.fixture
def small_text(folder):
    """Twenty-four sentences, of which two are held out."""
    animals, verbs = ("cat", "dog", "cow", "hen"), ("saw", "bit", "met")
    sentences = [f"the {a} {v} a {b}" for a in animals for v in verbs for b in ("fox", "pig")]
    (folder / "small.txt").write_text("\n".join(sentences))
    return folder / "small.txt"


def printed_as(name, out):
    """What `train` says under this name, its lines joined."""
    return " ".join(re.search(rf"^{name} +(.*(?:\n {{12}}.*)*)", out, re.MULTILINE)[1].split())


def test_a_model_that_learns_by_heart(call, folder, small_text):
    arguments = ["train", "--data", small_text, "--preset", "classic", "--steps", 2000, *SMALL]
    code, out, _ = call(*arguments)
    assert code == 0
    record = model_file.load(folder / "model.safetensors").record
    low = min(record.curve, key=lambda point: point.validation)
    last = record.curve[-1]
    assert low.step < 1500
    kept = best_point(record.curve)
    assert low.step <= kept.step < 1500
    assert record.kept_step == record.best_step == kept.step
    assert (
        printed_as("kept", out) == f"step {kept.step:,} of 2,000, before the validation loss rose"
    )
    assert printed_as("validation", out) == f"{kept.validation:.4f} on 2 held-out sentences"
    assert printed_as("overfitting", out) == (
        f"lowest at step {low.step:,}, rising since ({low.validation:.2f} to "
        f"{last.validation:.2f}): the model learns the sentences by heart; fewer --steps or more "
        f"text would help"
    )
    assert all(len(line) <= 80 for line in out.splitlines())
    best = (folder / "model.safetensors").read_bytes()

    code, out, _ = call(*arguments, "--keep", "last")
    assert printed_as("kept", out) == "step 2,000 of 2,000"
    assert printed_as("validation", out) == f"{last.validation:.4f} on 2 held-out sentences"
    assert printed_as("overfitting", out).startswith(f"lowest at step {low.step:,}, ")
    record = model_file.load(folder / "model.safetensors").record
    assert (record.kept_step, record.best_step) == (2000, None)
    assert (folder / "model.safetensors").read_bytes() != best
    assert call(*arguments, "--keep", "best", "--quiet") == (0, "", "")
    assert (folder / "model.safetensors").read_bytes() == best


def test_an_ordinary_training_does_not_learn_by_heart(call, folder):
    code, out, _ = call("train", "--preset", "classic", "--steps", 1500)
    assert code == 0
    assert "overfitting" not in out
    assert "heart" not in out
    first = model_file.load(folder / "model.safetensors").record.curve[0]
    words = model_file.load(folder / "model.safetensors").tokenizer.vocab_size
    assert first.step == 0
    assert first.training == pytest.approx(math.log(words), rel=0.1)
    assert first.validation == pytest.approx(math.log(words), rel=0.1)


def test_the_best_of_nothing(refuses, sentences_file):
    line = refuses("train", "--data", sentences_file, "--keep", "best", "--steps", 3, *SMALL)
    assert "--keep best needs held-out sentences" in line


# ---------------------------------------------------------------- train --watch


def watched(err):
    """The sentences under each title, each with the lines that it is wrapped into."""
    found = {}
    for line in err.splitlines():
        if re.fullmatch(r"(saved model, )?step [0-9,]+", line):
            block = found.setdefault(line, [])
            assert not block
        elif line.startswith("    "):
            block[-1].append(line)
        elif line.startswith("  "):
            block.append([line])
    return found


@pytest.mark.parametrize("tokenizer", ["word", "char"])
@pytest.mark.parametrize("columns", [20, 80])
def test_watching_a_model_learn(folder, small_text, tokenizer, columns):
    arguments = ["train", "--data", small_text, "--steps", 100, "--tokenizer", tokenizer, *SMALL]
    arguments += ["--average", 0.5, "--block-size", 16]
    env = ENV | {"COLUMNS": str(columns)}
    assert run([*arguments, "--out", "plain"], folder)[0] == 0
    code, _, err = run([*arguments, "--watch", "--out", "watched"], folder, env=env)
    assert code == 0, err
    assert (folder / "watched").read_bytes() == (folder / "plain").read_bytes()
    shown = watched(err)
    saved = model_file.load(folder / "watched")
    assert list(shown) == [
        "step 0", "step 10", "step 30", f"saved model, step {saved.record.kept_step}",
    ]  # fmt: skip
    assert all(len(sentences) == 3 for sentences in shown.values())
    wrapped = [lines for sentences in shown.values() for lines in sentences]
    assert all(len(line) < columns for lines in wrapped for line in lines)
    if columns == 20:
        assert (max(map(len, wrapped)) > 1) == (tokenizer == "word")
    expected = [
        saved.tokenizer.decode(generate(saved.model, random.Random(seed), Sampling(0.8)))
        for seed in (1, 2, 3)
    ]
    *_, last = shown.values()
    assert [" ".join(" ".join(s).split()) for s in last] == [" ".join(s.split()) for s in expected]


def test_watching_goes_on_after_an_interruption(call, folder, small_text, monkeypatch):
    arguments = ["train", "--data", small_text, "--steps", 120, *SMALL]
    whole = watched(call(*arguments, "--watch", "--out", "whole")[2])
    done = checkpoint.save

    def power_cut(*given):
        done(*given)
        raise LookupError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", power_cut)
        with pytest.raises(LookupError):
            call(*arguments, "--checkpoint-every", 20)
    resumed = watched(call("train", "--resume", "model.safetensors.checkpoint", "--watch")[2])
    assert resumed == {title: whole[title] for title in list(whole)[2:]}
    assert (folder / "model.safetensors").read_bytes() == (folder / "whole").read_bytes()


def test_watching_on_a_terminal(folder, small_text):
    for columns in (40, 80):
        ours, theirs = pty.openpty()
        arguments = ["train", "--data", small_text, "--steps", 300, "--watch", *SMALL]
        env = ENV | {"TERM": "xterm", "COLUMNS": str(columns)}
        process = start(arguments, folder, stderr=theirs, env=env)
        os.close(theirs)
        shown = read_terminal(ours).decode()
        os.close(ours)
        assert process.wait(30) == 0, shown
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
        lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
        titles = [line.strip() for line in lines if line.startswith(("step", "saved model"))]
        assert titles[:4] == ["step 0", "step 10", "step 30", "step 100"]
        assert titles[4].startswith("saved model, step ")
        assert all(len(line) <= columns for line in lines)


def test_watching_and_saying_nothing(refuses, sentences_file):
    line = refuses("train", "--data", sentences_file, "--watch", "--quiet")
    assert "not allowed with" in line


@pytest.mark.parametrize(
    ("text", "sentences", "words"),
    [
        ("the cat\r\na dog\r\n", 2, {"the", "cat", "a", "dog"}),
        ("\ufeffthe cat\n", 1, {"the", "cat"}),
        ("the cat", 1, {"the", "cat"}),
        ("\n\n the   cat \n\t\n\n\n", 1, {"the", "cat"}),
        ("hello\n", 1, {"hello"}),
        ("the cat\n" * 5, 5, {"the", "cat"}),
        (
            "\u043a\u043e\u0442 \u4e2d\u6587 na\u00efve \U0001f408 \u0645\u0631\u062d\u0628\n",
            1,
            {
                "\u043a\u043e\u0442",
                "\u4e2d\u6587",
                "na\u00efve",
                "\U0001f408",
                "\u0645\u0631\u062d\u0628",
            },
        ),
        ("the cat\ra dog\r", 2, {"the", "cat", "a", "dog"}),
        ("non\u00a0breaking\n", 1, {"non", "breaking"}),
    ],
    ids=lambda value: ascii(sorted(value)) if isinstance(value, set) else ascii(value),
)
def test_texts_as_people_have_them(call, folder, text, sentences, words):
    (folder / "d.txt").write_bytes(text.encode())
    code, out, _ = call("train", "--data", "d.txt", "--steps", 4, *SMALL)
    assert code == 0
    assert re.search(rf"sentences +{sentences}\n", out)
    assert set(model_file.load("model.safetensors").tokenizer.words) == words
    code, out, err = call("sample", "-n", 5, "--seed", 1, "--temperature", 2)
    assert (code, err) == (0, "")
    assert len(out.split("\n")) == 6
    assert set(out.split()) <= words


def test_a_long_sentence_is_cut_with_a_notice(call, folder):
    (folder / "d.txt").write_text("a b c d e f g h\n" + "a b c d e f g\n" + "a b c d e f g h i j\n")
    code, _, err = call("train", "--data", "d.txt", "--steps", 3, *SMALL)
    assert code == 0
    # BOS and 7 words are read, the eighth token to predict is BOS; with 8 words it is cut off.
    notices = [line for line in err.splitlines() if "longer" in line]
    assert len(notices) == 1
    assert re.match(r"llmhard: 2 sentences are longer than the context of 8 ", notices[0])
    (folder / "d.txt").write_text("a b c d e f g\n")
    assert "longer" not in call("train", "--data", "d.txt", "--steps", 3, *SMALL)[2]
    (folder / "d.txt").write_text("a b c d e f g h\n")
    assert "1 sentence is longer" in call("train", "--data", "d.txt", "--steps", 3, *SMALL)[2]


def test_data_from_a_pipe(folder):
    arguments = ["train", "--data", "/dev/stdin", "--steps", 3, *SMALL]
    process = start(arguments, folder, stdin=subprocess.PIPE)
    out, _ = process.communicate("the cat\na dog\n", timeout=30)
    assert process.returncode == 0
    assert re.search(r"sentences +2\n", out)


# ---------------------------------------------------------------- bad input to train

BAD_TEXTS = {
    "empty": (b"", "no sentences"),
    "blank": (b" \n\t\r\n\n", "no sentences"),
    "mark": (b"\xef\xbb\xbf", "no sentences"),
    "latin": ("na\u00efve\n".encode("latin-1"), "UTF-8"),
    "utf16": ("the cat\n".encode("utf-16-le"), "UTF-16"),
    "utf16 cut": ("the cat\n".encode("utf-16")[:-1], "UTF-16"),
    "binary": (b"\x7fELF\x02\x01\0\0\0", "binary"),
    "nul": (b"the cat\0\n", "binary"),
    "cut": ("caf\u00e9".encode()[:-1], "UTF-8"),
    "surrogate": (b"\xed\xa0\x80\n", "UTF-8"),
}


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_texts_that_are_none(refuses, folder, kind):
    content, why = BAD_TEXTS[kind]
    (folder / "d.txt").write_bytes(content)
    line = refuses("train", "--data", "d.txt")
    assert why in line
    assert "d.txt" in line


def test_a_text_with_escape_sequences_never_reaches_the_terminal(call, folder):
    (folder / "d.txt").write_text("the \x1b[31mcat\x1b]0;owned\x07\n")
    code, out, err = call("train", "--data", "d.txt", "--steps", 2, *SMALL)
    assert code in (0, 2)
    if code == 0:
        code, out, err = call("sample", "--temperature", 5, "-n", 20, "--seed", 1)
    assert "\x1b" not in out + err
    assert "Traceback" not in err


def test_data_that_cannot_be_read(refuses, folder):
    (folder / "file").write_text("the cat\n")
    for path, why in (
        ("none.txt", "No such file"),
        ("model.txt", "No such file"),
        (".", "directory"),
        ("file/x", "Not a directory"),
        ("x" * 300, "too long"),
        ("", ""),
    ):
        line = refuses("train", "--data", path)
        assert "train one first" not in line
        assert why in line


BAD_NUMBERS = ["0", "-1", "1.5", "x", "", "nan", "inf", "1e3", "0x10", " ", "-0", "1,000"]


@pytest.mark.parametrize("option", ["steps", "n-layer", "n-embd", "n-head", "block-size"])
def test_sizes_that_are_none(refuses, sentences_file, option):
    for number in BAD_NUMBERS:
        assert f"--{option}" in refuses("train", "--data", sentences_file, f"--{option}", number)
    assert f"--{option}" in refuses("train", "--data", sentences_file, f"--{option}")


def test_rates_and_seeds_that_are_none(refuses, sentences_file):
    for rate in ("0", "-0.1", "nan", "inf", "-inf", "1e400", "x", "", "1e-400", "0,1"):
        assert "--lr" in refuses("train", "--data", sentences_file, f"--lr={rate}")
    for seed in ("1.5", "x", "", "nan"):
        assert "--seed" in refuses("train", "--data", sentences_file, f"--seed={seed}")


def test_heads_that_do_not_divide_the_width(refuses, sentences_file):
    line = refuses("train", "--data", sentences_file, "--n-embd", 30, "--n-head", 4)
    assert "n_head" in line or "--n-head" in line
    assert "30" in line
    refuses("train", "--data", sentences_file, "--n-embd", 4, "--n-head", 8)


@pytest.mark.parametrize(
    "sizes",
    [
        ["--n-embd", 10**6],
        ["--n-embd", 10**30],
        ["--n-layer", 10**9],
        ["--block-size", 10**12],
    ],
    ids=lambda sizes: f"{sizes[0]} {float(sizes[1]):.0e}",
)
def test_a_model_that_does_not_fit_into_memory(folder, sentences_file, sizes):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000))

    began = time.perf_counter()
    command = ["train", "--data", sentences_file, "--steps", 1, *sizes]
    code, _, err = run(command, folder, preexec_fn=limit)
    assert code == 2
    assert_one_line(err)
    assert files(folder) == {}
    # A machine must not be brought to its knees before the program finds out.
    assert time.perf_counter() - began < 3


def test_outputs_that_cannot_be_written(refuses, folder, sentences_file):
    (folder / "file").write_text("mine")
    (folder / "directory").mkdir()
    (folder / "loop").symlink_to("loop")
    for path in (
        "none/model.safetensors",
        "directory",
        ".",
        "",
        "/dev/null",
        "/dev/full",
        "file/model.safetensors",
        "loop",
        "x" * 300,
        "/proc/model.safetensors",
    ):
        # So many steps that a test would never end if the error came after the training.
        line = refuses("train", "--data", sentences_file, "--out", path, "--steps", 10**12)
        assert "cannot write" in line
        assert "train one first" not in line


def test_a_directory_that_one_may_not_enter(refuses, monkeypatch, sentences_file):
    stat = os.stat

    def forbidden(path, *args, **options):
        if "secret" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **options)

    # Simulated, for root may enter everywhere.
    monkeypatch.setattr(os, "stat", forbidden)
    arguments = ["train", "--data", sentences_file, "--out", "secret/m.safetensors", "--steps", 5]
    assert "cannot write" in refuses(*arguments)


@pytest.mark.parametrize("length", [240, 255])
def test_a_name_is_too_long_before_the_training_or_never(call, folder, sentences_file, length):
    name = "m" * length
    arguments = ["train", "--data", sentences_file, "--out", name, "--steps", 20, *SMALL]
    code, _, err = call(*arguments)
    told = [line for line in err.splitlines() if line.startswith("step")]
    assert (code, bool(told), (folder / name).exists()) in [(0, True, True), (2, False, False)]


def test_the_sentences_are_not_overwritten_with_the_model(refuses, folder, sentences_file):
    (folder / "mine.txt").write_bytes(sentences_file.read_bytes())
    (folder / "link.txt").symlink_to("mine.txt")
    for out in ("mine.txt", "./mine.txt", "link.txt", folder / "mine.txt"):
        refuses("train", "--data", "mine.txt", "--out", out, "--steps", 3, *SMALL)


def test_a_loss_that_is_not_finite(call, folder, sentences_file, tiny_file):
    good = tiny_file.read_bytes()
    (folder / "model.safetensors").write_bytes(good)
    for lr, steps in ((1e300, 50), (1e160, 2), (1e308, 1)):
        code, _, err = call(
            "train",
            "--data",
            sentences_file,
            "--lr",
            lr,
            "--steps",
            steps,
            "--preset",
            "classic",
            "--quiet",
            *SMALL,
        )
        assert code == 2
        assert_one_line(err)
        assert "finite" in err
        assert files(folder) == {Path("model.safetensors"): good}


def test_a_disk_that_fills_up_while_saving(call, folder, sentences_file, tiny_file, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    (folder / "model.safetensors").write_bytes(tiny_file.read_bytes())
    monkeypatch.setattr(os, "fsync", full)
    code, _, err = call("train", "--data", sentences_file, "--steps", 3, "--quiet", *SMALL)
    assert code == 2
    assert_one_line(err)
    assert "No space left" in err
    assert files(folder) == {Path("model.safetensors"): tiny_file.read_bytes()}


# ---------------------------------------------------------------- sample


def test_sample_prints_whole_sentences(call, tiny, tiny_file):
    arguments = ["sample", "--model", tiny_file, "--seed", 3]
    code, out, err = call(*arguments, "-n", 30, "--prompt", " the   cat ")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 30
    assert all(line == "the cat" or line.startswith("the cat ") for line in lines)
    assert len({*lines}) > 1
    tiny.tokenizer.encode(" ".join(lines))


def test_settings_of_sample_count(call, tiny_file):
    base = ["sample", "--model", tiny_file, "--seed", 3]
    plain = call(*base)[1]
    assert call(*base)[1] == plain
    assert call(*base, "--temperature", 3)[1] != plain
    assert call(*base, "--temperature", 2, "--top-k", 2)[1] != call(*base, "--temperature", 2)[1]
    assert call(*base, "--temperature", 2, "--top-p", 0.3)[1] != call(*base, "--temperature", 2)[1]
    for greedy in (
        ["--temperature", 0],
        ["--top-k", 1],
        ["--top-p", 1e-9],
        ["--temperature", 1e-300],
    ):
        assert len(set(call(*base, *greedy)[1].splitlines())) == 1
    assert call(*base, "--top-k", 0, "--top-p", 1)[1] == plain
    assert call(*base, "--top-k", 10**6)[1] == plain
    assert call(*base[:-1], 4)[1] != plain


def test_sample_needs_nothing_but_the_file(tiny_file, folder):
    (folder / "model.safetensors").write_bytes(tiny_file.read_bytes())
    env = ENV | {"HOME": str(folder), "LC_ALL": "C"}
    code, out, err = run(["sample", "-n", 3, "--seed", 1], folder, env=env)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 3
    assert len(files(folder)) == 1


def test_settings_out_of_range(refuses, tiny_file):
    base = ["sample", "--model", tiny_file]
    for t in ("-1", "nan", "inf", "-inf", "1e400", "x", ""):
        assert "temperature" in refuses(*base, f"--temperature={t}")
    for p in ("0", "-0.5", "1.1", "nan", "inf", "x", ""):
        assert "top-p" in refuses(*base, f"--top-p={p}")
    for k in ("-1", "1.5", "x", "nan", ""):
        assert "top-k" in refuses(*base, f"--top-k={k}")
    for n in BAD_NUMBERS:
        assert "-n" in refuses(*base, "-n", n)
    for seed in ("1.5", "x", ""):
        assert "--seed" in refuses(*base, f"--seed={seed}")


def test_prompts_that_are_none(refuses, tiny_file):
    base = ["sample", "--model", tiny_file, "--prompt"]
    line = refuses(*base, "the cta")
    assert "'cta'" in line
    assert "cat" in line.replace("'cta'", "")
    assert "','" in refuses(*base, "The cat, sat")
    assert "'cat-flap'" in refuses(*base, "the cat-flap")
    refuses(*base, "\x1b[31m")
    refuses(*base, "x" * 400)
    line = refuses(*base, "the " * 8)
    assert "8" in line
    assert "7" in line
    refuses(*base, "the " * 10_000)


def test_models_that_are_none(refuses, folder, tiny_file):
    valid = tiny_file.read_bytes()
    assert "train" in refuses("sample")
    assert "train" in refuses("sample", "--model", "none.safetensors")
    for name, content in {
        "empty": b"",
        "text": b"the cat sat\n",
        "cut": valid[:-1],
        "half": valid[: len(valid) // 2],
        "more": valid + b"x",
    }.items():
        (folder / name).write_bytes(content)
        assert name in refuses("sample", "--model", name)
    for path in (".", "", "empty/x", "x" * 300):
        refuses("sample", "--model", path)


def test_a_malicious_model_cannot_write_to_the_terminal(call, folder, tiny_file):
    content = tiny_file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    good = header["__metadata__"]["llmhard"]
    evil = "\x1b]0;owned\x07"
    for text in (
        good.replace('"cat"', json.dumps(evil + "cat")),
        good.replace('"n_head"', json.dumps(evil)),
    ):
        header["__metadata__"]["llmhard"] = text
        packed = json.dumps(header).encode()
        (folder / "m").write_bytes(len(packed).to_bytes(8, "little") + packed + data)
        for options in (["--temperature", 9, "-n", 50], ["--prompt", "cats"]):
            _, out, err = call("sample", "--model", "m", *options)
            assert "\x1b" not in out + err


# ---------------------------------------------------------------- help and usage


def test_help_everywhere_with_examples(call):
    for command in ([], ["train"], ["sample"], ["info"]):
        for flag in ("--help", "-h"):
            code, out, err = call(*command, flag)
            assert (code, err) == (0, "")
            examples = out[out.index("examples:") :].splitlines()[1:]
            assert len([line for line in examples if "llmhard" in line]) >= 2
    for option in (
        "data",
        "tokenizer",
        "steps",
        "seed",
        "lr",
        "n-layer",
        "n-embd",
        "n-head",
        "block-size",
        "average",
        "out",
        "keep",
        "watch",
        "quiet",
    ):
        assert f"--{option} " in call("train", "--help")[1]
    for option in (
        "model",
        "temperature",
        "top-k",
        "top-p",
        "prompt",
        "seed",
        "stream",
        "show-probs",
        "interactive",
    ):
        assert f"--{option} " in call("sample", "--help")[1]
    assert call("--version")[1] == f"llmhard {__version__}\n"


RECIPE = ["steps", "batch_size", "lr", "warmup", "weight_decay", "average"]


def test_the_defaults_are_the_promised_ones():
    train = vars(cli._parser("llmhard").parse_args(["train"]))
    sample = vars(cli._parser("llmhard").parse_args(["sample"]))
    del train["run"], sample["run"]
    assert train == {
        "data": None, "out": None, "force": False, "quiet": False,
        "seed": None, "resume": None, "checkpoint_every": None, "plot": None, "preset": None,
        "tokenizer": None, "film": None,
        "keep": None, "watch": False, "threads": n_cores(),
        **dict.fromkeys(RECIPE), **dict.fromkeys(["n_layer", "n_embd", "n_head", "block_size"]),
    }  # fmt: skip
    assert sample == {
        "model": "model.safetensors", "n": None, "temperature": 0.8, "top_k": 0, "top_p": 1.0,
        "prompt": "", "seed": None, "stream": False, "show_probs": None, "interactive": False,
    }  # fmt: skip


def test_usage_errors(refuses):
    for arguments in (
        [],
        ["learn"],
        ["train", "--bogus"],
        ["sample", "--bogus", "1"],
        ["sample", "the", "cat"],
        ["--bogus"],
        ["train", "--steps"],
        ["sample", "-n"],
        ["sample", "--prompt"],
        ["train", "-\n\x1b[31m"],
        ["\n\x1b[31m"],
    ):
        assert "--help" in refuses(*arguments)


def test_the_program_itself_reports_bad_input(folder):
    # Once through a real process: what the other tests see in this one is what a person sees.
    code, out, err = run(["sample", "--model", "none"], folder)
    assert (code, out) == (2, "")
    assert_one_line(err)
    code, out, err = run(["train", "--steps", "0"], folder)
    assert (code, out) == (2, "")
    assert_one_line(err)


# ---------------------------------------------------------------- pipes and streams


def test_a_reader_that_has_seen_enough(folder, tiny_file):
    for arguments in (
        ["sample", "--model", tiny_file, "-n", 10**9],
        ["sample", "--model", tiny_file],
    ):
        process = start(arguments, folder)
        if 10**9 in arguments:
            assert process.stdout.readline() != ""
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=30) in (0, 141, -signal.SIGPIPE)
        assert err == ""
        process.stderr.close()


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        *((command, stdout) for command in ("sample", "train") for stdout in ("full", "closed")),
        # argparse takes care of the other two for its help.
        *((command, "broken") for command in ("sample", "train", "--help")),
    ],
)
def test_output_that_leads_nowhere(folder, sentences_file, tiny_file, command, stdout):
    arguments = {
        "sample": ["sample", "--model", tiny_file],
        "train": ["train", "--data", sentences_file, "--steps", 5, *SMALL],
        "--help": ["--help"],
    }[command]
    if stdout == "closed":
        code, _, err = run(arguments, folder, stdout=None, preexec_fn=lambda: os.close(1))
    elif stdout == "full":
        with Path("/dev/full").open("w") as full:
            code, _, err = run(arguments, folder, stdout=full)
    else:
        read, write = os.pipe()
        os.close(read)
        code, _, err = run(arguments, folder, stdout=write)
        os.close(write)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    complaints = [line for line in err.splitlines() if not line.startswith("step ")]
    assert len(complaints) <= 1
    assert all(line.startswith("llmhard: ") for line in complaints)
    if stdout == "full":
        assert code == 2
        assert complaints
    assert [p.name[:5] for p in folder.iterdir()] in ([], ["model"])


def test_closed_stderr_is_no_reason_to_fail(folder, sentences_file):
    arguments = ["train", "--data", sentences_file, "--steps", 5, *SMALL]
    code, out, _ = run(arguments, folder, stderr=None, preexec_fn=lambda: os.close(2))
    assert code == 0
    assert "step 5 of 5  loss" not in out
    assert (folder / "model.safetensors").is_file()


def test_a_terminal_that_knows_only_ascii(folder):
    (folder / "d.txt").write_bytes("na\u00efve \U0001f408\n".encode())
    env = ENV | {"PYTHONIOENCODING": "ascii"}
    name = "mod\u00e8le.safetensors"
    arguments = ["train", "--data", "d.txt", "--steps", 5, "--out", name, *SMALL]
    code, _, err = run(arguments, folder, env=env)
    assert code == 0
    assert "Traceback" not in err
    code, out, err = run(["sample", "--model", name, "-n", 9, "--temperature", 5], folder, env=env)
    assert "Traceback" not in err
    assert code in (0, 2)
    assert out or code == 2


# ---------------------------------------------------------------- Ctrl-C


def interrupt(process, wait_for=None):
    if wait_for is not None:
        while wait_for not in (line := process.stderr.readline()):
            assert line, "the process ended too early"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def assert_interrupted(code, err):
    assert code == 130
    assert "Traceback" not in err
    assert "KeyboardInterrupt" not in err
    assert sum("interrupted" in line for line in err.splitlines()) == 1


def test_ctrl_c_while_training(folder, sentences_file, tiny_file):
    (folder / "model.safetensors").write_bytes(tiny_file.read_bytes())
    arguments = ["train", "--data", sentences_file, "--steps", 10**5, *SMALL]
    code, _, err = interrupt(start(arguments, folder), "step 10,000")
    assert_interrupted(code, err)
    assert (folder / "model.safetensors").read_bytes() == tiny_file.read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "model.safetensors.checkpoint",
    }
    command = "llmhard train --resume model.safetensors.checkpoint --out model.safetensors"
    assert command in err  # the old model may be replaced only if one says so


def test_ctrl_c_while_sampling(folder, tiny_file):
    process = start(
        ["sample", "--model", tiny_file, "-n", 10**9], folder, stdout=subprocess.DEVNULL
    )
    time.sleep(0.7)
    code, _, err = interrupt(process)
    assert_interrupted(code, err)
    assert files(folder) == {}


def test_ctrl_c_on_a_terminal(folder, sentences_file):
    ours, theirs = pty.openpty()
    arguments = ["train", "--data", sentences_file, "--steps", 10**7, *SMALL]
    process = start(arguments, folder, stderr=theirs, env=ENV | {"TERM": "xterm"})
    os.close(theirs)
    shown = read_terminal(ours, until=b"loss")
    process.send_signal(signal.SIGINT)
    shown += read_terminal(ours)
    os.close(ours)
    process.communicate(timeout=30)
    assert_interrupted(process.returncode, shown.decode())
    # The bar hides the cursor; a person wants it back.
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
    assert {path.name for path in folder.iterdir()} <= {"model.safetensors.checkpoint"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_while_saving(call, folder, sentences_file, monkeypatch, moment):
    replace = Path.replace

    def interrupted(self, target):
        if moment == "after":
            replace(self, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    code, _, err = call("train", "--data", sentences_file, "--steps", 3, "--quiet", *SMALL)
    assert code == 130
    assert_one_line(err)
    # A message must not deny a file that is there.
    assert ("nothing was saved" in err) <= (moment == "before")
    assert [p.name for p in folder.iterdir()] == (
        ["model.safetensors"] if moment == "after" else []
    )


# ---------------------------------------------------------------- a checkout that is not built


ENGINE = sorted(
    path.name.split(".")[0]
    for path in (CHECKOUT / "pyx" / "llmhard" / "engine").glob("*.pyx*")
    if path.stem != "processor"  # which only a wheel asks
)


@pytest.fixture
def unbuilt(tmp_path):
    """A copy of the package without the compiled engine."""
    package = tmp_path / "unbuilt" / "llmhard"
    engine = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(CHECKOUT / "llmhard", package, ignore=engine)
    return package.parent


@pytest.mark.parametrize("program", [["-m", "llmhard"], ["llmhard-script/llmhard"]])
@pytest.mark.parametrize("engine", ["missing", "of another Python", "a part"])
def test_without_the_engine_the_program_says_what_to_run(unbuilt, program, engine):
    (unbuilt / "llmhard-script").mkdir()
    script = "import sys\nsys.path[0] = ''\nfrom llmhard.cli import main\n"
    (unbuilt / "llmhard-script" / "llmhard").write_text(script)
    suffixes = {"of another Python": ".cpython-310-x86_64-linux-gnu.so", "a part": EXTENSION}
    if engine in suffixes:
        for name in ENGINE:
            (unbuilt / "llmhard/engine" / f"{name}{suffixes[engine]}").write_bytes(b"\x7fELF")
    # -S: an editable installation would find the engine of the checkout.
    for arguments in (["train"], ["sample"], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-S", *program, *arguments],
            cwd=unbuilt, env=ENV | {"PYTHONPATH": ""}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stdout == ""
        assert_one_line(done.stderr)
        assert "run: python setup.py build_ext --inplace" in done.stderr
        assert ("cannot be loaded" in done.stderr) == (engine == "a part")


@pytest.mark.parametrize("missing", ENGINE)
def test_without_one_of_its_modules_the_engine_is_not_compiled(unbuilt, missing):
    for name in set(ENGINE) - {missing}:
        shutil.copy(
            CHECKOUT / "llmhard" / "engine" / f"{name}{EXTENSION}", unbuilt / "llmhard/engine"
        )
    done = subprocess.run(
        [sys.executable, "-S", "-m", "llmhard", "train"],
        cwd=unbuilt, env=ENV | {"PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert_one_line(done.stderr)
    assert "run: python setup.py build_ext --inplace" in done.stderr


def test_without_the_engine_an_import_says_what_to_run(unbuilt):
    code = (
        "try: import llmhard\n"
        "except ImportError as error: print(error)\n"
        "try: from llmhard.cli import main\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=unbuilt, env=ENV | {"PYTHONPATH": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("python setup.py build_ext --inplace" in line for line in lines)
