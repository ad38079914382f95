"""The site: formulas, the home page, what the button copies; and, once built, every page of it."""

import functools
import http.server
import io
import os
import re
import threading
import tomllib
import unicodedata
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pytest
from browser import chromium

from docs_tools import home, site
from docs_tools.errors import DocsError
from docs_tools.formulas import Formulas, mathml, needed
from docs_tools.labs import all_labs
from docs_tools.shown import command, typed
from llmhard import train

ROOT = Path(__file__).parent.parent
SITE = os.environ.get("LLMHARD_SITE")
MATH = "{http://www.w3.org/1998/Math/MathML}"
built = pytest.mark.skipif(SITE is None, reason="looks at the site that `make docs-check` builds")


# ---------------------------------------------------------------- formulas


def shape(latex, display=False):
    """The elements of a formula, and what is in them."""
    root = ElementTree.fromstring(mathml(latex, display))
    return [(e.tag.removeprefix(MATH), (e.text or "").strip()) for e in root.iter()]


def italics(letters):
    return [unicodedata.lookup(f"MATHEMATICAL ITALIC SMALL {letter}") for letter in letters]


def test_a_formula_is_mathml():
    assert ("mfrac", "") in shape(r"\frac{a}{b}")
    assert ("mi", "θ") in shape(r"\theta_{t-1}")
    assert 'display="block"' in mathml("x", display=True)
    assert ("mo", "<") in shape("</script>")
    assert "</script>" not in mathml("</script>")


def test_what_browsers_expect_and_latex2mathml_does_not_write():
    assert ("mo", "\u02c6") in shape(r"\hat{m}_t")
    assert ("mspace", "") in shape(r"-\log p")
    assert ("mspace", "") not in shape(r"-\log(p)")
    aligned = mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", display=True)
    assert re.findall(r"text-align: (\w+)", aligned) == ["right", "left"] * 2


@pytest.mark.parametrize(
    ("latex", "message"),
    [
        (r"\softmax(x)", r"\\softmax is not known"),
        (r"\frac{a}", "something is missing"),
        (r"a & b", "write"),
        (r"\text{<b>}", "write"),
        ("x^{", "MissingSuperScript"),
        (r"\left( x", "Left"),
        ("x^2^3", "Double"),
        ("", "Tokens"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_place(latex, message):
    with pytest.raises(DocsError, match=message):
        mathml(latex)
    page = f'<p><span class="arithmatex">\\({latex.replace("<", "&lt;")}\\)</span></p>'
    with pytest.raises(DocsError, match=r"^04\.md: the formula"):
        Formulas().set(page, "04.md")


def test_formulas_of_a_page_are_set_and_all_else_stays():
    formulas = Formulas()
    page = (
        '<p>é <span class="arithmatex">\\(a &lt; b\\)</span> and <code>$x$</code></p>\n'
        '<div class="arithmatex">\\[\ny = \\sqrt{h}\n\\]</div>'
    )
    html = formulas.set(page, "a.md")
    assert html.count("<math") == 2
    assert html.startswith("<p>é <math")
    assert "</math> and <code>$x$</code></p>" in html
    assert '<div class="formula"><math' in html
    assert {"<", "=", "√", *italics("ABY"), "\N{PLANCK CONSTANT}"} <= formulas.characters


def test_a_letter_alone_is_shown_in_italics_and_needs_them():
    assert {*italics("X"), "𝜃", "\N{PLANCK CONSTANT}"} <= needed(mathml(r"x \theta h"))
    assert not set(italics("LOG")) & needed(mathml(r"\log(2)"))


def test_the_font_has_what_the_formulas_need(tmp_path):
    from fontTools.ttLib import TTFont

    formulas = Formulas()
    formulas.set('<div class="arithmatex">\\[\\sqrt{\\sum_i x_i^2} - 1\\]</div>', "a.md")
    formulas.write_font(tmp_path / "deep" / "math.woff2")
    font = TTFont(tmp_path / "deep" / "math.woff2")
    assert set(map(ord, formulas.characters)) <= font.getBestCmap().keys()
    assert "MATH" in font  # how roots and sums grow
    assert (tmp_path / "deep" / "math.woff2").stat().st_size < 40_000


# ---------------------------------------------------------------- figures and names


@pytest.mark.parametrize(
    ("title", "alt", "caption"),
    [("", "", "a &lt; b"), (' title="Where é looks"', "a &lt; b", "Where é looks")],
)
def test_an_image_alone_is_a_figure_with_a_caption(title, alt, caption):
    html = site._IMAGE.sub(site._figure, f'<p><img alt="a &lt; b" src="x.svg"{title} /></p>')
    assert html == (
        f'<figure><div><img alt="{alt}" src="x.svg" /></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
    within = '<p>See <img alt="a" src="x.svg" /> here.</p>'
    assert site._IMAGE.sub(site._figure, within) == within


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("train --top-k 3", ["--top-k"]),
        ("my-gpt/model.py --out", ["my-gpt/model.py", "--out"]),
        ("a - b", []),
        ("x -1", []),
        ("value", []),
    ],
)
def test_names_with_hyphens_are_kept_in_one_piece(code, kept):
    html = site._CODE.sub(site._unbroken, f"<p><code>{code}</code></p>")
    assert re.findall(r'<span class="name">(.*?)</span>', html) == kept
    assert re.sub(r"</?span[^>]*>", "", html) == f"<p><code>{code}</code></p>"
    block = f"<pre><code>{code}</code></pre>"
    assert site._CODE.sub(site._unbroken, block) == block


# ---------------------------------------------------------------- the home page


@pytest.fixture(scope="module")
def model():
    sentences = ["the dogs by the pond dig", "the dog by the pond digs", "the dogs dig"]
    return train(sentences * 4, steps=60, preset="classic", progress=False)


def test_the_picture_shows_the_words_and_what_the_model_expects(model):
    following = model.next_words(home.TEXT)
    svg = home.picture(model.attention(home.TEXT), following).svg()
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text")]
    assert texts[: len(home.TEXT.split())] == home.TEXT.split()
    for word, probability in following.likeliest(home.WORDS).items():
        assert texts[texts.index(word, 5) + 1] == f"{probability:.2f}"


def test_the_caption_says_what_was_computed(model):
    attention, following = model.attention(home.TEXT), model.next_words(home.TEXT)
    alt, caption = home.described(attention, following)
    likeliest = next(iter(following))
    dogs = attention.tokens.index("dogs")
    most = max(head.weights[-1][dogs] for head in attention)
    assert f"{most:.2%} of its attention" in caption
    assert f"“{likeliest}” at {following[likeliest]:.0%}" in caption
    assert ("digs" in caption) == (likeliest == "dig")
    assert '"' not in alt + caption


def checkout(tmp_path, labs, minutes):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs_tools").mkdir()
    for lab in labs:
        (tmp_path / "docs" / f"{lab}.md").write_text(f"# Lab {lab}\n")
    rows = "\n".join(f"{lab} = {n}" for lab, n in minutes.items())
    data = f'estimated = "Guessed."\n[minutes]\n{rows}\n'
    (tmp_path / "docs_tools" / "minutes.toml").write_text(data)
    return tmp_path


def test_the_way_has_each_lab_with_its_minutes_in_order(tmp_path):
    root = checkout(tmp_path, ["01-a", "02-b"], {"01-a": 50, "02-b": 70})
    way = home.way(root)
    assert "| [Lab 01-a](01-a.md) | 50 |\n| [Lab 02-b](02-b.md) | 70 |" in way
    assert way.endswith("About 2 hours in all. Guessed.")


@pytest.mark.parametrize("minutes", [{"01-a": 50}, {"01-a": 1, "02-b": 1, "03-c": 1}, {"02-b": 1}])
def test_a_lab_without_minutes_or_minutes_without_a_lab_are_refused(tmp_path, minutes):
    root = checkout(tmp_path, ["01-a", "02-b"], minutes)
    with pytest.raises(DocsError, match=r"0[123]-[abc]"):
        home.way(root)


def stated(text):
    """The minutes of a lab as it states them: those of its parts, in a list, or of all of it."""
    beginning = text.partition("\n## What to check")[0]
    time = r"[Aa]bout\s+(?:(\d+)\s+minutes|an\s+hour)"
    whole = re.findall(rf"\b(?:lab|it)\s+takes\s+{time}", beginning)
    items = re.findall(r"^(?:- |\d+\. ).*(?:\n  +.*)*", beginning, re.M)
    parts = [minutes for item in items for minutes in re.findall(rf"{time}[.),;]*$", item)]
    return [int(minutes or 60) for minutes in whole or parts]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("- [One](#a). About 45\n  minutes.\n2. two (about an hour),\n- about 7\n", [45, 60]),
        ("The lab takes about 40 minutes.\n\n- train it, about 3 minutes.\n", [40]),
        ("In all it takes about\nan hour.\n", [60]),
        ("5,000 steps would take about 40 minutes.\n", []),
    ],
)
def test_how_labs_state_their_minutes(text, minutes):
    assert stated(text) == minutes


def test_the_home_page_has_the_minutes_that_the_labs_state():
    minutes = tomllib.loads((ROOT / "docs_tools" / "minutes.toml").read_text())["minutes"]
    assert list(minutes) == all_labs(ROOT)
    for lab in all_labs(ROOT):
        found = stated((ROOT / "docs" / f"{lab}.md").read_text())
        assert sum(found) in (0, minutes[lab]), f"docs_tools/minutes.toml: {lab}"


# ---------------------------------------------------------------- what the button copies


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pasteable(browser):
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "docs" / "site.js")
    yield lambda language, text: page.evaluate("(block) => pasteable(...block)", [language, text])
    page.close()


@pytest.mark.parametrize(
    ("language", "text", "copied"),
    [
        ("pycon", ">>> 1 + 1\n2\n", "1 + 1\n"),
        ("pycon", ">>> def f():\n...     return '>>> é'\n...\n>>> f()\n'>>> é'\n", None),
        (
            "pycon",
            ">>> 1 / 0\nTraceback (most recent call last):\n  ...\nZeroDivisionError\n",
            "1 / 0\n",
        ),
        ("pycon", ">>> print('$ ls')\n$ ls\n>>>no prompt\n", "print('$ ls')\n"),
        ("console", "$ ls\na  b\n", "ls\n"),
        ("console", "$ echo a \\\n  b\na b\n$ echo '</script>'\n</script>\n", None),
        ("console", "no command\ncosts 5 $ a piece\n", ""),
        ("python", "x = 1\n>>> y\n", "x = 1\n>>> y\n"),
        ("text", "the cat\n", ""),
        ("pycon", "", ""),
    ],
)
def test_only_the_input_of_a_session_is_copied(pasteable, language, text, copied):
    if copied is None:
        copied = {
            "pycon": "def f():\n    return '>>> é'\n\nf()\n",
            "console": "echo a \\\n  b\necho '</script>'\n",
        }[language]
    assert pasteable(language, text) == copied


def test_all_sessions_of_the_labs_are_copied_as_they_were_run(pasteable):
    seen = 0
    for lab in all_labs(ROOT):
        text = (ROOT / "docs" / f"{lab}.md").read_text()
        for language, session in re.findall(r"^```(pycon|console)\n(.*?)^```$", text, re.M | re.S):
            run = {"pycon": typed, "console": command}[language](session)
            assert pasteable(language, session) == f"{run}\n"
            seen += 1
    assert seen > 100


# ---------------------------------------------------------------- the site, once built


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    """The site, served as a reader would have it."""
    handler = functools.partial(_Quiet, directory=str(ROOT / SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pages():
    """The pages of the site, as they are linked; the explorer has tests of its own."""
    folder = ROOT / SITE
    found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
    assert len(found) > 20
    return [page for page in found if page != "explorer.html"]


def visited(browser, address, **settings):
    """Each page of the site in turn, its folds open, with what went wrong there."""
    context = browser.new_context(**{"viewport": {"width": 390, "height": 844}} | settings)
    page, wrong = context.new_page(), []
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: outside(request.url, address, wrong))
    for name in pages():
        page.goto(f"{address}/{name}")
        page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        yield name, page, wrong
        wrong.clear()
    context.close()


def outside(url, address, wrong):
    if not url.startswith((f"{address}/", "data:", "blob:")):
        wrong.append(f"asks for {url}")


def is_light(image):
    """Whether more than a fifth of the pixels of a picture of an image are nearly white."""
    from PIL import Image

    bright = Image.open(io.BytesIO(image)).convert("L").histogram()
    return sum(bright[225:]) > 0.2 * sum(bright)


@built
def test_every_page_fits_a_phone_is_dark_and_asks_nobody_for_anything(browser, address):
    faults, images, names = [], 0, 0
    for name, page, wrong in visited(browser, address, color_scheme="dark"):
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        faults += [f"{name}: {too_wide} pixels too wide"] if too_wide > 0 else []
        broken = page.evaluate(
            "[...document.querySelectorAll('.md-typeset code .name, .md-typeset td > code')]"
            ".filter((name) => name.getClientRects().length > 1).map((name) => name.textContent)"
        )
        names += page.locator(".md-typeset code .name").count()
        faults += [f"{name}: {text!r} is broken" for text in broken]
        for image in page.locator("article img").all():
            images += 1
            white = is_light(image.screenshot())
            faults += [f"{name}: {image.get_attribute('src')} is white"] if white else []
        faults += [f"{name}: {fault}" for fault in wrong]
    assert faults == []
    assert images > 20
    assert names > 20


@built
def test_every_page_can_be_read_without_javascript_and_in_light(browser, address):
    faults = []
    settings = {"java_script_enabled": False, "color_scheme": "light"}
    for name, page, wrong in visited(browser, address, **settings):
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        faults += [f"{name}: {too_wide} pixels too wide"] if too_wide > 0 else []
        heading = page.locator("h1").first
        faults += [] if heading.is_visible() else [f"{name}: no heading"]
        faults += [f"{name}: a button"] if page.locator(".copy").count() else []
        faults += [f"{name}: a formula"] if page.locator(".arithmatex").count() else []
        faults += [f"{name}: {fault}" for fault in wrong]
    assert faults == []


@built
def test_the_button_copies_with_the_keyboard(browser, address):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}/03-autograd.html")
    block = page.locator(".language-pycon").first
    button = block.locator(".copy")
    button.focus()
    page.keyboard.press("Enter")
    button.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == typed(block.locator("code").text_content()) + "\n"
    context.close()


@built
def test_a_figure_goes_step_by_step_with_the_keyboard(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/03-autograd.html")
    page.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    figure = page.locator("figure", has=page.locator(".steps"))
    image, words = figure.locator("img"), figure.locator("figcaption")
    back, further = figure.get_by_text("Back"), figure.get_by_text("Next step")

    def shown():
        image.evaluate("image => image.decode()")
        return PurePosixPath(image.get_attribute("src")).name, words.text_content()

    first = ("backward-steps-1.svg", "Step 1 of 3: d is the result: its gradient is 1.")
    assert shown() == first
    further.focus()
    page.keyboard.press("Enter")
    assert shown() == (
        "backward-steps-2.svg",
        "Step 2 of 3: d passes on 1 * 1 = 1 to c and 1 * 1 = 1 to a.",
    )
    for _ in range(3):  # more than there are
        page.keyboard.press("Enter")
    assert shown()[0] == "backward-steps-3.svg"
    assert further.get_attribute("aria-disabled") == "true"
    assert page.evaluate("document.activeElement.textContent") == "Next step"
    back.focus()
    for _ in range(4):
        page.keyboard.press("Enter")
    assert shown() == first
    page.close()


@built
def test_without_javascript_a_figure_of_steps_is_the_still_one(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/03-autograd.html")
    assert page.locator('figure img[src="figures/backward-steps.svg"]').count() == 1
    assert page.locator(".steps").count() == 0
    context.close()


@built
def test_the_keyboard_gets_to_the_text_and_to_lab_01(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    page.keyboard.press("Tab")
    assert "md-skip" in page.evaluate("[...document.activeElement.classList]")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert "Start with lab 01" in reached
    page.close()


@built
def test_nothing_moves_for_a_reader_who_wants_no_motion(browser, address):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{address}/05-model.html")
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter((e) => {"
        " const s = getComputedStyle(e);"
        " return s.transitionDuration !== '0s' && s.transitionProperty !== 'none'"
        " || s.scrollBehavior === 'smooth' }).length"
    )
    assert moving == 0
    context.close()
