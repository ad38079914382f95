"""What is measured of a film: it is what evaluation measures, snapshot by snapshot."""

import random
from itertools import pairwise

import pytest

from llmhard import corpus, grammar
from llmhard.evaluation import evaluate
from llmhard.film import Camera, Film, film_steps
from llmhard.film_measures import PAIRS, Measured, can_be_judged, learned_at, measure
from llmhard.minimal_pairs import KINDS
from llmhard.model import GPT, Config
from llmhard.model_file import SavedModel
from llmhard.recipe import Recipe
from llmhard.tokenizer import CharTokenizer, Tokenizer
from llmhard.trainer import Trainer
from llmhard.training_record import DataRecord, TrainingRecord


def film_of(tokenizer, sentences, recipe, n, held_out=0, **sizes):
    """The film of a training run."""
    model = GPT.initialize(Config(tokenizer.vocab_size, **sizes), random.Random(5))
    documents = [tokenizer.encode_document(sentence) for sentence in sentences]
    trainer = Trainer(model, documents[held_out:], recipe, 5, documents[:held_out])
    camera = Camera(model.config, tokenizer, recipe.steps, n)
    camera.take(trainer)
    trainer.run(camera.take)
    data = DataRecord("text", corpus.fingerprint(sentences), len(sentences), held_out)
    curve = tuple(trainer.curve)
    record = TrainingRecord(recipe, 5, trainer.final_loss(), data, curve, "0.0.test")
    return camera.film(trainer, SavedModel(model, tokenizer, (record,)))


@pytest.fixture(scope="module")
def film():
    """One in which agreement is learned, in a few seconds."""
    sentences = grammar.corpus(8000, seed=5)
    return film_of(Tokenizer(grammar.WORDS), sentences, Recipe(steps=2400, batch_size=4), 8)


@pytest.fixture(scope="module")
def measured(film):
    return measure(film)


def test_it_learns(measured):
    assert [each.step for each in measured] == film_steps(2400, 8)
    gaps = [each.gap for each in measured]
    assert all(after < before + 0.05 for before, after in pairwise(gaps))
    assert gaps[0] > 4
    assert gaps[-1] < 0.6
    assert all(set(each.pairs) == set(KINDS) for each in measured)
    assert measured[0].pairs["agreement"] < 0.9
    assert measured[-1].pairs["agreement"] >= 0.9
    step = learned_at(measured, "agreement")
    assert step in film_steps(2400, 8)[2:]
    assert learned_at(measured[:2], "agreement") is None


def test_it_is_what_evaluate_measures(film, measured):
    saved = SavedModel(film.model_at(7), film.tokenizer, film.records)
    found = evaluate(saved, [], fresh=1500, samples=1, temperatures=[1.0], pairs=4 * PAIRS, seed=1)
    assert measured[-1].gap == pytest.approx(
        found.fresh.gap.value, abs=4 * found.fresh.gap.standard_error + 0.05
    )
    for kind, result in found.pairs.items():
        assert measured[-1].pairs[kind] == pytest.approx(result.right.value, abs=0.2)


def test_all_snapshots_are_asked_the_same(film, measured):
    assert measure(film) == measured
    still = Film(
        film.config, film.tokenizer, film.records, "", film.snapshots[3:4], dict(film.tracks)
    )
    still.models = lambda: iter([film.model_at(3)])
    assert measure(still) == measured[3:4]


def test_few_sentences_and_pairs(film):
    assert [set(each.pairs) for each in measure(film, sentences=2, pairs=1)] == [set(KINDS)] * 8


@pytest.mark.parametrize("tokenizer", [Tokenizer, CharTokenizer])
def test_other_texts_are_not_judged(tokenizer):
    sentences = ["the cat sat", "the dog ran"]
    film = film_of(tokenizer.from_sentences(sentences), sentences, Recipe(steps=2), 2, n_layer=1)
    assert measure(film) == []


def test_pairs_that_do_not_fit_the_context_are_left_out():
    sentences = ["cows say moo"]
    film = film_of(
        Tokenizer(grammar.WORDS), sentences, Recipe(steps=1), 2, n_layer=1, n_embd=4, n_head=1,
        block_size=3,
    )  # fmt: skip
    assert can_be_judged(film.tokenizer)
    for each in measure(film, sentences=20, pairs=20):
        assert set(each.pairs) < set(KINDS)
        assert each.gap > 0


def test_when_a_kind_is_learned():
    shares = [0.5, 0.95, 0.8, 0.9, 1.0]
    measured = [Measured(10 * i, 1.0, {"order": share}) for i, share in enumerate(shares)]
    assert learned_at(measured, "order") == 30
    assert learned_at(measured[:3], "order") is None
    assert learned_at(measured, "agreement") is None
    assert learned_at([], "order") is None
