"""Compile pyx/llmhard/engine/*.pyx into llmhard/engine/. Everything else about the package is in
pyproject.toml, except its description on PyPI, where the links of README.md have to be whole.

LLMHARD_ARCH=native    compile for this machine's own instruction set (in-place builds do)
LLMHARD_ARCH=levels    compile once for each level of processor, in folders of their own, of which
                       llmhard/level.py takes one at import (wheels do)
LLMHARD_ARCH=portable  compile for every machine of this kind
LLMHARD_ARCH=NAME      compile with -march=NAME, such as x86-64-v3
"""

import sys

# An older Python has to get this far, so nothing in this file is newer than the syntax of 3.6.
if sys.version_info < (3, 11):  # noqa: UP036
    raise SystemExit(
        f"llmhard needs Python 3.11 or newer, and this is {sys.version_info[0]}."
        f"{sys.version_info[1]}; take another: python3.12 setup.py build_ext --inplace"
    )

import os
import re
import runpy
import shutil
import subprocess
import sysconfig
import tempfile
import tomllib
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import Cython
    import setuptools

    if Cython.__version__.startswith("3.3."):  # docs/reliability.md
        raise SystemExit(
            f"llmhard needs another Cython to build: lists made by {Cython.__version__} corrupt "
            f'memory when it runs out: python -m pip install "cython>=3.1,!=3.3.*"'
        )
    from Cython import Tempita
    from Cython.Build import cythonize
    from Cython.Compiler.Errors import CompileError as TranslationError
except ImportError as missing:
    raise SystemExit(
        f"llmhard needs Cython and setuptools to build ({missing}): "
        f'python -m pip install "cython>=3.1,!=3.3.*" setuptools'
    ) from None
if int(setuptools.__version__.split(".")[0]) < 77:
    raise SystemExit(
        f"llmhard needs setuptools 77 or newer to build, and this is {setuptools.__version__}: "
        f"python -m pip install --upgrade setuptools"
    )
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# Each of these gives up something that the engine never asks for, and gets vector code for it:
#   math-errno       sqrt and exp need not set errno, which nobody reads
#   trapping-math    no floating-point exception is turned into a signal
# -ffast-math would add what is not safe: sums in an order of the compiler's choice, the belief
# that NaN never occurs, which breaks the checks for it, and, for the whole process, denormal
# numbers that count as zero.
SAFE_MATH = ["-fno-math-errno", "-fno-trapping-math"]
WIDE = "-mprefer-vector-width=512"  # whole registers where there is AVX-512, not halves
NATIVE = ["-march=native", WIDE]
# The levels of x86-64, which llmhard/level.py knows by these names. Where the compiler has no such
# option, as for another kind of processor, there is the baseline only.
LEVELS = {
    "baseline": [],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", WIDE],
}

SOURCES = Path("pyx/llmhard/engine")
FILLED = Path("build", SOURCES)  # the sources that are made of templates (*.in)
TEMPLATES = ["elementwise.pxd.in", "functions.pyx.in", "functions.pyi.in"]
# The engine's modules; each one imports from those before it only.
MODULES = [
    "processor",
    "node",
    "functions",
    "operation",
    "traversal",
    "threads",
    "indexing",
    "tape",
    "products",
    "plan",
    "batch",
    "optimizer",
    "recording",
    "values",
]

EMPTY = "int nothing;"  # a program in C
ROOM = 16 << 20  # bytes: more than the C code, the object file or the module takes
INSTALL = (
    f"Debian and Ubuntu: sudo apt install gcc python3.{sys.version_info[1]}-dev, "
    f"Fedora: sudo dnf install gcc python3-devel, macOS: xcode-select --install, "
    f"Windows: work inside WSL, as on Ubuntu"
)


class BuildEngine(build_ext):
    """Compile: leave all modules behind, or none and one line that says what to do."""

    def run(self):
        places = [self.build_lib, "."] if self.inplace else [self.build_lib]
        sources = [engine for engine in self.extensions if not engine.level]
        with explained():
            flags = compiler_flags(self.inplace)
            self.extensions = [engine for engine in self.extensions if engine.level in flags]
            names = [self.get_ext_filename(engine.name) for engine in self.extensions]
            modules = [Path(place, name) for place in places for name in names]
            check_room("build", *(module.parent for module in modules))
            fill_templates()
            for engine in sources:
                if not Path(engine.sources[0]).is_file():
                    raise BaseError(f"{engine.sources[0]} is missing; take a whole checkout")
            translated = dict(zip(MODULES, translate(sources), strict=True))
            for engine in self.extensions:
                engine.sources = [source_of_level(engine.level, translated[engine.module])]
                engine.extra_compile_args = flags[engine.level]
            self.parallel = self.parallel or os.cpu_count()
            with whole(*modules):
                super().run()
                for module in modules:
                    if not module.is_file() or not module.stat().st_size:
                        raise BaseError(f"the compiler {compiler()!r} has not made {module}")
            for place in places:
                remove_others(Path(place, "llmhard/engine"), modules)
            if self.inplace:  # an engine of one module, from before, would hide autograd.py
                for old in Path("llmhard").glob("autograd.*.so"):
                    old.unlink()


def extension(level, module):
    """Return what setuptools compiles for a level, or, without one, into llmhard/engine/ itself."""
    made = setuptools.Extension(
        ".".join(filter(None, ["llmhard.engine", level, module])),
        [source(module)],
        # Only a named libm gives exp, log and pow in their current versions.
        libraries=[] if os.name == "nt" else ["m"],
    )
    made.level, made.module = level, module
    return made


def source(module):
    """Return the name of the file that a module is compiled from."""
    is_filled = f"{module}.pyx.in" in TEMPLATES
    return str(Path(FILLED if is_filled else SOURCES, f"{module}.pyx"))


def read_table(file):
    """Return the operations with two operands, and those with one."""
    if not file.is_file():
        raise BaseError(f"{file} is missing; take a whole checkout")
    try:
        table = runpy.run_path(str(file))
        return table["BINARY"], table["UNARY"]
    except Exception as error:  # whatever may be wrong with a row
        raise BaseError(f"{file} is no table of operations: {error}") from None


def fill_templates():
    """Write what follows from the table of operations: Cython sources, and stubs for Python."""
    binary, unary = read_table(Path(SOURCES, "operations.py"))
    formulas = " ".join(formula for row in binary + unary for formula in row.formulas)
    functions = sorted(set(re.findall(r"(\w+)\(", formulas)))
    for template in [Path(SOURCES, name) for name in TEMPLATES]:
        if not template.is_file():
            raise BaseError(f"{template} is missing; take a whole checkout")
        text = Tempita.sub(template.read_text(), binary=binary, unary=unary, functions=functions)
        folder = Path("llmhard/engine") if ".pyi" in template.suffixes else FILLED
        file = folder / template.stem
        if not file.is_file() or file.read_text() != text:  # else it keeps its time
            folder.mkdir(parents=True, exist_ok=True)
            with whole(file):
                file.write_text(text)


def translate(extensions):
    """Make C files of the extensions' sources; returns their names."""
    made = [Path("build/cython", engine.sources[0]).with_suffix(".c") for engine in extensions]
    with whole(*made):
        cythonize(
            extensions,
            include_path=["pyx", "build/pyx"],
            build_dir="build/cython",
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
            },
        )
    return [str(file) for file in made]


def source_of_level(level, file):
    """Return a copy of the C file for each level: object files are called as what they are of."""
    if not level:
        return file
    copied = Path("build/levels", level, Path(file).name)
    copied.parent.mkdir(parents=True, exist_ok=True)
    with whole(copied):
        shutil.copy2(file, copied)
    return str(copied)


def remove_others(engine, modules):
    """Remove what this Python would import in place of the modules, or a wheel would ship."""
    for other in list(engine.rglob("*" + sysconfig.get_config_var("EXT_SUFFIX"))):
        if other not in modules:
            other.unlink()
            with suppress(OSError):  # not empty
                other.parent.rmdir()


def compiler_flags(in_place):
    """Return the flags for each level that this machine's compiler takes, "" for no levels.

    Ends if it cannot compile at all.
    """
    arch = os.environ.get("LLMHARD_ARCH") or ("native" if in_place else "levels")
    for code in (EMPTY, "#include <Python.h>"):
        why = refusal(code, "-I" + sysconfig.get_path("include"))
        if why:
            raise SystemExit(
                f"llmhard: not built: {why}. It needs a C compiler and Python's header files: "
                f"{INSTALL}. Another compiler: CC=clang"
            )
    if arch == "levels":
        known = {name: march for name, march in LEVELS.items() if not refusal(EMPTY, *march[:1])}
        return {name: accepted(march) for name, march in known.items()}
    machine = {"native": NATIVE, "portable": []}.get(arch, [f"-march={arch}"])
    if arch != "native" and refusal(EMPTY, *machine):
        raise SystemExit(
            f"LLMHARD_ARCH is native, levels, portable or what the compiler knows as -march, "
            f"not {arch!r}"
        )
    return {"": accepted(machine)}


def accepted(machine):
    """Return those of the flags that the compiler knows."""
    # no-psabi: vectors are passed only between functions that are compiled together.
    # no-plt: calls to exp and log go straight to libm.
    # g0: no information for debuggers, three quarters of a module, unless CFLAGS wants some.
    asked = re.search(r"(^|\s)-g", os.environ.get("CFLAGS", ""))
    debugging = [] if asked else ["-g0"]
    flags = []
    for flag in ["-O3", *debugging, "-fno-plt", "-Wno-psabi", *SAFE_MATH, *machine]:
        if not refusal(EMPTY, *flags, flag):
            flags.append(flag)
    return flags


def compiler():
    """Return the command that setuptools compiles with."""
    return os.environ.get("CC", sysconfig.get_config_var("CC") or "cc")


def refusal(code, *flags):
    """Return why the compiler does not compile the code; nothing if it does."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made.o")
        command = [*compiler().split(), "-Werror", *flags, "-c", "-x", "c", "-", "-o", str(made)]
        try:
            done = subprocess.run(command, input=code.encode(), capture_output=True, check=False)
        except OSError as error:
            return f"the compiler {compiler()!r} cannot be run: {error.strerror}"
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode:
            return f"the compiler {compiler()!r} fails" + (f": {said[0]}" if said else "")
        return "" if made.is_file() else f"the compiler {compiler()!r} makes nothing"


def check_room(*folders):
    """Raise OSError if there is no permission to write into one of the folders, or no room."""
    for folder in folders:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(ROOM))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(Path(folder).absolute())) from None


@contextmanager
def whole(*files):
    """Remove the files if the block fails: the next build would take a part for the whole."""
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


@contextmanager
def explained():
    """Turn what goes wrong while building into one line."""
    try:
        yield
    except TranslationError:
        raise SystemExit("llmhard: not built: Cython refuses pyx/, as it says above") from None
    except CCompilerError:
        raise SystemExit(
            f"llmhard: not built: the compiler {compiler()!r} fails, as it says above"
        ) from None
    except BaseError as error:
        raise SystemExit(f"llmhard: not built: {error}") from None
    except OSError as error:
        place = error.filename or "the folder for temporary files"
        raise SystemExit(
            f"llmhard: not built: cannot write into {place}: {error.strerror}; "
            f"build in a copy of this folder where you may write and where there is room"
        ) from None


def home():
    """Return where the repository is published; "" if that is not decided."""
    with Path("pyproject.toml").open("rb") as file:
        return tomllib.load(file)["tool"]["llmhard"]["home"].rstrip("/")


def urls(home):
    """Return the links that PyPI shows beside the description."""
    pages = {
        "Source": home,
        "Changelog": f"{home}/blob/main/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
    return pages if home else {}


def description(home):
    """Return README.md, whose links lead into the repository at this version, if it has a home."""
    text = Path("README.md").read_text(encoding="utf-8")
    version = runpy.run_path("llmhard/version.py")["__version__"]
    return re.sub(r"\]\((?!\w+:|#)", f"]({home}/blob/v{version}/", text) if home else text


os.chdir(Path(__file__).resolve().parent)  # for pyproject.toml and the paths below
# A line in a box about editable installations as such, of which nobody has to be warned.
warnings.filterwarnings("ignore", message="Editable installation")
setuptools.setup(
    long_description=description(home()),
    long_description_content_type="text/markdown",
    project_urls=urls(home()),
    cmdclass={"build_ext": BuildEngine},
    # Microsoft's compiler has no vectors as a type; gcc and clang for Windows do.
    options={"build_ext": {"compiler": "mingw32"}} if os.name == "nt" else {},
    # Of these, BuildEngine compiles what LLMHARD_ARCH asks for.
    ext_modules=[extension(level, module) for level in ["", *LEVELS] for module in MODULES],
)
