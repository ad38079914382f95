"""The workbook: a GPT in plain Python for the reader to write, lab by lab.

`solutions/` holds the whole of it. The stubs that a reader starts from are made from those files by
`stubs.py`; `checks/` holds what a reader's file is checked for, `grading.py` runs the checks.
"""

from __future__ import annotations

import shutil
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


def lay_out(folder: Path) -> tuple[list[str], list[str]]:
    """Write what is not there yet: a stub for each lab, the script and the sentences.

    Returns the names of the files that were written and of those that were there and were left
    alone. Raises OSError if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for name in [*(lab.file for lab in LABS.values()), SCRIPT, SENTENCES]:
        target = folder / name
        if target.exists() or target.is_symlink():
            kept.append(name)
            continue
        if name == SENTENCES:
            shutil.copyfile(corpus.default_path(), target)
        else:
            source = (SOLUTIONS / name).read_text(encoding="utf-8")
            target.write_text(source if name == SCRIPT else stub(source), encoding="utf-8")
        written.append(name)
    return written, kept
