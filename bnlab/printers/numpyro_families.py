"""How NumPyro spells the families of distributions.

A new family brings its own spelling as `spelling = {"numpyro": "dist.Poisson({rate})"}` in its file: a template with its
slots, for a distribution over scalars. Vectors of those are independent entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from bnlab.errors import InternalError
from bnlab.families.base import registry
from bnlab.printers.numpyro_code import Code, bare, lift, number

Arguments = Mapping[str, Code]
Shape = tuple[int, ...]

ELEMENTWISE = {
    "InverseGamma": "dist.InverseGamma({concentration}, {scale})",
}
"""Families over scalars: a template with the slots' names."""


def spell(family: str, arguments: Arguments, shape: Shape) -> str:
    """The distribution, with `shape` as its event shape. Raises InternalError, with the two places, for a new family."""
    whole = WHOLE.get(family)
    if whole is not None:
        return whole(arguments, shape)
    template = ELEMENTWISE.get(family) or registry()[family].spelling.get("numpyro")
    if template is None:
        raise InternalError(
            f'NumPyro\'s spelling of {family} is missing: add spelling = {{"numpyro": ...}} to the file of the family, '
            "or a row to bnlab/printers/numpyro_families.py."
        )
    return _elementwise(template, arguments, shape)


def _elementwise(template: str, arguments: Arguments, shape: Shape) -> str:
    """Independent entries: as many as `shape` has, also where all arguments are scalars."""
    rank = len(shape)
    text = template.format(**{name: bare(lift(code, rank)) for name, code in arguments.items()})
    if not rank:
        return text
    if all(code.rank < rank and not code.batched for code in arguments.values()):
        text += f".expand({list(shape)})"
    return f"{text}.to_event({rank})"


def _categorical(arguments: Arguments, shape: Shape) -> str:
    return f"dist.Categorical({bare(arguments['probs'])})"


def _multinomial(arguments: Arguments, shape: Shape) -> str:
    return f"dist.Multinomial({arguments['total'].text}, {bare(arguments['probs'])})"


def _dirichlet(arguments: Arguments, shape: Shape) -> str:
    concentration = arguments["concentration"]
    if concentration.rank:
        return f"dist.Dirichlet({concentration.text})"
    return f"dist.Dirichlet(jnp.full({shape[0]}, {bare(concentration)}))"


def _inverse_wishart(arguments: Arguments, shape: Shape) -> str:
    return f"dist.InverseWishart({bare(arguments['df'])}, scale_matrix={bare(arguments['scale'])})"


def _lkj_cholesky(arguments: Arguments, shape: Shape) -> str:
    return f"dist.LKJCholesky({shape[0]}, {bare(arguments['concentration'])})"


def _normal(arguments: Arguments, shape: Shape) -> str:
    if "cov" in arguments:
        mean, cov = arguments["mean"], arguments["cov"]
        if not mean.rank and not mean.batched:
            mean = Code(f"jnp.full({shape[0]}, {bare(mean)})", 1)
        return f"dist.MultivariateNormal({bare(lift(mean, 1))}, covariance_matrix={bare(cov)})"
    return _elementwise(
        "dist.Normal({mean}, {std})", {"mean": arguments["mean"], "std": deviation(arguments)}, shape
    )


def _student(arguments: Arguments, shape: Shape) -> str:
    """A vector has one weight for all its entries: independent entries would have one each."""
    if not shape:
        slots = {name: arguments[name] for name in ("df", "mean", "scale")}
        return _elementwise("dist.StudentT({df}, {mean}, {scale})", slots, shape)
    df, mean = arguments["df"], arguments["mean"]
    if not mean.rank and not mean.batched:
        mean = Code(f"jnp.full({shape[0]}, {bare(mean)})", 1)
    if "scale_matrix" in arguments:
        root = f"jnp.linalg.cholesky({bare(arguments['scale_matrix'])})"
    else:
        scale = lift(arguments["scale"], 1)
        column = f"{scale.text}[..., None]" if scale.rank else scale.text
        root = f"{column} * jnp.eye({shape[0]})"
    return f"dist.MultivariateStudentT({bare(df)}, {bare(lift(mean, 1))}, {root})"


def deviation(arguments: Arguments) -> Code:
    """The standard deviation of a Normal that has `var` or `std`."""
    if "std" in arguments:
        return arguments["std"]
    var = arguments["var"]
    root = _exact_root(bare(var))
    if root is not None:
        return Code(root, 0)
    return Code(f"jnp.sqrt({bare(var)})", var.rank, var.batched)


def _exact_root(text: str) -> str | None:
    """The square root of a number, where writing it loses nothing."""
    try:
        value = float(text)
    except ValueError:
        return None
    root = math.sqrt(value)
    return number(root) if root * root == value else None


def covariance(arguments: Arguments, dim: int) -> Code:
    """The covariance matrix of a Normal over vectors, however its spread is given."""
    if "cov" in arguments:
        return arguments["cov"]
    std = lift(deviation(arguments), 1)
    column = f"{std.text}[..., None]" if std.rank else std.text
    return Code(f"{column} ** 2 * jnp.eye({dim})", 2, std.batched)


WHOLE: dict[str, Callable[[Arguments, Shape], str]] = {
    "Categorical": _categorical,
    "Dirichlet": _dirichlet,
    "InverseWishart": _inverse_wishart,
    "LKJCholesky": _lkj_cholesky,
    "Multinomial": _multinomial,
    "Normal": _normal,
    "StudentT": _student,
}
"""Families that are not spelled entry by entry."""
