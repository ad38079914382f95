"""The search for a recipe: its schedules, its dropout, and that each kind of variant runs."""

import json
import random
from dataclasses import replace

import pytest

from benchmarks import dropout, recipes
from benchmarks.dropout import Dropping
from llmhard.model import GPT, Config
from llmhard.recipe import THOROUGH, Recipe
from llmhard.tokenizer import BOS
from llmhard.trainer import Recordings, Trainer, sequence_loss

DOCUMENTS = [[BOS, 1, 2, BOS], [BOS, 3, BOS], [BOS, 2, 4, 1, BOS]]
HELD_OUT = [[BOS, 4, 2, BOS]]
RECIPE = Recipe(steps=30, batch_size=2)


def new_model():
    config = Config(5, n_layer=2, n_embd=8, n_head=2, block_size=6)
    return GPT.initialize(config, random.Random(1))


def content(model):
    return [p.tobytes() for p in model.parameters.values()]


# ---------------------------------------------------------------- dropout


def test_dropout_of_nothing_is_the_ordinary_training():
    plain, dropping = (
        kind(new_model(), DOCUMENTS, RECIPE, 3, HELD_OUT) for kind in (Trainer, Dropping)
    )
    plain.run()
    dropping.run()
    assert content(dropping.model) == content(plain.model)
    assert dropping.losses == plain.losses
    assert dropping.curve == plain.curve


@pytest.mark.parametrize("rates", [{"words": 0.3}, {"branches": 0.3}])
def test_nothing_is_dropped_in_validation(rates):
    trainer = Dropping(new_model(), DOCUMENTS, RECIPE, 3, HELD_OUT, **rates)
    plain = Trainer(new_model(), DOCUMENTS, RECIPE, 3)
    for each in (trainer, plain):
        each.run()
    assert trainer.losses != plain.losses
    assert trainer.curve[-1].validation == Recordings(trainer.model).mean_loss(HELD_OUT)
    assert type(trainer.current) is GPT


@pytest.mark.parametrize("rates", [{"words": 0.5}, {"branches": 0.5}, {"words": 1.0}])
def test_a_replay_uses_the_masks_that_were_drawn(rates):
    model = new_model()
    trainer = Dropping(model, DOCUMENTS, RECIPE, **rates)
    losses = set()
    for _ in range(8):
        trainer.dropping.draw(len(DOCUMENTS[0]) - 1)
        loss = trainer.recordings.losses(DOCUMENTS[:1])[0]
        assert loss == sequence_loss(trainer.dropping, DOCUMENTS[0]).data
        losses.add(loss)
    assert (len(losses) > 1) == (rates != {"words": 1.0})
    if rates == {"words": 1.0}:  # only the first token, BOS, is still read
        one, other = trainer.recordings.losses([[BOS, 1, 3, BOS], [BOS, 4, 3, BOS]])
        assert one == pytest.approx(other + _difference_of_the_first_word(trainer.dropping, 1, 4))


def _difference_of_the_first_word(model, one, other):
    """In the mean loss of three tokens, if nothing else depends on these words."""
    return (sequence_loss(model, [BOS, one]).data - sequence_loss(model, [BOS, other]).data) / 3


def test_masks_have_the_rates_and_the_mean_stays():
    model = dropout.DroppingGPT(new_model(), 0.2, 0.1, random.Random(1))
    words, branches = [], []
    for _ in range(400):
        model.draw(6)
        words += [mask.data for mask in model._word_masks[1:]]
        branches += [x for masks in model._branch_masks for mask in masks for x in mask.data]
        assert model._word_masks[0].data == 1.0
    assert set(words) == {0.0, 1.0}
    assert sum(words) / len(words) == pytest.approx(0.8, abs=0.03)
    assert set(branches) == {0.0, 1 / 0.9}
    assert sum(branches) / len(branches) == pytest.approx(1.0, abs=0.01)


# ---------------------------------------------------------------- schedules, variants


def test_schedules():
    sizes = {"steps": 100, "lr": 0.5, "warmup": 9}
    cosine, stable, constant = (
        kind(**sizes) for kind in (recipes.Cosine, recipes.StableDecay, recipes.Constant)
    )
    for recipe in (cosine, stable, constant):
        assert recipe.learning_rate(0) == pytest.approx(0.05)
        assert recipe.learning_rate(9) == pytest.approx(0.5)
    assert cosine.learning_rate(9 + 91 // 2) == pytest.approx(0.25, abs=0.01)
    assert cosine.learning_rate(99) < 0.001
    assert stable.learning_rate(80) == pytest.approx(0.5)
    assert stable.learning_rate(90) == pytest.approx(0.25)
    assert stable.learning_rate(99) == pytest.approx(0.025)
    assert constant.learning_rate(99) == 0.5


def test_a_recipe_from_the_command_line():
    variant = recipes.variant_of("steps=12500,lr=0.008,average=0.3")
    assert variant == recipes.Variant(replace(THOROUGH, steps=12500, lr=0.008, average=0.3))
    assert recipes.variant_of("") == recipes.Variant(THOROUGH)
    variant = recipes.variant_of("schedule=cosine,clip=1,scale=0.5,keep=best,text=fresh")
    assert type(variant.recipe) is recipes.Cosine
    assert variant.scale("wte.weight") == 0.5
    assert (variant.trainer, variant.keep, variant.text) == (recipes.Clipping, "best", "fresh")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("lr", "name=value, not 'lr'"),
        ("rate=1", "not rate"),
        ("lr=-1", "lr is a number above 0"),
        ("steps=1.5", "1.5"),
        ("schedule=sine", "one of power, cosine"),
        ("clip=1,words=0.1", "not both"),
    ],
)
def test_changes_that_are_none(changes, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["recipes", "--try", changes, "1"])
    with pytest.raises(SystemExit):
        recipes.main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--train", "**thorough**"],
        ["--train", "*30,000 sentences, each once*"],
        ["--train", "*fresh sentences at each step*"],
        ["--try", "clip=1"],
        ["--try", "schedule=stable,average=0.5,words=0.1,branches=0.1"],
    ],
)
def test_a_variant_runs(arguments, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "FRESH", 20)
    monkeypatch.setattr(recipes, "SAMPLES", 5)
    monkeypatch.setattr("sys.argv", ["recipes", *arguments, "1", "--steps", "4"])
    recipes.main()
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["seconds", "validation", "fresh", "accepted at 0.8", "accepted at 1.0"]
    assert result["fresh"] < 7
