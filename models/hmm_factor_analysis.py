"""A hidden Markov model whose states are factor analysers: each has a mean and a few directions of its own."""

import numpy as np

import bnlab as bn


def hmm_factor_analysis(states: int = 2, dim: int = 4, factors: int = 1) -> bn.Network:
    """The state of a step tells along which directions its observation varies."""
    with bn.Network("hmm_factor_analysis") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        psi = bn.parameter("psi", bn.Positive(dim))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real(dim))
            W = bn.parameter("W", bn.Real(dim, factors))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(factors), cov=bn.eye(factors)))
            bn.observed("x", bn.Normal(W[z] @ y + mu[z], var=psi))
    return net


def data() -> dict[str, np.ndarray]:
    """Thirty steps of each of eight sequences that stay in a state for some ten steps."""
    rng = np.random.default_rng(0)
    z = (np.cumsum(rng.random((8, 30)) < 0.1, 1) + rng.integers(2, size=(8, 1))) % 2
    mu, W = np.array([[0.0, 0, 0, 0], [2.0, 1, -1, 0]]), rng.normal(size=(2, 4, 1))
    y = rng.normal(size=(8, 30, 1))
    x = mu[z] + (W[z] @ y[..., None])[..., 0] + 0.5 * rng.normal(size=(8, 30, 4))
    return {"x": x.reshape(-1, 4), "sequence": np.repeat(np.arange(8), 30)}
