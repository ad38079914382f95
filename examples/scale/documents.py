"""The sentences in the order of `llmhard train`, and the model before its first step."""

import mmap
import random
from array import array
from itertools import count
from pathlib import Path

from llmhard.model import GPT, Config
from llmhard.model_file import SavedModel
from llmhard.preparation import prepare, read_text
from llmhard.tokenizer import TOKENIZERS
from llmhard.trainer import order


class Lines:
    """The sentences of a file, one a line, as lists of tokens; only their places are in memory."""

    def __init__(self, path, kind):
        with Path(path).open("rb") as file:
            self.text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.starts, words = array("q"), set()
        while line := self.text.readline():
            if line.strip():
                self.starts.append(self.text.tell() - len(line))
                words.update(kind.split(line.decode()))
        self.tokenizer = kind(sorted(words))

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        self.text.seek(self.starts[i])
        return self.tokenizer.encode_document(self.text.readline().decode())


def in_order(documents, seed):
    """The documents over and over: as they come, then each time in another order."""
    for epoch in count():
        yield from (documents[i] for i in order(len(documents), seed, epoch))


def begin(options, recipe):
    """The documents, and the model before its first step, with its tokenizer."""
    sizes = {"n_embd": options.width, "n_layer": options.layers, "n_head": options.heads}
    sizes, kind = sizes | {"block_size": options.context}, TOKENIZERS[options.tokenizer]
    if options.stream:
        documents, rng = Lines(options.text, kind), random.Random(options.seed)
        tokenizer = documents.tokenizer
    else:
        prepared = prepare(read_text(options.text), kind, recipe, options.seed, None, sizes)
        documents, rng = prepared.encoded.training, prepared.rng
        tokenizer = prepared.tokenizer
    gpt = GPT.initialize(Config(tokenizer.vocab_size, **sizes), rng)
    return documents, SavedModel(gpt, tokenizer, ())
