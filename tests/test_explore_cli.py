"""`explore`: one file, whose parts fit, of any model; what it replaces, what it refuses."""

import json
import math
import os
import random
import re
import shutil
import struct
import webbrowser
from base64 import b64decode
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from browser import opened
from conftest import SENTENCES

from llmhard import cli, corpus, explorer, grammar, model_file
from llmhard.explorer import page as pages
from llmhard.explorer.data import contents
from llmhard.explorer.map import STYLES, layout
from llmhard.model import GPT, Config
from llmhard.model_file import SavedModel
from llmhard.pcfg import Alternative, Grammar
from llmhard.recipe import Recipe
from llmhard.tokenizer import CharTokenizer, Tokenizer
from llmhard.training_record import DataRecord, TrainingRecord


def data_of(path):
    """The data in a page."""
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def untrained(tokenizer, records=(), **sizes):
    sizes = {"n_layer": 1, "n_embd": 8, "n_head": 2, "block_size": 8} | sizes
    config = Config(tokenizer.vocab_size, **sizes)
    return SavedModel(GPT.initialize(config, random.Random(1)), tokenizer, records)


def record_of(name, sentences, held_out=0):
    data = DataRecord(name, corpus.fingerprint(sentences), len(sentences), held_out)
    return TrainingRecord(Recipe(steps=1), 1, 1.0, data, (), "0.0.test")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def call(capsys):
    """Run the program in this process: exit code, stdout, stderr."""

    def main(*arguments):
        capsys.readouterr()
        code = cli.main([*map(str, arguments)])
        return code, *capsys.readouterr()

    return main


@pytest.fixture
def refuses(call, folder):
    """Check that a command changes nothing and says in one line why; returns the line."""

    def check(*arguments):
        before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("llmhard: ")
        assert err.count("\n") == 1
        assert before == {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}
        return err

    return check


# ---------------------------------------------------------------- one script of many modules


def test_modules_come_after_those_that_they_import():
    sources = {
        "app.js": 'import { b } from "./views/b.js";\nimport { a } from "./a.js";\nb(a);\n',
        "a.js": "export const a = 1;\n",
        "views/b.js": (
            'import {\n  a,\n} from "../a.js";\n'
            "export function b() { return a; }\nexport class C {}\n"
        ),
        "unused.js": "export const a = 2;\n",
    }
    assert pages.script(sources) == (
        "// a.js\nconst a = 1;\n\n"
        "// views/b.js\nfunction b() { return a; }\nclass C {}\n\n"
        "// app.js\nb(a);\n"
    )


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ({"app.js": 'import { a } from "./a.js";\n'}, "there is no module a.js, which app.js"),
        (
            {
                "app.js": 'import { a } from "./a.js";\n',
                "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
                "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n',
            },
            "a.js imports itself: app.js -> a.js -> b.js -> a.js",
        ),
        (
            {
                "app.js": 'import { a } from "./a.js";\nfunction helper() {}\n',
                "a.js": "const helper = 1;\nexport const a = 1;\n",
            },
            "a.js and app.js both have a helper",
        ),
        ({"app.js": 'import a from "./a.js";\n'}, "app.js: only plain imports"),
        ({"app.js": 'import * as a from "./a.js";\n'}, "app.js: only plain imports"),
        (
            {"app.js": 'import { a as b } from "./a.js";\n', "a.js": "export const a = 1;\n"},
            "a.js exports no as",
        ),
        ({"app.js": 'import { a } from "./a.js";\n', "a.js": ""}, "a.js exports no a, which"),
        ({"app.js": 'import("./a.js");\n'}, "app.js: only plain imports"),
        ({"app.js": "export default 1;\n"}, "app.js: only plain imports"),
        ({"app.js": "const a = 1;\nexport { a };\n"}, "app.js: only plain imports"),
        ({"app.js": "export let a = 1;\n"}, "app.js: only plain imports"),
        ({"app.js": "const a = '</script>';\n"}, "app.js ends the script element"),
        ({"app.js": "const a = '<!--';\n"}, "app.js ends the script element"),
        ({"app.js": "const a = '</SCRIPT x';\n"}, "app.js ends the script element"),
    ],
)  # fmt: skip
def test_modules_that_do_not_make_a_script(sources, why):
    with pytest.raises(pages.ModuleError, match=re.escape(why)):
        pages.script(sources)


def test_our_modules_make_one_script_and_all_of_them_are_in_it():
    sources = pages.modules(pages.FOLDER / "js")
    script = pages.script(sources)
    assert [name for name in sources if f"// {name}\n" not in script] == []
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)


def test_nothing_is_exported_that_no_other_module_imports():
    sources = pages.modules(pages.FOLDER / "js")
    imports = re.findall(r"^import \{([^}]*)\}", "\n".join(sources.values()), re.MULTILINE)
    imported = {name for names in imports for name in re.findall(r"[^\s,]+", names)}
    exported = [name for text in sources.values() for name in pages._EXPORTED.findall(text)]
    assert len(exported) > 40
    assert [name for name in exported if name not in imported] == []


# ---------------------------------------------------------------- the file


def test_the_page_holds_the_model_exactly(tiny):
    data = contents(tiny, "tiny")
    assert {name: list(shape) for name, shape in data["parameters"].items()} == {
        name: list(matrix.shape) for name, matrix in tiny.model.parameters.items()
    }
    content = b64decode(data["weights"])
    numbers = struct.unpack(f"<{len(content) // 8}d", content)
    assert list(numbers) == [
        x for matrix in tiny.model.parameters.values() for row in matrix.data for x in row
    ]
    assert data["tokenizer"] == {"kind": "words", "tokens": ["BOS", *tiny.tokenizer.words]}
    assert data["config"]["n_embd"] == 8
    assert data["title"] == "tiny"


def test_the_default_page_is_small():
    saved = untrained(Tokenizer(grammar.WORDS), n_layer=2, n_embd=32, n_head=4, block_size=16)
    size = len(explorer.html(saved).encode()) - len(contents(saved)["weights"])
    assert size < 400_000


def test_nothing_in_the_page_leads_elsewhere(tiny):
    html = explorer.html(tiny, "tiny")
    addresses = set(re.findall(r"https?://[^\s\"'`)<]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<[^>]*\s(src|href|style|on\w+)=[\"']", html.split("<script")[0])
    assert "localhost" not in html
    assert html.startswith("<!doctype html>\n")
    assert "{{" not in html.split("<script")[0]


@pytest.fixture
def hostile():
    """A model whose words and title try to leave their place."""
    words = [
        "</script>", "<script>alert(1)</script>", "<!--", "-->", "]]>", '"', "'", "`", "${1}",
        "&lt;", "{{script}}", "{{data}}", "\\", "\\u0041", "\U0001f469\u200d\U0001f680", "e\u0301",
        "__proto__", "constructor", "<img/src=x/onerror=alert(1)>", "</style>", "&quot;",
    ]  # fmt: skip
    return untrained(Tokenizer(words))


TITLE = "</title><script>alert(1)</script>\"'&{{script}}\u2028"


def test_hostile_words_are_only_words(browser, hostile, tmp_path):
    path = tmp_path / "page.html"
    explorer.write(path, hostile, TITLE)
    asked = []
    with opened(browser, path) as page:
        page.on("dialog", lambda dialog: asked.append(dialog.message) or dialog.dismiss())
        page.wait_for_timeout(200)
        data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")
        assert page.title().split()[-len(TITLE.split()) :] == TITLE.split()
        shown = page.evaluate("document.body.innerText")
        assert page.evaluate("document.querySelectorAll('script, style').length") == 3
        assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert asked == []
    assert data["tokenizer"]["tokens"] == ["BOS", *hostile.tokenizer.words]
    assert "<img/src=x/onerror=alert(1)>" in shown


@pytest.mark.parametrize(
    "smuggled",
    [
        "<script>document.body.dataset.hacked = 1</script>",
        '<script type="module">document.body.dataset.hacked = 1</script>',
        '<img src="data:," onerror="document.body.dataset.hacked = 1">',
        '<script src="data:text/javascript,document.body.dataset.hacked=1"></script>',
        "<style>body { visibility: hidden }</style>",
        '<iframe src="data:text/html,x"></iframe>',
    ],
)
def test_the_policy_stops_what_is_not_from_us(browser, tiny, tmp_path, smuggled):
    path = tmp_path / "page.html"
    path.write_text(explorer.html(tiny).replace("</body>", f"{smuggled}</body>"), encoding="utf-8")
    context = browser.new_context(offline=True)
    said = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_timeout(100)
    assert page.evaluate("document.body.dataset.hacked") is None
    assert page.evaluate("getComputedStyle(document.body).visibility") == "visible"
    assert any("Content Security Policy" in line for line in said), said
    context.close()


@pytest.mark.parametrize("address", ["https://example.com/", "data:,x", "file:///etc/hostname"])
def test_the_policy_lets_nothing_be_fetched(browser, tiny, tmp_path, address):
    path = tmp_path / "page.html"
    explorer.write(path, tiny)
    page = browser.new_context().new_page()
    page.goto(path.as_uri())
    fetched = "(address) => fetch(address).then(() => 'fetched', (error) => error.name)"
    assert page.evaluate(fetched, address) == "TypeError"
    page.context.close()


@pytest.mark.parametrize("sandbox", ["", 'sandbox="allow-scripts"'])
def test_it_works_in_a_frame_as_notebooks_have_it(browser, tiny, tmp_path, sandbox):
    frame = f'<iframe {sandbox} srcdoc="{escape(explorer.html(tiny))}"></iframe>'
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{frame}", encoding="utf-8")
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    shown = page.frames[1]
    shown.locator("#text").fill("the big dog")
    shown.locator("body", has_text="3 words").wait_for()
    page.close()
    assert said == []


def visit(browser, saved, folder):
    """Open a page about a model and look at each of its views; returns what they say."""
    explorer.write(folder / "page.html", saved)
    said = []
    with opened(browser, folder / "page.html") as page:
        for link in page.locator("nav.views a").all():
            link.click()
            said.append(page.locator("main").inner_text())
    assert len(said) >= 5
    return said


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (4, 16, 8), (3, 6, 2)])
@pytest.mark.parametrize("tokenizer", [Tokenizer, CharTokenizer])
def test_any_shape_is_shown(browser, tmp_path, shape, tokenizer):
    n_layer, n_embd, n_head = shape
    known = tokenizer.from_sentences(SENTENCES)
    saved = untrained(known, n_layer=n_layer, n_embd=n_embd, n_head=n_head, block_size=3)
    assert all(visit(browser, saved, tmp_path))


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e308])
def test_a_model_without_finite_numbers_is_shown(browser, tiny, tmp_path, number):
    model = GPT.initialize(tiny.model.config, random.Random(1))
    matrix = model.parameters["lm_head.weight"]
    matrix.data = [[number] * matrix.shape[1]] * matrix.shape[0]
    assert all(visit(browser, replace(tiny, model=model), tmp_path))


def test_a_model_without_words_is_shown(browser, tmp_path):
    assert all(visit(browser, untrained(Tokenizer([])), tmp_path))


# ---------------------------------------------------------------- the language of a model


def bundled(path, tokenizer=None, held_out=0):
    sentences = corpus.read_sentences(path)
    tokenizer = tokenizer or Tokenizer(grammar.WORDS)
    return untrained(tokenizer, (record_of(path.name, sentences, held_out),), block_size=16)


def test_the_bundled_text_has_the_grammar_and_held_out_sentences():
    sentences = corpus.read_sentences(corpus.default_path())
    held_out = corpus.split(sentences, random.Random(1))[1]
    saved = bundled(corpus.default_path(), held_out=len(held_out))
    data = contents(saved)
    names, rules = data["grammar"]["names"], data["grammar"]["rules"]
    again = {
        names[symbol]: [
            Alternative(weight, tuple(names[item] for item in items)) for weight, *items in options
        ]
        for symbol, options in enumerate(rules)
    }
    assert again == dict(grammar.SENTENCES.rules)
    assert Grammar(again, names[data["grammar"]["start"]]).words == grammar.WORDS
    assert len(data["sentences"]) == 12
    assert set(data["sentences"]) <= set(held_out)
    assert len(data["pairs"]) == 54
    assert all(grammar.accepts(p["good"]) and not grammar.accepts(p["bad"]) for p in data["pairs"])


def test_a_model_tuned_to_questions_has_their_grammar():
    first = bundled(corpus.default_path())
    tuned = bundled(corpus.questions_path())
    data = contents(replace(tuned, records=(*first.records, *tuned.records)))
    assert data["grammar"]["names"][data["grammar"]["start"]] == "Question"
    assert data["pairs"] is None
    assert set(data["sentences"]) <= set(corpus.read_sentences(corpus.questions_path()))


@pytest.mark.parametrize("tokenizer", [Tokenizer, CharTokenizer])
def test_a_text_of_one_s_own_has_no_truth(tokenizer, folder, sentences_file):
    shutil.copy(sentences_file, folder / "own.txt")
    record = record_of("own.txt", SENTENCES)
    saved = untrained(tokenizer.from_sentences(SENTENCES), (record,), block_size=40)
    data = contents(saved)
    assert (data["grammar"], data["pairs"]) == (None, None)
    assert sorted(data["sentences"]) == sorted(SENTENCES)
    assert data["tokenizer"]["kind"] == {"word": "words", "char": "characters"}[tokenizer.kind]


def test_a_grammar_of_words_that_the_model_does_not_know_is_no_truth(folder):
    sentences = grammar.corpus(50, seed=1)
    (folder / "some.txt").write_text("\n".join(sentences) + "\n")
    saved = untrained(Tokenizer.from_sentences(sentences), (record_of("some.txt", sentences),))
    assert contents(saved)["grammar"] is None
    all_words = untrained(Tokenizer(grammar.WORDS), (record_of("some.txt", sentences),))
    assert contents(all_words)["grammar"] is not None


@pytest.mark.parametrize(("tokenizer", "shown"), [(Tokenizer, 7), (CharTokenizer, 13)])
def test_sentences_are_shown_as_far_as_the_context_goes(folder, tokenizer, shown):
    lines = ["A B, c d e f g h i j k l m n o p", "what nobody knows", "x"]
    (folder / "long.txt").write_text("\n".join(lines) + "\n")
    record = record_of("long.txt", lines)
    saved = untrained(tokenizer.from_sentences(lines[:1]), (record,), block_size=shown + 1)
    expected = {Tokenizer: "a b, c d e f", CharTokenizer: "A B, c d e f "}[tokenizer]
    assert contents(saved)["sentences"] == [expected]


def test_characters_of_the_bundled_text_have_no_truth():
    sentences = corpus.read_sentences(corpus.default_path())
    saved = bundled(corpus.default_path(), CharTokenizer.from_sentences(sentences[:500]))
    assert contents(saved)["grammar"] is None


def test_a_text_that_is_gone_or_has_changed_leaves_what_the_model_writes(folder, tiny):
    for name in ("gone.txt", "../secret.txt", "", ".", "\0", "a/b\n"):
        saved = replace(tiny, records=(record_of(name, SENTENCES),))
        (folder / "gone.txt").write_text("something else\n")
        (folder.parent / "secret.txt").write_text("\n".join(SENTENCES) + "\n")
        data = contents(saved)
        assert data["grammar"] is None
        assert 0 < len(data["sentences"]) <= 12
        assert all(tiny.tokenizer.encode(sentence) for sentence in data["sentences"])


def test_a_model_without_a_record_is_known_by_its_words():
    assert contents(untrained(Tokenizer(grammar.WORDS)))["grammar"] is not None
    assert contents(untrained(Tokenizer(grammar.WORDS[:-1])))["grammar"] is None


# ---------------------------------------------------------------- the map


def crossing(a, b):
    return (
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )  # fmt: skip


@pytest.mark.parametrize("n_layer", [1, 2, 3, 4])
@pytest.mark.parametrize("n_head", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_map_has_room_for_every_box(n_layer, n_head):
    drawn = layout(Config(10, n_layer=n_layer, n_embd=840, n_head=n_head))
    assert {name: style.width for name, style in STYLES.items()} == {"wide": 1280, "narrow": 390}
    for name, style in drawn.items():
        assert style["width"] == STYLES[name].width
        for level in style["levels"].values():
            boxes = {box["id"]: box for box in level["boxes"]}
            assert len(boxes) == len(level["boxes"])
            for box in boxes.values():
                assert 0 <= box["x"] <= style["width"] - box["w"]
                assert 0 <= box["y"] <= level["height"] - box["h"]
                assert min(box["w"], box["h"]) >= 44  # to be hit by a finger
            pairs = [(a, b) for a in boxes.values() for b in boxes.values() if a["id"] < b["id"]]
            assert not any(crossing(a, b) for a, b in pairs)
            for line in level["connections"]:
                assert {line["from"], line["to"]} <= set(boxes)
                numbers = [float(n) for n in re.findall(r"-?[\d.]+", line["path"])]
                assert all(0 <= x <= style["width"] for x in numbers[::2])
                assert all(0 <= y <= level["height"] for y in numbers[1::2])
        levels = style["levels"]
        assert len([b for b in levels["model"]["boxes"] if b["opens"]]) == n_layer
        assert [b["opens"] for b in levels["layer"]["boxes"] if b["opens"]] == [
            {"level": "head", "number": head} for head in range(n_head)
        ]


# ---------------------------------------------------------------- the command


@pytest.fixture
def model(folder, tiny_file):
    return shutil.copy(tiny_file, folder / "model.safetensors")


@pytest.mark.usefixtures("model")
def test_it_writes_a_page_about_the_model(call, tiny):
    code, out, err = call("explore")
    size = Path("explorer.html").stat().st_size
    told = f"saved explorer.html, {size:,} bytes; open it in a browser\n"
    assert (code, out, err) == (0, told, "")
    assert data_of("explorer.html") == json.loads(json.dumps(contents(tiny, "model")))
    assert Path("explorer.html").read_text(encoding="utf-8") == explorer.html(tiny, "model")


@pytest.mark.usefixtures("model")
def test_it_is_the_same_page_each_time_and_replaces_its_own(call):
    pages_written = []
    for _ in range(2):
        assert call("explore", "-o", "page.html")[0] == 0
        pages_written.append(Path("page.html").read_bytes())
    assert pages_written[0] == pages_written[1]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("content", ["<!doctype html><p>my page", "notes\n", "\xff\xfe"])
def test_it_replaces_nothing_of_somebody_else_s(call, refuses, content):
    Path("explorer.html").write_text(content, encoding="latin-1")
    line = refuses("explore")
    assert "explorer.html is there already, and explore did not write it" in line
    assert "--force" in line
    assert call("explore", "--force")[0] == 0
    assert data_of("explorer.html")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["gone.safetensors"], "there is no model gone.safetensors"),
        (["text.txt"], "it is a text, not a safetensors file"),
        (["-o", "model.safetensors"], "would be the page (--out) and the model at the same time"),
        (["-o", "gone/page.html"], "there is no folder gone; to make it: mkdir -p gone"),
        (["-o", "."], "it is not a file"),
        (["-o", ""], "it is not a file"),
        (["model.safetensors", "--workbook", "book"], "leave out model.safetensors"),
        (["--workbook", "book"], "the folder book is not there"),
        (["--film", "gone.film"], "cannot read the film gone.film"),
        (["one", "two"], "'two' is one argument too many"),
    ],
)
def test_what_it_refuses(refuses, arguments, why):
    Path("text.txt").write_text("the cat sat\n")
    assert why in refuses("explore", *arguments)


def test_a_model_may_have_any_name(call, folder, tiny_file):
    for name in ("my model", "</title>", "\N{OLD PERSIAN NUMBER ONE}", os.fsdecode(b"\xff")):
        shutil.copy(tiny_file, folder / f"{name.replace('/', '')}.safetensors")
        code, _, err = call("explore", f"{name.replace('/', '')}.safetensors")
        assert (code, err) == (0, "")
        assert data_of("explorer.html")["title"] == name.replace("/", "")


@pytest.mark.usefixtures("model")
def test_it_opens_the_page(call, monkeypatch):
    opened_pages = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened_pages.append(address) or True)
    code, out, _ = call("explore", "-o", "my page.html", "--open")
    assert code == 0
    assert re.fullmatch(r"saved my page\.html, [\d,]+ bytes\n", out)
    assert opened_pages == [Path("my page.html").resolve().as_uri()]


@pytest.mark.usefixtures("model")
def test_without_a_browser_it_says_so_and_the_page_is_there(call, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    code, _, err = call("explore", "--open")
    assert code == 2
    assert "no browser can be started from here; open explorer.html in one" in err
    assert data_of("explorer.html")


def test_it_shows_the_reader_s_own_gpt(call, refuses, folder):
    assert call("workbook", "book")[0] == 0
    assert "is not trained yet; to do so: python book/gpt.py" in refuses(
        "explore", "--workbook", "book"
    )
    own = untrained(Tokenizer(grammar.WORDS))
    model_file.save(folder / "book" / "mine.safetensors", own)
    assert call("explore", "--workbook", "book")[0] == 0
    data = data_of("explorer.html")
    assert data["title"] == "mine"
    assert data["grammar"] is not None
