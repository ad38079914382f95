"""What every lab must and must not have: headings, terms, folds, nothing typed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs_tools.labs import all_labs, stretches

SECTIONS = ["What you will build", "What to check", "Exercises", "Next"]
EXERCISES = 3
LONGEST_BLOCK = 6  # lines in which a page says what is written below
# A term where it is introduced: **[gradient](glossary.md#gradient)**
_TERM = re.compile(r"\*\*\[([^\]]+)\]\(glossary\.md#([^)]+)\)\*\*")
_FOLD = '<details markdown="1">, a line <summary>...</summary>'
_BLOCK = re.compile(r"\[\[\[cog.*?\]\]\]", re.S)
_MEASURABLE = re.compile(r"(?<![\w.])\d[\d,]*\.\d+|(?<![\w.])\d{1,3}(?:,\d{3})+")


@dataclass(frozen=True)
class Heading:
    level: int
    title: str
    line: int


def faults(root: Path) -> list[str]:
    """Return what is wrong, one line each: the file, the line, what to do."""
    docs = root / "docs"
    labs = all_labs(root)
    found = []
    introduced: dict[str, str] = {}
    glossary = _glossary(docs / "glossary.md")
    for lab, following in zip_longest(labs, labs[1:]):
        text = (docs / f"{lab}.md").read_text(encoding="utf-8")
        name = f"docs/{lab}.md"
        found += [
            f"{name}:{fault}"
            for fault in (
                *_shape(text, following),
                *_hidden(text),
                *_folded(text),
                *_by_hand(text),
            )
        ]
        for term, anchor in _TERM.findall(_BLOCK.sub("", text)):
            if anchor not in glossary:
                found.append(f"{name}: {term!r} is not in the glossary: docs/glossary.md#{anchor}")
            elif anchor in introduced:
                found.append(f"{name}: {term!r} is introduced before, in {introduced[anchor]}")
            introduced.setdefault(anchor, name)
    found += [
        f"docs/glossary.md: no lab introduces {title!r}: **[{title}](glossary.md#{anchor})**"
        for anchor, title in glossary.items()
        if anchor not in introduced
    ]
    titles = list(glossary.values())
    if titles != sorted(titles, key=str.lower):
        found.append("docs/glossary.md: the terms are not in alphabetical order")
    return found


def slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def headings(text: str) -> list[Heading]:
    tokens = MarkdownIt("commonmark").parse(text)
    return [
        Heading(int(opening.tag[1:]), inline.content, (opening.map or [0])[0] + 1)
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open"
    ]


def _glossary(path: Path) -> dict[str, str]:
    """Return the anchor and title of each term."""
    terms = [h.title for h in headings(path.read_text(encoding="utf-8")) if h.level == 2]
    return {slug(title): title for title in terms}


def _shape(text: str, following: str | None) -> Iterator[str]:
    """Yield faults in the headings of a lab; `following` is the next lab."""
    found = headings(text)
    if [h.level for h in found].count(1) != 1 or found[0].level != 1:
        yield "1: a lab has one heading of level 1, at its top"
    for before, after in pairwise(found):
        if after.level > before.level + 1:
            yield f"{after.line}: the heading {after.title!r} skips a level"
    titles = [h.title for h in found if h.level == 2]
    needed = SECTIONS if following else SECTIONS[:-1]
    if [title for title in titles if title in needed] != needed:
        yield f"1: these sections are missing or in another order: {', '.join(needed)}"
        return
    starts = {h.title: i for i, h in enumerate(found) if h.level == 2}
    exercises = found[starts["Exercises"] + 1 :]
    last = next((i for i, h in enumerate(exercises) if h.level == 2), len(exercises))
    tasks = [h for h in exercises[:last] if h.level == 3]
    if len(tasks) != EXERCISES:
        yield f"1: there are {len(tasks)} exercises (headings of level 3), not {EXERCISES}"
    yield from _answers(text, tasks, exercises[last:])
    if following:
        line = found[starts["Next"]].line
        if f"({following}.md)" not in "\n".join(text.splitlines()[line:]):
            yield f"{line}: under Next is no link to {following}.md"


def _answers(text: str, tasks: list[Heading], after: list[Heading]) -> Iterator[str]:
    """Yield exercises whose answer is not folded away; `after` has the headings after them."""
    lines = text.splitlines()
    for task, following in zip_longest(tasks, [*tasks[1:], *after[:1]]):
        if task and _FOLD.partition(", ")[0] not in lines[task.line : following and following.line]:
            yield f"{task.line}: the exercise {task.title!r} has no folded answer: {_FOLD}"


def _hidden(text: str) -> Iterator[str]:
    """Yield blocks that make a page hard to read on a code host."""
    for block in _BLOCK.finditer(text):
        length = block[0].count("\n") + 1
        if length > LONGEST_BLOCK:
            line = text.count("\n", 0, block.start()) + 1
            yield f"{line}: {length} lines in a block; what computes goes into docs_tools/pages"


def _folded(text: str) -> Iterator[str]:
    """Yield faults in what is folded away: without empty lines, code in it is not set as code."""
    lines = ["", *text.splitlines(), "", ""]
    depth = 0
    for number, line in enumerate(lines):
        if line.startswith("<details"):
            depth += 1
            summary = re.fullmatch(r"<summary>.+</summary>", lines[number + 1])
            if line != _FOLD.partition(", ")[0] or not summary or lines[number + 2]:
                yield f"{number}: begin a fold with {_FOLD}, then an empty line"
        elif line.startswith("</details>"):
            depth -= 1
            if lines[number - 1] or lines[number + 1]:
                yield f"{number}: </details> needs an empty line before and after it"
        if depth not in (0, 1):
            yield f"{number}: <details> and </details> do not alternate"
            return
    if depth:
        yield f"{len(lines) - 3}: a <details> is not closed"


def _by_hand(text: str) -> Iterator[str]:
    """Yield code and numbers that no block has written, except formulas."""
    made = {
        number
        for stretch in stretches(text)
        if stretch.is_output
        for number in range(stretch.first, stretch.first + len(stretch.lines))
    }
    for token in MarkdownIt("commonmark").parse(text):
        line = (token.map or [0])[0] + 1
        if line in made:
            continue
        if token.type in ("fence", "code_block") and token.info != "math":
            yield f"{line}: code outside of a block; write it with code, shell, prompt ..."
        if token.type == "inline":
            for number in _MEASURABLE.findall(_prose(token)):
                yield f'{line}: the number {number} is typed by hand; write it with text(f"...")'


def _prose(inline: Token) -> str:
    """Return the words of a paragraph, without `code`."""
    return " ".join(child.content for child in inline.children or [] if child.type == "text")
