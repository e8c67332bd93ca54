"""LKJ: a prior of a covariance that says apart what is known of correlations and of standard deviations."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from bnlab.domains import Covariance, Domain, Positive, Values
from bnlab.families.base import AbstractFamily, Numbers, Slot


class LKJ(AbstractFamily):
    """Sigma = diag(s) R diag(s) with p(R) proportional to |R|^(concentration - 1) and s[d] ~ HalfNormal(scale).

    The `scale` is one number, or one for each row. A concentration of 1 is uniform over correlation matrices R, a larger one
    draws them to the unit matrix (Lewandowski, Kurowicka and Joe, J. Multivariate Analysis 100, 2009). Conjugate to nothing:
    NUTS and SVI take it, and EM refuses it by name.
    """

    name = "LKJ"
    slots = (Slot("concentration", (Positive,)), Slot("scale", (Positive,), rows=True))
    is_cpd = False
    is_prior = True
    parts = ("std", "corr_root")
    spelling = {"numpyro root": "{std}[..., None] * {corr_root}", "numpyro": "{root} @ {root}.mT"}

    def domain(self, arguments: Mapping[str, Domain]) -> Domain:
        shape = arguments["scale"].event_shape
        if arguments["concentration"].event_shape or len(shape) > 1:
            raise ValueError(
                "The concentration of an LKJ is one number, and its scale one or one for each row."
            )
        return Covariance(shape[0] if shape else 0)

    def unsuited(self, domain: Domain) -> str:
        alone = isinstance(domain, Covariance) and domain.dim < 2
        return "A covariance of one row has no correlations." if alone else ""

    def apart(self, value: Any, xp: ModuleType) -> Mapping[str, Any]:
        """The standard deviations s, and the Cholesky factor L of R."""
        std = xp.sqrt(xp.diagonal(value, axis1=-2, axis2=-1))
        return {"std": std, "corr_root": xp.linalg.cholesky(value) / std[..., None]}

    def together(self, parts: Mapping[str, Any]) -> Any:
        root = parts["std"][..., None] * parts["corr_root"]
        return root @ root.swapaxes(-1, -2)

    def priors_of_parts(
        self, arguments: Mapping[str, Values], plates: tuple[int, ...], dim: int
    ) -> Mapping[str, tuple[str, Mapping[str, Values]]]:
        """Of the standard deviations, and of the Cholesky factor of the correlations."""
        scale = Values.of(_deviations(arguments["scale"], plates, dim))
        concentration = {"concentration": arguments["concentration"]}
        return {"std": ("HalfNormal", {"scale": scale}), "corr_root": ("LKJCholesky", concentration)}

    def log_volume(self, parts: Mapping[str, Any], xp: ModuleType) -> Any:
        """d R / d L is triangular, with L[j, j] for each entry below it; d Sigma / d(s, R) has 2 s[d] for each variance and
        s[d] s[e] for each covariance: in all the product of 2 s[d]^D and of L[j, j]^(D - j) for j = 1 ... D."""
        std, root = parts["std"], xp.diagonal(parts["corr_root"], axis1=-2, axis2=-1)
        dim = std.shape[-1]
        below = np.arange(dim)[::-1]
        return (np.log(2) + dim * xp.log(std) + below * xp.log(root)).sum(-1)


def _deviations(scale: Values, plates: tuple[int, ...], dim: int) -> Numbers:
    """The scale of each standard deviation: as one number or a row, where all members of the plates have the same."""
    array = scale.array
    if array.shape in ((), (dim,)):
        return array
    rows = array[..., None] if array.shape == plates else array
    return np.broadcast_to(rows, (*plates, dim))


FAMILY = LKJ()
