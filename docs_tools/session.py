"""The reader's folder: where the labs' commands run, one lab after another.

It looks like a checkout after `make build`: what git tracks is linked, what the commands make is
real and stays from lab to lab. After each lab, a copy of what was made is kept, so that one lab can
be run alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from docs_tools.errors import DocsError

ROOT = Path(__file__).parent.parent
TIME_LIMIT = 300  # seconds for a command or a snippet


class Session:
    """The reader's folder and, within a lab, the reader's Python."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.home = root / "build" / "labs"
        self.folder = self.home / "llmhard"
        self._python: subprocess.Popen[str] | None = None

    def begin(self, after: str | None) -> None:
        """Set up the folder as the lab `after` left it, or anew. Raises DocsError if that lab has
        not been run."""
        kept = self._kept(after) if after else None
        if kept and not kept.is_dir():
            raise DocsError(f"the lab {after} has not been run yet")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in _top_level(self.root):
            (self.folder / name).symlink_to(self.root / name)
        if kept:
            shutil.copytree(kept, self.folder, dirs_exist_ok=True)

    def has_run(self, lab: str) -> bool:
        return self._kept(lab).is_dir()

    def end(self, lab: str) -> None:
        """Keep what has been made so far; end the reader's Python."""
        self.stop_python()
        kept = self._kept(lab)
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for made in self.folder.iterdir():
            if made.is_dir() and not made.is_symlink():
                shutil.copytree(made, kept / made.name)
            elif not made.is_symlink():
                shutil.copy2(made, kept)

    def _kept(self, lab: str) -> Path:
        return self.home / f"after-{lab}"

    def shell(self, command: str, stderr: bool) -> tuple[str, str, int]:
        """Run a command; return what it printed, its errors if separate, and its exit code."""
        try:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if stderr else subprocess.PIPE,
                encoding="utf-8",
                timeout=TIME_LIMIT,
            )
        except subprocess.TimeoutExpired:
            raise DocsError(f"{command}: no end after {TIME_LIMIT} s") from None
        return done.stdout, done.stderr or "", done.returncode

    def run(self, source: str, echo: bool) -> tuple[str, str]:
        """Run statements in the lab's Python; return what is shown, and the exception's name."""
        return self._ask({"source": source, "echo": echo})

    def value(self, expression: str, spec: str) -> str:
        """Evaluate and format an expression in the lab's Python. Raises DocsError if it fails."""
        shown, error = self._ask({"expression": expression, "format": spec})
        if error:
            raise DocsError(f"{expression}: {shown}")
        return shown

    def _ask(self, request: dict[str, object]) -> tuple[str, str]:
        if self._python is None:
            self._python = subprocess.Popen(
                ["python", str(Path(__file__).with_name("prompt.py"))],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
            )
        python = self._python
        assert python.stdin is not None
        assert python.stdout is not None
        limit = threading.Timer(TIME_LIMIT, python.kill)
        limit.start()
        try:
            print(json.dumps(request), file=python.stdin, flush=True)
            line = python.stdout.readline()
        finally:
            limit.cancel()
        if not line:
            self.stop_python()
            raise DocsError(f"Python did not answer, or not within {TIME_LIMIT} s")
        answer = json.loads(line)
        return answer["shown"], answer["error"]

    def stop_python(self) -> None:
        if self._python is not None:
            self._python.kill()
            self._python.communicate()
            self._python = None


def environment() -> dict[str, str]:
    """Return the environment of a terminal with 80 columns and .venv active."""
    binaries = Path(sys.executable).parent
    ours = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(binaries.parent),
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",  # output and errors in the order in which they come
    }
    theirs = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAKE", "MFLAGS"))}
    return theirs | ours


def _top_level(root: Path) -> list[str]:
    """Return the names at the top of a checkout that git tracks or would add, and .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout
    names = {name.partition("/")[0] for name in listed.split("\0") if name}
    return sorted(name for name in names | {".venv"} if (root / name).exists())
