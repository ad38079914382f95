"""The training loop and the optimizer."""

import contextlib
import random
from dataclasses import replace
from math import inf, isfinite, isnan, log, nan, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmhard import adam_update, average_update, model_file
from llmhard.adam import Adam
from llmhard.autograd import Matrix, Value, Vector
from llmhard.model import GPT, Config
from llmhard.recipe import Recipe
from llmhard.tokenizer import BOS
from llmhard.trainer import (
    Recordings,
    Trainer,
    TrainingDivergedError,
    curve_steps,
    sequence_loss,
    train,
    validation_size,
)
from llmhard.training_record import CurvePoint, rise

DOCUMENTS = [[BOS, 1, 2, BOS], [BOS, 3, BOS], [BOS, 2, 4, 1, BOS]]


def new_model(seed=1, **sizes):
    config = Config(
        **{"vocab_size": 5, "n_layer": 1, "n_embd": 8, "n_head": 2, "block_size": 6} | sizes
    )
    return GPT.initialize(config, random.Random(seed))


def content(model):
    return {name: matrix.tobytes() for name, matrix in model.parameters.items()}


def is_finite(model):
    return all(isfinite(x) for m in model.parameters.values() for row in m.data for x in row)


# ---------------------------------------------------------------- Adam


def adam_by_hand(data, grads_by_step, lrs, beta1, beta2, eps, weight_decay=0.0):
    """The formulas of Kingma and Ba and of Loshchilov and Hutter, one number at a time."""
    m, v = 0.0, 0.0
    for t, (grad, lr) in enumerate(zip(grads_by_step, lrs, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad * grad
        decay = lr * weight_decay * data
        data -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps) + decay
    return data, m, v


numbers = st.floats(-1e6, 1e6)
betas = st.floats(0.0, 0.999)


@given(st.data())
def test_adam_is_the_formula(data):
    rows, cols, steps = (data.draw(st.integers(1, n)) for n in (3, 9, 4))
    draw = lambda: data.draw(  # noqa: E731
        st.lists(st.lists(numbers, min_size=cols, max_size=cols), min_size=rows, max_size=rows)
    )
    start, grads = draw(), [draw() for _ in range(steps)]
    lrs = data.draw(st.lists(st.floats(1e-6, 1.0), min_size=steps, max_size=steps))
    beta1, beta2, eps = data.draw(betas), data.draw(betas), data.draw(st.floats(1e-8, 1e-3))
    weight_decay = data.draw(st.sampled_from([0.0, 0.1, 1.0]))
    parameter = Matrix(start)
    adam = Adam([parameter], beta1, beta2, eps, weight_decay)
    for grad, lr in zip(grads, lrs, strict=True):
        parameter.grad = grad
        adam.step(lr)
        assert parameter.grad == [[0.0] * cols] * rows
    assert adam.t == steps
    for i in range(rows):
        for j in range(cols):
            by_hand = adam_by_hand(
                start[i][j], [g[i][j] for g in grads], lrs, beta1, beta2, eps, weight_decay
            )
            found = (parameter.data[i][j], adam.m[0].data[i][j], adam.v[0].data[i][j])
            assert found == pytest.approx(by_hand, rel=1e-9, abs=1e-9)


@given(start=numbers, grads=st.lists(numbers, min_size=1, max_size=4))
def test_adam_update_on_values_and_vectors(start, grads):
    value, m, v = Value(start), Value(0.0), Value(0.0)
    vector, ms, vs = Vector([start, 0.0]), Vector([0.0, 0.0]), Vector([0.0, 0.0])
    for t, grad in enumerate(grads, start=1):
        value.grad = grad
        vector.grad = [grad, 0.0]
        leaves, means, squares = [value, vector], [m, ms], [v, vs]
        adam_update(leaves, means, squares, lr=0.1, beta1=0.85, beta2=0.99, eps=1e-8, t=t)
    by_hand = adam_by_hand(start, grads, [0.1] * len(grads), 0.85, 0.99, 1e-8)
    assert (value.data, m.data, v.data) == pytest.approx(by_hand, rel=1e-9, abs=1e-9)
    assert (vector.data[0], ms.data[0], vs.data[0]) == pytest.approx(by_hand, rel=1e-9, abs=1e-9)
    # A parameter without a gradient stays where it is.
    assert vector.data[1] == 0.0


def test_the_first_step_of_adam_is_lr_against_the_gradient():
    parameter = Matrix([[1.0, 2.0, 3.0]])
    parameter.grad = [[1e-3, -5.0, 0.0]]
    Adam([parameter], eps=1e-12).step(0.1)
    assert parameter.data[0] == pytest.approx([0.9, 2.1, 3.0])


# ---------------------------------------------------------------- averaging


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_average_is_the_mean_of_what_it_was_shown(rows):
    matrix, mean = Matrix([rows[0]]), Matrix([[0.0] * 3])
    value, mean_value = Value(0.0), Value(0.0)
    vector, mean_vector = Vector([0.0, 0.0]), Vector([0.0, 0.0])
    means, leaves = [mean, mean_value, mean_vector], [matrix, value, vector]
    for count, row in enumerate(rows, start=1):
        matrix.data, value.data, vector.data = [row], row[0], row[1:]
        average_update(means, leaves, share=1 / count)
        if count == 1:
            assert mean.data == [row]
    expected = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    assert mean.data[0] == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert (mean_value.data, mean_vector.data) == (mean.data[0][0], mean.data[0][1:])
    assert matrix.data == [rows[-1]]


def test_a_graph_with_a_mean_in_it_is_out_of_date_after_the_update():
    mean = Matrix([[1.0, 2.0]])
    loss = (mean @ Vector([3.0, 4.0])).sum()
    average_update([mean], [Matrix([[5.0, 6.0]])], share=0.5)
    with pytest.raises(RuntimeError, match="changed after"):
        loss.backward()


@pytest.mark.parametrize(
    "bad",
    [None, 1.0, Value(1.0) * 2, Matrix([[1.0]]), Vector([1.0, 2.0]), Matrix([[1.0, 2.0]])[:1]],
)
def test_only_leaves_of_one_shape_are_averaged(bad):
    good, mean = Matrix([[1.0, 2.0]]), Matrix([[3.0, 4.0]])
    for means, parameters in (([mean, bad], [good, good]), ([mean, mean], [good, bad])):
        with pytest.raises(
            (ValueError, TypeError), match=r"is a Value, Vector or|leaves of the same"
        ):
            average_update(means, parameters, share=0.5)
        assert mean.data == [[3.0, 4.0]]
    with pytest.raises(ValueError, match="one mean for each"):
        average_update([mean], [], share=0.5)


@pytest.mark.parametrize(("average", "first"), [(0.3, 15), (1.0, 1), (0.01, 20)])
def test_the_last_steps_are_averaged(average, first):
    recipe = Recipe(steps=20, average=average)
    plain, averaged = new_model(), new_model()
    states = []
    Trainer(plain, DOCUMENTS, replace(recipe, average=0.0)).run(
        lambda _: states.append(
            [x for p in plain.parameters.values() for row in p.data for x in row]
        )
    )
    trainer = Trainer(averaged, DOCUMENTS, recipe)
    trainer.run()
    found = [x for p in averaged.parameters.values() for row in p.data for x in row]
    expected = [sum(xs) / len(xs) for xs in zip(*states[first - 1 :], strict=True)]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert trainer.losses == train(new_model(), DOCUMENTS, replace(recipe, average=0.0))


def test_what_is_validated_is_the_average():
    held_out = [[BOS, 4, BOS]]
    models = []
    trainer = Trainer(new_model(), DOCUMENTS, Recipe(steps=20, average=0.5), held_out=held_out)
    trainer.run(lambda t: models.append((t.current, sequence_loss(t.current, held_out[0]).data)))
    assert [model is trainer.model for model, _ in models] == [True] * 10 + [False] * 10
    for point in trainer.curve[1:]:
        assert point.validation == models[point.step - 1][1]
    assert content(trainer.model) == content(trainer.current)
    # Running on where nothing is left changes nothing.
    before = content(trainer.model)
    trainer.run()
    assert content(trainer.model) == before


@pytest.mark.parametrize("average", [-0.1, 1.1, nan, 1, "0.5"])
def test_shares_that_are_none(average):
    with pytest.raises(ValueError, match="average is at least 0 and at most 1"):
        Recipe(average=average)


# ---------------------------------------------------------------- the loss


def test_the_loss_of_a_model_that_knows_nothing_is_log_vocab_size():
    model = new_model()
    model.parameters["lm_head.weight"].data = [[0.0] * 8] * 5
    assert sequence_loss(model, [BOS, 1, 2, BOS]).data == pytest.approx(log(5))


def test_the_loss_is_the_mean_over_the_predicted_tokens():
    model = new_model()
    whole = sequence_loss(model, [BOS, 1, 2, BOS]).data
    parts = [sequence_loss(model, [BOS, 1, 2, BOS][:n]).data * (n - 1) for n in (2, 3, 4)]
    assert whole * 3 == pytest.approx(parts[2])
    assert parts[0] < parts[1] < parts[2]


def test_a_long_sequence_is_cut_to_the_context():
    model = new_model(block_size=3)
    cut = sequence_loss(model, [BOS, 1, 2, 3]).data
    assert sequence_loss(model, [BOS, 1, 2, 3, 4, BOS]).data == cut
    assert sequence_loss(model, [BOS, 1, 2]).data != cut


@pytest.mark.parametrize("tokens", [[], [BOS]])
def test_nothing_to_predict(tokens):
    with pytest.raises(ValueError, match="at least two tokens"):
        sequence_loss(new_model(), tokens)


# ---------------------------------------------------------------- training


def test_training_learns():
    model = new_model()
    losses = train(model, DOCUMENTS, Recipe(steps=150))
    assert len(losses) == 150
    assert sum(losses[-9:]) / 9 < 0.5 * losses[0]


@pytest.mark.parametrize("replay", [True, False])
def test_training_is_the_loop_of_the_textbook(replay):
    # Enough steps for every length to be recorded once and replayed often.
    documents = [*DOCUMENTS, [BOS, 4, 4, BOS], [BOS, 1, 2, 3, 4, 1, 2, 3, 4, BOS]]
    model, by_hand = new_model(), new_model()
    trainer = Trainer(model, documents, Recipe(steps=23, lr=0.05), seed=7, replay=replay)
    trainer.run()
    losses = trainer.losses
    in_order = []  # the first time as they come, then each time in an order of its own
    for epoch in range(5):
        order = list(range(5))
        if epoch > 0:
            random.Random(f"7 {epoch}").shuffle(order)
        in_order += order
    adam = Adam(list(by_hand.parameters.values()))
    for step in range(23):
        loss = sequence_loss(by_hand, documents[in_order[step]])
        loss.backward()
        adam.step(0.05 * (1 - step / 23))
        assert losses[step] == loss.data
    assert content(model) == content(by_hand)


@pytest.mark.parametrize("replay", [True, False])
def test_a_batch_is_the_mean_over_its_tokens(replay):
    documents = [*DOCUMENTS, [BOS, *[4] * 9, BOS], [BOS, 4, 4, BOS], [BOS, 2, BOS]]  # one is cut
    recipe = Recipe(steps=2, batch_size=3, lr=0.05, beta1=0.9, weight_decay=0.5)
    model, by_hand = new_model(), new_model()
    trainer = Trainer(model, documents, recipe, replay=replay)
    trainer.run()
    adam = Adam(list(by_hand.parameters.values()), beta1=0.9, weight_decay=0.5)
    for step, batch in enumerate((documents[:3], documents[3:])):
        sizes = [min(len(document) - 1, 6) for document in batch]
        loss = sum(sequence_loss(by_hand, d) * n for d, n in zip(batch, sizes, strict=True))
        loss = loss / sum(sizes)
        loss.backward()
        adam.step(0.05 * (1 - step / 2))
        assert trainer.losses[step] == pytest.approx(loss.data, rel=1e-13)
    for name, matrix in by_hand.parameters.items():
        for row, expected in zip(model.parameters[name].data, matrix.data, strict=True):
            assert row == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_curve_samples_the_training():
    model = new_model()
    states = [content(model)]
    trainer = Trainer(
        model, DOCUMENTS, Recipe(steps=45), held_out=[[BOS, 4, BOS], [BOS, 2, 1, BOS]]
    )
    trainer.run(lambda _: states.append(content(model)))
    first, *points = trainer.curve
    assert (first.step, first.training) == (0, pytest.approx(trainer.losses[0], rel=1e-13))
    assert {point.step for point in points} == curve_steps(45) - {0}
    begin = 0
    for point in points:
        assert point.training == sum(trainer.losses[begin : point.step]) / (point.step - begin)
        begin = point.step
    for point in (first, *points):
        then = new_model()
        for name, matrix in then.parameters.items():
            matrix.data = Matrix.frombytes(states[point.step][name], *matrix.shape).data
        losses = sequence_loss(then, [BOS, 4, BOS]).data, sequence_loss(then, [BOS, 2, 1, BOS]).data
        assert point.validation == pytest.approx((2 * losses[0] + 3 * losses[1]) / 5, rel=1e-13)


def test_the_curve_begins_with_the_loss_of_the_first_batch():
    recipe = Recipe(steps=3, batch_size=3)
    trainer = Trainer(new_model(), DOCUMENTS, recipe, held_out=[[BOS, 4, BOS]])
    trainer.run()
    assert trainer.curve[0].training == pytest.approx(trainer.losses[0], rel=1e-13)
    # Looking at it does not change what is learned.
    unseen = Trainer(new_model(), DOCUMENTS, recipe)
    unseen.curve = [CurvePoint(0, 1.0, None)]
    unseen.run()
    assert content(unseen.model) == content(trainer.model)
    assert unseen.losses == trainer.losses


def test_where_the_points_of_the_curve_are():
    assert sorted(curve_steps(5000)) == [
        0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1500, 2000,
        *range(2500, 5001, 250),
    ]  # fmt: skip
    assert sorted(curve_steps(3)) == [0, 1, 2, 3]
    assert curve_steps(0) == {0}
    for steps in (1, 7, 45, 6250, 10**9):
        assert {0, 1, steps} <= curve_steps(steps)
        assert max(curve_steps(steps)) == steps
        assert len(curve_steps(steps)) < 25 + 3 * len(str(steps))


@pytest.mark.parametrize(
    ("steps", "batch_size", "size"),
    [(5000, 1, 200), (6250, 16, 500), (2000, 16, 266), (10**9, 1, 500)],
)
def test_validation_takes_a_small_part_of_the_time(steps, batch_size, size):
    recipe = Recipe(steps=steps, batch_size=batch_size)
    assert validation_size(recipe) == size
    assert (
        len(Trainer(new_model(), DOCUMENTS, recipe, held_out=[[BOS, 4, BOS]] * 999).held_out)
        == size
    )


def test_without_held_out_documents_there_is_no_validation_loss():
    trainer = Trainer(new_model(), DOCUMENTS, Recipe(steps=3), keep="best")
    trainer.run()
    assert [point.validation for point in trainer.curve] == [None] * 4
    assert trainer.best is None


@pytest.mark.parametrize("average", [0.0, 0.6, 1.0])
def test_the_best_parameters_are_kept(average):
    held_out = [[BOS, 3, 3, BOS]]  # what is trained on leads away from it, after a while
    states = {}
    ends = {}
    for keep in ("best", "last"):
        model = new_model()
        states[0] = content(model)
        trainer = Trainer(
            model, DOCUMENTS, Recipe(steps=200, average=average), held_out=held_out, keep=keep
        )
        trainer.run(lambda t: states.update({t.step: content(t.current)}))
        ends[keep] = content(model)
    low = min(trainer.curve, key=lambda point: point.validation)
    assert 0 < low.step < 200
    assert ends["best"] == states[low.step] != states[200] == ends["last"]
    assert Recordings(trainer.kept).mean_loss(held_out) == trainer.curve[-1].validation


def curve(*validation):
    """A point every tenth of the steps."""
    return [CurvePoint(10 * i, 1.0, loss) for i, loss in enumerate(validation)]


def test_a_validation_loss_that_has_risen_for_good():
    risen = curve(6.0, 3.0, 2.0, 2.05, 2.1, 2.0, 2.2, 2.2, 2.11, 2.2, 2.3)
    assert rise(risen) == (risen[2], risen[-1])
    for harmless in (
        curve(6.0, 3.0, 2.0, 2.0, 2.3, 2.3, 2.3, 2.3, 2.09, 2.2, 2.3),  # it came back
        curve(6.0, 3.0, 2.3, 2.3, 2.2, 2.2, 2.2, 2.2, 2.2, 2.0, 2.2),  # lowest near the end
        curve(6.0, 3.0, 2.0, 2.02, 2.04, 2.02, 2.06, 2.05, 2.07, 2.04, 2.08),  # chance
        curve(6.0, 3.0, 2.0),
        curve(6.0),
        curve(None, None, None),
        [],
    ):
        assert rise(harmless) is None


def test_on_step_is_told_the_number_and_the_loss():
    told = []
    trainer = Trainer(new_model(), DOCUMENTS, Recipe(steps=4))
    trainer.run(lambda t: told.append((t.step, t.losses[-1])))
    assert told == list(enumerate(trainer.losses, start=1))


def test_the_first_loss_is_that_of_the_untrained_model():
    model = new_model()
    untrained = sequence_loss(model, DOCUMENTS[0]).data
    assert train(model, DOCUMENTS, Recipe(steps=1))[0] == untrained


def test_the_same_seed_gives_the_same_model():
    first, second, other = new_model(), new_model(), new_model(seed=2)
    assert content(first) == content(second) != content(other)
    losses = [train(model, DOCUMENTS, Recipe(steps=40)) for model in (first, second, other)]
    assert losses[0] == losses[1] != losses[2]
    assert content(first) == content(second) != content(other)


def test_no_steps_change_nothing():
    model = new_model()
    before = content(model)
    assert train(model, DOCUMENTS, Recipe(steps=0)) == []
    assert content(model) == before


# ---------------------------------------------------------------- divergence


def test_a_loss_that_is_not_finite_stops_training_and_restores_the_model():
    model = new_model()
    before = content(model)
    with pytest.raises(
        TrainingDivergedError, match=r"step \d+ .*not .*finite.*learning rate than 1e\+200"
    ):
        train(model, DOCUMENTS, Recipe(steps=50, lr=1e200))
    # Nothing but the first parameters was ever known to be good.
    assert content(model) == before


def test_the_restored_model_is_a_recent_good_one():
    twin = new_model()
    good = [content(twin)]
    Trainer(twin, DOCUMENTS, Recipe(steps=200)).run(lambda _: good.append(content(twin)))
    # NaN and infinity spread; numbers this large rule out what comes next, and log(0) fails.
    for name, bad in (("wte", nan), ("h.0.mlp.up_proj", inf), ("wpe", -inf), ("lm_head", 1e306)):
        for at in (1, 7, 99, 100, 101, 130, 199):
            model = new_model()
            poisoned = model.parameters[f"{name}.weight"]
            rows = [
                [bad * (-1) ** (i + j) for j in range(poisoned.shape[1])]
                for i in range(poisoned.shape[0])
            ]
            told = []

            def poison(trainer, told=told, at=at, poisoned=poisoned, rows=rows):
                told.append(trainer.step)
                if trainer.step == at:
                    poisoned.data = rows

            with pytest.raises(TrainingDivergedError, match=rf"step {at + 1} .*than 0\.005 "):
                Trainer(model, DOCUMENTS, Recipe(steps=200)).run(poison)
            assert told == list(range(1, at + 1))
            # One of the states that the same training went through, at most 100 steps old.
            assert content(model) in good[max(0, at - 100) : at + 1]


# Found by trying: at 1e160 x * x overflows, the logits are 0 and the loss log(5), but the
# gradients are NaN; at 1e308 the very first step leads out of the numbers.
@pytest.mark.parametrize(("steps", "lr"), [(1, 1e308), (2, 1e160), (1, 1e200), (2, 1e308)])
@pytest.mark.parametrize("average", [0.0, 0.5])
def test_the_last_step_is_checked_too(steps, lr, average):
    model = new_model()
    with contextlib.suppress(TrainingDivergedError):
        train(model, DOCUMENTS, Recipe(steps=steps, lr=lr, average=average))
    assert is_finite(model)
    assert isfinite(sequence_loss(model, DOCUMENTS[0]).data)


@settings(max_examples=20)
@given(
    lr=st.floats(1e-3, 1.7e308), steps=st.integers(1, 6), average=st.sampled_from([0.0, 0.5, 1.0])
)
def test_training_ends_with_finite_parameters_whatever_the_rate(lr, steps, average):
    model = new_model()
    try:
        losses = train(model, DOCUMENTS, Recipe(steps=steps, lr=lr, average=average))
        assert all(map(isfinite, losses))
    except TrainingDivergedError:
        pass
    assert is_finite(model)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_parameters_do_not_hide_a_divergence(average):
    model = new_model()
    recipe = Recipe(steps=50, lr=0.01, average=average)
    trainer = Trainer(model, DOCUMENTS, recipe, held_out=[[BOS, 4, BOS]], keep="best")

    def poison(trainer):
        if trainer.step == 37:
            model.parameters["wte.weight"].data = [[nan] * 8] * 5

    with pytest.raises(TrainingDivergedError, match="step 38 "):
        trainer.run(poison)
    assert is_finite(model)


def test_parameters_that_are_nan_from_the_start_are_reported():
    model = new_model()
    model.parameters["wte.weight"].data = [[nan] * 8] * 5
    with pytest.raises(TrainingDivergedError, match="step 1 "):
        train(model, DOCUMENTS, Recipe(steps=3))


def test_a_model_that_rules_out_what_comes_next():
    model = new_model()
    head = model.parameters["lm_head.weight"]
    head.data = [[1e306 * (-1) ** (i + j) for j in range(8)] for i in range(5)]
    before = content(model)
    with pytest.raises(TrainingDivergedError, match="step 1 "):
        train(model, [[BOS, 1, 2, 3, 4, BOS]], Recipe(steps=3))
    assert content(model) == before


def test_the_record_of_a_real_training_is_finite(tiny: model_file.SavedModel):
    assert not isnan(tiny.record.final_loss)
    assert is_finite(tiny.model)
