"""Q as a function of the parameters, differentiated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bnlab.runtime.proof import priors
from bnlab.runtime.proof.completion import completion
from bnlab.runtime.proof.oracle import Posterior
from bnlab.runtime.proof.subject import Subject, Theta


def slope_of_auxiliary(
    subject: Subject, q: Posterior, prior: bool = True
) -> Callable[[Theta], dict[str, np.ndarray]]:
    """theta -> grad Q(q, theta) by automatic differentiation; with `prior`, that of ln p(theta) is added.

    Hidden weights of Student's t are averaged over too, at the parameters of the subject. Distributions without a density
    are left out.
    """
    without = subject.oracle.without_density(subject.theta)

    def objective(point: Mapping[str, jax.Array]) -> jax.Array:
        energy = subject.oracle.auxiliary(point, q, jnp, without)
        energy = energy + completion(subject.oracle, point, subject.theta, q, jnp)
        return energy + priors.log_prior(subject.graph, point, jnp) if prior else energy

    gradient = jax.jit(jax.grad(objective))

    def slope(theta: Theta) -> dict[str, np.ndarray]:
        point = {name: jnp.asarray(value, float) for name, value in theta.items()}
        return {name: np.asarray(value) for name, value in gradient(point).items()}

    return slope
