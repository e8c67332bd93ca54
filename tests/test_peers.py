"""EM step by step against other people's code: scikit-learn, hmmlearn, and EM written by hand (benchmarks/)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks import gmm, hmm
from benchmarks.common import Fitter, Library, Problem

MIXTURES: dict[str, Callable[[], Problem]] = {
    "full": gmm.mixture(500, 3, 4, "float64"),
    "diagonal": gmm.mixture(500, 3, 4, "float64", diagonal=True),
    "old faithful": lambda: gmm.old_faithful("float64"),
}
CHAINS: dict[str, Callable[[], Problem]] = {
    "gaussian": lambda: hmm.gaussian(7, 40, 3, 2, "float64"),
    "categorical": lambda: hmm.categorical(200, 4, 6, "float64"),
}
PAIRS = [
    *((MIXTURES[name], gmm.bnlab, gmm.scikit_learn) for name in MIXTURES),
    *((MIXTURES[name], gmm.bnlab, gmm.by_hand) for name in ("full", "old faithful")),
    *((CHAINS[name], hmm.bnlab, peer) for name in CHAINS for peer in (hmm.hmmlearn, hmm.by_hand)),
]
NAMES = [
    *(f"{name}-scikit-learn" for name in MIXTURES),
    *(f"{name}-by hand" for name in ("full", "old faithful")),
    *(f"{name}-{peer}" for name in CHAINS for peer in ("hmmlearn", "by hand")),
]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("make", "ours", "theirs"), PAIRS, ids=NAMES)
def test_same_log_likelihood_after_each_of_some_iterations(
    make: Callable[[], Problem], ours: Library, theirs: Library
) -> None:
    problem = make()
    fitters = ours(problem), theirs(problem)
    for iterations in (1, 2, 10):
        emitted, peer = (log_likelihood(fitter, iterations) for fitter in fitters)
        # sums of hundreds of terms in another order, carried through ten iterations
        assert emitted == pytest.approx(peer, rel=1e-11)


def log_likelihood(fitter: Fitter, iterations: int) -> float:
    return float(fitter.log_likelihood(fitter.run(iterations)))
