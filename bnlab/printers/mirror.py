"""Boxes of parameters turned left to right where that makes a better picture."""

from __future__ import annotations

from dataclasses import replace

from bnlab.printers.geometry import Rectangle
from bnlab.printers.layout import Layout, faults, routed
from bnlab.printers.picture import Path, Picture
from bnlab.printers.shapes import small


def improved(picture: Picture, places: Layout) -> Layout:
    """`places`, or the same with some outermost boxes of parameters mirrored, if that has fewer faults."""
    for box in picture.inner(()):
        if all(small(node) for node in picture.nodes if node.path[:1] == box.path):
            turned = routed(picture, _mirrored(picture, places, box.path))
            places = min(places, turned, key=faults)
    return places


def _mirrored(picture: Picture, places: Layout, path: Path) -> Layout:
    """All in the box that `path` names on its other side; the texts of boxes stay at their right. Its edges are open."""
    left, _, right, _ = places.boxes[path]
    inside = {node.id for node in picture.nodes if node.path[: len(path)] == path}
    boxes = {
        other: _turn(box, left + right) for other, box in places.boxes.items() if other[: len(path)] == path
    }
    captions = {
        other: _shift(places.captions[other], box[2] - places.boxes[other][2]) for other, box in boxes.items()
    }
    nodes = {name: (left + right - places.nodes[name][0], places.nodes[name][1]) for name in inside}
    labels = {name: _turn(places.labels[name], left + right) for name in inside}
    return replace(
        places,
        nodes={**places.nodes, **nodes},
        labels={**places.labels, **labels},
        boxes={**places.boxes, **boxes},
        captions={**places.captions, **captions},
        routes={ends: route for ends, route in places.routes.items() if ends[0] not in inside},
    )


def _turn(rectangle: Rectangle, ends: float) -> Rectangle:
    """A rectangle on the other side; `ends` is the sum of the two sides' places."""
    return ends - rectangle[2], rectangle[1], ends - rectangle[0], rectangle[3]


def _shift(rectangle: Rectangle, across: float) -> Rectangle:
    return rectangle[0] + across, rectangle[1], rectangle[2] + across, rectangle[3]
