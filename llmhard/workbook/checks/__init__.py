"""What a reader's files are checked for: a module for each lab, a list of checks in each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from llmhard.workbook.answers import Changed, Wrong
from llmhard.workbook.book import Book

# The headings of the documents that the checks point to.
SECTIONS = {
    "02": ("The vocabulary", "BOS", "Encoding", "Unknown words", "Decoding"),
    "03": (
        "A number that remembers",
        "Local gradients",
        "The chain rule",
        "A value used twice",
        "The order of backward",
        "Gradients add up",
    ),
    "04": ("The linear layer", "Softmax", "Large numbers", "RMSNorm"),
    "05": (
        "The parameters",
        "Attention",
        "Several heads",
        "The KV cache",
        "The MLP",
        "From token to logits",
    ),
    "06": ("The loss", "Adam", "The learning rate", "The training loop"),
    "07": ("The safetensors format", "Writing", "Reading", "The model file"),
    "08": ("Temperature", "Top-k", "Top-p", "Choosing", "Writing a sentence"),
}

# The same examples in every run; the smallest failing one; no files left behind.
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


LIVES_ON = (
    "The first time, the same call went right. Something lives on from it: a list, a dict or a "
    "cache that is made outside the function, or in its `def` line as a default."
)


@dataclass(frozen=True)
class Check:
    """One property of a reader's file.

    `body(book, **case)` raises Wrong; it gets each of the `cases`, then what the strategies draw.
    """

    title: str
    section: str
    hint: str
    body: Callable[..., None]
    cases: Sequence[Mapping[str, Any]]
    strategies: Mapping[str, st.SearchStrategy[Any]]
    late: str = ""  # the hint if it takes too long
    after: Sequence[str] = ()  # the checks that come first: if one of them fails, so does this

    def run(self, book: Book) -> None:
        """Raises Wrong with the smallest failing case, ToDo for a stub that is not written yet.

        Each of the cases comes twice: what lives on from the first time is found the second time.
        """

        def one(**case: Any) -> None:
            book.printed.clear()
            book.case = case
            self.body(book, **case)

        for case in self.cases or ([] if self.strategies else [{}]):
            one(**case)
            try:
                one(**case)
            except Changed:
                raise
            except Wrong as wrong:
                raise Wrong("The second time:", *wrong.lines, hint=LIVES_ON) from None
        if self.strategies:
            try:
                SETTINGS(given(**self.strategies)(one))()
            except Flaky:
                raise Wrong(
                    "The same call gave two different answers, one time right and one time wrong.",
                    hint="Does a list or a dict live on from an earlier call?",
                ) from None

    def functions(self, book: Book) -> set[tuple[str, str]]:
        """Run the case that failed once more and return the reader's functions that it calls.

        Each by its module and its qualified name.
        """
        called: set[tuple[str, str]] = set()

        def note(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(folder):
                code = frame.f_code
                name = code.co_qualname.partition(".<locals>")[0]
                called.add((Path(code.co_filename).stem, name))

        folder = str(book.folder)
        sys.setprofile(note)
        try:
            self.body(book, **book.case)
        except Exception:
            pass  # it has been told already
        finally:
            sys.setprofile(None)
        return called


@dataclass
class Checks:
    """The checks of one lab; `@check(...)` adds one to them."""

    lab: str
    all: list[Check] = field(default_factory=list)

    def __call__(
        self,
        title: str,
        section: str,
        hint: str = "",
        cases: Sequence[Mapping[str, Any]] = (),
        late: str = "",
        after: Sequence[str] = (),
        **strategies: st.SearchStrategy[Any],
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        if section not in SECTIONS[self.lab]:
            raise ValueError(f"lab {self.lab} has no section {section!r}")
        if unknown := set(after) - {earlier.title for earlier in self.all}:
            raise ValueError(f"{title!r} comes after {unknown}, which lab {self.lab} has not")

        def add(body: Callable[..., None]) -> Callable[..., None]:
            self.all.append(Check(title, section, hint, body, cases, strategies, late, after))
            return body

        return add


def checks_of(number: str) -> list[Check]:
    """The checks of a lab, in the order in which its file is written."""
    module = import_module(f"{__name__}.lab_{number}")
    checks: Checks = module.check
    return checks.all
