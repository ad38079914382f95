"""The explorer's modules in a real browser: they compute what Python computes."""

import math
import random
import struct
import unicodedata
from base64 import b64decode
from itertools import pairwise
from pathlib import Path

import pytest
from browser import opened

from llmhard import grammar, model_file
from llmhard.autograd import Matrix, Vector
from llmhard.evaluation import Surprise
from llmhard.explorer import page as pages
from llmhard.explorer.data import contents, rules_of
from llmhard.layers import linear, rmsnorm, softmax
from llmhard.minimal_pairs import KINDS
from llmhard.model import GPT, Config, KVCache
from llmhard.recipe import Recipe
from llmhard.sampler import Sampling
from llmhard.tokenizer import CharTokenizer, Tokenizer
from llmhard.trainer import Trainer, sequence_loss

ENTRY = (Path(__file__).parent / "explorer.js").read_text(encoding="utf-8")


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


def page_of(saved, folder, **more):
    """The file of a page with the explorer's modules and explorer.js in place of its views."""
    sources = pages.modules(pages.FOLDER / "js") | {"test.js": ENTRY}
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
        cache = KVCache(model.config.n_layer)
        expected = []
        for token in document[:-1]:
            expected += model(token, cache).data + flat(flat(model.weights))
        assert close(doubles(js("llm.logitsAndAttentionWeights", document[:-1])), expected)


def test_the_lens_shows_what_python_would_say_after_each_layer(js, saved, documents):
    for document in documents:
        cache = KVCache(saved.model.config.n_layer)
        expected = flat(flat(lens(saved.model, token, cache) for token in document[:-1]))
        assert close(doubles(js("llm.lenses", document[:-1])), expected)


def test_the_gradients_of_all_weights_are_those_of_python(js, saved, documents):
    for document in documents:
        found = js("llm.gradients", document)
        loss, expected = gradients(saved.model, document)
        assert found["loss"] == pytest.approx(loss, rel=1e-12)
        assert len(expected) == saved.model.config.n_parameters()
        assert close(doubles(found["grads"]), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 6, 3, 4), (3, 15, 5, 7), (2, 16, 8, 5)])
def test_models_of_other_shapes_compute_the_same(browser, tmp_path, shape):
    rng = random.Random(repr(shape))
    tokenizer = Tokenizer(["a", "b", "c", "d"])
    model = GPT.initialize(Config(5, *shape), rng)
    for matrix in model.parameters.values():
        matrix.data = [[3 * x for x in row] for row in matrix.data]
    saved = model_file.SavedModel(model, tokenizer, ())
    lengths = {2, shape[-1] + 1}
    documents = [[rng.randrange(5) for _ in range(n)] for n in lengths]
    with opened(browser, page_of(saved, tmp_path)) as page:
        for document in documents:
            cache = KVCache(model.config.n_layer)
            expected = flat(model(token, cache).data for token in document[:-1])
            assert close(doubles(page.evaluate("llm.logits", document[:-1])), expected)
            found = page.evaluate("llm.gradients", document)
            loss, grads = gradients(model, document)
            assert found["loss"] == pytest.approx(loss, rel=1e-12)
            assert close(doubles(found["grads"]), grads)


# ---------------------------------------------------------------- every number of a graph


def test_every_number_of_a_sentence_is_what_its_children_make_it(js, saved):
    found = js("llm.everyNumber", saved.tokenizer.encode_document("seven ducks swim"))
    assert found["wrongData"] < 1e-12
    assert found["wrongGrad"] < 1e-12
    vocab, ops = saved.tokenizer.vocab_size, found["ops"]
    scores = 2 * 4 * (1 + 2 + 3 + 4)  # of two layers with four heads
    assert ops["exp"] == 4 * vocab + scores
    assert ops["dot"] == 4 * (vocab + 1 + 2 * (2 + 5 * 32 + 128 + 32)) + scores
    assert ops[""] > saved.model.config.n_parameters()
    assert found["edges"] > 4 * 64 * vocab


def test_gradients_are_slopes(js, saved):
    """Of the weight of each matrix that matters most, and of some others: by moving them."""
    found = js("llm.slopes", saved.tokenizer.encode_document("the dogs by the pond bark"))
    assert len(found) == 5 * len(saved.model.parameters)
    largest = max(abs(grad) for grad, _ in found)
    assert largest > 0.01
    for grad, slope in found:
        assert grad == pytest.approx(slope, rel=1e-5, abs=1e-7 * largest)


def test_a_formula_is_written_with_its_numbers(js):
    plain = str.maketrans({"\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "x"})
    assert [formula.translate(plain) for formula in js("llm.formulas()")] == [
        "(-0.5) + 3", "(-0.5) - 3", "(-0.5) x 3", "(-0.5) / 3", "(-0.5) ** 3", "exp (-0.5)",
        "log (-0.5)", "- (-0.5)", "max(0, (-0.5))", "2 + (-0.5)", "2 x 0.25 + (-0.5) x 3", "3",
    ]  # fmt: skip


# ---------------------------------------------------------------- what can be changed

CHANGED = """([tokens, {heads, mlps, weights, ...plain}]) => llm.logits(tokens, {
    ...llm.noChanges(), ...plain, heads: new Set(heads), mlps: new Set(mlps),
    weights: new Map(Object.entries(weights ?? {}))})"""


def scaled(matrix, factor=0.0, cols=slice(None)):
    """The numbers of a matrix, those of some columns times a factor."""
    chosen = set(range(matrix.shape[1])[cols])
    return Matrix(
        [[x * factor if j in chosen else x for j, x in enumerate(row)] for row in matrix.data]
    )


# What the page changes, and what the same change is in the parameters.
CHANGES = {
    "a head": (
        {"heads": ["1.2"]},
        {"h.1.attn.o_proj.weight": {"cols": slice(16, 24)}},
    ),
    "two heads and an MLP": (
        {"heads": ["0.0", "1.3"], "mlps": [0]},
        {
            "h.0.attn.o_proj.weight": {"cols": slice(0, 8)},
            "h.1.attn.o_proj.weight": {"cols": slice(24, 32)},
            "h.0.mlp.down_proj.weight": {},
        },
    ),
    "positions": ({"positions": True}, {"wpe.weight": {}}),
    "attention temperature": (
        {"attentionTemperature": 2.5},
        {f"h.{layer}.attn.q_proj.weight": {"factor": 1 / 2.5} for layer in (0, 1)},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_what_it_would_be_in_the_parameters(js, saved, documents, change):
    asked, done = CHANGES[change]
    parameters = dict(saved.model.parameters)
    parameters |= {name: scaled(parameters[name], **how) for name, how in done.items()}
    model = GPT(saved.model.config, parameters)
    for document in documents[:5]:
        cache = KVCache(model.config.n_layer)
        expected = flat(model(token, cache).data for token in document[:-1])
        assert close(doubles(js(CHANGED, [document[:-1], asked])), expected)
        assert not close(doubles(js(CHANGED, [document[:-1], {}])), expected)


def test_an_edited_weight_counts_and_the_model_keeps_its_own(js, saved, documents):
    weights = {"h.0.attn.v_proj.weight[3][5]": 1.5, "lm_head.weight[7][31]": -2.0}
    parameters = dict(saved.model.parameters)
    for place, number in weights.items():
        name, row, col = place.replace("]", "").split("[")
        rows = parameters[name].data
        rows[int(row)][int(col)] = number
        parameters[name] = Matrix(rows)
    model, tokens = GPT(saved.model.config, parameters), documents[0][:-1]
    cache, own = KVCache(2), KVCache(2)
    assert close(
        doubles(js(CHANGED, [tokens, {"weights": weights}])),
        flat(model(token, cache).data for token in tokens),
    )
    expected = flat(saved.model(token, own).data for token in tokens)
    assert close(doubles(js(CHANGED, [tokens, {}])), expected)


def test_a_knocked_out_head_mixes_nothing(js):
    found = js(
        """() => {
            const changes = {...llm.noChanges(), heads: new Set(["0.1"])};
            const {trace} = llm.learned([0, 1, 2, 3], changes);
            const {mix, weights} = trace.positions[2].layers[0].heads[1];
            return {mix: [...mix.data], grad: [...weights.grad]};
        }"""
    )
    assert found == {"mix": [0] * 8, "grad": [0] * 3}


def test_it_reads_as_many_tokens_as_the_context_has_room_for(js):
    read = "[0, 1, 16, 17, 40].map((n) => llm.read(llm.model, Array(n).fill(5)).positions.length)"
    assert js(read) == [0, 1, 16, 16, 16]


def test_the_loss_is_that_of_the_positions_with_a_target(js, saved):
    both, first, last = js(
        """(tokens) => {
            const trace = llm.read(llm.model, tokens);
            return [[3, null, 5, null], [3], [null, null, 5]].map((targets) =>
                llm.lossOf(trace, targets).data[0]);
        }""",
        [0, *saved.tokenizer.encode("the cat sleeps")],
    )
    assert both == pytest.approx((first + last) / 2, rel=1e-15)


def test_the_path_that_mattered_leads_from_the_loss_to_an_embedding(js, saved):
    steps = js("llm.pathOf", saved.tokenizer.encode_document("the dogs by the pond bark"))
    assert steps[0]["measure"] == steps[0]["data"] > 0
    assert steps[-1]["name"] in ("wte.weight", "wpe.weight")
    assert [step["op"] for step in steps].count("parameter") == 1
    for above, below in pairwise(steps):
        assert abs(below["measure"]) == pytest.approx(above["mostOfChildren"], rel=1e-8)
        assert below["measure"] == pytest.approx(below["flow"] * below["data"], rel=1e-12)


def test_the_weights_that_mattered_are_those_with_the_largest_gradient_times_value(js, saved):
    document = saved.tokenizer.encode_document("she reads a book")
    _, grads = gradients(saved.model, document)
    numbers = flat(flat(matrix.data) for matrix in saved.model.parameters.values())
    expected = sorted((abs(a * b) for a, b in zip(grads, numbers, strict=True)), reverse=True)
    found = js(
        "(document) => llm.weightsThatMattered(llm.learned(document).trace.parameters, 30)",
        document,
    )
    assert close([abs(weight["measure"]) for weight in found], expected[:30])
    for weight in found:
        matrix = saved.model.parameters[weight["name"]]
        assert weight["data"] == matrix[weight["row"]][weight["col"]].data


# ---------------------------------------------------------------- the language


def beginnings(sentences):
    """All beginnings of all sentences, each once, as lists of words; the whole sentences, too."""
    all_words = [sentence.split() for sentence in sentences]
    return list(dict.fromkeys(tuple(ws[:n]) for ws in all_words for n in range(len(ws) + 1)))


NEXT_WORDS = "(all) => all.map((words) => [...llm.grammar.nextWords(words)])"


@pytest.mark.parametrize("language", [grammar.SENTENCES, grammar.QUESTION_SENTENCES])
def test_the_grammar_is_exact(browser, saved, tmp_path, language):
    rng = random.Random(3)
    asked = beginnings(language.sample(rng) for _ in range(200))
    assert len(asked) > 400
    with opened(browser, page_of(saved, tmp_path, grammar=rules_of(language))) as page:
        found = page.evaluate(NEXT_WORDS, asked)
    for words, pairs in zip(asked, found, strict=True):
        expected = language.next_words(" ".join(words))
        assert dict(pairs) == pytest.approx(expected, rel=1e-12)
        assert len(pairs) == len(expected)


@pytest.mark.parametrize(
    "sentence",
    [
        "mom reads a big book", "mom reads big a book", "seven ducks swims", "the", "",
        "the dogs by", ".", "mom .", "mom . reads", "xyzzy", "mom xyzzy reads", "Sentence",
        "Who[her] reads", "the Duck", "constructor", "__proto__ swims", "toString",
        "the cat sleeps the cat sleeps",
    ],
)  # fmt: skip
def test_it_knows_where_a_sentence_leaves_the_language(js, sentence):
    words = sentence.split()
    found = js(
        """(words) => {
            const left = llm.grammar.whereItLeaves(words);
            return left && {...left, allowed: [...left.allowed]};
        }""",
        words,
    )
    expected = grammar.SENTENCES.where_it_leaves(sentence)
    if expected is None:
        assert found is None
    else:
        assert (found["position"], found["word"]) == (expected.position, expected.word)
        assert dict(found["allowed"]) == pytest.approx(expected.allowed, rel=1e-12)


DERIVATIONS = "(all) => all.map((words) => llm.grammar.derivation(words))"


def log_prob_of(tree):
    """The log-probability of a derivation by the rules that it uses; of what is open, 0."""
    if not tree["children"]:
        return 0.0
    alternatives = grammar.SENTENCES.rules[tree["item"]]
    items = tuple(child["item"] for child in tree["children"])
    (weight,) = [a.weight for a in alternatives if a.items == items]
    total = sum(a.weight for a in alternatives)
    return math.log(weight / total) + sum(map(log_prob_of, tree["children"]))


def leaves(tree):
    if tree["children"]:
        return [leaf for child in tree["children"] for leaf in leaves(child)]
    return [tree]


def likeliest(item, words):
    """The log-probability of the likeliest derivation, found by trying all."""

    def ends(items, words):
        if not items:
            yield 0.0, words
        elif items[0].islower():
            if words[:1] == [items[0]]:
                yield from ends(items[1:], words[1:])
        else:
            alternatives = grammar.SENTENCES.rules[items[0]]
            total = sum(a.weight for a in alternatives)
            for weight, new in alternatives:
                for score, left in ends(list(new), words):
                    for more, rest in ends(items[1:], left):
                        yield math.log(weight / total) + score + more, rest

    return max(score for score, left in ends([item], words) if not left)


def test_a_derivation_uses_the_rules_and_is_the_likeliest(js):
    sentences = [sentence.split() for sentence in grammar.corpus(60, seed=17)]
    trees = js(DERIVATIONS, sentences)
    for words, tree in zip(sentences, trees, strict=True):
        assert [leaf["item"] for leaf in leaves(tree)] == words
        assert not any(leaf["open"] for leaf in leaves(tree))
        assert [(leaf["from"], leaf["to"]) for leaf in leaves(tree)] == [
            (n, n + 1) for n in range(len(words))
        ]
        assert log_prob_of(tree) <= grammar.log_prob(" ".join(words)) + 1e-9
    for words, tree in list(zip(sentences, trees, strict=True))[:8]:
        assert log_prob_of(tree) == pytest.approx(likeliest("Sentence", words), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("the dogs by the pond", 5), ("mom reads a swim", 3), ("mom reads big a book", 3), ("", 0),
        ("xyzzy", 0), ("the kids saw the", 4),
    ],
)  # fmt: skip
def test_a_beginning_is_derived_as_far_as_it_goes(js, text, read):
    (tree,) = js(DERIVATIONS, [text.split()])
    done = [leaf for leaf in leaves(tree) if not leaf["open"]]
    due = [leaf for leaf in leaves(tree) if leaf["open"]]
    assert [leaf["item"] for leaf in done] == text.split()[:read]
    assert due
    assert all(leaf["from"] == leaf["to"] == read for leaf in due)
    assert log_prob_of(tree) <= grammar.prefix_log_prob(" ".join(text.split()[:read])) + 1e-9


def test_whatever_follows_the_right_beginning_is_derived(js):
    rng = random.Random(23)
    texts = [sentence.split() for sentence in grammar.corpus(60, seed=29)]
    texts += [[*words, rng.choice(grammar.WORDS)] for words in texts]  # one word too many
    texts += [rng.sample(words, len(words)) for words in texts]
    for words, tree in zip(texts, js(DERIVATIONS, texts), strict=True):
        left = grammar.SENTENCES.where_it_leaves(" ".join(words))
        right = words if left is None else words[: left.position]
        assert [leaf["item"] for leaf in leaves(tree) if not leaf["open"]] == right
        assert log_prob_of(tree) <= grammar.prefix_log_prob(" ".join(right)) + 1e-9


# ---------------------------------------------------------------- tokens

ALPHABET = (
    "abcxyzABC\u00c9\u00e9\u00df\u1e9e\u03a3\u0130 0123456789"
    "''-.,:;!?\"()[]{}\u00ab\u00bb\u201c\u201d"
    "\u2018\u2019\u2014\u2013\u2026\u2010\u2212\u00b4`^~+=<>&/\\|@#$%\U0001f600\U0001f44d\U0001f3fd"
    "\U0001f469\u200d\U0001f469\u0301\u0308\u200b\ufeff\u00a0\u2028\t\n\x1c\x85\u0964\u060c\u0939"
    "\u093f\u4e2d\u2167\u00bd\u00b2"
)


def texts():
    """Random ones, and every tenth character of Unicode between two letters."""
    rng = random.Random(5)
    for _ in range(1500):
        yield "".join(rng.choice(ALPHABET) for _ in range(rng.randrange(14)))
    for code in range(0x20, 0x1FFFF, 10):
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co"):
            yield f"a{chr(code)}b"


@pytest.mark.parametrize(("kind", "python"), [("words", Tokenizer), ("characters", CharTokenizer)])
def test_texts_are_taken_apart_as_in_python(js, kind, python):
    asked = list(texts())
    found = js(
        """([kind, texts]) => {
            const tokenizer = new llm.Tokenizer({kind, tokens: ["BOS"]});
            return texts.map((text) => tokenizer.split(text));
        }""",
        [kind, asked],
    )
    assert found == [python.split(text) for text in asked]


def test_words_are_put_together_as_in_python(js):
    rng = random.Random(9)
    words = [
        "a",
        "b",
        "'",
        '"',
        "(",
        ")",
        "\u00ab",
        "\u00bb",
        ".",
        ",",
        "\u2026",
        "\u00bf",
        "-",
        "%",
    ]
    tokenizer = Tokenizer(words)
    asked = [[rng.randrange(len(words) + 1) for _ in range(rng.randrange(9))] for _ in range(800)]
    found = js(
        """([tokens, all]) => {
            const tokenizer = new llm.Tokenizer({kind: "words", tokens});
            return all.map((ids) => tokenizer.decode(ids));
        }""",
        [["BOS", *words], asked],
    )
    assert found == [tokenizer.decode(ids) for ids in asked]


def misspelt(word, rng):
    letters = list(word)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(letters) + 1)
        letters[place : place + rng.randrange(2)] = rng.choice(["", "e", "s", "rt"])
    return "".join(letters)


def test_near_words_are_those_of_python(js, saved):
    rng = random.Random(6)
    words = [misspelt(rng.choice(grammar.WORDS), rng) for _ in range(600)]
    found = js("(words) => words.map((word) => llm.tokenizer.near(word))", words)
    assert found == [saved.tokenizer._near(word) for word in words]
    assert sum(map(bool, found)) > 400


def test_near_characters_are_those_of_python(js):
    tokenizer = CharTokenizer(["a", "A", "\u00e1", "b", "'", "\u2019", "s", "\u03c3", "\u03c2"])
    asked = ["\u00c0", "a", "B", "\u2018", "\u00df", "\u03a3", "z", "\U0001f600"]
    found = js(
        """([tokens, asked]) => {
            const tokenizer = new llm.Tokenizer({kind: "characters", tokens});
            return asked.map((character) => tokenizer.near(character));
        }""",
        [["BOS", *tokenizer.words], asked],
    )
    assert found == [tokenizer._near(character) for character in asked]


def test_an_unknown_word_ends_what_can_be_read(js, saved):
    found = js("(text) => llm.tokenizer.encode(text)", "Seven duks swim on a constructor")
    assert found["words"] == ["seven", "duks", "swim", "on", "a", "constructor"]
    assert found["ids"] == saved.tokenizer.encode("seven")
    assert [(u["index"], u["word"]) for u in found["unknown"]] == [(1, "duks"), (5, "constructor")]
    assert found["unknown"][0]["near"] == saved.tokenizer._near("duks") != []
    assert js("llm.tokenizer.encode('')") == {"ids": [], "words": [], "unknown": []}
    assert js(
        "(ids) => llm.tokenizer.decode(ids)", [0, *saved.tokenizer.encode("the cat sleeps"), 0]
    ) == ("the cat sleeps")


# ---------------------------------------------------------------- choosing

SETTINGS = [
    (temperature, top_k, top_p)
    for temperature in (0, 1e-5, 0.5, 0.8, 1, 3.5)
    for top_k in (0, 1, 3, 1000)
    for top_p in (1, 0.9, 0.5, 1e-9)
]
CHOOSE = """([logits, temperature, topK, topP]) => {
    const {p, cutBy} = llm.probabilities(logits, {temperature, topK, topP});
    return {p: [...p], cutBy};
}"""


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SETTINGS)
def test_settings_cut_what_they_cut_in_python(js, temperature, top_k, top_p):
    logits = [1.5, -2.0, 0.25, 0.25, 7.0, 6.5, -30.0, 0.25, 3.0]
    found = js(CHOOSE, [logits, temperature, top_k, top_p])
    expected = Sampling(temperature, top_k, top_p).probabilities(Vector(logits))
    assert found["p"] == pytest.approx(expected, rel=1e-12, abs=1e-300)
    whole = Sampling(temperature).probabilities(Vector(logits))
    by_top_k = Sampling(temperature, top_k).probabilities(Vector(logits))
    for cut, p, kept, before in zip(found["cutBy"], expected, by_top_k, whole, strict=True):
        if p > 0:
            assert cut is None
        elif kept > 0:
            assert cut == "top-p"
        elif before > 0:
            assert cut == "top-k"


def test_draws_have_their_probabilities(js):
    p = [0.0, 0.5, 0.0, 0.3, 0.2, 0.0]
    n = 1000
    assert js(
        """([p, n]) => {
            const counts = p.map(() => 0);
            for (let i = 0; i < n; i++) counts[llm.choose(p, () => (i + 0.5) / n)] += 1;
            return counts;
        }""",
        [p, n],
    ) == [round(n * x) for x in p]
    assert js("(p) => [0, 1 - 2 ** -53].map((r) => llm.choose(p, () => r))", p) == [1, 4]


def test_the_divergence_is_the_truth_s_extra_cost(js):
    truth, model = [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]
    assert js("([t, m]) => llm.kl(t, m)", [truth, model]) == pytest.approx(math.log(2))
    assert js("([t, m]) => llm.kl(t, m)", [truth, truth]) == 0
    assert js("([t, m]) => llm.kl(t, m)", [[1.0, 0.0], [0.0, 1.0]]) == math.inf


def test_numbers_are_written_for_people(js):
    numbers = [0, 1, 0.012345678, -1.23456, 123456.7, 1.5e-9, -4e12, 1e-4]
    plain = str.maketrans({"\N{MINUS SIGN}": "-"})
    written = [
        text.translate(plain) for text in js("(all) => all.map((x) => llm.format(x))", numbers)
    ]
    assert written == [
        "0", "1", "0.01235", "-1.235", "123500", "1.500e-9", "-4.000e12", "0.0001",
    ]  # fmt: skip
    assert js("[NaN, Infinity, -Infinity].map((x) => llm.format(x))") == [
        "not a number", "\N{INFINITY}", "\N{MINUS SIGN}\N{INFINITY}",
    ]  # fmt: skip
    assert js("[0, 1, 0.123, 0.01234, 0.0001, 1e-9].map((x) => llm.percent(x))") == [
        "0.0 %", "100.0 %", "12.3 %", "1.23 %", "0.01 %", "< 0.01 %",
    ]  # fmt: skip


# ---------------------------------------------------------------- minimal pairs


def test_pairs_are_judged_as_in_python(js, saved):
    surprise = Surprise(saved)
    pairs = contents(saved)["pairs"]
    assert {pair["kind"] for pair in pairs} == set(KINDS)
    expected = [surprise.log_prob(p["good"]) > surprise.log_prob(p["bad"]) for p in pairs]
    judge = "llm.data.pairs.map((pair) => llm.prefersGood(llm.model, llm.tokenizer, pair))"
    assert js(judge) == expected
    assert set(expected) == {True, False}


def test_changes_count_for_pairs(js):
    shares = js(
        """[{}, {heads: new Set(["0.0", "0.1", "0.2", "0.3", "1.0", "1.1", "1.2", "1.3"])}].map(
            (changes) => llm.data.pairs.filter((pair) => llm.prefersGood(llm.model, llm.tokenizer,
                pair, {...llm.noChanges(), ...changes})).length)"""
    )
    assert shares[0] != shares[1]


# ---------------------------------------------------------------- the map


def test_every_box_of_the_map_leads_to_a_run(js):
    found = js(
        """() => {
            const [at] = llm.read(llm.model, [0]).positions;
            return Object.values(llm.data.map).flatMap(({levels}) =>
                Object.values(levels).flatMap(({boxes}) => boxes.map(({path}) => {
                    const run = llm.runAt(at, path.replace("{layer}", 1).replace("{head}", 3));
                    return [path, run.op, run.data.length];
                })));
        }"""
    )
    assert len(found) > 40
    assert all(op and length for _, op, length in found)
