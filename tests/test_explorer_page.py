"""The explorer as a reader sees it: each control by mouse and by keyboard, in a real browser."""

import random
import re
from contextlib import suppress
from math import isclose, log

import pytest
from browser import opened

from llmhard import cli, explorer, grammar, model_file
from llmhard.layers import softmax
from llmhard.model import GPT, Config, KVCache
from llmhard.pcfg import END
from llmhard.tokenizer import BOS, CharTokenizer


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that learned a little in a second, with a film of four snapshots."""
    folder = tmp_path_factory.mktemp("explorer")
    model = folder / "model.safetensors"
    train = ["train", "--steps", "400", "--film", "4", "--quiet", "--out", str(model)]
    assert cli.main(train) == 0
    assert cli.main(["explore", str(model), "-o", str(folder / "explorer.html")]) == 0
    return model_file.load(model), folder / "explorer.html"


@pytest.fixture(scope="module")
def file(trained):
    return trained[1]


@pytest.fixture
def visit(browser, file):
    """Opens the page; in the end nothing may have gone wrong in it."""
    entered = []

    def visit(fragment="", **more):
        entered.append(opened(browser, file, fragment=f"#{fragment}" if fragment else "", **more))
        page = entered[-1].__enter__()
        page.set_default_timeout(8000)
        return page

    yield visit
    for context in entered:
        context.__exit__(None, None, None)


def probabilities(saved, words):
    """The model's probabilities of what follows some words, by what the page calls it."""
    cache = KVCache(saved.model.config.n_layer)
    for token in [BOS, *saved.tokenizer.encode(" ".join(words))]:
        logits = saved.model(token, cache)
    names = ["the end", *saved.tokenizer.words]
    return dict(zip(names, softmax(logits).data, strict=True))


def percent(text):
    """The number in "12.3 %", "< 0.01 %" and "never"."""
    return 0 if text == "never" else float(re.sub(r"[^\d.]", "", text)) / 100


def bars(page):
    """The rows of the next word: name -> its figures."""
    return page.evaluate(
        """Object.fromEntries([...document.querySelectorAll("button.bar")].map((row) =>
        [row.querySelector(".name").textContent,
         [...row.querySelectorAll(".figure")].map((e) => e.textContent)]))"""
    )


def state(page):
    """What is in the address, once the page has written it."""
    page.evaluate("new Promise((done) => setTimeout(done, 160))")  # the page's own timer is shorter
    return page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


GONE = """(fragment) => new Promise((done) => {
  addEventListener("popstate", () => setTimeout(done, 100), {once: true});
  location.hash = fragment;
})"""


def go(page, fragment):
    """Follow a link to another state of the page."""
    page.evaluate(GONE, fragment)


def has_measured(page):
    """Wait until no figure in the view is an ellipsis."""
    for _ in range(200):
        if not any(text == "\u2026" for text in page.locator("main :is(p, b)").all_inner_texts()):
            return
        page.wait_for_timeout(50)


def focused(page):
    return page.evaluate("document.activeElement.textContent")


# ---------------------------------------------------------------- the sentence


def test_typing_shows_the_tokens_with_their_ids(visit, trained):
    saved, _ = trained
    page = visit()
    page.fill("#text", "The DOG, barks")  # in lower case, and a comma is no word of the model
    assert page.locator(".token").all_inner_texts()[:3] == [
        "start\n0",
        f"the\n{saved.tokenizer.encode('the')[0]}",
        f"dog\n{saved.tokenizer.encode('dog')[0]}",
    ]
    assert "unknown" in page.locator(".token").nth(3).inner_text()
    assert page.locator("h2").inner_text() == "What comes next?"
    assert "the dog”" in page.locator(".lead").inner_text()


def test_an_unknown_word_can_be_replaced_by_one_near_it(visit):
    page = visit()
    page.fill("#text", "the doggs bark")
    notice = page.locator(".notice")
    assert "doggs" in notice.inner_text()
    notice.get_by_role("button", name="dogs", exact=True).click()
    assert page.input_value("#text") == "the dogs bark"
    assert page.locator(".notice").count() == 0


TEXTS = [
    "",
    "   ",
    "</script><script>alert(1)</script>",
    "\"'`${1}",
    "🦆 ducks",
    "a " * 60,
    "\u202e",
]


TYPE = """(text) => {
  const input = document.getElementById("text");
  input.value = text;
  input.dispatchEvent(new Event("input"));
  return [document.querySelector(".token").textContent, document.querySelectorAll("h2").length];
}"""


def test_any_text_may_be_typed(visit):
    page = visit()
    for link in page.locator(".views a").all():
        link.click()
        for text in TEXTS:
            assert page.evaluate(TYPE, text) == ["start0", 1]


def test_more_words_than_the_model_reads(visit, trained):
    room = trained[0].model.config.block_size - 1
    page = visit()
    page.fill("#text", "the dog " * 10)
    assert f"{room} words at most" in page.locator(".notice").inner_text()
    assert page.locator("button.token").count() == room + 1


def test_a_token_chooses_the_position_by_mouse_and_keys(visit):
    page = visit("text=the+dogs+bark")
    page.locator("button.token").nth(1).click()
    assert "“the”" in page.locator(".lead").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "“the dogs”" in page.locator(".lead").inner_text()
    assert page.locator("button.token[aria-pressed=true]").inner_text().startswith("dogs")


# ---------------------------------------------------------------- the next word


def test_the_bars_are_the_models_and_the_grammars_probabilities(visit, trained):
    saved, _ = trained
    for sentence in ("", "seven ducks", "the dogs by the pond"):
        page = visit(f"text={sentence.replace(' ', '+')}")
        own = probabilities(saved, sentence.split())
        truth = grammar.SENTENCES.next_words(sentence)
        shown = bars(page)
        assert len(shown) == 12
        for name, (model, exact) in shown.items():
            word = END if name == "the end" else name
            assert isclose(percent(model), own[name], abs_tol=0.0006), name
            assert isclose(percent(exact), truth.get(word, 0.0), abs_tol=0.0006), name
        gap = sum(p * log(p / own["the end" if word == END else word]) for word, p in truth.items())
        assert isclose(float(page.locator(".measure .big").inner_text()), gap, abs_tol=0.0006)


def test_top_k_and_top_p_say_what_they_cut(visit):
    page = visit("topK=3")
    cut = page.locator(".bar.cut")
    assert page.locator("button.bar").count() - cut.count() == 3
    assert "cut by top-k" in cut.first.get_attribute("aria-label")
    page.focus("[data-name=Top-p]")
    page.keyboard.press("Home")
    assert state(page)["topP"] == "0.05"
    assert page.locator("button.bar:not(.cut)").count() == 1
    page.get_by_role("button", name="Back to the model itself").click()
    assert page.locator(".bar.cut").count() == 0
    assert "topP" not in state(page)


def test_temperature_by_keyboard(visit):
    page = visit()
    first = page.locator("button.bar .figure").first
    before = percent(first.inner_text())
    page.focus("[data-name=Temperature]")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert percent(first.inner_text()) > before
    page.keyboard.press("Home")
    assert percent(first.inner_text()) == 1


def test_a_word_is_chosen_by_mouse_and_by_keyboard(visit):
    page = visit("text=seven+ducks")
    second = page.locator("button.bar .name").nth(1).inner_text()
    page.locator("button.bar").first.focus()
    page.keyboard.press("ArrowDown")
    assert second in focused(page)
    page.keyboard.press("Enter")
    assert page.input_value("#text") == f"seven ducks {second}"
    page.get_by_role("button", name="Take back").click()
    assert page.input_value("#text") == "seven ducks"
    first = page.locator("button.bar .name").first.inner_text()
    page.locator("button.bar").first.click()
    assert page.input_value("#text") == f"seven ducks {first}"


def test_drawing_goes_on_to_the_end_and_back(visit):
    page = visit("text=the")
    page.get_by_role("button", name="Draw a word").click()
    assert "The random number" in page.locator("main").inner_text()
    page.get_by_role("button", name="Write to the end").click()
    ended = page.get_by_text("the sentence is done").count()
    words = page.input_value("#text").split()
    assert ended or len(words) == 15
    if ended:
        assert page.get_by_role("button", name="Draw a word").is_disabled()
        page.get_by_role("button", name="Take back").click()
        assert page.input_value("#text").split() == words
    for _ in words:
        page.get_by_role("button", name="Take back").click()
    assert page.input_value("#text") == ""


def test_the_word_that_comes_is_marked_when_an_earlier_position_is_chosen(visit):
    page = visit("text=the+dogs+bark&position=2")
    page.get_by_role("button", name="Show more").click()
    assert page.locator(".bar.actual .name").inner_text() == "bark"


# ---------------------------------------------------------------- the truth


def test_where_a_sentence_leaves_the_language(visit):
    page = visit("view=truth&text=the+dogs+by+the+pond+barks")
    notice = page.locator("main .notice")
    assert "barks" in notice.inner_text()
    allowed = grammar.SENTENCES.next_words("the dogs by the pond")
    shown = notice.get_by_role("button").all_inner_texts()
    likeliest = sorted(allowed, key=lambda word: -allowed[word])
    assert {text.split()[0] for text in shown} == set(likeliest[: len(shown)])
    notice.get_by_role("button", name=re.compile("^bark ")).press("Enter")
    assert page.input_value("#text") == "the dogs by the pond bark"
    assert "whole sentence" in page.locator("main .notice").inner_text()


def test_the_derivation_has_the_words_in_order(visit):
    page = visit("view=truth&text=mom+reads+a+big+book")
    leaves = page.locator(".tree .leaf").all_inner_texts()
    assert leaves == ["mom", "reads", "a", "big", "book"]
    assert "Sentence" in page.locator(".tree").inner_text()
    page.fill("#text", "mom reads a")
    assert page.locator(".tree .leaf").all_inner_texts()[:3] == ["mom", "reads", "a"]
    assert page.locator(".tree .open").count() > 0


def test_one_word_too_many_after_a_whole_sentence(visit):
    page = visit("view=truth&text=the+dogs+by+the+pond+bark+bark")
    notice = page.locator("main .notice")
    assert notice.get_by_role("button").all_inner_texts()[0].startswith("the end")
    leaves = page.locator(".tree .leaf").all_inner_texts()
    assert leaves == ["the", "dogs", "by", "the", "pond", "bark"]
    notice.get_by_role("button").click()
    assert page.input_value("#text") == "the dogs by the pond bark"


def test_the_steps_of_the_truth(visit, trained):
    saved, _ = trained
    page = visit("view=truth&text=seven+ducks")
    figures = page.locator("button.step").nth(1).locator(".probability").all_inner_texts()
    assert isclose(percent(figures[0]), probabilities(saved, ["seven"])["ducks"], abs_tol=0.0006)
    exact = grammar.SENTENCES.next_words("seven")["ducks"]
    assert isclose(percent(figures[1]), exact, abs_tol=0.0006)
    page.locator("button.step[aria-pressed=true]").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert state(page)["position"] == "1"


# ---------------------------------------------------------------- attention


def test_the_matrix_of_attention_and_its_mask(visit):
    page = visit("view=attention&text=the+dogs+bark")
    rows = page.locator(".matrix tbody tr")
    for i in range(4):
        cells = rows.nth(i).locator("button.cell").all_inner_texts()
        assert len(cells) == i + 1
        assert abs(sum(map(int, cells)) - 100) <= 2
        assert rows.nth(i).locator(".masked").count() == 3 - i


def test_attention_by_mouse_and_keyboard(visit):
    page = visit("view=attention&text=the+dogs+bark")
    page.get_by_role("button", name=re.compile("Layer 1, head 2")).click()
    assert page.locator("h3").first.inner_text() == "Head 2 of layer 1"
    page.locator(".gallery button[aria-pressed=true]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert page.locator("h3").first.inner_text() == "Head 1 of layer 1"
    page.locator("button.cell").nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "from “the” to “the”" in page.locator(".arithmetic h3").inner_text()
    page.get_by_role("button", name="Scores").click()
    assert page.locator("button.cell").first.inner_text() != "100"
    page.get_by_role("button", name="Mixture").click()
    assert page.locator(".mixtures .cells").count() == 4
    page.locator(".arc-words button").nth(2).press("Enter")
    assert state(page)["position"] == "2"


def test_pointing_at_a_word_shows_where_it_looks(visit):
    page = visit("view=attention&text=the+dogs+bark")
    words = page.locator(".arc-words button")
    assert words.nth(3).inner_text().split("\n")[1] != "unseen"
    words.nth(1).hover()
    page.wait_for_timeout(50)
    assert [text.split("\n")[1] for text in words.all_inner_texts()][2:] == ["unseen", "unseen"]
    page.mouse.move(0, 0)
    page.wait_for_timeout(50)
    assert "unseen" not in words.nth(3).inner_text()
    words.nth(2).focus()
    page.wait_for_timeout(50)
    assert "At dogs this head puts" in page.locator("main").inner_text()
    assert "position" not in state(page)


def test_a_weight_opens_as_a_number(visit):
    page = visit("view=attention&text=the+dogs+bark")
    shown = page.locator(".arithmetic h3 + *").count()
    assert shown
    page.get_by_role("link", name="Open this number").click()
    assert "attention weights" in page.locator(".inspector h3").inner_text()
    value = float(page.locator(".value").inner_text())
    assert 0.25 <= value <= 1


# ---------------------------------------------------------------- the map


def test_from_the_map_to_one_number_and_back_by_keyboard(visit):
    page = visit("view=map&text=seven+ducks")
    page.locator(".box").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator(".levels [aria-current]").inner_text() == "Layer 0"
    page.get_by_role("button", name=re.compile("^head 2:")).press("Enter")
    assert page.locator(".levels [aria-current]").inner_text() == "Head 2"
    page.get_by_role("button", name=re.compile("^mix:")).press("Enter")
    cells = page.locator(".inspector .cells")
    cells.focus()
    page.keyboard.press("ArrowRight")  # none was chosen
    page.keyboard.press("ArrowRight")
    assert state(page)["number"] == "1"
    assert "dot product" in page.locator(".inspector").inner_text()
    child = page.locator(".children-table button").first
    name = child.inner_text()
    child.press("Enter")
    assert page.locator(".inspector h3").inner_text() == name
    for expected in ("mixture", "mixture"):
        page.keyboard.press("Escape")
        assert expected in page.locator(".inspector h3").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".inspector").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.locator(".levels [aria-current]").inner_text() == "The whole model"


def test_another_sentence_begins_a_new_way_through_the_numbers(visit):
    page = visit("view=map&part=logits&number=5")
    page.locator(".children-table button").first.click()
    assert page.locator(".trail button").count() == 1
    page.fill("#text", "seven ducks")
    assert page.locator(".trail button").count() == 0
    assert "ducks" in page.locator(".inspector h3").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".inspector").count() == 0


def test_a_cell_is_chosen_by_mouse_and_its_formula_is_right(visit):
    page = visit("view=map&part=layers.0.middle")
    cells = page.locator(".inspector .cells")
    box = cells.bounding_box()
    cells.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
    assert state(page)["number"] == "31"
    formula = page.locator(".formula .number").inner_text().replace("\u2212", "-")
    result, terms = formula.split(" = ")
    total = sum(float(term.strip("()")) for term in terms.split(" + "))
    assert isclose(float(result), total, abs_tol=0.002)


def test_a_row_of_a_large_table_is_chosen(visit, trained):
    saved, _ = trained
    page = visit("view=map&run=0&number=3")
    page.get_by_label("Row of").fill("17")
    page.get_by_label("Row of").press("Enter")
    assert state(page)["number"] == str(17 * 32 + 3)
    assert saved.tokenizer.words[16] in page.locator(".inspector h3").inner_text()
    weight = saved.model.parameters["wte.weight"].data[17][3]
    shown = page.locator(".value").inner_text().replace("\u2212", "-")
    assert isclose(float(shown), weight, rel_tol=1e-4)


def test_backward_from_the_right_word(visit, trained):
    saved, _ = trained
    page = visit("view=map&text=seven+ducks")
    page.get_by_role("button", name="Backward: gradients").click()
    page.select_option("#target", "swim")
    loss = -log(probabilities(saved, ["seven", "ducks"])["swim"])
    assert isclose(float(page.locator(".lead .number").inner_text()), loss, abs_tol=0.0006)
    assert page.locator(".box.on-path").count() > 2
    path = page.locator(".path li")
    assert path.count() > 4
    assert "log-probability" in path.first.inner_text()
    assert page.locator(".children-table tbody tr").count() == 8
    page.locator(".children-table tbody a").first.click()
    assert "Gradient" in page.locator(".inspector").inner_text()
    page.get_by_role("link", name="Change this weight").click()
    assert page.locator("h2").inner_text() == "What if a part were missing?"


# ---------------------------------------------------------------- the lens


def test_the_lens_ends_with_the_model(visit, trained):
    saved, _ = trained
    page = visit("view=lens&text=seven+ducks")
    rows = page.locator(".lens tbody tr")
    assert rows.count() == saved.model.config.n_layer + 2
    own = probabilities(saved, ["seven", "ducks"])
    last = rows.nth(saved.model.config.n_layer).locator("button").last.inner_text()
    assert last.split("\n")[0] == max(own, key=own.get)
    rows.first.locator("button").first.press("Enter")
    assert state(page)["position"] == "0"


# ---------------------------------------------------------------- changes


def measured(page, name):
    """A measure, once the page has finished measuring."""
    has_measured(page)
    return page.locator(".measures .card", has_text=name).locator(".big").inner_text()


def test_a_head_is_switched_off_and_on_again(visit):
    page = visit("view=change&text=the+dogs+by+the+pond")
    before = measured(page, "Loss")
    first = page.get_by_role("switch", name="head 0 of layer 0")
    first.click()
    assert first.get_attribute("aria-checked") == "false"
    assert measured(page, "Loss") != before
    assert "head 0 of layer 0 is off" in page.locator(".notice").inner_text()
    first.press("ArrowRight")
    page.keyboard.press("Space")
    assert state(page)["changes"] == "head:0.0,head:0.1"
    page.keyboard.press("Control+z")
    assert state(page)["changes"] == "head:0.0"
    page.get_by_role("button", name="Undo").first.click()
    assert measured(page, "Loss") == before
    assert page.locator(".notice").count() == 0


def test_everything_is_put_back_and_that_is_undone(visit):
    page = visit("view=change")
    for name in ("MLP of layer 0", "Positions"):
        page.get_by_role("switch", name=name).click()
    page.get_by_role("button", name="Blurred attention").click()
    changed = "mlp:0,positions,temperature:4"
    assert state(page)["changes"] == changed
    pairs = measured(page, "Minimal pairs")
    page.get_by_role("button", name="Put everything back").first.click()
    assert "changes" not in state(page)
    assert measured(page, "Minimal pairs") != pairs
    page.get_by_role("button", name="Undo").last.press("Enter")
    assert state(page)["changes"] == changed


def test_no_attention_at_all_and_the_temperature_of_attention(visit):
    page = visit("view=change")
    page.get_by_role("button", name="No attention at all").click()
    assert page.get_by_role("switch", checked=False).count() == 8
    page.get_by_role("button", name="No attention at all").click()
    assert page.get_by_role("switch", checked=False).count() == 0
    page.focus("[data-name='Temperature of attention']")
    page.keyboard.press("Home")
    assert state(page)["changes"] == "temperature:0.125"
    page.keyboard.press("Control+z")
    assert "changes" not in state(page)


def test_a_weight_is_edited(visit, trained):
    saved, _ = trained
    page = visit("view=change&weight=h.1.mlp.up_proj.weight[3][4]")
    value = page.get_by_label("value")
    weight = saved.model.parameters["h.1.mlp.up_proj.weight"].data[3][4]
    assert isclose(float(value.input_value()), weight, rel_tol=1e-5)
    value.fill("5")
    has_measured(page)  # and is drawn again, which leaves alone what is being typed
    page.wait_for_timeout(100)
    assert value.input_value() == "5"
    value.press("Enter")
    assert state(page)["changes"] == "weight:h.1.mlp.up_proj.weight[3][4]:5"
    assert "h.1.mlp.up_proj.weight[3][4] is 5" in page.locator(".notice").inner_text()
    page.get_by_role("button", name="As trained").click()
    assert "changes" not in state(page)
    page.get_by_label("row").fill("999")
    page.get_by_label("row").press("Enter")
    assert state(page)["weight"] == "h.1.mlp.up_proj.weight[127][4]"
    page.get_by_label("row").fill("5000")
    page.get_by_label("row").press("Enter")
    assert page.get_by_label("row").input_value() == "127"
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    page.get_by_role("button", name="The weight that matters most here").click()
    assert state(page)["weight"].startswith("lm_head.weight[")


def test_a_change_is_seen_in_every_view(visit):
    page = visit("text=seven+ducks")
    before = bars(page)
    page.goto(page.url.split("#")[0] + "#text=seven+ducks&changes=positions,mlp:1")
    page.wait_for_timeout(50)
    assert bars(page) != before
    assert "does not know positions" in page.locator(".notice").inner_text()


# ---------------------------------------------------------------- the training


def test_the_film_of_the_training(visit):
    page = visit("view=film&text=seven+ducks")
    assert "400 of 400" in page.locator(".player").inner_text()
    after = page.locator(".written").inner_text()
    page.focus(".player input")
    page.keyboard.press("Home")
    assert "0 of 400" in page.locator(".player").inner_text()
    assert page.locator(".written").inner_text() != after
    assert page.locator(".written .of-wrong").count() == 3
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Play").wait_for(timeout=8000)  # it has come to the end
    assert "400 of 400" in page.locator(".player").inner_text()
    assert page.locator(".dot-of").count() > 100
    page.get_by_role("button", name="as it reads them").press("Enter")
    assert page.locator(".dot-of").count() > 100


# ---------------------------------------------------------------- the tour


def to_the_end_of_the_tour(page):
    for _ in range(13):
        if page.locator("[data-tour=next]").count():
            before = page.locator(".tour h3").inner_text()
            page.locator("[data-tour=next]").click()
            assert page.locator(".tour h3").inner_text() != before


def test_the_tour_is_gone_through_left_and_taken_up_again(visit):
    page = visit()
    page.get_by_role("button", name="Take the tour").click()
    titles = []
    for i in range(6):
        titles.append(page.locator(".tour h3").inner_text())
        assert f"{i + 1} of 13" in titles[-1]
        page.locator("[data-tour=next]").press("Enter")
    assert len(set(titles)) == 6
    assert "head" in page.locator(".notice").inner_text()  # one is switched off by now
    page.get_by_role("button", name="Leave").click()
    assert page.locator(".tour").count() == 0
    assert state(page)["tour"] == "-7"
    page = visit(page.evaluate("location.hash.slice(1)"))
    page.get_by_role("button", name="Go on with the tour (step 7)").click()
    assert "7 of 13" in page.locator(".tour h3").inner_text()
    page.get_by_role("button", name="Back", exact=True).click()
    assert "6 of 13" in page.locator(".tour h3").inner_text()
    page.locator(".views a").first.click()
    page.get_by_role("button", name="Show it again").click()
    assert page.locator("h2").inner_text() == "Which words does it look at?"
    to_the_end_of_the_tour(page)
    page.get_by_role("button", name="Done").click()
    assert "tour" not in state(page)


# ---------------------------------------------------------------- links


@pytest.mark.parametrize(
    "fragment",
    [
        "text=the+dogs&temperature=0.5&topK=7&topP=0.9",
        "text=the+dogs+bark&view=attention&position=1&layer=1&head=2&show=scores&number=1",
        "view=backward&level=head&layer=1&head=3&part=layers.{layer}.heads.{head}.mix&number=2&target=swim",
        "view=map&run=60&number=3",
        "view=change&changes=head:1.2,mlp:0,positions,temperature:2,weight:wte.weight[3][4]:-0.5&weight=wte.weight[3][4]",
        "view=film&snapshot=1",
        "view=lens&text=mom+reads&tour=-3",
    ],
)
def test_a_link_restores_the_state(visit, fragment):
    page = visit(fragment)
    has_measured(page)
    before = page.locator("main").inner_html()
    page.locator(".views [aria-current]").click()  # the same view: the address is written anew
    expected = dict(part.split("=", 1) for part in fragment.replace("+", " ").split("&"))
    assert state(page) == expected
    again = visit(page.evaluate("location.hash.slice(1)"))
    has_measured(again)
    assert again.locator("main").inner_html() == before


@pytest.mark.parametrize(
    "fragment",
    [
        "run=999999&number=-5&part=__proto__.constructor&view=map&level=nowhere&layer=-1",
        "changes=head:9.9,mlp:77,weight:nope[0][0]:1,weight:wte.weight[9999][0]:1,temperature:0",
        "view=nothing&temperature=-3&topK=-1&topP=7&position=99&snapshot=99",
        "view=attention&show=x&layer=0.5&head=99&number=1e9",
        "view=film&snapshot=99&weight=a[1][2]&tour=99",
        "%E0%A4%A&&&==&text=%00",
    ],
)
def test_any_address_shows_a_page(visit, fragment):
    page = visit(fragment)
    assert page.locator("h2").count() == 1
    assert page.locator(".notice.calm").filter(has_text="changed").count() == 0


def test_the_back_button_goes_through_the_views(visit):
    page = visit()
    page.get_by_role("link", name="Attention", exact=True).click()
    page.get_by_role("link", name="Change it", exact=True).press("Enter")
    page.go_back()
    assert page.locator("h2").inner_text() == "Which words does it look at?"
    page.go_back()
    assert page.locator("h2").inner_text() == "What comes next?"


def test_it_works_in_a_frame_without_an_address(browser, file, tmp_path):
    """As notebooks show it: `iframe srcdoc`."""
    framed = tmp_path / "framed.html"
    source = file.read_text().replace("&", "&amp;").replace('"', "&quot;")
    framed.write_text(f'<meta charset="utf-8"><iframe width="900" height="700" srcdoc="{source}">')
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text))
    page.goto(framed.as_uri())
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Attention", exact=True).click()
    frame.locator("#text").fill("seven ducks")
    page.wait_for_timeout(250)
    assert frame.locator("h2").inner_text() == "Which words does it look at?"
    assert wrong == []
    page.close()


USE = """(seed) => {
  const random = () => (seed = (seed * 1664525 + 1013904223) % 4294967296) / 4294967296;
  const one = (list) => list[Math.floor(random() * list.length)];
  const tell = (element, type) => element.dispatchEvent(new Event(type, { bubbles: true }));
  const texts = ["", "the dogs", "seven ducks swim", "zzz", "the dogs by the pond bark at at",
    "mom reads a big book to the old sailor on monday and the kid by the house"];
  const use = {
    range: (e) => { e.value = +e.min + random() * (e.max - e.min); tell(e, "input"); },
    number: (e) => { e.value = one(["", "-5", "3", "1e9", "0.5", "17"]); tell(e, "change"); },
    text: (e) => { e.value = one(texts); tell(e, "input"); },
    "select-one": (e) => { e.selectedIndex = random() * e.options.length; tell(e, "change"); },
  };
  for (let n = 0; n < 300; n++) {
    const controls = document.querySelectorAll("button:not(:disabled), a, input, select");
    const control = one([...controls].filter((e) => e.offsetParent));
    (use[control.type] ?? ((e) => e.click()))(control);
    const key = one(["Escape", "ArrowDown", "ArrowRight", "Home", "End", "Enter"]);
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const odd = document.body.innerText.match(/.*(NaN|undefined|\\[object).*/);
    if (odd || document.querySelectorAll("h2").length !== 1) return [location.hash, odd?.[0]];
  }
  return null;
}"""


@pytest.mark.parametrize("seed", [1, 2])
def test_random_use_breaks_nothing(visit, seed):
    page = visit()
    assert page.evaluate(USE, seed) is None


# ---------------------------------------------------------------- for everybody


NAMELESS = """[...document.querySelectorAll("button, a, input, select, [tabindex]")]
  .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
  .map((e) => e.outerHTML)"""
SMALL = """[...document.querySelectorAll("button, select, input, .views a")]
  .filter((e) => e.getBoundingClientRect().height && e.getBoundingClientRect().height < 39.9)
  .map((e) => e.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_every_control_has_a_name(visit, dark):
    page = visit(f"text={'the+dogs+by+' * 5}", width=390, height=844, dark=dark)
    for link in page.locator(".views a").all():
        link.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(SMALL) == []


REACHABLE = """[...document.querySelectorAll("main :is(button, a, input, select, [tabindex])")]
  .filter((e) => e.tabIndex >= 0 && !e.disabled && e.offsetParent).length"""
FOCUSED = """(() => {
  const e = document.activeElement, style = getComputedStyle(e);
  return [e.closest("main") !== null, e.outerHTML, style.outlineStyle, style.boxShadow];
})()"""


def test_tab_leads_through_and_the_focus_is_seen(visit):
    page = visit()
    for link in page.locator(".views a").all():
        link.click()
        page.locator(".views a").last.focus()
        reachable = page.evaluate(REACHABLE)
        assert reachable >= 1
        for _ in range(reachable):
            page.keyboard.press("Tab")
            is_in_view, html, outline, shadow = page.evaluate(FOCUSED)
            assert is_in_view, html
            assert outline != "none" or shadow != "none", html
        page.keyboard.press("Tab")
        assert not page.evaluate(FOCUSED)[0]


LUMINANCE = """(names) => names.map((name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.fillStyle = getComputedStyle(probe).color;
  canvas.fillRect(0, 0, 1, 1);
  const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
    .map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
})"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_the_page(visit, dark):
    page = visit(dark=dark)
    inks = ["--ink", "--soft", "--model", "--truth", "--wrong", "--high"]
    papers = ["--paper", "--raised", "--sunken"]
    light = dict(zip(inks + papers, page.evaluate(LUMINANCE, inks + papers), strict=True))
    for ink in inks:
        for paper in papers:
            low, high = sorted([light[ink], light[paper]])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)


def test_the_theme_can_be_chosen(visit):
    page = visit()
    button = page.get_by_role("button", name=re.compile("^Colours"))
    colours = set()
    for _ in range(3):
        button.click()
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


REFUSED = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("refused", "SecurityError"); }
})"""


@pytest.mark.parametrize("width", [1280, 390])
def test_a_full_context_shows_what_is_chosen_and_whose_row_it_is(visit, width):
    text = "+".join(["the", "dogs", "by", "the", "pond"] * 3)
    page = visit(f"view=attention&text={text}&number=13", width=width)
    for view, chosen in (("attention", ".cell[aria-pressed=true]"), ("lens", ".guess")):
        page.locator(f".views a[href*='view={view}']").click()
        page.wait_for_timeout(100)
        edges = "(e) => [e.getBoundingClientRect().left, e.getBoundingClientRect().right]"
        _, right = page.locator("main table tbody th").last.evaluate(edges)
        left, end = page.locator(f"main table {chosen}[aria-pressed=true]").first.evaluate(edges)
        assert 0 < right <= left < end <= width, view


@pytest.fixture
def context(browser):
    """For pages that are opened again: what they keep is kept in it."""
    with browser.new_context(color_scheme="dark", offline=True) as context:
        yield context


def theme_of(page):
    """What the button says and what one sees."""
    button = page.get_by_role("button", name=re.compile("^Colours"))
    return button, page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_chosen_theme_is_there_the_next_time(context, file):
    page = context.new_page()
    page.goto(file.as_uri())
    button, dark = theme_of(page)
    assert button.get_attribute("aria-label") == "Colours: auto"  # what the system has
    button.click()
    _, light = theme_of(page)
    assert light != dark
    page.goto(file.as_uri() + "#view=lens")
    again = context.new_page()
    again.goto(file.as_uri())
    button, background = theme_of(again)
    assert (button.get_attribute("aria-label"), background) == ("Colours: light", light)
    again.evaluate("localStorage.setItem('llmhard-theme', 'mauve')")
    again.reload()
    assert theme_of(again)[1] == dark


def test_without_a_place_to_keep_it_the_theme_holds_for_now(context, file):
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.add_init_script(REFUSED)
    page.goto(file.as_uri())
    for theme in ("light", "dark", "auto"):
        button, _ = theme_of(page)
        button.click()
        assert button.get_attribute("aria-label") == f"Colours: {theme}"
    assert page.locator("button.bar").count() > 4


HARD_TO_READ = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((c) => c / 255);
  };
  const over = (top, below) => [0, 1, 2].map((c) => top[c] * top[3] + below[c] * (1 - top[3]));
  const around = (e) => e ? [e, ...around(e.parentElement)] : [];
  const paper = (e) => around(e).map((e) => rgba(getComputedStyle(e).backgroundColor))
    .reverse().reduce((below, top) => over(top, below), [1, 1, 1]);
  const luminance = (color) => color
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (e) => {
    const style = getComputedStyle(e), below = paper(e instanceof SVGElement ? e.parentElement : e);
    const [r, g, b, a] = rgba(e instanceof SVGElement ? style.fill : style.color);
    const opacity = around(e).reduce((all, e) => all * getComputedStyle(e).opacity, a);
    const both = [over([r, g, b, opacity], below), below].map(luminance).sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
  };
  const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.nodeValue.trim());
  const all = [...document.querySelectorAll("#page *")].filter((e) => hasText(e) && e.offsetParent
    !== null && !e.closest(".unseen, :disabled, option, title"));
  if (all.length < 20) return ["there is hardly any text"];
  return all.filter((e) => contrast(e) < 4.5)
    .map((e) => `${e.className} ${e.textContent}: ${contrast(e).toFixed(2)}`);
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(visit, dark):
    from playwright.sync_api import TimeoutError as TooLate

    page = visit(dark=dark)
    views = [
        "next",
        "truth",
        "attention",
        "attention&show=scores",
        "map",
        "backward",
        "lens",
        "change",
        "film",
    ]
    for view in [
        *views,
        f"truth&text={'the+dogs+' * 9}",
        "attention&position=2",
        "truth&text=seven+ducks+swims",
        "change&changes=head:0.0,positions",
    ]:
        go(page, f"view={view}")
        with suppress(TooLate):  # a part of the page may be written a moment later
            page.wait_for_function(f"() => !({HARD_TO_READ})().length", timeout=5000)
        assert page.evaluate(HARD_TO_READ) == [], view


def test_nothing_moves_for_those_who_ask_for_that(visit):
    still = visit("view=backward")
    moving = visit("view=backward", still=False)
    animations = "document.getAnimations().length"
    assert still.evaluate(animations) == 0
    assert moving.evaluate(animations) > 0


KEYSTROKES = """() => {
  const input = document.getElementById("text"), times = [];
  for (let n = 1; n <= 22; n++) {
    const start = performance.now();
    input.value = "the dogs by the pond b".slice(0, n);
    input.dispatchEvent(new Event("input"));
    document.body.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[11];
}"""


def test_a_keystroke_takes_less_than_50_milliseconds(visit):
    page = visit()
    for link in page.locator(".views a").all():
        link.click()
        assert page.evaluate(KEYSTROKES) < 50


# ---------------------------------------------------------------- other models


@pytest.fixture(scope="module")
def others(tiny, tmp_path_factory):
    """A model of a text of one's own, and one of characters, both without a truth and a film."""
    folder = tmp_path_factory.mktemp("others")
    tokenizer = CharTokenizer.from_sentences(["anna", "ben </script>"])
    characters = GPT.initialize(
        Config(tokenizer.vocab_size, n_layer=3, n_embd=12, n_head=3, block_size=9),
        random.Random(1),
    )
    explorer.write(folder / "words.html", tiny)
    explorer.write(folder / "characters.html", model_file.SavedModel(characters, tokenizer, ()))
    return folder


@pytest.mark.parametrize("name", ["words", "characters"])
def test_a_model_of_another_text_has_all_views_but_the_truth(browser, others, name):
    with opened(browser, others / f"{name}.html") as page:
        assert page.locator(".measure").count() == 0
        assert page.locator("button.bar").count() > 4
        titles = page.locator(".views a").all_inner_texts()
        assert "Truth" not in titles
        assert "Training" in titles
        for title in titles:
            page.get_by_role("link", name=title, exact=True).click()
            assert page.locator("h2").count() == 1
        page.get_by_role("button", name="Take the tour").click()
        to_the_end_of_the_tour(page)
        if name == "characters":
            page.fill("#text", "a n")
            assert page.locator("button.token").all_inner_texts()[2].startswith("␣")


def test_a_model_of_characters_speaks_of_characters(browser, others):
    with opened(browser, others / "characters.html") as page:
        for view in ("next", "attention", "map"):
            go(page, f"view={view}")
            assert "word" not in page.locator("main").inner_text().lower(), view


@pytest.mark.parametrize("layers", [1, 8])
def test_a_model_of_one_layer_or_many_fits(browser, tmp_path, tiny, layers):
    config = Config(tiny.tokenizer.vocab_size, n_layer=layers, n_embd=8, n_head=1, block_size=8)
    model = GPT.initialize(config, random.Random(1))
    explorer.write(tmp_path / "e.html", model_file.SavedModel(model, tiny.tokenizer, ()))
    cut = """[...document.querySelectorAll(".box > span")]
      .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.textContent)"""
    for width in (1280, 390):
        with opened(browser, tmp_path / "e.html", width=width, fragment="#view=map") as page:
            assert page.locator(".box").count() == layers + 5
            assert page.evaluate(cut) == []
            page.get_by_role("link", name="Attention", exact=True).click()
            heads = "1 head" if layers == 1 else "8 heads"
            assert page.locator(".lead b").inner_text() == heads
            assert page.evaluate("document.documentElement.scrollWidth") <= width
