"""The GPT against the same model on lists of plain Python scalars (the workbook's solutions)."""

import math
import random

import pytest
from solutions import layers, training, value
from solutions import model as reference

from llmhard import Matrix, Value, Vector, no_grad
from llmhard.adam import Adam
from llmhard.layers import rmsnorm
from llmhard.model import GPT, Config, KVCache
from llmhard.trainer import sequence_loss

TINY = Config(vocab_size=7, n_layer=2, n_embd=8, n_head=2, block_size=5)
REAL = Config(vocab_size=597)


def new_model(config, seed=1, std=None):
    model = GPT.initialize(config, random.Random(seed))
    if std:  # larger parameters than at the start of a training: nothing is nearly linear
        rng = random.Random(seed)
        for matrix in model.parameters.values():
            matrix.data = [[rng.gauss(0, std) for _ in row] for row in matrix.data]
    return model


def in_reference(model, kind=reference.GPT):
    """The same model with parameters of its own, in plain Python."""
    parameters = {
        name: [[value.Value(x) for x in row] for row in matrix.data]
        for name, matrix in model.parameters.items()
    }
    return kind(reference.Config(**vars(model.config)), parameters)


def flat(matrices):
    return [x for matrix in matrices for row in matrix for x in row]


def check_training(config, sentences, std=None):
    """Several steps on both sides: each loss, each gradient, each parameter."""
    model = new_model(config, std=std)
    twin = in_reference(model)
    optimizer = Adam(list(model.parameters.values()))
    expected_optimizer = training.Adam(twin.scalars())
    for step, tokens in enumerate(sentences):
        loss = sequence_loss(model, tokens)
        expected = training.sequence_loss(twin, tokens)
        assert loss.data == pytest.approx(expected.data, rel=1e-10)
        loss.backward()
        expected.backward()
        for name, matrix in model.parameters.items():
            expected_grad = flat([[[p.grad for p in row] for row in twin.parameters[name]]])
            assert flat([matrix.grad]) == pytest.approx(expected_grad, rel=1e-9, abs=1e-10), name
            assert any(expected_grad) or len(tokens) == 2, name  # one key: nothing to query
        lr = 0.01 * (1 - step / len(sentences))
        optimizer.step(lr)
        expected_optimizer.step(lr)
        found = flat(m.data for m in model.parameters.values())
        assert found == pytest.approx([p.data for p in twin.scalars()], rel=1e-10, abs=1e-10)
        assert not any(flat(m.grad for m in model.parameters.values()))


def test_training_a_tiny_model_agrees_with_the_reference():
    sentences = [[0, 3, 1, 4, 1, 6], [2, 2, 5], [6, 0], [0, 3, 1, 4, 1, 6]]
    check_training(TINY, sentences, std=0.5)


def test_training_the_real_model_agrees_with_the_reference():
    check_training(REAL, [[0, 17, 596, 3]])


def test_several_backward_calls_before_a_step_accumulate():
    model = new_model(TINY, std=0.5)
    twin = in_reference(model)
    for tokens in ([0, 3, 1], [5, 5, 2, 0]):
        sequence_loss(model, tokens).backward()
        training.sequence_loss(twin, tokens).backward()
    found = flat(m.grad for m in model.parameters.values())
    assert found == pytest.approx([p.grad for p in twin.scalars()], rel=1e-9, abs=1e-10)


# ---------------------------------------------------------------- finite differences

STEP = 1e-5


def check_differences(parameters, compute):
    """Each gradient of compute() is the slope between two runs with one number moved."""
    compute().backward()
    for matrix in parameters:
        grads = matrix.grad
        for r, row in enumerate(matrix):
            for c, scalar in enumerate(row):
                middle, ends = scalar.data, []
                for shift in (STEP, -STEP):
                    scalar.data = middle + shift
                    with no_grad():
                        ends.append(compute().data)
                scalar.data = middle
                slope = (ends[0] - ends[1]) / (2 * STEP)
                assert grads[r][c] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_the_loss_matches_finite_differences():
    config = Config(vocab_size=4, n_layer=1, n_embd=4, n_head=2, block_size=3)
    tokens = [0, 3, 1, 2]
    model = new_model(config, std=0.4)
    hidden_units = []

    class Watched(reference.GPT):
        def mlp(self, layer, x):
            w = self.parameters[f"h.{layer}.mlp.up_proj.weight"]
            hidden_units.extend(layers.linear(x, w))
            return super().mlp(layer, x)

    training.sequence_loss(in_reference(model, Watched), tokens)
    assert len(hidden_units) == 3 * 4 * config.n_embd
    assert min(abs(h.data) for h in hidden_units) > 100 * STEP  # no kink of relu is crossed
    check_differences(model.parameters.values(), lambda: sequence_loss(model, tokens))


def test_attention_matches_finite_differences():
    config = Config(vocab_size=4, n_layer=1, n_embd=4, n_head=2, block_size=3)
    model = new_model(config, std=0.7)
    rng = random.Random(3)
    inputs = Matrix([[rng.gauss(0, 1) for _ in range(4)] for _ in range(3)])

    def compute():
        cache = KVCache(1)
        outs = [model.attention(0, x, cache) for x in inputs]
        return sum(out @ Vector([0.3, -1.0, 0.7, 2.0]) for out in outs)

    attention = [m for name, m in model.parameters.items() if ".attn." in name]
    check_differences([inputs, *attention], compute)


def test_rmsnorm_matches_finite_differences():
    x = Matrix([[0.3, -1.2, 0.8, 2.5], [1e-3, 2e-3, -1e-3, 4e-3]])
    weights = Vector([0.3, -1.0, 0.7, 2.0])
    check_differences([x[:1]], lambda: rmsnorm(x[0]) @ weights)
    x.grad = 0
    # Here eps is as large as the mean square itself.
    (rmsnorm(x[1]) @ weights).backward()
    small = [value.Value(v) for v in x[1].data]
    pairs = zip(layers.rmsnorm(small), weights.data, strict=True)
    sum(v * k for v, k in pairs).backward()
    assert x[1].grad == pytest.approx([v.grad for v in small], rel=1e-10)


# ---------------------------------------------------------------- attention and the cache


def test_attention_agrees_with_the_reference():
    model = new_model(TINY, std=0.6)
    twin = in_reference(model)
    rng = random.Random(5)
    cache, expected_cache = KVCache(TINY.n_layer), reference.KVCache(TINY.n_layer)
    for _ in range(4):
        x = [rng.gauss(0, 1) for _ in range(TINY.n_embd)]
        found = model.attention(1, Vector(x), cache)
        expected = twin.attention(1, [value.Value(v) for v in x], expected_cache)
        assert found.data == pytest.approx([v.data for v in expected], rel=1e-12)
    assert [k.data for k in cache.keys[1]] == [
        pytest.approx([v.data for v in key], rel=1e-12) for key in expected_cache.keys[1]
    ]
    assert cache.keys[0] == []


def test_logits_depend_only_on_earlier_tokens():
    model = new_model(TINY, std=0.5)

    def all_logits(tokens):
        cache = KVCache(TINY.n_layer)
        found = [model(token, cache).data for token in tokens]
        assert len(cache) == len(tokens)
        return found

    whole = all_logits([1, 2, 3, 4, 5])
    assert all_logits([1, 2, 3]) == whole[:3]
    assert all_logits([1, 2, 3, 0, 0])[:3] == whole[:3]
    other = all_logits([1, 2, 0, 4, 5])
    assert other[:2] == whole[:2]
    for position in (2, 3, 4):  # and they do depend on those
        assert other[position] != pytest.approx(whole[position], rel=1e-6)


def test_a_gradient_reaches_back_through_the_cache():
    model = new_model(TINY, std=0.5)
    cache = KVCache(TINY.n_layer)
    model(3, cache)
    model(1, cache)[0].backward()
    grad = model.parameters["wte.weight"].grad
    assert any(grad[3])
    assert any(grad[1])
    assert not any(grad[0])


def test_without_recording_the_logits_are_the_same():
    model = new_model(TINY, std=0.5)
    recorded, unrecorded = KVCache(TINY.n_layer), KVCache(TINY.n_layer)
    for token in (1, 4, 0):
        expected = model(token, recorded)
        with no_grad():
            found = model(token, unrecorded)
        assert found.data == expected.data
        assert found[0].children == ()
        assert expected[0].children != ()


def test_a_full_cache_and_unknown_tokens_raise_index_errors():
    model = new_model(TINY)
    cache = KVCache(TINY.n_layer)
    for token in (TINY.vocab_size, 10**6, -1, -TINY.vocab_size):
        with pytest.raises(IndexError):
            model(token, cache)
    assert len(cache) == 0
    for token in range(TINY.block_size):
        model(token, cache)
    with pytest.raises(IndexError):
        model(0, cache)
    assert [len(keys) for keys in cache.keys + cache.values] == [TINY.block_size] * 4


def test_the_first_loss_is_that_of_guessing():
    sentence = list(range(0, 597, 37))
    losses = [sequence_loss(new_model(REAL, seed), sentence).data for seed in range(10)]
    assert sum(losses) / len(losses) == pytest.approx(math.log(597), rel=0.02)


def test_the_loss_reads_no_more_than_block_size_tokens():
    model = new_model(TINY, std=0.5)
    fits = list(range(TINY.block_size + 1))
    assert sequence_loss(model, [*fits, 0, 0]).data == sequence_loss(model, fits).data
    assert sequence_loss(model, fits[:-1]).data != sequence_loss(model, fits).data


# ---------------------------------------------------------------- sizes and parameters


@pytest.mark.parametrize("name", ["vocab_size", "n_layer", "n_embd", "n_head", "block_size"])
@pytest.mark.parametrize("size", [0, -1, True, 2.0, "2", None])
def test_sizes_that_are_none(name, size):
    with pytest.raises(ValueError, match=name):
        Config(**({"vocab_size": 5} | {name: size}))


def test_heads_must_share_evenly():
    with pytest.raises(ValueError, match="n_head must divide n_embd"):
        Config(vocab_size=5, n_embd=32, n_head=5)
    assert Config(vocab_size=5, n_embd=32, n_head=32).head_dim == 1


def test_names_shapes_and_count_of_the_real_model():
    n = 32
    expected = {"wte.weight": (597, n), "wpe.weight": (16, n), "lm_head.weight": (597, n)}
    for layer in range(2):
        for projection in "qkvo":
            expected[f"h.{layer}.attn.{projection}_proj.weight"] = (n, n)
        expected[f"h.{layer}.mlp.up_proj.weight"] = (4 * n, n)
        expected[f"h.{layer}.mlp.down_proj.weight"] = (n, 4 * n)
    assert REAL.shapes() == expected
    assert REAL.n_parameters() == 63_296
    model = new_model(REAL)
    assert {name: m.shape for name, m in model.parameters.items()} == expected
    assert (REAL.n_layer, REAL.n_embd, REAL.n_head, REAL.block_size) == (2, 32, 4, 16)


def test_new_parameters_are_drawn_from_a_normal_distribution():
    numbers = flat(m.data for m in new_model(REAL).parameters.values())
    assert sum(numbers) / len(numbers) == pytest.approx(0, abs=0.002)
    assert math.sqrt(sum(x * x for x in numbers) / len(numbers)) == pytest.approx(0.08, rel=0.02)
    assert sum(abs(x) < 0.08 for x in numbers) / len(numbers) == pytest.approx(0.683, abs=0.01)
    assert flat(m.data for m in new_model(REAL).parameters.values()) == numbers
    assert flat(m.data for m in new_model(REAL, seed=2).parameters.values()) != numbers


def zeros(rows, cols):
    return Matrix([[0.0] * cols] * rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("wpe.weight"), "wpe.weight is missing"),
        (lambda p: p.clear(), "wte.weight is missing"),
        (
            lambda p: p.update({"lm_head.weight": zeros(8, 8)}),
            r"lm_head.weight.*\[7, 8\].*\[8, 8\]",
        ),
        (lambda p: p.update({"wte.weight": zeros(8, 7)}), r"wte.weight.*\[7, 8\].*\[8, 7\]"),
        (lambda p: p.update({"h.2.bias": zeros(1, 1)}), "h.2.bias"),
    ],
)
def test_parameters_that_do_not_fit_the_sizes(change, message):
    parameters = dict(new_model(TINY).parameters)
    change(parameters)
    with pytest.raises(ValueError, match=message):
        GPT(TINY, parameters)


def test_a_model_of_given_parameters_uses_them():
    parameters = {name: zeros(*shape) for name, shape in TINY.shapes().items()}
    model = GPT(TINY, parameters)
    assert model(0, KVCache(TINY.n_layer)).data == [0.0] * TINY.vocab_size
    assert sequence_loss(model, [1, 2]).data == pytest.approx(math.log(TINY.vocab_size))


# ---------------------------------------------------------------- Adam


def test_adam_on_shapes_of_its_own():
    rng = random.Random(2)
    matrices = [
        Matrix([[rng.gauss(0, 1) for _ in range(c)] for _ in range(r)])
        for r, c in ((1, 1), (3, 5), (2, 1))
    ]
    expected = [value.Value(x) for x in flat(m.data for m in matrices)]
    optimizer = Adam(matrices, beta1=0.7, beta2=0.95, eps=1e-3)
    expected_optimizer = training.Adam(expected, beta1=0.7, beta2=0.95, eps=1e-3)
    for step in range(20):
        for matrix in matrices:
            matrix.grad = [[rng.gauss(0, 10.0**-step) for _ in row] for row in matrix.data]
        for p, grad in zip(expected, flat(m.grad for m in matrices), strict=True):
            p.grad = grad
        optimizer.step(0.1)
        expected_optimizer.step(0.1)
        found = flat(m.data for m in matrices)
        assert found == pytest.approx([p.data for p in expected], rel=1e-12)
        assert not any(flat(m.grad for m in matrices))


def test_a_recorded_loss_is_out_of_date_after_a_step():
    model = new_model(TINY)
    loss = sequence_loss(model, [0, 1])
    loss.backward()
    Adam(list(model.parameters.values())).step(0.01)
    with pytest.raises(RuntimeError, match="changed after"):
        loss.backward()
    assert not any(flat(m.grad for m in model.parameters.values()))


def test_adam_works_on_leaves_only():
    matrix = Matrix([[1.0, 2.0], [3.0, 4.0]])
    for bad in ([matrix[:1]], [matrix[0]], [Value(1.0) * 2], [1.0], [None]):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            Adam(bad).step(0.1)
    assert matrix.data == [[1.0, 2.0], [3.0, 4.0]]
