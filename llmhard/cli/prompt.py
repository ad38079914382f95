"""A line of text from a person at a terminal: editing, history, completion with Tab.

It imports prompt_toolkit, which takes longer than all of `sample`, so import it only where needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from llmhard.cli.history import SavedHistory, default_path
from llmhard.terminal import unfailing
from llmhard.tokenizer import Tokenizer


class Prompt:
    """Asks for lines on a terminal that can move its cursor.

    commands    the commands that begin with a slash, and what they do
    """

    def __init__(
        self, message: str, stream: TextIO, tokenizer: Tokenizer, commands: Mapping[str, str]
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            message,
            output=_output(stream),
            history=SavedHistory(default_path()),
            completer=WordCompleter(tokenizer, commands),
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            enable_suspend=True,
        )

    def ask(self) -> str:
        """Return what is typed; pasted text has several lines.

        Raises EOFError for Ctrl-D or a terminal that is gone, KeyboardInterrupt for Ctrl-C.
        """
        return self._session.prompt()

    @property
    def unfinished(self) -> str:
        """What was typed when Ctrl-C was pressed."""
        return self._session.default_buffer.text


class WordCompleter(Completer):
    """Completes words of the vocabulary and commands."""

    def __init__(self, tokenizer: Tokenizer, commands: Mapping[str, str]) -> None:
        self._words = sorted(tokenizer.words) if tokenizer.kind == "word" else []
        self._split = tokenizer.split
        self._commands = commands

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
        """Yield what the word before the cursor may become."""
        before = document.text_before_cursor
        typed = re.split(r"\s", before)[-1]
        if before.lstrip().startswith("/"):
            for command, meaning in self._commands.items():
                if typed and command.startswith(typed):
                    yield Completion(command, -len(typed), display_meta=meaning)
            return
        for beginning in (typed, *self._split(typed)[-1:]):  # the second has no quotes
            found = list(self._beginning_with(beginning.lower()))
            if found and typed.lower().endswith(beginning.lower()):
                yield from (Completion(word, -len(beginning)) for word in found)
                return

    def _beginning_with(self, letters: str) -> Iterable[str]:
        return (word for word in self._words if word.startswith(letters))


def _output(stream: TextIO) -> Output:
    output = create_output(unfailing(stream))  # a terminal that is gone is the end of input, too
    if isinstance(output, Vt100_Output):
        # Do not ask the terminal where its cursor is: the answer may come when nobody reads it.
        output.enable_cpr = False
    return output
