"""The workbook as a reader goes through it, and the answers to whatever else a file may hold."""

import gc
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import solutions

import llmhard
from llmhard import cli, sampler, trainer
from llmhard import model as our_model
from llmhard.recipe import Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.workbook import LABS, SCRIPT, SENTENCES, SOLUTIONS, lay_out
from llmhard.workbook.book import Book
from llmhard.workbook.checks import SECTIONS, checks_of
from llmhard.workbook.errors import Wrong
from llmhard.workbook.grading import SECONDS, grade, told
from llmhard.workbook.stubs import stub
from llmhard.workbook.worker import CALL_SECONDS, NOT_RUN, OK, TO_DO, WRONG, run_lab

ROOT = Path(cli.__file__).parents[2]
ENV = {k: v for k, v in os.environ.items() if k != "LLMHARD_ARCH"} | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def call(capsys):
    """Run the program in this process: exit code, stdout, stderr."""

    def main(*arguments):
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return main


@pytest.fixture
def solved(tmp_path):
    """A reader's folder in which everything is solved."""
    folder = tmp_path / "mygpt"
    shutil.copytree(SOLUTIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def change(folder, file, old, new):
    source = (folder / file).read_text(encoding="utf-8")
    assert source.count(old) == 1
    (folder / file).write_text(source.replace(old, new), encoding="utf-8")


def run_script(folder):
    done = subprocess.run(
        [sys.executable, SCRIPT], cwd=folder, env=ENV, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- a reader's session


def test_from_the_stubs_to_a_gpt_that_trains_and_writes(call, tmp_path):
    folder = tmp_path / "mygpt"
    code, out, err = call("workbook", folder)
    assert (code, err) == (0, "")
    names = [lab.file for lab in LABS.values()] + [SCRIPT, SENTENCES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert all(name in out for name in names)
    assert f"check 02 {folder}" in out
    for number, lab in LABS.items():
        checks = checks_of(number)
        code, out, err = call("check", number, folder)
        assert (code, err) == (1, "")
        assert out.count("  to do   ") == len(checks)
        assert f"0 of {len(checks)} checks pass, {len(checks)} to do." in out
        assert re.search(rf"Next: write \S+ in {folder / lab.file}\.", " ".join(out.split()))

        shutil.copy(SOLUTIONS / lab.file, folder)
        began = time.monotonic()
        code, out, err = call("check", int(number), folder)
        assert time.monotonic() - began < 20
        assert (code, err) == (0, "")
        assert out.count("  ok      ") == len(checks)
        assert f"All {len(checks)} checks pass." in out
        assert f'{lab.document}, "' not in out
    assert "Your GPT is complete" in out
    assert "from llmhard import Value" in out
    assert call("check", folder)[0] == 0

    change(folder, SCRIPT, "STEPS = 100", "STEPS = 5")
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)  # nothing left behind
    out = run_script(folder)
    assert "597 tokens, 22,432 parameters" in out
    assert "step 1 of 5  loss 6." in out
    vocabulary = set((folder / SENTENCES).read_text().split())
    written = out.splitlines()[2:]
    assert len(written) == 10
    assert all(set(line.split()) <= vocabulary for line in written)
    # llmhard's own command writes with the reader's model.
    code, out, err = call("sample", "--model", folder / "mine.safetensors", "-n", 3)
    assert (code, err) == (0, "")
    assert all(set(line.split()) <= vocabulary for line in out.splitlines())


def test_what_is_there_is_left_alone(call, tmp_path):
    (tmp_path / "value.py").write_text("mine = 1\n")
    code, out, _ = call("workbook", tmp_path)
    assert code == 0
    assert "left alone:\n\n  value.py\n" in out
    assert (tmp_path / "value.py").read_text() == "mine = 1\n"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {lab.file for lab in LABS.values()} | {SCRIPT, SENTENCES}
    code, out, _ = call("workbook", tmp_path)
    assert "Written" not in out
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_learned_numbers_are_those_of_the_package():
    """The solutions' train and generate give what llmhard's give, to the last shown digit."""
    sentences = ["the cat sat", "a dog ran home", "the dog sat"]
    tokenizer = Tokenizer.from_sentences(sentences)
    documents = [tokenizer.encode_document(s) for s in sentences]
    sizes = {"vocab_size": tokenizer.vocab_size, "n_layer": 1, "n_embd": 8, "n_head": 2}
    ours = our_model.GPT.initialize(our_model.Config(**sizes), random.Random(3))
    theirs = solutions.model.GPT.initialize(solutions.model.Config(**sizes), random.Random(3))
    # Once through twelve: a second time llmhard would take them in another order.
    expected = trainer.train(ours, documents * 4, Recipe(12))
    assert solutions.training.train(theirs, documents, 12) == pytest.approx(expected, rel=1e-9)
    generate = Book(SOLUTIONS).get("sampling", "generate")
    for seed in range(10):
        for options in ({}, {"temperature": 0}, {"top_k": 3}, {"top_p": 0.6, "prompt": [1]}):
            prompt = options.pop("prompt", [])
            sentence = generate(theirs, random.Random(seed), **options, prompt=prompt)
            sampling = sampler.Sampling(**options)
            assert sentence == sampler.generate(ours, random.Random(seed), sampling, prompt)


def losses_of(folder, steps):
    book = Book(folder)
    model = book.get("model", "GPT").initialize(
        book.get("model", "Config")(60, n_layer=1, n_embd=16), random.Random(2)
    )
    documents = [[0, 3, 1, 4, 1, 5, 0], [0, 2, 50, 0]]
    gc.collect()
    began = time.perf_counter()
    losses = book.get("training", "train")(model, documents, steps)
    return losses, time.perf_counter() - began, model


def test_one_import_runs_it_on_the_compiled_engine(solved):
    expected, slow, _ = losses_of(solved, 10)
    change(solved, "model.py", "from value import Value", "from llmhard import Value")
    found, fast, model = losses_of(solved, 10)
    assert type(model.scalars()[0]) is llmhard.Value
    assert found == pytest.approx(expected, rel=1e-9)
    assert fast < slow
    for number in ("05", "06", "07", "08"):
        assert [o for o in run_lab(number, Book(solved)) if o.status != OK] == []


# ---------------------------------------------------------------- solutions and stubs


@pytest.mark.parametrize("number", LABS)
def test_the_solutions_are_clean(number):
    outcomes = list(run_lab(number, Book(SOLUTIONS)))
    assert [o for o in outcomes if o.status != OK] == []
    assert [o.title for o in outcomes] == [check.title for check in checks_of(number)]
    assert len({o.title for o in outcomes}) == len(outcomes)


@pytest.mark.parametrize("lab", LABS.values(), ids=lambda lab: lab.file)
def test_solutions_need_only_python_and_each_other(lab):
    source = (SOLUTIONS / lab.file).read_text(encoding="utf-8")
    imported = set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE))
    own = {other.module for other in LABS.values()}
    assert imported <= own | set(sys.stdlib_module_names)
    needed = {LABS[number].module for number in lab.needs}
    assert imported & own <= needed
    # So that one import exchanges the engine.
    assert ("value" in imported) == (lab.module == "model")


def test_a_stub_keeps_everything_but_the_bodies():
    source = '''"""A file."""

import math

LIMIT = 3  # a constant


class Box:
    """A box."""

    def open(self, key="x"):
        """Open it.

        >>> 1
        1
        """
        # a comment that gives it away
        def inner():
            return math.pi

        return inner()

    @property
    def size(self):
        if self is None:  # given: an odd case
            return 0
        return 1

    def __repr__(self):  # given
        return "Box"
'''
    assert (
        stub(source)
        == '''"""A file."""

import math

LIMIT = 3  # a constant


class Box:
    """A box."""

    def open(self, key="x"):
        """Open it.

        >>> 1
        1
        """
        raise NotImplementedError("Box.open")

    @property
    def size(self):
        if self is None:  # given: an odd case
            return 0
        raise NotImplementedError("Box.size")

    def __repr__(self):  # given
        return "Box"
'''
    )


def test_every_check_points_to_a_section_of_its_document():
    for number, lab in LABS.items():
        used = {check.section for check in checks_of(number)}
        assert used == set(SECTIONS[number])
        document = ROOT / lab.document
        if document.is_file():  # each lab's document may come later than its checks
            headings = re.findall(r"^#+ (.*?)\s*$", document.read_text(encoding="utf-8"), re.M)
            assert used <= set(headings)


# ---------------------------------------------------------------- plain answers


def report_on(folder, number):
    report = grade(number, folder)
    lines = list(told(report, folder, lambda number: f"llmhard check {number} {folder}"))
    assert all(len(line) <= 80 or str(folder) in line for line in lines)
    assert "Traceback" not in "\n".join(lines)
    return report, " ".join(" ".join(lines).split())


RELU = '        """Return self if it is above zero, else zero. At zero the slope counts as 0."""\n'


@pytest.mark.parametrize(
    ("file", "old", "new", "number", "says"),
    [
        (
            "layers.py",
            "    largest = max(x.data for x in logits)\n",
            "    largest = max(x.data for x in logits\n",
            "04",
            ["Python cannot read layers.py, line", "'(' was never closed", "largest = max("],
        ),
        (
            "value.py",
            "import math\n",
            "import maths\n",
            "03",
            ["import value raised ModuleNotFoundError: No module named 'maths'", "line 3"],
        ),
        (
            "value.py",
            RELU,
            RELU + "        return self.data / 0\n",
            "03",
            [
                "a.relu() at a = 2.0 raised ZeroDivisionError",
                "in value.py, line",
                "Value.relu:",
                "return self.data / 0",
            ],
        ),
        (
            "value.py",
            RELU,
            RELU + "        return None\n",
            "03",
            ["a.relu() should be a Value. Yours is None.", "A function without `return`"],
        ),
        (
            "value.py",
            RELU,
            RELU + "        print('here', self.data)\n        return self\n",
            "03",
            ["Your code printed:", "| here -2.0"],
        ),
        (
            "value.py",
            RELU,
            RELU + "        raise SystemExit\n",
            "03",
            ["a.relu() at a = 2.0 ended the program"],
        ),
        (
            "value.py",
            RELU,
            RELU + "        import os; os._exit(3)\n",
            "03",
            ["wrong a.relu()", "Your code ended the program.", "not run -a, a - b"],
        ),
        (
            "value.py",
            RELU,
            RELU + "        return self.relu()\n",
            "03",
            ["a function calls itself more often than Python allows", "Value.relu:"],
        ),
        (
            "value.py",
            RELU,
            RELU + "        return [0] * 10**10\n",
            "03",
            ["used up all the memory"],
        ),
        (
            "layers.py",
            "    total = sum(exps)\n",
            "    while True:\n        try:\n            pass\n        except BaseException:\n"
            "            pass\n    total = sum(exps)\n",
            "04",
            [
                "softmax([0.0, 0.0]) did not return within",
                "in layers.py, line",
                "not run softmax: large logits",
                "Look for a loop whose end never comes.",
            ],
        ),
        (
            "layers.py",
            "def rmsnorm(x):",
            "def rms_norm(x):",
            "04",
            ["layers.py has no rmsnorm."],
        ),
        (
            "layers.py",
            "def rmsnorm(x):",
            "def rmsnorm():",
            "04",
            ["raised TypeError", "takes 0 positional arguments but 1 was given"],
        ),
        (
            "layers.py",
            "    return [x_i * scale for x_i in x]",
            "    return (x_i * scale for x_i in x)",
            "04",
            ["should be a list of 4 Values. Yours is a generator."],
        ),
        (
            "layers.py",
            "    largest = max(x.data for x in logits)\n",
            "    global calls\n    calls = globals().get('calls', 0) + 1\n"
            "    largest = max(x.data for x in logits)\n"
            "    if calls == 6:\n        raise ValueError('now and then')\n",
            "04",
            ["The same call gave two different answers"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_whatever_is_in_a_file_gets_a_plain_answer(solved, file, old, new, number, says):
    change(solved, file, old, new)
    began = time.monotonic()
    report, text = report_on(solved, number)
    assert time.monotonic() - began < 20
    assert not report.passed
    assert report.earlier is None
    assert report.count(WRONG) >= 1
    for part in says:
        assert part in text


def test_a_missing_file(solved):
    (solved / "layers.py").unlink()
    report, text = report_on(solved, "04")
    assert "There is no file layers.py in" in text
    assert report.count(NOT_RUN) == len(checks_of("04"))


def test_what_is_not_written_yet_is_to_do_and_not_wrong(solved):
    body = (SOLUTIONS / "value.py").read_text().split(RELU)[1].split("    def ")[0]
    change(solved, "value.py", body, '        raise NotImplementedError("Value.relu")\n\n')
    report, text = report_on(solved, "03")
    assert (report.count(WRONG), report.count(TO_DO)) == (0, 1)
    assert "to do a.relu()" in text
    assert f"Next: write Value.relu in {solved / 'value.py'}." in text


@pytest.mark.parametrize(
    ("change_it", "says"),
    [
        (
            ("value.py", "gradient[child] += ", "gradient[child] = "),
            ["Lab 05 needs your value.py, and that does not pass", "check 03", "used twice"],
        ),
        (
            ("layers.py", "* scale for x_i in x]", "* 2 for x_i in x]"),
            ["Lab 05 needs your layers.py", "check 04", "Wrong in layers.py: rmsnorm"],
        ),
        (
            ("value.py", "import math\n", "import math, nothing_like_it\n"),
            ["Lab 05 needs your value.py", "check 03", "can be imported"],
        ),
    ],
)
def test_an_earlier_file_gets_the_blame_that_is_its_own(solved, change_it, says):
    change(solved, *change_it)
    report, text = report_on(solved, "05")
    assert report.earlier is not None
    assert not report.passed
    for part in says:
        assert part in text
    assert not [check.title for check in checks_of("05") if check.title in text]


def test_an_earlier_stub_is_named(solved):
    (solved / "layers.py").write_text(stub((SOLUTIONS / "layers.py").read_text()))
    _, text = report_on(solved, "05")
    assert "Lab 05 needs your layers.py, and that is not finished yet" in text
    assert "To do in layers.py: write linear" in text


# ---------------------------------------------------------------- the commands


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "09", "."], "the labs to check are 02 to 08, not '09'"),
        (["check", "value", "."], "the labs to check are 02 to 08"),
        (["check", ".", "value"], "the labs to check are 02 to 08"),
        (["check", "03", "nowhere"], "llmhard workbook nowhere"),
        (["check", "nowhere"], "llmhard workbook nowhere"),
        (["check", "."], "llmhard workbook my-gpt"),
        (["check"], "llmhard workbook my-gpt"),
        (["check", "6"], "you are not in a workbook"),
        (["workbook"], "you are not in a workbook; to lay one out: llmhard workbook my-gpt"),
        (["workbook", ""], "the name of a folder, not an empty one"),
        (["check", "03", ""], "the name of a folder, not an empty one"),
        (["check", ""], "the name of a folder, not an empty one"),
        (["workbook", "file"], "it is a file, not a folder"),
        (["workbook", "file/below"], "cannot lay out the workbook in file/below"),
    ],
)
def test_usage_errors_are_one_line(call, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("llmhard: ")
    assert err.count("\n") == 1
    assert says in err


def only_line(err):
    assert err.startswith("llmhard: ")
    assert err.count("\n") == 1
    return err.rstrip("\n")


@pytest.fixture
def unsolved(tmp_path, monkeypatch, call):
    """A folder with a workbook in which nothing is written yet, the current folder."""
    monkeypatch.chdir(tmp_path)
    assert call("workbook", "my-gpt")[0] == 0
    return tmp_path


def test_inside_a_workbook_no_folder_is_named(call, solved, monkeypatch):
    (solved / "notes").mkdir()
    change(solved, "value.py", "gradient[child] += ", "gradient[child] = ")
    (solved / "sampling.py").unlink()
    outside = call("check", "05", solved)
    assert outside[0] == 1
    assert f"check 03 {solved}\n" in outside[1]
    for place in (solved, solved / "notes"):
        monkeypatch.chdir(place)
        for lab in ("05", "5"):
            code, out, err = call("check", lab)
            assert (code, err) == (1, "")
            assert "  llmhard check 03\n" in out
            assert call("check", lab, os.path.relpath(solved))[1] == out
            assert call("check", os.path.relpath(solved), lab)[1] == out
        code, out, err = call("check")
        assert (code, err) == (1, "")
        assert out.startswith("Lab 02, tokenizer.py: all ")
        assert call("check", os.path.relpath(solved))[1] == out
    code, out, err = call("workbook")
    assert (code, err) == (0, "")
    assert "Written to ..:\n\n  sampling.py " in out
    assert out.endswith("  llmhard check 02\n")
    assert (solved / "sampling.py").read_text() == stub((SOLUTIONS / "sampling.py").read_text())
    monkeypatch.chdir(solved)
    (solved / "layers.py").unlink()
    assert "Written to this folder:\n\n  layers.py " in call("workbook")[1]
    code, out, _ = call("check", "2")
    assert " and value.py." in " ".join(out.split()), "the next file, as it is called from here"


def test_the_next_file_is_named_as_seen_from_here(call, unsolved, monkeypatch):
    assert "Tokenizer.__init__ in my-gpt/tokenizer.py." in call("check", "02", "my-gpt")[1]
    monkeypatch.chdir(unsolved / "my-gpt")
    assert "Tokenizer.__init__ in tokenizer.py." in call("check")[1]


@pytest.mark.parametrize(
    ("place", "arguments", "command"),
    [
        (".", ["check"], "check my-gpt"),
        (".", ["check", "06"], "check 06 my-gpt"),
        (".", ["check", "mygtp"], "check my-gpt"),
        (".", ["check", "06", "mygtp"], "check 06 my-gpt"),
        (".", ["check", "my-gpt/inner"], "check my-gpt"),
        (".", ["check", "."], "check my-gpt"),
        (".", ["workbook"], "workbook my-gpt"),
        ("other", ["check"], "workbook my-gpt"),  # nobody looks into the folders beside
        ("other", ["check", "../mygpt"], "check ../my-gpt"),
        ("my-gpt", ["check", "my-gpt"], "check"),
        ("my-gpt", ["check", "03", "mygtp"], "check 03"),
        ("my-gpt", ["workbook", "my-gpt"], "workbook"),
        ("my-gpt", ["workbook", "other"], "workbook"),
        ("my-gpt", ["workbook", "a/b/c"], "workbook"),
        (".", ["workbook", "my-gpt/inner"], "workbook {0}/my-gpt"),
        (".", ["workbook", "my-gpt/a/b"], "workbook {0}/my-gpt"),
    ],
)
def test_a_slip_makes_no_stray_workbook(call, unsolved, monkeypatch, place, arguments, command):
    (unsolved / "other").mkdir()
    (unsolved / "file.txt").touch()
    before = sorted(unsolved.rglob("*"))
    monkeypatch.chdir(unsolved / place)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    command = command.format(unsolved)
    assert re.search(rf": llmhard {re.escape(command)}(;|$)", only_line(err)), err
    assert sorted(unsolved.rglob("*")) == before


def test_the_advice_is_right(call, unsolved):
    """Whatever is advised for a typo works when it is typed."""
    _, _, err = call("check", "mygtp")
    advice = err.rstrip().partition(": llmhard ")[2].rpartition(": llmhard ")[2] or err
    assert call(*advice.split())[0] == 1
    shutil.copytree(unsolved / "my-gpt", unsolved / "two words")
    _, _, err = call("check", "twowords")
    assert "two words is one (others: my-gpt): llmhard check 'two words'" in err


def test_a_workbook_elsewhere_can_be_laid_out_from_inside_one(call, unsolved, monkeypatch):
    monkeypatch.chdir(unsolved / "my-gpt")
    code, out, err = call("workbook", "../second")
    assert (code, err) == (0, "")
    assert out.endswith("  llmhard check 02 ../second\n")
    # One that is inside another for some reason can be restored.
    shutil.copytree(unsolved / "second", unsolved / "my-gpt" / "inner")
    (unsolved / "my-gpt" / "inner" / "value.py").unlink()
    assert call("workbook", "inner")[0] == 0
    assert (unsolved / "my-gpt" / "inner" / "value.py").is_file()


@pytest.mark.parametrize("foreign", ["file", "link", "dangling link", "folder"])
def test_foreign_files_of_the_same_names_stay(call, tmp_path, foreign):
    for name in [lab.file for lab in LABS.values()] + [SCRIPT, SENTENCES]:
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        target, elsewhere = folder / name, tmp_path / f"elsewhere_{name}"
        if foreign == "file":
            target.write_text("mine\n")
        elif foreign == "folder":
            target.mkdir()
        else:
            target.symlink_to(elsewhere)
            if foreign == "link":
                elsewhere.write_text("mine\n")
        code, out, err = call("workbook", folder)
        assert (code, err) == (0, "")
        assert f"left alone:\n\n  {name}\n" in out
        if foreign in ("file", "link"):
            assert target.read_text() == "mine\n"
        assert elsewhere.exists() == (foreign == "link")


def test_a_file_that_appears_while_the_workbook_is_laid_out(tmp_path, monkeypatch):
    opened = Path.open

    def raced(self, mode="r", *args, **options):
        if self.name == "value.py" and "x" in mode:
            self.write_text("somebody was faster\n")
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", raced)
    _, kept = lay_out(tmp_path)
    assert kept == ["value.py"]
    assert (tmp_path / "value.py").read_text() == "somebody was faster\n"


def test_a_disk_that_fills_up_leaves_no_half_a_file(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-m", "llmhard", "workbook", "my-gpt"], cwd=tmp_path, env=ENV,
        preexec_fn=limit, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert only_line(done.stderr) == (
        "llmhard: cannot lay out the workbook in my-gpt: File too large"
    )
    assert not (tmp_path / "my-gpt" / SENTENCES).exists()
    assert len(list((tmp_path / "my-gpt").iterdir())) == len(LABS) + 1


def test_a_folder_that_is_gone(call, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in (["check"], ["workbook"], ["check", "03"]):
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert "cannot say where you are: No such file or directory" in only_line(err)


def test_without_hypothesis_it_says_what_to_install(call, solved, monkeypatch):
    monkeypatch.setattr("llmhard.cli.check.find_spec", lambda _: None)
    code, out, err = call("check", "03", solved)
    assert (code, out) == (2, "")
    assert err == "llmhard: check needs hypothesis: python -m pip install hypothesis\n"


def test_sampling_loads_nothing_of_the_workbook(tiny_file):
    program = (
        "import sys; from llmhard.cli import main; "
        f"main(['sample', '--model', {str(tiny_file)!r}]); "
        "print(*[name for name in sys.modules if 'hypothesis' in name or 'llmhard.work' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENV, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


def test_the_limits_are_below_what_is_promised():
    assert SECONDS < 20
    assert 2 * CALL_SECONDS < 10  # an endless loop, also if an earlier lab is asked about it


def test_an_endless_loop_is_found_while_it_runs(solved):
    change(solved, "training.py", "    cache = KVCache(model.config.n_layer)\n",
           "    cache = KVCache(model.config.n_layer)\n    while cache:\n        pass\n"
           "    while True:\n        cache\n")  # fmt: skip
    used = os.times()
    report, text = report_on(solved, "06")
    used = sum(os.times()[2:4]) - sum(used[2:4])
    assert used < 10
    assert report.earlier is None
    assert re.search(r"in training.py, line \d+, sequence_loss:", text)
    assert "Look for a loop whose end never comes." in text


def test_one_cause_is_told_once(solved):
    change(solved, "training.py", "return sum(losses) / len(losses)",
           "return sum(losses) // len(losses)")  # fmt: skip
    report, text = report_on(solved, "06")
    assert text.count("Write `/`.") == 1
    assert text.count("in training.py, line") == 1
    assert report.count(NOT_RUN) > 5
    assert "What builds on what is wrong is not run yet." in text


@pytest.mark.parametrize("body", ["", "        pass\n", "        ...\n", '        ""\n'])
def test_an_empty_function_is_to_do(solved, body):
    old = (SOLUTIONS / "value.py").read_text().split(RELU)[1].split("    def ")[0]
    change(solved, "value.py", old, f"{body}\n")
    report, text = report_on(solved, "03")
    assert (report.count(WRONG), report.count(TO_DO)) == (0, 1)
    assert f"Next: write Value.relu in {solved / 'value.py'}." in text


@pytest.mark.parametrize(
    ("file", "source", "number"),
    [
        ("value.py", "from llmhard import Value\n\ndef topological_order(root): ...\n", "03"),
        ("layers.py", "from llmhard.workbook.solutions.layers import *\n", "04"),
        ("training.py", "from llmhard.workbook.solutions.value import Value as Adam\n", "06"),
    ],
)
def test_what_llmhard_has_written_is_not_taken_for_an_answer(solved, file, source, number):
    (solved / file).write_text(source)
    report, text = report_on(solved, number)
    assert report.count(OK) == 0
    assert report.count(WRONG) >= 1
    assert re.search(rf"{file} (takes \w+ from llmhard|has no)|cannot import|can be imported", text)


@pytest.mark.parametrize("lab", LABS.values(), ids=lambda lab: lab.file)
def test_no_stub_holds_its_answer(lab):
    """No line of a body that is to be written is anywhere in the stub."""
    source = (SOLUTIONS / lab.file).read_text(encoding="utf-8")
    left = {" ".join(line.split()) for line in stub(source).splitlines()}
    removed = [" ".join(line.split()) for line in source.splitlines()]
    removed = [line for line in removed if line not in left]
    assert len(removed) > 5
    text = " ".join(" ".join(stub(source).split()).split())
    spoilt = {line for line in removed if len(line) > 15 and line in text}
    assert spoilt <= {'"tokenizer": "word",'}  # what a model file says


@pytest.mark.parametrize("columns", [40, 80])
def test_a_report_fits_the_terminal(solved, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    change(solved, "value.py", "visited = set()", "visited = []")
    change(solved, "value.py", "visited.add(value)", "visited.append(value)")
    change(solved, "value.py", "(self, other), (1.0, 1.0))", "{self, other}, (1.0, 1.0))")
    monkeypatch.chdir(solved)
    report = grade("03", Path())
    lines = list(told(report, Path(), lambda number: f"llmhard check {number}"))
    assert max(map(len, lines)) <= columns


def test_the_second_call_counts(solved):
    change(solved, "sampling.py", "    kept, total = [], 0.0\n",
           "    global seen\n    seen = globals().get('seen', 0) + 1\n"
           "    kept, total = [], 0.0 if seen % 2 else 2.0\n")  # fmt: skip
    _, text = report_on(solved, "08")
    assert "The second time:" in text
    assert "Something lives on from it" in text


def test_lay_out_says_what_it_wrote(tmp_path):
    written, kept = lay_out(tmp_path / "a" / "b")
    assert len(written) == len(LABS) + 2
    assert kept == []
    assert lay_out(tmp_path / "a" / "b") == ([], written)


@pytest.mark.parametrize("slow", [1, 2])
def test_a_busy_machine_is_not_taken_for_a_slow_answer(slow):
    calls = []

    def work(n):
        return lambda: calls.append(
            sum(range(20_000_000)) if n == 8000 and len(calls) < 2 * slow else n
        )

    Book(SOLUTIONS).grows("work", work, "hint")
    assert len(calls) == 2 * (slow + 1)
    with pytest.raises(Wrong, match=r"work takes 0\.0\d\d s with 1,000 of them"):
        Book(SOLUTIONS).grows("work", lambda n: lambda: sum(range(20_000_000 * (n > 1000))), "hint")
