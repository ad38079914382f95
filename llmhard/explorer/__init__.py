"""The explorer: one HTML page in which a person sees every number of a model think."""

from __future__ import annotations

from llmhard.explorer.page import MARK, html, write

__all__ = ["MARK", "html", "write"]
