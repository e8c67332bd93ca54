"""A hidden Markov model that never goes back, on the flow of the Nile: when did it change?"""

from pathlib import Path

import numpy as np

import bnlab as bn


def hmm_left_to_right(states: int = 2) -> bn.Network:
    """The chain starts in the first state; each step stays (m = 0) or goes on to the next state (m = 1).

    What is learnt is `move`, how likely each state is to stay or go on. The zeros of the transition from z[t-1] to z[t]
    stand in the constant `advance`, so they stay exactly zero. In the last state both moves stay, so there `move` has no
    influence on x.
    """
    with bn.Network("hmm_left_to_right") as net:
        pi = bn.constant(np.eye(states)[0])
        advance = bn.constant(steps(states))
        with bn.plate("k", states):
            move = bn.parameter("move", bn.Simplex(["stay", "go on"]))
            mu = bn.parameter("mu", bn.Real())
            sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.chain("t"):
            m = bn.latent("m", bn.Categorical(move[bn.previous("z")]), first=bn.Categorical([1.0, 0.0]))
            z = bn.latent("z", bn.Categorical(advance[bn.previous("z"), m]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=sigma2[z]))
    return net


def steps(states: int) -> np.ndarray:
    """The state that follows each state (first axis) when it stays or goes on (second), as a table of 0 and 1."""
    last = states - 1
    return np.array([[np.eye(states)[s], np.eye(states)[min(s + 1, last)]] for s in range(states)])


def data() -> dict[str, np.ndarray]:
    """The annual flow of the Nile at Aswan, 1871 to 1970, in 10^8 cubic metres."""
    path = Path(__file__).parents[1] / "data" / "nile.csv"
    return {"x": np.loadtxt(path, skiprows=1)}
