"""Linear dynamical systems: what bnlab emits against dynamax and EM written by hand.

    python -m benchmarks.lds [CASE ...] [--library NAME] [--rounds 3]

dynamax learns the distribution of the first state as well; with more than one sequence its update of that covariance is wrong
(an outer product is divided by N, not N^2), so it is held to its start there, as bnlab's network has it fixed.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Case, Fitter, Library, Problem, emitted, main, use_jax

ROOT = Path(__file__).parent.parent


def drawn(sequences: int, steps: int, state: int, dim: int, dtype: str) -> Problem:
    """Sequences of slow rotations, and a start beside their parameters."""
    rng = np.random.default_rng(0)
    F = 0.95 * np.linalg.qr(np.eye(state) + 0.2 * rng.standard_normal((state, state)))[0]
    H = rng.standard_normal((dim, state))
    y, rows = rng.standard_normal((sequences, state)), []
    for _ in range(steps):
        rows.append(y @ H.T + 0.5 * rng.standard_normal((sequences, dim)))
        y = y @ F.T + 0.3 * rng.standard_normal((sequences, state))
    x = np.stack(rows, 1).reshape(-1, dim)
    start = {
        "F": 0.9 * np.eye(state),
        "Q": 0.2 * np.eye(state),
        "H": H + 0.3 * rng.standard_normal(H.shape),
        "R": np.eye(dim),
    }
    data = {"x": x.astype(dtype), "sequence": np.repeat(np.arange(sequences), steps)}
    return Problem(data, {name: array.astype(dtype) for name, array in start.items()}, dtype)


def bnlab(problem: Problem) -> Fitter:
    from bnlab.cli.models import load_model

    use_jax(problem.dtype)
    dim, state = problem.start["H"].shape
    path = ROOT / "models" / "linear_dynamical_system.py"
    return emitted(problem, load_model(str(path), [f"state={state}", f"dim={dim}"]).network)


def by_sequence(problem: Problem) -> np.ndarray:
    """x as (sequences, steps, dim): all sequences of a case are equally long."""
    x = problem.data["x"]
    return x.reshape(int(problem.data["sequence"].max()) + 1, -1, x.shape[1])


def by_hand(problem: Problem) -> Fitter:
    jax = use_jax(problem.dtype)
    from benchmarks.handwritten import lds_em

    x = jax.numpy.asarray(by_sequence(problem).swapaxes(0, 1))
    theta = lds_em.Parameters(**{name: jax.numpy.asarray(array) for name, array in problem.start.items()})
    return Fitter(
        lambda iterations: jax.block_until_ready(lds_em.iterate(theta, x, iterations)),
        lambda theta: lds_em.log_evidence(theta, x),
    )


def dynamax(problem: Problem) -> Fitter:
    jax = use_jax(problem.dtype)
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    dim, state = problem.start["H"].shape
    x = jax.numpy.asarray(by_sequence(problem))
    model = LinearGaussianSSM(state, dim, has_dynamics_bias=False, has_emissions_bias=False)
    start = {name: jax.numpy.asarray(array) for name, array in problem.start.items()}
    theta, properties = model.initialize(
        initial_mean=jax.numpy.zeros(state, problem.dtype),
        initial_covariance=jax.numpy.eye(state, dtype=problem.dtype),
        dynamics_weights=start["F"],
        dynamics_covariance=start["Q"],
        emission_weights=start["H"],
        emission_covariance=start["R"],
    )
    first = theta.initial

    @cache
    def fitted(iterations: int) -> Any:
        def step(theta: Any, _: Any) -> Any:
            statistics, _ = jax.vmap(partial(model.e_step, theta))(x)
            state = model.initialize_m_step_state(theta, properties)
            new, _ = model.m_step(theta, properties, statistics, state)
            return new._replace(initial=first), None

        return jax.jit(lambda theta: jax.lax.scan(step, theta, None, length=iterations)[0])

    return Fitter(
        lambda iterations: jax.block_until_ready(fitted(iterations)(theta)),
        lambda theta: jax.vmap(lambda row: model.marginal_log_prob(theta, row))(x).sum(),
    )


LIBRARIES: dict[str, Library] = {"bnlab": bnlab, "by hand": by_hand, "dynamax": dynamax}

CASES = {
    "1x10k-l4-d8": Case(partial(drawn, 1, 10_000, 4, 8, "float64"), (2, 12), {"dynamax": 2.5}),
    "100x200-l4-d8": Case(partial(drawn, 100, 200, 4, 8, "float64"), (5, 45), {"dynamax": 2.5}),
}

if __name__ == "__main__":
    main("benchmarks.lds", CASES, LIBRARIES)
