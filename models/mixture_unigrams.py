"""A mixture of unigrams: documents as counts of words, each document of one hidden topic."""

import numpy as np

import bnlab as bn


def mixture_unigrams(topics: int = 2, words: int = 6) -> bn.Network:
    """All words of a document are drawn from the distribution of its topic (Nigam et al. 2000)."""
    with bn.Network("mixture_unigrams") as net:
        pi = bn.parameter("pi", bn.Simplex(topics))
        with bn.plate("k", topics):
            word = bn.parameter("word", bn.Simplex(words))
        with bn.plate("d"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Multinomial(word[z]))
    return net


def data() -> dict[str, np.ndarray]:
    """60 made-up notices of 5 to 40 words, counted: goal, match, team, budget, tax, vote."""
    rng = np.random.default_rng(1)
    topics = np.array([[0.3, 0.3, 0.25, 0.05, 0.02, 0.08], [0.03, 0.05, 0.12, 0.3, 0.3, 0.2]])
    return {"x": np.stack([rng.multinomial(rng.integers(5, 41), topics[int(d % 3 > 0)]) for d in range(60)])}
