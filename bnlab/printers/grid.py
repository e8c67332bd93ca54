"""Where everything stands in a rolled-out picture: members in columns, levels in rows, parameters above and below.

Graphviz does not keep the order of members when boxes are around them; this layout does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import mean

from bnlab.printers.geometry import Point, Rectangle, around
from bnlab.printers.layout import Layout, routed
from bnlab.printers.picture import Cell, Node, Path, Picture
from bnlab.printers.shapes import CIRCLE, DOT, size

COLUMN = 62.0
"""From one variable to the next, in points."""
STAGGER = 40.0
"""The same for rows of one level, so that edges pass beside their circles."""
ROW = 80.0
"""From one level to the next."""
SUBROW = 56.0
"""From one row to the next within a level."""
PARAMETERS = 80.0
"""From parameters to variables, without the boxes between."""
SLOPE = 0.46
"""Edges this steep to one circle pass under the next: a radius and a bit over a column."""
MARGIN = 8.0
"""Between a box and what is in it."""
GAP = 12.0
"""Between a box's last symbol and its caption."""
APART = 24.0
"""Between the symbols of two parameters, so that edges pass under the next one."""

Member = tuple[tuple[str, int], ...]
Members = Mapping[Member, list[Node]]


def grid(picture: Picture, sizes: Layout) -> Layout:
    """The places of a rolled-out picture. `sizes` is any layout of it, from which labels and captions have their sizes."""
    variables = [node for node in picture.nodes if not _is_aside(node)]
    parameters = [node for node in picture.nodes if _is_aside(node)]
    across = _columns(variables, sizes)
    down = _heights(picture, max(across.values()) - min(across.values()))
    for row in dict.fromkeys(_cell(node).row for node in parameters):
        across.update(
            _spread(picture, [node for node in parameters if _cell(node).row == row], across, sizes)
        )
    nodes = {node.id: (across[node.id], down[_cell(node).row]) for node in picture.nodes}
    labels = {
        name: _moved(rectangle, sizes.nodes[name], nodes[name]) for name, rectangle in sizes.labels.items()
    }
    boxes = _boxes(picture, nodes, labels, sizes)
    captions = {path: _in_corner(boxes[path], sizes.captions[path]) for path in boxes}
    return routed(picture, _from_origin(picture, Layout(sizes.size, nodes, labels, boxes, captions, {})))


def _columns(variables: list[Node], sizes: Layout) -> dict[str, float]:
    """How far to the right each variable stands: members side by side, inside the room of the member around them."""
    members: dict[Member, list[Node]] = {(): []}
    for node in variables:
        member = _cell(node).member
        for depth in range(len(member) + 1):
            members.setdefault(member[:depth], [])
        members[member].append(node)
    places: dict[str, float] = {}
    _place(members, (), 0.0, places, sizes)
    return places


def _place(members: Members, member: Member, left: float, places: dict[str, float], sizes: Layout) -> None:
    middle = left + _width(members, member, sizes) / 2
    for nodes in _levels(members[member]):
        centres, wide = _side_by_side(nodes, sizes)
        places.update(
            {node.id: middle - wide / 2 + centre for node, centre in zip(nodes, centres, strict=True)}
        )
    for family in _families(members, member):
        start = middle - sum(_width(members, inner, sizes) for inner in family) / 2
        for inner in family:
            _place(members, inner, start, places, sizes)
            start += _width(members, inner, sizes)


def _width(members: Members, member: Member, sizes: Layout) -> float:
    own = [_side_by_side(nodes, sizes)[1] for nodes in _levels(members[member])]
    families = [
        sum(_width(members, inner, sizes) for inner in family) for family in _families(members, member)
    ]
    return max([*own, *families], default=0.0)


def _levels(nodes: list[Node]) -> list[list[Node]]:
    levels: dict[int, list[Node]] = {}
    for node in nodes:
        levels.setdefault(_cell(node).row[0], []).append(node)
    return list(levels.values())


def _side_by_side(nodes: list[Node], sizes: Layout) -> tuple[list[float], float]:
    """The centres of the nodes of one level, from the left, and their width in all."""
    overlap = 0.0 if len({_cell(node).row for node in nodes}) < len(nodes) else COLUMN - STAGGER
    centres, left = [], 0.0
    for node in nodes:
        column = COLUMN + max(size(node)[0] - CIRCLE, 0.0)
        centres.append(left + column / 2)
        left += column + _captions(node, sizes) - overlap
    return centres, left + overlap


def _captions(node: Node, sizes: Layout) -> float:
    """The room that the boxes inside of a member take, beside the node itself."""
    inner = (node.path[: depth + 1] for depth, step in enumerate(node.path) if "[" in step)
    return sum(_wide(sizes.captions[path]) + GAP + 2 * MARGIN for path in inner)


def _families(members: Members, member: Member) -> list[list[Member]]:
    """The members inside of `member`, by plate. Those of different plates share no row, so they may stand above one another."""
    families: dict[str, list[Member]] = {}
    for inner in members:
        if inner and inner[:-1] == member:
            families.setdefault(inner[-1][0], []).append(inner)
    return list(families.values())


def _heights(picture: Picture, width: float) -> dict[tuple[int, int], float]:
    """The height of each row, the upper ones higher; parameters so far off that their edges pass between circles."""
    parameters = {_cell(node).row for node in picture.nodes if _is_aside(node)}
    between = max(PARAMETERS, SLOPE * width / 2) + MARGIN * sum(
        max((len(node.path) for node in picture.nodes if _is_aside(node) == side), default=0)
        for side in (True, False)
    )
    rows = sorted({_cell(node).row for node in picture.nodes})
    heights, height = {row: 0.0 for row in rows[:1]}, 0.0
    for upper, lower in zip(rows, rows[1:], strict=False):
        within = SUBROW if upper[0] == lower[0] else ROW
        height -= between if parameters & {upper, lower} else within
        heights[lower] = height
    return heights


def _spread(
    picture: Picture, marks: list[Node], across: Mapping[str, float], sizes: Layout
) -> dict[str, float]:
    """Parameters of one row, those of one box together, in the order of what reads them and above or below it."""
    wanted: dict[str, float] = {}
    for mark in marks:  # what nothing reads, dots, stands after the one before it
        read_by = [across[edge.target] for edge in picture.edges if edge.source == mark.id]
        wanted[mark.id] = _mean(read_by or list(wanted.values())[-1:])
    places: dict[str, float] = {}
    _pack(marks, (), 0.0, wanted, sizes, places)
    shift = _mean(wanted[name] - place for name, place in places.items())
    return {name: place + shift for name, place in places.items()}


def _pack(
    marks: list[Node],
    path: Path,
    left: float,
    wanted: Mapping[str, float],
    sizes: Layout,
    places: dict[str, float],
) -> float:
    """Puts the marks in the box that `path` names from `left` on, and returns where they end."""
    depth = len(path) + 1
    units: dict[Path | str, list[Node]] = {}
    for mark in marks:
        units.setdefault(mark.path[:depth] if len(mark.path) >= depth else mark.id, []).append(mark)
    for unit, inside in sorted(units.items(), key=lambda unit: _mean(wanted[mark.id] for mark in unit[1])):
        if isinstance(unit, str):
            places[unit] = left + _wide(sizes.labels[unit]) / 2 if unit in sizes.labels else left + DOT
            left += _wide(sizes.labels[unit]) if unit in sizes.labels else 2 * DOT
        else:
            left = (
                _pack(inside, unit, left + MARGIN, wanted, sizes, places)
                + _wide(sizes.captions[unit])
                + MARGIN
            )
        left += APART
    return left - APART + (GAP if path else 0.0)


def _boxes(
    picture: Picture, nodes: Mapping[str, Point], labels: Mapping[str, Rectangle], sizes: Layout
) -> dict[Path, Rectangle]:
    """A box holds what is in it and, to the right of that, its caption."""
    boxes: dict[Path, Rectangle] = {}
    for box in sorted(picture.boxes, key=lambda box: -len(box.path)):
        inner = [boxes[other.path] for other in picture.inner(box.path)]
        members = picture.members(box.path)
        circles = [around(nodes[node.id], *size(node)) for node in members]
        texts = [labels[node.id] for node in members if node.id in labels]
        left, bottom, right, top = _hull([*inner, *circles, *texts])
        right += GAP + _wide(sizes.captions[box.path])
        boxes[box.path] = left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN
    return {box.path: boxes[box.path] for box in picture.boxes}


def _in_corner(box: Rectangle, caption: Rectangle) -> Rectangle:
    _, bottom, right, _ = box
    high = caption[3] - caption[1]
    return right - MARGIN - _wide(caption), bottom + 3, right - MARGIN, bottom + 3 + high


def _from_origin(picture: Picture, places: Layout) -> Layout:
    """The same layout with its lower left corner near the origin, and its size."""
    circles = (around(places.nodes[node.id], *size(node)) for node in picture.nodes)
    left, bottom, right, top = _hull([*circles, *places.labels.values(), *places.boxes.values()])
    here, origin = (left - MARGIN, bottom - MARGIN), (0.0, 0.0)
    return replace(
        places,
        size=(right - left + 2 * MARGIN, top - bottom + 2 * MARGIN),
        nodes={name: (x - here[0], y - here[1]) for name, (x, y) in places.nodes.items()},
        labels={name: _moved(rectangle, here, origin) for name, rectangle in places.labels.items()},
        boxes={path: _moved(rectangle, here, origin) for path, rectangle in places.boxes.items()},
        captions={path: _moved(rectangle, here, origin) for path, rectangle in places.captions.items()},
    )


def _hull(rectangles: list[Rectangle]) -> Rectangle:
    lefts, bottoms, rights, tops = zip(*rectangles, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def _moved(rectangle: Rectangle, start: Point, goal: Point) -> Rectangle:
    dx, dy = goal[0] - start[0], goal[1] - start[1]
    return rectangle[0] + dx, rectangle[1] + dy, rectangle[2] + dx, rectangle[3] + dy


def _wide(rectangle: Rectangle) -> float:
    return rectangle[2] - rectangle[0]


def _mean(numbers: Iterable[float]) -> float:
    """The mean; 0 of nothing."""
    return mean(list(numbers) or [0.0])


def _cell(node: Node) -> Cell:
    return node.cell or Cell((0, 0))


def _is_aside(node: Node) -> bool:
    return _cell(node).aside
