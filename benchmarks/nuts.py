"""NUTS on three forms of a mixture's density: effective samples a CPU second.

    python -m benchmarks.nuts [--rows 10000] [--draws 200] [--library NAME]

The emitted `marginal_model` against the emitted `model`, whose latents NumPyro enumerates, and against NumPyro's own
MixtureSameFamily, under the same priors, from the same start, with the same seed: one chain of NumPyro's own NUTS each, pinned
to one core. The three densities agree to rounding, so that chains part only after long; compilation is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ONE_CORE, PINNED, Problem, use_jax
from benchmarks.gmm import mixture

ROOT = Path(__file__).parent.parent
DIM = COMPONENTS = 8

Form = tuple[Callable[..., None], Any]
"""A NumPyro model and its argument."""


def emitted(problem: Problem) -> Any:
    """The emitted NumPyro module of the mixture with weakly informative priors."""
    import bnlab as bn
    from bnlab.cli.models import load_model
    from bnlab.runtime.load import load_source

    model = load_model(str(ROOT / "models" / "gmm.py"), [f"components={COMPONENTS}", f"dim={DIM}"])
    net = bn.weakly_informative(model.network, dict(problem.data)).network
    return load_source(bn.emit(net, "numpyro"), "nuts")


def marginal(problem: Problem) -> Form:
    module = emitted(problem)
    return module.marginal_model, module.prepare(problem.data, dtype=problem.dtype)


def enumerated(problem: Problem) -> Form:
    return emitted(problem).model, problem.data["x"]


def same_family(problem: Problem) -> Form:
    import numpyro
    import numpyro.distributions as dist

    module = emitted(problem)

    def model(x: Any) -> None:
        theta = module.parameters()
        components = dist.MultivariateNormal(theta.mu, covariance_matrix=theta.Sigma)
        with numpyro.plate("n", len(x)):
            numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(theta.pi), components), obs=x)

    return model, problem.data["x"]


FORMS: dict[str, Callable[[Problem], Form]] = {
    "bnlab": marginal,
    "enumerated": enumerated,
    "same family": same_family,
}


def measure(name: str, rows: int, warmup: int, draws: int) -> dict[str, Any]:
    """One chain, in this process."""
    problem = mixture(rows, DIM, COMPONENTS, "float64")()
    jax = use_jax(problem.dtype)
    import arviz
    from jax import numpy as jnp
    from numpyro.infer import NUTS, init_to_value

    model, data = FORMS[name](problem)
    kernel = NUTS(model, init_strategy=init_to_value(values=dict(problem.start)))
    state = kernel.init(jax.random.key(0), warmup, None, (data,), {})

    @jax.jit
    def transitions(state: Any, count: int) -> Any:
        def step(i: Any, carry: Any) -> Any:
            state, kept, gradients = carry
            state = kernel.sample(state, (data,), {})
            kept = jax.tree.map(lambda all_of, one: all_of.at[i].set(one), kept, state.z)
            return state, kept, gradients + state.num_steps

        kept = jax.tree.map(lambda one: jnp.zeros((max(warmup, draws), *one.shape), one.dtype), state.z)
        return jax.lax.fori_loop(0, count, step, (state, kept, 0))

    jax.block_until_ready(transitions(state, 0))  # compiles
    began = time.process_time()
    state, _, before = jax.block_until_ready(transitions(state, warmup))
    warm = time.process_time() - began
    began = time.process_time()
    state, kept, gradients = jax.block_until_ready(transitions(state, draws))
    seconds = time.process_time() - began
    chain = {site: np.asarray(values)[None, :draws] for site, values in kept.items()}
    worth = np.concatenate([np.ravel(found.values) for found in arviz.ess(chain).data_vars.values()])
    return {
        "library": name,
        "rows": rows,
        "draws": draws,
        "warmup_s": warm,
        "seconds": seconds,
        "gradients": [int(before), int(gradients)],
        "gradient_ms": 1000 * (warm + seconds) / int(before + gradients),
        "least_ess": float(worth.min()),
        "median_ess": float(np.median(worth)),
        "last_potential": float(state.potential_energy),
    }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """A row a form; the ratio is that of the median entry's effective samples a second, and of a gradient's time."""
    ours = next((line for line in lines if line["library"] == "bnlab"), None)
    head = ("gradients", "ms each", "ratio", "warm s", "draw s", "ESS/s", "least/s", "ratio")
    rows = [f"{'library':<14}" + "".join(f"{title:>10}" for title in head)]
    for line in lines:
        rate = line["median_ess"] / line["seconds"]
        cells = (
            str(sum(line["gradients"])),
            f"{line['gradient_ms']:.2f}",
            f"{line['gradient_ms'] / ours['gradient_ms']:.2f}" if ours else "",
            f"{line['warmup_s']:.1f}",
            f"{line['seconds']:.1f}",
            f"{rate:.2f}",
            f"{line['least_ess'] / line['seconds']:.2f}",
            f"{ours['median_ess'] / ours['seconds'] / rate:.2f}" if ours else "",
        )
        rows.append(f"{line['library']:<14}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nuts", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument(
        "--library", action="append", choices=list(FORMS), help="may be repeated; all without"
    )
    parser.add_argument("--one", choices=list(FORMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.rows, options.warmup, options.draws)))
        return
    lines = []
    for name in options.library or FORMS:
        sizes = [f"--{size}={getattr(options, size)}" for size in ("rows", "warmup", "draws")]
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.nuts", "--one", name, *sizes]
        if hasattr(os, "sched_setaffinity"):
            command = [sys.executable, "-c", PINNED, *command]
        done = subprocess.run(command, env=os.environ | ONE_CORE, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr.strip()}")
        print(text := done.stdout.strip().splitlines()[-1], flush=True)
        lines.append(json.loads(text))
    print(table(lines))


if __name__ == "__main__":
    main()
