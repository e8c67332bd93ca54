"""A factorial hidden Markov model: two hidden chains that go on independently and are seen together in one observation."""

import numpy as np

import bnlab as bn


def factorial_hmm(slow: int = 2, fast: int = 2) -> bn.Network:
    """The mean of an observation is a table over the states of both chains (Ghahramani and Jordan 1997)."""
    with bn.Network("factorial_hmm") as net:
        p = bn.parameter("p", bn.Simplex(slow))
        r = bn.parameter("r", bn.Simplex(fast))
        v = bn.parameter("v", bn.Positive())
        with bn.plate("i", slow):
            A = bn.parameter("A", bn.Simplex(slow))
            with bn.plate("j", fast):
                mu = bn.parameter("mu", bn.Real())
        with bn.plate("j", fast):
            B = bn.parameter("B", bn.Simplex(fast))
        with bn.plate("sequence"), bn.chain("t"):
            a = bn.latent("a", bn.Categorical(A[bn.previous("a")]), first=bn.Categorical(p))
            b = bn.latent("b", bn.Categorical(B[bn.previous("b")]), first=bn.Categorical(r))
            bn.observed("x", bn.Normal(mu[a, b], var=v))
    return net


def data() -> dict[str, np.ndarray]:
    """Four made-up records of the power of two machines on one line: one is switched rarely, one often."""
    rng = np.random.default_rng(2)
    watts = np.array([[0.0, 3.0], [5.0, 8.0]])
    x = []
    for _ in range(4):
        switches = rng.random((80, 2)) < [0.04, 0.3]
        slow, fast = (switches.cumsum(0) % 2).T
        x.append(watts[slow, fast] + 0.5 * rng.normal(size=80))
    return {"x": np.concatenate(x), "sequence": np.repeat(np.arange(4), 80)}
