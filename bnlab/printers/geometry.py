"""Points, rectangles and splines in the plane."""

from __future__ import annotations

from collections.abc import Iterable
from math import hypot

Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def between(start: Point, goal: Point, share: float) -> Point:
    """The point at `share` of the way."""
    return start[0] + (goal[0] - start[0]) * share, start[1] + (goal[1] - start[1]) * share


def distance(one: Point, other: Point) -> float:
    return hypot(one[0] - other[0], one[1] - other[1])


def trace(controls: tuple[Point, ...]) -> list[Point]:
    """Points along a cubic Bezier spline (1 + 3 n control points), close enough to see what it meets."""
    pieces = [controls[i : i + 4] for i in range(0, len(controls) - 1, 3)]
    return [_bezier(piece, i / 20) for piece in pieces for i in range(21)]


def around(middle: Point, width: float, height: float) -> Rectangle:
    return middle[0] - width / 2, middle[1] - height / 2, middle[0] + width / 2, middle[1] + height / 2


def meets(rectangle: Rectangle, point: Point) -> bool:
    left, bottom, right, top = rectangle
    return left < point[0] < right and bottom < point[1] < top


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def within(inner: Rectangle, outer: Rectangle) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two line segments cross."""
    (a, b), (c, d) = one, other
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive if a, b, c turn left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _bezier(points: Iterable[Point], share: float) -> Point:
    row = list(points)
    while len(row) > 1:
        row = [between(left, right, share) for left, right in zip(row, row[1:], strict=False)]
    return row[0]
