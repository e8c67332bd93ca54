"""Posterior samples by NUTS on the emitted `marginal_model`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS, init_to_value

from bnlab.domains import Covariance, Domain, Positive, Probability, Real, Simplex
from bnlab.errors import Fault, FitError
from bnlab.network.ir import Graph, Parameter
from bnlab.network.text import domain_text
from bnlab.runtime.align import aligned
from bnlab.runtime.em import precision
from bnlab.runtime.marginal import Marginal, complete, free_start, marginal, options_of
from bnlab.runtime.records import FitWarning, Outcome, Problem, Status

DEFAULTS = {"num_warmup": 500, "num_samples": 1000, "num_chains": 4, "target_accept": 0.8}
MIXED = 1.05
"""The largest split R-hat of chains that agree (Vehtari and others ask for 1.01 to publish)."""
ENOUGH = 100
"""The least effective number of draws that a mean is reported from without a word."""

Arrays = Mapping[str, NDArray[Any]]


def run(problem: Problem) -> Outcome:
    """Samples of the parameters. `parameters` are the posterior means, after the states of all draws have been named alike;
    `objective` is ln p(x, theta) along the first chain, and at the means last. `max_iter` and `tol` have no meaning here.

    Options: num_warmup, num_samples, num_chains, target_accept. Raises FitError where a parameter has no prior, with the
    priors to add.
    """
    options = options_of(problem, DEFAULTS)
    refuse_without_priors(problem.graph)
    with precision(problem.dtype):
        ready = marginal(problem)
        sampler = _sampler(problem, ready, options)
        sampler.run(jax.random.key(problem.seed), ready.data, extra_fields=("diverging",))
        raw = {name: np.asarray(value) for name, value in sampler.get_samples(group_by_chain=True).items()}
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in raw.items()}
        density = np.asarray(jax.lax.map(ready.log_joint, flat))
        best = int(density.argmax())
        draws = aligned(problem.graph, raw, {name: value[best] for name, value in flat.items()})
        mean = {name: value.mean((0, 1)) for name, value in draws.items()}
        length = next(iter(draws.values())).shape[1]
        along = np.asarray(jax.lax.map(ready.log_evidence, {name: value[0] for name, value in draws.items()}))
        last = (float(ready.log_joint(mean)), float(ready.log_evidence(mean)))
    diverging = int(np.asarray(sampler.get_extra_fields()["diverging"]).sum())
    notes = (*_divergences(diverging), *_unmixed(draws))
    return Outcome(
        parameters=complete(problem.graph, mean),
        log_likelihood=np.append(along, last[1]),
        objective=np.append(density[:length], last[0]),
        status=_status(last[0], notes),
        warnings=notes,
        draws=draws,
    )


def _sampler(problem: Problem, ready: Marginal, options: Mapping[str, float]) -> MCMC:
    kernel = NUTS(
        ready.module.marginal_model,
        init_strategy=init_to_value(values=free_start(problem, 0)),
        target_accept_prob=options["target_accept"],
    )
    return MCMC(
        kernel,
        num_warmup=int(options["num_warmup"]),
        num_samples=int(options["num_samples"]),
        num_chains=int(options["num_chains"]),
        chain_method="vectorized",
        progress_bar=problem.progress and sys.stderr.isatty(),
    )


def refuse_without_priors(graph: Graph) -> None:
    """Raises FitError with a fault for every parameter that is learnt and has no prior."""
    bare = [
        parameter for parameter in graph.parameters if parameter.value is None and parameter.prior is None
    ]
    faults = [
        Fault(
            f"{parameter.name} has no prior, so there is no posterior to sample from.",
            f"Write {parameter.name} = {declaration(parameter)}.",
            parameter.location,
        )
        for parameter in bare
    ]
    if faults:
        raise FitError(*faults)


def declaration(parameter: Parameter) -> str:
    """The declaration of a parameter with a weak proper prior, to be typed."""
    return f'bn.parameter("{parameter.name}", bn.{domain_text(parameter.domain)}, prior={_weak(parameter.domain)})'


def _weak(domain: Domain) -> str:
    match domain:
        case Simplex(size=size):
            return f"bn.Dirichlet({[1.0] * size})"
        case Covariance(dim=dim):
            return f"bn.InverseWishart({dim + 2}, bn.eye({dim}))"
        case Positive(shape=shape):
            ones = "1.0" if not shape else f"np.ones({shape})"
            return f"bn.InverseGamma({ones}, {ones})"
        case Probability():
            return "bn.Beta(1.0, 1.0)"
        case Real(shape=shape):
            return f"bn.Normal({'0.0' if not shape else 'bn.zeros(' + ', '.join(map(str, shape)) + ')'}, std=10.0)"
        case _:
            return "..."


def _divergences(count: int) -> tuple[FitWarning, ...]:
    if not count:
        return ()
    message = f"{count} draws ended in a divergence: parts of the posterior may be missing."
    return (FitWarning("nuts", message, "Raise target_accept to 0.95, or use stronger priors."),)


def _unmixed(draws: Arrays) -> tuple[FitWarning, ...]:
    """Parameters whose chains disagree, or whose draws are worth too few independent ones."""
    notes = []
    for name, value in draws.items():
        varying = value.std((0, 1)) > 0
        worst = float(np.max(split_gelman_rubin(value), where=varying, initial=1.0))
        least = float(np.min(effective_sample_size(value), where=varying, initial=np.inf))
        if worst > MIXED or least < ENOUGH:
            message = f"the chains have not mixed (R-hat {worst:.2f}, {least:.0f} effective draws)."
            notes.append(FitWarning(name, message, "Raise num_warmup and num_samples."))
    return tuple(notes)


def _status(objective: float, notes: tuple[FitWarning, ...]) -> Status:
    if not np.isfinite(objective):
        return "nan"
    return "max_iter" if notes else "converged"
