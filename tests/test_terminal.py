"""What people see in a terminal of 40, 80 and 200 columns: real ones, with a width of their own."""

import argparse
import fcntl
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from test_cli import ENV, SMALL, assert_one_line, read_terminal, run

from llmhard import cli, model_file, progress, terminal
from llmhard.cli.help import command_lines
from llmhard.recipe import Recipe
from llmhard.training_record import CurvePoint
from llmhard.workbook import SOLUTIONS

WIDTHS = (40, 80, 200)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PROGRAM = "python -m llmhard"
QUICK = ["--fresh", "60", "--samples", "20", "--pairs", "10"]


class Screen:
    """A program in a terminal of its own, and what it writes there."""

    def __init__(self, arguments, cwd, columns, pipe=(), **env):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        env = {k: v for k, v in ENV.items() if k not in ("COLUMNS", "NO_COLOR")} | {
            "TERM": "xterm-256color", "LC_ALL": "C.UTF-8",
        } | env  # fmt: skip
        streams = {name: theirs for name in ("stdin", "stdout", "stderr") if name not in pipe}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmhard", *map(str, arguments)],
            cwd=cwd, env=env, **streams | dict.fromkeys(pipe, subprocess.PIPE),
        )  # fmt: skip
        os.close(theirs)

    def read(self, until=None):
        return read_terminal(self.ours, until).decode().replace("\r\n", "\n")

    def end(self):
        """What it writes to its end, and its exit code."""
        shown = self.read()
        os.close(self.ours)
        return shown, self.process.wait(timeout=60)


def show(arguments, cwd, columns, code=0, **env):
    """The text on the terminal, without colours."""
    shown, found = Screen(arguments, cwd, columns, **env).end()
    assert found == code, shown
    return COLOUR.sub("", shown)


def lasting(shown):
    """The lines that stay on the screen after a program that has gone back in them."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", shown):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif part[0] not in "\x1b\r":
            lines[row] += part
    return lines


def assert_fits(text, columns, whole=()):
    """Check the width of each line; only what has to stay in one piece may be wider."""
    assert "\x1b" not in text
    assert terminal.NO_BREAK not in text
    for line in text.splitlines():
        assert cell_len(line) <= columns or line.strip() in whole, line


# ---------------------------------------------------------------- --help


def commands():
    """The parsers of the program: of all commands, and of the whole."""
    parser = cli._parser(PROGRAM)
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {"": parser, **subparsers.choices}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", commands())
def test_help(tmp_path, command, columns):
    text = show([*command.split(), "--help"], tmp_path, columns)
    assert_fits(text, columns)
    assert all(line == line.rstrip() for line in text.splitlines())
    parser = commands()[command]
    for action in parser._actions:
        for flag in action.option_strings:
            metavar = action.metavar or (action.choices and f"{{{','.join(action.choices)}}}")
            assert f"{flag} {metavar}" in text if metavar and action.nargs is None else flag in text
        words = (action.help or "").replace("%(default)s", str(action.default)).split()
        assert not words or " ".join(words) in " ".join(text.split())
    assert " ".join(parser.description.split()) in " ".join(text.split())
    # Pasted into a shell, the examples are the commands that they are.
    examples = [line.strip() for line in parser.epilog.splitlines()[1:]]
    pasted = text.partition("examples:\n")[2].replace("\\\n", " ")
    found = [" ".join(line.split()) for line in pasted.splitlines()]
    comments = " ".join(line.strip("# ") for line in found if line.startswith("#"))
    found = [line.partition(" # ")[0] for line in found if not line.startswith("#")]
    assert found == [" ".join(example.partition(" # ")[0].split()) for example in examples]
    assert all(example.partition(" # ")[2] in comments + text for example in examples)


def test_where_the_help_of_an_option_is(tmp_path):
    assert "\n  --out FILE\n      where to save the model" in show(["train", "-h"], tmp_path, 40)
    wide = show(["train", "-h"], tmp_path, 80)
    assert "\n  --out FILE            where to save the model" in wide
    assert show(["train", "-h"], tmp_path, 200) == wide, "nobody reads lines of 200 columns"


@given(
    st.lists(
        st.from_regex(r"[a-z]{1,9}|--?[a-z]{1,9}|'[a-z ]{1,12}'|\|", fullmatch=True), min_size=1
    ),
    st.integers(20, 60),
)
def test_a_command_on_several_lines_is_the_same_command(words, columns):
    command = " ".join(words)
    lines = command_lines(command, columns, "  ")
    pasted = "\n".join(lines).replace("\\\n", "")
    assert shlex.split(pasted) == shlex.split(command)
    assert all(line.startswith("  ") for line in lines)
    if columns >= 2 + 4 + max(map(len, shlex.split(command))) + 2 + 2:  # indents, quotes, backslash
        assert all(len(line) <= columns for line in lines)


def test_a_comment_comes_before_a_command_that_is_too_long():
    command = "llmhard evaluate --model a.safetensors    # what did it forget?"
    assert command_lines(command, 80, "  ") == [f"  {command}"]
    assert command_lines(command, 30, "  ") == [
        "  # what did it forget?",
        "  llmhard evaluate \\",
        "      --model a.safetensors",
    ]


# ---------------------------------------------------------------- reports

NAME = "\u6a21\u578b \u4e00.safetensors"  # two columns a character, and a space
DATA = "\u4e2d\u6587\u53e5\u5b50 \u4e8c.txt"


@pytest.fixture(scope="module")
def reports(tmp_path_factory, schooled, schooled_files):
    """A folder with a model, its text and a workbook in which some things are wrong."""
    folder = tmp_path_factory.mktemp("reports")
    shutil.copyfile(schooled_files[1], folder / DATA)
    record = replace(schooled.record, data=replace(schooled.record.data, name=DATA))
    model_file.save(folder / NAME, replace(schooled, records=(record, record)))
    solved = folder / "my gpt"
    shutil.copytree(SOLUTIONS, solved, ignore=shutil.ignore_patterns("__pycache__"))
    value = (solved / "value.py").read_text()
    value = value.replace("gradient[child] += ", "print('x' * 500); gradient[child] = ")
    (solved / "value.py").write_text(value)
    (solved / "sampling.py").unlink()
    return folder


def plain_words(text):
    """The words of a text, without the characters of plots."""
    lines = [line for line in text.splitlines() if not re.match(r"[ 0-9.]{8} [|+]", line)]
    return Counter(" ".join(lines).split())


def test_info(reports):
    text = {columns: show(["info", NAME], reports, columns) for columns in WIDTHS}
    for columns in WIDTHS:
        assert_fits(text[columns], columns)
        assert DATA in text[columns]
        assert text[columns].startswith(NAME)
        assert "  beta1 0.9" in text[columns] or " beta1 0.9," in text[columns]
        assert sum("* training" in line for line in text[columns].splitlines()) == 2
    ticks = {line for line in text[40].splitlines() if "step " in line}
    assert ticks
    words = {columns: plain_words(text[columns]) for columns in WIDTHS}
    for columns in (40, 200):
        assert set(words[columns]) - set(words[80]) <= set("".join(ticks).split())
    axis = {n: max(len(x) for x in text[n].splitlines() if "|" in x or "+" in x) for n in WIDTHS}
    assert axis == {40: 40, 80: 70, 200: 110}


@pytest.mark.parametrize("command", [["check", "03", "my gpt"], ["check", "05", "my gpt"]])
def test_check(reports, command):
    text = {columns: show(command, reports, columns, code=1) for columns in WIDTHS}
    advice = f"{PROGRAM} check 03 'my gpt'"
    for columns in WIDTHS:
        assert_fits(text[columns], columns, whole=[advice])
    words = {n: Counter(w for w in text[n].split() if "xxx" not in w) for n in WIDTHS}
    assert words[40] - Counter(["..."]) == words[80] - Counter(["..."])
    assert text[80] == text[200]
    if "05" in command:
        assert f"  {advice}\n" in text[40]
    else:
        printed = [line for line in text[40].splitlines() if "    | xxx" in line]
        assert printed
        assert all(len(line) == 40 and line.endswith("x ...") for line in printed)


def test_the_end_of_the_workbook(tmp_path):
    shutil.copytree(SOLUTIONS, tmp_path / "g", ignore=shutil.ignore_patterns("__pycache__"))
    text = {columns: show(["check", "08", "g"], tmp_path, columns) for columns in WIDTHS}
    for columns in WIDTHS:
        assert_fits(text[columns], columns)
    assert text[40].split() == text[80].split()
    assert "\n  from llmhard import Value    as it should be\n" in text[80]


def test_check_of_everything(reports):
    for columns in WIDTHS:
        text = show(["check", "my gpt"], reports, columns, code=1)
        assert_fits(text, columns, whole=[f"{PROGRAM} check 03 'my gpt'"])


def test_workbook(tmp_path):
    words = []
    for columns in WIDTHS:
        name = f"a{columns:03}"
        for _ in range(2):
            text = show(["workbook", name], tmp_path, columns)
            assert_fits(text, columns, whole=[f"{PROGRAM} check 02 {name}"])
            words.append(Counter(text.replace(name, "NAME").split()))
    assert words[::2] == [words[0]] * 3
    assert words[1::2] == [words[1]] * 3


def test_evaluate(reports):
    command = ["evaluate", NAME, "--data", DATA, *QUICK]
    text = {}
    for columns in WIDTHS:
        shown, code = Screen(command, reports, columns, pipe=["stderr"]).end()
        assert code == 0
        text[columns] = COLOUR.sub("", shown)
        assert_fits(text[columns], columns)
        assert NAME in text[columns]
        assert DATA in text[columns]
        assert "\u2026" not in text[columns]
    assert text[80] == text[200]
    assert set(text[40].split()) <= set(text[80].split())
    assert text[40].splitlines()[:2] != text[80].splitlines()[:2], "the headings are folded"


def test_watching_fits(tmp_path, sentences_file):
    command = ["train", "--data", sentences_file, "--steps", 30, "--watch", *SMALL]
    for columns in WIDTHS:
        shown, code = Screen(command, tmp_path, columns, pipe=["stdout"]).end()
        assert code == 0
        lines = [line for line in lasting(COLOUR.sub("", shown)) if line.strip()]
        assert [line for line in lines if "step" in line][:3] == ["step 0", "step 10", "step 30"][
            :2
        ] + [line for line in lines if line.startswith("saved model")]
        assert all(cell_len(line) < columns for line in lines)


ERRORS = [
    ["info", "nothing-like-it.safetensors"],
    ["info", "the cat sat on the mat"],
    ["sample", "\u53e5\u5b50\u53e5\u5b50\u53e5\u5b50\u53e5\u5b50\u53e5\u5b50\u53e5\u5b50.txt"],
    ["evaluate", "--temperature", "hot"],
    ["evaluate", "a", "--model", "b"],
    ["train", "--stpes", "100"],
    ["trian"],
    ["check", "a/folder/that/is/not/there"],
    ["check", "99"],
    ["workbook", ""],
    ["train", "--data", "not/there/at/all.txt"],
]


@pytest.mark.parametrize("command", ERRORS, ids=" ".join)
def test_errors(tmp_path, command):
    name = command[1] if command[:1] == ["sample"] else "text.txt"
    (tmp_path / name).write_text("the cat sat\n")
    code, out, err = run(command, tmp_path, env=ENV | {"COLUMNS": "40"})
    assert (code, out) == (2, "")
    assert_one_line(err)
    for columns in WIDTHS:
        text = show(command, tmp_path, columns, code=2)
        assert text.split() == err.split(), "nothing is broken but at spaces"
        lines = text.splitlines()
        commands = [line.strip().rstrip(";)") for line in lines if PROGRAM in line]
        for line in lines:
            fits = cell_len(line) <= columns
            assert fits or re.fullmatch(rf"  \(?(see )?{PROGRAM} .*", line), line
        for advice in commands:
            assert PROGRAM + " " in advice, "a command stays in one piece"
        assert all(line.startswith("  ") for line in lines[1:])


# ---------------------------------------------------------------- colour


def coloured(reports, command, code, **env):
    shown, found = Screen(command, reports, 80, pipe=["stdin"], **env).end()
    assert found == code
    return shown


REPORTS = {
    "check": (["check", "03", "my gpt"], 1),
    "info": (["info", NAME], 0),
    "evaluate": (["evaluate", NAME, "--data", DATA, *QUICK], 0),
    "error": (["info", "none.safetensors"], 2),
}


@pytest.mark.parametrize("name", REPORTS)
def test_colour_only_where_it_shows(reports, name):
    command, code = REPORTS[name]
    pipe = run(command, reports, env=ENV | {"COLUMNS": "80", "FORCE_COLOR": "1", "TERM": "xterm"})
    assert "\x1b" not in pipe[1] + pipe[2]
    shown = coloured(reports, command, code)
    assert COLOUR.search(shown)
    final = "\n".join(lasting(COLOUR.sub("", shown))).rstrip("\n")
    if name != "error":
        assert final.split("\n") == pipe[1].rstrip("\n").split("\n"), "the same but for colours"
    for env in ({"NO_COLOR": "1"}, {"NO_COLOR": "0"}, {"TERM": "dumb"}, {"TERM": ""}):
        plain = coloured(reports, command, code, **env)
        assert not COLOUR.search(plain)
        assert "\n".join(lasting(plain)).rstrip("\n") == final
    assert COLOUR.search(coloured(reports, command, code, NO_COLOR=""))


def test_right_and_wrong_have_colours(reports):
    shown = coloured(reports, *REPORTS["check"])
    assert re.search("\x1b\\[32mok +\x1b\\[0m", shown)
    assert re.search("\x1b\\[31mwrong +\x1b\\[0m", shown)
    assert shown.startswith("\x1b[1mLab 03, ")
    assert coloured(reports, *REPORTS["error"]).startswith("\x1b[31mllmhard:\x1b[0m there is no")
    assert "\x1b[1mconfiguration\x1b[0m" in coloured(reports, *REPORTS["info"])
    assert "\x1b[1mIn short\x1b[0m" in coloured(reports, *REPORTS["evaluate"])


# ---------------------------------------------------------------- the pieces


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")), st.integers(5, 50))
def test_wrap_breaks_at_spaces_only(text, columns):
    lines = terminal.wrap(text, columns, "- ", "  ")
    assert [word for line in lines for word in line[2:].split(" ") if word] == [
        word for word in text.split(" ") if word
    ]
    for line in lines:
        assert cell_len(line) <= columns or " " not in line[2:].strip(" ")


def test_wrap_keeps_what_is_whole():
    command = terminal.whole("llmhard train --data 'my file.txt'")
    lines = terminal.wrap(f"say this: {command} please", 20)
    assert lines == ["say this:", "llmhard train --data 'my file.txt'", "please"]
    assert terminal.printable(command) == command
    assert terminal.spaced(command) == "llmhard train --data 'my file.txt'"
    assert terminal.wrap("a  b\tc\nd", 80) == ["a  b c d"], "the spaces within a line stay"
    assert terminal.wrap("", 80, "x ") == ["x "]


@pytest.mark.parametrize("given", ["", "0", "-5", "many", "1e3", " "])
def test_columns_that_are_none(monkeypatch, given):
    monkeypatch.setenv("COLUMNS", given)
    assert terminal.columns(SimpleNamespace()) == terminal.COLUMNS
    monkeypatch.setenv("COLUMNS", "33")
    assert (terminal.columns(), terminal.measure()) == (33, 33)
    monkeypatch.setenv("COLUMNS", "333")
    assert (terminal.columns(), terminal.measure()) == (333, 80)


# ---------------------------------------------------------------- progress


@pytest.mark.parametrize(
    ("steps", "seconds", "says"),
    [
        (12_345, 10, "1,234 steps a second"),
        (600, 10, "60 steps a second"),
        (14, 10, "1.4 steps a second"),
        (10, 10, "1.0 steps a second"),
        (9, 10, "1.1 s a step"),
        (10, 23, "2.3 s a step"),
        (1, 4000, "4,000.0 s a step"),
        (0, 5, "no steps"),
    ],
)
def test_pace(steps, seconds, says):
    assert progress.pace(steps, seconds) == says
    assert not re.match(r"0+(\.0+)? ", progress.pace(max(steps, 1), 0))


def test_clock():
    times = {
        0: "0:00",
        7.4: "0:07",
        59.6: "1:00",
        75: "1:15",
        3599.9: "1:00:00",
        90_061: "25:01:01",
    }
    assert {seconds: progress.clock(seconds) for seconds in times} == times


class StandIn:
    """A Trainer as far as the progress asks it."""

    def __init__(self, step, steps, loss=2.5, validation=2.25):
        self.recipe, self.step = Recipe(steps=steps), step
        self.losses = [loss] * step
        self.curve = [CurvePoint(step, loss, validation)]

    def take(self, steps):
        self.step += steps
        self.losses += [1.5] * steps


@pytest.fixture
def now(monkeypatch):
    """The time, which only passes when it is told to."""
    clock = SimpleNamespace(time=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.time)
    return clock


def test_a_resumed_training_is_estimated_by_its_own_steps(now):
    trainer = StandIn(9000, 10_000)
    measured = progress.Measured(trainer)
    now.time += 5
    assert (measured.left(), measured.speed()) == ("0:05 so far", "")
    now.time += 5
    trainer.take(100)
    assert (measured.left(), measured.speed()) == ("1:30 left", "10 steps a second")
    trainer.take(900)
    assert measured.left() == ""


def test_lines(now, capsys):
    trainer = StandIn(0, 1000, validation=None)
    with progress.progress(trainer, quiet=False) as on_step:
        for _ in range(1000):
            now.time += 0.1
            trainer.take(1)
            on_step(trainer)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "step 100 of 1,000  loss 1.5000  1:30 left"
    assert lines[8] == "step 900 of 1,000  loss 1.5000  0:10 left"
    assert lines[9] == "step 1,000 of 1,000  loss 1.5000"
    trainer = StandIn(950, 1000)
    with progress.progress(trainer, quiet=False) as on_step:
        now.time += 1
        trainer.take(50)
        on_step(trainer)
    assert capsys.readouterr().err == "step 1,000 of 1,000  loss 1.5000  validation 2.2500\n"


def test_the_loss_at_a_tenth_does_not_depend_on_the_clock(capsys, monkeypatch):
    shown = []
    for silence in (1e9, 0.0):
        monkeypatch.setattr(progress, "SILENCE", silence)
        monkeypatch.setattr(progress, "LOOK", 0.001)
        trainer = StandIn(0, 100)
        with progress.progress(trainer, quiet=False) as on_step:
            for step in range(100):
                trainer.take(1)
                trainer.losses[-1] = float(step)
                on_step(trainer)
                time.sleep(0.002)
        lines = capsys.readouterr().err.splitlines()
        tenths = [x for x in lines if re.match(r"step (\d?\d0|100) of", x)]
        shown.append({line.split("  valid")[0] for line in tenths})
        assert len(lines) > 11 or silence
    assert {f"step {n} of 100  loss {n - 5.5:.4f}" for n in range(10, 101, 10)} == shown[0]
    assert shown[0] <= shown[1]


def test_a_long_step_is_not_silent(capsys, monkeypatch):
    """A line comes in the middle of a step, and of the validation before the first."""
    monkeypatch.setattr(progress, "SILENCE", 1.2)
    monkeypatch.setattr(progress, "LOOK", 0.02)
    trainer = StandIn(0, 10**6)
    trainer.curve = []
    with progress.progress(trainer, quiet=False):
        time.sleep(1.4)
        trainer.take(2)
        time.sleep(1.4)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "step 0 of 1,000,000  0:01 so far"
    assert re.fullmatch(r"step 2 of 1,000,000  loss 1\.5000  \d+:\d\d:\d\d left", second)
    assert progress.SILENCE + progress.LOOK < 10


def test_the_defaults_promise_a_line_every_ten_seconds():
    assert progress.SILENCE + progress.LOOK <= 10


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 100, 160, 200])
@pytest.mark.parametrize("steps", [10, 17_000, 10**6])
def test_the_bar_fits(now, columns, steps):
    trainer = StandIn(0, steps)
    measured = progress.Measured(trainer)
    least = 20 if columns >= 80 else 10
    shown = []
    for part in range(11):
        trainer.step = steps * part // 10
        trainer.losses = [2.0] * max(1, trainer.step)
        now.time += 30
        text = progress.bar_text(measured, columns).plain
        assert cell_len(text) <= columns or columns < 40
        marks = [text.count(mark) for mark in progress.MARKS]
        assert sum(marks) >= least
        assert marks[0] == sum(marks) * trainer.step // steps
        assert text.split("  ", 1)[1].strip().startswith(f"{trainer.step:,}/{steps:,}")
        assert "  0 steps" not in text
        shown.append(text)
    if columns >= 80 and steps == 17_000:
        assert all(" loss 2.0000  validation 2.2500" in text for text in shown[1:])
        assert all(re.search(r" \d+:\d\d left$", text) for text in shown[1:-1])
    if columns == 40 and steps == 17_000:
        assert all(text.endswith(" left") for text in shown[1:-1])
    assert "left" not in shown[-1]
    assert set(progress.bar_text(measured, columns, ascii_only=True).plain[:10]) <= {"#", "-"}


LONG = ["--steps", 10**7, *SMALL]


@pytest.mark.parametrize("columns", WIDTHS)
def test_an_interrupted_bar_is_a_whole_line(tmp_path, sentences_file, columns):
    screen = Screen(["train", "--data", sentences_file, *LONG], tmp_path, columns)
    shown = screen.read(until=b"/10,000,000")
    time.sleep(1)
    screen.process.send_signal(signal.SIGINT)
    rest, code = screen.end()
    shown = COLOUR.sub("", shown + rest)
    assert code == 130
    *_, bar, message = [line for line in lasting(shown) if not line.startswith("  ") and line]
    assert re.fullmatch(rf"[{''.join(progress.MARKS)}]+ +[\d,]+/10,000,000.*", bar), (
        "what is drawn last stays as a line"
    )
    assert cell_len(bar) <= columns
    assert message.startswith("llmhard: interrupted")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is back"
    assert "Traceback" not in shown


def test_a_finished_bar_is_gone(tmp_path, sentences_file):
    command = ["train", "--data", sentences_file, "--steps", 3000, *SMALL]
    shown, code = Screen(command, tmp_path, 80).end()
    assert code == 0
    assert "3,000/3,000" in shown
    assert not any("/3,000" in line for line in lasting(COLOUR.sub("", shown)))
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is back"


def test_a_failed_training_leaves_a_whole_line(tmp_path, sentences_file):
    command = ["train", "--data", sentences_file, "--lr", "1e160", "--steps", 5000, *SMALL]
    shown, code = Screen(command, tmp_path, 80).end()
    assert code == 2
    lines = [line for line in lasting(COLOUR.sub("", shown)) if line]
    assert "/5,000" in next(line for line in lines if line[0] in progress.MARKS)
    assert any(line.startswith("llmhard: ") for line in lines)
    assert "Traceback" not in shown


def test_a_terminal_that_goes_away(tmp_path, sentences_file):
    """Nobody sees the bar any more; the training goes on, and says nothing of it."""
    command = ["train", "--data", sentences_file, "--steps", 20_000, *SMALL]
    screen = Screen(command, tmp_path, 80, pipe=["stdout"])
    screen.read(until=b" left")
    os.close(screen.ours)
    out, _ = screen.process.communicate(timeout=60)
    assert screen.process.returncode == 0
    assert b"Traceback" not in out
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize("broken", ["full", "pipe"])
def test_progress_that_cannot_be_written(tmp_path, sentences_file, broken):
    if broken == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    else:
        read, target = os.pipe()
        os.close(read)
    code, out, _ = run(
        ["train", "--data", sentences_file, "--steps", 50, *SMALL], tmp_path, stderr=target
    )
    os.close(target)
    assert "saved       model.safetensors" in out
    assert (tmp_path / "model.safetensors").is_file()
    assert code in (0, 2)  # Python itself may find at its end that stderr cannot be flushed


def test_a_terminal_without_a_cursor_gets_lines(tmp_path, sentences_file):
    command = ["train", "--data", sentences_file, "--steps", 50, *SMALL]
    shown, code = Screen(command, tmp_path, 80, TERM="dumb").end()
    assert code == 0
    assert "\x1b" not in shown
    assert "step 50 of 50  loss" in shown


def test_the_bar_in_a_terminal_that_knows_only_ascii(tmp_path, sentences_file):
    command = ["train", "--data", sentences_file, "--steps", 3000, *SMALL]
    shown, code = Screen(command, tmp_path, 80, PYTHONIOENCODING="ascii", NO_COLOR="1").end()
    assert code == 0
    assert ESCAPE.sub("", shown).isascii()
    assert "\\u" not in shown
    assert "####" in shown
