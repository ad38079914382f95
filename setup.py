"""Compile pyx/*.pyx into llmhard/. What else there is to say about the package: pyproject.toml.

LLMHARD_ARCH=native    compile for this machine's own instruction set (in-place builds do)
LLMHARD_ARCH=portable  compile for every machine of this kind (wheels do)
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import setuptools
    from Cython.Build import cythonize
except ImportError as missing:
    raise SystemExit(
        f"llmhard needs Cython and setuptools to build ({missing}): "
        f"python -m pip install cython setuptools"
    ) from None
if int(setuptools.__version__.split(".")[0]) < 77:
    raise SystemExit(
        f"llmhard needs setuptools 77 or newer to build, and this is {setuptools.__version__}: "
        f"python -m pip install --upgrade setuptools"
    )

# Each of these gives up something that the engine never asks for, and gets vector code for it:
#   math-errno       sqrt and exp need not set errno, which nobody reads
#   trapping-math    no floating-point exception is turned into a signal
# -ffast-math would add what is not safe: sums in an order of the compiler's choice, the belief
# that NaN never occurs, which breaks the checks for it, and, for the whole process, denormal
# numbers that count as zero.
SAFE_MATH = ["-fno-math-errno", "-fno-trapping-math"]
NATIVE = ["-march=native", "-mprefer-vector-width=512"]


def accepted(flags: list[str]) -> list[str]:
    """Those of the flags that this machine's compiler takes, each beside those before it."""
    compiler = os.environ.get("CC", "cc").split()
    known: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "empty.c"
        source.write_text("int nothing;\n")
        for flag in flags:
            command = [
                *compiler,
                "-Werror",
                *known,
                flag,
                "-c",
                str(source),
                "-o",
                f"{folder}/empty.o",
            ]
            try:
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    known.append(flag)
            except OSError:
                return []
    return known


in_place = "--inplace" in sys.argv or "editable_wheel" in sys.argv or "develop" in sys.argv
arch = os.environ.get("LLMHARD_ARCH") or ("native" if in_place else "portable")
if arch not in ("native", "portable"):
    raise SystemExit(f"LLMHARD_ARCH is native or portable, not {arch!r}")

# no-plt: calls to exp and log go straight to libm.
flags = accepted(["-O3", "-fno-plt", *SAFE_MATH, *(NATIVE if arch == "native" else [])])
setuptools.setup(
    ext_modules=cythonize(
        [
            # Only a named libm gives exp, log and pow in their current versions.
            setuptools.Extension(
                f"llmhard.{source.stem}",
                [str(source)],
                extra_compile_args=flags,
                libraries=[] if os.name == "nt" else ["m"],
            )
            for source in sorted(Path("pyx").glob("*.pyx"))
        ],
        include_path=["pyx"],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
        },
    )
)
