"""The sampler: the laws of temperature, top-k and top-p, and sentences."""

import gc
import random
from itertools import pairwise
from math import exp, inf, log, nan, sqrt
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmhard.autograd import Vector, no_grad
from llmhard.model import GPT, Config, KVCache
from llmhard.sampler import MODELS_OWN, Reader, Sampling, choices, choose, generate
from llmhard.tokenizer import BOS

# Far enough apart to differ, near enough that no probability underflows to 0.
logit_lists = st.lists(st.floats(-20, 20), min_size=1, max_size=12)
temperatures = st.floats(0.1, 5.0)
top_ps = st.floats(1e-6, 1.0)


def plain(logits, temperature=1.0):
    """The softmax of the textbook."""
    exps = [exp((x - max(logits)) / temperature) for x in logits]
    return [e / sum(exps) for e in exps]


def sampled(logits, **settings):
    return Sampling(**settings).probabilities(Vector(logits))


def kept(probabilities):
    return {i for i, p in enumerate(probabilities) if p > 0}


# ---------------------------------------------------------------- probabilities


@given(logit_lists, temperatures)
def test_temperature_divides_the_logits(logits, temperature):
    found = sampled(logits, temperature=temperature)
    assert found == pytest.approx(plain(logits, temperature), rel=1e-9)


@given(logit_lists)
def test_the_models_own_probabilities_are_the_softmax_of_its_logits(logits):
    assert MODELS_OWN.probabilities(Vector(logits)) == pytest.approx(plain(logits), rel=1e-9)


@given(logit_lists, temperatures, st.integers(0, 15), top_ps)
def test_they_are_probabilities(logits, temperature, top_k, top_p):
    p = sampled(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    assert len(p) == len(logits)
    assert all(0 <= x <= 1 for x in p)
    assert sum(p) == pytest.approx(1)


@given(logit_lists, temperatures, st.integers(0, 15), top_ps)
def test_the_kept_are_the_likeliest_and_keep_their_odds(logits, temperature, top_k, top_p):
    everything = sampled(logits, temperature=temperature)
    p = sampled(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    survivors = kept(p)
    assert max(everything[i] for i in survivors) == max(everything)
    rest = set(range(len(logits))) - survivors
    if rest:
        assert min(everything[i] for i in survivors) >= max(everything[i] for i in rest)
    share = sum(everything[i] for i in survivors)
    assert [p[i] for i in survivors] == pytest.approx([everything[i] / share for i in survivors])


@given(logit_lists, temperatures, st.integers(1, 15))
def test_top_k_keeps_exactly_k(logits, temperature, top_k):
    p = sampled(logits, temperature=temperature, top_k=top_k)
    assert len(kept(p)) == min(top_k, len(logits))


def test_top_k_of_equals_keeps_k_of_them():
    assert sampled([1.0] * 5, top_k=3) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0])


@given(logit_lists, temperatures, top_ps)
def test_top_p_keeps_the_smallest_set_that_reaches_p(logits, temperature, top_p):
    everything = sampled(logits, temperature=temperature)
    chosen = sorted(
        (everything[i] for i in kept(sampled(logits, temperature=temperature, top_p=top_p))),
        reverse=True,
    )
    assert sum(chosen) >= top_p - 1e-9
    assert sum(chosen[:-1]) < top_p + 1e-9


@given(logit_lists, st.integers(1, 15), st.floats(1e-6, 1, exclude_max=True))
def test_top_p_looks_at_what_top_k_left(logits, top_k, top_p):
    after_k = sampled(logits, temperature=1.0, top_k=top_k)
    both = kept(sampled(logits, temperature=1.0, top_k=top_k, top_p=top_p))
    assert both <= kept(after_k)
    chosen = sorted((after_k[i] for i in both), reverse=True)
    assert sum(chosen) >= top_p - 1e-9
    assert sum(chosen[:-1]) < top_p + 1e-9


def test_top_p_by_hand():
    logits = [log(x) for x in (0.1, 0.5, 0.15, 0.25)]
    assert sampled(logits, temperature=1.0, top_p=0.5 - 1e-9) == pytest.approx([0, 1, 0, 0])
    assert sampled(logits, temperature=1.0, top_p=0.6) == pytest.approx([0, 2 / 3, 0, 1 / 3])
    assert sampled(logits, temperature=1.0, top_p=0.8) == pytest.approx(
        [0, 5 / 9, 1.5 / 9, 2.5 / 9]
    )
    # Without top-k, 0.5 would be enough for 0.5 of the whole; here it is 0.5 of 0.75.
    two = sampled(logits, temperature=1.0, top_k=2, top_p=0.7)
    assert two == pytest.approx([0, 2 / 3, 0, 1 / 3])
    assert sampled(logits, temperature=1.0, top_k=2, top_p=0.6) == pytest.approx([0, 1, 0, 0])


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=12), st.integers(0, 15), top_ps)
def test_temperature_zero_is_argmax(logits, top_k, top_p):
    assume(abs(sum(logits)) < 1e300)
    p = sampled(logits, temperature=0.0, top_k=top_k, top_p=top_p)
    assert p == [float(i == logits.index(max(logits))) for i in range(len(logits))]


@given(logit_lists, st.floats(5e-324, 1e-3))
def test_tiny_temperatures_do_not_overflow(logits, temperature):
    p = sampled(logits, temperature=temperature)
    assert sum(p) == pytest.approx(1)
    assert p[logits.index(max(logits))] == max(p)
    clear = [x for x in logits if max(logits) - x > 1000 * temperature]
    assert all(p[logits.index(x)] < 1e-300 for x in clear)


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300, 1e300, 1.7e308])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e150, 4e307])
@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.5}])
def test_extreme_numbers(temperature, scale, options):
    p = sampled([scale, -scale, scale, 0.0], temperature=temperature, **options)
    assert sum(p) == pytest.approx(1)
    assert p[0] == max(p)


@given(logit_lists, temperatures, st.integers(0, 15), top_ps)
def test_a_likelier_token_never_becomes_less_likely(logits, temperature, top_k, top_p):
    everything = sampled(logits, temperature=temperature)
    p = sampled(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    # By logits, then by probabilities: logits that differ in the last bit may be equally likely.
    by_logit = [everything[i] for i in sorted(range(len(p)), key=lambda i: logits[i])]
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(by_logit))
    by_probability = [p[i] for i in sorted(range(len(p)), key=lambda i: (everything[i], -i))]
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(by_probability))


@given(logit_lists, temperatures, temperatures)
def test_a_lower_temperature_plays_safer(logits, one, other):
    low, high = sorted([one, other])
    safe, daring = sampled(logits, temperature=low), sampled(logits, temperature=high)
    assert max(safe) >= max(daring) - 1e-12


@given(logit_lists, st.floats(-100, 100))
def test_only_differences_between_logits_count(logits, shift):
    moved = sampled([x + shift for x in logits])
    assert moved == pytest.approx(sampled(logits), rel=1e-9)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_logits_that_are_not_finite_are_refused(bad, temperature):
    for logits in ([bad, 0.0], [0.0, bad], [bad]):
        with pytest.raises(ArithmeticError, match="not finite"):
            sampled(logits, temperature=temperature)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({"temperature": t}, "temperature") for t in (-1.0, -1e-300, nan, inf, -inf)),
        *(({"top_k": k}, "top-k") for k in (-1, -(10**30))),
        *(({"top_p": p}, "top-p") for p in (0.0, -0.1, 1.0000001, nan, inf, -inf)),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)


# ---------------------------------------------------------------- frequencies


def assert_follows(counts, probabilities):
    """Chi-square: a right sampler fails about once in a million, one that is 10% off always."""
    n = sum(counts)
    assert all(p > 0 for c, p in zip(counts, probabilities, strict=True) if c)
    # The classic rule: cells that expect fewer than 5 hits go into one.
    cells = [(c, n * p) for c, p in zip(counts, probabilities, strict=True) if n * p >= 5]
    small = [(c, n * p) for c, p in zip(counts, probabilities, strict=True) if n * p < 5]
    chi2 = sum((c - e) ** 2 / e for c, e in cells)
    degrees = max(1, len(cells) - 1)
    # Wilson and Hilferty's approximation of the quantile at 4.8 standard deviations.
    assert chi2 < degrees * (1 - 2 / (9 * degrees) + 4.8 * sqrt(2 / (9 * degrees))) ** 3
    expected_small = sum(e for _, e in small)
    assert sum(c for c, _ in small) <= expected_small + 4.8 * sqrt(expected_small) + 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "probabilities", [[0.5, 0.25, 0.15, 0.1], [0.0, 0.9, 0.1, 0.0], [1.0], [0.001, 0.0, 0.999]]
)
def test_choose_follows_the_probabilities(probabilities, seed):
    rng, counts = random.Random(seed), [0] * len(probabilities)
    for _ in range(20_000):
        counts[choose(probabilities, rng)] += 1
    assert_follows(counts, probabilities)


def logits_after(model, tokens):
    with no_grad():
        cache = KVCache(model.config.n_layer)
        for token in [BOS, *tokens]:
            logits = model(token, cache)
    return logits


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(1.5), Sampling(1.0, top_k=4), Sampling(1.2, top_k=9, top_p=0.7)],
)
def test_sentences_follow_the_model(tiny, sampling):
    rng, model = random.Random(7), tiny.model
    firsts = [0] * model.config.vocab_size
    seconds = [0] * model.config.vocab_size
    first_probabilities = sampling.probabilities(logits_after(model, []))
    common = max(range(1, len(firsts)), key=lambda token: first_probabilities[token])
    for _ in range(3000):
        sentence = [*generate(model, rng, sampling), BOS]
        firsts[sentence[0]] += 1
        if sentence[0] == common:
            seconds[sentence[1]] += 1
    assert_follows(firsts, first_probabilities)
    assert_follows(seconds, sampling.probabilities(logits_after(model, [common])))


# ---------------------------------------------------------------- sentences


def test_the_same_seed_writes_the_same(tiny):
    writes = [
        [generate(tiny.model, rng, Sampling(1.0)) for _ in range(20)]
        for rng in (random.Random(3), random.Random(3), random.Random(4))
    ]
    assert writes[0] == writes[1] != writes[2]


def test_greedy_takes_the_likeliest_each_time(tiny):
    sentence = generate(tiny.model, random.Random(1), Sampling(0.0))
    assert sentence == generate(tiny.model, random.Random(2), Sampling(0.0))
    for i, token in enumerate([*sentence, BOS][: tiny.model.config.block_size]):
        logits = logits_after(tiny.model, sentence[:i]).data
        assert token == logits.index(max(logits))


def test_top_k_one_is_greedy(tiny):
    greedy = generate(tiny.model, random.Random(1), Sampling(0.0))
    assert generate(tiny.model, random.Random(1), Sampling(1.0, top_k=1)) == greedy
    assert generate(tiny.model, random.Random(1), Sampling(1.0, top_p=1e-9)) == greedy


@pytest.mark.parametrize("length", range(8))
def test_every_sentence_begins_with_the_prompt_and_fits(tiny, length):
    prompt = [1, 2, 3, 4, 5, 6, 7][:length]
    rng = random.Random(length)
    sentences = [generate(tiny.model, rng, Sampling(2.0), prompt) for _ in range(50)]
    block_size = tiny.model.config.block_size
    assert all(s[:length] == prompt for s in sentences)
    assert all(BOS not in s for s in sentences)
    assert max(map(len, sentences)) <= block_size
    assert any(len(s) > length for s in sentences)


def test_a_model_that_never_says_stop_is_cut_at_the_context(tiny):
    config = tiny.model.config
    model = GPT.initialize(config, random.Random(0))
    bias = [[0.0] * config.n_embd for _ in range(config.vocab_size)]
    model.parameters["lm_head.weight"].data = bias
    # With equal logits the likeliest is BOS, the lowest id, so a high temperature must do.
    lengths = [len(generate(model, random.Random(i), Sampling(1.0))) for i in range(200)]
    assert max(lengths) == config.block_size


@pytest.mark.parametrize("length", [8, 9, 100])
def test_a_prompt_that_leaves_no_room(tiny, length):
    with pytest.raises(ValueError, match=rf"prompt has {length} tokens.*at most 7"):
        generate(tiny.model, random.Random(1), Sampling(), [1] * length)


def test_a_context_of_one_token_writes_one_word():
    model = GPT.initialize(Config(4, n_layer=1, n_embd=4, n_head=1, block_size=1), random.Random(1))
    lengths = {len(generate(model, random.Random(i))) for i in range(30)}
    assert lengths == {0, 1}
    with pytest.raises(ValueError, match="at most 0"):
        generate(model, random.Random(1), prompt=[1])


@pytest.mark.parametrize("prompt", [[], [1, 2], [1, 2, 3, 4, 5, 6, 7]])
def test_the_choices_are_the_sentence(tiny, prompt):
    sampling, block_size = Sampling(1.5, top_k=9, top_p=0.9), tiny.model.config.block_size
    endings = set()
    for seed in range(40):
        made = list(choices(tiny.model, random.Random(seed), sampling, prompt))
        tokens = [choice.token for choice in made]
        ended = tokens[-1] == BOS
        sentence = prompt + (tokens[:-1] if ended else tokens)
        assert generate(tiny.model, random.Random(seed), sampling, prompt) == sentence
        assert BOS not in sentence
        assert ended or len(sentence) == block_size
        endings.add(ended)
    assert endings == {True, False}


def test_each_choice_has_the_probabilities_that_it_was_drawn_with(tiny):
    sampling, rng = Sampling(1.5, top_k=9, top_p=0.9), random.Random(3)
    made = list(choices(tiny.model, random.Random(3), sampling, [1]))
    assert len(made) > 2
    tokens = [1]
    for token, probabilities in made:
        expected = sampling.probabilities(logits_after(tiny.model, tokens))
        assert probabilities == pytest.approx(expected, rel=1e-9)
        assert choose(probabilities, rng) == token
        tokens.append(token)


def test_the_reader_has_the_logits_that_a_choice_was_made_from(tiny):
    reader, tokens = Reader(tiny.model), [1]
    for choice in choices(reader, random.Random(3), Sampling(1.5, top_k=9), tokens):
        assert reader.logits.data == pytest.approx(logits_after(tiny.model, tokens).data, rel=1e-9)
        tokens = [*tokens, choice.token]
    assert len(tokens) > 3


def test_a_choice_is_made_when_it_is_asked_for(tiny):
    rng = random.Random(1)
    before = rng.getstate()
    steps = choices(tiny.model, rng)
    assert rng.getstate() == before
    next(steps)
    once = random.Random(1)
    once.random()
    assert rng.getstate() == once.getstate()


def test_choices_left_alone_do_not_disturb_the_next_sentence(tiny):
    reader = Reader(tiny.model)
    steps = choices(reader, random.Random(1), prompt=[1, 2])
    next(steps)
    expected = generate(tiny.model, random.Random(2), Sampling(1.0))
    assert generate(reader, random.Random(2), Sampling(1.0)) == expected


def test_choices_refuse_a_prompt_that_leaves_no_room(tiny):
    with pytest.raises(ValueError, match="at most 7"):
        next(choices(tiny.model, random.Random(1), prompt=[1] * 8))


def test_no_graph_is_recorded_while_sampling(tiny):
    logits = logits_after(tiny.model, [1, 2])
    assert all(logit.children == () for logit in logits)
    cache = KVCache(1)
    # The counterpart, so that the line above cannot hold for a trivial reason.
    assert any(logit.children != () for logit in tiny.model(BOS, cache))


def test_sampling_leaves_recording_as_it_was(tiny):
    generate(tiny.model, random.Random(1))
    with pytest.raises(ValueError, match="prompt"):
        generate(tiny.model, random.Random(1), prompt=[1] * 99)
    with pytest.raises(IndexError):
        generate(tiny.model, random.Random(1), prompt=[99])
    assert any(logit.children != () for logit in tiny.model(BOS, KVCache(1)))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("kept", [True, False])
def test_memory_stays_flat_over_many_sentences(tiny, kept):
    def resident_pages():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1])

    rng = random.Random(1)
    writer = Reader(tiny.model) if kept else tiny.model
    for _ in range(200):
        generate(writer, rng, Sampling(1.0))
    before = resident_pages()
    for _ in range(1500):
        generate(writer, rng, Sampling(1.0))
    # 256 pages are 1 MiB; one graph that is kept for each sentence would be some 50 MiB.
    assert resident_pages() - before < 256


# ---------------------------------------------------------------- the KV cache


def forward_afresh(model, tokens):
    """The logits after the last token: every position computed anew, in plain Python."""
    config = model.config
    w = {name: matrix.data for name, matrix in model.parameters.items()}
    d = config.n_embd // config.n_head

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    def linear(x, matrix):
        return [dot(row, x) for row in matrix]

    def norm(x):
        return [v / sqrt(dot(x, x) / len(x) + 1e-5) for v in x]

    def add(a, b):
        return [x + y for x, y in zip(a, b, strict=True)]

    xs = [norm(add(w["wte.weight"][t], w["wpe.weight"][i])) for i, t in enumerate(tokens)]
    for layer in range(config.n_layer):
        normed = [norm(x) for x in xs]
        q, k, v = (
            [linear(x, w[f"h.{layer}.attn.{name}_proj.weight"]) for x in normed] for name in "qkv"
        )
        for i in range(len(xs)):
            gathered = []
            for s in range(0, config.n_embd, d):
                scores = [dot(q[i][s : s + d], k[j][s : s + d]) / sqrt(d) for j in range(i + 1)]
                weights = plain(scores)
                gathered += [
                    sum(weights[j] * v[j][c] for j in range(i + 1)) for c in range(s, s + d)
                ]
            xs[i] = add(xs[i], linear(gathered, w[f"h.{layer}.attn.o_proj.weight"]))
            up = linear(norm(xs[i]), w[f"h.{layer}.mlp.up_proj.weight"])
            hidden = [max(0.0, x) for x in up]
            xs[i] = add(xs[i], linear(hidden, w[f"h.{layer}.mlp.down_proj.weight"]))
    return linear(xs[-1], w["lm_head.weight"])


@pytest.mark.parametrize("seed", range(4))
def test_the_cache_gives_the_logits_of_reading_afresh(seed):
    rng = random.Random(seed)
    config = Config(7, n_layer=2, n_embd=12, n_head=3, block_size=10)
    model = GPT.initialize(config, rng)
    tokens = [BOS, *(rng.randrange(7) for _ in range(9))]
    cache = KVCache(config.n_layer)
    with no_grad():
        for i, token in enumerate(tokens, start=1):
            cached = model(token, cache).data
            assert cached == logits_after(model, tokens[1:i]).data
            assert cached == pytest.approx(forward_afresh(model, tokens[:i]), rel=1e-9, abs=1e-12)
    assert len(cache) == 10


# ---------------------------------------------------------------- the Reader


def test_a_reader_gives_the_logits_of_reading_afresh_again_and_again():
    rng = random.Random(5)
    config = Config(7, n_layer=2, n_embd=12, n_head=3, block_size=10)
    model = GPT.initialize(config, rng)
    reader = Reader(model)
    # Short and long ones in turn: what a longer sentence left behind must not be seen.
    for length in (1, 10, 3, 10, 1, 7, 2, 10):
        reader.restart()
        tokens = [BOS, *(rng.randrange(7) for _ in range(length - 1))]
        for i, token in enumerate(tokens, start=1):
            logits = reader.read(token).data
            assert len(reader) == i
            assert logits == pytest.approx(forward_afresh(model, tokens[:i]), rel=1e-9, abs=1e-12)


def test_a_reader_writes_what_the_model_writes(tiny):
    reader = Reader(tiny.model)
    for seed in range(60):
        prompt = [1, 2, 3][: seed % 4]
        sampling = Sampling(1.5, top_k=seed % 3 * 4)
        afresh = generate(tiny.model, random.Random(seed), sampling, prompt)
        assert generate(reader, random.Random(seed), sampling, prompt) == afresh


def test_a_reader_that_has_read_nothing_has_no_logits(tiny):
    reader = Reader(tiny.model)
    with pytest.raises(IndexError, match="no token"):
        reader.logits  # noqa: B018 - the property computes
    assert reader.read(BOS) is reader.logits
    reader.restart()
    with pytest.raises(IndexError, match="no token"):
        reader.logits  # noqa: B018


def test_two_readers_do_not_disturb_each_other(tiny):
    one, other = Reader(tiny.model), Reader(tiny.model)
    for a, b in zip([BOS, 1, 2, 3], [BOS, 4, 5, 6], strict=True):
        one_logits, other_logits = one.read(a).data, other.read(b).data
    assert one_logits == logits_after(tiny.model, [1, 2, 3]).data
    assert other_logits == logits_after(tiny.model, [4, 5, 6]).data


def test_a_reader_survives_its_errors(tiny):
    reader = Reader(tiny.model)
    expected = logits_after(tiny.model, [1, 2]).data
    # Twice: once while it records, once while it replays.
    for _ in range(2):
        reader.restart()
        reader.read(BOS)
        with pytest.raises(IndexError):
            reader.read(tiny.model.config.vocab_size)
        reader.restart()
        assert [reader.read(token).data for token in (BOS, 1, 2)][-1] == expected
        for _ in range(5):
            reader.read(1)
        with pytest.raises(IndexError):
            reader.read(1)


@pytest.mark.parametrize("token", [-1, -15, 15, 2**31, 2**63, 10**30])
def test_a_reader_refuses_what_is_no_token(tiny, token):
    with pytest.raises(IndexError):
        Reader(tiny.model).read(token)


def test_a_reader_follows_the_parameters():
    model = GPT.initialize(Config(4, 1, 4, 1, 3), random.Random(1))
    reader = Reader(model)
    before = reader.read(BOS).data
    for matrix in model.parameters.values():
        matrix.data = [[2 * x + 0.1 for x in row] for row in matrix.data]
    reader.restart()
    after = reader.read(BOS).data
    assert after != before
    assert after == logits_after(model, []).data
