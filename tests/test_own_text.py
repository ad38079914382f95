"""The command line with a text of one's own: words, characters, standard input, odd files."""

import codecs
import contextlib
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import checkpoint, cli, corpus, files, model_file

CHECKOUT = Path(cli.__file__).parents[2]
NAMES = Path(__file__).parent / "names.txt"
ENV = os.environ | {"PYTHONPATH": str(CHECKOUT)}
SIZES = ["--n-layer", "1", "--n-embd", "8", "--n-head", "2"]
SHORT = ["--preset", "classic", "--steps", "3", *SIZES]
STORY = """\
The cat isn't big. "Is it well?" asked Mia.
The dog is 3.5 years old, and BIG!

The   cat and the dog\u2019s friend\u2026 sat.
"""


def start(*arguments, **options):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "llmhard", *map(str, arguments)]
    return subprocess.Popen(command, **(pipes | {"env": ENV} | options))


def run(*arguments, text=b"", **options):
    """Run the program to its end: exit code, stdout, stderr."""
    process = start(*arguments, **options)
    out, err = process.communicate(text.encode() if isinstance(text, str) else text, timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def names_model(tmp_path_factory):
    """A model that writes names, from a list of them."""
    out = tmp_path_factory.mktemp("names") / "names.safetensors"
    arguments = ["--preset", "classic", "--steps", "1500", "--out", out, "--quiet"]
    assert run("train", "--data", NAMES, "--tokenizer", "char", *arguments) == (0, "", "")
    return out


def complaints(err):
    return [line for line in err.splitlines() if not line.startswith("step ")]


def refused(result):
    """Check that bad input gets one line and exit code 2; returns the line."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("llmhard: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    assert len(err) < 1000
    return err


# ---------------------------------------------------------------- words


def test_a_story_of_words(folder):
    (folder / "story.txt").write_text(STORY, encoding="utf-8")
    code, out, err = run("train", "--data", "story.txt", *SHORT, "--block-size", 20)
    assert code == 0
    assert complaints(err) == []
    assert re.search(r"^sentences   3\n", out)
    # . " ? " .   , !   the ellipsis and the .
    assert "text        made lower case; 9 punctuation marks are words of their own\n" in out
    words = model_file.load("model.safetensors").tokenizer.words
    assert f"vocabulary  {len(words) + 1} tokens: {len(words)} words and BOS\n" in out
    assert {"isn't", "dog's", "3.5", '"', "\u2026", "mia", "big"} <= set(words)
    assert not {"The", "it's", "well?", "big."} & set(words)

    code, out, err = run("sample", "-n", 3, "--seed", 1, "--prompt", "The DOG\u2019s friend, Mia")
    assert (code, err) == (0, "")
    assert all(line.startswith("the dog's friend, mia") for line in out.splitlines())
    line = refused(run("sample", "--prompt", "The dogs"))
    assert "the word 'dogs' is not in the vocabulary; near it: dog" in line


def test_nothing_is_said_of_a_text_that_stays_as_it_is(folder):
    (folder / "plain.txt").write_text("the cat\ndon't run 3.5 miles\n")
    code, out, err = run("train", "--data", "plain.txt", *SHORT)
    assert (code, complaints(err)) == (0, [])
    assert "text  " not in out
    code, out, err = run("train", *SHORT)
    assert (code, complaints(err)) == (0, [])
    assert "text  " not in out


def test_words_that_occur_once_are_reported_with_advice():
    code, out, err = run("train", "--data", NAMES, *SHORT)
    assert code == 0
    assert "vocabulary  368 tokens: 367 words and BOS" in out
    (advice,) = complaints(err)
    assert advice.startswith("llmhard: 367 different words are many for this text: 367 occur only")
    assert "each occurs 1.0 times on average" in advice
    assert "--tokenizer char" in advice
    assert complaints(run("train", "--data", NAMES, "--tokenizer", "char", *SHORT)[2]) == []


@pytest.mark.parametrize(
    ("words", "times", "advised"),
    [(99, 1, False), (100, 1, True), (100, 2, False), (3000, 2, False), (3001, 2, True)],
)
def test_how_many_words_are_many(folder, words, times, advised):
    text = "\n".join(f"w{i}" for i in range(words)) + "\n"
    (folder / "d.txt").write_text(text * times)
    code, _, err = run("train", "--data", "d.txt", *SHORT)
    assert code == 0
    assert len(complaints(err)) == advised
    if advised:
        assert f"{words:,} different words are many" in err
        assert f"{words if times == 1 else 0:,} occur only once" in err
        assert f"occurs {times}.0 times" in err


def test_characters_are_never_too_many(folder):
    (folder / "d.txt").write_text("\n".join(map(chr, range(0x4E00, 0x4E00 + 3100))), "utf-8")
    code, out, err = run("train", "--data", "d.txt", "--tokenizer", "char", *SHORT)
    assert (code, complaints(err)) == (0, [])
    assert "3,101 tokens: 3,100 characters and BOS" in out


def test_half_of_the_words_only_once_are_not_too_many(folder):
    for once, advised in ((50, 0), (51, 1)):
        twice = [f"t{i}" for i in range(100 - once)]
        words = [f"o{i}" for i in range(once)] + twice * 2
        (folder / "d.txt").write_text("\n".join(words))
        assert len(complaints(run("train", "--data", "d.txt", *SHORT)[2])) == advised


# ---------------------------------------------------------------- characters


def test_a_name_generator(names_model):
    names = NAMES.read_text().split()
    tokenizer = model_file.load(names_model).tokenizer
    assert (tokenizer.kind, tokenizer.words) == ("char", tuple(sorted({*"".join(names)})))
    code, out, err = run("sample", "--model", names_model, "-n", 200, "--seed", 1)
    assert (code, err) == (0, "")
    written = out.splitlines()
    assert len(written) == 200
    likely = [name for name in written if re.fullmatch("[A-Z][a-z]{2,15}", name)]
    assert len(likely) > 180
    # It makes up names, too, and does not only know them by heart.
    assert len(set(likely) - set(names)) > 50
    pairs = {name[i : i + 2] for name in names for i in range(len(name) - 1)}
    letters = [name[i : i + 2] for name in likely for i in range(len(name) - 1)]
    assert sum(pair in pairs for pair in letters) > 0.95 * len(letters)


def test_what_is_said_of_characters(folder):
    code, out, err = run("train", "--data", NAMES, "--tokenizer", "char", *SHORT)
    assert (code, complaints(err)) == (0, [])
    assert re.search(r"^lines       367, of which 36 held out\n", out)
    assert "text        kept as it is, capitals too\n" in out
    assert "vocabulary  50 tokens: 49 characters and BOS\n" in out
    assert "on 36 held-out lines\n" in out
    (folder / "small.txt").write_text("o'neil\n")
    out = run("train", "--data", "small.txt", "--tokenizer", "char", *SHORT)[1]
    assert "text        kept as it is\n" in out


def test_a_prompt_of_characters_goes_on(names_model):
    code, out, err = run("sample", "--model", names_model, "--prompt", "Em", "-n", 30, "--seed", 2)
    assert (code, err) == (0, "")
    assert all(line.startswith("Em") for line in out.splitlines())
    assert len(set(out.splitlines())) > 5
    assert any(re.match("Em[a-z]", line) for line in out.splitlines())


def test_spaces_are_characters_where_the_text_has_them(folder, names_model):
    (folder / "d.txt").write_text("Mary  Ann\nE m\n")
    assert run("train", "--data", "d.txt", "--tokenizer", "char", *SHORT)[0] == 0
    for prompt, shown in (("E m", "E m"), ("E   m", "E m"), ("Mary ", "Mary "), (" Ann", "Ann")):
        out = run("sample", "--prompt", prompt, "-n", 5, "--seed", 1)[1]
        assert all(line.startswith(shown) for line in out.splitlines())
    line = refused(run("sample", "--model", names_model, "--prompt", "E m"))
    assert "the character ' ' is not in the vocabulary" in line


def test_prompts_that_are_none(names_model):
    def sample(prompt):
        return refused(run("sample", "--model", names_model, "--prompt", prompt))

    assert "the character '3' is not in the vocabulary\n" in sample("Em3")
    assert "the character '\u00e9' is not in the vocabulary; near it: E, e" in sample("Zo\u00e9")
    assert "the character 'X' is not in the vocabulary; near it: x" in sample("X")
    assert "at most 15" in sample("a" * 16)
    sample("a" * 100_000)
    sample("\x1b[31m")


def test_long_lines_are_cut_with_a_notice(folder):
    (folder / "d.txt").write_text("a" * 30 + "\nab\n" + "b" * 40 + "\n")
    code, _, err = run("train", "--data", "d.txt", "--tokenizer", "char", *SHORT)
    assert code == 0
    assert complaints(err) == [
        "llmhard: 2 lines are longer than the context of 16 tokens; only the beginning is learned; "
        "--block-size 41 would hold them all"
    ]
    (folder / "d.txt").write_text("a" * 16 + "\nab\n")
    assert "1 line is longer" in run("train", "--data", "d.txt", "--tokenizer", "char", *SHORT)[2]


def test_what_is_no_tokenizer():
    line = refused(run("train", "--data", NAMES, "--tokenizer", "letters"))
    assert "choose from word, char" in line


def test_a_checkpoint_of_characters_goes_on(folder):
    arguments = ["--data", NAMES, "--tokenizer", "char", "--preset", "classic", *SIZES, "--quiet"]
    assert run("train", *arguments, "--steps", 4000, "--out", "whole")[0] == 0
    process = start("train", *arguments, "--steps", 4000, "--checkpoint-every", 1)
    while not (folder / "model.safetensors.checkpoint").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (folder / "model.safetensors").exists()
    line = refused(run("train", "--resume", "model.safetensors.checkpoint", "--tokenizer", "char"))
    assert "leave out --tokenizer" in line
    code, out, err = run("train", "--resume", "model.safetensors.checkpoint")
    assert (code, complaints(err)) == (0, [])
    assert out.startswith("resuming ")
    assert (folder / "model.safetensors").read_bytes() == (folder / "whole").read_bytes()


def test_fine_tuning_characters(folder, names_model):
    (folder / "d.txt").write_text("Bobby\nZoe\nTed\n")
    code, out, err = run("finetune", "--model", names_model, "--data", "d.txt", "--steps", 3)
    assert (code, complaints(err)) == (0, [])
    assert "lines       3\n" in out
    assert model_file.load("finetuned.safetensors").tokenizer.kind == "char"
    (folder / "d.txt").write_text("Bobby 3\nZoe\n")
    code, _, err = run("finetune", "--model", names_model, "--data", "d.txt")
    assert code == 2
    assert "does not know 2 of the characters in d.txt: ' ', '3'; leave out the lines with" in err


# ---------------------------------------------------------------- standard input


@pytest.mark.parametrize("kind", ["word", "char"])
def test_a_pipe(folder, kind):
    (folder / "d.txt").write_text(STORY, encoding="utf-8")
    arguments = ["--tokenizer", kind, "--block-size", 50, *SHORT, "--quiet"]
    assert run("train", "--data", "-", "--out", "piped", *arguments, text=STORY) == (0, "", "")
    assert run("train", "--data", "d.txt", "--out", "read", *arguments) == (0, "", "")
    piped, read = model_file.load("piped"), model_file.load("read")
    assert piped.tokenizer.words == read.tokenizer.words
    assert piped.record.data.name == "standard input"
    assert piped.record.data.sha256 == read.record.data.sha256
    assert piped.record.final_loss == read.record.final_loss


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "there are no sentences in it"),
        (b"\n \n", "there are no sentences in it"),
        ("\ufeff\u200b\n\u202e\n".encode(), "there are no sentences in it"),
        (b"\x7fELF\0", "binary file"),
        (b"the \x1b[31mcat", "control character"),
    ],
)
@pytest.mark.parametrize("kind", ["word", "char"])
def test_a_pipe_without_text(text, why, kind):
    line = refused(run("train", "--data", "-", "--tokenizer", kind, text=text))
    assert not any(Path.cwd().iterdir())
    assert line.startswith("llmhard: cannot read sentences from standard input: ")
    assert why in line


ENCODED = "The cat \u2019s big.\r\nUn caf\u00e9 \U0001f600\n\u732b\u304c"
MARKED = {
    "UTF-8": codecs.BOM_UTF8,
    "UTF-16LE": codecs.BOM_UTF16_LE,
    "UTF-16BE": codecs.BOM_UTF16_BE,
    "UTF-32LE": codecs.BOM_UTF32_LE,
    "UTF-32BE": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("encoding", MARKED)
def test_a_mark_says_how_a_text_is_encoded(folder, encoding):
    (folder / "d.txt").write_bytes(MARKED[encoding] + ENCODED.encode(encoding))
    (folder / "utf8.txt").write_bytes(ENCODED.encode())
    sentences = corpus.read_sentences("d.txt")
    assert sentences == corpus.read_sentences("utf8.txt")
    assert sentences == ["The cat \u2019s big.", "Un caf\u00e9 \U0001f600", "\u732b\u304c"]
    data = (folder / "d.txt").read_bytes()
    code, out, err = run("train", "--data", "-", "--tokenizer", "char", *SHORT, text=data)
    assert (code, complaints(err)) == (0, [])
    assert re.search("^lines       3\n", out)


@pytest.mark.parametrize("encoding", [*MARKED][1:])
@pytest.mark.parametrize("text", [ENCODED, "a", "caf\u00e9\u0416\n" * 5000])
def test_without_a_mark_it_says_how_to_convert_it(folder, encoding, text):
    (folder / "d.txt").write_bytes(text.encode(encoding))
    line = refused(run("train", "--data", "d.txt"))
    assert f"it looks like {encoding} without a byte-order mark" in line
    command = re.search("(iconv .*)\n", line)[1]
    converted = subprocess.run([*command.split(), "d.txt"], capture_output=True, check=True)
    assert converted.stdout.decode() == text


def test_an_older_windows_text_is_told_how_to_convert_it(folder):
    (folder / "d.txt").write_bytes("Un caf\u00e9 \u201cfroid\u201d\n".encode("cp1252"))
    line = refused(run("train", "--data", "d.txt"))
    assert "it is not UTF-8 text: byte 6 is 0xe9; save it as UTF-8 or" in line
    command = re.search("(iconv .*)\n", line)[1]
    converted = subprocess.run([*command.split(), "d.txt"], capture_output=True, check=True)
    assert converted.stdout.decode() == "Un caf\u00e9 \u201cfroid\u201d\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        *((mark, "there are no sentences in it") for mark in MARKED.values()),
        (codecs.BOM_UTF8 + codecs.BOM_UTF8, "there are no sentences in it"),
        (
            codecs.BOM_UTF8 + b"caf\xe9",
            "it begins as UTF-8 but does not continue that way: byte 6 is",
        ),
        (
            codecs.BOM_UTF16_LE + b"a\0b",
            "UTF-16 but does not continue that way: byte 4 is 0x62, truncated",
        ),
        (codecs.BOM_UTF16_LE + b"a", "truncated"),
        (codecs.BOM_UTF16_BE + b"\xd8\0\0a", "illegal"),
        (codecs.BOM_UTF16_LE + b"\0\xdca\0", "illegal"),
        (codecs.BOM_UTF16_LE + b"a\0\0\0", "control character '\\x00'"),
        (codecs.BOM_UTF32_LE + b"a\0\0\0b", "truncated"),
        (codecs.BOM_UTF32_BE + b"\0\0\xd8\0", "surrogate"),
        (codecs.BOM_UTF32_LE + b"\xff\xff\xff\xff", "not in range"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (b"a\0\0\0\0\0\0\0", "binary file"),
        (bytes(100), "binary file"),
        (b"the cat\0\n", "binary file"),
        (b"a dog\0", "binary file"),
        (bytes(range(256)), "binary file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary file"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1", "binary file"),
        (b"PK\3\4\x14\0\0\0\x08\0", "binary file"),
    ],
)
def test_bytes_that_are_no_text(folder, content, why):
    (folder / "d.txt").write_bytes(content)
    with pytest.raises(corpus.CorpusError) as caught:
        corpus.read_sentences("d.txt")
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@given(st.binary(max_size=40), st.sampled_from([b"", *MARKED.values()]))
def test_any_bytes_are_sentences_or_refused(tmp_path_factory, content, mark):
    path = tmp_path_factory.getbasetemp() / "any bytes"
    path.write_bytes(mark + content)
    with contextlib.suppress(corpus.CorpusError):
        sentences = corpus.read_sentences(path)
        assert sentences
        assert all(sentence == " ".join(sentence.split()) for sentence in sentences)
        assert not re.search(r"[\x00-\x1f\ud800-\udfff]", "".join(sentences))


@pytest.mark.parametrize("name", ["a\0b", "\0", "a\udcff\ud800"])
def test_a_name_that_no_file_can_have(name):
    for read in (corpus.read_sentences, model_file.load, checkpoint.Checkpoint):
        with pytest.raises(OSError, match="no file has such a name"):
            read(name)


def endless(arguments, **options):
    """Run the program on what has no end, with too little memory for all of it."""

    def little_memory():
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    return refused(run(*arguments, preexec_fn=little_memory, **options))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "/dev/zero"],
        ["finetune", "--data", "/dev/zero", "--model", "MODEL"],
        ["info", "/dev/zero"],
        ["train", "--resume", "/dev/zero"],
    ],
)
def test_a_device_without_an_end(arguments, tiny_file):
    line = endless([tiny_file if argument == "MODEL" else argument for argument in arguments])
    assert "/dev/zero: it has more than 1,073,741,824 bytes; take a part of it" in line


def test_a_pipe_without_an_end():
    yes = subprocess.Popen(["yes", "the cat"], stdout=subprocess.PIPE)
    line = endless(["train", "--data", "-"], stdin=yes.stdout)
    yes.stdout.close()
    yes.wait()
    assert "standard input: it has more than 1,073,741,824 bytes" in line


@pytest.mark.parametrize("size", [999, 1000, 1001, 5000])
def test_how_much_is_read(folder, size):
    (folder / "f").write_bytes(b"a" * size)
    assert files.read("f") == b"a" * size
    for largest in (999, 1000):
        if size > largest:
            with pytest.raises(OSError, match=f"more than {largest:,} bytes"):
                files.read("f", largest)
        else:
            assert files.read("f", largest) == b"a" * size


def test_standard_input_that_cannot_be_read(folder):
    closed = run("train", "--data", "-", stdin=None, preexec_fn=lambda: os.close(0))
    assert "cannot read sentences from standard input: it is closed" in refused(closed)
    with (folder / "for writing").open("wb") as file:
        refused(run("train", "--data", "-", stdin=file))


def test_a_terminal_that_hangs_up_while_one_types():
    ours, theirs = pty.openpty()
    process = start("train", "--data", "-", *SHORT, stdin=theirs)
    os.close(theirs)
    os.write(ours, b"the cat\na do")
    while process.poll() is None and not reading(process.pid):
        time.sleep(0.02)
    os.close(ours)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, b"")
    assert err.decode().splitlines()[1:] == [
        "llmhard: cannot read sentences from standard input: Input/output error"
    ]


def test_a_terminal_is_asked_for_sentences():
    ours, theirs = pty.openpty()
    process = start("train", "--data", "-", *SHORT, stdin=theirs)
    os.close(theirs)
    os.write(ours, b"the cat\na dog\n\x04")
    out, err = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0
    assert b"sentences   2\n" in out
    (asked,) = complaints(err.decode())
    assert asked.startswith("llmhard: type the sentences, one per line; Ctrl-D")


@pytest.mark.parametrize("stdin", ["pipe", "terminal"])
def test_ctrl_c_while_reading(folder, stdin):
    ours, theirs = pty.openpty() if stdin == "terminal" else os.pipe()[::-1]
    process = start("train", "--data", "-", *SHORT, stdin=theirs)
    os.close(theirs)
    os.write(ours, b"the cat\n")
    while process.poll() is None and not reading(process.pid):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    os.close(ours)
    assert (process.returncode, out) == (130, b"")
    assert err.splitlines()[-1] == b"llmhard: interrupted"
    assert len(err.splitlines()) == (2 if stdin == "terminal" else 1)
    assert list(folder.iterdir()) == []


def reading(pid):
    """Whether a process waits for its standard input."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 ")
    except OSError:
        return False


def test_a_training_from_a_pipe_goes_on_with_the_same_text():
    arguments = ["--data", "-", *SIZES, "--preset", "classic", "--steps", "100000"]
    process = start("train", *arguments)
    process.stdin.write(STORY.encode())
    process.stdin.close()
    while b"step 10,000 " not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    process.stdout.close()
    process.stderr.close()
    assert "standard input" in refused(run("train", "--resume", "model.safetensors.checkpoint"))
    other = run(
        "train", "--resume", "model.safetensors.checkpoint", "--data", "-", text="the cat\n"
    )
    assert "not those that the training run began with" in refused(other)
    code, out, _ = run(
        "train", "--resume", "model.safetensors.checkpoint", "--data", "-", text=STORY
    )
    assert code == 0
    assert out.startswith("resuming ")
    assert Path("model.safetensors").is_file()


# ---------------------------------------------------------------- odd texts

ODD = {
    "a line of a million letters": "x" * 1_000_000,
    "a line of a million letters and spaces": "ab cd " * 170_000,
    "a million marks": "!?" * 500_000,
    "only punctuation": "...\n!!! ???\n---\n'\"'\n",
    "right to left": "\u0645\u0631\u062d\u0628\u0627\u060c \u0634\u0644\u0648\u0645.\n",
    "zero width": "c\u200bat\ncat\nca\u00adt\n\ufeffcat\n\u202ecat\u202c\n",
    "two spellings": "caf\u00e9\ncafe\u0301\n",
    "no spaces": "\u732b\u304c\u5ea7\u308b\u3002\n\u72ac\n",
    "emoji": "\U0001f469\u200d\U0001f680 \u2764\ufe0f\n\U0001f1eb\U0001f1f7!\n",
    "line ends": "the cat\r\na dog\rone\u2028two\u0085three\x0bfour",
    "one character": "a",
}


@pytest.mark.parametrize("kind", ["word", "char"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_texts(folder, odd, kind):
    (folder / "d.txt").write_bytes(ODD[odd].encode())
    code, out, err = run("train", "--data", "d.txt", "--tokenizer", kind, *SHORT)
    assert code == 0, err
    assert "Traceback" not in err
    tokenizer = model_file.load("model.safetensors").tokenizer
    assert f"{tokenizer.vocab_size:,} tokens" in out
    if odd == "zero width":
        assert tokenizer.words == (("cat",) if kind == "word" else ("a", "c", "t"))
    if odd == "two spellings":
        assert tokenizer.words[-1] == ("caf\u00e9" if kind == "word" else "\u00e9")
    if odd == "only punctuation":
        assert "text        " in out
        assert all(not any(map(str.isalnum, word)) for word in tokenizer.words)
    code, out, err = run("sample", "-n", 3, "--temperature", 2, "--seed", 1)
    assert (code, err) == (0, "")
    assert len(out.split("\n")) == 4
    # What it writes it can read again.
    for line in out.splitlines():
        assert tokenizer.unknown(line) == []


def test_a_hundred_thousand_words(folder):
    (folder / "d.txt").write_text("\n".join(f"w{i} w{i + 50_000}" for i in range(50_000)))
    code, out, err = run("train", "--data", "d.txt", *SHORT)
    assert code == 0
    assert "vocabulary  100,001 tokens" in out
    assert "100,000 different words are many for this text: 100,000 occur only once" in err
    code, out, err = run("sample", "-n", 1, "--prompt", "w7")
    assert (code, err) == (0, "")
    assert "'w123456' is not in the vocabulary" in run("sample", "--prompt", "w123456")[2]


def test_a_vocabulary_beyond_the_limit_is_refused(folder):
    (folder / "d.txt").write_text("\n".join(f"w{i}" for i in range(50_000)))
    arguments = ["train", "--data", "d.txt", "--n-embd", 1024]
    assert "parameters is too large" in refused(run(*arguments, "--quiet"))
    assert "different words" not in run(*arguments)[2]
