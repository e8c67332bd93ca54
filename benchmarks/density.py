"""The NumPyro side: the gradient of a mixture's log density, which is what NUTS and SVI spend their time on.

    python -m benchmarks.density [CASE ...] [--library NAME] [--rounds 3]

An iteration is one gradient, with the value that comes along. The emitted `marginal_model` against the emitted `model`, whose
latents NumPyro enumerates, and against NumPyro's own MixtureSameFamily.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import Case, Fitter, Library, Problem, main, use_jax
from benchmarks.gmm import mixture

ROOT = Path(__file__).parent.parent


def gradients(problem: Problem, log_density: Callable[[Any], Any]) -> Fitter:
    """`run(n)` takes n values and gradients, each at a point that those before have moved by nothing that matters."""
    jax = use_jax(problem.dtype)
    start = {name: jax.numpy.asarray(array) for name, array in problem.start.items()}

    @jax.jit
    def steps(iterations: int) -> Any:
        def step(_: int, theta: Any) -> Any:
            value, slope = jax.value_and_grad(log_density)(theta)
            return jax.tree.map(lambda a, g: a + 1e-30 * (g + value), theta, slope)

        return jax.lax.fori_loop(0, iterations, step, start)

    return Fitter(lambda iterations: jax.block_until_ready(steps(iterations)), jax.jit(log_density))


def emitted(problem: Problem) -> Any:
    """The emitted NumPyro module for the problem's network."""
    import bnlab as bn
    from bnlab.cli.models import load_model
    from bnlab.runtime.load import load_source

    components, dim = problem.start["mu"].shape
    model = load_model(str(ROOT / "models" / "gmm.py"), [f"components={components}", f"dim={dim}"])
    return load_source(bn.emit(model.network, "numpyro"), "density")


def marginal(problem: Problem) -> Fitter:
    from numpyro.infer.util import log_density

    module = emitted(problem)
    data = module.prepare(problem.data, dtype=problem.dtype)
    return gradients(problem, lambda theta: log_density(module.marginal_model, (data,), {}, theta)[0])


def enumerated(problem: Problem) -> Fitter:
    from numpyro.contrib.funsor import enum, log_density

    model = enum(emitted(problem).model, -2)  # left of the plates n and k
    return gradients(problem, lambda theta: log_density(model, (problem.data["x"],), {}, theta)[0])


def same_family(problem: Problem) -> Fitter:
    import numpyro.distributions as dist

    x = problem.data["x"]

    def log_density(theta: Any) -> Any:
        components = dist.MultivariateNormal(theta["mu"], covariance_matrix=theta["Sigma"])
        return dist.MixtureSameFamily(dist.Categorical(theta["pi"]), components).log_prob(x).sum()

    return gradients(problem, log_density)


LIBRARIES: dict[str, Library] = {
    "bnlab": marginal,
    "enumerated": enumerated,
    "same family": same_family,
}

CASES = {
    "1k": Case(mixture(1_000, 8, 8, "float64"), (20, 220), {"enumerated": 1.0, "same family": 1.0}),
    "10k": Case(mixture(10_000, 8, 8, "float64"), (5, 55), {"enumerated": 4.8, "same family": 4.8}),
}

if __name__ == "__main__":
    main("benchmarks.density", CASES, LIBRARIES)
