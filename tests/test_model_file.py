"""The model file: what it holds, how it is written, and what is refused."""

import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from math import isfinite, nan
from pathlib import Path

import pytest
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from llmhard import model_file
from llmhard.model import GPT, Config
from llmhard.model_file import ModelFileError, load, save
from llmhard.recipe import Recipe
from llmhard.sampler import Sampling, generate
from llmhard.tokenizer import Tokenizer
from llmhard.training_record import CurvePoint, DataRecord, TrainingRecord

CHECKOUT = Path(model_file.__file__).parent.parent


def unpack(content):
    """Header and data of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def pack(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def described(content):
    return json.loads(unpack(content)[0]["__metadata__"]["llmhard"])


def with_description(content, description):
    """The file with another description of the model: a JSON text, or what becomes one."""
    header, data = unpack(content)
    text = description if isinstance(description, str) else json.dumps(description)
    header["__metadata__"] = {"llmhard": text}
    return pack(header, data)


def changed(content, keys, value):
    """The file with one entry of its description replaced, or removed if `value` is Ellipsis."""
    description = described(content)
    place = description
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return with_description(content, description)


@pytest.fixture(scope="module")
def valid(tiny_file):
    return tiny_file.read_bytes()


@pytest.fixture
def refuses(tmp_path):
    """Check that a content is refused with one short, printable line; returns that line."""

    def check(content):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(content)
        with pytest.raises(ModelFileError) as error:
            load(path)
        message = str(error.value)
        assert message.isprintable(), "a message must not carry line ends or escape sequences"
        assert 0 < len(message) < 500
        return message

    return check


# ---------------------------------------------------------------- what is written


def test_the_format(tiny, valid):
    tensors = dict(deserialize(valid))
    projections = [f"h.0.attn.{name}_proj.weight" for name in "qkvo"]
    assert {name: tuple(t["shape"]) for name, t in tensors.items()} == {
        "wte.weight": (tiny.tokenizer.vocab_size, 8),
        "wpe.weight": (8, 8),
        "lm_head.weight": (tiny.tokenizer.vocab_size, 8),
        **dict.fromkeys(projections, (8, 8)),
        "h.0.mlp.up_proj.weight": (32, 8),
        "h.0.mlp.down_proj.weight": (8, 32),
    }
    assert {t["dtype"] for t in tensors.values()} == {"F64"}
    for name, tensor in tensors.items():
        assert bytes(tensor["data"]) == tiny.model.parameters[name].tobytes()
    assert described(valid) == {
        "config": {"vocab_size": 15, "n_layer": 1, "n_embd": 8, "n_head": 2, "block_size": 8},
        "tokenizer": "word",
        "vocabulary": list(tiny.tokenizer.words),
        "training": [
            {
                "recipe": {
                    "steps": 60,
                    "batch_size": 1,
                    "lr": 0.005,
                    "warmup": 0,
                    "decay": 1.0,
                    "beta1": 0.9,
                    "beta2": 0.999,
                    "eps": 1e-8,
                    "weight_decay": 0.0,
                    "average": 0.0,
                },
                "seed": 1,
                "final_loss": tiny.record.final_loss,
                "data": {
                    "name": "sentences.txt",
                    "sha256": hashlib.sha256("\n".join(SENTENCES).encode()).hexdigest(),
                    "sentences": 6,
                    "held_out": 0,
                },
                "curve": [
                    {"step": point.step, "training": point.training, "validation": None}
                    for point in tiny.record.curve
                ],
                "version": "0.0.test",
                "best_step": None,
            }
        ],
    }


def test_what_is_saved_comes_back(tiny, tiny_file):
    loaded = load(tiny_file)
    assert loaded.model.config == tiny.model.config
    assert loaded.tokenizer.words == tiny.tokenizer.words
    assert loaded.records == tiny.records
    for name, matrix in tiny.model.parameters.items():
        assert loaded.model.parameters[name].tobytes() == matrix.tobytes()
    writes = [
        [generate(model, random.Random(1), Sampling(1.0)) for _ in range(3)]
        for model in (loaded.model, tiny.model)
    ]
    assert writes[0] == writes[1]


@settings(max_examples=30)
@given(
    heads=st.integers(1, 3),
    head_dim=st.integers(1, 3),
    n_layer=st.integers(1, 12),
    block_size=st.integers(1, 5),
    words=st.lists(
        st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    loss=st.floats(0, 100),
    seed=st.integers(),
    validation=st.lists(st.none() | st.floats(0, 100), max_size=3),
)
def test_every_model_comes_back(
    tmp_path_factory, heads, head_dim, n_layer, block_size, words, loss, seed, validation
):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    tokenizer = Tokenizer(words)
    config = Config(tokenizer.vocab_size, n_layer, heads * head_dim, heads, block_size)
    model = GPT.initialize(config, random.Random(0))
    points = tuple(CurvePoint(step, loss, held_out) for step, held_out in enumerate(validation))
    data = DataRecord(words[0], "0", seed % 9, 0)
    record = TrainingRecord(Recipe(1, lr=loss + 0.1), seed, loss, data, points, "x")
    records = (record,) * (1 + seed % 2)
    save(path, model_file.SavedModel(model, tokenizer, records))
    first = path.read_bytes()
    loaded = load(path)
    assert (loaded.model.config, loaded.tokenizer.words, loaded.records) == (
        config,
        tuple(words),
        records,
    )
    save(path, loaded)
    assert path.read_bytes() == first


def test_numbers_survive_to_the_last_bit(tiny, tmp_path):
    model = GPT.initialize(tiny.model.config, random.Random(1))
    extremes = [5e-324, -0.0, 1.7976931348623157e308, 1 / 3, -2.5e-310, 1.0, 0.1, 3.0]
    model.parameters["wpe.weight"].data = [extremes] * 8
    path = tmp_path / "m.safetensors"
    save(path, model_file.SavedModel(model, tiny.tokenizer, tiny.records))
    row = load(path).model.parameters["wpe.weight"].data[0]
    assert [x.hex() for x in row] == [x.hex() for x in extremes]


# ---------------------------------------------------------------- how it is written


class FullDisk(OSError):
    """The error that the tests provoke."""


@pytest.mark.parametrize("existing", [None, b"the old model"])
@pytest.mark.parametrize("error", [FullDisk, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("failing", ["os.open", "os.write", "os.fsync", "pathlib.Path.replace"])
def test_a_failing_write_changes_nothing(tiny, tmp_path, monkeypatch, existing, error, failing):
    def fail(*_args, **_options):
        raise error("provoked")

    path = tmp_path / "model.safetensors"
    if existing:
        path.write_bytes(existing)
    monkeypatch.setattr(failing, fail)
    with pytest.raises(error, match="provoked"):
        save(path, tiny)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == (["model.safetensors"] if existing else [])
    if existing:
        assert path.read_bytes() == existing


def test_an_interruption_right_after_the_last_act(tiny, tmp_path, monkeypatch):
    replace = Path.replace

    def late(self, target):
        replace(self, target)
        raise KeyboardInterrupt("provoked")

    monkeypatch.setattr(Path, "replace", late)
    # Not a FileNotFoundError from tidying up what is gone already.
    with pytest.raises(KeyboardInterrupt, match="provoked"):
        save(tmp_path / "m.safetensors", tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    assert load(tmp_path / "m.safetensors").records == tiny.records


def test_kill_dash_nine_leaves_the_old_file(tiny_file, valid, tmp_path):
    old = tmp_path / "model.safetensors"
    old.write_bytes(b"the old model")
    code = (
        "import os, signal, sys; from llmhard import model_file\n"
        "saved = model_file.load(sys.argv[1])\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "model_file.save(sys.argv[2], saved)\n"
    )
    command = [sys.executable, "-c", code, str(tiny_file), str(old)]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=env, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert old.read_bytes() == b"the old model"
    # What remains is under another name, whole as far as it was written.
    others = [p for p in tmp_path.iterdir() if p != old]
    assert all(p.suffix != ".safetensors" for p in others)
    assert all(p.read_bytes() == valid for p in others)


def test_permissions_are_the_usual_ones(tiny, tmp_path):
    outer = os.umask(0o027)
    try:
        save(tmp_path / "m.safetensors", tiny)
    finally:
        os.umask(outer)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tiny, tmp_path):
    (tmp_path / "models").mkdir()
    target, link = tmp_path / "models" / "real.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(target)
    save(link, tiny)
    assert link.is_symlink()
    assert load(target).records == tiny.records


# A temporary name that is longer than the final one must not be the reason for a failure.
@pytest.mark.parametrize("length", [200, 240, 250, 255])
def test_long_names(tiny, tmp_path, length):
    save(tmp_path / ("m" * length), tiny)
    assert [len(p.name) for p in tmp_path.iterdir()] == [length]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"the cat sat on the mat\n",
        b"\0" * 8,
        b"\0" * 1000,
        b"\xff" * 100,
        (2**63).to_bytes(8, "little") + b"{}",
        (2**64 - 1).to_bytes(8, "little") + b"{}",
        (10**8).to_bytes(8, "little") + b"{}",
        (3).to_bytes(8, "little") + b"{}",
        pack(b"{}", b""),
        pack(b"[]", b""),
        pack(b"null", b""),
        pack(b"{", b""),
        pack(b"[" * 100_000, b""),
        pack(b'{"a":' * 100_000, b""),
        pack(b"[" * 100_000 + b"]" * 100_000, b""),
        pack(b'{"__metadata__":null}', b""),
        pack(b'{"__metadata__":{}}', b""),
        pack(b'{"__metadata__":[]}', b""),
        pack(b'{"__metadata__":{"llmhard":null}}', b""),
        pack(b'{"__metadata__":{"llmhard":1}}', b""),
        pack(b'{"__metadata__":{"llmhard":{}}}', b""),
        pack(b'{"__metadata__":{"format":"pt"}}', b""),
        pack(b'{"__metadata__":{"llmhard":"{}"},"__metadata__":{"llmhard":"1"}}', b""),
        pack(b"\xef\xbb\xbf{}", b""),
        pack(b'{"\xff":1}', b""),
        pack(b'{"a":' + b"9" * 5000 + b"}", b""),
        b"PK\x03\x04" + b"\0" * 100,
    ],
    ids=lambda content: repr(content[:40]),
)
def test_what_is_no_model_at_all(refuses, content):
    refuses(content)


def test_truncated_anywhere(refuses, valid):
    header = 8 + int.from_bytes(valid[:8], "little")
    for length in {*range(0, 12), *range(12, len(valid), 97), header - 1, header, len(valid) - 1}:
        refuses(valid[:length])


def test_bytes_too_many(refuses, valid):
    refuses(valid + b"\0")
    refuses(valid + valid)


FIELDS = [
    *(("config", name) for name in ("vocab_size", "n_layer", "n_embd", "n_head", "block_size")),
    ("vocabulary",),
    ("tokenizer",),
    *(
        ("training", 0, name)
        for name in ("recipe", "seed", "final_loss", "data", "curve", "version", "best_step")
    ),
    *(
        ("training", 0, "recipe", name)
        for name in (
            "steps",
            "batch_size",
            "lr",
            "warmup",
            "decay",
            "beta1",
            "beta2",
            "eps",
            "weight_decay",
            "average",
        )
    ),
    *(("training", 0, "data", name) for name in ("name", "sha256", "sentences", "held_out")),
    *(("training", 0, "curve", 0, name) for name in ("step", "training", "validation")),
    ("training", 0, "curve", 0),
    ("training", 0),
    ("config",),
    ("training",),
]
WRONG = [
    ...,
    None,
    True,
    [],
    {},
    "",
    "x",
    [[]],
    {"a": 1},
    1.5,
    nan,
    float("inf"),
    -1,
    0,
    10**9,
    10**30,
]


def is_wrong(keys, value):
    """Whether no model can have this value in this place."""
    whole = type(value) is int
    number = whole or type(value) is float
    name = keys[-1]
    if name == "seed":
        return not whole
    if name in ("version", "name", "sha256"):
        return not isinstance(value, str)
    if name in ("final_loss", "training", "validation") and keys != ("training",):
        if name == "validation" and value is None:
            return False
        return not whole and value != 1.5  # whether 3 may stand for 3.0 is a matter of taste
    if name in ("lr", "decay", "eps"):
        return not number or not 0 < value < 1e30
    if name in ("beta1", "beta2", "weight_decay"):
        return not number or not 0 <= value < (1 if name != "weight_decay" else 2)
    if name == "best_step":
        return value is not ... and value is not None and value != 0
    if name == "average":  # files of the first versions lack it
        return value is not ... and (type(value) is not float or not 0 <= value <= 1)
    if name in ("steps", "warmup", "sentences", "held_out", "step"):
        return not whole or value < 0
    if name == "batch_size":
        return not whole or value < 1
    if keys[-1] == 0:  # there may be one less
        return value is not ...
    if keys == ("training",):
        return value != []
    if name == "curve":
        return value != []
    return name != "n_layer" or not whole or value < 10**4  # millions have their own test


@pytest.mark.parametrize(
    ("keys", "value"),
    [(keys, value) for keys in FIELDS for value in WRONG if is_wrong(keys, value)],
    ids=lambda x: ".".join(map(str, x)) if isinstance(x, tuple) else repr(x),
)
def test_each_field_of_the_description_in_turn(refuses, valid, keys, value):
    refuses(changed(valid, keys, value))


def test_a_model_of_the_first_versions(valid, tiny, tmp_path):
    content = changed(valid, ("training", 0, "recipe", "average"), ...)
    path = tmp_path / "old.safetensors"
    path.write_bytes(changed(content, ("training", 0, "best_step"), ...))
    record = load(path).record
    assert record == tiny.record
    assert (record.recipe.average, record.best_step, record.kept_step) == (0.0, None, 60)


def test_a_field_with_a_default_is_not_taken_for_granted(refuses, tmp_path, tiny):
    # All sizes are the defaults, so that only the missing number itself can be noticed.
    config = Config(tiny.tokenizer.vocab_size)
    path = tmp_path / "default.safetensors"
    model = GPT.initialize(config, random.Random(1))
    save(path, model_file.SavedModel(model, tiny.tokenizer, tiny.records))
    content = path.read_bytes()
    for name in ("n_layer", "n_embd", "n_head", "block_size"):
        assert name in refuses(changed(content, ("config", name), ...))


SIZES = [2, 3, 16, 10**6, 10**9, 2**31, 2**62, 2**63, 10**30, 10**4000]


def size_name(size):
    return f"10**{len(str(size)) - 1}" if isinstance(size, int) else size


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, size) for name in ("vocab_size", "n_embd", "block_size") for size in SIZES),
        *(("n_head", size) for size in SIZES if size not in (2, 8)),
        *(("n_layer", size) for size in SIZES[:3]),
    ],
    ids=size_name,
)
def test_sizes_that_do_not_fit_the_tensors(refuses, valid, name, size):
    start = time.perf_counter()
    refuses(changed(valid, ("config", name), size))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("size", SIZES[3:], ids=size_name)
def test_millions_of_layers_are_refused_quickly_and_with_little_memory(valid, tmp_path, size):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(changed(valid, ("config", "n_layer"), size))
    code = (
        "import resource, sys, time; from llmhard import model_file\n"
        # A loader that lists the names of 10**9 layers would take the machine along.
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()\n"
        "try: model_file.load(sys.argv[1])\n"
        "except model_file.ModelFileError: print('refused', end=' ')\n"
        "assert time.perf_counter() - start < 1\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr[-300:]) == ("refused ", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "1",
        "[]",
        '"x"',
        "NaN",
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"config":' * 100_000 + "1" + "}" * 100_000,
        '{"config":' + "9" * 5000 + "}",
        '{"config": {"vocab_size": ' + "[" * 900 + "]" * 900 + "}}",
        '{"config": {"vocab_size": [' + "0," * 100_000 + "0]}}",
        '{"config": {"vocab_size": "' + "x" * 100_000 + '"}}',
    ],
    ids=lambda text: repr(text[:30]),
)
def test_descriptions_that_are_none(refuses, valid, text):
    refuses(with_description(valid, text))


@pytest.mark.parametrize(
    "keys",
    [
        ("vocabulary", 0),
        ("training", 0, "recipe", "steps"),
        ("training", 0, "final_loss"),
        ("config", "n_head"),
    ],
)
def test_nested_where_something_else_is_expected(refuses, valid, keys):
    deep = []
    for _ in range(400):
        deep = [deep]
    refuses(changed(valid, keys, deep))
    refuses(changed(valid, keys, [0] * 100_000))
    refuses(changed(valid, keys, {"\n\x1b[31m": 0}))


def test_a_number_with_thousands_of_digits(refuses, valid):
    text = json.dumps(described(valid))
    for digits in (4000, 5000, 100_000):
        refuses(
            with_description(
                valid, text.replace('"vocab_size": 15', f'"vocab_size": {"9" * digits}')
            )
        )


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "cat",
        "a b",
        "a\nb",
        "a\r",
        "\u2028",
        "\x1b[2J",
        "a\x1b]0;title\x07",
        "\x00",
        "a\x08",
        "\x7f",
        "\x9b31m",
        "\ud800",
        "a\u200b",
        "\u202ea",
        1,
        None,
        ["a"],
        {"a": 1},
        True,
    ],
    ids=repr,
)
def test_words_that_are_none(refuses, valid, word):
    assert "cat" in described(valid)["vocabulary"][1:]
    refuses(changed(valid, ("vocabulary", 0), word))


def test_characters(refuses, valid, tmp_path):
    as_characters = changed(valid, ("tokenizer",), "char")
    assert "one letter" in refuses(as_characters)
    letters = list("abcdefghijklm ")
    path = tmp_path / "char.safetensors"
    path.write_bytes(changed(as_characters, ("vocabulary",), letters))
    tokenizer = load(path).tokenizer
    assert (tokenizer.kind, tokenizer.decode([1, 14, 2])) == ("char", "a b")
    for character in ("", "no", "a", "\n", "\u2028", "\x1b", "\u202e", "\ud800", 1, None, ["z"]):
        refuses(changed(as_characters, ("vocabulary",), [*letters[:-1], character]))


@pytest.mark.parametrize(
    "vocabulary", ["abcdefghijklmn", dict.fromkeys("abcdefghijklmn", 1)], ids=repr
)
def test_a_vocabulary_that_is_no_list(refuses, valid, vocabulary):
    # Both have as many letters or keys as the model has words.
    refuses(changed(valid, ("vocabulary",), vocabulary))


def test_a_vocabulary_that_does_not_fit(refuses, valid):
    words = described(valid)["vocabulary"]
    assert "15" in refuses(changed(valid, ("vocabulary",), words[:-1]))
    assert "15" in refuses(changed(valid, ("vocabulary",), [*words, "more"]))


def test_unknown_fields(refuses, valid):
    refuses(changed(valid, ("config", "bias"), True))
    refuses(changed(valid, ("config", "\n\x1b[31mred"), 1))


def edited(content, edit):
    header, data = unpack(content)
    edit(header)
    return pack(header, data)


@pytest.mark.parametrize(
    "name", ["wte.weight", "wpe.weight", "lm_head.weight", "h.0.attn.q_proj.weight"]
)
def test_tensors_that_are_not_as_they_should_be(refuses, valid, name):
    def set_(key, value):
        return lambda header: header[name].update({key: value})

    shape = unpack(valid)[0][name]["shape"]
    numbers = shape[0] * shape[1]
    for dtype in ("I64", "U64"):
        assert "float64" in refuses(edited(valid, set_("dtype", dtype)))
    for dtype in ("F32", "BF16", "F65", "", None, 1, []):
        refuses(edited(valid, set_("dtype", dtype)))
    refuses(edited(valid, lambda h: h[name].update(dtype="F32", shape=[shape[0], shape[1] * 2])))
    for other in (
        [numbers],
        [shape[0] // 2, shape[1] * 2] if shape[0] % 2 == 0 else [shape[1], shape[0]],
        [*shape, 1],
        [1, *shape],
        [],
        [0, 0],
        [0, 2**40],
        [2**62, 4],
        [2**63, 2],
        [2**32, 2**32],
        [-1, -numbers],
        [1.5, 2],
        ["8", "8"],
        None,
        shape[:1],
        [10**30, 1],
    ):
        refuses(edited(valid, set_("shape", other)))
    for offsets in ([0, 0], [0, 2**63], [8, 0], [-8, 0], [0], None, [1, 9], [2**64 - 1, 2**64 - 1]):
        refuses(edited(valid, set_("data_offsets", offsets)))


def test_empty_tensors(refuses, valid):
    header, _ = unpack(valid)
    for shape in ([0, 8], [15, 0], [0, 2**60]):
        empty = {
            name: {"dtype": "F64", "shape": shape, "data_offsets": [0, 0]}
            for name in header
            if name != "__metadata__"
        }
        refuses(pack({"__metadata__": header["__metadata__"]} | empty, b""))


def test_missing_extra_and_renamed_tensors(refuses, valid):
    header, data = unpack(valid)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    metadata = {"__metadata__": header["__metadata__"]}
    last = max(tensors, key=lambda name: tensors[name]["data_offsets"][1])
    start = tensors[last]["data_offsets"][0]
    without = {name: entry for name, entry in tensors.items() if name != last}
    assert last in refuses(pack(metadata | without, data[:start]))
    extra = {"dtype": "F64", "shape": [1, 1], "data_offsets": [len(data), len(data) + 8]}
    for name in ("h.1.mlp.up_proj.weight", "", "\n", "\x1b[2J", "x" * 10_000, "__proto__"):
        refuses(pack(metadata | tensors | {name: extra}, data + bytes(8)))
        refuses(pack(metadata | without | {name: tensors[last]}, data))
    many = {
        f"x{i}": {
            "dtype": "F64",
            "shape": [1, 1],
            "data_offsets": [len(data) + 8 * i, len(data) + 8 * i + 8],
        }
        for i in range(2000)
    }
    refuses(pack(metadata | tensors | many, data + bytes(8 * len(many))))
    refuses(pack(metadata, b""))


@pytest.mark.parametrize("bad", [nan, float("inf"), -float("inf")])
def test_weights_that_are_not_finite(tiny, tmp_path, refuses, bad):
    for name in tiny.model.parameters:
        model = GPT.initialize(tiny.model.config, random.Random(1))
        rows = model.parameters[name].data
        rows[-1][-1] = bad
        model.parameters[name].data = rows
        path = tmp_path / "bad.safetensors"
        save(path, model_file.SavedModel(model, tiny.tokenizer, tiny.records))
        assert repr(name) in refuses(path.read_bytes())


def test_paths_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none", Path(__file__) / "x", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=str(path)):
            load(path)


def test_huge_but_finite_weights_do_not_crash_the_sampler(tiny):
    for scale in (1e154, 1e300, 1.7e308):
        model = GPT.initialize(tiny.model.config, random.Random(1))
        for matrix in model.parameters.values():
            matrix.data = [[scale if x > 0 else -scale for x in row] for row in matrix.data]
        for temperature in (0.0, 0.8):
            try:
                sentence = generate(model, random.Random(1), Sampling(temperature))
                assert all(0 < token < model.config.vocab_size for token in sentence)
            except ArithmeticError:
                pass  # what the command line reports as an error of the model


# ---------------------------------------------------------------- arbitrary bytes


def load_or_refuse(folder, content):
    path = folder / "fuzz.safetensors"
    path.write_bytes(content)
    try:
        loaded = load(path)
    except ModelFileError:
        return
    # What is accepted is a model that can write.
    assert all(isfinite(x) for m in loaded.model.parameters.values() for row in m.data for x in row)
    with contextlib.suppress(ArithmeticError):
        generate(loaded.model, random.Random(1))


@settings(max_examples=200)
@given(content=st.binary(max_size=200))
def test_random_bytes(tmp_path_factory, content):
    load_or_refuse(tmp_path_factory.getbasetemp(), content)


@settings(max_examples=200)
@given(header=st.binary(max_size=80), data=st.binary(max_size=40))
def test_random_headers(tmp_path_factory, header, data):
    load_or_refuse(tmp_path_factory.getbasetemp(), pack(header, data))


@settings(max_examples=300)
@given(data=st.data())
def test_mutations_and_splices(tmp_path_factory, valid, data):
    content = bytearray(valid)
    header = 8 + int.from_bytes(valid[:8], "little")
    # Twice as often in the header, where more can go wrong.
    places = st.one_of(st.integers(0, header), st.integers(0, header), st.integers(0, len(valid)))
    for _ in range(data.draw(st.integers(1, 4))):
        i, j = sorted([data.draw(places), data.draw(places)])
        act = data.draw(st.sampled_from(["set", "delete", "insert", "copy", "flip"]))
        if act == "set":
            content[i : i + 8] = data.draw(st.binary(min_size=1, max_size=8))
        elif act == "delete":
            del content[i : min(j, i + 20)]
        elif act == "insert":
            content[i:i] = data.draw(
                st.sampled_from([b"0", b"9", b"[", b"}", b"-", b"\\n", b'"', b"\0"])
            )
        elif act == "copy":
            content[i:i] = content[i : min(j, i + 50)]
        elif i < len(content):
            content[i] ^= 1 << data.draw(st.integers(0, 7))
    load_or_refuse(tmp_path_factory.getbasetemp(), bytes(content))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 40)
    | st.floats()
    | st.text(max_size=3)
    | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    keys=st.sampled_from([*FIELDS, ("vocabulary", 3), ("config", "x"), ("x",)]), value=json_values
)
def test_any_json_anywhere_in_the_description(tmp_path_factory, valid, keys, value):
    if keys == ("config", "n_layer") and isinstance(value, int) and value > 1000:
        value = 1000  # larger ones have a test of their own, with a limit to the memory
    load_or_refuse(tmp_path_factory.getbasetemp(), changed(valid, keys, value))


@settings(max_examples=200)
@given(
    name=st.sampled_from(["wte.weight", "wpe.weight", "h.0.mlp.up_proj.weight"]),
    key=st.sampled_from(["dtype", "shape", "data_offsets", "more"]),
    value=json_values | st.lists(st.integers(0, 2**64), max_size=3),
)
def test_any_json_anywhere_in_the_header(tmp_path_factory, valid, name, key, value):
    header, data = unpack(valid)
    header[name][key] = value
    load_or_refuse(tmp_path_factory.getbasetemp(), pack(header, data))


def test_refusing_does_not_leak(tmp_path, valid):
    bad = [
        valid[:-8],
        changed(valid, ("training", 0, "recipe", "steps"), "x"),
        valid + b"\0",
        valid[:8] + b"x" + valid[9:],
    ]
    path = tmp_path / "bad.safetensors"

    def resident_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def refuse_all(times):
        for _ in range(times):
            for content in bad:
                path.write_bytes(content)
                with pytest.raises(ModelFileError):
                    load(path)

    refuse_all(30)
    before = resident_bytes()
    refuse_all(150)
    # The files that were refused add up to some 8 MB.
    assert resident_bytes() - before < 1_500_000


def test_the_library_still_has_the_error_that_load_translates():
    with pytest.raises(SafetensorError):
        deserialize(b"not a model")
