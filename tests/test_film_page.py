"""The film in the page: film.js decodes in a real browser what Python kept."""

import copy
import json
import random
import re
import struct
from base64 import b64decode

import pytest
from browser import opened
from test_film_measures import film_of

from llmhard import cli, explorer, grammar, model_file
from llmhard.explorer import page as pages
from llmhard.explorer.data import contents
from llmhard.explorer.film_data import film_contents
from llmhard.film import Film, fingerprint
from llmhard.model_file import SavedModel
from llmhard.recipe import Recipe
from llmhard.sampler import Reader
from llmhard.tokenizer import CharTokenizer, Tokenizer
from llmhard.word_map import CLASSES, classes_of, map_axes, placed

ENTRY = """
import { Film } from "./film.js";
import { read } from "./gpt.js";

const data = JSON.parse(document.getElementById("data").textContent);
const film = new Film(data.film, data.config, data.parameters);

function base64(numbers) {
  const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

globalThis.llm = { data, film, read, base64 };
"""


@pytest.fixture(scope="module")
def film():
    sentences = grammar.corpus(900, seed=2)
    return film_of(Tokenizer(grammar.WORDS), sentences, Recipe(steps=900, lr=0.01), 7)


def saved_of(film):
    """The last snapshot as a model."""
    return SavedModel(film.model_at(len(film) - 1), film.tokenizer, film.records)


def page_of(film, folder):
    sources = pages.modules(pages.FOLDER / "js") | {"test.js": ENTRY}
    data = contents(saved_of(film)) | {"film": film_contents(film, judged=True)}
    path = folder / "page.html"
    script = pages.script(sources, "test.js")
    path.write_text(pages.assemble(script, data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def js(browser, film, tmp_path_factory):
    with opened(browser, page_of(film, tmp_path_factory.mktemp("page"))) as page:
        yield page.evaluate


def doubles(base64):
    content = b64decode(base64)
    return list(struct.unpack(f"<{len(content) // 8}d", content))


def flat(model):
    return [x for matrix in model.parameters.values() for row in matrix.data for x in row]


def test_every_parameter_of_every_snapshot_is_pythons_to_the_bit(js, film):
    for i in (6, 0, 3, 1, 2, 4, 5, 6):  # forward, back, and again
        assert doubles(js(f"llm.base64(llm.film.parametersAt({i}))")) == flat(film.model_at(i))


def test_a_validation_loss_says_when_it_was_measured(browser, tmp_path):
    sentences = [f"the {a} {b}" for a in ("cat", "dog", "cow") for b in ("sat", "ran", "sang")]
    recipe = Recipe(steps=40)
    film = film_of(Tokenizer.from_sentences(sentences), sentences, recipe, 9, held_out=3, n_layer=1)
    measured = [point.step for point in film.records[-1].curve]
    with opened(browser, page_of(film, tmp_path)) as page:
        found = page.evaluate("llm.film.snapshots")
    assert [said["validation"] for said in found] == [
        pytest.approx(snapshot.validation, abs=1e-4) for snapshot in film.snapshots
    ]
    for said in found:
        assert said["validatedAt"] == max(step for step in measured if step <= said["step"])
    assert any(said["validatedAt"] < said["step"] for said in found)


def test_a_snapshots_model_reads(js, film):
    document = film.tokenizer.encode_document("the cats sleep")
    for i in (0, 4):
        model = SavedModel(film.model_at(i), film.tokenizer, ())
        reader = Reader(model.model)
        expected = [reader.read(token).data[:] for token in document[:-1]]
        found = js(
            "([i, tokens]) => llm.read(llm.film.modelAt(i), tokens).positions"
            ".map(({ logits }) => [...logits.data])",
            [i, document[:-1]],
        )
        for ours, theirs in zip(found, expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_what_is_said_of_the_snapshots(js, film):
    found = js("llm.film.snapshots")
    data = film_contents(film, judged=True)
    assert js("llm.film.length") == len(film) == len(found)
    for i, (said, kept) in enumerate(zip(found, film.snapshots, strict=True)):
        assert said["step"] == kept.step
        assert said["sentences"] == list(kept.sentences)
        assert said["training"] == pytest.approx(kept.training, abs=1e-4)
        assert said["validation"] is said["validatedAt"] is None
        assert said["gap"] == data["measures"]["gap"][i]
        assert said["pairs"] == {k: v[i] for k, v in data["measures"]["pairs"].items()}


@pytest.mark.parametrize("table", ["lm_head.weight", "wte.weight"])
def test_the_map_of_the_words(js, film, table):
    classes = [None, *classes_of(film.tokenizer.words)]
    tokens = [token for token, name in enumerate(classes) if name]
    axes = map_axes(film.model_at(6).parameters[table].data, classes)
    for i in (0, 6):
        places = placed(film.model_at(i).parameters[table].data, axes)
        middle = [sum(places[token][axis] for token in tokens) / len(tokens) for axis in (0, 1)]
        found = js(f"llm.film.positions({i}, {json.dumps(table)})")
        assert [place["token"] for place in found] == tokens
        assert [place["kind"] for place in found] == [classes[token] for token in tokens]
        for place in found:
            x, y = places[place["token"]]
            assert place["x"] == pytest.approx(x - middle[0], abs=1e-9)
            assert place["y"] == pytest.approx(y - middle[1], abs=1e-9)


def test_a_weight_and_its_moments(js, film):
    rng = random.Random(1)
    recipe = film.records[-1].recipe
    for name, matrix in film.model_at(0).parameters.items():
        row, col = rng.randrange(matrix.shape[0]), rng.randrange(matrix.shape[1])
        found = js(f"llm.film.moments({json.dumps(name)}, {row}, {col})")
        assert len(found) == len(film)
        for i, said in enumerate(found):
            assert said["step"] == film.snapshots[i].step
            assert said["weight"] == film.model_at(i).parameters[name].data[row][col]
            moments, roots = film.moments_at(i)
            if name not in moments:
                assert (said["m"], said["root"], said["move"]) == (None, None, None)
                continue
            m, root, t = moments[name].data[row][col], roots[name].data[row][col], said["step"]
            assert (said["m"], said["root"]) == (m, root)
            if t:
                mean = m / (1 - recipe.beta1**t)
                size = root / (1 - recipe.beta2**t) ** 0.5
                rate = recipe.learning_rate(t - 1)
                assert said["move"] == pytest.approx(-rate * mean / (size + recipe.eps), rel=1e-9)


def test_a_weight_or_a_table_that_is_not_there(js):
    for call in ('moments("wxe", 0, 0)', 'positions(0, "wpe")'):
        said = js(f"(() => {{ try {{ llm.film.{call} }} catch (e) {{ return e.name }} }})()")
        assert said == "RangeError"


@pytest.mark.parametrize("kind", [Tokenizer, CharTokenizer])
def test_a_text_of_ones_own(browser, tmp_path, kind):
    sentences = ["</script><!-- a", "the \u00e9\u0301 <b>cat</b> \U0001f40c", "sat & sat"]
    film = film_of(kind.from_sentences(sentences), sentences, Recipe(steps=5), 3, n_layer=1)
    with opened(browser, page_of(film, tmp_path)) as page:
        found = page.evaluate("llm.film.snapshots")
        assert [said["sentences"] for said in found] == [list(s.sentences) for s in film.snapshots]
        assert {said["gap"] for said in found} == {None}
        places = page.evaluate("llm.film.positions(2)")
        assert len(places) == len(film.tokenizer.words)
        assert {place["kind"] for place in places} == {None}


# ---------------------------------------------------------------- the view


@pytest.fixture(scope="module")
def page_file(film, tmp_path_factory):
    path = tmp_path_factory.mktemp("view") / "explorer.html"
    explorer.write(path, saved_of(film), film=film)
    return path


LYING_ON_EACH_OTHER = """(() => {
  const names = [...document.querySelectorAll(".class-name")];
  const boxes = names.map((e) => [e.textContent, e.getBoundingClientRect()]);
  const on = boxes.flatMap(([a, x], i) => boxes.slice(i + 1).filter(([b, y]) => x.left < y.right
    && y.left < x.right && x.top + 4 < y.bottom && y.top + 4 < x.bottom).map(([b]) => [a, b]));
  return [names.length, on];
})()"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_names_of_classes_do_not_lie_on_each_other(browser, film, page_file, tmp_path, width):
    text = page_file.read_text(encoding="utf-8")
    always = f'"together":[{",".join("1" * len(film))}]'  # or names are shown late in a run only
    text, n = re.subn(r'"together":\[[^]]*\]', always, text)
    assert n == 2
    (tmp_path / "named.html").write_text(text, encoding="utf-8")
    for at in range(len(film)):
        fragment = f"#view=film&snapshot={at}"
        with opened(browser, tmp_path / "named.html", width=width, fragment=fragment) as page:
            names, on_each_other = page.evaluate(LYING_ON_EACH_OTHER)
            assert on_each_other == [], at
            assert names == len(CLASSES)


def test_a_run_that_went_on_after_its_best_step_says_so(browser, film, page_file, tmp_path):
    text = page_file.read_text(encoding="utf-8")
    with opened(browser, page_file, fragment="#view=film") as page:
        assert page.locator(".notice").count() == 0
    assert text.count('"kept":900') == 1
    other = tmp_path / "other.html"
    other.write_text(text.replace('"kept":900', '"kept":321'), encoding="utf-8")
    with opened(browser, other, fragment="#view=film") as page:
        notice = page.locator(".notice").inner_text()
        assert "is the one after step 321: it did best on held-out sentences" in notice
        assert "you see the model after step 900" in notice
        page.locator("input[type=range]").fill("1")
        step = film.snapshots[1].step
        assert f"you see the model after step {step}." in page.locator(".notice").inner_text()


def test_a_film_of_one_snapshot(browser, film, tmp_path):
    tracks = copy.deepcopy(film.tracks)
    for track in tracks.values():
        track.wholes = track.wholes[: sum(track.widths)]
        track.units = track.units[: len(track.widths)]
    saved = saved_of(film)
    one = Film(
        film.config, film.tokenizer, film.records, fingerprint(saved.model), film.snapshots[:1],
        tracks,
    )  # fmt: skip
    explorer.write(tmp_path / "one.html", saved, film=one)
    with opened(browser, tmp_path / "one.html", fragment="#view=film") as page:
        assert "0 of 0" in page.locator(".player").inner_text()
        page.get_by_role("button", name="Play").click()
        page.get_by_role("button", name="Play").wait_for(timeout=5000)  # it is at its end
        assert page.locator(".dot-of").count() > 200


# ---------------------------------------------------------------- the command


@pytest.fixture
def trained(tmp_path, monkeypatch, sentences_file):
    monkeypatch.chdir(tmp_path)
    for out, seed in (("a", "1"), ("b", "2")):
        train = ["train", str(sentences_file), "--quiet", "--steps", "20", "--n-layer", "1"]
        assert cli.main([*train, "--seed", seed, "--out", out, "--film", "4"]) == 0
    return tmp_path


def film_in(path):
    text = path.read_text(encoding="utf-8")
    start = text.index('id="data"')
    start = text.index(">", start) + 1
    return json.loads(text[start : text.index("</script>", start)])["film"]


def test_explore_takes_the_film_beside_the_model(trained, capsys):
    assert cli.main(["explore", "a"]) in (0, None)
    assert film_in(trained / "explorer.html")["steps"] == [
        s.step for s in Film.load("a.film").snapshots
    ]
    (trained / "a.film").unlink()
    assert cli.main(["explore", "a"]) in (0, None)
    assert film_in(trained / "explorer.html") is None
    assert capsys.readouterr().err == ""


def test_a_film_beside_the_model_that_is_not_of_it_is_left_out(trained, capsys):
    for content, why in (
        ((trained / "b.film").read_bytes(), "the film a.film is not of this model"),
        (b"notes", "cannot read the film a.film: not a safetensors file"),
        ((trained / "a.film").read_bytes()[:-9], "or only a part of one"),
    ):
        (trained / "a.film").write_bytes(content)
        assert cli.main(["explore", "a"]) in (0, None)
        err = capsys.readouterr().err
        assert why in err
        assert "the page goes without it" in err
        assert err.count("\n") == 1
        assert film_in(trained / "explorer.html") is None


def test_a_film_that_is_asked_for_must_be_right(trained, capsys):
    assert cli.main(["explore", "a", "--film", "a.film"]) in (0, None)
    for name, why in (
        ("b.film", "is not of this model"),
        ("a", "it is not a film: train --film keeps them"),
        ("none.film", "cannot read the film none.film: No such file"),
        (".", "cannot read the film"),
    ):
        assert cli.main(["explore", "a", "--film", name, "-o", "new.html"]) == 2
        err = capsys.readouterr().err
        assert why in err
        assert err.count("\n") == 1
        assert not (trained / "new.html").exists()
    assert cli.main(["explore", "a", "-o", "a.film", "--force"]) == 2
    assert "at the same time" in capsys.readouterr().err
    assert Film.load("a.film").is_of(model_file.load("a"))
