"""Hidden Markov models: what bnlab emits against hmmlearn, dynamax and EM written by hand.

    python -m benchmarks.hmm [CASE ...] [--library NAME] [--rounds 3]

dynamax maximises a posterior, not the likelihood, so its log-likelihood is a little lower; a Dirichlet concentration of
exactly 1 gives NaN there, so 1.0001 is used.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Case, Fitter, Library, Problem, emitted, main, separated_means, use_jax

ROOT = Path(__file__).parent.parent


def chains(
    sequences: int, steps: int, states: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """States as (sequences, steps), drawn from sticky random transitions, which are returned too."""
    transitions = rng.dirichlet(np.ones(states), size=states) * 0.3 + 0.7 * np.eye(states)
    cumulative = transitions.cumsum(-1)
    z = np.empty((sequences, steps), int)
    z[:, 0] = rng.integers(states, size=sequences)
    for t in range(1, steps):
        z[:, t] = (rng.random((sequences, 1)) > cumulative[z[:, t - 1]]).sum(-1).clip(max=states - 1)
    return z, transitions


def gaussian(sequences: int, steps: int, states: int, dim: int, dtype: str) -> Problem:
    rng = np.random.default_rng(0)
    z, transitions = chains(sequences, steps, states, rng)
    means = separated_means(rng, states, dim)
    x = means[z] + rng.standard_normal((sequences, steps, dim))
    emission = {
        "mu": means + 0.3 * rng.standard_normal(means.shape),
        "Sigma": np.tile(1.5 * np.eye(dim), (states, 1, 1)),
    }
    return problem(x, transitions, emission, dtype)


def categorical(steps: int, states: int, symbols: int, dtype: str) -> Problem:
    rng = np.random.default_rng(0)
    z, transitions = chains(1, steps, states, rng)
    tables = rng.dirichlet(np.full(symbols, 0.1), size=states)
    x = (rng.random((1, steps, 1)) > tables.cumsum(-1)[z]).sum(-1).clip(max=symbols - 1)
    return problem(x, transitions, {"B": 0.5 * tables + 0.5 / symbols}, dtype)


def problem(x: np.ndarray, transitions: np.ndarray, emission: dict[str, np.ndarray], dtype: str) -> Problem:
    """The rows of all sequences, in tidy form, and a start with blurred transitions."""
    sequences, steps = x.shape[:2]
    rows = x.reshape(sequences * steps, *x.shape[2:])
    states = len(transitions)
    start = {
        "pi": np.full(states, 1 / states),
        "A": 0.5 * transitions + 0.5 / states,
        **emission,
    }
    data = {
        "x": rows.astype(dtype) if rows.dtype.kind == "f" else rows,
        "sequence": np.repeat(np.arange(sequences), steps),
    }
    return Problem(data, {name: array.astype(dtype) for name, array in start.items()}, dtype)


def lengths(problem: Problem) -> np.ndarray:
    return np.bincount(problem.data["sequence"])


def by_sequence(problem: Problem) -> np.ndarray:
    """x as (sequences, steps, ...): all sequences of a case are equally long."""
    x = problem.data["x"]
    return x.reshape(len(lengths(problem)), -1, *x.shape[1:])


def bnlab(problem: Problem) -> Fitter:
    from bnlab.cli.models import load_model

    states = len(problem.start["pi"])
    if "B" in problem.start:
        name, size = "hmm_categorical", f"symbols={problem.start['B'].shape[1]}"
    else:
        name, size = "hmm", f"dim={problem.start['mu'].shape[1]}"
    model = load_model(str(ROOT / "models" / f"{name}.py"), [f"states={states}", size])
    return emitted(problem, model.network)


def by_hand(problem: Problem) -> Fitter:
    jax = use_jax(problem.dtype)
    from benchmarks.handwritten import hmm_em

    kind = hmm_em.Categorical if "B" in problem.start else hmm_em.Gaussian
    x = jax.numpy.asarray(by_sequence(problem).swapaxes(0, 1))
    origin = jax.numpy.asarray(problem.data["x"].mean(0).astype(problem.dtype))
    theta = kind(**{name: jax.numpy.asarray(array) for name, array in problem.start.items()})
    return Fitter(
        lambda iterations: jax.block_until_ready(hmm_em.iterate(theta, x, origin, iterations)),
        lambda theta: hmm_em.log_evidence(theta, x, origin),
    )


def hmmlearn(problem: Problem) -> Fitter:
    """Rescaled messages; the default priors are switched off."""
    from hmmlearn.hmm import CategoricalHMM, GaussianHMM

    symbols = "B" in problem.start
    x = problem.data["x"].reshape(len(problem.data["x"]), -1)

    def run(iterations: int) -> Any:
        common = dict(
            n_components=len(problem.start["pi"]),
            n_iter=iterations,
            tol=-np.inf,
            init_params="",
            implementation="scaling",
        )
        if symbols:
            model = CategoricalHMM(params="ste", n_features=problem.start["B"].shape[1], **common)
            model.emissionprob_ = problem.start["B"]
        else:
            model = GaussianHMM(
                params="stmc", covariance_type="full", min_covar=0, covars_prior=0, covars_weight=0, **common
            )
            model.means_, model.covars_ = problem.start["mu"], problem.start["Sigma"]
        model.startprob_, model.transmat_ = problem.start["pi"], problem.start["A"]
        return model.fit(x, lengths(problem))

    return Fitter(run, lambda model: model.score(x, lengths(problem)))


def dynamax(problem: Problem) -> Fitter:
    """`fit_em` compiles at each call; an outer `jit` keeps that out of the times."""
    jax = use_jax(problem.dtype)
    from dynamax.hidden_markov_model import CategoricalHMM, GaussianHMM

    states = len(problem.start["pi"])
    flat = dict(initial_probs_concentration=1.0001, transition_matrix_concentration=1.0001)
    chain = dict(initial_probs=problem.start["pi"], transition_matrix=problem.start["A"])
    if "B" in problem.start:
        table = problem.start["B"]
        model = CategoricalHMM(states, 1, table.shape[1], emission_prior_concentration=1.0001, **flat)
        theta, properties = model.initialize(**chain, emission_probs=table[:, None])
        x = by_sequence(problem)[..., None]
    else:
        weak = dict(
            emission_prior_concentration=1e-8, emission_prior_scale=1e-8, emission_prior_extra_df=1e-8
        )
        model = GaussianHMM(states, problem.start["mu"].shape[1], **flat, **weak)
        theta, properties = model.initialize(
            **chain, emission_means=problem.start["mu"], emission_covariances=problem.start["Sigma"]
        )
        x = by_sequence(problem)
    x = jax.numpy.asarray(x)

    @cache
    def fitted(iterations: int) -> Any:
        return jax.jit(
            lambda theta: model.fit_em(theta, properties, x, num_iters=iterations, verbose=False)[0]
        )

    return Fitter(
        lambda iterations: jax.block_until_ready(fitted(iterations)(theta)),
        lambda theta: jax.vmap(lambda row: model.marginal_log_prob(theta, row))(x).sum(),
    )


LIBRARIES: dict[str, Library] = {
    "bnlab": bnlab,
    "by hand": by_hand,
    "hmmlearn": hmmlearn,
    "dynamax": dynamax,
}

CASES = {
    "gaussian-20x50": Case(
        partial(gaussian, 20, 50, 4, 2, "float64"), (5, 25), {"by hand": 1.0, "hmmlearn": 12, "dynamax": 5}
    ),
    "gaussian-1000x200": Case(
        partial(gaussian, 1000, 200, 16, 8, "float64"), (2, 7), {"by hand": 1.0, "hmmlearn": 12, "dynamax": 5}
    ),
    "categorical-2000": Case(
        partial(categorical, 2000, 256, 1000, "float64"),
        (2, 12),
        {"by hand": 1.0, "hmmlearn": 10, "dynamax": 34},
    ),
    "gaussian-1x100k": Case(
        partial(gaussian, 1, 100_000, 8, 4, "float64"), (2, 12), {"by hand": 1.0, "hmmlearn": 8, "dynamax": 8}
    ),
}

if __name__ == "__main__":
    main("benchmarks.hmm", CASES, LIBRARIES)
