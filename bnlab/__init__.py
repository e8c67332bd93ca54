"""bnlab compiles a Bayesian network, declared once, into files that a person can read and run.

The names here are all there is to know. What fits, draws and emits is imported when it is first used, so that
`import bnlab` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bnlab.detection import cllr, det_curve, eer, min_dcf
from bnlab.errors import BnlabError, DataError, FitError, InternalError, IntractableError, ModelError
from bnlab.network.declare import Network, chain, given, latent, observed, parameter, plate
from bnlab.network.distributions import (
    LKJ,
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Exponential,
    Gamma,
    Geometric,
    HalfNormal,
    InverseGamma,
    InverseWishart,
    Multinomial,
    Normal,
    Poisson,
    StudentT,
)
from bnlab.network.expression import constant, eye, previous, zeros
from bnlab.network.files.exchange import (
    from_networkx,
    from_pgmpy,
    from_pyagrum,
    to_networkx,
    to_pgmpy,
    to_pyagrum,
)
from bnlab.network.files.registry import read, write
from bnlab.network.sets import Covariance, Integer, Positive, Probability, Real, Simplex

if TYPE_CHECKING:
    from bnlab.comparison.proposal import weakly_informative
    from bnlab.comparison.run import compare
    from bnlab.compile import derive, draw, emit
    from bnlab.runtime.evidence import final
    from bnlab.runtime.fit import fit
    from bnlab.runtime.kaldi import read_kaldi
    from bnlab.runtime.likelihood_ratio import likelihood_ratio
    from bnlab.runtime.query import explain, query
    from bnlab.runtime.result import load
    from bnlab.runtime.sampling import sample
    from bnlab.runtime.select import select
    from bnlab.runtime.verify import verify

__all__ = [
    "LKJ",
    "Bernoulli",
    "Beta",
    "BnlabError",
    "Categorical",
    "Covariance",
    "DataError",
    "Dirichlet",
    "Exponential",
    "FitError",
    "Gamma",
    "Geometric",
    "HalfNormal",
    "Integer",
    "InternalError",
    "IntractableError",
    "InverseGamma",
    "InverseWishart",
    "Multinomial",
    "ModelError",
    "Network",
    "Normal",
    "Poisson",
    "Positive",
    "Probability",
    "Real",
    "Simplex",
    "StudentT",
    "chain",
    "cllr",
    "compare",
    "constant",
    "derive",
    "det_curve",
    "draw",
    "eer",
    "emit",
    "explain",
    "eye",
    "final",
    "fit",
    "from_networkx",
    "from_pgmpy",
    "from_pyagrum",
    "given",
    "latent",
    "likelihood_ratio",
    "load",
    "min_dcf",
    "observed",
    "parameter",
    "plate",
    "previous",
    "query",
    "read",
    "read_kaldi",
    "sample",
    "select",
    "to_networkx",
    "to_pgmpy",
    "to_pyagrum",
    "verify",
    "weakly_informative",
    "write",
    "zeros",
]

_LAZY = {
    "compare": "bnlab.comparison",
    "derive": "bnlab.compile",
    "draw": "bnlab.compile",
    "emit": "bnlab.compile",
    "explain": "bnlab.runtime.query",
    "final": "bnlab.runtime.evidence",
    "fit": "bnlab.runtime.fit",
    "likelihood_ratio": "bnlab.runtime.likelihood_ratio",
    "load": "bnlab.runtime.result",
    "query": "bnlab.runtime.query",
    "read_kaldi": "bnlab.runtime.kaldi",
    "sample": "bnlab.runtime.sampling",
    "select": "bnlab.runtime.select",
    "verify": "bnlab.runtime.verify",
    "weakly_informative": "bnlab.comparison",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'bnlab' has no attribute {name!r}")
    return vars(import_module(_LAZY[name]))[name]


def __dir__() -> list[str]:
    return sorted(__all__)
