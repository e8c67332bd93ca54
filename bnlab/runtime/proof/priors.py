"""Log densities of priors, written from their textbook formulas for NumPy and jax.numpy alike."""

from __future__ import annotations

from types import ModuleType

import jax.scipy.special as jax_special
import numpy as np
import scipy.special as scipy_special

from bnlab.errors import InternalError
from bnlab.network.ir import Graph, Parameter
from bnlab.runtime.proof.densities import Array, Theta


def log_prior(graph: Graph, theta: Theta, xp: ModuleType = np) -> Array:
    """The sum of the log prior densities of all free parameters that have a prior, every plate member by itself."""
    total = xp.zeros(())
    for parameter in graph.parameters:
        if parameter.prior is not None and parameter.value is None:
            total = total + _log_density(xp, parameter, theta[parameter.name]).sum()
    return total


def _log_density(xp: ModuleType, parameter: Parameter, value: Array) -> Array:
    assert parameter.prior is not None
    arguments = {name: values.array for name, values in parameter.prior.arguments}
    match parameter.prior.family:
        case "Dirichlet":
            return _dirichlet(xp, value, arguments["concentration"])
        case "Normal":
            return _normal(xp, value, **arguments)
        case "InverseGamma":
            return _inverse_gamma(xp, value, arguments["concentration"], arguments["scale"])
        case "Gamma":
            return _gamma(xp, value, arguments["concentration"], arguments["rate"])
        case "Beta":
            return _beta(xp, value, arguments["concentration1"], arguments["concentration0"])
        case "InverseWishart":
            return _inverse_wishart(xp, value, float(arguments["df"]), arguments["scale"])
        case "HalfNormal":
            return _half_normal(xp, value, arguments["scale"])
        case "LKJ":
            return _lkj(xp, value, arguments["concentration"], arguments["scale"])
        case other:
            raise InternalError(f"the oracle does not know the prior {other}")


def _gammaln(xp: ModuleType, value: Array) -> Array:
    return (scipy_special if xp is np else jax_special).gammaln(value)


def _dirichlet(xp: ModuleType, value: Array, concentration: Array) -> Array:
    a = np.broadcast_to(concentration, value.shape)
    norm = _gammaln(xp, a.sum(-1)) - _gammaln(xp, a).sum(-1)
    used = a != 1.0  # a zero probability with concentration 1 has density 1, not 0 * inf
    return norm + xp.where(used, (a - 1.0) * xp.log(xp.where(used, value, 1.0)), 0.0).sum(-1)


def _normal(
    xp: ModuleType,
    value: Array,
    mean: Array,
    cov: Array | None = None,
    var: Array | None = None,
    std: Array | None = None,
) -> Array:
    residual = value - mean
    if cov is not None and cov.ndim >= 2:
        solved = xp.einsum("...d,...de->...e", residual, xp.linalg.inv(cov))
        log_det = np.linalg.slogdet(cov)[1]
        return -0.5 * (cov.shape[-1] * np.log(2 * np.pi) + log_det + (residual * solved).sum(-1))
    spread = var if var is not None else std**2 if std is not None else cov
    return -0.5 * (np.log(2 * np.pi) + xp.log(spread) + residual**2 / spread)


def _inverse_gamma(xp: ModuleType, value: Array, a: Array, b: Array) -> Array:
    return a * xp.log(b) - _gammaln(xp, a) - (a + 1.0) * xp.log(value) - b / value


def _gamma(xp: ModuleType, value: Array, a: Array, b: Array) -> Array:
    return a * xp.log(b) - _gammaln(xp, a) + (a - 1.0) * xp.log(value) - b * value


def _beta(xp: ModuleType, value: Array, a: Array, b: Array) -> Array:
    norm = _gammaln(xp, a + b) - _gammaln(xp, a) - _gammaln(xp, b)
    return norm + (a - 1.0) * xp.log(value) + (b - 1.0) * xp.log(1.0 - value)


def _inverse_wishart(xp: ModuleType, value: Array, df: float, scale: Array) -> Array:
    dim = scale.shape[-1]
    log_gamma = dim * (dim - 1) / 4 * np.log(np.pi) + sum(_gammaln(xp, (df - j) / 2) for j in range(dim))
    norm = df / 2 * np.linalg.slogdet(scale)[1] - df * dim / 2 * np.log(2) - log_gamma
    trace = (scale * xp.linalg.inv(value)).sum((-2, -1))
    return norm - (df + dim + 1) / 2 * xp.linalg.slogdet(value)[1] - trace / 2


def _half_normal(xp: ModuleType, value: Array, scale: Array) -> Array:
    return 0.5 * np.log(2 / np.pi) - xp.log(scale) - 0.5 * (value / scale) ** 2


def _lkj(xp: ModuleType, value: Array, eta: Array, scale: Array) -> Array:
    """Equation 16 of Lewandowski, Kurowicka and Joe (2009) for the correlations, whose entries are those of the covariance
    divided by s[d] s[e], and whose standard deviations are half normal: d(variance) = 2 s ds."""
    dim, plates = value.shape[-1], value.shape[:-2]
    std = xp.sqrt(xp.diagonal(value, axis1=-2, axis2=-1))
    of_members = scale.ndim > 0 and scale.shape == plates and scale.shape != (dim,)
    spread = _half_normal(xp, std, scale[..., None] if of_members else scale).sum(-1)
    log_det = xp.linalg.slogdet(value)[1] - 2 * xp.log(std).sum(-1)
    norm = 0.0
    for left in range(1, dim):
        half = eta + (left - 1) / 2
        norm = norm + (2 * eta - 2 + left) * left * np.log(2)
        norm = norm + left * (2 * _gammaln(xp, half) - _gammaln(xp, 2 * half))
    stretch = xp.log(2 * std) + (dim - 1) * xp.log(std)
    return (eta - 1) * log_det - norm + spread - stretch.sum(-1)
