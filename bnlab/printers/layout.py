"""Where everything in a picture stands: Graphviz's answer, with edges made straight where nothing is in the way.

All lengths are in points, the origin is at the bottom left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from bnlab.printers.geometry import (
    Point,
    Rectangle,
    around,
    between,
    cross,
    distance,
    meets,
    overlap,
    trace,
    within,
)
from bnlab.printers.picture import Edge, Node, Path, Picture
from bnlab.printers.shapes import DOT, below, covers, reach, size, small

ARROW = 6.5
"""The length of an arrow's head."""
CLEARANCE = 4.0
"""How far an edge stays from a node that it does not belong to."""
NOTE: Point = (34.0, 12.0)
"""The width and height that a note at an edge takes."""
INCH = 72
LONG = 250.0
"""Edges of this length in all weigh as much as one crossing."""
BENDS = (32.0, -32.0, 16.0, -16.0, 64.0, -64.0, 96.0, -96.0)
"""How far from the straight way a bow is tried, in this order."""


@dataclass(frozen=True, slots=True)
class Route:
    """An edge: the control points of a Bezier spline up to the arrow's head, the arrow's tip, the middle of its note."""

    points: tuple[Point, ...]
    tip: Point
    straight: bool = False
    note: Point | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Places. `labels` are the rectangles of symbols beside dots, `captions` those of boxes' labels."""

    size: Point
    nodes: Mapping[str, Point]
    labels: Mapping[str, Rectangle]
    boxes: Mapping[Path, Rectangle]
    captions: Mapping[Path, Rectangle]
    routes: Mapping[tuple[str, str], Route]


def layout(picture: Picture, graphviz_json: str) -> Layout:
    """The places that Graphviz found for `picture`, with straight edges and notes beside them."""
    return routed(picture, measured(picture, graphviz_json))


def measured(picture: Picture, graphviz_json: str) -> Layout:
    """The places as Graphviz found them."""
    found = json.loads(graphviz_json)
    objects = {thing["name"]: thing for thing in found.get("objects", ())}
    frames = {box.path: objects[cluster(box.path)] for box in picture.boxes}
    return Layout(
        size=_numbers(found["bb"])[2:],
        nodes={node.id: _numbers(objects[node.id]["pos"]) for node in picture.nodes},
        labels={node.id: _label(picture, node, objects[node.id]) for node in picture.nodes if small(node)},
        boxes={path: _numbers(frame["bb"]) for path, frame in frames.items()},
        captions={path: _caption(frame) for path, frame in frames.items()},
        routes=_splines(found),
    )


def routed(picture: Picture, places: Layout) -> Layout:
    """The same places, with edges straight where nothing is in the way and else as they are or arcs, and with notes."""
    routes = {(edge.source, edge.target): _route(picture, places, edge) for edge in picture.edges}
    for edge in picture.edges:
        if edge.note:
            routes[edge.source, edge.target] = _with_note(picture, replace(places, routes=routes), edge)
    return replace(places, routes=routes)


def faults(places: Layout) -> int:
    """How far a layout is from what one would draw by hand: bent edges, texts that edges run over, crossings, detours."""
    bent = sum(not route.straight for route in places.routes.values())
    traces = [(source, trace(route.points)) for (source, _), route in places.routes.items()]
    texts = [*places.labels.items(), *(("", caption) for caption in places.captions.values())]
    hits = sum(
        source != name and any(meets(rectangle, point) for point in line)
        for name, rectangle in texts
        for source, line in traces
    )
    chords = [(line[0], line[-1]) for _, line in traces]
    crossings = sum(cross(one, other) for one, other in combinations(chords, 2))
    return 2 * bent + 2 * hits + crossings + int(sum(distance(*chord) for chord in chords) / LONG)


def cluster(path: Path) -> str:
    """The name of a box in DOT."""
    return "cluster_" + "/".join(path)


def _numbers(text: str) -> Any:
    """The numbers of a point or of a rectangle."""
    return tuple(float(number) for number in text.split(","))


def _label(picture: Picture, node: Node, drawn: Mapping[str, str]) -> Rectangle:
    """The half of the label's room that its text is in; 4 points at each side are Graphviz's margin."""
    x, y = _numbers(drawn["pos"])
    across, high = float(drawn["width"]) * INCH / 2 - 4, float(drawn["height"]) * INCH / 2
    if below(picture, node):
        return x - across, y - high, x + across, y - DOT
    return x - across, y + DOT, x + across, y + high


def _caption(frame: Mapping[str, str]) -> Rectangle:
    return around(_numbers(frame["lp"]), float(frame["lwidth"]) * INCH, float(frame["lheight"]) * INCH)


def _splines(found: Mapping[str, Any]) -> dict[tuple[str, str], Route]:
    names = [thing["name"] for thing in found.get("objects", ())]
    splines = {}
    for edge in found.get("edges", ()):
        if edge.get("style") != "invis":
            words = edge["pos"].split()
            tip, points = (words[0][2:], words[1:]) if words[0].startswith("e,") else (words[-1], words)
            route = Route(tuple(_numbers(point) for point in points), _numbers(tip))
            splines[names[edge["tail"]], names[edge["head"]]] = route
    return splines


def _route(picture: Picture, places: Layout, edge: Edge) -> Route:
    """Straight if that is free; else as Graphviz found it; without that an arc, but only around nodes."""
    straight = _straight(picture, places, edge)
    over_text = any(
        meets(rectangle, point)
        for rectangle in _obstacles(picture, places, edge)
        for point in trace(straight.points)
    )
    over_node = _runs_over_node(picture, places, edge, straight)
    found = places.routes.get((edge.source, edge.target))
    if found and (over_node or over_text):
        return found
    if not over_node:
        return straight
    arcs = (_arc(picture, places, edge, bend) for bend in BENDS)
    return min((straight, *arcs), key=lambda route: _runs_over_node(picture, places, edge, route))


def _runs_over_node(picture: Picture, places: Layout, edge: Edge, route: Route) -> int:
    """At how many points a route is in a node that it does not belong to, or too near."""
    line = trace(route.points)
    others = (node for node in picture.nodes if node.id not in (edge.source, edge.target))
    return sum(covers(node, places.nodes[node.id], point, CLEARANCE) for node in others for point in line)


def _straight(picture: Picture, places: Layout, edge: Edge) -> Route:
    """The straight line between the borders of two nodes."""
    start, goal = places.nodes[edge.source], places.nodes[edge.target]
    first, last = _ends(picture, edge)
    leave = between(start, goal, reach(first, start, goal) / distance(start, goal))
    arrive = reach(last, goal, start) / distance(start, goal)
    shaft = between(goal, start, arrive + ARROW / distance(start, goal))
    return Route(
        tuple(between(leave, shaft, i / 3) for i in range(4)), between(goal, start, arrive), straight=True
    )


def _arc(picture: Picture, places: Layout, edge: Edge, bend: float) -> Route:
    """A bow beside the straight way, `bend` points from it: to the left if that is positive."""
    start, goal = places.nodes[edge.source], places.nodes[edge.target]
    (dx, dy), length = (goal[0] - start[0], goal[1] - start[1]), distance(start, goal)
    rise = bend / length / 0.75  # a cubic spline reaches three quarters of the way to its control points
    bent = [(start[0] + share * dx - rise * dy, start[1] + share * dy + rise * dx) for share in (0.25, 0.75)]
    first, last = _ends(picture, edge)
    leave = between(start, bent[0], reach(first, start, bent[0]) / distance(start, bent[0]))
    arrive, way = reach(last, goal, bent[1]), distance(goal, bent[1])
    return Route(
        (leave, bent[0], bent[1], between(goal, bent[1], (arrive + ARROW) / way)),
        between(goal, bent[1], arrive / way),
    )


def _ends(picture: Picture, edge: Edge) -> tuple[Node, Node]:
    nodes = {node.id: node for node in picture.nodes}
    return nodes[edge.source], nodes[edge.target]


def _obstacles(picture: Picture, places: Layout, edge: Edge) -> Iterator[Rectangle]:
    """What an edge must not run over: symbols, captions, and boxes that neither of its ends is in."""
    yield from (rectangle for name, rectangle in places.labels.items() if name != edge.source)
    yield from places.captions.values()
    ends = [node.path for node in picture.nodes if node.id in (edge.source, edge.target)]
    for path, rectangle in places.boxes.items():
        if not any(end[: len(path)] == path for end in ends):
            yield rectangle


def _with_note(picture: Picture, places: Layout, edge: Edge) -> Route:
    """The edge's route with its note at the first place beside it where nothing else is."""
    route = places.routes[edge.source, edge.target]
    candidates = list(_beside(route))
    free = (middle for middle in candidates if _is_free(picture, places, around(middle, *NOTE)))
    return replace(route, note=next(free, candidates[0]))


def _beside(route: Route) -> Iterator[Point]:
    """Middles for a note beside an edge, the best first: halfway, on the right."""
    line = trace(route.points)
    lean = abs(line[-1][0] - line[0][0]) / (distance(line[0], line[-1]) or 1)
    apart = NOTE[0] / 2 + 2 + lean * NOTE[1] / 2
    for share in (0.4, 0.5, 0.3, 0.6, 0.2, 0.7):
        x, y = line[int(share * (len(line) - 1))]
        yield x + apart, y
        yield x - apart, y


def _is_free(picture: Picture, places: Layout, room: Rectangle) -> bool:
    circles = (around(places.nodes[node.id], *size(node)) for node in picture.nodes)
    notes = (around(route.note, *NOTE) for route in places.routes.values() if route.note)
    taken = (*places.labels.values(), *places.captions.values(), *circles, *notes)
    borders = (box for box in places.boxes.values() if overlap(room, box) and not within(room, box))
    lines = (point for route in places.routes.values() for point in trace(route.points))
    return not any(
        (
            any(overlap(room, rectangle) for rectangle in taken),
            any(borders),
            any(meets(room, point) for point in lines),
        )
    )
