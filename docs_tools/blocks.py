"""The functions that the labs call in their cog blocks; each writes what the reader sees.

Without a source, `prompt()`, `python()`, `shell()` and `file(path)` run the one that the page
shows below the block, and `numbers(...)` renews the numbers in the paragraphs there: `shown.py`.
What makes a figure or a table is in the lab's module in `docs_tools/pages`, which its blocks know
as `lab`.

Options that say how far numbers may differ from machine to machine: `compare.Tolerance`. A block
cannot contain "]]]" or "-->": cog and HTML end there.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

from docs_tools.compare import EXACT, Tolerance
from docs_tools.errors import DocsError
from docs_tools.shown import (
    Below,
    command,
    must_be_told_apart,
    must_be_typable,
    typed,
    with_numbers,
)
from llmhard import drawing, graphs, model_file
from llmhard.model_file import SavedModel
from llmhard.workbook import LABS
from llmhard.workbook.stubs import stub

if TYPE_CHECKING:
    from docs_tools.session import Session

__all__ = [
    "code",
    "drawing",
    "figure",
    "file",
    "formula",
    "found",
    "graphs",
    "new_python",
    "numbers",
    "prompt",
    "python",
    "reader_writes",
    "shell",
    "steps",
    "table",
    "text",
    "value",
]

SOLUTIONS = "llmhard/workbook/solutions"

WIDTH = 100
LANGUAGES = {
    ".py": "python",
    ".pyx": "cython",
    ".pxd": "cython",
    ".c": "c",
    ".toml": "toml",
}

Piece = tuple[str, Tolerance]  # some lines, and how exactly they are compared


@dataclass
class Page:
    """What the blocks of one lab have written so far."""

    session: Session
    below: dict[int, Below] = field(default_factory=dict)  # the line of a block: what it shows
    lines: list[tuple[str, Tolerance]] = field(default_factory=list)
    figures: dict[str, tuple[str, Tolerance]] = field(default_factory=dict)  # file name: SVG
    last_output: str = ""
    _block: int = 0  # the line of the block that wrote last

    def shown(self) -> Below:
        """Return what the page shows below the block that is running."""
        import cog  # there only while cog runs a block

        return self.below[cog.firstLineNum]

    def write(self, *pieces: Piece) -> None:
        """Write what one call shows, after an empty line if it is not the first in its block."""
        import cog

        if self._block == cog.firstLineNum:
            pieces = (("\n", EXACT), *pieces)
        self._block = cog.firstLineNum
        for content, tolerance in pieces:
            for line in content.splitlines():
                self.lines.append((line.rstrip(), tolerance))
                cog.outl(line.rstrip())


page = cast(Page, None)  # of the lab that is being written; set by labs.regenerate


# ---------------------------------------------------------------- excerpts


def code(
    path: str,
    *names: str,
    docstring: bool = True,
    first: str | None = None,
    last: str | None = None,
    language: str | None = None,
) -> None:
    """Show an excerpt from a file of the repository, under a line that names it.

    `names` are functions, classes, methods ("GPT.attention") or constants of a Python file; without
    `docstring` theirs are left out. `first` and `last` begin and end the excerpt with the one line
    that contains them, within the names or, without names, the file. The
    `language` for the colours follows from the file's name unless it is given.
    """
    source = (page.session.root / path).read_text(encoding="utf-8")
    parts = [_named(source, path, name, docstring) for name in names] or [source]
    excerpt = "\n\n".join(textwrap.dedent(part).strip("\n") for part in parts)
    if first is not None or last is not None:
        excerpt = textwrap.dedent(_between(excerpt, path, first, last))
    what = f", {_listed([f'`{name}`' for name in names])}" if names else ""
    title = f"From [{path}](../{path}){what}:\n\n"
    page.write((title, EXACT), *_fence(language or _language(path), excerpt))


def _named(source: str, path: str, name: str, docstring: bool) -> str:
    """Return the lines of what has this name, with its decorators and its indentation."""
    body: list[ast.stmt] = ast.parse(source).body
    node: ast.stmt | None = None
    for part in name.split("."):
        node = next((n for n in body if part in _names(n)), None)
        if node is None:
            raise DocsError(f"{path} has no {name}")
        body = getattr(node, "body", [])
    assert node is not None
    lines = source.splitlines()
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    skipped: set[int] = set()
    if not docstring:
        for inner in ast.walk(node):
            if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner):
                text = inner.body[0]
                skipped |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
                # A blank line under a docstring would be left over at the top.
                if not lines[text.end_lineno or 0].strip():
                    skipped.add((text.end_lineno or 0) + 1)
    return "\n".join(
        lines[number - 1]
        for number in range(first, (node.end_lineno or first) + 1)
        if number not in skipped
    )


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _between(excerpt: str, path: str, first: str | None, last: str | None) -> str:
    lines = excerpt.splitlines()

    def place(text: str | None, default: int) -> int:
        if text is None:
            return default
        places = [i for i, line in enumerate(lines) if text in line]
        if len(places) != 1:
            raise DocsError(
                f"{path}: {text!r} is in {len(places)} lines of the excerpt, not in one"
            )
        return places[0]

    begin, end = place(first, 0), place(last, len(lines) - 1)
    if end < begin:
        raise DocsError(f"{path}: {last!r} comes before {first!r}")
    return "\n".join(lines[begin : end + 1])


# ---------------------------------------------------------------- what the reader runs


def shell(
    line: str | None = None,
    *,
    output: bool = True,
    stderr: bool = False,
    head: int | None = None,
    tail: int | None = None,
    exit_code: int = 0,
    **tolerance: Any,
) -> None:
    """Run a command line in the reader's folder; show it and its output.

    With `stderr`, its messages are shown, too. With `head` or `tail`, only that many lines are
    shown, and how many are left out. Raises DocsError if it does not end with `exit_code`.
    """
    line = command(page.shown().fence("console")) if line is None else line
    if line.split()[0] == "cd":
        raise DocsError("the labs stay at the top of the checkout: no cd")
    shown, errors, code = page.session.shell(line, stderr)
    if code != exit_code:
        raise DocsError(
            f"{line}: ended with exit code {code}, not {exit_code}\n{shown[-2000:]}{errors[-2000:]}"
        )
    page.last_output = shown
    lines = shown.splitlines() if output else []
    content = "\n".join([f"$ {line}", *_cut(lines, head, tail)])
    page.write(*_fence("console", content, Tolerance(**tolerance)))


def console(recorded: str) -> None:
    """Show a command and what it printed when it was recorded; nothing is run."""
    page.write(*_fence("console", recorded))


def _cut(lines: list[str], head: int | None, tail: int | None) -> list[str]:
    kept = (head or 0) + (tail or 0)
    if kept == 0 or len(lines) <= kept + 1:
        return lines
    cut = f"[... {len(lines) - kept:,} lines left out ...]"
    return [*lines[: head or 0], cut, *lines[len(lines) - (tail or 0) :]]


def prompt(source: str | None = None, *, raises: str = "", **tolerance: Any) -> None:
    """Show statements typed at Python's prompt, and its answers; names last until the lab's end.

    `raises` names the exception that ends it, if one does. Raises DocsError for what cannot be
    typed there line by line.
    """
    source = typed(page.shown().fence("pycon")) if source is None else source
    shown = _run(source, True, raises)
    must_be_told_apart(shown, source)
    page.write(*_fence("pycon", shown, Tolerance(**tolerance)))


def python(source: str | None = None, *, raises: str = "", **tolerance: Any) -> None:
    """Show statements with what they print below them; they share their names with `prompt`."""
    source = page.shown().fence("python") if source is None else source
    shown = _run(source, False, raises)
    pieces = _fence("python", textwrap.dedent(source).strip("\n"))
    if shown:
        pieces += [("\nprints\n\n", EXACT), *_fence("text", shown, Tolerance(**tolerance))]
    page.write(*pieces)


def new_python() -> None:
    """Make the reader leave Python and start it again: names are gone, modules are reloaded."""
    page.session.stop_python()


def _run(source: str, echo: bool, raises: str) -> str:
    must_be_typable(textwrap.dedent(source).strip("\n"))
    shown, error = page.session.run(textwrap.dedent(source).strip("\n"), echo)
    if error != raises:
        raise DocsError(f"{f'no {raises}' if raises else 'an error'}:\n{shown}")
    page.last_output = shown
    return shown


def file(path: str, source: str | None = None) -> None:
    """Show a file that the reader writes, to be run by a later block."""
    source = page.shown().fence(_language(path)) if source is None else source
    content = textwrap.dedent(source).strip("\n") + "\n"
    _made(path).write_text(content, encoding="utf-8")
    page.write((f"Save this as `{path}`:\n\n", EXACT), *_fence(_language(path), content))


def reader_writes(
    path: str, source: str, *slips: tuple[str, str], only: Collection[str] | None = None
) -> None:
    """Write what the reader has written so far: a copy of the solution, which is not shown.

    Each of the `slips` is a text in the solution and what the reader has written instead. `only`
    names the functions that are already written, such as "Value.__add__".
    """
    content = (page.session.root / source).read_text(encoding="utf-8")
    for right, wrong in slips:
        if content.count(right) != 1:
            raise DocsError(f"{source} has {right!r} {content.count(right)} times, not once")
        content = content.replace(right, wrong)
    if only is not None:
        content = stub(content, only)
    _made(path).write_text(content, encoding="utf-8")


def solves(module: str, *slips: tuple[str, str], only: Collection[str] | None = None) -> None:
    """Let the reader write a module of the workbook, as `reader_writes` does."""
    reader_writes(f"my-gpt/{module}.py", f"{SOLUTIONS}/{module}.py", *slips, only=only)


def has_solved_before(module: str) -> None:
    """Let the reader have done the labs before that of this module."""
    for lab in LABS.values():
        if lab.module == module:
            return
        solves(lab.module)


def saved(name: str = "model.safetensors") -> SavedModel:
    """Return a model that the reader has trained."""
    return model_file.load(page.session.folder / name)


def _made(path: str) -> Path:
    """Return where the reader's file goes: never through a link into the checkout."""
    folder = page.session.folder
    target = folder / path
    if folder.resolve() not in (target.resolve(), *target.resolve().parents):
        raise DocsError(f"{path} belongs to the checkout; the reader's files have other names")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


# ---------------------------------------------------------------- text with numbers


def numbers(*now: object, **tolerance: Any) -> None:
    """Put computed numbers into the paragraphs below the block: `shown.with_numbers`."""
    page.write((with_numbers(page.shown().paragraphs(), now), Tolerance(**tolerance)))


def text(paragraph: str, **tolerance: Any) -> None:
    """Write paragraphs of Markdown that contain computed numbers, wrapped to lines."""
    paragraphs = re.split(r"\n\s*\n", textwrap.dedent(paragraph).strip())
    wrapped = [
        textwrap.fill(" ".join(p.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
        for p in paragraphs
    ]
    page.write(("\n\n".join(wrapped), Tolerance(**tolerance)))


def value(expression: str, spec: str = "") -> str:
    """Evaluate an expression in `prompt` and `python`'s names, for `text`: value("len(x)", ",")."""
    return page.session.value(expression, spec)


def found(pattern: str) -> str:
    """Return the group of a regular expression in all that the last command or snippet printed."""
    matches = re.findall(pattern, page.last_output)
    if len(matches) != 1 or not isinstance(matches[0], str):
        raise DocsError(f"{pattern!r} must match once, with one group; it matches {matches}")
    return matches[0]


def formula(content: str) -> None:
    """Write a formula in plain characters, on lines of its own."""
    page.write(*_fence("text", textwrap.dedent(content).strip("\n")))


def table(header: list[str], rows: list[list[object]], **tolerance: Any) -> None:
    """Write a table; columns of numbers are aligned to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    numeric = [
        all(re.fullmatch(r"-?[\d,.]+( ?\w+)?", row[i]) for row in cells) for i in range(len(header))
    ]
    lines = [header, ["---:" if right else "---" for right in numeric], *cells]
    content = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    page.write((content, Tolerance(**tolerance)))


# ---------------------------------------------------------------- figures


def figure(name: str, svg: drawing.Drawing, alt: str, caption: str = "", **tolerance: Any) -> None:
    """Write a figure, docs/figures/NAME.svg, and show it; `alt` says in words what it shows.

    The site puts the caption below it, or `alt` if there is none. With a tolerance, only the
    figure's labels are compared, since the geometry follows from them.
    """
    if not alt.strip() or "]" in alt:
        raise DocsError(f"the figure {name} needs a text that says what it shows, without ]")
    if '"' in caption:
        raise DocsError(f'the caption of the figure {name} has a ", which would end it')
    page.figures[f"{name}.svg"] = (svg.svg(), Tolerance(**tolerance))
    title = f' "{" ".join(caption.split())}"' if caption else ""
    page.write((f"![{' '.join(alt.split())}](figures/{name}.svg{title})", EXACT))


def steps(name: str, pictures: Sequence[drawing.Drawing], still: drawing.Drawing, alt: str) -> None:
    """Show a figure that moves: on the site one picture after the other, with its description.

    On a code host, on paper and without JavaScript it is the still one.
    """
    for number, picture in enumerate(pictures, 1):
        page.figures[f"{name}-{number}.svg"] = (picture.svg(), EXACT)
    figure(name, still, alt)


def labels(svg: str) -> list[str]:
    """Return the text of a figure, label by label, and its dark colours, which old figures lack."""
    return [text for text in ElementTree.fromstring(svg).itertext() if text.strip()]


# ---------------------------------------------------------------- writing


def _fence(language: str, content: str, tolerance: Tolerance = EXACT) -> list[Piece]:
    marks = "````" if "```" in content else "```"
    return [(f"{marks}{language}", EXACT), (content, tolerance), (marks, EXACT)]


def _language(path: str) -> str:
    return LANGUAGES.get(Path(path).suffix, "text")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
