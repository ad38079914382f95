"""Building, installing and using the package from outside the checkout."""

import ast
import ctypes
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import setuptools

from llmhard.level import LEVELS

CHECKOUT = Path(__file__).parent.parent
SOURCES = Path("pyx", "llmhard", "engine")
ENGINE = sorted(path.name.split(".")[0] for path in (CHECKOUT / SOURCES).glob("*.pyx*"))
PAGE = {".html", ".css", ".js"}
# Nothing of the surroundings may decide what is built, found or imported.
FOREIGN = ("LLMHARD_ARCH", "LLMHARD_LEVEL", "PYTHONPATH", "CFLAGS")
ENV = {k: v for k, v in os.environ.items() if k not in FOREIGN}


def run(command, cwd, env=ENV):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout as it is after cloning: nothing built, nothing cached."""
    copy = tmp_path_factory.mktemp("clone") / "llmhard"
    ignored = ("build", "dist", "*.so", "*.egg-info", ".*", "__pycache__", "*.safetensors")
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(*ignored))
    return copy


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory):
    """What `python -m build` makes, an sdist and from that a wheel, and what it printed."""
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place, checkout]
    code, out, err = run(command, checkout)
    assert code == 0, (out + err)[-2000:]
    return place, out + err


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built[0].glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of programs of a fresh environment in which the wheel is installed."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False, symlinks=True)
    (packages,) = place.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "--python", place, "install", "--no-deps", "--no-index"]
    code, out, err = run([*command, wheel], place)
    assert code == 0, out + err
    # The dependencies come from the environment that runs the tests, behind the installed wheel.
    import rich
    import safetensors

    outer = {str(Path(module.__file__).parent.parent) for module in (rich, safetensors)}
    (packages / "outer.pth").write_text("".join(f"{folder}\n" for folder in sorted(outer)))
    return place / "bin"


def test_the_wheel_holds_what_it_should_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        shipped = archive.read("llmhard/data/grade1_sentences.txt")
        metadata = next(archive.read(n).decode() for n in names if n.endswith("/METADATA"))
    assert shipped == (CHECKOUT / "data" / "grade1_sentences.txt").read_bytes()
    code = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "llmhard").rglob("*.py")}
    assert "llmhard/workbook/solutions/value.py" in code
    engines = [re.fullmatch(r"llmhard/engine/(.+?)\..*\.(so|pyd)", name) for name in names]
    levels = LEVELS if platform.machine() == "x86_64" else LEVELS[:1]
    assert {module[1] for module in engines if module} == {
        f"{level}/{name}" for level in levels for name in ENGINE
    }
    stubs = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "llmhard").rglob("*.pyi")}
    assert "llmhard/engine/values.pyi" in stubs
    assert code | stubs | {"llmhard/py.typed"} <= names
    explorer = {p for p in (CHECKOUT / "llmhard" / "explorer").rglob("*") if p.suffix in PAGE}
    shown = {str(path.relative_to(CHECKOUT)) for path in explorer}
    assert {"llmhard/explorer/page.html", "llmhard/explorer/js/views/map.js"} <= shown <= names
    strange = {n for n in names if not re.match(r"llmhard/|llmhard-[0-9.]+\.dist-info/", n)}
    assert strange == set()
    pages = {n for n in names if n.endswith((".html", ".css", ".js"))}
    assert pages == shown
    assert not [n for n in names if re.search(r"\.(pyx|pxd|c|h|o|safetensors)$|test", n)]
    for needed in ("Name: llmhard", "Requires-Python: >=3.11", "Requires-Dist: safetensors"):
        assert needed in metadata


def test_the_wheel_is_for_this_kind_of_machine_and_not_only_for_this_one(wheel, built):
    # A wheel without compiled code says "py3-none-any" and would be installed anywhere.
    assert f"cp{sys.version_info[0]}{sys.version_info[1]}-" in wheel.name
    assert "none-any" not in wheel.name
    log = built[1]
    assert "-O3" in log
    assert "march=native" not in log
    assert "ffast-math" not in log


def test_installed_it_trains_and_samples_from_anywhere(installed, tmp_path):
    where = "from llmhard.engine import values; print(values.__file__)"
    code, out, err = run([installed / "python", "-c", where], tmp_path)
    assert code == 0, err
    assert Path(out.strip()).is_relative_to(installed.parent)
    sentences = (CHECKOUT / "data" / "grade1_sentences.txt").read_text().split("\n")
    samples = []
    for program in ([installed / "llmhard"], [installed / "python", "-m", "llmhard"]):
        folder = tmp_path / f"use{len(samples)}"
        folder.mkdir()
        code, out, err = run([*program, "train", "--steps", 20], folder)
        assert code == 0, err
        assert f"{len(sentences) - 1:,}" in out
        assert [p.name for p in folder.iterdir()] == ["model.safetensors"]
        code, out, err = run([*program, "sample", "-n", 3, "--seed", 1, "--prompt", "the"], folder)
        assert (code, err) == (0, "")
        assert all(line.split()[0] == "the" for line in out.splitlines())
        samples.append(out)
    assert len(samples[0].splitlines()) == 3
    assert samples[0] == samples[1]


def test_installed_it_computes_the_same_at_every_level_of_this_processor(installed, tmp_path):
    best = (
        "from llmhard.level import LEVELS\nfrom llmhard.engine import LEVEL\n"
        "print(*LEVELS[: LEVELS.index(LEVEL) + 1])"
    )
    code, out, err = run([installed / "python", "-c", best], tmp_path)
    assert code == 0, err
    train = (
        "import random\nfrom llmhard.engine import values, tape\n"
        "from llmhard.model import GPT, Config\nfrom llmhard.recipe import Recipe\n"
        "from llmhard.trainer import Trainer\n"
        "model = GPT.initialize(Config(27), random.Random(1))\n"
        "documents = [[0, *range(1, n), 0] for n in (3, 9, 14, 2)]\n"
        "trainer = Trainer(model, documents, Recipe(steps=40), seed=1)\ntrainer.run()\n"
        "print(values.__file__)\nprint(tape.__file__)\nprint(trainer.final_loss())"
    )
    losses = []
    for level in out.split():
        command = [installed / "python", "-c", train]
        code, out, err = run(command, tmp_path, ENV | {"LLMHARD_LEVEL": level})
        assert code == 0, err
        *files, loss = out.splitlines()
        assert {Path(file).parent.name for file in files} == {level}
        losses.append(float(loss))
        version = run(
            [installed / "llmhard", "--version"], tmp_path, ENV | {"LLMHARD_LEVEL": level}
        )
        assert version[1].endswith(f" (engine: {level})\n")
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-9)


def test_installed_it_refuses_an_unknown_level_in_one_line(installed, tmp_path):
    command = [installed / "llmhard", "--version"]
    assert run(command, tmp_path, ENV | {"LLMHARD_LEVEL": "avx2"}) == (
        1, "", "llmhard: LLMHARD_LEVEL is baseline, v3 or v4, not 'avx2'\n",
    )  # fmt: skip


def test_installed_it_writes_the_explorer(installed, tmp_path):
    code, _, err = run([installed / "llmhard", "train", "--steps", 20], tmp_path)
    assert code == 0, err
    code, out, err = run([installed / "llmhard", "explore"], tmp_path)
    assert (code, err) == (0, "")
    size = (tmp_path / "explorer.html").stat().st_size
    assert out == f"saved explorer.html, {size:,} bytes; open it in a browser\n"
    assert size > 700_000


def test_installed_it_lays_out_and_checks_the_workbook(installed, tmp_path):
    import hypothesis

    outer = Path(hypothesis.__file__).parent.parent
    env = ENV | {"PYTHONPATH": str(outer)}
    code, out, err = run([installed / "llmhard", "workbook", "mine"], tmp_path)
    assert (code, err) == (0, "")
    assert (tmp_path / "mine" / "sentences.txt").read_bytes() == (
        CHECKOUT / "data" / "grade1_sentences.txt"
    ).read_bytes()
    code, out, err = run([installed / "llmhard", "check", "02", "mine"], tmp_path, env)
    assert (code, err) == (1, "")
    assert "Next: write Tokenizer.__init__" in out


def test_the_examples_in_the_help_name_the_program_that_was_called(installed, tmp_path):
    assert "\n  llmhard train\n" in run([installed / "llmhard", "--help"], tmp_path)[1]
    command = [installed / "python", "-m", "llmhard", "--help"]
    assert "\n  python -m llmhard train\n" in run(command, tmp_path)[1]


# ---------------------------------------------------------------- building that cannot work

BUILD = [sys.executable, "setup.py", "build_ext", "--inplace"]


def refused(result):
    """Check that a build failed with one line on stderr; returns the line."""
    code, _, err = result
    assert code == 1
    assert len(err.splitlines()) == 1, err
    assert err.startswith("llmhard")
    return err


def modules(folder):
    """The compiled modules in a checkout, in place or on their way there."""
    return [path for path in Path(folder).rglob("*.so") if ".venv" not in path.parts]


@pytest.fixture
def copy(checkout, tmp_path):
    """A copy of the checkout of the test's own, in a folder with a space in its name."""
    place = tmp_path / "my copy"
    shutil.copytree(checkout, place, ignore=shutil.ignore_patterns("build", "*.so"))
    return place


@pytest.mark.parametrize("missing", ["Cython", "setuptools"])
def test_without_a_build_tool_it_says_what_to_install(checkout, tmp_path, missing):
    stub = f"raise ModuleNotFoundError(\"No module named '{missing}'\", name='{missing}')\n"
    (tmp_path / f"{missing}.py").write_text(stub)
    env = ENV | {"PYTHONPATH": str(tmp_path)}
    code, out, err = run([sys.executable, "setup.py", "build_ext", "--inplace"], checkout, env)
    assert code != 0
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert missing in err
    assert 'pip install "cython>=3.1,!=3.3.*" setuptools' in err


@pytest.mark.parametrize(
    ("arch", "command", "machines"),
    [
        (None, ["build_ext", "--inplace"], ["native"]),
        (None, ["build_ext"], ["", "x86-64-v3", "x86-64-v4"]),
        ("levels", ["build_ext", "--inplace"], ["", "x86-64-v3", "x86-64-v4"]),
        ("portable", ["build_ext", "--inplace"], [""]),
        ("native", ["build_ext"], ["native"]),
    ],
)
def test_what_is_compiled_for_which_machine(translated, tmp_path, arch, command, machines):
    # A compiler that notes what it is asked, and does not do it, is fast.
    log, compiler = tmp_path / "log", tmp_path / "cc"
    compiler.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"pathlib.Path({str(log)!r}).open('a').write(' '.join(sys.argv) + '\\n')\n"
        "pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_text('a module')\n"
    )
    compiler.chmod(0o755)
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    env = ENV | {"CC": str(compiler)} | ({"LLMHARD_ARCH": arch} if arch else {})
    code, _, err = run([sys.executable, "setup.py", *command], copy, env)
    assert code == 0, err
    compiled = [
        line for line in log.read_text().splitlines() if re.search(r" -c build/\S+\.c ", line)
    ]
    marches = ["".join(re.findall(r"-march=(\S+)", line)) for line in compiled]
    assert sorted(marches) == sorted(machines * len(ENGINE))
    assert len({re.search(r"-o (\S+)", line)[1] for line in compiled}) == len(compiled)
    wide = ("native", "x86-64-v4")
    for line, march in zip(compiled, marches, strict=True):
        assert ("-mprefer-vector-width=512" in line) == (march in wide)
        assert "-g0" in line
    assert not [line for line in compiled if "-ffast-math" in line or "-Ofast" in line]


@pytest.mark.parametrize("unknown", [["x86-64-v4"], ["x86-64-v3", "x86-64-v4"]])
def test_a_compiler_that_does_not_know_a_level_compiles_those_before(translated, tmp_path, unknown):
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    refuses = f"any('-march=' + name in sys.argv for name in {unknown}) and sys.exit('what?')"
    cc = compiler(tmp_path, f"{refuses}\n{MAKE}")
    code, _, err = run([*BUILD[:2], "build_ext"], copy, ENV | {"CC": cc})
    assert (code, err) == (0, "")
    folders = {path.parent.name for path in modules(copy / "build")}
    assert folders == set(LEVELS[: 3 - len(unknown)])


def test_one_kind_of_build_leaves_nothing_of_another(translated, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    before = modules(copy)  # of another Python
    for arch, folders in (("native", ["engine"]), ("levels", LEVELS), ("native", ["engine"])):
        env = ENV | {"CC": compiler(tmp_path, MAKE), "LLMHARD_ARCH": arch}
        code, _, err = run(BUILD, copy, env)
        assert (code, err) == (0, "")
        made = set(modules(copy)) - set(before)
        assert {path.parent.name for path in made} == set(folders)
        assert len(made) == 2 * len(ENGINE) * len(folders)  # in build/, and in place
        assert set(before) <= set(modules(copy))
        there = [level for level in LEVELS if (copy / "llmhard/engine" / level).exists()]
        assert there == [level for level in LEVELS if level in folders]


@pytest.mark.parametrize(("asked", "decided"), [("-O1", True), ("-O1 -ggdb", False)])
def test_cflags_decide_about_debugging_information(translated, tmp_path, asked, decided):
    copy, log = tmp_path / "copy", tmp_path / "log"
    shutil.copytree(translated, copy)
    cc = compiler(tmp_path, f"open({str(log)!r}, 'a').write(' '.join(sys.argv) + '\\n')\n{MAKE}")
    code, _, err = run(BUILD, copy, ENV | {"CC": cc, "CFLAGS": asked})
    assert (code, err) == (0, "")
    compiled = [line for line in log.read_text().splitlines() if "node.c " in line]
    assert compiled
    assert all(("-g0" in line) == decided for line in compiled)


def test_an_unknown_architecture_is_refused(checkout):
    env = ENV | {"LLMHARD_ARCH": "i386"}
    code, _, err = run([sys.executable, "setup.py", "build_ext"], checkout, env)
    assert code != 0
    assert err == (
        "LLMHARD_ARCH is native, levels, portable or what the compiler knows as -march, "
        "not 'i386'\n"
    )


def test_every_python_can_read_which_one_is_needed():
    ast.parse((CHECKOUT / "setup.py").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6), (3, 10)])
def test_an_older_python_is_told_which_one_is_needed(checkout, version):
    code = (
        "import runpy, sys\n"
        f"sys.version_info = {(*version, 1, 'final', 0)}\n"
        "sys.argv = ['setup.py', 'build_ext', '--inplace']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    line = refused(run([sys.executable, "-c", code], checkout))
    assert (
        f"needs Python 3.11 or newer, and this is {version[0]}.{version[1]}; take another" in line
    )


def test_make_says_which_python_is_needed(checkout, tmp_path):
    old = tmp_path / "python"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 10, 1)\nexec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    code, _, err = run(["make", "build", f"PYTHON={old}"], checkout)
    assert code == 2
    assert err.startswith("llmhard needs Python 3.11 or newer, and this is 3.10; name another: ")
    assert not (checkout / ".venv").exists()


def compiler(folder, body):
    """A compiler: Python code that knows the file to be `made`, and if setup.py is probing it."""
    path = folder / "cc"
    path.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, sys\n"
        "made = pathlib.Path(sys.argv[sys.argv.index('-o') + 1])\n"
        f"probe = '-' in sys.argv\n{body}\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("cc", "why"),
    [
        ("/nonexistent", "'/nonexistent' cannot be run: No such file or directory"),
        ("", "'' cannot be run"),
        ('"', "cannot be run"),
        ("/", "'/' cannot be run: Permission denied"),
        ("false", "'false' fails. "),
        ("true", "'true' makes nothing"),
        ("kill -SEGV 0", "'kill -SEGV 0' fails"),
    ],
)
def test_without_a_compiler_it_says_what_to_install(copy, cc, why):
    line = refused(run(BUILD, copy, ENV | {"CC": cc}))
    assert why in line
    for system in ("Debian and Ubuntu: sudo apt install gcc", "Fedora: ", "macOS: ", "Windows: "):
        assert system in line
    assert modules(copy) == []


def test_without_the_header_files_of_python_it_says_what_to_install(copy, tmp_path):
    cc = compiler(
        tmp_path,
        "if 'Python.h' in sys.stdin.read():\n"
        "    sys.exit('<stdin>:1:10: fatal error: Python.h: No such file or directory')\n"
        "made.write_text('an object')",
    )
    line = refused(run(BUILD, copy, ENV | {"CC": cc}))
    assert "fatal error: Python.h: No such file or directory. It needs" in line
    assert f"python3.{sys.version_info[1]}-dev" in line
    assert modules(copy) == []


@pytest.fixture(scope="module")
def translated(checkout, tmp_path_factory):
    """A copy of the checkout with the C file that Cython makes, and with what others have left."""
    place = tmp_path_factory.mktemp("translated") / "llmhard"
    shutil.copytree(checkout, place, ignore=shutil.ignore_patterns("build", "*.so"))
    code, _, _ = run(
        BUILD, place, ENV | {"CC": compiler(place.parent, "probe or sys.exit(1)\n" + MAKE)}
    )
    assert code == 1
    made = Path("build", "cython")
    assert sorted(path.stem for path in (place / made).rglob("*.c")) == ENGINE
    old = place / "build" / "temp.linux-x86_64-cpython-310" / made / SOURCES
    old.mkdir(parents=True)
    (old / "node.o").write_text("an object of another Python")
    (place / "llmhard/engine/node.cpython-310-x86_64-linux-gnu.so").write_text("its module")
    return place


MAKE = "made.write_text('an object')"
LINK = "if '-shared' in sys.argv: "


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("if not probe: sys.exit('error: I give up')", "fails, as it says above"),
        ("if not probe: os.kill(os.getpid(), 9)", "fails, as it says above"),
        (f"{LINK}sys.exit('ld: I give up')", "fails, as it says above"),
        (
            f"{LINK}made.write_text('a pa'); sys.exit('ld: the disk is full')",
            "fails, as it says above",
        ),
        (f"{LINK}made.unlink(True); sys.exit()", "llmhard/engine/"),
        (f"{LINK}made.write_text(''); sys.exit()", "has not made"),
    ],
)
def test_a_compiler_that_fails_on_the_engine(translated, tmp_path, body, why):
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    before = modules(copy)
    code, _, err = run(BUILD, copy, ENV | {"CC": compiler(tmp_path, f"{body}\n{MAKE}")})
    assert code == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("llmhard: not built: ")
    assert why in err.splitlines()[-1]
    assert modules(copy) == before
    # The next build begins anew: nothing of this one counts as finished.
    code, _, err = run(BUILD, copy, ENV | {"CC": compiler(tmp_path, MAKE)})
    assert (code, err) == (0, "")
    assert len(modules(copy)) == len(before) + 2 * len(ENGINE)  # in build/, and in place


def test_a_source_that_cython_refuses(translated, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    with (copy / SOURCES / "tape.pyx").open("a") as file:
        file.write("def (:\n")
    code, _, err = run(BUILD, copy, ENV | {"CC": compiler(tmp_path, MAKE)})
    assert code == 1
    assert "tape.pyx:" in err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("llmhard: not built: Cython refuses pyx/")


@pytest.mark.parametrize(
    "name", sorted(p.name for p in Path(CHECKOUT, SOURCES).glob("*") if p.suffix in (".pyx", ".in"))
)
def test_a_checkout_without_a_source(copy, tmp_path, name):
    (copy / SOURCES / name).unlink()
    line = refused(run(BUILD, copy, ENV | {"CC": compiler(tmp_path, MAKE)}))
    assert line == f"llmhard: not built: {SOURCES}/{name} is missing; take a whole checkout\n"
    assert modules(copy) == []


def test_a_cython_whose_lists_corrupt_memory(checkout, tmp_path):
    (tmp_path / "Cython.py").write_text('__version__ = "3.3.1"\n')
    env = ENV | {"PYTHONPATH": str(tmp_path)}
    code, out, err = run([sys.executable, "setup.py", "build_ext", "--inplace"], checkout, env)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "3.3.1" in err
    assert 'pip install "cython>=3.1,!=3.3.*"' in err
    assert modules(checkout) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("BINARY = [", "BINARIES = ["), "'BINARY'"),
        (("BINARY = [", "BINARY = (["), "'(' was never closed"),
        (('Operation("tanh", "tanh(a)", ', "Operation("), "missing 1 required"),
        (("UNARY = [", "UNARY = [misspelt, "), "name 'misspelt' is not defined"),
    ],
)
def test_a_table_of_operations_that_is_none(copy, tmp_path, change, why):
    table = copy / SOURCES / "operations.py"
    table.write_text(table.read_text().replace(*change))
    line = refused(run(BUILD, copy, ENV | {"CC": compiler(tmp_path, MAKE)}))
    assert line.startswith(f"llmhard: not built: {SOURCES}/operations.py is no table of operations")
    assert why in line
    table.unlink()
    line = refused(run(BUILD, copy, ENV | {"CC": compiler(tmp_path, MAKE)}))
    assert line.startswith(f"llmhard: not built: {SOURCES}/operations.py is missing")


def test_the_engine_of_one_module_that_was_before_goes(translated, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    before = copy / "llmhard" / "autograd.cpython-311-x86_64-linux-gnu.so"
    for command, there in ((["build_ext"], True), (BUILD[2:], False)):
        before.write_text("it would hide autograd.py")
        code, _, err = run([*BUILD[:2], *command], copy, ENV | {"CC": compiler(tmp_path, MAKE)})
        assert (code, err) == (0, "")
        assert before.exists() == there


def test_from_another_folder(translated, tmp_path):
    copy = tmp_path / "my copy"
    shutil.copytree(translated, copy)
    cc = compiler(tmp_path, MAKE)
    command = [sys.executable, Path("my copy", "setup.py"), *BUILD[2:]]
    code, _, err = run(command, tmp_path, ENV | {"CC": cc})
    assert (code, err) == (0, "")
    made = list((copy / "llmhard" / "engine").glob("*.so"))
    assert len(made) == len(ENGINE) + 1  # with that of another Python
    assert {path.name for path in tmp_path.iterdir()} == {"my copy", "cc"}


def test_no_room(copy):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    done = subprocess.run(
        BUILD, cwd=copy, env=ENV, capture_output=True, text=True, check=False, preexec_fn=small
    )
    line = refused((done.returncode, done.stdout, done.stderr))
    assert f"cannot write into {copy}/build: File too large; build in a copy" in line


@pytest.mark.parametrize("place", [".", "build", "llmhard/engine"])
def test_a_folder_that_cannot_be_written(copy, place):
    def without_the_rights_of_root():
        ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE: permissions count

    if place == "build":
        (copy / "build").mkdir()
    (copy / place).chmod(0o555)
    done = subprocess.run(
        BUILD, cwd=copy, env=ENV, capture_output=True, text=True, check=False,
        preexec_fn=without_the_rights_of_root,
    )  # fmt: skip
    (copy / place).chmod(0o755)
    line = refused((done.returncode, done.stdout, done.stderr))
    shown = copy / ("build" if place == "." else place)
    assert f"cannot write into {shown}: Permission denied; build in a copy" in line


def test_an_editable_installation_prints_nothing(translated, tmp_path):
    # As `make build` does it, in an environment that finds the build tools of this one.
    copy = tmp_path / "copy"
    shutil.copytree(translated, copy)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "outer.pth").write_text(str(Path(setuptools.__file__).parent.parent))
    pip = [sys.executable, "-m", "pip", "--python", tmp_path / "venv", "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", "--no-build-isolation", "--editable", copy]
    result = run(command, tmp_path, ENV | {"CC": compiler(tmp_path, MAKE)})
    assert result == (0, "", "")
    where = "from importlib.util import find_spec; print(find_spec('llmhard').origin)"
    code, out, err = run([tmp_path / "venv" / "bin" / "python", "-c", where], tmp_path)
    assert (code, out, err) == (0, f"{copy}/llmhard/__init__.py\n", "")
    broken = run(command, tmp_path, ENV | {"CC": "false"})
    assert broken[0] == 1
    assert "the compiler 'false' fails. It needs a C compiler" in broken[2]
