"""The explorer's modules in a real browser: they compute what Python computes."""

import random
import struct
from base64 import b64decode

import pytest
from browser import opened

from llmhard import grammar, model_file
from llmhard.explorer import page as pages
from llmhard.explorer.data import contents
from llmhard.layers import linear, rmsnorm, softmax
from llmhard.model import GPT, Config, KVCache
from llmhard.recipe import Recipe
from llmhard.tokenizer import Tokenizer
from llmhard.trainer import Trainer, sequence_loss

ENTRY = (
    """
import { number } from "./graph.js";
import { lossOf, modelFrom, noChanges, read } from "./gpt.js";
import { Grammar } from "./grammar.js";
import { Tokenizer, joinWords, splitWords } from "./tokenizer.js";
import { choose, kl, probabilities } from "./sampling.js";
import { decodeDoubles, format, percent } from "./numbers.js";

const data = JSON.parse(document.getElementById("data").textContent);
const model = modelFrom(data);
const tokenizer = new Tokenizer(data.tokenizer);
const grammar = data.grammar && new Grammar(data.grammar);

function base64(numbers) {
  const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
"""
    + """
globalThis.llm = { data, model, tokenizer, grammar, number, lossOf, noChanges, read, Tokenizer,
  joinWords, splitWords, choose, kl, probabilities, decodeDoubles, format, percent, base64 };
"""
)


def doubles(base64):
    content = b64decode(base64)
    return struct.unpack(f"<{len(content) // 8}d", content)


@pytest.fixture(scope="module")
def saved():
    """A model of the default shape that has learned something in a second."""
    tokenizer = Tokenizer(grammar.WORDS)
    model = GPT.initialize(Config(tokenizer.vocab_size), random.Random(7))
    documents = [tokenizer.encode_document(s) for s in grammar.corpus(600, seed=7)]
    Trainer(model, documents, Recipe(steps=600), seed=7).run()
    return model_file.SavedModel(model, tokenizer, ())


def page_of(saved, folder, entry=ENTRY, **more):
    """The file of a page with our modules and a script of the tests' own."""
    sources = pages.modules(pages.FOLDER / "js") | {"test.js": entry}
    script = pages.script(sources, "test.js")
    path = folder / "page.html"
    path.write_text(pages.assemble(script, contents(saved) | more), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def js(browser, saved, tmp_path_factory):
    """Evaluates JavaScript in a page about `saved`, with everything in `llm`."""
    with opened(browser, page_of(saved, tmp_path_factory.mktemp("page"))) as page:
        yield page.evaluate


# ---------------------------------------------------------------- the model


class Watched(GPT):
    """A GPT that keeps the attention weights of its last token: [layer][head]."""

    def attention(self, layer, x, cache):
        mixed = super().attention(layer, x, cache)
        q = linear(x, self.parameters[f"h.{layer}.attn.q_proj.weight"])
        d = self.config.head_dim
        if layer == 0:
            self.weights = []
        self.weights.append([])
        for start in range(0, self.config.n_embd, d):
            dots = [key[start : start + d] @ q[start : start + d] for key in cache.keys[layer]]
            self.weights[-1].append([w.data for w in softmax([dot / d**0.5 for dot in dots])])
        return mixed


def lens(model, token, cache):
    """The probabilities after the embedding and after each layer."""
    w = model.parameters
    x = rmsnorm(w["wte.weight"][token] + w["wpe.weight"][len(cache)])
    yield softmax(linear(x, w["lm_head.weight"])).data
    for layer in range(model.config.n_layer):
        x = x + model.attention(layer, rmsnorm(x), cache)
        x = x + model.mlp(layer, rmsnorm(x))
        yield softmax(linear(x, w["lm_head.weight"])).data


def flat(rows):
    return [number for row in rows for number in row]


def gradients(model, document):
    """The loss of a document, and its gradient with respect to every weight, in order."""
    for matrix in model.parameters.values():
        matrix.grad = [[0.0] * matrix.shape[1]] * matrix.shape[0]
    loss = sequence_loss(model, document)
    loss.backward()
    return loss.data, flat(flat(matrix.grad) for matrix in model.parameters.values())


def close(numbers, expected, rel=1e-9):
    """Whether all numbers are equal to `rel`, those near zero to a trillionth of the largest."""
    assert len(numbers) == len(expected)
    least = 1e-12 * max(map(abs, expected))
    return all(
        abs(a - b) <= max(rel * abs(b), least) for a, b in zip(numbers, expected, strict=True)
    )


@pytest.fixture(scope="module")
def documents(saved):
    sentences = grammar.corpus(50, seed=11)
    return [saved.tokenizer.encode_document(sentence) for sentence in sentences]


def test_logits_and_attention_weights_are_those_of_python(js, saved, documents):
    model = Watched(saved.model.config, dict(saved.model.parameters))
    for document in documents:
        found = js(
            """(tokens) => llm.base64(llm.read(llm.model, tokens).positions.flatMap(
                ({logits, layers}) => [...logits.data, ...layers.flatMap(({heads}) =>
                    heads.flatMap(({weights}) => [...weights.data]))]))""",
            document[:-1],
        )
        cache = KVCache(model.config.n_layer)
        expected = []
        for token in document[:-1]:
            expected += model(token, cache).data + flat(flat(model.weights))
        assert close(doubles(found), expected)


def test_the_lens_shows_what_python_would_say_after_each_layer(js, saved, documents):
    for document in documents:
        found = js(
            """(tokens) => llm.base64(llm.read(llm.model, tokens).positions.flatMap(({lens}) =>
                [0, 1, 2].flatMap((layer) => [...lens(layer)])))""",
            document[:-1],
        )
        cache = KVCache(saved.model.config.n_layer)
        assert close(doubles(found), flat(flat(lens(saved.model, t, cache) for t in document[:-1])))


GRADIENTS = """(tokens) => {
    const trace = llm.read(llm.model, tokens);
    const loss = llm.lossOf(trace, tokens.slice(1));
    trace.graph.backward(loss);
    const grads = [...trace.parameters.values()].flatMap(({grad}) => [...grad]);
    return {loss: loss.data[0], grads: llm.base64(grads)};
}"""


def test_the_gradients_of_all_weights_are_those_of_python(js, saved, documents):
    for document in documents:
        found = js(GRADIENTS, document)
        loss, expected = gradients(saved.model, document)
        assert found["loss"] == pytest.approx(loss, rel=1e-12)
        assert len(expected) == saved.model.config.n_parameters()
        assert close(doubles(found["grads"]), expected)
