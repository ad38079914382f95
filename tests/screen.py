"""A terminal as far as the tests need one: what a person sees of what a program writes."""

import codecs
import re

COMMAND = re.compile(r"\x1b(?:\[([?0-9;]*)([A-Za-z])|[=>])")


class Screen:
    """Lines of characters and a cursor; lines that have left the screen are still there."""

    def __init__(self, columns):
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data):
        text, at = self._rest + self._decoder.decode(data), 0
        while at < len(text):
            if text[at] == "\x1b":
                found = COMMAND.match(text, at)
                if not found:  # the rest of it comes later
                    break
                self._obey(found[1] or "", found[2])
                at = found.end()
            else:
                self._write(text[at])
                at += 1
        self._rest = text[at:]

    def text(self):
        """All lines, without spaces at their ends."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip()

    def above(self):
        """The lines down to the one of the cursor, which ends there."""
        lines = [line.rstrip() for line in self.lines[: self.row]]
        return "\n".join([*lines, self.lines[self.row][: self.column]])

    def _write(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down(1)
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character.isprintable():
            if self.column == self.columns:
                self.column = 0
                self._down(1)
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _down(self, count):
        self.row = max(0, self.row + count)
        self.lines += [""] * (self.row + 1 - len(self.lines))

    def _obey(self, numbers, letter):
        count = int(numbers) if numbers.isdecimal() else 1
        if letter == "C":
            self.column = min(self.columns - 1, self.column + count)
            self.lines[self.row] = self.lines[self.row].ljust(self.column)
        elif letter == "D":
            self.column = max(0, self.column - count)
        elif letter in "AB":
            self._down(count if letter == "B" else -count)
        elif letter in "JK":
            self.lines[self.row] = self.lines[self.row][: self.column]
            if letter == "J":
                del self.lines[self.row + 1 :]
