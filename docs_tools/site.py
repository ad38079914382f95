"""Hooks for mkdocs: links out of docs/ lead to pages, the explorer of the default model is a page,
formulas and figures are set, and the home page shows what the model does.

On GitHub a lab links to `../llmhard/model.py`; on the site there is a page for each file that is
linked like that.
"""

from __future__ import annotations

import html
import logging
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_tools import home
from docs_tools.blocks import LANGUAGES
from docs_tools.errors import DocsError
from docs_tools.formulas import FONT, Formulas
from docs_tools.session import ROOT
from llmhard import load

HOME = "index.md"
EXPLORER = "explorer.html"
MODEL = ROOT / "build" / "explorer" / "model.safetensors"
SOURCES = "repository"  # the pages of files outside docs/
NOT_SEARCHED = "---\nsearch: {exclude: true}\n---\n"
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
_COG = re.compile(r"^<!-- \[\[\[(?:cog.*?\]\]\]|end\]\]\]) -->$", re.M | re.S)
_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.M | re.S)
_IMAGE = re.compile(r'<p><img alt="([^"]*)" src="([^"]*)"(?: title="([^"]*)")? ?/></p>')
_NUMBERED = re.compile(r"-(\d+)\.svg$")
_CODE = re.compile(r"(<pre\b.*?</pre>)|<code>([^<]*)</code>", re.S)
_HYPHENATED = re.compile(r"[^\s]*[^\s-]-[^\s]*|--[^\s]+")
_log = logging.getLogger("mkdocs.hooks.site")
_formulas = Formulas()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the explorer, the picture of the home page, and a page for each file outside docs/ that
    something links to."""
    files.append(File.generated(config, EXPLORER, abs_src_path=str(_explorer())))
    files.append(File.generated(config, home.IMAGE, content=_home_picture()))
    todo = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    seen: set[str] = set()
    while todo:
        origin = todo.pop()
        path = ROOT / origin
        if not path.exists():
            continue  # one of those generated
        for target in _outside(origin, path.read_text(encoding="utf-8")):
            if target not in seen:
                seen.add(target)
                todo += [target] if target.endswith(".md") else []
                files.append(File.generated(config, _place(target), content=_page(target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make the links lead to pages of this site, and leave out the cog blocks."""
    origin = _origin(page.file.src_uri)
    if page.file.src_uri == HOME:
        markdown = home.filled(markdown, ROOT, load(MODEL))
    if origin.endswith(".md"):
        markdown = _rewritten(origin, page.file.src_uri, markdown)
    return _COG.sub("", markdown)


def on_page_content(content: str, page: Page, **_: Any) -> str:
    """Set the formulas, give each figure its caption, and keep names in code in one piece."""
    try:
        content = _formulas.set(content, page.file.src_uri)
    except DocsError as error:
        raise PluginError(str(error)) from None
    return _CODE.sub(_unbroken, _IMAGE.sub(_figure, content))


def on_post_build(config: MkDocsConfig) -> None:
    """Write the font that the formulas need."""
    if _formulas.characters:
        _formulas.write_font(Path(config.site_dir) / FONT)


def _figure(image: re.Match[str]) -> str:
    """Return a figure for an image alone in its paragraph, with its title or text as caption."""
    alt, source, caption = image[1], image[2], image[3]
    # What is read in the caption need not be read out twice.
    return (
        f'<figure><div><img alt="{alt if caption else ""}" src="{source}" /></div>'
        f"<figcaption>{caption or alt}</figcaption>{_steps(source)}</figure>"
    )


def _steps(source: str) -> str:
    """The pictures of a figure that moves, each with its words, for site.js; none for others."""
    pictures = (ROOT / "docs" / source).parent.glob(f"{PurePosixPath(source).stem}-*.svg")
    numbered = {int(found[1]): path for path in pictures if (found := _NUMBERED.search(path.name))}
    shown = []
    for _, path in sorted(numbered.items()):
        said = ElementTree.parse(path).findtext("{*}desc")
        place = PurePosixPath(source).with_name(path.name)
        shown.append(f'<img src="{place}" alt="{html.escape(said or "")}" />')
    return f"<template>{''.join(shown)}</template>" if shown else ""


def _unbroken(code: re.Match[str]) -> str:
    """Keep names in inline code from being broken at hyphens; blocks stay as they are."""
    if code[1]:
        return code[1]
    kept = _HYPHENATED.sub(lambda name: f'<span class="name">{name[0]}</span>', code[2])
    return f"<code>{kept}</code>"


def _explorer() -> Path:
    """Return the explorer of the default model and its film, training it if there is none yet."""
    page = MODEL.with_name(EXPLORER)
    page.parent.mkdir(parents=True, exist_ok=True)
    if not MODEL.with_name(MODEL.name + ".film").exists():
        _log.info(f"training the explorer's model: half a minute, once (kept in {MODEL.parent})")
        _run("train", "--film", "--quiet", "--force", "--out", str(MODEL))
    _run("explore", str(MODEL), "--force", "--out", str(page))
    return page


def _home_picture() -> str:
    model = load(MODEL)
    return home.picture(model.attention(home.TEXT), model.next_words(home.TEXT)).svg()


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "llmhard", *arguments], cwd=ROOT, check=True)


def _page(path: str) -> str:
    """Return the page of a file: its text or, if it is not Markdown, its lines as code."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"{NOT_SEARCHED}# {path}\n\n````{language}\n{text.rstrip()}\n````\n"


def _place(target: str) -> str:
    """Return the page of a file of the repository, as a path below docs/."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"{SOURCES}/{target.removesuffix('.md')}.md"


def _origin(page: str) -> str:
    """Return the file that a page was made from."""
    if page.startswith(f"{SOURCES}/"):
        path = page.removeprefix(f"{SOURCES}/")
        return path if (ROOT / path).exists() else path.removesuffix(".md")
    return f"docs/{page}"


def _target(origin: str, link: str) -> str | None:
    """Return the file of the repository that a link leads to; a folder stands for the file that
    describes it."""
    target = os.path.normpath(PurePosixPath(origin).parent / link).replace(os.sep, "/")
    for first in ("README.md", "__init__.py"):
        if (ROOT / target).is_dir() and (ROOT / target / first).exists():
            target += f"/{first}"
    return target if (ROOT / target).is_file() else None


def _outside(origin: str, text: str) -> list[str]:
    targets = [_target(origin, link) for link in _LINK.findall(_FENCE.sub("", text))]
    return [target for target in targets if target and not target.startswith("docs/")]


def _rewritten(origin: str, page: str, markdown: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        target = _target(origin, match[1])
        if target is None:
            return match[0]  # mkdocs will report that it leads nowhere
        return os.path.relpath(_place(target), PurePosixPath(page).parent).replace(os.sep, "/")

    # What is in a fence is not a link.
    pieces, end = [], 0
    for fence in _FENCE.finditer(markdown):
        pieces += [_LINK.sub(replaced, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(replaced, markdown[end:])])
