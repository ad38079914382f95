"""Models as folders for transformers, and such folders as models."""

import json
import math
import random
import re
import sys
import unicodedata

import pytest

import llmhard
from llmhard import export, model_file, tensor_file
from llmhard.cli import main
from llmhard.export.tokenizer_json import describe
from llmhard.model import GPT, Config
from llmhard.sampler import Reader, Sampling, generate
from llmhard.tensor_file import ModelFileError, Packed
from llmhard.tokenizer import BOS, CharTokenizer, Tokenizer, UnknownWordError

SENTENCES = ["the cat sees a big dog", "mom reads a book", "seven ducks swim", "Zoë runs"]


def made(tokenizer, rng, n_layer=2, n_embd=16, n_head=4):
    config = Config(tokenizer.vocab_size, n_layer, n_embd, n_head, 12)
    model = GPT.initialize(config, rng)
    for matrix in model.parameters.values():  # logits and attention far from even
        matrix.data = [[10 * number for number in row] for row in matrix.data]
    return model_file.SavedModel(model, tokenizer, ())


@pytest.fixture(params=[Tokenizer, CharTokenizer])
def saved(request):
    return made(request.param.from_sentences(SENTENCES), random.Random(3))


def same(one, other):
    assert one.model.config == other.model.config
    assert type(one.tokenizer) is type(other.tokenizer)
    assert one.tokenizer.words == other.tokenizer.words
    assert one.records == other.records
    for name, matrix in one.model.parameters.items():
        assert other.model.parameters[name].data == matrix.data


# ---------------------------------------------------------------- the folder alone


def test_what_is_exported_comes_back(saved, tmp_path):
    written = export.write(tmp_path / "out", saved)
    assert sorted(path.name for path in written) == sorted(
        path.name for path in (tmp_path / "out").iterdir()
    )
    same(export.read(tmp_path / "out"), saved)
    same(model_file.load(tmp_path / "out" / export.WEIGHTS), saved)


def test_the_trained_model_comes_back_with_its_records(tiny, tmp_path):
    export.write(tmp_path, tiny)
    same(export.read(tmp_path), tiny)
    assert tiny.records


def narrowed(code, matrices):
    """The tensors as another program writes them, in single precision."""
    from array import array

    return {
        name: Packed(array(code, [x for row in m.data for x in row]), m.shape)
        for name, m in matrices.items()
    }


def test_single_precision_becomes_float64(saved, tmp_path):
    export.write(tmp_path, saved)
    tensors = narrowed("f", saved.model.parameters)
    tensor_file.write(tmp_path / export.WEIGHTS, "pt", "", tensors)
    found = export.read(tmp_path)
    assert found.records == ()
    for name, matrix in saved.model.parameters.items():
        for row, expected in zip(found.model.parameters[name].data, matrix.data, strict=True):
            assert row == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("config.json", '"n_embd": 16', '"n_embd": 17', "n_head must divide n_embd"),
        ("config.json", '"n_embd": 16', '"n_embd": "16"', "whole number"),
        ("config.json", '"n_layer": 2', '"n_layer": 3', "h.2.attn.q_proj.weight is missing"),
        ("config.json", '"n_layer": 2', '"n_layer": 1000000000', "too few tensors"),
        ("config.json", '"n_layer"', '"layers"', "n_layer"),
        ("config.json", '"model_type": "llmhard"', '"model_type": "gpt2"', "gpt2"),
        ("config.json", '"tokenizer": "', '"tokenizer": "b', "not a model that llmhard exported"),
        ("config.json", "{", "[", "not a model that llmhard exported"),
        ("tokenizer.json", '"<|BOS|>": 0,', '"<|BOS|>": 9,', "the ids in tokenizer.json"),
        ("tokenizer.json", '"vocab"', '"words"', "vocab"),
    ],
)
def test_what_does_not_fit_is_named(saved, tmp_path, file, old, new, message):
    export.write(tmp_path, saved)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelFileError, match=re.escape(message)):
        export.read(tmp_path)


def test_code_that_lies_in_the_folder_is_not_run(saved, tmp_path):
    export.write(tmp_path, saved)
    for name in export.CODE:
        (tmp_path / name).write_text("raise SystemExit('it ran')", encoding="utf-8")
    same(export.read(tmp_path), saved)


# ---------------------------------------------------------------- the commands


def test_the_commands_there_and_back(tiny_file, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "out", str(tiny_file)]) == 0
    assert "AutoModelForCausalLM.from_pretrained('out', trust_remote_code=True)" in (
        capsys.readouterr().out
    )
    assert main(["export", "out", str(tiny_file)]) == 0  # its own export may be replaced
    assert main(["import", "out", "--out", "back.safetensors"]) == 0
    assert (tmp_path / "back.safetensors").read_bytes() == tiny_file.read_bytes()
    capsys.readouterr()
    assert main(["info", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vocab_size"] == tiny.tokenizer.vocab_size
    same(llmhard.load("out").saved, tiny)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "full"], "full holds files already, but no exported model"),
        (["export", "note.txt"], "note.txt is a file, not a folder"),
        (["export", "a/b"], "mkdir"),
        (["export", "out", "none.safetensors"], "none.safetensors"),
        (["export", "out", "--to", "pytorch"], "transformers"),
        (["import", "full"], "it is a folder, and not one that export has written"),
        (["import", "nowhere"], "nowhere"),
    ],
)
def test_what_the_commands_refuse(tiny_file, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "note.txt").write_text("note", encoding="utf-8")
    command, folder, *others = arguments
    model = [] if command == "import" or others else [str(tiny_file)]
    assert main([command, folder, *others, *model]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "note.txt"]


def test_force_writes_among_other_files(tiny_file, tmp_path):
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    assert main(["export", str(tmp_path), str(tiny_file), "--force"]) == 0
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8") == "dear"


# ---------------------------------------------------------------- the tokenizer

PIECES = [
    *"abcXYZ   '-.,:;!?()\"012", "é", "e\u0301", "ß", "\u1e9e", "\u0130", "\u0131", "\u03a3",
    "\u03c3", "\u03c2", "\u0391\u03a3", "\u201c", "\u201d", "\u2018", "\u2019", "\u2014", "\u2013",
    "--", "---", "...", ". .", "\u2026", "\u00ad", "\u200b", "\ufeff", "\u200d",
    "\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u263a\ufe0f", "\t", "\u00a0", "\u2028",
    "\u0915\u094d\u0937\u093f", "\ud55c\uad6d", "\u65e5\u672c", "\u0663", "\u00b2", "\u00bd",
    "\u2167", "\ufb01", "\u212b", "\u0345", "\u01c5", "$", "\u20ac", "+", "<BOS>", "\u00bb",
    "\u00ab", "\u00bf", "3.5", "1,000", "12:30", "don't", "well-known", "n't", "\u0301", "\u1fb3",
    "\u0390",
]  # fmt: skip
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x3000), (0xA000, 0xD7FF), (0x1F000, 0x1FA00)]
# Accents of Unicode 14, which the other library does not sort into normal form yet.
NEW_ACCENTS = range(0x1AC1, 0x1ACF)


def difficult_lines(rng, count):
    """Lines of what is hard to take apart, half of them of characters from all over Unicode."""
    anywhere = [chr(code) for block in BLOCKS for code in range(*block) if code not in NEW_ACCENTS]
    # What this Python does not know may be assigned by now, and so in the other library.
    known = [c for c in anywhere if unicodedata.category(c) != "Cn"]
    for number in range(count):
        yield "".join(rng.choices([PIECES, known][number % 2], k=rng.randint(1, 20)))


@pytest.mark.parametrize("kind", [Tokenizer, CharTokenizer])
def test_the_same_ids_for_10_000_difficult_lines(kind):
    tokenizers = pytest.importorskip("tokenizers")
    rng = random.Random(7)
    lines = list(difficult_lines(rng, 10_000))
    ours = kind.from_sentences(lines)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(describe(ours)))
    differing = [
        line for line in lines if theirs.encode(line).ids != [BOS, *ours.encode(line)]
    ]  # fmt: skip
    assert differing == []
    assert sum(map(len, map(ours.encode, lines))) > 50_000


@pytest.mark.parametrize("kind", [Tokenizer, CharTokenizer])
def test_both_refuse_what_the_vocabulary_lacks(kind):
    tokenizers = pytest.importorskip("tokenizers")
    ours = kind.from_sentences(SENTENCES)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(describe(ours)))
    with pytest.raises(UnknownWordError):
        ours.encode("the Ж")
    with pytest.raises(Exception, match="UNK"):
        theirs.encode("the Ж")


def test_sentences_are_spaced_as_in_print():
    tokenizers = pytest.importorskip("tokenizers")
    text = "well (he said), 3.5 ducks! don't go..."
    ours = Tokenizer.from_sentences([text])
    theirs = tokenizers.Tokenizer.from_str(json.dumps(describe(ours)))
    assert theirs.decode([BOS, *ours.encode(text)]) == ours.decode(ours.encode(text))


# ---------------------------------------------------------------- the model


@pytest.fixture
def opened(saved, tmp_path, monkeypatch):
    """Load the exported model with transformers, of a precision and with an attention function."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export.write(tmp_path / "out", saved)

    def load(dtype="float32", attention="sdpa"):
        return transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "out",
            trust_remote_code=True,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
        )

    yield load
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)])
def test_the_same_logits(saved, opened, dtype, tolerance, attention):
    import torch

    model, rng = opened(dtype, attention), random.Random(1)
    reader, config = Reader(saved.model), saved.model.config
    assert sum(p.numel() for p in model.parameters()) == config.n_parameters()
    for length in (1, 5, config.block_size):
        tokens = [BOS, *(rng.randrange(config.vocab_size) for _ in range(length - 1))]
        theirs = model(torch.tensor([tokens])).logits[0].tolist()
        reader.restart()
        for token, logits in zip(tokens, theirs, strict=True):
            expected = reader.read(token).data
            size = max(map(abs, expected))
            assert max(map(abs, map(float.__sub__, logits, expected))) <= tolerance * max(size, 1)


def test_the_same_greedy_sentences_alone_and_in_a_batch(saved, opened, tmp_path):
    import torch
    from transformers import AutoTokenizer

    model = opened("float64")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=True)
    prompts = ["the", "mom reads", "a big dog"]
    expected = []
    for prompt in prompts:
        ids = saved.tokenizer.encode(prompt)
        expected.append(generate(saved.model, random.Random(0), Sampling(temperature=0), ids))
        found = model.generate(torch.tensor([[BOS, *ids]]), do_sample=False)[0].tolist()
        assert [token for token in found if token != BOS] == expected[-1]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    together = model.generate(**batch, do_sample=False, max_new_tokens=2).tolist()
    for row, prompt, whole in zip(together, prompts, expected, strict=True):
        found = [token for token in row if token != BOS]
        assert found == whole[: len(found)]
        assert len(found) >= len(saved.tokenizer.encode(prompt))


def test_a_loss_with_gradients_and_a_step_brought_back(saved, opened, tmp_path):
    import torch

    model = opened("float64")
    tokens = torch.tensor([[BOS, 1, 2, 3, BOS]])
    loss = model(tokens, labels=tokens).loss
    reader = Reader(saved.model)
    terms = []
    for token, then in zip(tokens[0].tolist(), tokens[0].tolist()[1:], strict=False):
        logits = reader.read(token).data
        largest = max(logits)
        terms.append(largest + math.log(sum(math.exp(x - largest) for x in logits)) - logits[then])
    # transformers computes losses in single precision, whatever the model's
    assert loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-6)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model.save_pretrained(tmp_path / "trained")
    (tmp_path / "trained" / "tokenizer.json").write_bytes(
        (tmp_path / "out" / "tokenizer.json").read_bytes()
    )
    back = export.read(tmp_path / "trained")
    assert back.tokenizer.words == saved.tokenizer.words
    for name, parameter in model.named_parameters():
        assert back.model.parameters[name].data == parameter.tolist()
    assert (
        back.model.parameters["lm_head.weight"].data
        != saved.model.parameters["lm_head.weight"].data
    )


def test_half_precision_comes_back(opened, tmp_path):
    model = opened("bfloat16")
    model.save_pretrained(tmp_path / "half")
    (tmp_path / "half" / "tokenizer.json").write_bytes(
        (tmp_path / "out" / "tokenizer.json").read_bytes()
    )
    back = export.read(tmp_path / "half")
    for name, parameter in model.named_parameters():
        assert back.model.parameters[name].data == parameter.double().tolist()
