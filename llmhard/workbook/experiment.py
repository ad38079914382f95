"""Train the GPT of a workbook in a few seconds and measure what it has learned.

`python -m llmhard.workbook.experiment my-gpt` runs the reader's own model.py. Its lists of Values
become Vectors and Matrices of the engine, so that a change in that file can be tried at once.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from llmhard import corpus, grammar, layers
from llmhard.adam import Adam
from llmhard.arguments import OneLineParser, whole_number
from llmhard.autograd import Batch, Index, Matrix, Value, Vector, concat
from llmhard.minimal_pairs import minimal_pairs
from llmhard.model import KVCache
from llmhard.recipe import Recipe
from llmhard.sampler import Reader, Sampling, generate
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import batched, beginning_losses
from llmhard.workbook.answers import ToDo, Wrong
from llmhard.workbook.book import Book

BATCH_SIZE = 8
LEARNING_RATE = 0.008
STEPS = 2500
NEW_SENTENCES = 1000  # of the grammar, on which the loss is measured
PAIRS = 400  # of each kind
AT_ONCE = 16  # sentences whose losses are computed together


# ---------------------------------------------------------------- the reader's model, compiled


class Compiled:
    """A reader's GPT whose parameters are Matrices; its logits are a Vector.

    The code that runs is the reader's. Only linear, softmax, rmsnorm and add, which the checks have
    found right, are replaced by those of the package while it runs.
    """

    def __init__(self, book: Book, config: Any, parameters: dict[str, Matrix]) -> None:
        self.book, self.config, self.parameters = book, config, parameters
        self._rows = Rows(parameters["wte.weight"])
        make = book.get("model", "GPT")
        self._gpt = book.attempt(
            "GPT(config, parameters)",
            lambda: make(config, parameters | {"wte.weight": self._rows}),
        )

    def __call__(self, token: Index, cache: KVCache) -> Vector:
        """Return the logits of what follows `token`, which may change between two replays."""
        self._rows.token = token
        with on_runs(self.book):
            logits = self.book.attempt(
                f"model({int(token)}, cache)", lambda: self._gpt(int(token), cache)
            )
            return joined(logits)


class Rows:
    """The token embeddings: whatever row is asked for, it is that of the token being read."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.token = Index(0)

    def __getitem__(self, _: object) -> Vector:
        return self.matrix[self.token]

    def __len__(self) -> int:
        return len(self.matrix)


def joined(numbers: Any) -> Vector:
    """Return a list of Values and numbers as one Vector."""
    if isinstance(numbers, Vector):
        return numbers
    return concat([x if isinstance(x, Value | Vector) else Value(x) for x in numbers])


def linear(x: Any, w: Any) -> Any:
    """Return w x, as a Vector if `w` is a Matrix."""
    return w @ joined(x) if isinstance(w, Matrix) else layers.linear(x, w)


@contextmanager
def on_runs(book: Book) -> Iterator[None]:
    """Let the reader's model.py compute with Vectors while it runs."""
    ours: dict[str, Callable[..., Any]] = {
        "linear": linear,
        "softmax": lambda logits: layers.softmax(joined(logits)),
        "rmsnorm": lambda x: layers.rmsnorm(joined(x)),
        "add": lambda x, y: joined(x) + joined(y),
    }
    module = book.module("model")
    with ExitStack() as stack:
        for name, function in ours.items():
            if hasattr(module, name):
                stack.enter_context(book.replaced("model", name, function))
        yield


def configured(book: Book, vocab_size: int) -> Any:
    """Return the reader's Config for so many tokens."""
    make = book.get("model", "Config")
    return book.attempt("Config(vocab_size)", lambda: make(vocab_size))


def compiled(book: Book, vocab_size: int, rng: random.Random) -> Compiled:
    """Return a new GPT of the reader's, with the parameters that its `initialize` draws."""
    config, make = configured(book, vocab_size), book.get("model", "GPT")
    drawn = book.attempt("GPT.initialize(config, rng)", lambda: make.initialize(config, rng))
    parameters = {
        name: Matrix([[p.data for p in row] for row in rows])
        for name, rows in drawn.parameters.items()
    }
    return Compiled(book, config, parameters)


# ---------------------------------------------------------------- its losses


class Unmasked(KVCache):
    """The cache of a second reading: the keys and values of the whole sentence are in it already,
    those of words that come later, too."""

    def __init__(self, n_layer: int, first: KVCache) -> None:
        super().__init__(n_layer)
        self.keys = [list(keys) for keys in first.keys]
        self.values = [list(values) for values in first.values]
        self._read_before = len(first)

    def __len__(self) -> int:
        """Return how many tokens of the second reading are in it."""
        return super().__len__() - self._read_before


class SecondReading:
    """The model while it reads a sentence again, whose words it has read with the cache `first`."""

    def __init__(self, model: Compiled, first: KVCache) -> None:
        self.config, self._model = model.config, model
        self._cache = Unmasked(model.config.n_layer, first)

    def __call__(self, token: Index, _: KVCache) -> Vector:
        return self._model(token, self._cache)


class Losses:
    """The losses of sentences, recorded once for each length and computed many at a time."""

    def __init__(self, model: Compiled, longest: int, unmasked: bool = False) -> None:
        self._model = model
        tokens = [Index(0) for _ in range(longest)]
        roots = self._unmasked(tokens) if unmasked else self._masked(tokens)
        self.batch = Batch(tokens, [None, *roots])

    def of(self, documents: Sequence[Sequence[int]]) -> list[float]:
        """Return the mean loss of each document, in nats a token."""
        total = sum(map(len, documents)) - len(documents)
        shares = [(len(document) - 1) / total for document in documents]
        return self.batch.forward(documents, shares)

    def _masked(self, tokens: Sequence[Index]) -> Iterator[Value]:
        return beginning_losses(self._model, tokens)  # type: ignore[arg-type]

    def _unmasked(self, tokens: Sequence[Index]) -> Iterator[Value]:
        for length in range(2, len(tokens) + 1):
            cache = KVCache(self._model.config.n_layer)
            for token in tokens[:length]:
                self._model(token, cache)
            again = SecondReading(self._model, cache)
            *_, last = beginning_losses(again, tokens[:length])  # type: ignore[arg-type]
            yield last


def nats(losses: Losses, documents: Sequence[Sequence[int]]) -> list[float]:
    """Return the surprise at each document, all its tokens together."""
    return [
        loss * (len(document) - 1)
        for part in batched(documents, AT_ONCE)
        for loss, document in zip(losses.of(part), part, strict=True)
    ]


# ---------------------------------------------------------------- training and measuring


class Text:
    """The bundled sentences to learn from, new ones to be tested with, and pairs to choose from."""

    def __init__(self, seed: int) -> None:
        sentences = corpus.read_sentences(corpus.default_path())
        self.tokenizer = Tokenizer.from_sentences(sentences)
        random.Random(seed).shuffle(sentences)
        self.documents = self.encoded(sentences)
        self.longest = max(map(len, self.documents))
        rng = random.Random(f"new {seed}")
        self.new = [grammar.sample(rng) for _ in range(NEW_SENTENCES)]

    def encoded(self, sentences: Sequence[str]) -> list[list[int]]:
        return [self.tokenizer.encode_document(sentence) for sentence in sentences]


def train(model: Compiled, losses: Losses, documents: Sequence[Sequence[int]], steps: int) -> None:
    """Take `steps` steps, of BATCH_SIZE sentences each. Raises Wrong if the loss is not finite."""
    recipe = Recipe(steps, BATCH_SIZE, LEARNING_RATE)
    optimizer = Adam(list(model.parameters.values()))
    for step in range(steps):
        places = range(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        found = losses.of([documents[i % len(documents)] for i in places])
        if not all(map(isfinite, found)):
            raise Wrong(f"The loss at step {step + 1} is not a finite number.")
        optimizer.step(recipe.learning_rate(step), losses.batch)


class Measured(NamedTuple):
    """What a model has learned, in numbers.

    above       its loss on new sentences, in nats a token, less that of the grammar
    distance    of the pairs "the dogs by the pond bark", "... barks": the share that it gets right
    comparison  the same for pairs whose two sides are exchanged: "the horse is bigger than the ant"
    """

    above: float
    distance: float
    comparison: float


def measured(losses: Losses, text: Text) -> Measured:
    """Return what a model has learned, by its losses."""
    documents = text.encoded(text.new)
    count = sum(map(len, documents)) - len(documents)
    own = -sum(map(grammar.log_prob, text.new))
    above = (sum(nats(losses, documents)) - own) / count
    return Measured(above, *(share_right(losses, text, kind) for kind in Measured._fields[1:]))


def share_right(losses: Losses, text: Text, kind: str) -> float:
    """Return of how many pairs the good sentence surprises the model less than the bad one."""
    pairs = minimal_pairs(kind, PAIRS, random.Random(kind))
    good = nats(losses, text.encoded([pair.good for pair in pairs]))
    bad = nats(losses, text.encoded([pair.bad for pair in pairs]))
    return sum(g < b for g, b in zip(good, bad, strict=True)) / len(pairs)


def measure(
    folder: str | os.PathLike[str], parameters: Mapping[str, Matrix], seed: int = 42
) -> Measured:
    """Return what the GPT of a workbook can do with these parameters.

    Raises Wrong or ToDo for what its files lack.
    """
    text, book = Text(seed), Book(Path(folder))
    config = configured(book, text.tokenizer.vocab_size)
    return measured(Losses(Compiled(book, config, dict(parameters)), text.longest), text)


class Experiment:
    """A new GPT of the reader's that has been trained.

    Raises Wrong or ToDo for what the files in the folder lack.
    """

    def __init__(self, folder: Path, steps: int, seed: int, unmasked: bool = False) -> None:
        self.seed, self.text, book = seed, Text(seed), Book(folder)
        vocab_size = self.text.tokenizer.vocab_size
        self.model = compiled(book, vocab_size, random.Random(seed))
        self.losses = Losses(self.model, self.text.longest, unmasked)
        train(self.model, self.losses, self.text.documents, steps)

    def measured(self) -> Measured:
        return measured(self.losses, self.text)

    def sentences(self, n: int) -> Iterator[str]:
        """Let it write, one word after the other, as always: with the mask."""
        reader, rng = Reader(self.model), random.Random(self.seed)  # type: ignore[arg-type]
        for _ in range(n):
            yield self.text.tokenizer.decode(generate(reader, rng, Sampling(0.8)))


def report(experiment: Experiment) -> Iterator[str]:
    """Say all that is measured, and what the model writes."""
    found = experiment.measured()
    yield f"above the floor  {found.above:.3f} nats a token"
    yield f"distance         {found.distance:.0%} of the pairs right"
    yield f"comparison       {found.comparison:.0%}"
    yield "it writes"
    yield from (f"  {sentence}" for sentence in experiment.sentences(3))


def reports(folder: Path, steps: int, seeds: Sequence[int], unmasked: bool) -> Iterator[str]:
    """Say all about the experiment with one seed; with several, how far their losses are apart."""
    for seed in seeds:
        experiment = Experiment(folder, steps, seed, unmasked)
        if len(seeds) == 1:
            yield from report(experiment)
        else:
            above = experiment.measured().above
            yield f"above the floor  {above:.3f} nats a token with seed {seed}"


# ---------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `python -m llmhard.workbook.experiment`; returns the exit code."""
    parser = OneLineParser(
        prog="python -m llmhard.workbook.experiment",
        description="Train the GPT of a workbook for a few seconds and measure it.",
        epilog="example: python -m llmhard.workbook.experiment my-gpt",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="where model.py is")
    parser.add_argument("--steps", type=whole_number, default=STEPS, help="default: %(default)s")
    parser.add_argument(
        "--seed", type=whole_number, nargs="+", default=[42], help="one or several (default: 42)"
    )
    parser.add_argument(
        "--unmasked", action="store_true", help="let each token see those that come after it, too"
    )
    options = parser.parse_args(arguments)
    try:
        for line in reports(options.folder, options.steps, options.seed, options.unmasked):
            print(line, flush=True)
    except BrokenPipeError:  # who reads has seen enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ToDo as todo:
        print(f"{todo.name} in {todo.file} is not written yet", file=sys.stderr)
        return 1
    except Wrong as wrong:
        print("\n".join([*wrong.lines, *([wrong.hint] if wrong.hint else [])]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
