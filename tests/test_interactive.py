"""The prompt of `sample --interactive` as a person at a terminal meets it."""

import fcntl
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time

import pyte
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from test_cli import ENV, run, start
from test_generation_cli import talk

from llmhard import model_file
from llmhard.cli import history
from llmhard.cli.history import SavedHistory, default_path
from llmhard.cli.prompt import WordCompleter
from llmhard.tokenizer import CharTokenizer, Tokenizer

SAMPLE = ["sample", "--interactive", "--seed", 3]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of one's own, so that nobody's history is read or written."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setitem(ENV, "HOME", str(place))
    monkeypatch.delitem(ENV, "XDG_STATE_HOME", raising=False)
    return place


@pytest.fixture
def folder(tmp_path, tiny_file):
    """A current directory with the model."""
    (tmp_path / "model.safetensors").write_bytes(tiny_file.read_bytes())
    return tmp_path


class Person:
    """Somebody at a terminal, who sees what is on it and does not wait for ever."""

    def __init__(self, arguments, folder, columns=80, env=None, controls=True, **options):
        self.descriptor, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.settings = termios.tcgetattr(self.descriptor)
        here = {name: ENV[name] for name in ENV if name not in ("COLUMNS", "NO_COLOR")}
        here |= {"TERM": "xterm-256color"} | (env or {})
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs) | options

        def belong_to_the_terminal():  # which makes signals of Ctrl-C and of hanging up
            os.setsid()
            if controls:
                fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self.process = start(
            arguments, folder, env=here, preexec_fn=belong_to_the_terminal, **streams
        )
        os.close(theirs)
        self.raw, self._screen = b"", pyte.Screen(columns, 500)  # nothing leaves it
        self._stream = pyte.ByteStream(self._screen)

    def shown(self):
        """All lines, without spaces at their ends."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def above(self):
        """The lines down to the one of the cursor, which ends there."""
        cursor, lines = self._screen.cursor, self._screen.display
        above = [line.rstrip() for line in lines[: cursor.y]]
        return "\n".join([*above, lines[cursor.y][: cursor.x]])

    def type(self, text):
        os.write(self.descriptor, text if isinstance(text, bytes) else text.encode())

    def see(self, what):
        """Wait until this is on the screen."""
        self.look(lambda: what in self.shown())
        assert what in self.shown()

    def prompt(self):
        """Wait until a line can be typed."""
        self.look(self._at_prompt)
        return self.above()

    def end(self):
        """The exit code and all that was shown; the terminal is set as it was."""
        self.look(lambda: False)
        code = self.process.wait(timeout=30)
        assert termios.tcgetattr(self.descriptor) == self.settings
        os.close(self.descriptor)
        return code, self.above()

    def _at_prompt(self):
        return self.above().endswith("\n> ") and not self._more()

    def _more(self):
        return bool(select.select([self.descriptor], [], [], 0.15)[0])

    def look(self, until):
        deadline = time.monotonic() + 30
        while not until():
            assert time.monotonic() < deadline, self.shown()
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    data = os.read(self.descriptor, 4096)
                except OSError:  # how Linux says that the other end is closed
                    return
                self.raw += data
                self._stream.feed(data)
            elif self.process.poll() is not None and not self._more():
                return


def dumb(arguments, folder, **options):
    """Somebody at a terminal that cannot move its cursor."""
    return Person(arguments, folder, env={"TERM": "dumb"}, **options)


def answer(folder, prompt, **options):
    return run(["sample", "-n", 1, "--seed", 3, "--prompt", prompt], folder, **options)[1]


@pytest.fixture
def typed(folder, tmp_path):
    """Type into a new session, then Ctrl-D: the sentences, which go to a file, and the screen."""

    def session(*keys, **env):
        with (tmp_path / "sentences.txt").open("w") as out:
            person = Person(SAMPLE, folder, env=env, stdout=out)
            person.prompt()
            for key in keys:
                person.type(key)
                time.sleep(0.3)
            person.type("\x04")
            code, shown = person.end()
        assert code == 0
        assert "Traceback" not in shown
        return (tmp_path / "sentences.txt").read_text(), shown

    return session


KINDS = pytest.mark.parametrize("person_at", [Person, dumb])


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("columns", [40, 80, 200])
@KINDS
def test_a_talk_on_a_terminal(folder, person_at, columns):
    person = person_at(SAMPLE, folder, columns=columns)
    shown = person.prompt()
    assert "/help" in shown
    assert ("Tab" in shown) == (person_at is Person)
    assert max(map(len, shown.splitlines())) <= columns
    person.type("the cat\r")
    # The line as typed, the sentence, and the prompt again.
    assert person.prompt() == f"{shown}the cat\n{answer(folder, 'the cat')}> "
    person.type("the cta\r")
    message = person.prompt().partition("the cta\n")[2]
    assert "near it: cat" in " ".join(message.split())
    assert all(line.startswith("  ") for line in message.splitlines()[1:-1])
    person.type("/help\r")
    shown = person.prompt()
    assert max(map(len, shown.splitlines())) <= columns
    person.type("\x04")
    code, rest = person.end()
    assert code == 0
    assert rest.removeprefix(shown.rstrip()).strip() == ""


def test_an_earlier_line_can_be_recalled_and_edited(typed, folder):
    sentences, _ = typed("the cat\r", "\x1b[A", "\x7f\x7f\x7f", "dog\r")  # Up, Backspace
    assert [sentence[:7] for sentence in sentences.splitlines()] == ["the cat", "the dog"]
    assert typed("\x12", "cat", "\r", "\r")[0] == answer(folder, "the cat")  # Ctrl-R


def test_pasted_lines_are_beginnings_of_their_own(typed):
    sentences, _ = typed("\x1b[200~the cat\nthe dog\n\x1b[201~", "\r")
    assert [sentence[:7] for sentence in sentences.splitlines()] == ["the cat", "the dog"]


def test_what_is_typed_while_the_model_writes_is_the_next_line(folder):
    person = Person(SAMPLE, folder)
    person.prompt()
    person.type("the cat\rthe dog\r")
    person.see("\nthe dog")
    assert re.search(r"\nthe cat.*\n(> )?the dog", person.prompt(), flags=re.DOTALL)
    person.type("/quit\r")
    assert person.end()[0] == 0


@KINDS
def test_the_sentences_may_go_to_a_file(folder, person_at):
    with (folder / "out.txt").open("w") as out:
        person = person_at(SAMPLE, folder, stdout=out)
        person.prompt()
        person.type("the cat\n")
        person.prompt()
        person.type("\x04")
        assert person.end()[0] == 0
    assert (folder / "out.txt").read_text() == answer(folder, "the cat")


def test_only_standard_input_is_a_terminal(folder):
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        person = Person(SAMPLE, folder, stdout=out, stderr=err)
        person.type("the cat\n")
        while not (folder / "out").read_text():
            assert person.process.poll() is None
        person.type("\x04")
        code, shown = person.end()
    assert code == 0
    assert shown.startswith("the cat\n")  # the terminal's own echo
    assert (folder / "out").read_text() == answer(folder, "the cat")


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_colour_is_respected(folder, env, coloured):
    person = Person(SAMPLE, folder, env=env)
    person.prompt()
    person.type("the b\t")
    person.see("bird")
    person.type("\x03\x03\x03")
    assert person.end()[0] == 130
    assert bool(re.search(rb"\x1b\[[0-9;]*(3|4|9|10)[0-9][;m]", person.raw)) == coloured


@KINDS
def test_what_is_not_utf8_is_an_unknown_word(folder, person_at):
    person = person_at(SAMPLE, folder)
    person.prompt()
    person.type(b"na\xefve\r")
    assert "is not in the vocabulary" in person.prompt()
    person.type("\x04")
    assert person.end()[0] == 0


def test_lines_from_a_pipe_need_no_prompt_toolkit(folder):
    code = (
        "import sys\n"
        "from llmhard.cli import main\n"
        "assert main(['sample', '--interactive']) == 0\n"
        "print([name for name in sys.modules if name.startswith(('prompt', 'rich', 'asyncio'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=ENV,
        input=b"the\n/help\n",
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines()[-1] == "[]"


# ---------------------------------------------------------------- the ways out


@pytest.mark.parametrize(
    "word", ["exit", "QUIT", "quit()", "bye", ":q", ":q!", "\\q", "?", " .help "]
)
def test_habits_are_told_how_to_leave(folder, word):
    code, out, err = talk(f"{word}\nthe cat\n", folder, "--seed", 3)
    assert code == 0
    assert out == answer(folder, "the cat")
    assert err == "llmhard: /quit or Ctrl-D leaves, /help lists the commands\n"


def test_a_word_that_the_model_knows_is_a_beginning(folder, tiny):
    words = ["exit" if word == "cat" else word for word in tiny.tokenizer.words]
    saved = model_file.SavedModel(tiny.model, Tokenizer(words), ())
    model_file.save(folder / "model.safetensors", saved)
    code, out, err = talk("exit\nhelp\n", folder)
    assert code == 0
    assert out.startswith("exit")
    assert len(out.splitlines()) == 1
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("quit_", ["/quit", "/exit", " /quit", "/q"])
def test_commands_that_leave(folder, quit_):
    assert talk(f"{quit_}\nthe cat\n", folder) == (0, "", "")


@KINDS
def test_ctrl_c_clears_the_line_and_a_second_one_leaves(folder, person_at):
    person = person_at(SAMPLE, folder)
    person.prompt()
    person.type("the dog")
    person.see("> the dog")
    person.type("\x03")
    person.prompt()
    person.type("the cat\n")
    assert f"> the cat\n{answer(folder, 'the cat')}> " in person.prompt()
    person.type("\x03")  # on an empty line, the first
    shown = person.prompt()
    assert "Press Ctrl-C again to leave" in shown
    person.type("\x03")
    code, rest = person.end()
    assert code == 130
    assert rest.removeprefix(shown.rstrip()).strip("\n ^C") == "llmhard: interrupted"


def test_a_cleared_line_counts_as_the_first_ctrl_c(folder):
    person = Person(SAMPLE, folder)
    person.prompt()
    person.type("the dog")
    person.see("the dog")
    person.type("\x03")
    person.prompt()
    person.type("\x03")
    code, shown = person.end()
    assert code == 130
    assert shown.endswith("\nllmhard: interrupted\n")
    assert "Ctrl-C again" not in shown


@KINDS
def test_a_line_between_two_ctrl_cs_makes_the_second_a_first_one(folder, person_at):
    person = person_at(SAMPLE, folder)
    for keys in ("\x03", "the cat\r", "\x03", "\x03"):
        person.prompt()
        person.type(keys)
    code, shown = person.end()
    assert code == 130
    assert shown.count("Ctrl-C again") == 2


@KINDS
def test_ctrl_c_while_writing_leads_back_to_the_prompt(folder, person_at):
    person = person_at([*SAMPLE, "-n", 10**6], folder)
    person.prompt()
    person.type("the\n")
    person.see("\nthe ")
    person.process.send_signal(signal.SIGINT)
    assert "Ctrl-C" not in person.prompt()
    person.type("/quit\n")
    assert person.end()[0] == 0


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("writing", [False, True])
@KINDS
def test_signals_that_end_a_program_end_it(folder, person_at, writing, number):
    person = person_at([*SAMPLE, "-n", 10**6], folder)
    person.prompt()
    if writing:
        person.type("the\n")
        person.see("\nthe ")
    before = person.shown()
    person.process.send_signal(number)
    code, shown = person.end()
    assert code == 128 + number
    assert "Traceback" not in shown
    assert shown.removeprefix(before).count("llmhard: ") == 1


@pytest.mark.parametrize("err", [None, "err.txt"])
@pytest.mark.parametrize("controls", [True, False])
@KINDS
def test_a_terminal_that_hangs_up(folder, person_at, controls, err):
    with (folder / "err.txt").open("w+") as file:
        options = {"stderr": file} if err else {}
        person = person_at(SAMPLE, folder, controls=controls, **options)
        prompt = folder / "err.txt"  # it goes where errors go
        person.look(lambda: ">" in person.shown() or ">" in prompt.read_text())
        os.close(person.descriptor)
        assert person.process.wait(timeout=30) == (128 + signal.SIGHUP if controls else 0)
        file.seek(0)
        assert "Traceback" not in file.read()


# ---------------------------------------------------------------- Tab


def completions(completer, text):
    """The lines that Tab may make of this one."""
    document = Document(text, len(text))
    return [
        text[: len(text) + found.start_position] + found.text
        for found in completer.get_completions(document, CompleteEvent())
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the d", ["the dog", "the don't"]),
        ("the do", ["the dog", "the don't"]),
        ("the don'", ["the don't"]),
        ("the dog", ["the dog"]),
        ("dog", ["dog"]),
        ("The Do", ["The dog", "The don't"]),
        ('the "do', ['the "dog', "the \"don't"]),
        ("the dog,c", ["the dog,cat"]),
        ("the x", []),
        ("", ["cat", "dog", "don't", "the"]),
        ("the ", ["the cat", "the dog", "the don't", "the the"]),
        ("/", ["/top-k", "/top-p"]),
        ("/top-k", ["/top-k"]),
        (" /top-p 1 /top-k", [" /top-p 1 /top-k"]),
        ("/top-k ", []),
        ("/top-k 1", []),
        ("/the", []),
        ("the /t", ["the /the"]),
        ("\u0130", []),
        ("\udcff", []),
    ],
)
def test_what_tab_offers(text, expected):
    completer = WordCompleter(
        Tokenizer(["the", "dog", "cat", "don't"]), {"/top-k": "", "/top-p": ""}
    )
    assert completions(completer, text) == expected


def test_characters_are_not_completed():
    completer = WordCompleter(CharTokenizer(["a", "b"]), {"/top-k": "the likeliest"})
    assert completions(completer, "a") == []
    assert completions(completer, "/t") == ["/top-k"]


def test_tab_completes_a_word(typed, folder):
    assert typed("the do\t", "\r")[0] == answer(folder, "the dog")
    assert typed("the ca\t", "\x01\x1b[C\x1b[C\x1b[C \x05", "\r")[0][:3] == "the"  # inside the line
    sentences, _ = typed("/tem\t", " 0\r", "the b\t", "\t", "\r")  # big, the first of three
    zero = run(["sample", "-n", 1, "--temperature", 0, "--prompt", "the big"], folder)[1]
    assert sentences == zero


def test_tab_lists_what_is_possible(folder):
    person = Person(SAMPLE, folder, columns=40)
    before = person.prompt()
    person.type("the b\t")
    person.see("> the b")
    person.see("bird")
    assert re.search(r"\n +big\n? +bird\n? +book$", person.shown())
    person.type("\x15/t\t")
    person.see("> /t")
    time.sleep(0.3)
    menu = person.shown().partition("> /t\n")[2]
    assert menu.split() == ["/temperature", "/top-p", "/top-k"]
    # What the menu was drawn over is as if it had never been.
    person.type("\x15the cat\r")
    assert person.prompt() == f"{before}the cat\n{answer(folder, 'the cat')}> "
    person.type("\x04")
    assert person.end()[0] == 0


# ---------------------------------------------------------------- the history


def told(path):
    return list(SavedHistory(path).load_history_strings())


def test_the_history_lasts(typed, home, folder):
    typed("the cat\r", "/top-k 3\r", "the cta\r")
    kept = home / ".local/state/llmhard/history"
    assert kept.read_text() == "the cat\n/top-k 3\nthe cta\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert typed("\x10\x10\x10", "\r")[0] == answer(folder, "the cat")
    # And again: what is recalled is the latest, and is kept once.
    assert kept.read_text() == "the cat\n/top-k 3\nthe cta\nthe cat\n"


def test_where_the_history_is(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for state, expected in (
        (str(tmp_path / "state"), tmp_path / "state/llmhard/history"),
        ("relative", tmp_path / ".local/state/llmhard/history"),
        ("", tmp_path / ".local/state/llmhard/history"),
    ):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        assert default_path() == expected
    monkeypatch.delenv("XDG_STATE_HOME")
    for name in ("", "relative"):
        monkeypatch.setenv("HOME", name)
        assert default_path() is None
    monkeypatch.delenv("HOME")
    assert default_path() is None
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert default_path() == tmp_path / "llmhard/history"
    monkeypatch.delenv("LOCALAPPDATA")
    assert default_path() is None


def test_the_history_does_not_grow_for_ever(tmp_path):
    path = tmp_path / "history"
    for line in range(5):
        SavedHistory(path).store_string(f"line {line}")
    assert told(path) == [f"line {line}" for line in (4, 3, 2, 1, 0)]
    many = "".join(f"line {line}\n" for line in range(history.LINES + 500))
    path.write_text(many)
    path.chmod(0o640)
    kept = told(path)
    assert kept[0] == f"line {history.LINES + 499}"
    assert len(kept) == history.LINES == len(path.read_text().splitlines())
    assert told(path) == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("x" * 900 + "\n" + ("y" * 900 + "\n") * 900)
    assert 100 < len(told(path)) < history.LARGEST / 900
    assert path.stat().st_size <= history.LARGEST
    SavedHistory(path).store_string("z" * 10_000_000)
    assert path.stat().st_size <= history.LARGEST
    assert {file.name for file in tmp_path.iterdir()} == {"history", "home"}


def test_two_sessions_keep_the_lines_of_both(tmp_path):
    one, other = SavedHistory(tmp_path / "history"), SavedHistory(tmp_path / "history")
    assert list(one.load_history_strings()) == list(other.load_history_strings()) == []
    one.store_string("a")
    other.store_string("b")
    one.store_string("c\nd\n")
    assert told(tmp_path / "history") == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00", b"\0" * 1000, b"the cat", b"\n\n\n", b"\x1b[31m"]
)
def test_damaged_bytes_in_the_history(typed, home, folder, damage):
    kept = home / ".local/state/llmhard/history"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(damage)
    assert typed("the dog\r", "\x10", "\x10", "\x03")[0] == answer(folder, "the dog")
    assert kept.read_bytes().endswith(b"the dog\n")


def spoil(path, how):
    """Put something in the history's way."""
    path.parent.mkdir(parents=True)
    if how == "directory":
        path.mkdir()
    elif how == "file for folder":
        path.parent.rmdir()
        path.parent.write_text("")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "circle":
        path.symlink_to(path)
    elif how == "dangling link":
        path.symlink_to(path.parent / "nowhere" / "history")
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "full":
        path.symlink_to("/dev/full")


@pytest.mark.parametrize(
    "how", ["directory", "file for folder", "pipe", "circle", "dangling link", "device", "full"]
)
def test_a_place_without_history(typed, home, how):
    spoil(home / ".local/state/llmhard/history", how)
    sentences, shown = typed("the cat\r", "\x10", "\x7f\x7f\x7fdog\r")
    assert [sentence[:7] for sentence in sentences.splitlines()] == ["the cat", "the dog"]
    assert "rror" not in shown


def test_no_home(typed, folder):
    assert typed("the cat\r", HOME="")[0] == answer(folder, "the cat")
    assert typed("the cat\r", HOME="/proc/nowhere")[0] == answer(folder, "the cat")


def test_a_link_to_the_history_stays(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("".join(f"{line}\n" for line in range(history.LINES + 1)))
    link.symlink_to(real)
    SavedHistory(link).store_string("new")
    assert told(link)[0] == "new"
    assert link.is_symlink()
    assert len(real.read_text().splitlines()) == history.LINES
