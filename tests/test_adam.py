"""Adam at the edges: each element moves as it would alone, and only what is a parameter moves."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmhard import Value, Vector, adam_update, average_update

EDGES = (0.0, -0.0, 5e-324, 1e-310, 1e-170, 1e-100, 1e-8, 1.0, 1e100, 1e153, 2e154, 1e200, 1.7e308)
edges = st.sampled_from(EDGES) | st.floats()


def moved(elements, eps):
    """Data, mean and square of elements (data, grad, mean, square), after a step of Adam."""
    data, grad, mean, square = zip(*elements, strict=True)
    p, m, v = Vector(data), Vector(mean), Vector(square)
    p.grad = grad
    adam_update([p], [m], [v], lr=0.1, beta1=0.9, beta2=0.99, eps=eps, t=3, weight_decay=0.1)
    assert p.grad == [0.0] * len(p)
    return [tuple(map(float.hex, element)) for element in zip(p.data, m.data, v.data, strict=True)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(edges, edges, edges, edges.map(abs)), min_size=40, max_size=40),
    st.sampled_from([0.0, 1e-300, 1e-8]),
)
def test_adam_moves_an_element_as_it_would_alone(elements, eps):
    alone = [moved([element], eps)[0] for element in elements]
    for n in range(1, 41):
        assert moved(elements[:n], eps) == alone[:n]


@pytest.mark.parametrize("n", [1, 8, 9])
@pytest.mark.parametrize(("g", "eps"), [(1e-170, 0.0), (0.0, 0.0)])
def test_adam_stays_where_it_is_when_the_square_vanishes(n, g, eps):
    p, m, v = Vector([1.0] * n), Vector([0.0] * n), Vector([0.0] * n)
    p.grad = g
    adam_update([p], [m], [v], lr=0.1, beta1=0.9, beta2=0.99, eps=eps, t=1)
    assert p.data == [1.0] * n


@pytest.mark.parametrize("n", [1, 8, 9])
def test_adam_shows_everywhere_that_a_square_overflowed(n):
    p, m, v = Vector([1.0] * n), Vector([0.0] * n), Vector([0.0] * n)
    p.grad = 1e200
    adam_update([p], [m], [v], lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8, t=1)
    assert all(math.isnan(x) for x in p.data)
    assert v.data == [math.inf] * n


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("g", [1e-95, 1e-8, 1.0, 1e100, 1e150])
def test_adam_moves_by_the_learning_rate_at_first(n, g):
    p, m, v = Vector([1.0] * n), Vector([0.0] * n), Vector([0.0] * n)
    p.grad = g
    adam_update([p], [m], [v], lr=0.1, beta1=0.9, beta2=0.99, eps=0.0, t=1)
    assert p.data == pytest.approx([0.9] * n, rel=1e-8)


@pytest.mark.parametrize("which", range(3))
def test_the_numbers_of_a_formula_are_no_parameters(which):
    y = Value(3.0) * 2
    handles = [[Value(1.0)], [Value(0.0)], [Value(0.0)]]
    handles[which] = [y.children[1]]
    with pytest.raises(TypeError, match="plain number in a formula"):
        adam_update(*handles, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8, t=1)
    with pytest.raises(TypeError, match="plain number in a formula"):
        average_update(handles[which], [Value(1.0)], share=0.5)
    assert y.children[1].data == 2.0
