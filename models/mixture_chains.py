"""A mixture of hidden Markov models: groups of sequences that move through the same states in different ways."""

import numpy as np

import bnlab as bn


def mixture_chains(groups: int = 2, states: int = 2, symbols: int = 3) -> bn.Network:
    """Each sequence belongs to one hidden group, which has transitions of its own; states look the same in all groups."""
    with bn.Network("mixture_chains") as net:
        share = bn.parameter("share", bn.Simplex(groups))
        with bn.plate("g", groups):
            pi = bn.parameter("pi", bn.Simplex(states))
            with bn.plate("k", states):
                A = bn.parameter("A", bn.Simplex(states))
        with bn.plate("k", states):
            B = bn.parameter("B", bn.Simplex(symbols))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(share))
            with bn.chain("t"):
                z = bn.latent("z", bn.Categorical(A[c, bn.previous("z")]), first=bn.Categorical(pi[c]))
                bn.observed("x", bn.Categorical(B[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """40 made-up visits to a shop's pages (look, compare, buy): half of the visitors go to and fro between them."""
    rng = np.random.default_rng(3)
    looks = np.array([[0.8, 0.15, 0.05], [0.1, 0.4, 0.5]])
    x, ids = [], []
    for visit in range(40):
        turn, state = (0.1, 0.9)[visit % 2], int(rng.integers(2))
        for _ in range(int(rng.integers(8, 20))):
            x.append(rng.choice(3, p=looks[state]))
            ids.append(visit)
            state = 1 - state if rng.random() < turn else state
    return {"x": np.array(x), "sequence": np.array(ids)}
