"""Two-covariance PLDA: what bnlab emits against EM by hand in JAX and in careful NumPy, and the loop over speakers of toolkits.

    python -m benchmarks.plda [CASE ...] [--library NAME] [--rounds 3]

A whole fit has ten iterations and the passes over the data before them; those of the peers (sums of each speaker, one scatter
matrix) are as careful as can be, and NumPy's.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import Case, Fitter, Library, Problem, emitted, main, random_covariances, use_jax
from benchmarks.handwritten import plda_numpy

ROOT = Path(__file__).parent.parent


def embeddings(counts: np.ndarray, dim: int, dtype: str) -> Problem:
    """Rows of speakers with so many utterances each, and a start of unit matrices."""
    rng = np.random.default_rng(0)
    across, within = random_covariances(rng, 2, dim)
    speaker = np.repeat(np.arange(len(counts)), counts)
    means = 1.0 + 2 * rng.standard_normal((len(counts), dim)) @ np.linalg.cholesky(across).T
    x = means[speaker] + rng.standard_normal((len(speaker), dim)) @ np.linalg.cholesky(within).T
    start = {"mu": x.mean(0), "Sigma_ac": np.eye(dim), "Sigma_wc": np.eye(dim)}
    return Problem(
        {"x": x.astype(dtype), "speaker": speaker}, {k: v.astype(dtype) for k, v in start.items()}, dtype
    )


def balanced(speakers: int, utterances: int, dim: int, dtype: str) -> Problem:
    return embeddings(np.full(speakers, utterances), dim, dtype)


def ragged(speakers: int, most: int, dim: int, dtype: str) -> Problem:
    return embeddings(np.random.default_rng(1).integers(1, most + 1, speakers), dim, dtype)


def bnlab(problem: Problem) -> Fitter:
    from bnlab.cli.models import load_model

    use_jax(problem.dtype)
    model = load_model(str(ROOT / "models" / "plda.py"), [f"dim={len(problem.start['mu'])}"])
    return emitted(problem, model.network)


def by_hand(problem: Problem) -> Fitter:
    jax = use_jax(problem.dtype)
    from benchmarks.handwritten import plda_em

    x, speaker = problem.data["x"], problem.data["speaker"]
    sums = plda_em.prepare(x, speaker)
    theta = plda_em.Parameters(**{name: jax.numpy.asarray(array) for name, array in problem.start.items()})

    def fit(sums: plda_em.Moments | plda_em.Rows, iterations: int) -> plda_em.Parameters:
        return jax.block_until_ready(plda_em.iterate(theta, sums, iterations))

    return Fitter(
        partial(fit, sums),
        lambda theta: plda_em.log_evidence(theta, sums),
        lambda iterations: fit(plda_em.prepare(x, speaker), iterations),
    )


def numpy_fitter(problem: Problem, e_step: plda_numpy.EStep) -> Fitter:
    x, speaker = problem.data["x"], problem.data["speaker"]
    start = (problem.start["mu"], problem.start["Sigma_ac"], problem.start["Sigma_wc"])
    groups = plda_numpy.prepare(x, speaker)

    def fit(groups: plda_numpy.Sums, iterations: int) -> plda_numpy.Theta:
        theta = start
        for _ in range(iterations):
            theta = plda_numpy.m_step(e_step(theta, groups))
        return theta

    return Fitter(
        partial(fit, groups),
        lambda theta: plda_numpy.grouped(theta, groups).log_p,
        lambda iterations: fit(plda_numpy.prepare(x, speaker), iterations),
    )


LIBRARIES: dict[str, Library] = {
    "bnlab": bnlab,
    "by hand": by_hand,
    "numpy grouped": lambda problem: numpy_fitter(problem, plda_numpy.grouped),
    "loop": lambda problem: numpy_fitter(problem, plda_numpy.loop),
}

CASES = {
    "2000x20-d200": Case(
        partial(balanced, 2000, 20, 200, "float64"), (2, 10), {"numpy grouped": 2.5, "loop": 50}
    ),
    "7000-ragged-d256": Case(
        partial(ragged, 7000, 50, 256, "float64"), (2, 10), {"numpy grouped": 2.4}, ("loop",)
    ),
}

if __name__ == "__main__":
    main("benchmarks.plda", CASES, LIBRARIES)
