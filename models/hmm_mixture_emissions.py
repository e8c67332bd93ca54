"""A hidden Markov model whose observations are mixtures: each state has components of its own, chosen anew at every step."""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_mixture_emissions(states: int = 2, components: int = 2) -> bn.Network:
    """p(x[t] | z[t]) = sum_c weight[z[t], c] N(x[t]; mu[z[t], c], v[z[t], c])."""
    with bn.Network("hmm_mixture_emissions") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            weight = bn.parameter("weight", bn.Simplex(components))
            with bn.plate("m", components):
                mu = bn.parameter("mu", bn.Real())
                v = bn.parameter("v", bn.Positive())
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            c = bn.latent("c", bn.Categorical(weight[z]))
            bn.observed("x", bn.Normal(mu[z, c], var=v[z, c]))
    return net


def data() -> dict[str, np.ndarray]:
    """Waits between 272 eruptions of Old Faithful, as one sequence: a short one is often followed by a long one."""
    path = Path(__file__).parents[1] / "data" / "faithful.csv"
    return {"x": np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)}
