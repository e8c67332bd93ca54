"""Discrete networks: what bnlab emits against pyAgrum's and pgmpy's EM, on asia and alarm with 10,000 cases.

    python -m benchmarks.discrete [CASE ...] [--library NAME] [--rounds 3]

In `missing` 20 % of all cells are missing at random; pgmpy cannot do these: it drops every row with a missing cell. In
`hidden` whole variables are never seen. pyAgrum starts at the tables of the network that it is given, with noise=0; it
stops by itself when nothing changes, and its progress is measured per iteration that it reports.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Case, Fitter, Library, Problem, main, use_jax

DATA = Path(__file__).parent.parent / "data"
HIDDEN = {"asia": ("lung", "either"), "alarm": ("CATECHOL", "VENTLUNG")}


def cases(network: str, rows: int, kind: str, dtype: str) -> Problem:
    """Cases drawn from the network, and a start between its tables and even ones; -1 is a missing cell."""
    import bnlab as bn

    net = bn.read(DATA / f"{network}.bif")
    rng = np.random.default_rng(1)  # another seed than that of the cases: gaps must not depend on values
    drawn = bn.sample(net, net.parameters, sizes={"n": rows}, seed=0)
    if kind == "missing":
        data = {key: np.where(rng.random(rows) < 0.2, -1, values) for key, values in drawn.items()}
    else:
        data = {key: values for key, values in drawn.items() if key not in HIDDEN[network]}
    start = {key: 0.7 * table + 0.3 / table.shape[-1] for key, table in net.parameters.items()}
    return Problem({**data, "network": np.array(network)}, start, dtype)


def declared(problem: Problem) -> Any:
    """The network, with the start as its tables; what has no data is latent."""
    import bnlab as bn

    net = bn.read(DATA / f"{problem.data['network']}.bif").with_parameters(problem.start)
    return net.hide(*(name for name in net.topological_order() if name not in problem.data))


def columns(problem: Problem) -> dict[str, np.ndarray]:
    return {key: values for key, values in problem.data.items() if key != "network"}


def bnlab(problem: Problem) -> Fitter:
    """The emitted file, run as it stands, on rows as `bn.fit` hands them to it: those that repeat are counted."""
    jax = use_jax(problem.dtype)

    import bnlab as bn
    from bnlab.runtime.collapse import collapsed
    from bnlab.runtime.load import load_source

    net, data = declared(problem), columns(problem)
    gaps = tuple(key for key, values in data.items() if (values < 0).any())
    module = load_source(bn.emit(net, "em", missing=gaps), net.name)
    ready = module.prepare(collapsed(net.graph, data), dtype=problem.dtype)
    theta = module.Parameters(**{name: jax.numpy.asarray(array) for name, array in problem.start.items()})

    def run(iterations: int) -> Any:
        return jax.block_until_ready(module.fit(ready, theta, max_iter=iterations, tol=0.0)[0])

    return Fitter(run, lambda found: module.log_evidence(found, ready))


def log_likelihood(problem: Problem, parameters: dict[str, np.ndarray]) -> float:
    """ln p(x) of the same data at another library's tables."""
    import bnlab as bn

    fit = bn.fit(declared(problem), columns(problem), init=parameters, max_iter=0, progress=False)
    return float(fit.log_likelihood[0])


def pyagrum(problem: Problem) -> Fitter:
    import pandas
    import pyagrum as gum

    import bnlab as bn

    net = declared(problem)
    labels = {variable.name: np.array([*variable.domain.labels, "?"]) for variable in net.graph.variables}
    rows = len(next(iter(columns(problem).values())))
    unseen = {name: np.full(rows, -1) for name in labels if name not in problem.data}
    frame = pandas.DataFrame(
        {key: labels[key][values] for key, values in {**columns(problem), **unseen}.items()}
    )
    start = bn.to_pyagrum(net)

    def run(iterations: int) -> Any:
        learner = gum.BNLearner(frame, start, ["?"])
        learner.useNoPrior()
        learner.useEM(1e-300, 0.0)
        learner.EMsetMaxIter(iterations)
        return learner.learnParameters(gum.BayesNet(start))

    return Fitter(run, lambda model: log_likelihood(problem, bn.from_pyagrum(model, net.name).parameters))


def pgmpy(problem: Problem) -> Fitter:
    import pandas
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.parameter_estimator import DiscreteEM

    import bnlab as bn

    net = declared(problem)
    if any((values < 0).any() for values in columns(problem).values()):
        raise NotImplementedError("pgmpy drops rows with missing cells")
    frame = pandas.DataFrame(columns(problem))
    sizes = {variable.name: variable.domain.size for variable in net.graph.variables}
    hidden = set(sizes) - set(problem.data)
    model = bn.to_pgmpy(net)
    model.latents = hidden

    def numbered(cpd: Any) -> Any:
        """The table with numbers for states: those of latents cannot have names."""
        names = {name: list(range(sizes[name])) for name in cpd.variables}
        parents = cpd.variables[1:]
        return TabularCPD(
            cpd.variable,
            sizes[cpd.variable],
            cpd.get_values(),
            parents or None,
            [sizes[name] for name in parents] or None,
            state_names=names,
        )

    start = {cpd.variable: numbered(cpd) for cpd in model.get_cpds()}

    def run(iterations: int) -> Any:
        estimator = DiscreteEM(
            state_names={name: list(range(sizes[name])) for name in frame},
            latent_card={name: sizes[name] for name in hidden},
            max_iter=iterations,
            atol=0.0,
            init_cpds=start,
            show_progress=False,
        )
        return estimator.fit(model, frame).parameters_

    def found(cpds: Any) -> float:
        learnt = bn.to_pgmpy(net)
        learnt.remove_cpds(*learnt.get_cpds())
        learnt.add_cpds(*cpds)
        return log_likelihood(problem, bn.from_pgmpy(learnt, net.name).parameters)

    return Fitter(run, found)


LIBRARIES: dict[str, Library] = {"bnlab": bnlab, "pyagrum": pyagrum, "pgmpy": pgmpy}

CASES = {
    "asia-missing": Case(partial(cases, "asia", 10_000, "missing", "float64"), (2, 4), {"pyagrum": 1000}),
    "alarm-missing": Case(partial(cases, "alarm", 10_000, "missing", "float64"), (1, 2), {"pyagrum": 900}),
    "asia-hidden": Case(partial(cases, "asia", 10_000, "hidden", "float64"), (2, 4), {"pyagrum": 1000}),
    "alarm-hidden": Case(partial(cases, "alarm", 10_000, "hidden", "float64"), (1, 2), {"pyagrum": 900}),
}

if __name__ == "__main__":
    main("benchmarks.discrete", CASES, LIBRARIES)
