"""`sample` for people: --stream, --show-probs and --interactive, in a pipe and on a terminal."""

import ast
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from test_cli import ENV, assert_one_line, read_terminal, run, start

from llmhard import Matrix, model_file
from llmhard.cli.writing import candidates_text
from llmhard.model import GPT
from llmhard.sampler import Choice, Reader, Sampling
from llmhard.tokenizer import BOS, Tokenizer

ROW = re.compile(r"(?P<mark>[> ]) +(?P<rank>\d+)  (?P<p>[ 0-9.e-]{6})  (?P<word>\S+) *(?P<bar>#*)")


def tables(err):
    """What --show-probs wrote: for each step the beginning and its rows."""
    legend, *lines = err.splitlines()
    assert legend.startswith("(probabilities after temperature ")
    steps = []
    for line in lines:
        assert len(line) <= 80
        assert line == line.rstrip()
        if row := ROW.fullmatch(line):
            steps[-1][1].append(row)
        else:
            assert line.endswith("...")
            steps.append((line.removesuffix("...").strip(), []))
    return steps


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
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs} | options
        self.process = start(
            arguments,
            folder,
            env=ENV | {"TERM": "dumb", "COLUMNS": "80"},
            start_new_session=True,
            **streams,
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


def test_the_tables_tell_the_sentence_and_the_model(folder, tiny):
    arguments = ["sample", "-n", 6, "--seed", 3, "--temperature", 1.3, "--top-p", 0.95]
    code, out, err = run([*arguments, "--show-probs"], folder)
    assert code == 0
    assert out == run(arguments, folder)[1]
    assert "temperature 1.3, top-k 0, top-p 0.95" in err.splitlines()[0]
    sampling, reader = Sampling(1.3, top_p=0.95), Reader(tiny.model)
    told = []
    for beginning, rows in tables(err):
        (chosen,) = [row["word"] for row in rows if row["mark"] == ">"]
        reader.restart()
        for token in [BOS, *tiny.tokenizer.encode(beginning)]:
            logits = reader.read(token)
        p = sampling.probabilities(logits)
        likeliest = sorted((x for x in p if x), reverse=True)
        assert [int(row["rank"]) for row in rows[:5]] == [1, 2, 3, 4, 5][: len(likeliest)]
        assert len(rows) <= 6
        for row in rows:
            token = BOS if row["word"] == "(end)" else tiny.tokenizer.encode(row["word"])[0]
            assert float(row["p"]) == pytest.approx(p[token], abs=5e-5)
            assert p[token] == pytest.approx(likeliest[int(row["rank"]) - 1], rel=1e-9)
            assert len(row["bar"]) == pytest.approx(40 * p[token], abs=0.5)
        if told:
            assert beginning == ("" if told[-1][1] else told[-1][0])
        said = beginning if chosen == "(end)" else f"{beginning} {chosen}".strip()
        ended = chosen == "(end)" or len(said.split()) == tiny.model.config.block_size
        told.append((said, ended))
    assert [said for said, ended in told if ended] == out.splitlines()


def test_the_number_of_candidates(folder, tiny):
    base = ["sample", "-n", 3, "--seed", 3, "--temperature", 2]
    for count in (1, 3, 10**6):
        steps = tables(run([*base, "--show-probs", count], folder)[2])
        for _, rows in steps:
            likeliest = [row for row in rows if int(row["rank"]) <= count]
            assert len(likeliest) == min(count, tiny.tokenizer.vocab_size)
            assert len(rows) <= count + 1
    greedy = tables(run([*base, "--temperature", 0, "--show-probs"], folder)[2])
    assert all([(r["mark"], r["p"]) for r in rows] == [(">", "1.0000")] for _, rows in greedy)
    three = tables(run([*base, "--top-k", 3, "--show-probs"], folder)[2])
    assert all(len(rows) == 3 for _, rows in three)


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


def test_words_that_do_not_fit_into_a_column():
    words = ["x" * 50, "\u4e2d\u6587" * 20, "na\u00efve"]
    tokenizer = Tokenizer(words)
    shown = candidates_text(tokenizer, [1, 2, 1, 2], Choice(2, [0.1, 0.2, 0.3, 0.4]), 9)
    first, *rows = shown.splitlines()
    assert first.endswith("...")
    assert len(first) <= 80
    assert [row[:11] for row in rows] == [
        "  1  0.4000",
        "> 2  0.3000",
        "  3  0.2000",
        "  4  0.1000",
    ]
    assert "x" * 17 + "...  ########" in rows[2]
    # A column of 20: eight characters of two columns each, half a ninth, and the dots.
    assert "\u4e2d\u6587" * 4 + " ...  ############" in rows[1]
    assert rows[0].index("#") == rows[2].index("#") == rows[3].index("#") == 35


def test_small_probabilities_are_not_shown_as_none():
    tokenizer = Tokenizer(["a", "b"])
    rows = candidates_text(tokenizer, [], Choice(0, [1 - 3e-7, 3e-7, 1e-300]), 9).splitlines()[1:]
    assert [row.split() for row in rows] == [
        [">", "1", "1.0000", "(end)", "#" * 40],
        ["2", "3e-07", "a"],
        ["3", "1e-300", "b"],
    ]


def test_a_sentence_has_no_white_space_that_nobody_sees():
    class Characters:
        def decode(self, tokens):
            return "".join("# a"[token] for token in tokens)

    rows = candidates_text(Characters(), [2], Choice(1, [0.2, 0.5, 0.3]), 9).splitlines()
    assert rows[0] == "a ..."
    assert rows[1].split()[3:5] == ["'", "'"]


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
    assert tables(f"(probabilities after temperature \n{err}")


def test_show_probs_can_be_turned_on_and_off(folder):
    code, out, err = talk("/show-probs\nthe\n/show-probs 0\nthe\n/show-probs 2\nthe\n", folder)
    assert code == 0
    assert len(out.splitlines()) == 3
    settings = [line for line in err.splitlines() if line.startswith("temperature")]
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
        ("/temperature", "/temperature.*expected one.*/help"),
        ("/temperature x", "/temperature.*'x'.*/help"),
        ("/temperature -1", "temperature is a number of at least 0"),
        ("/temperature nan", "temperature is a number"),
        ("/top-k 1.5", "/top-k.*'1.5'"),
        ("/top-k -1", "top-k is 0"),
        ("/top-p 2", "top-p is above 0"),
        ("/seed x", "/seed.*'x'"),
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


# ---------------------------------------------------------------- --interactive on a terminal


def test_a_talk_on_a_terminal(folder):
    terminal = Terminal(["sample", "--interactive", "--seed", 3], folder)
    assert "/help" in terminal.wait_for("> ")
    terminal.type("the cat\n")
    shown = terminal.wait_for("\n> ").replace("\r\n", "\n")
    # The line as typed, the sentence, and the prompt again.
    answer = run(["sample", "-n", 1, "--seed", 3, "--prompt", "the cat"], folder)[1]
    assert shown == f"the cat\n{answer}> "
    terminal.type("the cta\n")
    assert "near it: cat" in terminal.wait_for("\n> ")
    terminal.type("\x04")
    code, shown = terminal.end()
    assert code == 0
    assert shown in ("\r\n", "^D\r\n", "\x08\x08\r\n", "^D\x08\x08\r\n")


def test_ctrl_c_at_the_prompt_ends_it(folder):
    terminal = Terminal(["sample", "--interactive"], folder)
    terminal.wait_for("> ")
    time.sleep(0.1)
    terminal.process.send_signal(signal.SIGINT)
    code, shown = terminal.end()
    assert code == 130
    assert "Traceback" not in shown
    assert shown.endswith("\r\nllmhard: interrupted\r\n")


def test_ctrl_c_while_writing_leads_back_to_the_prompt(folder):
    terminal = Terminal(["sample", "--interactive", "-n", 10**6], folder)
    terminal.wait_for("> ")
    terminal.type("the\n")
    shown = terminal.wait_for("\nthe ")
    terminal.process.send_signal(signal.SIGINT)
    assert "\n> " in shown + terminal.wait_for("> ")
    terminal.type("/quit\n")
    assert terminal.end()[0] == 0


def test_ctrl_c_in_a_pipe_ends_it(folder):
    process = start(
        ["sample", "--interactive", "-n", 10**9],
        folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    process.stdin.write("the\n")
    process.stdin.flush()
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert err == "llmhard: interrupted\n"


def test_typed_lines_and_a_file_for_the_sentences(folder):
    with (folder / "out.txt").open("w") as out:
        terminal = Terminal(["sample", "--interactive", "--seed", 3], folder, stdout=out)
        terminal.wait_for("> ")
        terminal.type("the cat\n")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.end()[0] == 0
    answer = run(["sample", "-n", 1, "--seed", 3, "--prompt", "the cat"], folder)[1]
    assert (folder / "out.txt").read_text() == answer


def test_an_earlier_line_can_be_recalled_and_edited(folder):
    pytest.importorskip("readline")
    terminal = Terminal(["sample", "--interactive", "--seed", 3], folder)
    terminal.wait_for("> ")
    terminal.type("the cat\n")
    terminal.wait_for("\n> ")
    terminal.type("\x10\x7f\x7f\x7fdog\n")  # Ctrl-P, the line before; Backspace
    assert re.search(r"\nthe dog.*\r\n", terminal.wait_for("\n> "))
    terminal.type("/quit\n")
    assert terminal.end()[0] == 0
