"""Ctrl-C from the first millisecond of the import to the last of the program."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import llmhard

CHECKOUT = Path(llmhard.__file__).parents[1]
MODULE = [sys.executable, "-m", "llmhard"]
SCRIPT = [sys.executable, "bin/llmhard"]  # as pip writes it
INTERRUPTED = (130, "", "llmhard: interrupted\n")

# Python imports `sitecustomize` before the program. It is told what to do by SPY.
SPY = """
import os, signal, sys

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Moments:
    \"\"\"Ctrl-C at the moment of this number, once the package has begun to be imported.\"\"\"

    def __init__(self, number):
        self.left = number

    def passed(self):
        if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN):
            return
        if self.left == 0:
            interrupt()
        self.left -= 1

exec(os.environ["SPY"])
"""
AT_AN_IMPORT = """
moments = Moments({number})
sys.addaudithook(lambda event, _: moments.passed() if event == "import" else None)
"""
AT_A_LINE = """
moments = Moments({number})
watched = ("main", "_run", "_end", "raised", "ending", "__enter__", "__exit__")

def trace(frame, event, _):
    code = frame.f_code
    if code.co_name not in watched or "importlib" in code.co_filename:
        return None
    if event == "line":
        moments.passed()
    return trace

sys.settrace(trace)
"""
# Says through a pipe that the package has begun to be imported.
TELL = """
def tell(event, arguments):
    global told
    if event == "import" and not told:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            told = True
            os.write({pipe}, b"!")

told = False
sys.addaudithook(tell)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current directory: the spy, the program as an installed script, sentences."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(SPY)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "llmhard").write_text(
        "import sys\nfrom llmhard.cli import main\nsys.exit(main())\n"
    )
    (tmp_path / "d.txt").write_text("the cat\na dog\n")
    return tmp_path


def start(command, spy="", **options):
    env = os.environ | {"PYTHONPATH": f"{Path.cwd()}:{CHECKOUT}", "SPY": textwrap.dedent(spy)}
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    options = pipes | {"stdin": subprocess.DEVNULL, "env": env, "text": True} | options
    return subprocess.Popen(command, **options)


def run(command, spy="", **options):
    process = start(command, spy, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def interrupted_at_each(spy, command, step=1):
    """Interrupt a program at each moment that a spy knows, until it ends before the next one.

    Returns how often that was.
    """
    count = 0
    while (result := run(command, spy.format(number=count * step))) == INTERRUPTED:
        count += 1
    assert "Traceback" not in result[2]
    return count


@pytest.mark.parametrize(
    ("program", "command", "step", "least"),
    [
        (MODULE, ["train", "--data", "no.txt"], 3, 25),
        (SCRIPT, ["sample"], 4, 20),
        (MODULE, ["--version"], 6, 10),
    ],
)
def test_at_the_imports(program, command, step, least):
    assert interrupted_at_each(AT_AN_IMPORT, [*program, *command], step) >= least


@pytest.mark.parametrize("command", [[*MODULE, "--version"], [*SCRIPT, "no-command"]])
def test_at_the_lines_where_handlers_change(command):
    assert interrupted_at_each(AT_A_LINE, command) >= 15


@pytest.mark.parametrize(
    "command",
    [
        [*MODULE, "train", "--data", "fifo", "--out", "new.safetensors"],
        [*SCRIPT, "sample", "--model", "fifo"],
        [*MODULE, "evaluate", "--data", "fifo"],
    ],
)
def test_after_some_milliseconds(folder, command):
    os.mkfifo("fifo")  # which nobody writes: it loads, and then it waits
    (folder / "model.safetensors").write_text("no model")
    for milliseconds in range(0, 75, 5):
        ours, theirs = os.pipe()
        process = start(command, TELL.format(pipe=theirs), pass_fds=[theirs])
        os.close(theirs)
        assert os.read(ours, 1) == b"!"
        os.close(ours)
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == INTERRUPTED, milliseconds


WHEN_THE_DATA_IS_OPENED = """
def interrupt_while_opening(event, arguments):
    if event == "open" and str(arguments[0]).endswith("d.txt"):
        {how}

sys.addaudithook(interrupt_while_opening)
"""
SWALLOWED = """
class Swallowing:
    def __del__(self):
        interrupt()
        for _ in range(100):  # where the exception comes, and Python cannot raise it
            pass
"""


def test_where_python_cannot_raise_it():
    command = [*MODULE, "train", "--data", "d.txt", "--steps", "100000000", "--quiet"]
    spy = SWALLOWED + WHEN_THE_DATA_IS_OPENED.format(how="Swallowing()")
    code, out, err = run(command, spy)
    assert (code, out) == (130, "")
    assert err.startswith("llmhard: interrupted")
    assert len(err.splitlines()) == 1
    # Other errors are reported as ever.
    spy = spy.replace("interrupt()", "raise OSError('mine')")
    code, _, err = run([*command, "--steps", "1", "--force"], spy)
    assert code == 0, err
    assert err.startswith("Exception ignored in")
    assert err.endswith("OSError: mine\n")


def test_while_python_ends():
    assert run([*MODULE, "--version"], "import atexit\natexit.register(interrupt)") == (
        130,
        "llmhard 0.1.0\n",
        INTERRUPTED[2],
    )


def test_with_a_closed_stderr():
    result = run(
        [*MODULE, "--version"],
        AT_AN_IMPORT.format(number=9),
        preexec_fn=lambda: os.close(2),
    )
    assert result == (130, "", "")


def test_what_is_ignored_stays_ignored():
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    spy = "sys.addaudithook(lambda event, _: interrupt() if event == 'import' else None)"
    result = run([*MODULE, "--version"], spy, preexec_fn=ignore)
    assert result == (0, f"llmhard {llmhard.__version__}\n", "")


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import library", "-m", "llmhard"],
        ["-m", "library", "llmhard"],
        ["-mlibrary", "-mllmhard"],
        ["-m", "package", "-m", "llmhard"],
        ["-m", "mllmhard"],
        ["library.py", "llmhard"],
        ["bin/llmhard.py"],
        ["bin/my-llmhard"],
    ],
)
def test_a_program_that_imports_the_package_keeps_its_handlers(folder, command):
    code = (
        "import signal, sys\n"
        "sys.path[0] = ''\n"
        "import llmhard.cli\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "assert (sys.excepthook, sys.unraisablehook) == (\n"
        "    sys.__excepthook__, sys.__unraisablehook__\n"
        ")\n"
        "print('kept')\n"
    )
    (folder / "package").mkdir()
    (folder / "package" / "__main__.py").touch()
    for name in ("library.py", "mllmhard.py", "bin/llmhard.py", "bin/my-llmhard"):
        (folder / name).write_text(code)
    (folder / "package" / "__init__.py").write_text(code)
    assert run([sys.executable, *command]) == (0, "kept\n", "")


@pytest.mark.parametrize("arguments", [[], [""], ["-m"], ["-m", *"abcdefgh"]])
def test_strange_arguments_of_a_program_that_imports_the_package(arguments):
    code = f"import sys; sys.argv = {arguments}; import llmhard; print(len(llmhard.__all__))"
    assert run([sys.executable, "-c", code]) == (0, f"{len(llmhard.__all__)}\n", "")


@pytest.mark.parametrize(
    "options", [["-m", "llmhard"], ["-mllmhard"], ["-Bmllmhard"], ["-X", "dev", "-m", "llmhard"]]
)
def test_each_way_to_call_the_program(options):
    command = [sys.executable, *options, "--version", "-m", "other"]
    assert run(command, AT_AN_IMPORT.format(number=5)) == INTERRUPTED
