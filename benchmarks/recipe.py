"""What every engine trains: the same initial parameters and tokens, in files for any language.

parameters.bin  float64, all matrices one after the other in the order of Config.shapes()
tokens.bin      int32: the number of sentences, then for each its length and its tokens
recipe.json     the model's sizes, the number of steps, the sentences per step, the learning rate
"""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from math import inf, nextafter
from pathlib import Path

from benchmarks import texts
from llmhard import corpus
from llmhard.model import GPT, Config
from llmhard.recipe import CLASSIC
from llmhard.tokenizer import Tokenizer

SEED = 42
BETA1, BETA2, EPS_ADAM, EPS_RMSNORM = 0.9, 0.999, 1e-8, 1e-5


@dataclass(frozen=True)
class Recipe:
    """A model's sizes, its initial parameters, the sentences, and how long to train.

    A step takes the next `batch_size` of the sentences, and minimizes the mean loss of all their
    tokens. No engine reaches the end of the sentences, beyond which each goes its own way.
    """

    config: Config
    parameters: bytes
    documents: list[list[int]]
    steps: int
    lr: float = CLASSIC.lr
    batch_size: int = 1

    @classmethod
    def of_the_corpus(cls, steps: int, batch_size: int = 1) -> Recipe:
        """Return what `llmhard train` does: the same shuffle, the same initial parameters."""
        sentences = corpus.read_sentences(corpus.default_path())
        tokenizer = Tokenizer.from_sentences(sentences)
        rng = random.Random(SEED)
        rng.shuffle(sentences)
        documents = [tokenizer.encode_document(sentence) for sentence in sentences]
        config = Config(tokenizer.vocab_size)
        documents = list(islice(cycle(documents), steps * batch_size))
        return cls(config, _initial(config, rng), documents, steps, batch_size=batch_size)

    @classmethod
    def of_names(cls, width: int, steps: int, batch_size: int) -> Recipe:
        """Return a model of microgpt's size except for the width, on words like first names."""
        config = Config(len(texts.LETTERS) + 1, n_layer=1, n_embd=width, n_head=4, block_size=16)
        words = texts.names(steps * batch_size, SEED)
        documents = [texts.document(word, texts.LETTERS) for word in words]
        parameters = _initial(config, random.Random(SEED))
        return cls(config, parameters, documents, steps, batch_size=batch_size)

    @classmethod
    def of_texts(cls, lengths: Sequence[int], steps: int) -> Recipe:
        """Return a model with a context of 256 characters, on texts of these lengths in turn."""
        config = Config(len(texts.CHARACTERS) + 1, block_size=256)
        rng = random.Random(SEED)
        # With a boundary before it but none after it, a text has as many positions as characters.
        documents = [
            texts.document(texts.text(rng, length), texts.CHARACTERS)[: length + 1]
            for length in islice(cycle(lengths), steps)
        ]
        return cls(config, _initial(config, rng), documents, steps)

    @classmethod
    def of_random_tokens(cls, config: Config, positions: int, steps: int) -> Recipe:
        """Return sentences of one length: `positions` tokens to predict."""
        rng = random.Random(SEED)
        documents = [
            [rng.randrange(config.vocab_size) for _ in range(positions + 1)] for _ in range(steps)
        ]
        return cls(config, _initial(config, rng), documents, steps)

    def nudged(self, rng: random.Random) -> Recipe:
        """Return the same recipe with the last bit of one random parameter changed."""
        numbers = array("d", self.parameters)
        i = rng.randrange(len(numbers))
        numbers[i] = nextafter(numbers[i], inf)
        return replace(self, parameters=numbers.tobytes())

    def write(self, folder: Path) -> None:
        (folder / "parameters.bin").write_bytes(self.parameters)
        tokens = array("i", [len(self.documents)])
        for document in self.documents:
            tokens.append(len(document))
            tokens.extend(document)
        (folder / "tokens.bin").write_bytes(tokens.tobytes())
        sizes = {name: getattr(self, name) for name in ("steps", "lr", "batch_size")}
        sizes["config"] = asdict(self.config)
        (folder / "recipe.json").write_text(json.dumps(sizes))

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        sizes = json.loads((folder / "recipe.json").read_text())
        tokens = array("i", (folder / "tokens.bin").read_bytes())
        documents, at = [], 1
        for _ in range(tokens[0]):
            documents.append(tokens[at + 1 : at + 1 + tokens[at]].tolist())
            at += 1 + tokens[at]
        config = Config(**sizes.pop("config"))
        parameters = (folder / "parameters.bin").read_bytes()
        return cls(config, parameters, documents, **sizes)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return self.lr * (1 - step / self.steps)

    def matrices(self) -> dict[str, tuple[tuple[int, int], array[float]]]:
        """Return the shape and numbers of each parameter matrix."""
        numbers = array("d", self.parameters)
        matrices, at = {}, 0
        for name, (rows, cols) in self.config.shapes().items():
            matrices[name] = (rows, cols), numbers[at : at + rows * cols]
            at += rows * cols
        return matrices


def _initial(config: Config, rng: random.Random) -> bytes:
    return b"".join(p.tobytes() for p in GPT.initialize(config, rng).parameters.values())
