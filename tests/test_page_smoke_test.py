"""What lab 09 computes, and that its way to take a head away does what it says."""

import random
import re

import pytest

from docs_tools import blocks
from docs_tools.pages import smoke_test
from docs_tools.session import ROOT
from llmhard.autograd import Matrix, concat
from llmhard.layers import linear, softmax
from llmhard.model import GPT, Config, KVCache

REPORT = """nats a token      validation    s.e.   fresh    s.e.
sentences              3,000           5,000
gap                   0.1250  0.0037  0.0927  0.0027
gap, of the grammar's loss      5.78 %    0.17  4.48 %    0.13

10,000 samples        at 0.8  s.e.
distinct              85.3 %         90.8 %

minimal pairs  pairs    right  s.e.  a bad one
agreement        500  100.0 %   0.0  there are a ship on the pond
article          500   98.2 %   0.6  our dog barks at an kitten
"""


def test_the_numbers_of_the_report_are_read(monkeypatch):
    monkeypatch.setattr(smoke_test, "report", lambda: REPORT)
    assert smoke_test.row("sentences") == [3000, 5000]
    assert smoke_test.row("gap  ") == [0.125, 0.0037, 0.0927, 0.0027]
    assert smoke_test.row("gap, of the grammar's loss") == [5.78, 0.17, 4.48, 0.13]
    assert smoke_test.row("distinct") == [85.3, 90.8]
    assert smoke_test.right_pairs(REPORT) == {"agreement": 100.0, "article": 98.2}


def test_every_kind_of_pair_has_an_example_that_the_grammar_judges(monkeypatch):
    rows = []
    monkeypatch.setattr(blocks, "table", lambda _, lines: rows.extend(lines))
    smoke_test.kinds_of_pairs()  # it asserts that the good ones are accepted, the bad ones not
    assert len(rows) == 9


class WithoutHead(GPT):
    """A GPT in which one head mixes nothing."""

    gone = (0, 0)

    def attention(self, layer, x, cache):
        w, name, d = self.parameters, f"h.{layer}.attn.", self.config.head_dim
        q = linear(x, w[name + "q_proj.weight"])
        cache.keys[layer].append(linear(x, w[name + "k_proj.weight"]))
        cache.values[layer].append(linear(x, w[name + "v_proj.weight"]))
        keys, values = Matrix(cache.keys[layer]), Matrix(cache.values[layer])
        heads = []
        for head, start in enumerate(range(0, self.config.n_embd, d)):
            part = slice(start, start + d)
            mixed = softmax(keys[:, part] @ q[part] / d**0.5) @ values[:, part]
            heads.append(mixed * (0.0 if (layer, head) == self.gone else 1.0))
        return linear(concat(heads), w[name + "o_proj.weight"])


def last_logits(model):
    cache = KVCache(model.config.n_layer)
    for token in (0, 3, 5, 1):
        logits = model(token, cache)
    return logits.data


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (1, 2)])
def test_without_its_columns_a_head_mixes_nothing(place):
    page = (ROOT / "docs" / "09-smoke-test.md").read_text()
    (remove,) = re.findall(r"^def remove\(.*?(?=\n\n\n)", page, re.M | re.S)
    names = {}
    exec(remove, names)
    model = GPT.initialize(Config(7), random.Random(1))
    other = WithoutHead(model.config, dict(model.parameters))
    whole = last_logits(model)
    other.gone = place
    expected = last_logits(other)
    names["remove"](model, *place)
    assert last_logits(model) == pytest.approx(expected)
    assert last_logits(model) != pytest.approx(whole)
