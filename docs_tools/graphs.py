"""The computation graph of a Value as a figure: what was computed from what, with the gradients."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import copysign

from docs_tools.drawing import Box, Drawing, Point, box_size
from llmhard.autograd import Value

ACROSS, DOWN = 26.0, 56.0  # between neighbours and between layers
SWEEPS = 8

# A place in a layer: a node, or one that an edge passes on its way to a layer further up.
Place = Value | tuple[Value, int, int]


def graph(root: Value, names: Mapping[str, Value] | None = None, spec: str = ".4g") -> Drawing:
    """Every Value that `root` depends on, inputs above results.

    A box shows the name, if there is one, the operation, data and grad; an arrow the local
    gradient, d result / d input.
    """
    named = {value: name for name, value in (names or {}).items()}
    layers, edges = _layered(root)
    sizes = {
        place: box_size(_caption(place, named, spec)) if isinstance(place, Value) else (20.0, 0.0)
        for layer in layers
        for place in layer
    }
    _untangle(layers, edges)
    centres = _centres(layers, sizes)
    drawing = Drawing()
    boxes: dict[Place, Box] = {}
    for layer in layers:
        for place in layer:
            x, y = centres[place]
            if isinstance(place, Value):
                kind = "operation" if place.op else "data"
                kind = "loss" if place == root else kind
                boxes[place] = drawing.box(x, y, _caption(place, named, spec), kind)
            else:
                boxes[place] = Box(x, y, 0, 0)
    notes = []
    doubled = {path[0] for (result, _), path in edges.items() if result.children.count(path[0]) > 1}
    for (result, which), path in edges.items():
        # An input on the left arrives on the left.
        arriving = [(boxes[edges[result, i][-2]].x, i) for i in range(len(result.children))]
        rank = sorted(arriving).index((boxes[path[-2]].x, which))
        shift = (rank - (len(arriving) - 1) / 2) * min(40.0, boxes[result].width / 3)
        twice = path[-2] == path[0] and result.children.count(path[0]) > 1
        for upper, lower in pairwise(path):
            start, end = boxes[upper], boxes[lower]
            begins, ends = start.bottom, end.top
            if lower != result:
                if upper in doubled and ends[0] != begins[0]:  # beside the two arrows, not across
                    begins = (begins[0] + copysign(start.width / 3, ends[0] - begins[0]), begins[1])
                drawing.line([begins, ends])
                continue
            ends = (ends[0] + shift, ends[1])
            # Two arrows from the same input would hide each other.
            begins = (begins[0] + shift, begins[1]) if twice else begins
            drawing.arrow(begins, ends)
            x, y = (b + 0.4 * (a - b) for a, b in zip(begins, ends, strict=True))
            notes.append((x, y, format(result.local_grads[which], spec)))
    for x, y, text in notes:  # on top of all lines
        drawing.note(x, y, text)
    return drawing


def _caption(value: Value, named: Mapping[Value, str], spec: str) -> str:
    title = ": ".join(part for part in (named.get(value, ""), value.op) if part)
    lines = [title] if title else []
    return "\n".join([*lines, f"data {value.data:{spec}}", f"grad {value.grad:{spec}}"])


def _layered(root: Value) -> tuple[list[list[Place]], dict[tuple[Value, int], list[Place]]]:
    """The layers, from inputs to root, and for each (result, number of input) the edge's places."""
    order: list[Value] = []
    seen: set[Value] = set()
    todo = [(root, False)]
    while todo:
        value, done = todo.pop()
        if done:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            todo.append((value, True))
            todo += [(child, False) for child in reversed(value.children)]
    level: dict[Value, int] = {}
    for value in order:
        level[value] = 1 + max((level[child] for child in value.children), default=-1)
    for value in order:  # inputs stand just above what first needs them
        if not value.children and value != root:
            level[value] = min(level[r] for r in order if value in r.children) - 1
    layers: list[list[Place]] = [[] for _ in range(level[root] + 1)]
    for value in order:
        layers[level[value]].append(value)
    edges: dict[tuple[Value, int], list[Place]] = {}
    for result in order:
        for which, child in enumerate(result.children):
            between: list[Place] = []
            for layer in range(level[child] + 1, level[result]):
                between.append((result, which, layer))
                layers[layer].append(between[-1])
            edges[result, which] = [child, *between, result]
    return layers, edges


def _untangle(layers: list[list[Place]], edges: dict[tuple[Value, int], list[Place]]) -> None:
    """Order each layer by where its neighbours are, up and down some times (barycentre method of
    Sugiyama, Tagawa and Toda, 1981)."""
    neighbours: dict[Place, list[Place]] = {place: [] for layer in layers for place in layer}
    for path in edges.values():
        for upper, lower in pairwise(path):
            neighbours[upper].append(lower)
            neighbours[lower].append(upper)
    for sweep in range(SWEEPS):
        for i in range(len(layers)) if sweep % 2 else reversed(range(len(layers))):
            beside = i - 1 if sweep % 2 else i + 1
            if not 0 <= beside < len(layers):
                continue
            position = {place: n for n, place in enumerate(layers[beside])}
            own = {place: n for n, place in enumerate(layers[i])}

            def centre(
                place: Place, position: dict[Place, int] = position, own: dict[Place, int] = own
            ) -> float:
                places = [position[p] for p in neighbours[place] if p in position]
                return sum(places) / len(places) if places else own[place]

            layers[i].sort(key=centre)


def _centres(
    layers: list[list[Place]],
    sizes: dict[Place, tuple[float, float]],
) -> dict[Place, Point]:
    """Each layer in a row, centred; rows below one another."""
    centres: dict[Place, Point] = {}
    y = 0.0
    for layer in layers:
        height = max(sizes[place][1] for place in layer)
        x = -(sum(sizes[place][0] for place in layer) + ACROSS * (len(layer) - 1)) / 2
        for place in layer:
            width = sizes[place][0]
            centres[place] = (x + width / 2, y + height / 2)
            x += width + ACROSS
        y += height + DOWN
    return centres
