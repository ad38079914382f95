"""What every engine trains: the same first parameters, the same tokens, in files for any language.

parameters.bin  float64, all matrices one after the other in the order of Config.shapes()
tokens.bin      int32: the number of sentences, then for each its length and its tokens
recipe.json     the sizes of the model, the number of steps and the learning rate
"""

from __future__ import annotations

import json
import random
from array import array
from dataclasses import asdict, dataclass, replace
from math import inf, nextafter
from pathlib import Path

from llmhard import corpus
from llmhard.model import GPT, Config
from llmhard.recipe import CLASSIC
from llmhard.tokenizer import Tokenizer

SEED = 42
BETA1, BETA2, EPS_ADAM, EPS_RMSNORM = 0.9, 0.999, 1e-8, 1e-5


@dataclass(frozen=True)
class Recipe:
    """A model's sizes, its first parameters, the sentences, and how long to train."""

    config: Config
    parameters: bytes
    documents: list[list[int]]
    steps: int
    lr: float = CLASSIC.lr

    @classmethod
    def of_the_corpus(cls, steps: int) -> Recipe:
        """What `llmhard train` does: the same shuffle, the same first parameters."""
        sentences = corpus.read_sentences(corpus.default_path())
        tokenizer = Tokenizer.from_sentences(sentences)
        rng = random.Random(SEED)
        rng.shuffle(sentences)
        documents = [tokenizer.encode_document(sentence) for sentence in sentences]
        config = Config(tokenizer.vocab_size)
        return cls(config, _initial(config, rng), documents[:steps], steps)

    @classmethod
    def of_random_tokens(cls, config: Config, positions: int, steps: int) -> Recipe:
        """Sentences of one length: `positions` tokens to predict."""
        rng = random.Random(SEED)
        documents = [
            [rng.randrange(config.vocab_size) for _ in range(positions + 1)] for _ in range(steps)
        ]
        return cls(config, _initial(config, rng), documents, steps)

    def nudged(self, rng: random.Random) -> Recipe:
        """The same with one parameter, drawn at random, changed in its last bit."""
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
        sizes = {"config": asdict(self.config), "steps": self.steps, "lr": self.lr}
        (folder / "recipe.json").write_text(json.dumps(sizes))

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        sizes = json.loads((folder / "recipe.json").read_text())
        tokens = array("i", (folder / "tokens.bin").read_bytes())
        documents, at = [], 1
        for _ in range(tokens[0]):
            documents.append(tokens[at + 1 : at + 1 + tokens[at]].tolist())
            at += 1 + tokens[at]
        config = Config(**sizes["config"])
        parameters = (folder / "parameters.bin").read_bytes()
        return cls(config, parameters, documents, sizes["steps"], sizes["lr"])

    def learning_rate(self, step: int) -> float:
        """Of a step, counted from 0."""
        return self.lr * (1 - step / self.steps)

    def matrices(self) -> dict[str, tuple[tuple[int, int], array[float]]]:
        """Shape and numbers of each parameter matrix."""
        numbers = array("d", self.parameters)
        matrices, at = {}, 0
        for name, (rows, cols) in self.config.shapes().items():
            matrices[name] = (rows, cols), numbers[at : at + rows * cols]
            at += rows * cols
        return matrices


def _initial(config: Config, rng: random.Random) -> bytes:
    return b"".join(p.tobytes() for p in GPT.initialize(config, rng).parameters.values())
