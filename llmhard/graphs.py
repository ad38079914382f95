"""The computation graph of a Value as a picture: what was computed from what, with the gradients.

It draws whatever has `data`, `grad` and `children`: the engine's Values, those of the labs, and
others that use micrograd's or microgpt's names for the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import pairwise
from math import copysign, isfinite
from typing import Any

from llmhard.drawing import CURVES, MUTED, Box, Drawing, Point, box_size, note_box

ACROSS, DOWN = 26.0, 56.0  # between neighbours and between layers
SWEEPS = 8
PARTS = (0.4, 0.6, 0.25, 0.75)  # of an arrow, from its head: where its number may be
# The names of one thing in llmhard, microgpt and micrograd.
CHILDREN = ("children", "_children", "_prev")
LOCAL_GRADS = ("local_grads", "_local_grads")
OPERATION = ("op", "_op")


@dataclass(eq=False)
class Node:
    """A Value as it is drawn: one box, however often it is used.

    inputs    the drawn Values that it was computed from, with their local gradients, None if those
              are not known; one that is used twice is here twice
    left_out  how many more inputs it has
    changed   the data of its inputs was changed since, so that they are not known any more
    grad      the gradient that is shown
    width     of its box at least, so that nothing moves from one drawing to the next
    """

    value: Any
    name: str
    grad: Any = 0.0
    width: float = 0.0
    inputs: list[tuple[Node, float | None]] = field(default_factory=list)
    left_out: int = 0
    changed: bool = False

    @property
    def title(self) -> str:
        """The name, if there is one, and the operation."""
        return ": ".join(filter(None, (self.name, str(_first_of(self.value, OPERATION, "")))))


def graph(
    value: Any,
    names: Mapping[str, Any] | None = None,
    *,
    depth: int | None = 8,
    size: int | None = 30,
    inputs: int | None = 4,
    spec: str = ".4g",
) -> Drawing:
    """Draw what a Value was computed from, inputs above results.

    A box shows a Value: its name, if there is one, the operation, data and grad. An arrow has the
    local gradient, d result / d input. A Value that is used several times has one box. What the
    limits leave out is said in the boxes and below them.

    Args:
        value: The result; it is at the bottom.
        names: Names for some of the Values; the others are shown by their `label`, if any.
        depth: How many operations to go back at most; None goes back to the beginning.
        size: How many boxes to draw at most; None sets no limit.
        inputs: How many inputs of one operation to draw at most, those with the largest local
            gradients; None is all.
        spec: How numbers are shown, in Python's format language.

    Returns:
        A drawing: a notebook shows it, `save("graph.svg")` writes it, `str` gives the SVG.

    Raises:
        TypeError: If it is not a Value or like one.
        ValueError: If a limit is below 0.

    Examples:
        >>> from llmhard import Value, graph
        >>> a, b = Value(2.0), Value(-3.0)
        >>> product = a * b
        >>> product.backward()
        >>> picture = graph(product, {"a": a, "b": b})
        >>> picture
        The graph of -6: 3 values
        >>> picture.description
        '* is -6, grad 1, from a by -3 and b by 2. a is 2, grad -3. b is -3, grad 2.'
    """
    for limit in (depth, size, inputs):
        if limit is not None and limit < 0:
            raise ValueError(
                f"a limit is a number of at least 0, or None for no limit, not {limit}"
            )
    nodes = _chosen(value, names or {}, depth, size, inputs)
    picture = _drawn(nodes[0], spec)
    if hidden := sum(node.left_out > 0 for node in nodes):
        whose = "1 value has" if hidden == 1 else f"{hidden} values have"
        limits = f"depth={depth}, size={size}, inputs={inputs}"
        picture.caption(f"{whose} inputs that are not drawn ({limits})")
    count = "1 value" if len(nodes) == 1 else f"{len(nodes)} values"
    picture.title = f"The graph of {_number(value.data, spec)}: {count}"
    picture.description = " ".join(_said(node, spec) for node in nodes)
    return picture


def backward_steps(
    value: Any, names: Mapping[str, Any] | None = None, *, spec: str = ".4g"
) -> list[Drawing]:
    """Draw the backward pass from a Value, one step at a time.

    In the first drawing the result has its gradient, 1. In each further one a Value passes on its
    gradient, times the local gradient, to each of its inputs; that part is coloured. The
    `description` of a drawing says the same in words. The Values themselves stay as they are.

    Args:
        value: The result, with any number of Values before it: each one gets a box.
        names: Names for some of the Values, as for `graph`.
        spec: How numbers are shown, in Python's format language.

    Raises:
        TypeError: If it is no Value, and like none.
        ValueError: If a local gradient is not known.
    """
    nodes = _chosen(value, names or {}, None, None, None)
    root = nodes[0]
    gradients = dict.fromkeys(nodes, 0.0) | {root: 1.0}
    said = f"{_called(root, spec)} is the result: its gradient is 1."
    moments = [(root, said, gradients)]
    for node in reversed(_in_order(root)):
        if node.inputs:
            gradients = dict(gradients)
            moments.append((node, _pass_on(node, gradients, spec), gradients))
    for _, _, gradients in moments:
        for node in nodes:
            node.grad = gradients[node]
            node.width = max(node.width, box_size(_caption(node, spec))[0])
    pictures = []
    for number, (giver, said, gradients) in enumerate(moments):
        for node in nodes:
            node.grad = gradients[node]
        picture = _drawn(root, spec, giver, passes_on=number > 0)
        picture.title, picture.description = f"Step {number + 1} of {len(moments)}", said
        pictures.append(picture)
    return pictures


def _pass_on(node: Node, gradients: dict[Node, float], spec: str) -> str:
    """Add what a Value passes on to the gradients of its inputs, and say so."""
    own, parts = gradients[node], []
    for child, local in node.inputs:
        if local is None:
            raise ValueError(f"the local gradients of {_called(node, spec)} are not known")
        before = gradients[child]
        gradients[child] += own * local
        product = f"{_number(own, spec)} * {_number(local, spec)}"
        part = _number(own * local, spec)
        sum_ = f" (now {_number(gradients[child], spec)})" if before else ""
        parts.append(f"{product} = {part} to {_called(child, spec)}{sum_}")
    return f"{_called(node, spec)} passes on {_listed(parts)}."


# A place in a layer: a Value, or one that an edge passes on its way to a layer further up.
Place = Node | tuple[Node, int, int]
Edges = dict[tuple[Node, int], list[Place]]  # (result, which input): the places, from the input on


# ---------------------------------------------------------------- which Values


def _chosen(
    root: Any,
    names: Mapping[str, Any],
    depth: int | None,
    size: int | None,
    most: int | None,
) -> list[Node]:
    """Return the Values to draw, the root first, then those nearest to it."""
    if not hasattr(root, "data") or not set(CHILDREN) & set(dir(root)):
        kind = type(root).__name__
        raise TypeError(f"a graph is drawn of a Value, not of a {kind}: {root!r:.40}")
    named = {id(named): name for name, named in names.items()}
    nodes = {id(root): _node(root, named)}
    known: dict[int, list[tuple[Any, float | None]]] = {}
    level, steps = [root], 0
    while level:
        further: list[Any] = []
        for value in level:
            found = known[id(value)] = _inputs(nodes[id(value)])
            if steps == depth:
                continue
            new = {id(child): child for child in _strongest(found, most)}
            new = {key: child for key, child in new.items() if key not in nodes}
            if size is None or len(nodes) + len(new) <= size:
                nodes |= {key: _node(child, named) for key, child in new.items()}
                further += new.values()
        level, steps = further, steps + 1
    for key, node in nodes.items():
        drawn = [(nodes[id(child)], local) for child, local in known[key] if id(child) in nodes]
        node.inputs, node.left_out = drawn, len(known[key]) - len(drawn)
    return list(nodes.values())


def _node(value: Any, named: Mapping[int, str]) -> Node:
    name = str(named.get(id(value)) or getattr(value, "label", "") or "")
    return Node(value, name, getattr(value, "grad", 0.0))


def _inputs(node: Node) -> list[tuple[Any, float | None]]:
    """Return the Values that one was computed from, and its local gradients as far as known."""
    try:
        children = list(_first_of(node.value, CHILDREN, ()))
        locals_ = list(_first_of(node.value, LOCAL_GRADS, ()))
    except RuntimeError:  # as the engine says if their data was changed since
        node.changed = True
        return []
    if len(locals_) != len(children):
        locals_ = [None] * len(children)
    return list(zip(children, locals_, strict=True))


def _strongest(found: Sequence[tuple[Any, float | None]], most: int | None) -> list[Any]:
    """Return `most` of the children, those with the largest local gradients, in their order."""
    if most is None or len(found) <= most:
        return [child for child, _ in found]
    sizes = [abs(local) if local is not None and isfinite(local) else 0.0 for _, local in found]
    kept = nlargest(most, range(len(found)), key=lambda i: (sizes[i], -i))
    return [found[i][0] for i in sorted(kept)]


def _first_of(value: Any, names: Sequence[str], default: Any) -> Any:
    """Return the first of the named attributes that the value has."""
    for name in names:
        if (found := getattr(value, name, None)) is not None:
            return found
    return default


# ---------------------------------------------------------------- what is said of them


def _caption(node: Node, spec: str) -> str:
    lines = [node.title] if node.title else []
    lines.append(f"data {_number(node.value.data, spec)}")
    lines.append(f"grad {_number(node.grad, spec)}")
    if node.changed:
        lines.append("inputs changed since")
    if node.left_out:
        more = " more" if node.inputs else ""
        lines.append(f"... {node.left_out}{more} input{'s' * (node.left_out > 1)}")
    return "\n".join(lines)


def _said(node: Node, spec: str) -> str:
    """Return a description of the node for somebody who cannot see the picture."""
    sources = [
        _called(child, spec) + ("" if local is None else f" by {_number(local, spec)}")
        for child, local in node.inputs
    ]
    if node.left_out:
        sources.append(f"{node.left_out} that {'is' if node.left_out == 1 else 'are'} not drawn")
    origin = f", from {_listed(sources)}" if sources else ""
    changed = ", whose inputs were changed since" if node.changed else ""
    data, grad = (_number(x, spec) for x in (node.value.data, node.grad))
    return f"{node.title or 'A value'} is {data}, grad {grad}{origin}{changed}."


def _called(node: Node, spec: str) -> str:
    return node.name or f"{node.title} {_number(node.value.data, spec)}".strip()


def _listed(words: Sequence[str]) -> str:
    """Return the words as a list in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _number(number: Any, spec: str) -> str:
    try:
        return format(number, spec)
    except (TypeError, ValueError):  # data that is no number, such as an array's
        return f"{number!r:.20}"


# ---------------------------------------------------------------- where it is drawn


def _drawn(root: Node, spec: str, moving: Node | None = None, passes_on: bool = False) -> Drawing:
    """Draw the root and all before it; `moving` is coloured, and its arrows if it passes on."""
    layers, edges = _layered(root)
    captions = {p: _caption(p, spec) for layer in layers for p in layer if isinstance(p, Node)}
    sizes = {
        place: _size(place, captions[place]) if isinstance(place, Node) else (20.0, 0.0)
        for layer in layers
        for place in layer
    }
    _untangle(layers, edges)
    drawing = Drawing()
    boxes: dict[Place, Box] = {}
    for place, (x, y) in _centres(layers, sizes).items():
        if isinstance(place, Node):
            kind = _kind(place, root, moving)
            boxes[place] = drawing.box(x, y, captions[place], kind, sizes[place][0])
        else:
            boxes[place] = Box(x, y, 0, 0)
    _draw_edges(drawing, edges, boxes, spec, moving if passes_on else None)
    return drawing


def _size(node: Node, caption: str) -> tuple[float, float]:
    width, height = box_size(caption)
    return max(width, node.width), height


def _kind(node: Node, root: Node, moving: Node | None) -> str:
    """What the colour of a Value's box says; in a step it is the one that moves."""
    if node is (moving or root):
        return "loss"
    return "operation" if node.inputs or node.left_out or node.changed else "data"


def _draw_edges(
    drawing: Drawing, edges: Edges, boxes: Mapping[Place, Box], spec: str, giver: Node | None
) -> None:
    """Draw the arrows with their local gradients; those of the giver are coloured."""
    notes = []
    doubled = {path[0] for (result, _), path in edges.items() if _is_doubled(result, path[0])}
    for (result, which), path in edges.items():
        shift = _shift(result, which, edges, boxes)
        twice = path[-2] is path[0] and _is_doubled(result, path[0])
        colour, thick = (CURVES[3], 2.5) if result is giver else (MUTED, 1.3)
        for upper, lower in pairwise(path):
            start, end = boxes[upper], boxes[lower]
            begins, ends = start.bottom, end.top
            if lower is not result:
                if upper in doubled and ends[0] != begins[0]:  # beside the two arrows, not across
                    begins = (begins[0] + copysign(start.width / 3, ends[0] - begins[0]), begins[1])
                drawing.line([begins, ends], colour, thick)
                continue
            ends = (ends[0] + shift, ends[1])
            # Two arrows from the same input would hide each other.
            begins = (begins[0] + shift, begins[1]) if twice else begins
            drawing.line([begins, ends], colour, thick, head=True)
            local = result.inputs[which][1]
            if local is not None:
                notes.append((begins, ends, _number(local, spec)))
    _draw_notes(drawing, notes)


def _draw_notes(drawing: Drawing, notes: Sequence[tuple[Point, Point, str]]) -> None:
    """Put each text on its arrow, on top of all lines, where it hides no other one."""
    taken: list[Box] = []
    for begins, ends, text in notes:
        places = [
            note_box(e_x + part * (b_x - e_x), e_y + part * (b_y - e_y), text)
            for (b_x, b_y), (e_x, e_y), part in ((begins, ends, part) for part in PARTS)
        ]
        free = (place for place in places if not any(map(place.overlaps, taken)))
        box = next(free, places[0])
        taken.append(box)
        drawing.note(box.x, box.y, text)


def _is_doubled(result: Node, place: Place) -> bool:
    """Return whether a Value is two inputs of the same result, as in a * a."""
    return sum(child is place for child, _ in result.inputs) > 1


def _shift(result: Node, which: int, edges: Edges, boxes: Mapping[Place, Box]) -> float:
    """Return how far from the middle of the result an input arrives, to keep left on the left."""
    n = len(result.inputs)
    arriving = sorted((boxes[edges[result, i][-2]].x, i) for i in range(n))
    rank = arriving.index((boxes[edges[result, which][-2]].x, which))
    return (rank - (n - 1) / 2) * min(40.0, boxes[result].width / max(3, n))


def _in_order(root: Node) -> list[Node]:
    """Return the root and all that it was computed from, inputs before results."""
    order: list[Node] = []
    seen: set[Node] = set()
    todo = [(root, False)]
    while todo:
        node, done = todo.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo += [(child, False) for child, _ in reversed(node.inputs)]
    return order


def _layered(root: Node) -> tuple[list[list[Place]], Edges]:
    """Return the layers, from inputs to root, and the places of each edge."""
    order = _in_order(root)
    level: dict[Node, int] = {}
    users: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        level[node] = 1 + max((level[child] for child, _ in node.inputs), default=-1)
        for child, _ in node.inputs:
            users[child].append(node)
    for node in order:  # inputs go just above what first needs them
        if not node.inputs and node is not root:
            level[node] = min(level[user] for user in users[node]) - 1
    layers: list[list[Place]] = [[] for _ in range(level[root] + 1)]
    for node in order:
        layers[level[node]].append(node)
    edges: Edges = {}
    for result in order:
        for which, (child, _) in enumerate(result.inputs):
            between: list[Place] = [
                (result, which, layer) for layer in range(level[child] + 1, level[result])
            ]
            for layer, place in enumerate(between, start=level[child] + 1):
                layers[layer].append(place)
            edges[result, which] = [child, *between, result]
    return layers, edges


def _untangle(layers: list[list[Place]], edges: Edges) -> None:
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
    layers: list[list[Place]], sizes: Mapping[Place, tuple[float, float]]
) -> dict[Place, Point]:
    """Return each layer in a row, centred; rows below one another."""
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
