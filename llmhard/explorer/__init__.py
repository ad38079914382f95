"""The explorer: one HTML page that shows every number of a model at work."""

from __future__ import annotations

from llmhard.explorer.page import MARK, html, write

__all__ = ["MARK", "html", "write"]
