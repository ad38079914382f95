"""Turns LaTeX formulas into MathML when the site is built, so its pages need no program for them.

In Markdown, a formula in a line is `$...$`, and one on lines of its own is a fence with the
language "math", as on code hosts.
"""

from __future__ import annotations

import html
import re
import unicodedata
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

from fontTools import subset
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert

from docs_tools.errors import DocsError

FONT = "math.woff2"
FUNCTIONS = {"log", "exp", "sin", "cos", "tanh", "max", "min"}
# How many parts each of these has; latex2mathml does not notice a missing one.
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2, "munder": 2}
_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
# pymdownx.arithmatex and its fence write these.
_MARKED = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
_ALIGNED = re.compile(r"(\\(?:begin|end)\{)aligned\}")

ET.register_namespace("", _NAMESPACE)


class Formulas:
    """Sets formulas, and keeps track of the characters that they need."""

    def __init__(self) -> None:
        self.characters: set[str] = set()

    def set(self, content: str, place: str) -> str:
        """Replace the formulas in a page's HTML with MathML.

        Raises DocsError, which names the place, for what is not a formula.
        """

        def converted(match: re.Match[str]) -> str:
            latex, display = html.unescape(match[3]).strip(), match[2] == "["
            try:
                formula = mathml(latex, display)
            except DocsError as error:
                raise DocsError(f"{place}: the formula {latex!r}: {error}") from None
            self.characters |= needed(formula)
            # A long one scrolls in a box of its own.
            return f'<div class="formula">{formula}</div>' if display else formula

        return _MARKED.sub(converted, content)

    def write_font(self, path: Path) -> None:
        """Write the font for these formulas: the part of STIX Two Math that they need.

        Browsers lay out formulas with a font made for them, and not every computer has one.
        """
        font = TTFont(_font_of_ziamath())
        subsetter = subset.Subsetter(subset.Options(layout_features=["*"]))
        subsetter.populate(text="".join(self.characters))
        subsetter.subset(font)  # with the larger shapes of brackets, roots and sums
        font.flavor = "woff2"
        path.parent.mkdir(parents=True, exist_ok=True)
        font.save(path)


def _font_of_ziamath() -> Path:
    """Return the font in the package, without importing the package."""
    spec = find_spec("ziamath")
    if spec is None or spec.origin is None:
        raise DocsError("ziamath is missing, which has the font for formulas: make docs")
    return Path(spec.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def mathml(latex: str, display: bool = False) -> str:
    """Return a formula as MathML. Raises DocsError for LaTeX that is not understood."""
    latex = _ALIGNED.sub(r"\1align*}", latex)
    try:
        root = ET.fromstring(convert(latex, display="block" if display else "inline"))
    except ET.ParseError:
        raise DocsError("write \\& for &, and no < in \\text") from None
    except Exception as error:  # its errors have nothing in common
        raise DocsError(f"{type(error).__name__} {error}".strip()) from None
    for element in root.iter():
        _check(element)
        _improve(element)
    return ET.tostring(root, encoding="unicode")


def needed(formula: str) -> set[str]:
    """Return the characters that a font must have for some MathML."""
    characters = {"\u2212"}  # what a hyphen becomes in a formula
    for element in ET.fromstring(formula).iter():
        text = (element.text or "").strip()
        characters |= set(text)
        if _kind(element) == "mi" and len(text) == 1:
            characters.add(_italic(text))
        if _kind(element) in ("msqrt", "mroot"):
            characters.add("√")
    return characters


def _check(element: ET.Element) -> None:
    """Raise DocsError for an unknown command, and where something is missing."""
    if (element.text or "").startswith("\\"):
        raise DocsError(f"{element.text} is not known")
    if len(element) != PARTS.get(_kind(element), len(element)):
        raise DocsError("something is missing")


def _improve(element: ET.Element) -> None:
    """Do what browsers expect: align columns by style, mark accents as accents, put a space after
    the name of a function."""
    if align := element.attrib.pop("columnalign", None):
        element.set("style", f"text-align: {align}; padding: 0.15em 0")
    if _kind(element) == "mover" and element[1].text == "^":
        element[1].text = "\u02c6"
        element[1].set("stretchy", "false")
    for place, child in reversed(list(enumerate(element[:-1]))):
        if child.text in FUNCTIONS and _kind(element[place + 1]) != "mo":
            element.insert(place + 1, ET.Element(f"{{{_NAMESPACE}}}mspace", width="0.17em"))


def _kind(element: ET.Element) -> str:
    return element.tag.removeprefix(f"{{{_NAMESPACE}}}")


def _italic(letter: str) -> str:
    """Return the italic that a browser shows for a letter on its own."""
    name = unicodedata.name(letter).replace("LATIN ", "").replace("GREEK ", "")
    try:
        return unicodedata.lookup(f"MATHEMATICAL ITALIC {name.replace('LETTER ', '')}")
    except KeyError:
        return "\u210e" if letter == "h" else letter
