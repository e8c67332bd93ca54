"""A linear dynamical system: a hidden state that turns and fades, seen through noise in three coordinates."""

import numpy as np

import bnlab as bn


def linear_dynamical_system(state: int = 2, dim: int = 3) -> bn.Network:
    """The state moves by a matrix and some noise; observations are a linear function of it and more noise."""
    with bn.Network("linear_dynamical_system") as net:
        F = bn.parameter("F", bn.Real(state, state))
        Q = bn.parameter("Q", bn.Covariance(state))
        H = bn.parameter("H", bn.Real(dim, state))
        R = bn.parameter("R", bn.Covariance(dim))
        with bn.plate("sequence"), bn.chain("t"):
            y = bn.latent(
                "y",
                bn.Normal(F @ bn.previous("y"), cov=Q),
                first=bn.Normal(bn.zeros(state), cov=bn.eye(state)),
            )
            bn.observed("x", bn.Normal(H @ y, cov=R))
    return net


def data() -> dict[str, np.ndarray]:
    """Forty steps of each of six sequences drawn from a rotation by a tenth of a turn."""
    rng, turn = np.random.default_rng(0), 2 * np.pi / 10
    F = 0.97 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    H, y, steps = rng.normal(size=(3, 2)), rng.normal(size=(6, 2)), []
    for _ in range(40):
        steps.append(y @ H.T + 0.3 * rng.normal(size=(6, 3)))
        y = y @ F.T + 0.3 * rng.normal(size=(6, 2))
    return {"x": np.stack(steps, 1).reshape(-1, 3), "sequence": np.repeat(np.arange(6), 40)}
