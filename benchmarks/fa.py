"""Factor analysis, whole fits: what bnlab emits against scikit-learn and statsmodels.

    python -m benchmarks.fa [CASE ...] [--library NAME] [--rounds 3]

The algorithms differ, so there is no time of an iteration to compare: a fit is what a user waits for, from the rows to the
parameters, and the log-likelihood that it reaches stands beside. scikit-learn iterates to its own tolerance, statsmodels
maximises the likelihood of the correlation matrix, which `statsmodels corr` is handed; bnlab makes 600 iterations.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Case, Fitter, Library, Problem, emitted, main, use_jax

ROOT = Path(__file__).parent.parent


def drawn(rows: int, dim: int, factors: int, dtype: str) -> Problem:
    """Rows of a random model, and a start that knows nothing of its loadings."""
    rng = np.random.default_rng(0)
    W, psi = rng.standard_normal((dim, factors)), rng.uniform(0.5, 1.5, dim)
    x = rng.standard_normal((rows, factors)) @ W.T + np.sqrt(psi) * rng.standard_normal((rows, dim)) + 1.0
    start = {"mu": x.mean(0), "W": 0.5 * rng.standard_normal((dim, factors)), "psi": x.var(0)}
    return Problem({"x": x.astype(dtype)}, {k: v.astype(dtype) for k, v in start.items()}, dtype)


def log_likelihood(x: np.ndarray, W: np.ndarray, psi: np.ndarray) -> float:
    """ln p of the rows at their own mean."""
    cov = W @ W.T + np.diag(psi)
    S = np.cov(x.T, bias=True)
    quadratic = np.trace(np.linalg.solve(cov, S))
    return float(-0.5 * len(x) * (x.shape[1] * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + quadratic))


def bnlab(problem: Problem) -> Fitter:
    from bnlab.cli.models import load_model

    use_jax(problem.dtype)
    dim, factors = problem.start["W"].shape
    model = load_model(str(ROOT / "models" / "factor_analysis.py"), [f"dim={dim}", f"factors={factors}"])
    return emitted(problem, model.network)


def scikit_learn(problem: Problem, method: str) -> Fitter:
    from sklearn.decomposition import FactorAnalysis

    x = problem.data["x"]

    def run(iterations: int) -> Any:
        options = dict(tol=1e-5, max_iter=1000) if iterations > 1 else dict(tol=np.inf, max_iter=1)
        return FactorAnalysis(problem.start["W"].shape[1], svd_method=method, random_state=0, **options).fit(
            x
        )

    return Fitter(run, lambda model: model.score(x) * len(x))


def statsmodels(problem: Problem, given: str) -> Fitter:
    from statsmodels.multivariate.factor import Factor

    x, factors = problem.data["x"], problem.start["W"].shape[1]

    def run(iterations: int) -> Any:
        data = dict(endog=x) if given == "rows" else dict(corr=np.corrcoef(x.T), nobs=len(x))
        return Factor(n_factor=factors, method="ml", **data).fit(maxiter=500 if iterations > 1 else 1)

    def score(found: Any) -> float:
        scale = x.std(0)
        return log_likelihood(x, scale[:, None] * found.loadings, scale**2 * found.uniqueness)

    return Fitter(run, score)


LIBRARIES: dict[str, Library] = {
    "bnlab": bnlab,
    "sklearn lapack": partial(scikit_learn, method="lapack"),
    "sklearn random": partial(scikit_learn, method="randomized"),
    "statsmodels": partial(statsmodels, given="rows"),
    "statsmodels corr": partial(statsmodels, given="corr"),
}

CASES = {
    "100k-d64-l8": Case(
        partial(drawn, 100_000, 64, 8, "float64"),
        (1, 600),
        {"sklearn lapack": 100, "sklearn random": 100, "statsmodels": 50, "statsmodels corr": 1},
        whole=True,
    ),
}

if __name__ == "__main__":
    main("benchmarks.fa", CASES, LIBRARIES)
