"""What the labs' modules compute and draw is what their pages say."""

import importlib
import pkgutil
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from docs_tools import blocks, labs, pages
from docs_tools.pages import autograd, prerequisites, tokenizer
from docs_tools.session import ROOT
from llmhard import Value


def names():
    return [module.name for module in pkgutil.iter_modules(pages.__path__)]


@pytest.mark.parametrize("name", names())
def test_a_module_belongs_to_a_lab_and_nothing_in_it_is_left_over(name):
    (lab,) = (lab for lab in labs.all_labs(ROOT) if lab[3:].replace("-", "_") == name)
    page = (ROOT / "docs" / f"{lab}.md").read_text()
    path = ROOT / "docs_tools" / "pages" / f"{name}.py"
    public = [n for n in vars(importlib.import_module(f"docs_tools.pages.{name}")) if n[0] != "_"]
    own = [n for n in public if f"def {n}(" in path.read_text()]
    assert own
    for function in own:
        inside = path.read_text().count(f"{function}(") > 1 or f"({function}," in path.read_text()
        assert f"lab.{function}" in page or inside, f"{path.name}: {function} is used nowhere"


def test_figures_are_drawn_and_described(written):
    _, figures = written
    for draw in (autograd.slope_figure, autograd.forward_figure, autograd.order_figure):
        draw()
    assert "slope 12, touches at x = 2" in figures["slope"][0]
    assert "data 8" in figures["computation-graph"][0]
    assert figures["order"][0].count("5") == 2
    assert all(len(alt) > 40 for _, alt in figures.values())


# ---------------------------------------------------------------- lab 02


def test_the_first_trap_is_bos_read_as_the_last_word():
    source = (ROOT / tokenizer.SOLUTION).read_text()
    names = {}
    exec(source.replace(*tokenizer.FIRST_TRAP), names)
    assert source.count(tokenizer.FIRST_TRAP[0]) == 1
    assert names["Tokenizer"](["cat", "sat", "the"]).decode([0, 1, 0]) == "the cat the"


def test_the_same_sentence_is_cut_in_three_ways(written):
    tokenizer.ways_to_cut_table()
    (_, characters, subwords, words) = written[0][0]
    assert characters[3].strip("`").replace(" ", "").replace("_", " ") == tokenizer.EXAMPLE
    assert subwords[3].strip("`").replace(" ", "") == tokenizer.EXAMPLE.replace(" ", "")
    assert words[3].strip("`") == tokenizer.EXAMPLE
    assert characters[1] < subwords[1] < words[1]
    assert float(characters[2]) > float(subwords[2]) > float(words[2])


def test_every_round_makes_a_piece_and_shortens_the_corpus():
    found = tokenizer.subwords()
    assert len(found.merges) == tokenizer.ROUNDS
    assert all(after < before for before, after in pairwise(found.counts))
    assert all("".join(parts) == word for word, parts in found.pieces.items())


def test_a_pair_is_merged_wherever_it_is():
    parts = list("aabab")
    tokenizer._merge(parts, ("a", "b"))
    assert parts == ["a", "ab", "ab"]


def test_tables_of_ids(written):
    for table in ("tiny_table", "neighbours_table", "predictions_table"):
        getattr(tokenizer, table)()
    tiny, _, predictions = written[0]
    assert tiny[1:] == [
        [word, i] for i, word in enumerate(["a", "cat", "dog", "ran", "sat", "the"], 1)
    ]
    assert predictions[-1] == ["BOS the cat sat", "BOS", 0]
    tokenizer.encoding_figure()
    labels, alt = written[1]["encoding"]
    assert "0, 6, 2, 5, 0" in alt
    assert [label for label in labels if label.isdigit()] == ["0", "6", "2", "5", "0"]


def test_what_a_part_of_the_corpus_knows():
    n = len(tokenizer.sentences())
    assert tokenizer.known_from(n) == (len(tokenizer.words()), 0, 0)
    some, able, others = tokenizer.known_from(300)
    assert 0 < some < len(tokenizer.words())
    assert 0 < able < others == n - 300


# ---------------------------------------------------------------- lab 03


def test_the_steps_of_the_backward_pass_end_with_the_gradients(written):
    values = autograd.product_and_sum()
    values["d"].backward()
    *_, (title, grads, used) = autograd.backward_frames()
    assert title == "c passes on its 1"
    assert used == {("c", "a"), ("c", "b")}
    assert {name: sum(map(float, parts.split("+"))) for name, parts in grads.items()} == {
        name: value.grad for name, value in values.items()
    }
    assert [set(known) for _, known, _ in autograd.backward_frames()] == [
        {"d"},
        {"d", "c", "a"},
        {"d", "c", "a", "b"},
    ]
    autograd.backward_figure()
    shown, _ = written[1]["backward-steps"]
    assert shown.count("grad ?") == 4
    assert "grad 1+3" in shown
    assert written[1]["backward-steps-3"][1] == (
        "c passes on 1 * 3 = 3 to a (now 4) and 1 * 2 = 2 to b."
    )


def test_a_value_gets_a_gradient_from_each_use(monkeypatch):
    said = []
    monkeypatch.setattr(blocks, "text", said.append)
    autograd.order_answer()
    assert "`11 * 1 = 11`" in said[0]


def test_nudging_to_both_sides_is_better_and_not_exact(written):
    autograd.nudges_table()
    (table,) = written[0]
    errors = [[abs(float(cell) - 12) for cell in row[1:]] for row in table[1:]]
    assert all(0 < both < one for one, both in errors)
    for (_, before), (_, after) in pairwise(errors):
        assert before / after == pytest.approx(100)


def test_rules_and_nudges_agree(written):
    autograd.local_gradients_table()
    (table,) = written[0]
    assert len(table) == 11
    assert all(row[3] == row[4] for row in table[1:])


def test_every_value_has_its_row(written):
    autograd.attributes_table()
    autograd.visits_table()
    kept, visits = written[0]
    assert kept[3:] == [["`c`", "6", "`a`, `b`", "3, 2"], ["`d`", "8", "`c`, `a`", "1, 1"]]
    assert visits[-1] == ["`d*`", "nothing", "`a b c d`"]


def test_the_losses_of_the_line_are_those_of_its_program():
    slope, height = Value(0.0), Value(0.0)
    for _ in range(30):
        loss = sum((slope * x + height - y) ** 2 for x, y in autograd.POINTS) / 4
        slope.grad = height.grad = 0.0
        loss.backward()
        slope.data -= 0.05 * slope.grad
        height.data -= 0.05 * height.grad
    final = sum((slope * x + height - y) ** 2 for x, y in autograd.POINTS) / 4
    assert autograd.loss_after(0.05) == pytest.approx(final.data)


def test_the_first_gradient_is_what_was_expected_minus_what_came():
    assert autograd.first_gradient([3, 1]) == pytest.approx((0.5, 0.75, -0.25))


def test_a_drawing_is_xml(monkeypatch):
    drawings = []
    monkeypatch.setattr(blocks, "steps", lambda _, all_, still, __: drawings.extend([*all_, still]))
    autograd.backward_figure()
    assert len(drawings) == 4
    assert all(ElementTree.fromstring(one.svg()).tag.endswith("svg") for one in drawings)


# ---------------------------------------------------------------- lab 01


def test_the_table_has_sentences_of_the_language_and_others(written, monkeypatch):
    prerequisites.pairs_table()
    assert len(written[0][0]) == 10
    wrong = ("pigs can fly", "birds can fly", "who can fly")
    monkeypatch.setattr(prerequisites, "PAIRS", [wrong])
    with pytest.raises(AssertionError, match="pigs"):
        prerequisites.pairs_table()


def test_the_grammar_can_make_the_sentence_that_is_derived(monkeypatch):
    lines = prerequisites.derived()
    assert lines[0] == "Apart"
    assert lines[-1] == "the girls under the trees dance"
    monkeypatch.setattr(prerequisites, "REPLACED", [("Apart", "the Kids MoveDo")])
    with pytest.raises(AssertionError, match="Apart"):
        prerequisites.derived()


def test_figures_of_the_first_lab(written):
    prerequisites.pipeline_figure()
    prerequisites.agreement_figure()
    labels, _ = written[1]["pipeline"]
    assert f"0 {prerequisites.id_of_the()} 157 80 {prerequisites.id_of_the()} 400" in labels
    assert written[1]["far-apart"][0].count("pond") == 2
    assert prerequisites.no_verb_fits_both()


def test_a_coin_costs_least_who_believes_its_grammar():
    assert prerequisites.coin(0.75) < min(prerequisites.coin(0.9), prerequisites.coin(0.6))
    assert prerequisites.coin(0.75) == pytest.approx(0.5623, abs=1e-4)


def test_repeated_sentences_are_counted_by_length():
    assert sum(prerequisites.repeated(n)[1] for n in range(2, 9)) == 1000
    assert sum(prerequisites.repeated(n)[0] for n in range(2, 9)) == prerequisites.repeated()[0]


def test_a_memory_of_one_word_writes_what_no_grammar_would():
    known = set(prerequisites.sentences())
    neighbours = {pair for s in known for pair in pairwise([".", *s.split(), "."])}
    longest = prerequisites.longest_parroted()
    assert set(pairwise([".", *longest.split(), "."])) <= neighbours
    assert longest not in known
