"""What the module of lab 07 computes, draws and makes sure of."""

import random
import struct
from types import SimpleNamespace

import pytest

from docs_tools import blocks
from docs_tools.pages import saving
from llmhard import Matrix, model_file, tensor_file
from llmhard.model import GPT, Config
from llmhard.tokenizer import Tokenizer

GAPS = "model: gap is 28.1 %.\nheads: gap is 33.3 %.\ndigits: gap is 30.9 %.\n"


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The reader's folder, and what the last command there has printed."""
    page = SimpleNamespace(last_output="", session=SimpleNamespace(folder=tmp_path))
    monkeypatch.setattr(blocks, "page", page)
    return page


def test_the_bits_are_those_of_the_number():
    bits = saving.double_bits()
    assert len(bits) == 64
    exponent, fraction = saving.exponent_and_fraction()
    assert (1 + fraction) * 2 ** (exponent - 1023) == 5
    assert struct.pack("<d", 5.0) == int(bits, 2).to_bytes(8, "little")


def test_figures_show_the_parts(monkeypatch):
    figures = {}
    monkeypatch.setattr(
        blocks, "figure", lambda name, svg, _: figures.update({name: blocks.labels(svg.svg())})
    )
    saving.format_figure()
    saving.double_figure()
    assert [label for label in figures["safetensors"] if label.isdecimal()] == ["0", "48"]
    assert "0.25" in figures["double"]
    assert "1025" in figures["double"]


@pytest.mark.usefixtures("page")
def test_one_bit_makes_the_four_negative(tmp_path):
    matrices = {"a": Matrix([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "b": Matrix([[-0.5]])}
    tensor_file.write(tmp_path / "tiny.safetensors", "note", "two matrices", matrices)
    place, before, after = saving.sign_of_the_four()
    content = bytearray((tmp_path / "tiny.safetensors").read_bytes())
    assert f"{content[place]:02x}" == before
    content[place] = int(after, 16)
    (tmp_path / "changed.safetensors").write_bytes(content)
    read = tensor_file.TensorFile(tmp_path / "changed.safetensors").matrices()
    assert [list(row) for row in read["a"].data] == [[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]]


@pytest.mark.usefixtures("page")
def test_the_sizes_add_up(tmp_path):
    tokenizer = Tokenizer.from_sentences(["his dogs", "red lion", "seven hats"])
    model = GPT.initialize(Config(tokenizer.vocab_size, 1, 4, 1, 4), random.Random(1))
    rows = model.parameters["wte.weight"]
    rows.data = [[float(i)] * 4 for i in range(tokenizer.vocab_size)]
    saved = model_file.SavedModel(model, tokenizer, ())
    model_file.save(tmp_path / "model.safetensors", saved)
    parameters, numbers, header, total = saving.sizes()
    assert parameters == model.config.n_parameters()
    assert total == numbers + header + 8 == (tmp_path / "model.safetensors").stat().st_size
    assert saving.half_the_size()[0] == numbers // 2
    assert saving.half_the_size()[2] == tokenizer.vocab_size - 1
    words = tokenizer.words
    assert saving.nearest(words[0]) == list(words[1:6])


def test_what_the_page_says_of_the_gaps_is_made_sure_of(page):
    page.last_output = GAPS
    saving.gaps_say_what_the_page_says()
    for old, new in (("33.3", "30.0"), ("30.9", "28.0"), ("33.3", "90.0")):
        page.last_output = GAPS.replace(old, new)
        with pytest.raises(AssertionError):
            saving.gaps_say_what_the_page_says()


def test_how_often_a_word_was_read():
    assert saving.times_read("the") > saving.times_read("lion") > 0
