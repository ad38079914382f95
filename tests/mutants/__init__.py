"""Mistakes that learners make in the workbook: each is one change of a solution.

`says` is a part of the message by which the lab's check has to point at the mistake.
"""

from importlib import import_module
from typing import NamedTuple

from llmhard.workbook import LABS


class Mutant(NamedTuple):
    lab: str
    slip: str
    old: str
    new: str
    says: str


MUTANTS = [Mutant(lab, *row) for lab in LABS for row in import_module(f"mutants.lab_{lab}").ROWS]
