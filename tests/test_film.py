"""The film of a training run: what is in it, that it changes nothing, and what is refused."""

import contextlib
import hashlib
import json
import random
import signal
import subprocess
import sys
from itertools import pairwise
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from small_run import ENV, RECIPE, SENTENCES, SIZES

from llmhard import cli, corpus, film, model_file
from llmhard.adam import Adam
from llmhard.autograd import Matrix
from llmhard.checkpoint import Checkpoint
from llmhard.film import SEEDS, TEMPERATURE, Camera, Film, film_steps
from llmhard.model import GPT, Config
from llmhard.model_file import ModelFileError, SavedModel
from llmhard.recipe import Recipe
from llmhard.sampler import Sampling, generate
from llmhard.tokenizer import CharTokenizer, Tokenizer
from llmhard.trainer import Trainer
from llmhard.training_record import DataRecord, TrainingRecord


@pytest.fixture
def train(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*options):
        return cli.main(["train", str(text), "--quiet", *RECIPE, *SIZES, *map(str, options)])

    return call


@pytest.fixture(scope="module")
def made(text, tmp_path_factory):
    """A model and its film, as files."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["train", str(text), "--quiet", *RECIPE, *SIZES, "--film", "9"]) == 0
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def filmed(made):
    return Film.load(f"{made}.film")


# ---------------------------------------------------------------- when


@given(st.integers(0, 10**7), st.integers(2, 200))
def test_the_steps_of_a_film(steps, n):
    chosen = film_steps(steps, n)
    assert len(chosen) == min(n, steps + 1)
    assert (chosen[0], chosen[-1]) == (0, steps)
    assert all(before < after for before, after in pairwise(chosen))


def test_most_snapshots_are_early_and_the_last_third_is_even():
    assert film_steps(17_000, 24) == [
        0, 8, 12, 18, 26, 37, 54, 77, 112, 162, 233, 337, 487, 704, 1018, 1471,
        2125, 4250, 6375, 8500, 10625, 12750, 14875, 17000,
    ]  # fmt: skip
    assert film_steps(3, 24) == [0, 1, 2, 3]
    assert film_steps(10**12, 2) == [0, 10**12]


# ---------------------------------------------------------------- what is in it


class Seen:
    """What a training run was like at the steps of a film, and the film that a camera made."""

    def __init__(self, recipe, n):
        self.tokenizer = Tokenizer.from_sentences(SENTENCES)
        config = Config(self.tokenizer.vocab_size, 2, 8, 2, 8)
        documents = [self.tokenizer.encode_document(sentence) for sentence in SENTENCES]
        model = GPT.initialize(config, random.Random(3))
        trainer = Trainer(model, documents[2:], recipe, 3, documents[:2], keep="last")
        self.camera = Camera(config, self.tokenizer, recipe.steps, n)
        self.models, self.m, self.v = [], [], []
        self.on_step(trainer)
        trainer.run(self.on_step)
        data = DataRecord("text", corpus.fingerprint(SENTENCES), len(SENTENCES), 2)
        curve = tuple(trainer.curve)
        record = TrainingRecord(recipe, 3, trainer.final_loss(), data, curve, "0.0.test")
        self.trainer = trainer
        self.saved = SavedModel(model, self.tokenizer, (record,))
        self.film = self.camera.film(trainer, self.saved)

    def on_step(self, trainer):
        before = len(self.camera.shots)
        self.camera.take(trainer)
        if len(self.camera.shots) > before:
            parameters = trainer.current.parameters.items()
            copies = {n: Matrix.frombytes(p.tobytes(), *p.shape) for n, p in parameters}
            self.models.append(GPT(trainer.model.config, copies))
            self.m.append([numbers(m) for m in trainer.optimizer.m])
            self.v.append([numbers(v) for v in trainer.optimizer.v])


def numbers(matrix):
    return [x for row in matrix.data for x in row]


@pytest.fixture(scope="module")
def seen():
    return Seen(Recipe(steps=80, batch_size=2, average=0.4), 12)


def test_the_models_of_a_film_are_those_of_the_run(seen):
    found = list(seen.film.models())
    assert len(found) == len(seen.models) == len(seen.film) == 12
    for i, (model, truth) in enumerate(zip(found, seen.models, strict=True)):
        errors = [
            abs(a - b)
            for name in truth.parameters
            for a, b in zip(
                numbers(model.parameters[name]), numbers(truth.parameters[name]), strict=True
            )
        ]
        assert max(errors) < 0.002
        assert max(errors) > 0
        again = seen.film.model_at(i).parameters
        assert [p.tobytes() for p in again.values()] == [
            p.tobytes() for p in model.parameters.values()
        ]
    last = seen.trainer.average.model.parameters["wte.weight"]
    assert numbers(last) == numbers(seen.models[-1].parameters["wte.weight"])  # averaged at the end


def test_adams_moments_are_those_of_the_layers(seen):
    names = list(seen.saved.model.parameters)
    for i in range(12):
        m, root = seen.film.moments_at(i)
        assert list(m) == list(root) == [name for name in names if name.startswith("h.")]
        for name in m:
            place = names.index(name)
            truth = [sqrt(x) for x in seen.v[i][place]]
            for kept, exact in ((m, seen.m[i][place]), (root, truth)):
                limit = max(map(abs, exact)) / 250
                found = numbers(kept[name])
                assert max(abs(a - b) for a, b in zip(found, exact, strict=True)) <= limit
    assert not any(any(numbers(matrix)) for matrix in seen.film.moments_at(0)[0].values())


def test_losses_and_sentences(seen):
    trainer, snapshots = seen.trainer, seen.film.snapshots
    steps = [snapshot.step for snapshot in snapshots]
    assert steps == film_steps(80, 12)
    curve = {point.step: point for point in trainer.curve}
    assert snapshots[0].training == curve[0].training
    assert snapshots[0].validation == curve[0].validation
    for before, snapshot in pairwise(snapshots):
        since = trainer.losses[before.step : snapshot.step]
        assert snapshot.training == sum(since) / len(since)
        latest = max(step for step in curve if step <= snapshot.step)
        assert snapshot.validation == curve[latest].validation
    for model, snapshot in zip(seen.models, snapshots, strict=True):
        written = [generate(model, random.Random(seed), Sampling(TEMPERATURE)) for seed in SEEDS]
        assert snapshot.sentences == tuple(map(seen.tokenizer.decode, written))


def test_a_sentence_is_cut_where_it_would_cost_time(monkeypatch):
    long = Seen(Recipe(steps=1), 2).film.snapshots[0].sentences
    monkeypatch.setattr(film, "MOST_TOKENS", 2)
    short = Seen(Recipe(steps=1), 2).film.snapshots[0].sentences
    assert max(len(sentence.split()) for sentence in long) > 2
    assert short == tuple(" ".join(sentence.split()[:2]) for sentence in long)


def test_it_survives_a_file(seen, tmp_path):
    seen.film.save(tmp_path / "film")
    loaded = Film.load(tmp_path / "film")
    assert loaded.snapshots == seen.film.snapshots
    assert loaded.records == seen.film.records
    assert loaded.config == seen.film.config
    assert loaded.tokenizer.words == seen.tokenizer.words
    for name, track in seen.film.tracks.items():
        assert (loaded.tracks[name].wholes, loaded.tracks[name].units) == (
            track.wholes,
            track.units,
        )


def test_the_file_is_open_to_others(made, filmed):
    with safe_open(f"{made}.film", "numpy") as file:
        weights, units = file.get_tensor("weights"), file.get_tensor("weights.units")
        description = json.loads(file.metadata()["llmhard-film"])
    assert (str(weights.dtype), str(units.dtype)) == ("int8", "float32")
    shapes = filmed.config.shapes().values()
    widths = [cols for rows, cols in shapes for _ in range(rows)]
    spread = units.astype(float).repeat(widths, axis=1)
    parameters = (weights * spread).cumsum(axis=0)
    assert description["snapshots"][3]["step"] == filmed.snapshots[3].step
    model = filmed.model_at(3)
    assert parameters[3].tolist() == pytest.approx(
        [x for p in model.parameters.values() for x in numbers(p)], abs=1e-12
    )


def test_a_film_knows_its_model(made, filmed, tiny):
    saved = model_file.load(made)
    assert filmed.is_of(saved)
    assert filmed.records == saved.records
    assert not filmed.is_of(tiny)
    other = saved.model.parameters["wte.weight"].data
    other[0][0] += 1e-9
    parameters = dict(saved.model.parameters) | {"wte.weight": Matrix(other)}
    assert not filmed.is_of(SavedModel(GPT(saved.model.config, parameters), saved.tokenizer, ()))
    renamed = Tokenizer([f"{word}x" for word in saved.tokenizer.words])
    assert not filmed.is_of(SavedModel(saved.model, renamed, ()))


@pytest.mark.parametrize("i", [-1, 9, 10**9])
def test_a_snapshot_that_is_not_there(filmed, i):
    with pytest.raises(IndexError, match="one of the 9 times"):
        filmed.model_at(i)
    with pytest.raises(IndexError, match="one of the 9 times"):
        filmed.moments_at(i)


# ---------------------------------------------------------------- the run is as without


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("n", [2, 9, 61, 1000])
@pytest.mark.parametrize("options", [[], ["--threads", "2"], ["--keep", "last", "--average", "0"]])
def test_the_model_is_the_same_to_the_bit(train, n, options):
    assert train("--out", "without", *options) == 0
    assert train("--out", "with", "--film", n, *options) == 0
    assert sha256("with") == sha256("without")
    assert len(Film.load("with.film")) == min(n, 61)
    assert not Path("without.film").exists()


def test_without_a_number_there_are_24(train, capsys):
    assert train("--film") == 0
    assert len(Film.load("model.safetensors.film")) == 24
    assert capsys.readouterr() == ("", "")


def test_it_says_where_the_film_is(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", str(text), *RECIPE, *SIZES, "--film", "5"]) == 0
    assert "\nfilm        5 snapshots, model.safetensors.film\n" in capsys.readouterr().out


@pytest.mark.parametrize("n", ["1", "0", "-3", "1001", "2.5", "text.txt", "9" * 5000, ""])
def test_a_number_of_snapshots_that_cannot_be(train, capsys, n):
    assert train(f"--film={n}") == 2
    err = capsys.readouterr().err
    assert err.startswith("llmhard: --film must be a whole number from 2 to 1,000, not ")
    assert err.count("\n") == 1


def test_fine_tuning_and_characters(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ["train", str(text), "--tokenizer", "char", "--quiet", *RECIPE, *SIZES, "--film", "4"]
    assert cli.main(train) == 0
    first = Film.load("model.safetensors.film")
    assert isinstance(first.tokenizer, CharTokenizer)
    tune = ["finetune", "--data", str(text), "--quiet", "--steps", "20", "--film", "4"]
    assert cli.main(tune) == 0
    second = Film.load("finetuned.safetensors.film")
    assert second.is_of(model_file.load("finetuned.safetensors"))
    assert len(second.records) == 2
    assert [snapshot.step for snapshot in second.snapshots] == film_steps(20, 4)


# ---------------------------------------------------------------- interrupted


class Stopped(BaseException):
    """The power is gone."""


@pytest.mark.parametrize("every", [1, 7, 30])
@pytest.mark.parametrize("at", [7, 30, 41, 59])
def test_a_run_that_is_resumed_has_the_same_film(train, made, monkeypatch, every, at):
    steps, whole_step = 0, Adam.step

    def power_cut(self, lr, tape=None):
        nonlocal steps
        if steps == at:
            raise Stopped
        steps += 1
        whole_step(self, lr, tape)

    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", power_cut)
        with pytest.raises(Stopped):
            train("--film", 9, "--checkpoint-every", every)
    assert not Path("model.safetensors.film").exists()
    if at < every:
        return
    assert cli.main(["train", "--resume", "model.safetensors.checkpoint", "--quiet"]) == 0
    assert sha256("model.safetensors") == sha256(made)
    assert sha256("model.safetensors.film") == sha256(f"{made}.film")
    assert {p.name for p in Path().iterdir()} == {"model.safetensors", "model.safetensors.film"}


@pytest.mark.parametrize("what", [film.FILM, model_file.MODEL])
def test_stopped_before_the_film_or_the_model_is_written(train, made, monkeypatch, what):
    written = film.tensor_file.write

    def power_cut(path, kind, *given):
        if kind == what:
            raise Stopped
        written(path, kind, *given)

    with monkeypatch.context() as patch:
        patch.setattr(film.tensor_file, "write", power_cut)
        with pytest.raises(Stopped):
            train("--film", 9, "--checkpoint-every", 25)
    assert cli.main(["train", "--resume", "model.safetensors.checkpoint", "--quiet"]) == 0
    assert sha256("model.safetensors") == sha256(made)
    assert sha256("model.safetensors.film") == sha256(f"{made}.film")


def test_ctrl_c_keeps_the_film_so_far(text, tmp_path):
    arguments = ["train", str(text), "--steps", "1000000", *SIZES, "--film", "12"]
    process = subprocess.Popen(
        [sys.executable, "-m", "llmhard", *arguments],
        cwd=tmp_path, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=4)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    checkpoint = Checkpoint(tmp_path / "model.safetensors.checkpoint")
    steps = [step for step, _ in checkpoint.camera.shots]
    assert steps == [step for step in film_steps(1_000_000, 12) if step <= checkpoint.step]
    assert len(steps) > 1


def test_resuming_keeps_the_checkpoints_number(train, monkeypatch, capsys):
    monkeypatch.setattr(cli.training.Target, "remove", lambda _: None)
    assert train("--film", 9, "--checkpoint-every", 25) == 0
    resume = ["train", "--resume", "model.safetensors.checkpoint", "--film", "5", "--out", "other"]
    assert cli.main(resume) == 2
    assert "leave out --film" in capsys.readouterr().err


# ---------------------------------------------------------------- files that are in the way


def test_a_film_replaces_a_film_and_nothing_else(train, capsys):
    place = Path("model.safetensors.film")
    place.write_bytes(b"a person's own")
    assert train("--film") == 2
    err = capsys.readouterr().err
    assert "the film would replace model.safetensors.film, which is not one" in err
    assert place.read_bytes() == b"a person's own"
    assert train("--film", "--force") == 0
    assert train("--film", 3) == 0
    assert len(Film.load(place)) == 3
    assert train() == 0
    assert len(Film.load(place)) == 3  # of an earlier model: it is not touched


def test_a_folder_in_the_way(train, capsys):
    Path("model.safetensors.film").mkdir()
    assert train("--film", "--force") == 2
    assert "it is not a file" in capsys.readouterr().err


def test_a_film_that_cannot_be_written_does_not_cost_the_model(train, made, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Film, "save", full)
    assert train("--film", 9) == 2
    assert "cannot write the film model.safetensors.film: No space left" in capsys.readouterr().err
    assert sha256("model.safetensors") == sha256(made)


def test_a_run_that_diverges_leaves_no_film(train):
    assert train("--film", "--lr", "1e300", "--weight-decay", "0") == 2
    assert list(Path().iterdir()) == []


# ---------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def valid(made):
    return Path(f"{made}.film").read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A file for what is damaged in many ways."""
    return tmp_path_factory.mktemp("scratch") / "bad.film"


@pytest.fixture
def refuses(tmp_path):
    """Check that a content is refused with one short, printable line; returns that line."""

    def check(content):
        path = tmp_path / "bad.film"
        path.write_bytes(content)
        with pytest.raises(ModelFileError) as error:
            Film.load(path)
        message = str(error.value)
        assert message.isprintable()
        assert 0 < len(message) < 500
        return message

    return check


def unpack(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def pack(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def changed(content, keys, value):
    """The film with one entry of its description replaced, or removed if `value` is Ellipsis."""
    header, data = unpack(content)
    description = place = json.loads(header["__metadata__"]["llmhard-film"])
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    header["__metadata__"]["llmhard-film"] = json.dumps(description)
    return pack(header, data)


@pytest.mark.parametrize("part", [0, 7, 8, 100, 1000, -1])
def test_a_film_that_is_cut_off(refuses, valid, part):
    assert "only a part of one" in refuses(valid[:part])


def test_other_files(refuses, made, tmp_path):
    assert refuses(made.read_bytes()) == "it is not a film: train --film keeps them"
    assert "not a safetensors file" in refuses(b"the cat sat\n" * 100)
    with pytest.raises(ModelFileError):
        model_file.load(f"{made}.film")
    with pytest.raises(OSError, match="No such file"):
        Film.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["snapshots"], ...),
        (["snapshots"], []),
        (["snapshots"], {"0": 1}),
        (["snapshots", 0], 3),
        (["snapshots", 0, "step"], -1),
        (["snapshots", 0, "step"], 0.5),
        (["snapshots", 3, "step"], 0),
        (["snapshots", 8, "step"], 61),
        (["snapshots", 0, "training"], "low"),
        (["snapshots", 0, "training"], float("nan")),
        (["snapshots", 0, "validation"], -1.0),
        (["snapshots", 0, "sentences"], "the cat"),
        (["snapshots", 0, "sentences"], [1]),
        (["snapshots", 0, "sentences"], ...),
        (["snapshots", 0, "more"], 1),
        (["snapshots", 1], ...),
        (["fingerprint"], ...),
        (["fingerprint"], 3),
        (["training"], []),
        (["training"], ...),
        (["vocabulary"], ["cat"]),
        (["config", "n_layer"], 2),
        (["config", "n_layer"], 10**15),
        (["config", "n_embd"], 10**15),
        (["config", "vocab_size"], 10**18),
        (["config", "n_head"], 3),
        (["tokenizer"], "sentences"),
    ],
)
def test_a_damaged_description(refuses, valid, keys, value):
    refuses(changed(valid, keys, value))


@pytest.mark.parametrize("name", ["weights", "weights.units", "m", "m.units", "v", "v.units"])
@pytest.mark.parametrize("how", ["missing", "renamed", "type", "shape", "flat"])
def test_tensors_that_do_not_fit(refuses, valid, name, how):
    header, data = unpack(valid)
    tensor = header.pop(name)
    start, end = tensor["data_offsets"]
    if how == "missing":
        data = data[:start] + data[end:]
        for other in header.values():
            if other.get("data_offsets", [0])[0] >= end:
                other["data_offsets"] = [x - end + start for x in other["data_offsets"]]
    else:
        rows, cols = tensor["shape"]
        if how == "type":
            tensor["dtype"] = {"I8": "U8", "F32": "I32"}[tensor["dtype"]]
        elif how == "shape":
            tensor["shape"] = [cols, rows]
        elif how == "flat":
            tensor["shape"] = [rows * cols]
        header[f"{name}x" if how == "renamed" else name] = tensor
    refuses(pack(header, data))


def test_units_that_are_not_finite(refuses, valid):
    header, data = unpack(valid)
    start = header["weights.units"]["data_offsets"][0]
    for strange in (b"\x00\x00\x80\x7f", b"\x00\x00\xc0\xff"):
        assert "not finite" in refuses(pack(header, data[:start] + strange + data[start + 4 :]))


def test_one_tensor_too_many(refuses, valid):
    header, data = unpack(valid)
    header["strange\n"] = {"dtype": "I8", "shape": [1, 1], "data_offsets": [len(data)] * 2}
    header["strange\n"]["data_offsets"][1] += 1
    assert "do not belong to a film" in refuses(pack(header, data + b"x"))


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_bytes_are_no_crash(valid, scratch, data):
    content = bytearray(valid)
    end = 8 + int.from_bytes(valid[:8], "little") if data.draw(st.booleans()) else len(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    scratch.write_bytes(content)
    try:
        loaded = Film.load(scratch)
    except ModelFileError:
        return
    for model in loaded.models():
        assert model.config == loaded.config


def test_checkpoints_with_a_damaged_film(train, monkeypatch):
    monkeypatch.setattr(cli.training.Target, "remove", lambda _: None)
    assert train("--film", 9, "--checkpoint-every", 25) == 0
    content = Path("model.safetensors.checkpoint").read_bytes()
    header, data = unpack(content)

    def refused(change):
        described = json.loads(header["__metadata__"]["llmhard-checkpoint"])
        change(described)
        metadata = {"__metadata__": {"llmhard-checkpoint": json.dumps(described)}}
        Path("bad").write_bytes(pack(header | metadata, data))
        with pytest.raises(ModelFileError) as error:
            Checkpoint("bad")
        return str(error.value)

    assert "film" in refused(lambda described: described.pop("film"))
    for strange in (3, {}, {"n": 9}, {"n": "9", "shots": []}, {"n": 10**18, "shots": []},
                    {"n": 1, "shots": []}, {"n": 9, "shots": [[0, "the cat"]]},
                    {"n": 9, "shots": [[0]]}, {"n": 9, "shots": 7}):  # fmt: skip
        assert "film is damaged" in refused(lambda d, film=strange: d.update(film=film))
    assert "snapshots" in refused(lambda described: described["film"].update(shots=[]))
    shots = "their steps are not in order"
    assert shots in refused(lambda described: described["film"]["shots"].reverse())
    assert "tensors" in refused(lambda described: described["film"]["shots"].pop())


def test_checkpoints_of_earlier_versions_have_no_film(train, monkeypatch):
    monkeypatch.setattr(cli.training.Target, "remove", lambda _: None)
    assert train("--checkpoint-every", 25) == 0
    assert Checkpoint("model.safetensors.checkpoint").camera is None
