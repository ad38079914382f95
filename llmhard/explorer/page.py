"""The page: HTML, style, modules and data in one file that fetches nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from llmhard import files
from llmhard.explorer.data import contents
from llmhard.film import Film
from llmhard.model_file import SavedModel

FOLDER = Path(__file__).parent
ENTRY = "app.js"
DOCTYPE = "<!doctype html>"
MARK = "<!-- written by llmhard explore -->"  # marks a page as ours


class ModuleError(ValueError):
    """A module that cannot become part of the page's script; the message says why."""


def write(
    path: str | os.PathLike[str], saved: SavedModel, title: str = "", film: Film | None = None
) -> None:
    """Write the page about a model atomically. Raises OSError if it cannot be written."""
    files.write_atomically(path, html(saved, title, film).encode())


def html(saved: SavedModel, title: str = "", film: Film | None = None, text: str = "") -> str:
    """Return the page about a model, a whole HTML document; it shows `text` first."""
    data = contents(saved, title, film)
    if text:
        data["start"] = f"#{urlencode({'text': text})}"  # as in the address of a link
    return assemble(script(modules(FOLDER / "js")), data, title)


def assemble(script: str, data: Mapping[str, Any], title: str = "") -> str:
    """Return the page with this script and data."""
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    parts = {
        "policy": _policy(script, style),
        "title": escape(title).encode(errors="replace").decode(),  # a file may have any name
        "style": style,
        "data": _json(data),
        "script": script,
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    filled = re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)
    return filled.replace(DOCTYPE, f"{DOCTYPE}\n{MARK}", 1)


def _policy(script: str, style: str) -> str:
    """Return the Content-Security-Policy: only what is in the page may run, nothing is fetched."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls this text."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(data: Mapping[str, Any]) -> str:
    """Return JSON that is safe in a script element, whatever it quotes."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda c: f"\\u{ord(c[0]):04x}", text)


# ---------------------------------------------------------------- one script from many modules


def modules(folder: Path) -> dict[str, str]:
    """Return the text of each module in a folder, by its path from there."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.js"))
    }


_IMPORT = re.compile(r'^import \{([\w$\s,]*)\} from "(\.[^"]*)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function\b|const\b|class\b)", re.MULTILINE)
_EXPORTED = re.compile(r"^export (?:async )?(?:function\*?|const|class) ([\w$]+)", re.MULTILINE)
_NAME = re.compile(r"^(?:async )?(?:function\*?|const|let|class) ([\w$]+)", re.MULTILINE)


def script(sources: Mapping[str, str], entry: str = ENTRY) -> str:
    """Return one script made of the module `entry` and those that it imports.

    Raises ModuleError for a module that is missing, is part of an import cycle, or contains what
    this cannot translate.
    """
    ordered: dict[str, None] = {}
    _put_in_order(sources, entry, (), ordered)
    names: dict[str, str] = {}
    for path in ordered:
        for name in _NAME.findall(_EXPORT.sub("", sources[path])):
            if name in names:
                raise ModuleError(f"{names[name]} and {path} both have a {name}")
            names[name] = path
    return "\n".join(f"// {path}\n{_plain(path, sources)}" for path in ordered)


def _put_in_order(
    sources: Mapping[str, str], path: str, above: tuple[str, ...], ordered: dict[str, None]
) -> None:
    """Append a module to `ordered`, after all that it imports; those `above` are importing it."""
    if path in above:
        raise ModuleError(f"{path} imports itself: {' -> '.join([*above, path])}")
    if path not in sources:
        raise ModuleError(f"there is no module {path}, which {above[-1]} imports")
    if path in ordered:
        return
    for names, other in _IMPORT.findall(sources[path]):
        module = _beside(path, other)
        _put_in_order(sources, module, (*above, path), ordered)
        exported = _EXPORTED.findall(sources[module])
        if missing := [name for name in re.findall(r"[^\s,]+", names) if name not in exported]:
            raise ModuleError(f"{module} exports no {missing[0]}, which {path} imports")
    ordered[path] = None


def _beside(path: str, other: str) -> str:
    return os.path.normpath(Path(path).parent / other).replace(os.sep, "/")


def _plain(path: str, sources: Mapping[str, str]) -> str:
    """Return the module's text without import and export."""
    text = _EXPORT.sub("", _IMPORT.sub("", sources[path]))
    if strange := re.search(r"^\s*(?:import|export)\b.*", text, re.MULTILINE):
        raise ModuleError(f"{path}: only plain imports and exports of names, not: {strange[0]}")
    if "</script" in text.lower() or "<!--" in text:
        raise ModuleError(f"{path} ends the script element: write the < in another way")
    return text
