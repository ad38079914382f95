"""Building, installing and using the package from outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
# Nothing of the surroundings may decide what is built, found or imported.
ENV = {k: v for k, v in os.environ.items() if k not in ("LLMHARD_ARCH", "PYTHONPATH", "CFLAGS")}


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
    engines = {name for name in names if re.fullmatch(r"llmhard/autograd\..*\.(so|pyd)", name)}
    assert len(engines) == 1
    assert code | engines | {"llmhard/py.typed", "llmhard/autograd.pyi"} <= names
    strange = {n for n in names if not re.match(r"llmhard/|llmhard-[0-9.]+\.dist-info/", n)}
    assert strange == set()
    assert not [n for n in names if re.search(r"\.(pyx|pxd|c|h|o|html|safetensors)$|test", n)]
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
    where = "import llmhard.autograd; print(llmhard.autograd.__file__)"
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
    assert "pip install cython setuptools" in err


@pytest.mark.parametrize(
    ("arch", "command", "native"),
    [
        (None, ["build_ext", "--inplace"], True),
        (None, ["build_ext"], False),
        ("portable", ["build_ext", "--inplace"], False),
        ("native", ["build_ext"], True),
    ],
)
def test_who_compiles_for_this_machine_only(checkout, tmp_path, arch, command, native):
    # A compiler that notes what it is asked to do, and does nothing, is fast.
    log, compiler = tmp_path / "log", tmp_path / "cc"
    compiler.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"pathlib.Path({str(log)!r}).open('a').write(' '.join(sys.argv) + '\\n')\n"
        "pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).touch()\n"
    )
    compiler.chmod(0o755)
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy)
    shutil.rmtree(copy / "build", ignore_errors=True)
    env = ENV | {"CC": str(compiler)} | ({"LLMHARD_ARCH": arch} if arch else {})
    code, _, err = run([sys.executable, "setup.py", *command], copy, env)
    assert code == 0, err
    compiled = [
        line for line in log.read_text().splitlines() if " -c " in line and "autograd" in line
    ]
    assert compiled
    assert all(("-march=native" in line) == native for line in compiled)
    assert not [line for line in compiled if "-ffast-math" in line or "-Ofast" in line]


def test_an_unknown_architecture_is_refused(checkout):
    env = ENV | {"LLMHARD_ARCH": "i386"}
    code, _, err = run([sys.executable, "setup.py", "build_ext"], checkout, env)
    assert code != 0
    assert err == "LLMHARD_ARCH is native or portable, not 'i386'\n"
