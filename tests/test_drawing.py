"""Drawings and the graphs of Values: what is on them, what is left out, and that they are safe."""

import random
import re
from array import array
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solutions import value as lab_03

from llmhard import Value, Vector, drawing
from llmhard.graphs import backward_steps, graph
from llmhard.model import GPT, Config
from llmhard.trainer import sequence_loss


def labels(svg):
    """The visible text, label by label."""
    return [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text")]


def boxes_of(svg):
    return [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("rect")][1:]


def test_a_graph_has_every_value_once_with_its_numbers():
    a, b = Value(2.0), Value(-3.0)
    c = a * b
    loss = (c + a) * c
    loss.backward()
    svg = graph(loss, {"a": a, "loss": loss}).svg()
    texts = labels(svg)
    assert [texts.count(text) for text in ("a", "loss: *", "*", "+")] == [1, 1, 1, 1]
    assert f"grad {a.grad:.4g}" in texts
    assert f"data {loss.data:.4g}" in texts
    # c is used by the sum and by the product: that arrow has the local gradient c + a.
    assert f"{c.data + a.data:.4g}" in texts
    assert texts.count("2") == 1  # d c / d b
    assert svg == graph(loss, {"a": a, "loss": loss}).svg()
    assert len(svg.splitlines()) > len(boxes_of(svg))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_boxes_of_a_graph_do_not_overlap(choices, rng):
    values = [Value(1.5), Value(2.0)]
    for choice in choices:
        x, y = rng.choice(values), rng.choice(values)
        values.append((x + y, x * y, x.tanh(), x - 1)[choice])
    svg = graph(values[-1]).svg()
    outlined = [
        tuple(float(e.get(k)) for k in ("x", "y", "width", "height"))
        for e in boxes_of(svg)
        if e.get("stroke") != "none"
    ]
    assert outlined
    for i, (x1, y1, w1, h1) in enumerate(outlined):
        for x2, y2, w2, h2 in outlined[:i]:
            assert x1 >= x2 + w2 or x2 >= x1 + w1 or y1 >= y2 + h2 or y2 >= y1 + h1


def test_a_drawing_contains_all_that_is_put_on_it():
    figure = drawing.Drawing()
    figure.box(500, -200, "far\naway <&>")
    figure.label(-300, 40, "left", anchor="end")
    root = ElementTree.fromstring(figure.svg())
    left, top, width, height = map(float, root.get("viewBox").split())
    assert left < -300 - drawing.text_width("left")
    assert top < -200 - drawing.box_size("a\nb")[1] / 2
    assert left + width > 500 + drawing.text_width("away <&>") / 2
    assert top + height > 40
    assert "away <&>" in labels(figure.svg())


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_the_ticks_of_a_plot_are_round_and_enclose_the_numbers(low, span):
    ticks = drawing._ticks(low, low + span)
    slack = span * 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 8


def test_bars_are_as_long_as_their_numbers():
    svg = drawing.bars({"a": 4.0, "b": 1.0}).svg()
    long, short = (float(box.get("width")) for box in boxes_of(svg))
    assert long == pytest.approx(4 * short)


def test_bars_on_a_logarithmic_scale_are_as_long_as_the_powers_of_ten():
    svg = drawing.bars({"a": 1000.0, "b": 0.1}, ",g", unit=" ms", least=0.01).svg()
    long, short = (float(box.get("width")) for box in boxes_of(svg))
    assert long == pytest.approx(5 * short)
    assert {"1,000 ms", "0.1 ms", "0.01", "0.1", "10", "1,000"} <= set(labels(svg))


def test_a_heat_map_shows_its_numbers_and_leaves_holes():
    svg = drawing.heat_map([[1.0, None], [0.25, 0.5]], ["r", "s"], ["c", "d"]).svg()
    assert labels(svg).count("0.25") == 1
    assert len(boxes_of(svg)) == 3


def luminance(colour):
    """The relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def mixed(colour, behind, share):
    both = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (colour, behind)]
    channels = [round(a * share + b * (1 - share)) for a, b in zip(*both, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def shown_colours(dark):
    """What a colour of drawing.DARK looks like as an area and as a line."""
    return {light: both if dark else (light, light) for light, both in drawing.DARK.items()}


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_lines_can_be_seen_on_a_light_and_on_a_dark_screen(dark):
    shown = shown_colours(dark)
    paper = shown[drawing.PAPER][0]
    assert (luminance(paper) < 0.05) == dark
    for text in (drawing.INK, drawing.MUTED):
        assert contrast(shown[text][0], paper) >= 4.5
    for fill, stroke in drawing.KINDS.values():
        assert contrast(shown[drawing.INK][0], shown[fill][0]) >= 4.5
        assert contrast(shown[stroke][1], paper) >= 3
    for curve in drawing.CURVES:
        assert contrast(shown[curve][1], paper) >= 3


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_numbers_of_a_heat_map_can_be_read_at_every_strength(dark, sign):
    shown = shown_colours(dark)
    paper = shown[drawing.PAPER][0]
    rows = [[sign * share / 50] for share in range(51)]
    svg = drawing.heat_map(rows, [""] * 51, ["x"]).svg()
    elements = list(ElementTree.fromstring(svg).iter())
    cells = [(e, elements[i + 1]) for i, e in enumerate(elements) if e.get("rx") == "3"]
    assert len(cells) == 51
    for cell, number in cells:
        share, strong = float(cell.get("fill-opacity", 1)), shown[cell.get("fill")][0]
        assert contrast(shown[number.get("fill")][0], mixed(strong, paper, share)) >= 3, share


def test_a_drawing_is_dark_in_a_file_and_stays_light_in_a_notebook():
    figure = drawing.bars({"</style><script>": 1.0})
    rules = ElementTree.fromstring(figure.svg()).findall("{*}style")
    used = set(re.findall(r'(?:fill|stroke)="(#\w+)"', figure._repr_svg_()))
    assert len(rules) == 1
    assert used <= drawing.DARK.keys()
    assert all(f'="{colour}"] {{' in rules[0].text for colour in used)
    assert "script" not in rules[0].text
    assert "<style" not in figure._repr_svg_()


def test_a_line_plot_draws_its_curves_and_its_floor():
    curves = {"training": [(0, 6.0), (100, 2.0)], "held out": [(0, 6.0), (100, 3.0)]}
    svg = drawing.line_plot(curves, "step", "loss", ("floor", 1.5)).svg()
    texts = labels(svg)
    assert {"training", "held out", "floor", "step", "loss"} <= set(texts)


def test_a_logarithmic_axis_has_the_powers_of_ten_and_the_last_step():
    curves = {"loss": [(step, 1.0 + 1 / (step + 1)) for step in (0, 1, 10, 100, 900, 5000)]}
    shown = labels(drawing.line_plot(curves, "step", "nats", logarithmic=True).svg())
    assert {"0", "1", "10", "100", "1,000", "5,000"} <= set(shown)


def test_points_that_are_not_joined_are_crosses():
    curves = {"line": [(0, 0.0), (2, 2.0)], "points": [(0, 1.0), (1, 0.5), (2, 2.0)]}
    joined = drawing.line_plot(curves, "x", "y").svg().count("<polyline")
    crosses = drawing.line_plot(curves, "x", "y", apart=["points"]).svg().count("<polyline")
    assert crosses == joined - 1 + 2 * 3


def test_a_drawing_is_saved_as_svg_and_over_nothing_else(tmp_path):
    figure = drawing.bars({"a": 1.0})
    figure.save(tmp_path / "bars.svg")
    assert (tmp_path / "bars.svg").read_text() == str(figure) == figure.svg()
    assert labels(figure._repr_svg_()) == labels(str(figure))
    assert 'style="max-width: 100%; height: auto"' in figure._repr_svg_()
    (tmp_path / "text.txt").write_text("the cat sat")
    with pytest.raises(ValueError, match=r"saved as SVG, in a file such as text\.svg"):
        figure.save(tmp_path / "text.txt")
    assert (tmp_path / "text.txt").read_text() == "the cat sat"


# ---------------------------------------------------------------- graphs


def test_a_value_shows_its_graph():
    a, b = Value(2.0), Value(-3.0)
    product = a * b
    product.backward()
    assert product._repr_svg_() == product.graph()._repr_svg_() == graph(product)._repr_svg_()
    assert sorted(labels(product._repr_svg_())) == sorted(
        ["data 2", "grad -3", "data -3", "grad 2", "*", "data -6", "grad 1", "-3", "2"]
    )
    assert "a" in labels(product.graph({"a": a}).svg())


def test_a_value_that_is_used_twice_is_drawn_once():
    a = Value(3.0, label="a")
    square = a * a
    square.backward()
    shown = labels(str(square.graph()))
    assert shown.count("a") == 1
    assert shown.count("3") == 2  # both arrows have their local gradient
    assert str(square.graph()).count("<polygon") == 2
    assert " id=" not in str(square.graph())  # a notebook would have it several times


def test_it_says_what_it_shows_to_who_cannot_see_it():
    a, b = Value(2.0), Value(-3.0)
    product = a * b
    product.backward()
    root = ElementTree.fromstring(str(product.graph({"a": a, "b": b})))
    assert root.get("role") == "img"
    assert [(e.tag.partition("}")[2], e.text) for e in root][:2] == [
        ("title", "The graph of -6: 3 values"),
        ("desc", "* is -6, grad 1, from a by -3 and b by 2. a is 2, grad -3. b is -3, grad 2."),
    ]


def chain(length):
    value = Value(1.0)
    for _ in range(length):
        value = value * 1.5
    return value


def test_the_depth_is_limited_and_what_is_left_out_is_said():
    value = chain(5)
    shown = labels(str(value.graph(depth=2)))
    assert shown.count("*") == 3
    assert shown.count("... 2 inputs") == 1
    assert shown[-1] == "1 value has inputs that are not drawn (depth=2, size=30, inputs=4)"
    assert "2 that are not drawn" in value.graph(depth=2).description
    whole = labels(str(value.graph()))
    assert whole.count("*") == 5
    assert not any("drawn" in label or "..." in label for label in whole)
    assert labels(str(value.graph(depth=0)))[:2] == ["*", f"data {value.data:.4g}"]


def test_the_number_of_boxes_is_limited():
    value = chain(20_000)
    for size in (1, 2, 3, 10, 30):
        shown = labels(str(value.graph(size=size, depth=None)))
        assert sum(label.startswith("data ") for label in shown) <= size
        assert any(label.startswith("... ") for label in shown)
    assert len(labels(str(chain(40).graph(size=None, depth=None)))) > 40 * 3


def test_of_many_inputs_those_with_the_largest_local_gradients_are_drawn_in_their_order():
    weights = Vector([0.1, -5.0, 0.2, 3.0, 4.0, 0.0])
    result = weights @ Vector([0.0] * 6)
    picture = result.graph(inputs=3)
    shown = [label for label in labels(str(picture)) if label.startswith(("data", "..."))]
    assert shown == ["data 0", "data 0", "data 0", "data 0", "... 9 more inputs"]
    assert "by -5, 0 by 3, 0 by 4 and 9 that are not drawn" in picture.description
    assert len(labels(str(result.graph(inputs=None, size=None)))) > 2 * 12


def test_an_input_that_is_drawn_anyway_has_its_arrow():
    a = Value(1.0, label="a")
    few = Value(5.0, [a, Value(2.0), Value(3.0)], [0.001, 10.0, 20.0])
    result = few + a
    picture = result.graph(inputs=2)
    assert "a by 0.001" in picture.description
    assert "not drawn" not in picture.description


@pytest.mark.parametrize("limit", ["depth", "size", "inputs"])
def test_a_limit_is_not_negative(limit):
    with pytest.raises(ValueError, match="a number of at least 0, or None for no limit, not -1"):
        graph(Value(1.0), **{limit: -1})


def test_the_loss_of_a_model_is_drawn_at_once():
    model = GPT.initialize(Config(600), random.Random(1))
    loss = sequence_loss(model, [0, *range(1, 16), 0])
    loss.backward()
    picture = loss.graph()
    assert 10 < len([label for label in labels(str(picture)) if label.startswith("data")]) <= 30
    assert len(str(picture)) < 50_000


def test_inputs_that_were_changed_since_are_no_error():
    v = Vector([1.0, 2.0])
    total = (v * v).sum()
    element = (v * v)[0]
    v.data = [5.0, 6.0]
    with pytest.raises(RuntimeError):
        _ = element.children
    assert "inputs changed since" in labels(element._repr_svg_())
    assert "whose inputs were changed since" in element.graph().description
    assert total._repr_svg_()


NASTY = [
    "</text><script>alert(1)</script>",
    "<!-- ]]> -->",
    "a & b",
    "\x00\x1b[31m\ud800",
    "é 漢",
    "'\"",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_stay_text(name):
    a = Value(2.0)
    a.label = name
    for svg in (str((a + 1).graph()), str((a + 1).graph({name: a})), (a + 1)._repr_svg_()):
        root = ElementTree.fromstring(svg)
        assert not [e for e in root.iter() if e.tag.endswith("script")]
        assert "<script" not in svg
        svg.encode()
        if name.isprintable():
            assert name in labels(svg)


@given(st.text(max_size=20), st.floats())
def test_any_name_and_number_make_a_picture(name, number):
    value = Value(number, label=name)
    root = ElementTree.fromstring(str(value.graph()))
    assert f"data {number:.4g}" in labels(ElementTree.tostring(root, encoding="unicode"))


def test_the_values_of_lab_03_and_of_micrograd_are_drawn_too():
    a, b = lab_03.Value(2.0), lab_03.Value(-3.0)
    result = a * b + a
    result.backward()
    shown = labels(str(graph(result)))
    assert [shown.count(f"data {number}") for number in ("2", "-3", "-6", "-4")] == [1, 1, 1, 1]
    assert [shown.count(number) for number in ("-3", "2", "1")] == [1, 1, 2]  # local gradients
    assert "grad -2" in shown

    class Micro:
        def __init__(self, data, children=(), op=""):
            self.data, self.grad, self._prev, self._op = data, 0, set(children), op

    leaf = Micro(3)
    shown = labels(str(graph(Micro(6, (leaf, leaf), "+"), {"leaf": leaf})))
    assert sorted(shown) == sorted(["leaf", "data 3", "grad 0", "+", "data 6", "grad 0"])


def test_values_that_are_equal_are_not_the_same():
    class Equal:
        __hash__ = None

        def __init__(self, data, children=()):
            self.data, self.children = data, children

        def __eq__(self, other):
            return True

    result = Equal(3, (Equal(1), Equal(2)))
    assert [label for label in labels(str(graph(result))) if label.startswith("data")] == [
        "data 1", "data 2", "data 3",
    ]  # fmt: skip


@pytest.mark.parametrize("thing", [3.5, "text", None, [1], Vector([1.0]), array("d", [1.0])])
def test_what_is_no_value_is_refused(thing):
    with pytest.raises(TypeError, match="a graph is drawn of a Value, not of a "):
        graph(thing)


def test_data_that_is_no_number_is_shown_as_it_is():
    class Odd:
        data, grad, children = [1, 2], None, ()

    assert labels(str(graph(Odd()))) == ["data [1, 2]", "grad None"]


def test_a_subclass_is_drawn():
    class Mine(Value):
        pass

    assert "data 4" in labels((Mine(2.0) * 2)._repr_svg_())


# ---------------------------------------------------------------- backward, one step at a time


def shown_gradients(picture, names):
    """The gradients in the boxes that have these names."""
    texts = labels(picture.svg())
    places = {n: i for n in names for i, text in enumerate(texts) if text.partition(":")[0] == n}
    return {n: float(texts[i + 2].removeprefix("grad ")) for n, i in places.items()}


def test_the_steps_of_a_backward_pass():
    a, b = Value(2.0), Value(3.0)
    c = a * b
    d = c + a
    a.grad = 7.0
    steps = backward_steps(d, {"a": a, "b": b, "c": c, "d": d})
    assert [step.title for step in steps] == ["Step 1 of 3", "Step 2 of 3", "Step 3 of 3"]
    assert [step.description for step in steps] == [
        "d is the result: its gradient is 1.",
        "d passes on 1 * 1 = 1 to c and 1 * 1 = 1 to a.",
        "c passes on 1 * 3 = 3 to a (now 4) and 1 * 2 = 2 to b.",
    ]
    assert [shown_gradients(step, "abcd") for step in steps] == [
        {"a": 0, "b": 0, "c": 0, "d": 1},
        {"a": 1, "b": 0, "c": 1, "d": 1},
        {"a": 4, "b": 2, "c": 1, "d": 1},
    ]
    strong = [
        step.svg().count(f'stroke="{drawing.CURVES[3]}" stroke-width="2.5"') for step in steps
    ]
    assert strong == [0, 3, 2]  # that from a to d has a bend
    assert (a.grad, d.grad) == (7.0, 0.0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_last_step_has_the_gradients_of_backward_and_nothing_has_moved(choices, rng):
    values = [Value(1.5, label="u"), Value(2.0, label="v")]
    for i, choice in enumerate(choices):
        x, y = rng.choice(values), rng.choice(values)
        values.append(((x + y) * 0.5, x * y * 0.1, x.tanh(), x - 1)[choice])
        values[-1].label = f"n{i}"
    result = values[-1]
    *_, last = steps = backward_steps(result, spec=".9g")
    result.backward()
    drawn = shown_gradients(last, [v.label for v in values])
    assert drawn[result.label] == 1
    for value in values:
        if value.label in drawn:
            assert drawn[value.label] == pytest.approx(value.grad, rel=1e-8)
    places = [[(e.get("x"), e.get("y"), e.get("width")) for e in boxes_of(s.svg())] for s in steps]
    assert all(place == places[0] for place in places)


def test_a_value_that_is_used_twice_by_one_gets_two_parts():
    x = Value(3.0)
    assert backward_steps(x * x, {"x": x})[1].description == (
        "* 9 passes on 1 * 3 = 3 to x and 1 * 3 = 3 to x (now 6)."
    )


def test_the_steps_of_lab_03_are_the_same():
    engines = []
    for kind in (Value, lab_03.Value):
        a, b = kind(2.0), kind(-3.0)
        names = {"a": a, "b": b}
        engines.append([s.description for s in backward_steps((a * b + a).exp() * b, names)])
    assert len(engines[0]) == 5
    assert [said.count(" to ") for said in engines[0]] == [
        said.count(" to ") for said in engines[1]
    ]


def test_steps_need_values_that_know_their_local_gradients():
    class Other:
        def __init__(self, data, children=()):
            self.data, self.children = data, children

    root = Other(3.0, (Other(1.0), Other(2.0)))
    with pytest.raises(ValueError, match="local gradients of sum"):
        backward_steps(root, {"sum": root})
    with pytest.raises(TypeError, match="not of a float"):
        backward_steps(2.0)
