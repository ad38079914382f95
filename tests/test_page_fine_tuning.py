"""What lab 10 computes."""

import types
from math import log

import pytest

from docs_tools import blocks
from docs_tools.pages import fine_tuning
from llmhard import corpus


def test_the_losses_are_read_from_what_the_script_prints(monkeypatch):
    shown = (
        "      sentences questions\nthe grammar      2.08      1.73\na.safetensors  2.18  6.79\n"
    )
    monkeypatch.setattr(blocks, "page", types.SimpleNamespace(last_output=shown))
    assert fine_tuning.losses() == {"the grammar": (2.08, 1.73), "a.safetensors": (2.18, 6.79)}


def test_what_a_mixture_costs_is_the_surprise_at_a_sentence_of_the_old_kind():
    assert fine_tuning.price(0.5, 1) == pytest.approx(log(2))
    assert fine_tuning.price(1, 6.6) == 0
    assert fine_tuning.price(0.25, 4) == pytest.approx(2 * fine_tuning.price(0.5, 4))


def test_a_tenth_of_the_questions_is_held_out():
    asked = corpus.read_sentences(corpus.questions_path())
    assert fine_tuning.questions() == len(asked) - len(asked) // 10


def test_questions_that_end_with_a_place_are_told_from_others():
    yes = ["are the dogs by the pond", "is there a cat under the tree"]
    no = ["can bugs crawl", "is the frog big", "do dogs see the pond", "do they bark at the cat"]
    assert all(map(fine_tuning.ends_with_a_place, yes))
    assert not any(map(fine_tuning.ends_with_a_place, [*no, "is it"]))
