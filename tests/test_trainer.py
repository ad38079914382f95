"""The training loop and the optimizer."""

import contextlib
import random
from math import inf, isfinite, isnan, log, nan, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmhard import adam_update, model_file
from llmhard.adam import Adam
from llmhard.autograd import Matrix, Value, Vector
from llmhard.model import GPT, Config
from llmhard.tokenizer import BOS
from llmhard.trainer import TrainingDivergedError, sequence_loss, train

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


def adam_by_hand(data, grads_by_step, lrs, beta1, beta2, eps):
    """The formula of Kingma and Ba, one number at a time."""
    m, v = 0.0, 0.0
    for t, (grad, lr) in enumerate(zip(grads_by_step, lrs, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad * grad
        data -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
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
    parameter = Matrix(start)
    adam = Adam([parameter], beta1, beta2, eps)
    for grad, lr in zip(grads, lrs, strict=True):
        parameter.grad = grad
        adam.step(lr)
        assert parameter.grad == [[0.0] * cols] * rows
    assert adam.t == steps
    for i in range(rows):
        for j in range(cols):
            by_hand = adam_by_hand(start[i][j], [g[i][j] for g in grads], lrs, beta1, beta2, eps)
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
    losses = train(model, DOCUMENTS, steps=150)
    assert len(losses) == 150
    assert sum(losses[-9:]) / 9 < 0.5 * losses[0]


@pytest.mark.parametrize("replay", [True, False])
def test_training_is_the_loop_of_the_textbook(replay):
    # Enough steps for every length to be recorded once and replayed often.
    documents = [*DOCUMENTS, [BOS, 4, 4, BOS], [BOS, 1, 2, 3, 4, 1, 2, 3, 4, BOS]]
    model, by_hand = new_model(), new_model()
    losses = train(model, documents, steps=23, lr=0.05, replay=replay)
    adam = Adam(list(by_hand.parameters.values()))
    for step in range(23):
        loss = sequence_loss(by_hand, documents[step % 5])
        loss.backward()
        adam.step(0.05 * (1 - step / 23))
        assert losses[step] == loss.data
    assert content(model) == content(by_hand)


def test_on_step_is_told_the_number_and_the_loss():
    told = []
    losses = train(new_model(), DOCUMENTS, 4, on_step=lambda step, loss: told.append((step, loss)))
    assert told == list(enumerate(losses, start=1))


def test_the_first_loss_is_that_of_the_untrained_model():
    model = new_model()
    untrained = sequence_loss(model, DOCUMENTS[0]).data
    assert train(model, DOCUMENTS, 1)[0] == untrained


def test_the_same_seed_gives_the_same_model():
    first, second, other = new_model(), new_model(), new_model(seed=2)
    assert content(first) == content(second) != content(other)
    losses = [train(model, DOCUMENTS, 40) for model in (first, second, other)]
    assert losses[0] == losses[1] != losses[2]
    assert content(first) == content(second) != content(other)


def test_no_steps_change_nothing():
    model = new_model()
    before = content(model)
    assert train(model, DOCUMENTS, 0) == []
    assert content(model) == before


# ---------------------------------------------------------------- divergence


def test_a_loss_that_is_not_finite_stops_training_and_restores_the_model():
    model = new_model()
    before = content(model)
    with pytest.raises(
        TrainingDivergedError, match=r"step \d+ .*not .*finite.*learning rate than 1e\+200"
    ):
        train(model, DOCUMENTS, steps=50, lr=1e200)
    # Nothing but the first parameters was ever known to be good.
    assert content(model) == before


def test_the_restored_model_is_a_recent_good_one():
    twin = new_model()
    good = [content(twin)]
    train(twin, DOCUMENTS, 200, on_step=lambda *_: good.append(content(twin)))
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

            def poison(step, _, told=told, at=at, poisoned=poisoned, rows=rows):
                told.append(step)
                if step == at:
                    poisoned.data = rows

            with pytest.raises(TrainingDivergedError, match=rf"step {at + 1} .*than 0\.01 "):
                train(model, DOCUMENTS, 200, on_step=poison)
            assert told == list(range(1, at + 1))
            # One of the states that the same training went through, at most 100 steps old.
            assert content(model) in good[max(0, at - 100) : at + 1]


# Found by trying: at 1e160 x * x overflows, the logits are 0 and the loss log(5), but the
# gradients are NaN; at 1e308 the very first step leads out of the numbers.
@pytest.mark.parametrize(("steps", "lr"), [(1, 1e308), (2, 1e160), (1, 1e200), (2, 1e308)])
def test_the_last_step_is_checked_too(steps, lr):
    model = new_model()
    with contextlib.suppress(TrainingDivergedError):
        train(model, DOCUMENTS, steps, lr)
    assert is_finite(model)
    assert isfinite(sequence_loss(model, DOCUMENTS[0]).data)


@settings(max_examples=20)
@given(lr=st.floats(1e-3, 1.7e308), steps=st.integers(1, 6))
def test_training_ends_with_finite_parameters_whatever_the_rate(lr, steps):
    model = new_model()
    try:
        losses = train(model, DOCUMENTS, steps, lr)
        assert all(map(isfinite, losses))
    except TrainingDivergedError:
        pass
    assert is_finite(model)


def test_parameters_that_are_nan_from_the_start_are_reported():
    model = new_model()
    model.parameters["wte.weight"].data = [[nan] * 8] * 5
    with pytest.raises(TrainingDivergedError, match="step 1 "):
        train(model, DOCUMENTS, 3)


def test_a_model_that_rules_out_what_comes_next():
    model = new_model()
    head = model.parameters["lm_head.weight"]
    head.data = [[1e306 * (-1) ** (i + j) for j in range(8)] for i in range(5)]
    before = content(model)
    with pytest.raises(TrainingDivergedError, match="step 1 "):
        train(model, [[BOS, 1, 2, 3, 4, BOS]], 3)
    assert content(model) == before


def test_the_record_of_a_real_training_is_finite(tiny: model_file.SavedModel):
    assert not isnan(tiny.record.final_loss)
    assert is_finite(tiny.model)
