"""What a model thinks comes next: each word with its probability, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

END = ""  # the key of the end of the sentence: no word is empty
SHOWN = 10


class NextWords(dict[str, float]):
    """The probability of each word as the next one, the likeliest first; they sum to 1.

    A dict from words to probabilities. The empty string means the end of the sentence, which
    is shown as (end). A notebook shows the ten likeliest as bars.

    Attributes:
        text: What the words would follow.
    """

    def __init__(self, text: str, probabilities: Mapping[str, float]) -> None:
        descending = sorted(probabilities.items(), key=lambda item: -item[1])
        super().__init__(descending)
        self.text = text

    def likeliest(self, count: int = SHOWN) -> dict[str, float]:
        """Return the `count` likeliest words, in the form in which they are shown."""
        return {shown(word): p for word, p in islice(self.items(), count)}

    def __repr__(self) -> str:
        rows = [f"  {p:.4f}  {word}" for word, p in self.likeliest().items()]
        rest = len(self) - len(rows)
        if rest > 0:
            others = 1 - sum(self.likeliest().values())
            rows.append(f"  {max(others, 0.0):.4f}  {rest:,} other{'s' * (rest > 1)} together")
        return "\n".join([f"after {self.text!r}:", *rows])

    def _repr_svg_(self) -> str:
        from llmhard.drawing import bars  # only here: importing it takes longer than the answer

        drawing = bars(self.likeliest(), ".4f")
        drawing.title = f"The likeliest words after {self.text!r}"
        listed = (f"{word} {p:.4f}" for word, p in self.likeliest().items())
        drawing.description = ", ".join(listed)
        return drawing._repr_svg_()


def shown(word: str) -> str:
    """Return a word as people see it: the end has a name, white space is in quotes."""
    if word == END:
        return "(end)"
    return word if word.strip() else repr(word)
