"""Questions to a network with known parameters, answered by the emitted posterior module in the layout of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from bnlab.domains import Positive, Probability, Simplex, Values
from bnlab.errors import DataError, Fault
from bnlab.network.declare import Network
from bnlab.network.graph import coefficients, cpds
from bnlab.runtime.data_layout import mirror
from bnlab.runtime.em import precision
from bnlab.runtime.emitted import emitted
from bnlab.runtime.impossible import impossible
from bnlab.runtime.load import load_source, ready
from bnlab.runtime.pooling import pooled
from bnlab.runtime.records import Bound

Parameters = Mapping[str, NDArray[Any]]


def posterior(net: Network, parameters: Parameters, bound: Bound, dtype: str) -> dict[str, Any]:
    """For each discrete latent the probabilities of its states, states last; for each Gaussian one its "mean" and "cov" (a
    scalar's variance, in the mean's shape), those of the mixture under discrete latents.

    Raises DataError for impossible data, under which there are none.
    """
    _possible(net, parameters, bound, dtype)
    return mirrored(net, bound, ask(net, parameters, bound, dtype, "posterior"))


def posterior_over(net: Network, draws: Parameters, bound: Bound, dtype: str) -> dict[str, Any]:
    """The same, averaged over draws (chain, draw, ...) of the parameters: what is known of the latents when the parameters
    are not. Memory is that of one draw."""
    return mirrored(net, bound, pooled(_each(net, draws, bound, dtype, "posterior")))


def score_over(net: Network, draws: Parameters, bound: Bound, dtype: str) -> NDArray[Any]:
    """ln p of each member of the outermost plate under each draw, as (chain, draw, member)."""
    found = np.stack([np.asarray(one) for one in _each(net, draws, bound, dtype, "score")])
    return found.reshape(*next(iter(draws.values())).shape[:2], -1)


def _each(net: Network, draws: Parameters, bound: Bound, dtype: str, question: str) -> Iterator[Any]:
    """The module's answer at every draw, one chain after the other."""
    with precision(dtype):
        text = emitted(net, "posterior", partial=bound.partial)
        module = load_source(text, f"{net.graph.name}_posterior")
        data = jax.device_put(module.prepare(dict(bound.canonical), np.dtype(dtype)))
        fixed = {
            one.name: one.value.array.astype(dtype) for one in net.graph.parameters if one.value is not None
        }
        chains, length = next(iter(draws.values())).shape[:2]
        arrays = {name: np.asarray(value, dtype=dtype) for name, value in draws.items()}
        for chain, draw in np.ndindex(chains, length):
            theta = {name: value[chain, draw] for name, value in arrays.items()}
            yield vars(module)[question](module.Parameters(**theta, **fixed), data)


def predict(net: Network, parameters: Parameters, bound: Bound, dtype: str) -> dict[str, Any]:
    """The most probable joint assignment of the discrete latents, Gaussian ones integrated out, and the means of these given
    it. Raises DataError for impossible data."""
    _possible(net, parameters, bound, dtype)
    return mirrored(net, bound, ask(net, parameters, bound, dtype, "predict"))


def score(net: Network, parameters: Parameters, bound: Bound, dtype: str) -> NDArray[Any]:
    """ln p of each member of the outermost plate."""
    return np.asarray(ask(net, parameters, bound, dtype, "score"))


def _possible(net: Network, parameters: Parameters, bound: Bound, dtype: str) -> None:
    """Raises DataError, with the place, where the data have probability 0. Only probabilities and rates of 0 do that."""
    chances = [
        parameters[one.name]
        for one in net.graph.parameters
        if isinstance(one.domain, Simplex | Probability | Positive)
    ]
    constants = [
        ref.target.array
        for variable in net.graph.variables
        for cpd in cpds(variable)
        for ref in coefficients(cpd)
        if variable.discrete and isinstance(ref.target, Values)
    ]
    if all(np.all(value) for value in (*chances, *constants)):
        return
    with precision(dtype):
        what = impossible(net, parameters, bound, dtype)
    if what:
        reason = f"At these parameters {what}."
        raise DataError(
            Fault(reason, "Latents have no posterior there; fit.score tells which members are at -inf.")
        )


def ask(net: Network, parameters: Parameters, bound: Bound, dtype: str, question: str) -> Any:
    """What the emitted posterior module answers to "posterior", "predict" or "score", over canonical rows."""
    with precision(dtype):
        text = emitted(net, "posterior", partial=bound.partial)
        module, theta, data = ready(text, f"{net.graph.name}_posterior", parameters, bound.canonical, dtype)
        return jax.device_get(vars(module)[question](theta, data))


def mirrored(net: Network, bound: Bound, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer over canonical rows in the layout of the user's data; moments of a latent each by itself."""

    def laid_out(name: str, rows: Any) -> Any:
        if isinstance(rows, Mapping):
            return {moment: laid_out(name, values) for moment, values in rows.items()}
        return mirror(bound.layout, net.graph, net.graph.variable(name), np.asarray(rows))

    return {name: laid_out(name, rows) for name, rows in answer.items()}
