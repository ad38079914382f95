"""The workbook: a GPT in plain Python for the reader to write, lab by lab.

`solutions/` holds the whole of it. The stubs that a reader starts from are made from those files by
`stubs.py`; `checks/` holds what a reader's file is checked for, `grading.py` runs the checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmhard import corpus
from llmhard.workbook.stubs import stub

SOLUTIONS = Path(__file__).parent / "solutions"
SCRIPT = "gpt.py"  # given: it puts all the labs together
SENTENCES = "sentences.txt"


@dataclass(frozen=True)
class Lab:
    """One lab: the module that the reader writes in it and the document that explains it."""

    number: str
    module: str
    document: str
    subject: str
    needs: tuple[str, ...] = ()  # the labs whose files this one's imports or checks use

    @property
    def file(self) -> str:
        return f"{self.module}.py"


LABS = {
    lab.number: lab
    for lab in (
        Lab("02", "tokenizer", "docs/02-tokenizer.md", "words to numbers and back"),
        Lab("03", "value", "docs/03-autograd.md", "numbers that know their gradients"),
        Lab("04", "layers", "docs/04-nn-primitives.md", "linear, softmax, rmsnorm", ("03",)),
        Lab("05", "model", "docs/05-model.md", "the GPT", ("03", "04")),
        Lab("06", "training", "docs/06-training.md", "the training loop", ("03", "04", "05")),
        Lab("07", "saving", "docs/07-saving.md", "the model file", ("02", "03", "04", "05")),
        Lab("08", "sampling", "docs/08-generation.md", "the sampler", ("02", "03", "04", "05")),
    )
}


FILES = [*(lab.file for lab in LABS.values()), SCRIPT, SENTENCES]


def is_workbook(folder: Path) -> bool:
    """Return whether most of a workbook's files are in the folder; some may have been lost."""
    try:
        return 2 * sum((folder / name).is_file() for name in FILES) > len(FILES)
    except OSError:  # nothing in it may be looked at
        return False


def workbook_around(place: Path) -> Path | None:
    """Return the workbook that the place is or lies in, None if there is none."""
    return next(filter(is_workbook, (place, *place.parents)), None)


def lay_out(folder: Path) -> tuple[list[str], list[str]]:
    """Write what is not there yet: a stub for each lab, the script and the sentences.

    Returns the names of the files that were written and of those that were there and were left
    alone. Raises OSError if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for name in FILES:
        if _write_new(folder / name, _content(name)):
            written.append(name)
        else:
            kept.append(name)
    return written, kept


def _content(name: str) -> bytes:
    if name == SENTENCES:
        return corpus.default_path().read_bytes()
    source = (SOLUTIONS / name).read_text(encoding="utf-8")
    return (source if name == SCRIPT else stub(source)).encode()


def _write_new(path: Path, content: bytes) -> bool:
    """Write a file unless there is one, be it made at this moment; returns whether it did."""
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except BaseException:  # a part of it would be left alone the next time
        path.unlink(missing_ok=True)
        raise
    return True
