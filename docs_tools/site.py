"""Hooks for mkdocs: README.md is the home page, links out of docs/ lead to pages, too, and the
explorer of the default model is a page.

On GitHub a lab links to `../llmhard/model.py`; on the site there is a page for each file that is
linked like that.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_tools.blocks import LANGUAGES
from docs_tools.session import ROOT

HOME = "index.md"
EXPLORER = "explorer.html"
SOURCES = "repository"  # the pages of files outside docs/
NOT_SEARCHED = "---\nsearch: {exclude: true}\n---\n"
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
_COG = re.compile(r"^<!-- \[\[\[(?:cog.*?\]\]\]|end\]\]\]) -->$", re.M | re.S)
_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the home page, the explorer, and a page for each file outside docs/ that something
    links to."""
    files.append(File.generated(config, HOME, content=_page("README.md")))
    files.append(File.generated(config, EXPLORER, abs_src_path=str(_explorer())))
    todo = [
        "README.md",
        *(f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")),
    ]
    seen: set[str] = set()
    while todo:
        origin = todo.pop()
        path = ROOT / origin
        if not path.exists():
            continue  # one of those generated
        for target in _outside(origin, path.read_text(encoding="utf-8")):
            if target not in seen and target != "README.md":
                seen.add(target)
                todo += [target] if target.endswith(".md") else []
                files.append(File.generated(config, _place(target), content=_page(target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead the links to the pages of this site, and leave out the cog blocks."""
    origin = _origin(page.file.src_uri)
    if origin.endswith(".md"):
        markdown = _rewritten(origin, page.file.src_uri, markdown)
    return _COG.sub("", markdown)


def _explorer() -> Path:
    """The explorer of the default model with its film, which is trained if there is none yet."""
    folder = ROOT / "build" / "explorer"
    model, page = folder / "model.safetensors", folder / EXPLORER
    folder.mkdir(parents=True, exist_ok=True)
    if not model.with_name(model.name + ".film").exists():
        _run("train", "--film", "--quiet", "--force", "--out", str(model))
    _run("explore", str(model), "--force", "--out", str(page))
    return page


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "llmhard", *arguments], cwd=ROOT, check=True)


def _page(path: str) -> str:
    """The page of a file: its text, or, if it is not Markdown, its lines as code."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"{NOT_SEARCHED}# {path}\n\n````{language}\n{text.rstrip()}\n````\n"


def _place(target: str) -> str:
    """The page of a file of the repository, as a path below docs/."""
    if target == "README.md":
        return HOME
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"{SOURCES}/{target.removesuffix('.md')}.md"


def _origin(page: str) -> str:
    """The file that a page was made of."""
    if page == HOME:
        return "README.md"
    if page.startswith(f"{SOURCES}/"):
        path = page.removeprefix(f"{SOURCES}/")
        return path if (ROOT / path).exists() else path.removesuffix(".md")
    return f"docs/{page}"


def _target(origin: str, link: str) -> str | None:
    """The file of the repository that a link leads to; a folder stands for its README.md."""
    target = os.path.normpath(PurePosixPath(origin).parent / link).replace(os.sep, "/")
    if (ROOT / target).is_dir() and (ROOT / target / "README.md").exists():
        target += "/README.md"
    return target if (ROOT / target).is_file() else None


def _outside(origin: str, text: str) -> list[str]:
    targets = [_target(origin, link) for link in _LINK.findall(_FENCE.sub("", text))]
    return [target for target in targets if target and not target.startswith("docs/")]


def _rewritten(origin: str, page: str, markdown: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        target = _target(origin, match[1])
        if target is None:
            return match[0]  # mkdocs will say that it leads nowhere
        return os.path.relpath(_place(target), PurePosixPath(page).parent).replace(os.sep, "/")

    # What stands in a fence is no link.
    pieces, end = [], 0
    for fence in _FENCE.finditer(markdown):
        pieces += [_LINK.sub(replaced, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(replaced, markdown[end:])])
