"""A mixture of linear dynamical systems: every sequence follows one of a few dynamics; here swings of different length."""

import numpy as np

import bnlab as bn


def mixture_linear_dynamical_systems(classes: int = 2, state: int = 2, dim: int = 3) -> bn.Network:
    """The class of a sequence says how its hidden state moves; what is seen of the state is the same for all classes."""
    with bn.Network("mixture_linear_dynamical_systems") as net:
        pi = bn.parameter("pi", bn.Simplex(classes))
        with bn.plate("k", classes):
            F = bn.parameter("F", bn.Real(state, state))
            Q = bn.parameter("Q", bn.Covariance(state))
        H = bn.parameter("H", bn.Real(dim, state))
        R = bn.parameter("R", bn.Positive(dim))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(pi))
            with bn.chain("t"):
                y = bn.latent(
                    "y",
                    bn.Normal(F[c] @ bn.previous("y"), cov=Q[c]),
                    first=bn.Normal(bn.zeros(state), cov=bn.eye(state)),
                )
                bn.observed("x", bn.Normal(H @ y, var=R))
    return net


def data(sequences: int = 24, steps: int = 40) -> dict[str, np.ndarray]:
    """Slow and fast rotations of a point in the plane, seen from three sides through noise."""
    rng = np.random.default_rng(7)
    H = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    rows = []
    for sequence in range(sequences):
        angle = (0.3, 1.2)[sequence % 2]
        turn = 0.97 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        y = rng.normal(size=2)
        for _ in range(steps):
            rows.append(H @ y + 0.3 * rng.normal(size=3))
            y = turn @ y + 0.3 * rng.normal(size=2)
    return {"x": np.array(rows), "sequence": np.repeat(np.arange(sequences), steps)}
