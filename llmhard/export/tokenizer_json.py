"""Our tokenizers described for Hugging Face's `tokenizers`, in tokenizer.json.

The steps are those of llmhard/text.py. Its kinds of characters are written as Unicode categories,
in the notation of Oniguruma, the regular expression library that `tokenizers` uses.
"""

from __future__ import annotations

from typing import Any

from llmhard.text import INVISIBLE
from llmhard.tokenizer import BOS, CharTokenizer, Tokenizer

BOS_TOKEN = "<|BOS|>"  # the name of BOS there, which no text should contain

SPACE = r"\t-\r\x{1c}-\x20\x{85}\p{Z}"  # what str.isspace() says
_LETTER = rf"[^{SPACE}\p{{P}}\p{{S}}\p{{M}}\p{{Cf}}]"  # a, d
_PART = rf"[^{SPACE}\p{{P}}\p{{S}}]"  # a, d, +
_SIGN = r"[\p{So}\p{Sk}]"  # s
WORD = (
    rf"{_PART}+(?:(?:['\-](?={_LETTER})|(?<=\p{{Nd}})[.,:](?=\p{{Nd}})){_PART}+)*"
    rf"|{_SIGN}[\p{{So}}\p{{Sk}}\p{{M}}\p{{Cf}}]*"
    rf"|[^{SPACE}]"
)
_STRAIGHT = {"[\u2018\u2019]": "'", "[\u201c\u201d\u201e]": '"', "[\u2010\u2011\u2212]": "-"}
# str.lower() makes a sigma at the end of a word a final sigma; Lowercase ignores neighbours.
_CASED, _IGNORED = r"[\p{Cased}&&\P{Case_Ignorable}]", r"\p{Case_Ignorable}*"
_FINAL_SIGMA = rf"{_CASED}{_IGNORED}\KΣ(?!{_IGNORED}{_CASED})"
_DASHES = "\u2013|\u2014|\u2015|--+"
_DOTS = rf"\.(?:[{SPACE}]*\.)+"


def describe(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the content of tokenizer.json: the same ids for the same text, BOS first.

    A word that is not in the vocabulary is refused there, too.
    """
    is_char = isinstance(tokenizer, CharTokenizer)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": BOS,
                "content": BOS_TOKEN,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": _sequence("normalizers", _characters() if is_char else _words()),
        "pre_tokenizer": _pieces(is_char),
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_special(0), {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                _special(0),
                {"Sequence": {"id": "A", "type_id": 0}},
                _special(1),
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {BOS_TOKEN: {"id": BOS_TOKEN, "ids": [BOS], "tokens": [BOS_TOKEN]}},
        },
        "decoder": {"type": "Fuse"} if is_char else _spacing(),
        "model": {
            "type": "WordLevel",
            "vocab": {BOS_TOKEN: BOS}
            | {word: i for i, word in enumerate(tokenizer.words, start=BOS + 1)},
            "unk_token": "",
        },
    }


def _sequence(name: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", name: steps}


def _special(type_id: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": BOS_TOKEN, "type_id": type_id}}


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _clean() -> list[dict[str, Any]]:
    return [_replace(INVISIBLE, ""), {"type": "NFC"}]


def _words() -> list[dict[str, Any]]:
    return [
        *_clean(),
        _replace(_FINAL_SIGMA, "ς"),
        {"type": "Lowercase"},
        *_clean(),
        *(_replace(curly, straight) for curly, straight in _STRAIGHT.items()),
        _replace(_DASHES, "\N{EM DASH}"),
        _replace(_DOTS, "\N{HORIZONTAL ELLIPSIS}"),
    ]


def _characters() -> list[dict[str, Any]]:
    return [
        *_clean(),
        _replace(f"[{SPACE}]+", " "),
        {"type": "Strip", "strip_left": True, "strip_right": False},
    ]


def _pieces(is_char: bool) -> dict[str, Any]:
    """Return the step that cuts out the tokens and drops what is between them."""
    pattern = "(?m:.)" if is_char else WORD
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": True}


def _spacing() -> dict[str, Any]:
    """Return the steps that put spaces where print has them, except within quotation marks."""
    closing = r"[)\]}».,!?;:%…،؛؟।]"
    opening = r"[(\[{«¿¡]"
    return _sequence(
        "decoders",
        [
            _replace("^", " "),
            {"type": "Fuse"},
            _replace(rf" (?={closing})", ""),
            _replace(rf"(?<={opening}) ", ""),
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    )
