"""`sample` for people: --stream, --show-probs and --interactive, in a pipe and on a terminal."""

import ast
import os
import pty
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from test_cli import ENV, assert_one_line, read_terminal, run, start

from llmhard import Matrix, model_file
from llmhard.cli.probabilities import Table
from llmhard.model import GPT, Config
from llmhard.sampler import Reader, Sampling
from llmhard.tokenizer import BOS, CharTokenizer, Tokenizer

NUMBER = "(?:[01][.][0-9]{4}| *[0-9]e-[0-9]+| +0)"
ROW = re.compile(
    rf"(?P<mark>[> ]) +(?P<rank>\d+)  (?P<model>{NUMBER})(?:  (?P<drawn>{NUMBER}))?"
    r"  (?P<word>\S.*?)(?:  +(?P<bar>#*[+]*-*))?"
)


def tables(err, width=80):
    """What --show-probs wrote: the legend, and for each step the beginning and its rows."""
    lines = err.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.endswith("  word"))
    steps = []
    for line in lines:
        assert cell_len(line) <= width
        assert line == line.rstrip()
    for line in lines[heading + 1 :]:
        if row := ROW.fullmatch(line):
            steps[-1][1].append(row)
        else:
            assert line.endswith("...")
            steps.append((line.removesuffix("...").strip(), []))
    return " ".join(lines[:heading]), steps


def talk(lines, folder, *arguments, **options):
    """Run the prompt with these lines in a pipe: exit code, stdout, stderr."""
    process = start(
        ["sample", "--interactive", *arguments], folder, stdin=subprocess.PIPE, **options
    )
    out, err = process.communicate(lines, timeout=30)
    return process.returncode, out, err


@pytest.fixture
def folder(tmp_path, tiny_file):
    """A current directory with the model."""
    (tmp_path / "model.safetensors").write_bytes(tiny_file.read_bytes())
    return tmp_path


class Terminal:
    """A program on a terminal, with a person who types and who does not wait for ever."""

    def __init__(self, arguments, folder, **options):
        self.descriptor, theirs = pty.openpty()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        dumb = {"env": ENV | {"TERM": "dumb", "COLUMNS": "80"}}
        self.process = start(
            arguments, folder, start_new_session=True, **(dumb | streams | options)
        )
        os.close(theirs)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def wait_for(self, text):
        """What is shown until `text` is."""
        shown = self.read(until=text.encode())
        assert text in shown
        return shown

    def read(self, until=None):
        watchdog = threading.Timer(30, self.process.kill)
        watchdog.start()
        shown = read_terminal(self.descriptor, until).decode()
        watchdog.cancel()
        return shown

    def end(self):
        """The exit code and the rest of what is shown."""
        rest = self.read()
        os.close(self.descriptor)
        return self.process.wait(timeout=30), rest


# ---------------------------------------------------------------- --stream


@pytest.mark.parametrize("prompt", ["", "the cat", " the   big "])
def test_streamed_sentences_are_the_same(folder, prompt):
    arguments = ["sample", "--seed", 3, "--prompt", prompt, "--temperature", 1.5]
    plain = run(arguments, folder)
    assert plain[::2] == (0, "")
    assert len(plain[1].splitlines()) == 20
    assert run([*arguments, "--stream"], folder) == plain


def test_words_come_one_by_one(folder):
    code = (
        "import sys\n"
        "from llmhard.cli import main\n"
        "write, parts = sys.stdout.write, []\n"
        "class Out:\n"
        "    def write(self, text): parts.append(text)\n"
        "    def flush(self): parts.append(None)\n"
        "    closed = False\n"
        "    def isatty(self): return False\n"
        "out, sys.stdout = sys.stdout, Out()\n"
        "main(['sample', '-n', '5', '--seed', '3', '--stream'])\n"
        "sys.stdout = out\n"
        "print(parts)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=ENV, capture_output=True, check=True
    )
    parts = ast.literal_eval(done.stdout.decode())
    words = [part for part in parts if part and part.strip()]
    assert len(words) > 10
    # Each word is flushed before the next one is there.
    assert all(parts[i + 1 :][:2].count(None) for i, part in enumerate(parts) if part in words)
    assert all(len(word.split()) == 1 for word in words)


def test_a_person_can_watch_the_words_come(folder):
    plain = run(["sample", "-n", 2, "--seed", 3], folder)[1]
    terminal = Terminal(["sample", "-n", 2, "--seed", 3, "--stream"], folder)
    began = time.perf_counter()
    code, shown = terminal.end()
    assert code == 0
    assert shown.replace("\r\n", "\n") == plain
    assert time.perf_counter() - began > 0.05 * len(plain.split())


def test_a_pipe_is_not_kept_waiting(folder):
    began = time.perf_counter()
    code, out, _ = run(["sample", "-n", 300, "--seed", 3, "--stream"], folder)
    assert code == 0
    assert len(out.split()) > 600  # 48 s with pauses
    assert time.perf_counter() - began < 20


def test_ctrl_c_in_the_middle_of_a_sentence(folder):
    terminal = Terminal(["sample", "-n", 1000, "--stream"], folder)
    shown = terminal.wait_for("\r\nthe ")
    terminal.process.send_signal(signal.SIGINT)
    code, rest = terminal.end()
    shown += rest
    assert code == 130
    assert "Traceback" not in shown
    assert shown.endswith("\r\nllmhard: interrupted\r\n")


def test_errors_of_a_streamed_prompt(folder):
    for prompt, why in (("the cta", "'cta'"), ("the " * 8, "at most 7")):
        code, out, err = run(["sample", "--stream", "--prompt", prompt], folder)
        assert (code, out) == (2, "")
        assert_one_line(err)
        assert why in err


@pytest.mark.parametrize("flag", ["--stream", "--show-probs"])
def test_a_reader_that_has_seen_enough(folder, flag):
    process = start(["sample", "-n", 10**9, flag], folder, stderr=subprocess.STDOUT)
    assert process.stdout.readline() != ""
    process.stdout.close()
    assert process.wait(timeout=30) in (141, -signal.SIGPIPE)


@pytest.mark.parametrize("flag", ["--stream", "--show-probs", "--interactive"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_is_closed_or_full(folder, flag, stream):
    number = {"stdout": 1, "stderr": 2}[stream]
    arguments = ["sample", "-n", 2, "--seed", 1, flag]
    with Path("/dev/null").open() as nothing:
        code, out, err = run(
            arguments, folder, stdin=nothing, preexec_fn=lambda: os.close(number), **{stream: None}
        )
    assert "Traceback" not in (err or "")
    assert code == 0
    if stream == "stderr" and flag != "--interactive":
        assert out == run(["sample", "-n", 2, "--seed", 1], folder)[1]


# ---------------------------------------------------------------- --show-probs


SETTINGS = [
    {},
    {"temperature": 0},
    {"temperature": 1},
    {"temperature": 1.3, "top_p": 0.95},
    {"temperature": 1, "top_k": 3},
    {"temperature": 2, "top_k": 4, "top_p": 0.5},
]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_tables_tell_the_sentence_and_the_model(folder, tiny, settings, width):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    arguments = ["sample", "-n", 6, "--seed", 3, *flags]
    env = ENV | {"COLUMNS": str(width)}
    code, out, err = run([*arguments, "--show-probs"], folder, env=env)
    assert code == 0
    assert out == run(arguments, folder)[1]
    legend, steps = tables(err, width)
    sampling, reader = Sampling(**settings), Reader(tiny.model)
    for name, value in (("temperature", sampling.temperature), *settings.items()):
        changes = value != getattr(Sampling(1.0), name)
        assert (f"{name.replace('_', '-')} {value:g}" in legend) == changes
    told, widest = [], 0
    for beginning, rows in steps:
        (chosen,) = [row["word"] for row in rows if row["mark"] == ">"]
        reader.restart()
        for token in [BOS, *tiny.tokenizer.encode(beginning)]:
            logits = reader.read(token)
        model, drawn = Sampling(1.0).probabilities(logits), sampling.probabilities(logits)
        likeliest = sorted(model, reverse=True)
        # Also those that the settings leave no chance.
        assert [int(row["rank"]) for row in rows[:5]] == [1, 2, 3, 4, 5]
        assert len(rows) <= 6
        for row in rows:
            token = BOS if row["word"] == "(end)" else tiny.tokenizer.encode(row["word"])[0]
            assert float(row["model"]) == pytest.approx(model[token], rel=0.06, abs=5e-5)
            assert model[token] == pytest.approx(likeliest[int(row["rank"]) - 1], rel=1e-9)
            if sampling == Sampling(1.0):
                assert row["drawn"] is None
            else:
                assert float(row["drawn"]) == pytest.approx(drawn[token], rel=0.06, abs=5e-5)
                assert (row["drawn"].strip() == "0") == (drawn[token] == 0)
            widest = max(widest, cell_len(row[0]))
        if told:
            assert beginning == ("" if told[-1][1] else told[-1][0])
        said = beginning if chosen == "(end)" else f"{beginning} {chosen}".strip()
        ended = chosen == "(end)" or len(said.split()) == tiny.model.config.block_size
        told.append((said, ended))
    assert [said for said, ended in told if ended] == out.splitlines()
    if sampling.temperature == 0:  # a bar of full length: it uses the terminal, up to 1 % a sign
        assert widest == min(width, 22 + 5 + 2 + 100)


def test_bars_show_what_both_have_what_is_added_and_what_is_taken_away():
    tokenizer = Tokenizer(["a", "b", "c"])
    table = Table(tokenizer, Sampling(0.5), 9, 28 + 10)  # 10 for a bar
    rows = [line.text for line in table.step([], 1, [0.5, 0.3, 0.2, 0.0], [0.8, 0.2, 0.0, 0.0])]
    assert rows == [
        "...",
        "  1  0.5000  0.8000  (end)  #####+++",
        "> 2  0.3000  0.2000  a      ##-",
        "  3  0.2000       0  b      --",
    ]


def test_the_number_of_candidates(folder, tiny):
    base = ["sample", "-n", 3, "--seed", 3, "--temperature", 2]
    for count in (1, 3, 10**6):
        for _, rows in tables(run([*base, "--show-probs", count], folder)[2])[1]:
            likeliest = [row for row in rows if int(row["rank"]) <= count]
            assert len(likeliest) == min(count, tiny.tokenizer.vocab_size)
            assert len(rows) <= count + 1
    for _, rows in tables(run([*base, "--temperature", 0, "--show-probs"], folder)[2])[1]:
        assert [row["mark"] for row in rows] == [">", " ", " ", " ", " "]
        assert [row["drawn"].strip() for row in rows] == ["1.0000", "0", "0", "0", "0"]
        assert len({row["model"] for row in rows}) > 1
    for _, rows in tables(run([*base, "--top-k", 3, "--show-probs"], folder)[2])[1]:
        assert [row["drawn"].strip() == "0" for row in rows] == [False] * 3 + [True] * 2


def test_the_chosen_word_stands_out_on_a_terminal(folder):
    def shown(**env):
        arguments = ["sample", "-n", 2, "--seed", 3, "--show-probs"]
        code, text = Terminal(arguments, folder, env=ENV | {"COLUMNS": "80"} | env).end()
        assert code == 0
        return text.replace("\r\n", "\n")

    coloured = shown(TERM="xterm")
    rows = re.findall(r"^\x1b\[1;32m(.*)\x1b\[0m$", coloured, flags=re.MULTILINE)
    plain = shown(TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in plain
    assert rows == re.findall(r"^> .*$", plain, flags=re.MULTILINE)
    assert len(rows) > 5
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain == shown(TERM="dumb")
    piped = run(
        ["sample", "-n", 2, "--seed", 3, "--show-probs"], folder, env=ENV | {"TERM": "xterm"}
    )
    assert "\x1b" not in piped[2]


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", ""])
def test_numbers_of_candidates_that_are_none(folder, count):
    code, out, err = run(["sample", f"--show-probs={count}"], folder)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert "--show-probs" in err


def test_with_both_streams_on_a_terminal_the_sentence_comes_below_its_steps(folder):
    for flags in ([], ["--stream"]):
        terminal = Terminal(["sample", "-n", 2, "--seed", 3, "--show-probs", *flags], folder)
        code, shown = terminal.end()
        assert code == 0
        sentences = run(["sample", "-n", 2, "--seed", 3], folder)[1].splitlines()
        lines = shown.replace("\r\n", "\n").splitlines()
        where = [lines.index(sentence) for sentence in sentences]
        assert where == sorted(where)
        assert where[-1] == len(lines) - 1
        assert all(ROW.fullmatch(lines[i - 1]) for i in where)


WIDE = "\u4e2d\u6587"  # each character takes two columns


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_words_that_do_not_fit_into_a_column(width):
    tokenizer = Tokenizer(["x" * 50, WIDE * 20, "na\u00efve"])
    probabilities = [0.1, 0.2, 0.3, 0.4]
    table = Table(tokenizer, Sampling(1.0), 9, width)
    for sampling in (Sampling(1.0), Sampling(0.7)):
        table = Table(tokenizer, sampling, 9, width)
        shown = table.step([1, 2, 1, 2], 2, probabilities, probabilities)
        assert all(cell_len(text) <= width for text, _ in shown)
        first, *rows = [text for text, _ in shown]
        assert first.endswith(" ...")
        assert [row[:11] for row in rows] == [
            "  1  0.4000",
            "> 2  0.3000",
            "  3  0.2000",
            "  4  0.1000",
        ]
        assert re.search(r" x{2,17}\.\.\.(  #+)?$", rows[2])
        assert re.search(rf" ({WIDE})*({WIDE[0]})? ?\.\.\.(  #+)?$", rows[1])
        bars = {cell_len(row[: row.index("#")]) for row in rows if "#" in row}
        assert len(bars) == 1
    longest = Table(tokenizer, Sampling(1.0), 9, 80).step([], 2, probabilities, probabilities)
    # A column of 20: eight characters of two columns each, half a ninth, and the dots.
    assert f"  {WIDE * 4} ...  ####" in longest[2].text


def test_a_long_sentence_is_shown_from_the_beginning_of_a_word_on():
    tokenizer = Tokenizer(["elephant", "a", WIDE])
    words = [1, 2, 3, 1, 1, 2] * 5
    for width in range(25, 90):
        table = Table(tokenizer, Sampling(), 1, width)
        (first, _), *_ = table.step(words, 1, [0.25] * 4, [0.25] * 4)
        assert cell_len(first) <= width
        assert first.startswith("... ")
        assert tokenizer.encode(first.strip(". ")) == words[-len(first.strip(". ").split()) :]
        assert cell_len(first) > width - 10


def test_small_probabilities_are_not_shown_as_none():
    table = Table(Tokenizer(["a", "b"]), Sampling(1.0), 9, 80)
    p = [1 - 3e-7, 3e-7, 1e-300]
    assert [line.text.split() for line in table.step([], 0, p, p)[1:]] == [
        [">", "1", "1.0000", "(end)", "#" * 60],
        ["2", "3e-07", "a"],
        ["3", "1e-300", "b"],
    ]


def test_a_token_of_white_space_can_be_seen():
    tokenizer = CharTokenizer([" ", "a"])
    rows = Table(tokenizer, Sampling(1.0), 9, 80).step([2], 1, [0.2, 0.5, 0.3], [0.2, 0.5, 0.3])
    assert rows[0] == ("a ...", False)
    assert rows[1].text.split()[3:5] == ["'", "'"]
    assert [chosen for _, chosen in rows] == [False, True, False, False]


@pytest.fixture
def characters(tmp_path):
    """A current directory with a model of characters, some of them wide."""
    tokenizer = CharTokenizer(sorted({*"the cat sat.", *WIDE}))
    config = Config(tokenizer.vocab_size, n_layer=1, n_embd=4, n_head=1, block_size=200)
    model = GPT.initialize(config, random.Random(1))
    model_file.save(tmp_path / "model.safetensors", model_file.SavedModel(model, tokenizer, ()))
    return tmp_path


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_tables_of_a_character_tokenizer(characters, width):
    err = run(
        ["sample", "-n", 3, "--seed", 3, "--temperature", 1.2, "--show-probs"],
        characters,
        env=ENV | {"COLUMNS": str(width)},
    )[2]
    _, steps = tables(err, width)
    assert len(steps) > 10
    assert {"' '", "t", WIDE[0]} <= {row["word"] for _, rows in steps for row in rows}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top-p", "2"], "--top-p must be a number above 0 and at most 1, not '2'"),
        (["--top-p", "0"], "--top-p must be a number above 0 and at most 1, not '0'"),
        (["--top-p", "nan"], "--top-p must be a number above 0 and at most 1, not 'nan'"),
        (["--top-p", "x" * 9999], "--top-p must be a number above 0 and at most 1, not 'xxx"),
        (["--top-k", "-1"], "--top-k must be a whole number of at least 0, not '-1'"),
        (["--top-k", "1.5"], "--top-k must be a whole number of at least 0, not '1.5'"),
        (["--temperature", "-1"], "--temperature must be a number of at least 0, not '-1'"),
        (["--temperature", "inf"], "--temperature must be a number of at least 0, not 'inf'"),
        (["--seed", "x"], "--seed must be a whole number, not 'x'"),
        (["--seed"], "--seed needs a value"),
        (["-n", "0"], "-n must be a whole number of at least 1, not '0'"),
        (["--show-probs", "0"], "--show-probs must be a whole number of at least 1, not '0'"),
        (["--show-probs", "m.safetensors"], "not 'm.safetensors'; give the model before it"),
        (["--interactive", "--prompt", "a"], "--interactive asks for the beginnings"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_the_model_is_read(tmp_path, arguments, message):
    code, out, err = run(["sample", "no.safetensors", *arguments], tmp_path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert message in err
    assert "no.safetensors" not in err


# ---------------------------------------------------------------- narrow terminals


@pytest.mark.parametrize("flags", [[], ["--stream"]])
@pytest.mark.parametrize("width", [12, 20, 40])
@pytest.mark.parametrize("kind", ["folder", "characters"])
def test_a_terminal_breaks_no_word(request, kind, width, flags, monkeypatch):
    place = request.getfixturevalue(kind)
    monkeypatch.setitem(ENV, "COLUMNS", str(width))
    arguments = ["sample", "-n", 3, "--seed", 3, "--temperature", 1.3, "--model=model.safetensors"]
    sentences = run(arguments, place)[1].splitlines()
    code, shown = Terminal([*arguments, *flags], place, env=ENV | {"TERM": "dumb"}).end()
    assert code == 0
    lines = []
    for line in shown.replace("\r\n", "\n").splitlines():
        while back := re.search("\b+", line):  # a terminal: what is taken back is overwritten
            first = line[: back.start()]
            while cell_len(first) > cell_len(line[: back.start()]) - len(back[0]):
                first = first[:-1]
            assert line[back.end() :].strip(" ") == ""
            line = first
        lines.append(line)
    for line in lines:
        words = line.split()
        assert cell_len(line.rstrip()) <= width or len(words) == 1
    told = "".join(f" {line[2:]}" if line.startswith("  ") else f"\n{line}" for line in lines)
    squeezed = [" ".join(sentence.split()) for sentence in sentences]
    assert [" ".join(line.split()) for line in told.splitlines()[1:]] == squeezed


# ---------------------------------------------------------------- --interactive in a pipe


def test_each_line_is_gone_on_with(folder):
    code, out, err = talk("the cat\n\n the  dog \na", folder, "--seed", 3)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("the cat")
    assert lines[2].startswith("the dog")
    assert lines[3].startswith("a")
    # The same random numbers as without a prompt.
    assert (
        talk("the cat\n", folder, "--seed", 3)[1]
        == (run(["sample", "-n", 1, "--seed", 3, "--prompt", "the cat"], folder)[1])
    )


def test_every_setting_can_be_changed(folder):
    def sampled(*arguments):
        return run(["sample", "--prompt", "the", *arguments], folder)[1]

    for command, arguments in (
        ("/temperature 3", ["--temperature", 3]),
        ("/temp 3", ["--temperature", 3]),
        ("/top-k 2", ["--top-k", 2]),
        ("/top-p 0.4", ["--top-p", 0.4]),
        ("/temperature 3 /top-k 4", ["--temperature", 3, "--top-k", 4]),
    ):
        typed = f"{command}\n/seed 7\n/number 9\nthe\n"
        code, out, err = talk(typed, folder)
        assert code == 0
        assert out == sampled("-n", 9, "--seed", 7, *arguments), command
        # Each change is confirmed with all settings.
        assert len(err.splitlines()) == 3
        assert err.splitlines()[2].endswith("number 9, show-probs 0")
    # A change lasts, and a seed begins again.
    out = talk("/number 3\n/seed 2\nthe\n/seed 2\nthe\n/temperature 0\nthe\n", folder)[1]
    assert out.splitlines()[:3] == out.splitlines()[3:6]
    assert len(set(out.splitlines()[6:])) == 1


def test_the_command_line_decides_the_first_settings(folder):
    arguments = ["--seed", 1, "--temperature", 2, "--top-k", 3, "--top-p", 0.9, "-n", 2]
    out = talk("the\n", folder, *arguments)[1]
    assert out == run(["sample", "--prompt", "the", *arguments], folder)[1]
    err = talk("/help\n", folder, *arguments)[2]
    assert err.splitlines()[-1] == "temperature 2.0, top-k 3, top-p 0.9, number 2, show-probs 0"
    code, out, err = talk("the\n", folder, "--show-probs", 2)
    assert code == 0
    assert len(out.splitlines()) == 1
    assert len(tables(err)[1]) > 1


def test_show_probs_can_be_turned_on_and_off(folder):
    code, out, err = talk("/show-probs\nthe\n/show-probs 0\nthe\n/show-probs 2\nthe\n", folder)
    assert code == 0
    assert len(out.splitlines()) == 3
    settings = [line for line in err.splitlines() if "number 1" in line]
    assert [line.split()[-1] for line in settings] == ["5", "0", "2"]
    first, second = err.split(f"{settings[1]}\n")
    assert [row for row in map(ROW.fullmatch, first.splitlines()) if row]
    assert second.startswith(settings[2])


def test_help_names_every_command(folder):
    code, out, err = talk("/help\n/h\n", folder)
    assert (code, out) == (0, "")
    for command in ("temperature", "top-k", "top-p", "seed", "number", "show-probs", "help"):
        assert err.count(f"  /{command}") == 2
    assert max(map(len, err.splitlines())) <= 80
    assert "usage" not in err


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("the cta", "'cta'.*near it: cat"),
        ("The Cta", "'cta'.*near it: cat"),
        ("the " * 8, "8 tokens.*at most 7"),
        ("/temperature", "/temperature needs a value.*/help"),
        ("/temperature x", "/temperature.*'x'.*/help"),
        ("/temperature -1", "/temperature must be a number of at least 0, not '-1'"),
        ("/temperature nan", "/temperature.*at least 0.*'nan'"),
        ("/top-k 1.5", "/top-k.*'1.5'"),
        ("/top-k -1", "/top-k.*at least 0.*'-1'"),
        ("/top-p 2", "/top-p must be a number above 0 and at most 1, not '2'"),
        ("/top-p 0", "/top-p.*above 0 and at most 1.*'0'"),
        ("/top-p x", "/top-p.*above 0 and at most 1.*'x'"),
        ("/seed x", "/seed.*a whole number.*'x'"),
        ("/number 0", "/number.*at least 1.*'0'"),
        ("/show-probs -1", "/show-probs.*at least 0.*'-1'"),
        ("/bogus 3", "/bogus.*/help"),
        ("/top 3", "/top.*/top-k.*/top-p"),
        ("/", "/help"),
        ("/seed 1 2", "2.*/help"),
        ("//", "/help"),
        ("--seed 1", "'\u2014'"),  # two hyphens are a dash
        ("/quit now", "now.*/help"),
        ("/\x1b[31m", r"\\x1b\[31m"),
        ("\x1b[31m", r"'\\x1b'"),
        ("a\0b", "'a.*x00b'"),
        ("x" * 10_000, "xxx"),
    ],
)
def test_lines_that_cannot_be_used(folder, line, why):
    code, out, err = talk(f"/seed 1\n{line}\nthe cat\n", folder)
    assert code == 0
    first, message = err.splitlines()
    assert first.endswith("seed 1")
    assert message.startswith("llmhard: ")
    assert message.isprintable()
    assert re.search(why, message)
    # The settings are as they were, and so are the random numbers.
    arguments = ["-n", 1, "--seed", 1, "--prompt", "the cat"]
    assert out == run(["sample", *arguments], folder)[1]


def test_what_is_not_utf8_is_an_unknown_word(folder):
    process = start(
        ["sample", "--interactive", "--seed", 1],
        folder, stdin=subprocess.PIPE, text=False, encoding=None,
    )  # fmt: skip
    out, err = process.communicate(b"na\xefve\nthe\r\nthe cat\n", timeout=30)
    assert process.returncode == 0
    assert b"'na'" in err
    assert len(err.splitlines()) == 1
    assert len(out.splitlines()) == 2


def test_quit_ends_at_once(folder):
    for quit_ in ("/quit", "/q", "/quit /temperature 1"):
        code, out, err = talk(f"{quit_}\nthe cat\n/bogus\n", folder)
        assert (code, out, err) == (0, "", "")
    assert talk("", folder) == (0, "", "")


def test_prompt_and_interactive_do_not_go_together(folder):
    code, out, err = talk("the\n", folder, "--prompt", "the")
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert "--prompt" in err


def test_no_input_to_read(folder):
    code, out, err = run(["sample", "--interactive"], folder, preexec_fn=lambda: os.close(0))
    assert (code, out) == (2, "")
    assert_one_line(err)
    with Path("/proc/self/mem").open() as unreadable:
        code, out, err = run(["sample", "--interactive"], folder, stdin=unreadable)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert "cannot read standard input" in err


def test_a_model_whose_numbers_overflow(folder, tiny):
    config = tiny.model.config
    huge = Matrix([[1e308] * config.n_embd] * config.vocab_size)
    model = GPT(config, dict(tiny.model.parameters) | {"lm_head.weight": huge})
    saved = model_file.SavedModel(model, tiny.tokenizer, tiny.records)
    model_file.save(folder / "model.safetensors", saved)
    code, out, err = run(["sample", "--stream"], folder)
    assert (code, out) == (2, "")
    assert_one_line(err)
    code, out, err = talk("the\nthe\n", folder)
    assert (code, out) == (0, "")
    assert ["not finite" in line for line in err.splitlines()] == [True, True]
