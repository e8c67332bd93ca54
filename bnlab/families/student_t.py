"""Student's t: a normal variable whose covariance is divided by a hidden weight, so that outliers weigh little."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Real
from bnlab.families import student_update
from bnlab.families.base import (
    AbstractFamily,
    Density,
    Expected,
    Maximum,
    Node,
    Numbers,
    PriorOn,
    Slot,
    Statistic,
    Use,
    widened,
)
from bnlab.families.normal import Normal
from bnlab.families.normal_missing import apart, whitened
from bnlab.families.normal_update import turned
from bnlab.families.student_update import as_normal, degrees, dim, distance, weight
from bnlab.program.build import add, divide, einsum, local, log, minus, multiply, subtract, total
from bnlab.program.ir import Start, Statement
from bnlab.program.ops import Binary, Expr, Linear, Number, Symbol, Unary, union

NORMAL = Normal()
FIRST_DF = 5.0
"""Where EM starts degrees of freedom: tails that one sees, and moments that exist."""


class StudentT(AbstractFamily):
    """Student's t with df degrees of freedom: Normal(mean, cov=scale_matrix / u) with u ~ Gamma(df / 2, df / 2).

    A scalar or vector `scale` is like a standard deviation: a vector is the root of a diagonal scale matrix, a scalar that of
    a spherical one, and a vector drawn has one weight u. The scale matrix is not the covariance: that is
    df / (df - 2) times as large, and there is none for df up to 2. The mean is the centre, also where df is at most 1.
    """

    name = "StudentT"
    slots = (
        Slot("df", (Positive,)),
        Slot("mean", (Real, Positive), mean=True, conjugate=("Normal",)),
        Slot("scale", (Positive,), group="spread"),
        Slot("scale_matrix", (Covariance,), group="spread", conjugate=("InverseWishart",)),
    )

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        shape = arguments["mean"].event_shape
        if len(shape) > 1:
            raise ValueError("The mean of a StudentT is a scalar or a vector.")
        if arguments["df"].event_shape:
            raise ValueError("The df of a StudentT is one number, also for a vector.")
        if "scale_matrix" in arguments and arguments["scale_matrix"].event_shape != shape * 2:
            raise ValueError(f"The mean has shape {shape}, so scale_matrix must have shape {shape * 2}.")
        if "scale" in arguments and arguments["scale"].event_shape not in ((), shape):
            raise ValueError(f"The mean has shape {shape}, so scale must be a scalar or have that shape.")
        return Real(shape)

    def density(self, node: Node) -> Density:
        """ln Gamma((df + D) / 2) - ln Gamma(df / 2) - (D ln(pi df) + ln |scale|) / 2 - (df + D) / 2 ln(1 + distance / df)."""
        assert node.value is not None
        df, half_df, half = degrees(node)
        squared, log_det, body = _whitened(node)
        away, size = local("distance", squared.axes), dim(node)
        normaliser = subtract(Unary("gammaln", half), Unary("gammaln", half_df))
        log_pi = log(multiply(Symbol("pi", (), "constant"), df))
        log_pi = log_pi if size == 1 else multiply(Number(size), log_pi)
        volume = divide(add(log_pi, log_det), Number(2.0))
        tail = multiply(half, Unary("log1p", divide(away, df)))
        statement = Statement(away, squared, "numerics", "|x - mean|^2 in units of the scale")
        return Density(subtract(subtract(normaliser, volume), tail), None, (*body, statement))

    entrywise = True

    def density_of_seen(self, node: Node) -> Density:
        """The entries of a vector that are seen are Student's t with the same df, their means and their part of the scale
        matrix (Kotz and Nadarajah 2004, section 1.10)."""
        if not node.event:
            return super().density_of_seen(node)
        assert node.seen is not None
        seen, inner = local("seen", node.seen.axes), as_normal(node)
        body, log_det, energy = (whitened if "cov" in inner.arguments else apart)(inner, seen)
        size, squared = local("size", minus(seen.axes, node.event)), local("distance", energy.axes)
        df, half_df = degrees(node)[:2]
        half = divide(add(df, size), Number(2.0))
        log_pi = log(multiply(Symbol("pi", (), "constant"), df))
        volume = divide(add(multiply(size, log_pi), log_det), Number(2.0))
        tail = multiply(half, Unary("log1p", divide(squared, df)))
        normaliser = subtract(Unary("gammaln", half), Unary("gammaln", half_df))
        return Density(
            subtract(subtract(normaliser, volume), tail),
            None,
            (
                Statement(seen, node.seen, "numerics"),
                Statement(size, total(seen, node.event[:1]), "numerics", "how many entries are seen"),
                *body,
                Statement(squared, energy, "numerics", "|x - mean|^2 in units of the scale, of these"),
            ),
        )

    def regressed(self, node: Node) -> tuple[Node, Symbol | None] | None:
        """Given the hidden weight u a vector is Normal, with the scale matrix over u for a covariance."""
        return (as_normal(node), weight(node)) if node.event else None

    def starts(self, node: Node) -> tuple[Start, ...]:
        """Centres and scales as those of a Normal."""
        name, axes = node.parameter("df"), node.own["df"].axes
        shape = tuple(axis.size or 1 for axis in axes)
        number = (Start(name, "number", node.variable, shape, values=(FIRST_DF,)),) if name else ()
        return (*number, *NORMAL.starts(as_normal(node)))

    def prepare(self, node: Node) -> tuple[Statement, ...]:
        """The residual, and the expected weight of each member at the old parameters."""
        return (*NORMAL.prepare(as_normal(node)), *student_update.expected_weights(node))

    def statistics(self, node: Node, expected: Expected) -> Mapping[str, Statistic]:
        """Counts; sums of weights; weighted first and second moments; where df is learnt, what that needs of the weights."""
        assert node.value is not None
        entries, inner = node.event[:1], as_normal(node)
        spread = next(own for slot, own in inner.own.items() if slot != "mean")
        u, r = weight(node), node.residual or local(f"r{node.suffix}", node.value.axes)
        twin = turned(r, node.event) if set(node.event[1:]) & set(spread.axes) else r
        cells = minus(union(*(own.axes for own in node.own.values())), node.event)
        wide = (*cells, *entries)
        mean_u = f"u_{node.variable}[{{index}}]"
        square = f"{mean_u} r[{{index}}]" + (" r[{index}]'" if twin != r else "^2")
        found = {
            "N": Statistic(Symbol("N", cells, "statistics"), expected((), cells)),
            "W": Statistic(Symbol("W", cells, "statistics"), expected((u,), cells), mean_u),
            "S": Statistic(Symbol("S", wide, "statistics"), expected((u, r), wide), f"{mean_u} r[{{index}}]"),
            "SS": Statistic(
                Symbol("SS", spread.axes, "statistics"), expected((u, r, twin), spread.axes), square
            ),
        }
        if "df" not in node.known:
            axes, excess = node.own["df"].axes, student_update.excess(node)
            formula = f"(E ln u - {mean_u})"
            found["G"] = Statistic(Symbol("G", axes, "statistics"), expected((excess,), axes), formula)
        return found

    def maximise(self, uses: tuple[Use, ...], free: frozenset[str], priors: Mapping[str, PriorOn]) -> Maximum:
        return student_update.maximise_student(uses, free, priors)

    def draw(
        self, generator: np.random.Generator, arguments: Mapping[str, Numbers], event: tuple[int, ...]
    ) -> Numbers:
        """mean + a normal draw over the root of its weight."""
        mean, df = arguments["mean"], arguments["df"]
        spread = (
            {"cov": arguments["scale_matrix"]} if "scale_matrix" in arguments else {"std": arguments["scale"]}
        )
        normal = NORMAL.draw(generator, {"mean": np.zeros((len(mean), *event)), **spread}, event)
        root = np.sqrt(generator.chisquare(df) / df)
        return np.asarray(widened(mean, normal.ndim) + normal / widened(root, normal.ndim))


def _whitened(node: Node) -> tuple[Expr, Expr, tuple[Statement, ...]]:
    """The squared distance from the mean in units of the scale, ln |scale matrix|, and what these are made of."""
    inner = as_normal(node)
    if "cov" not in inner.arguments or not node.event:
        return distance(node), _log_det(inner), ()
    assert node.value is not None
    cov, (row, column) = inner.arguments["cov"], node.event
    plates = minus(cov.axes, node.event)
    lower = local("L", cov.axes)
    residual = subtract(node.value, inner.arguments["mean"])
    axes = (*minus(union(residual, plates), (row,)), column)
    whiten = Linear("inverse_lower", lower, (*plates, column, row))
    y, log_det = local("y", axes), local("log_det", plates)
    body = (
        Statement(lower, Linear("cholesky", cov, cov.axes), "numerics"),
        Statement(y, einsum(axes, residual, whiten), "numerics", "L^-1 (x - mean)"),
        Statement(log_det, multiply(Number(2.0), Linear("log_diagonal_sum", lower, plates)), "numerics"),
    )
    return total(Binary("*", y, y, y.axes), (column,)), log_det, body


def _log_det(inner: Node) -> Expr:
    """ln |scale matrix| of a diagonal or spherical one, or of a scalar's."""
    spread = inner.arguments["std"] if "std" in inner.arguments else inner.arguments["cov"]
    entries = inner.event[:1]
    each = bool(set(entries) & set(spread.axes))
    times = (2.0 if "std" in inner.arguments else 1.0) * (1.0 if each else dim(inner))
    return multiply(Number(times), total(log(spread), entries if each else ())) if times != 1 else log(spread)


FAMILY = StudentT()
