"""What a faster gradient is worth: effective draws of NUTS a second, of one mixture written in three ways.

    python -m benchmarks.sampling [--rows 1000] [--rounds 3]

The emitted `marginal_model`, the emitted `model` with its states enumerated, and NumPyro's MixtureSameFamily, with the same
priors, data, start and seed, by NumPyro's own sampler. Seconds are CPU seconds of one core without compilation; the effective
number is the least over all means, so that rounds of all three are interleaved and the medians of ratios are shown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import ONE_CORE

COMPONENTS, DIM, WARMUP, DRAWS = 3, 4, 150, 150


def network() -> Any:
    import bnlab as bn

    with bn.Network("sampling") as net:
        pi = bn.parameter("pi", bn.Simplex(COMPONENTS), prior=bn.Dirichlet([2.0] * COMPONENTS))
        with bn.plate("k", COMPONENTS):
            mu = bn.parameter("mu", bn.Real(DIM), prior=bn.Normal(bn.zeros(DIM), std=[10.0] * DIM))
            Sigma = bn.parameter("Sigma", bn.Covariance(DIM), prior=bn.InverseWishart(DIM + 2, bn.eye(DIM)))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def ways(rows: int) -> tuple[dict[str, Callable[[], Any]], dict[str, Any]]:
    """Models without arguments, and where all of them start."""
    import numpy as np
    import numpyro
    import numpyro.distributions as dist
    from numpyro.contrib.funsor import config_enumerate

    import bnlab as bn
    from bnlab.runtime.load import load_source

    net, rng = network(), np.random.default_rng(0)
    means = 3.0 * rng.standard_normal((COMPONENTS, DIM))
    theta = {
        "pi": np.full(COMPONENTS, 1 / COMPONENTS),
        "mu": means,
        "Sigma": np.stack([np.eye(DIM)] * COMPONENTS),
    }
    x = bn.sample(net, theta, {"n": rows}, seed=0)["x"]
    module = load_source(bn.emit(net, "numpyro"), "sampling")
    data = module.prepare({"x": x})

    def same_family() -> None:
        theta = module.parameters()
        components = dist.MultivariateNormal(theta.mu, covariance_matrix=theta.Sigma)
        with numpyro.plate("n", rows):
            numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(theta.pi), components), obs=x)

    found = {
        "bnlab": lambda: module.marginal_model(data),
        "enumerated": config_enumerate(lambda: module.model(x)),
        "same family": same_family,
    }
    return found, theta


def one_run(model: Callable[[], Any], start: Any) -> Callable[[int], tuple[float, int, float]]:
    """Effective draws, leapfrog steps and CPU seconds of a run from a seed; the first call compiles."""
    import jax
    import numpy as np
    from numpyro.diagnostics import effective_sample_size
    from numpyro.infer import MCMC, NUTS, init_to_value

    kernel = NUTS(model, init_strategy=init_to_value(values=start))
    chain = MCMC(kernel, num_warmup=WARMUP, num_samples=DRAWS, progress_bar=False, jit_model_args=True)

    def run(seed: int) -> tuple[float, int, float]:
        began = time.process_time()
        chain.run(jax.random.key(seed), extra_fields=("num_steps",))
        mu = np.asarray(chain.get_samples(group_by_chain=True)["mu"])
        seconds = time.process_time() - began
        steps = int(chain.get_extra_fields()["num_steps"].sum())
        return float(np.min(effective_sample_size(mu))), steps, seconds

    return run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.update(ONE_CORE)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import numpyro

    numpyro.enable_x64()
    models, start = ways(options.rows)
    runs = {name: one_run(model, start) for name, model in models.items()}
    seen: dict[str, list[tuple[float, int, float]]] = {name: [] for name in runs}
    for run in runs.values():
        run(0)  # compiles
    for seed in range(options.rounds):
        for name, run in runs.items():
            seen[name].append(run(seed))
    print(f"{'':<12}{'effective / s':>14}{'steps':>8}{'us / step':>11}{'times slower':>14}")
    for name, lines in seen.items():
        rates = [effective / seconds for effective, _, seconds in lines]
        ours = [effective / seconds for effective, _, seconds in seen["bnlab"]]
        ratio = statistics.median(one / other for one, other in zip(ours, rates, strict=True))
        steps = statistics.median(line[1] for line in lines)
        each = statistics.median(1e6 * seconds / count for _, count, seconds in lines)
        print(
            f"{name:<12}{statistics.median(rates):>14.2f}{steps:>8.0f}{each:>11.0f}{ratio:>14.2f}", flush=True
        )


if __name__ == "__main__":
    main()
