"""A reader's GPT in an experiment: it is the reader's code that runs, and what it says is true."""

import random
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest

from llmhard import grammar, layers, model, trainer
from llmhard.autograd import Matrix, Value
from llmhard.workbook import SOLUTIONS, experiment
from llmhard.workbook.answers import Wrong
from llmhard.workbook.book import Book
from llmhard.workbook.experiment import (
    Compiled,
    Losses,
    Text,
    compiled,
    main,
    measure,
    reports,
    train,
)

SLIPS = {
    "no root": (
        "[score / sqrt(len(query)) for score in linear(query, keys)]",
        "linear(query, keys)",
    ),
    "no positions": (
        'add(w["wte.weight"][token], w["wpe.weight"][len(cache)])',
        'w["wte.weight"][token]',
    ),
    "no attention": (
        "x = add(x, self.attention(layer, rmsnorm(x), cache))",
        "self.attention(layer, rmsnorm(x), cache)",
    ),
    "three heads": (
        "heads += attend(query[head], keys, values)",
        "heads += attend(query[head], keys, values) if start else [0.0] * head_dim",
    ),
}


@pytest.fixture(scope="module")
def text():
    return Text(1)


@pytest.fixture
def solved(tmp_path):
    folder = tmp_path / "mygpt"
    shutil.copytree(SOLUTIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def change(folder, old, new, file="model.py"):
    source = (folder / file).read_text(encoding="utf-8")
    assert source.count(old) == 1
    (folder / file).write_text(source.replace(old, new), encoding="utf-8")


def drawn(vocab_size, seed=3):
    config = model.Config(vocab_size)
    return config, model.GPT.initialize(config, random.Random(seed))


def test_the_losses_are_those_of_the_package(solved, text):
    config, ours = drawn(text.tokenizer.vocab_size)
    losses = Losses(Compiled(Book(solved), config, dict(ours.parameters)), text.longest)
    documents = text.documents[:5]
    expected = [trainer.sequence_loss(ours, document).data for document in documents]
    assert losses.of(documents) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("slip", SLIPS)
def test_the_losses_are_those_of_the_readers_own_code(solved, text, slip):
    change(solved, *SLIPS[slip])
    _, ours = drawn(text.tokenizer.vocab_size)
    book, document = Book(solved), text.documents[0]
    config = book.get("model", "Config")(text.tokenizer.vocab_size)
    values = {
        n: [[book.engine(p) for p in row] for row in m.data] for n, m in ours.parameters.items()
    }
    gpt, cache = book.get("model", "GPT")(config, values), book.get("model", "KVCache")(2)
    surprises = [
        -book.get("layers", "softmax")(gpt(token, cache))[target].log().data
        for token, target in pairwise(document)
    ]
    losses = Losses(Compiled(book, config, dict(ours.parameters)), text.longest)
    (found,) = losses.of([document])
    assert found == pytest.approx(sum(surprises) / len(surprises), rel=1e-9)
    right = trainer.sequence_loss(ours, document).data
    assert abs(found - right) > 1e-6


def test_the_readers_module_is_as_it_was_after_an_experiment(solved, text):
    book = Book(solved)
    before = dict(vars(book.module("model")))
    Losses(compiled(book, text.tokenizer.vocab_size, random.Random(1)), 4)
    assert vars(book.module("model")) == before


def test_a_model_that_sees_what_comes_next_is_below_the_floor_and_others_are_not(solved, text):
    above = {}
    for unmasked in (False, True):
        gpt = compiled(Book(solved), text.tokenizer.vocab_size, random.Random(1))
        losses = Losses(gpt, text.longest, unmasked)
        train(gpt, losses, text.documents, 300)
        above[unmasked] = experiment.measured(losses, text).above
    assert above[False] > 0.3
    assert above[True] < -0.5


def test_without_a_mask_a_later_word_changes_an_earlier_loss(solved, text):
    gpt = compiled(Book(solved), text.tokenizer.vocab_size, random.Random(1))
    same_start = [[0, 5, 9, 7, 8], [0, 5, 9, 7, 8, 30, 31]]
    masked, unmasked = Losses(gpt, 7), Losses(gpt, 7, unmasked=True)
    longer = {}
    for losses, kind in ((masked, "masked"), (unmasked, "unmasked")):
        longer[kind] = losses.of(same_start)
    own = trainer.sequence_loss(
        model.GPT(model.Config(gpt.config.vocab_size), gpt.parameters), same_start[0]
    )
    assert longer["masked"][0] == pytest.approx(own.data, rel=1e-12)
    assert longer["unmasked"][0] != pytest.approx(own.data, rel=1e-6)


def test_measure_is_the_loss_less_the_grammars_own(solved):
    _, ours = drawn(597)
    text = Text(42)
    documents = text.encoded(text.new)
    count = sum(len(document) - 1 for document in documents)
    loss = trainer.Recordings(ours).mean_loss(documents)
    floor = -sum(map(grammar.log_prob, text.new)) / count
    assert measure(solved, ours.parameters).above == pytest.approx(loss - floor, rel=1e-9)


def test_equal_numbers_prefer_no_sentence_of_a_pair(solved):
    zeros = {
        n: Matrix([[0.0] * c for _ in range(r)]) for n, (r, c) in model.Config(597).shapes().items()
    }
    assert measure(solved, zeros)[1:] == (0.0, 0.0)


def test_the_command_says_what_it_has_measured(solved, capsys):
    assert main([str(solved), "--steps", "30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("above the floor  ")
    assert 1 < float(lines[0].split()[3]) < 5
    assert lines[1].endswith("% of the pairs right")
    assert lines[3] == "it writes"
    assert len(lines) == 7


def test_the_same_seed_measures_the_same(solved):
    first = list(reports(solved, 20, [5], unmasked=False))
    assert list(reports(solved, 20, [5], unmasked=False)) == first
    assert list(reports(solved, 20, [6], unmasked=False)) != first


def test_several_seeds_say_how_far_the_losses_are_apart(solved, capsys):
    assert main([str(solved), "--steps", "20", "--seed", "5", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" with ")[2] for line in lines] == ["seed 5", "seed 6"]
    (alone, *_) = reports(solved, 20, [5], unmasked=False)
    assert lines[0].startswith(alone)


def test_a_reader_who_writes_it_in_another_way(solved, text):
    change(solved, "import linear, rmsnorm, softmax", "import *")
    change(solved, "[h.relu() for h in linear(x", "list(h.relu() for h in linear(x")
    change(solved, 'w[name + "up_proj.weight"])]', 'w[name + "up_proj.weight"]))')
    change(solved, "if token < 0:", "if not 0 <= token < self.config.vocab_size:")
    config, ours = drawn(text.tokenizer.vocab_size)
    losses = Losses(Compiled(Book(solved), config, dict(ours.parameters)), text.longest)
    expected = trainer.sequence_loss(ours, text.documents[0]).data
    assert losses.of(text.documents[:1]) == pytest.approx([expected], rel=1e-12)


LOOPS = """\
    d = len(query)
    scores = []
    for key in keys:
        scores.append(sum(query[i] * key[i] for i in range(d)) / d**0.5)
    out = [0] * d
    for weight, value in zip(softmax(scores), values):
        for i in range(d):
            out[i] = out[i] + weight * value[i]
    return out
"""


def test_a_reader_who_writes_loops(solved, text):
    source = (solved / "model.py").read_text(encoding="utf-8")
    start = source.index("    scores = [score")
    end = source.index("\n\nclass GPT")
    source = source[:start] + LOOPS + source[end:]
    source = re.sub(r"\badd\((.*)\)$", r"[a + b for a, b in zip(\1)]", source, flags=re.M)
    assert source.count("[a + b for") == 3
    (solved / "model.py").write_text(source, encoding="utf-8")
    config, ours = drawn(text.tokenizer.vocab_size)
    losses = Losses(Compiled(Book(solved), config, dict(ours.parameters)), text.longest)
    expected = trainer.sequence_loss(ours, text.documents[0]).data
    assert losses.of(text.documents[:1]) == pytest.approx([expected], rel=1e-9)


def test_a_pipe_that_is_closed_ends_it_without_a_word(solved):
    command = f"{sys.executable} -m llmhard.workbook.experiment {solved} --steps 5 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("above the floor")
    assert done.stderr == ""


def test_what_is_not_there_or_not_written_is_said(tmp_path, solved, capsys):
    assert main([str(tmp_path)]) == 1
    assert "no file model.py" in capsys.readouterr().err
    change(solved, "    weights = softmax(scores)\n", "    weights = softmax(scores, 3)\n")
    assert main([str(solved)]) == 1
    assert "attend" in capsys.readouterr().err
    change(
        solved, "    weights = softmax(scores, 3)\n", '    raise NotImplementedError("attend")\n'
    )
    assert main([str(solved)]) == 1
    assert "attend in model.py is not written yet" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_it(solved, text):
    gpt = compiled(Book(solved), text.tokenizer.vocab_size, random.Random(1))
    gpt.parameters["lm_head.weight"].data = [[float("inf")] * 32] * text.tokenizer.vocab_size
    with pytest.raises(Wrong, match="not a finite number"):
        train(gpt, Losses(gpt, text.longest), text.documents, 3)


def test_plain_numbers_among_values_are_joined():
    joined = experiment.joined([Value(1.0), 0.0, 2])
    assert joined.data == [1.0, 0.0, 2.0]
    assert layers.softmax(joined).data[1] < 0.1
