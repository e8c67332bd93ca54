"""Gaussian mixtures: what bnlab emits against scikit-learn, gmmx and EM written by hand.

python -m benchmarks.gmm [CASE ...] [--library NAME] [--rounds 3]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    Case,
    Fitter,
    Library,
    Problem,
    emitted,
    main,
    random_covariances,
    separated_means,
    use_jax,
)

ROOT = Path(__file__).parent.parent


def drawn(rows: int, dim: int, components: int, dtype: str, diagonal: bool = False) -> Problem:
    """Rows of a random mixture, and a start near its means with the covariances of a single component."""
    rng = np.random.default_rng(0)
    means = separated_means(rng, components, dim)
    roots = np.linalg.cholesky(random_covariances(rng, components, dim))
    which = rng.integers(components, size=rows)
    x = np.empty((rows, dim), dtype)
    for k in range(components):  # one component at a time: no array of rows x dim x dim
        members = which == k
        noise = rng.standard_normal((members.sum(), dim))
        x[members] = means[k] + (noise if diagonal else noise @ roots[k].T)
    mu = means + 0.3 * rng.standard_normal(means.shape)
    return Problem({"x": x}, start(mu, np.ones(dim), diagonal, dtype), dtype)


def old_faithful(dtype: str) -> Problem:
    x = np.loadtxt(ROOT / "data" / "faithful.csv", delimiter=",", skiprows=1).astype(dtype)
    return Problem({"x": x}, start(np.array([[2.0, 55.0], [4.5, 80.0]]), x.var(0), False, dtype), dtype)


def start(mu: np.ndarray, variance: np.ndarray, diagonal: bool, dtype: str) -> dict[str, np.ndarray]:
    components = len(mu)
    spread = (
        {"sigma2": np.tile(variance, (components, 1))}
        if diagonal
        else {"Sigma": np.tile(np.diag(variance), (components, 1, 1))}
    )
    arrays = {"pi": np.full(components, 1 / components), "mu": mu, **spread}
    return {name: np.asarray(array, dtype) for name, array in arrays.items()}


def bnlab(problem: Problem) -> Fitter:
    from bnlab.cli.models import load_model

    name = "gmm" if "Sigma" in problem.start else "gmm_diagonal"
    components, dim = problem.start["mu"].shape
    model = load_model(str(ROOT / "models" / f"{name}.py"), [f"components={components}", f"dim={dim}"])
    return emitted(problem, model.network)


def by_hand(problem: Problem) -> Fitter:
    """Full covariances in chunks of 1024 rows."""
    jax = use_jax(problem.dtype)
    from benchmarks.handwritten import gmm_em

    if "Sigma" not in problem.start:
        raise SystemExit("by hand there are only full covariances")
    x = problem.data["x"]
    chunk = min(1024, len(x))
    chunks = math.ceil(len(x) / chunk)
    padded = np.zeros((chunks * chunk, x.shape[1]), x.dtype)
    padded[: len(x)] = x
    weight = (np.arange(chunks * chunk) < len(x)).astype(x.dtype)
    rows = (
        jax.numpy.asarray(padded.reshape(chunks, chunk, -1)),
        jax.numpy.asarray(weight.reshape(chunks, chunk)),
    )
    origin = jax.numpy.asarray(x.mean(0))
    theta = gmm_em.Parameters(**{name: jax.numpy.asarray(array) for name, array in problem.start.items()})
    return Fitter(
        lambda iterations: jax.block_until_ready(gmm_em.iterate(theta, *rows, origin, iterations)),
        lambda theta: gmm_em.log_evidence(theta, *rows, origin),
    )


def scikit_learn(problem: Problem) -> Fitter:
    from sklearn.mixture import GaussianMixture

    x, full = problem.data["x"], "Sigma" in problem.start
    precisions = np.linalg.inv(problem.start["Sigma"]) if full else 1 / problem.start["sigma2"]

    def run(iterations: int) -> Any:
        mixture = GaussianMixture(
            n_components=len(problem.start["pi"]),
            covariance_type="full" if full else "diag",
            reg_covar=0.0,
            tol=0.0,
            max_iter=iterations,
            weights_init=problem.start["pi"],
            means_init=problem.start["mu"],
            precisions_init=precisions,
            init_params="random_from_data",  # drawn, then replaced by the start
            random_state=0,
        )
        return mixture.fit(x)

    return Fitter(run, lambda mixture: mixture.score(x) * len(x))


def gmmx(problem: Problem) -> Fitter:
    jax = use_jax("float32")  # it has no other precision
    from gmmx import EMFitter, GaussianMixtureModelJax

    full = "Sigma" in problem.start
    x = jax.numpy.asarray(problem.data["x"], "float32")
    mixture = GaussianMixtureModelJax.from_squeezed(
        means=problem.start["mu"].astype("float32"),
        covariances=problem.start["Sigma" if full else "sigma2"].astype("float32"),
        weights=problem.start["pi"].astype("float32"),
        covariance_type="full" if full else "diag",
    )

    def run(iterations: int) -> Any:
        return jax.block_until_ready(
            EMFitter(max_iter=iterations, tol=0.0, reg_covar=0.0).fit(x, mixture).gmm
        )

    return Fitter(run, lambda fitted: np.asarray(fitted.score(x), dtype=float) * len(x))


def mixture(
    rows: int, dim: int, components: int, dtype: str, diagonal: bool = False
) -> Callable[[], Problem]:
    return partial(drawn, rows, dim, components, dtype, diagonal)


LIBRARIES: dict[str, Library] = {
    "bnlab": bnlab,
    "by hand": by_hand,
    "scikit-learn": scikit_learn,
    "gmmx": gmmx,
}

CASES = {
    "full-5k-f64": Case(mixture(5_000, 8, 4, "float64"), (5, 25), {"by hand": 1.0}),
    "full-100k-f64": Case(mixture(100_000, 16, 16, "float64"), (3, 13), {"by hand": 1.0, "scikit-learn": 10}),
    "full-100k-f32": Case(
        mixture(100_000, 16, 16, "float32"), (3, 13), {"by hand": 1.0, "scikit-learn": 15, "gmmx": 15}
    ),
    "diagonal-500k-f32": Case(mixture(500_000, 40, 512, "float32", True), (1, 3), {"scikit-learn": 10}),
    "full-200k-f64": Case(mixture(200_000, 64, 64, "float64"), (1, 3), {"by hand": 1.0}),
    "full-1m-f64": Case(mixture(1_000_000, 8, 8, "float64"), (2, 7), {"by hand": 1.0}),
    "old-faithful": Case(partial(old_faithful, "float64"), (10, 60), {"by hand": 1.0}),
}

if __name__ == "__main__":
    main("benchmarks.gmm", CASES, LIBRARIES)
