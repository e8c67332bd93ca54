"""Timing that can be compared: every library in a process of its own, pinned to one core, on the same data and start.

A benchmark is a table of cases and a table of libraries. `python -m benchmarks.gmm` runs each pair `--rounds` times and
prints one JSON line each, then a table of ratios. Seconds an iteration are CPU seconds by slope: (long fit - short fit)
over the difference in iterations, so that set-up, compilation and a last evaluation drop out; on one core CPU and wall time
agree, and CPU time is what other processes on the machine disturb least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

ONE_CORE = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Data and the parameters that every library starts from, by name."""

    data: Mapping[str, np.ndarray]
    start: Mapping[str, np.ndarray]
    dtype: str


@dataclass(frozen=True, slots=True)
class Case:
    """A problem, the iterations of the short and the long fit, and the ratios to reach: library -> at least so often faster.

    `without` names libraries that would take too long. `whole` cases compare whole fits, not iterations.
    """

    make: Callable[[], Problem]
    iterations: tuple[int, int]
    aims: Mapping[str, float]
    without: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Fitter:
    """`run(n)` does n iterations from the start and waits for them; `log_likelihood(result)` is that of its result.

    `whole(n)` is the same from the rows of the data on, where `run` has passed over them before.
    """

    run: Callable[[int], Any]
    log_likelihood: Callable[[Any], float]
    whole: Callable[[int], Any] | None = None


Library = Callable[[Problem], Fitter]

REPEATS = 2
"""Fits of each length in a round, of which the faster one counts."""


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement, as printed. `compile_s` is what the first short fit took beyond the second."""

    case: str
    library: str
    seconds_per_iteration: float
    whole_fit_s: float
    compile_s: float
    peak_mb: float
    log_likelihood: float
    iterations: int


def measure(case_name: str, case: Case, library_name: str, library: Library) -> Line:
    """Time one library on one case, in this process."""
    fitter = library(case.make())
    short, long = case.iterations
    whole = fitter.whole or fitter.run
    if case.whole:
        first, result = timed(fitter.run, long)
        whole_s = timed(whole, long)[0]
        short_s = long_s = whole_s
    else:
        first, _ = timed(fitter.run, short)
        timed(fitter.run, long)  # libraries that compile for a number of iterations do it here
        short_s = min(timed(fitter.run, short)[0] for _ in range(REPEATS))
        long_s, result = min((timed(fitter.run, long) for _ in range(REPEATS)), key=lambda found: found[0])
        whole_s = timed(whole, long)[0] if fitter.whole else long_s
    return Line(
        case=case_name,
        library=library_name,
        seconds_per_iteration=0.0 if case.whole else (long_s - short_s) / (long - short),
        whole_fit_s=whole_s,
        compile_s=max(first - short_s, 0.0),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        log_likelihood=float(fitter.log_likelihood(result)),
        iterations=long,
    )


def timed(run: Callable[[int], Any], iterations: int) -> tuple[float, Any]:
    """CPU seconds of this process, and the result."""
    started = time.process_time()
    result = run(iterations)
    return time.process_time() - started, result


def main(module: str, cases: Mapping[str, Case], libraries: Mapping[str, Library]) -> None:
    """The command line that all benchmarks share."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(cases)}; all without one")
    parser.add_argument(
        "--library", action="append", choices=list(libraries), help="may be repeated; all without one"
    )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the fastest is shown")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one library on one case")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "LIBRARY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        case, library = options.one
        print(json.dumps(asdict(measure(case, cases[case], library, libraries[library]))))
        return
    options.rounds = 1 if options.quick else options.rounds
    unknown = set(options.cases) - set(cases)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    for name in options.cases or cases:
        chosen = options.library or [library for library in libraries if library not in cases[name].without]
        lines = [
            line for _ in range(options.rounds) for line in one_round(module, name, chosen, options.timeout)
        ]
        print(table(name, cases[name], fastest(lines)), flush=True)


def one_round(module: str, case: str, libraries: Sequence[str], timeout: float) -> list[Line]:
    """Each library once; one that fails or is not installed is reported and left out."""
    lines = []
    for library in libraries:
        command = [sys.executable, "-W", "ignore", "-m", module, "--one", case, library]
        if hasattr(os, "sched_setaffinity"):
            command = [sys.executable, "-c", PINNED, *command]
        try:
            finished = subprocess.run(
                command, env=os.environ | ONE_CORE, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            print(
                json.dumps({"case": case, "library": library, "failed": f"more than {timeout:.0f} s"}),
                flush=True,
            )
            continue
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
            print(json.dumps({"case": case, "library": library, "failed": reason}), flush=True)
            continue
        text = finished.stdout.strip().splitlines()[-1]
        print(text, flush=True)
        lines.append(Line(**json.loads(text)))
    return lines


PINNED = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.argv[1], sys.argv[1:])"


def fastest(lines: Sequence[Line]) -> list[Line]:
    """One line a library: the least times, which other work on the machine disturbed least; the largest memory."""
    by_library: dict[str, list[Line]] = {}
    for line in lines:
        by_library.setdefault(line.library, []).append(line)
    return [
        replace(
            group[0],
            seconds_per_iteration=min(line.seconds_per_iteration for line in group),
            whole_fit_s=min(line.whole_fit_s for line in group),
            compile_s=min(line.compile_s for line in group),
            peak_mb=max(line.peak_mb for line in group),
        )
        for group in by_library.values()
    ]


def table(name: str, case: Case, lines: Sequence[Line]) -> str:
    """Ratios to what bnlab emits: above 1 the library is slower. The last column is the aim."""
    ours = next((line for line in lines if line.library == "bnlab"), None)
    rows = [
        f"\n{name}",
        f"{'library':<17}{'ms/iter':>10}{'ratio':>8}{'fit s':>9}{'ratio':>8}{'aim':>7}{'peak MB':>9}  log-likelihood",
    ]
    for line in sorted(
        lines, key=lambda line: line.whole_fit_s if case.whole else line.seconds_per_iteration
    ):
        iteration = ratio = ""
        if not case.whole:
            iteration = f"{1000 * line.seconds_per_iteration:.3f}"
            ratio = f"{line.seconds_per_iteration / ours.seconds_per_iteration:.2f}" if ours else ""
        whole = f"{line.whole_fit_s / ours.whole_fit_s:8.2f}" if ours else " " * 8
        aim = f"{case.aims[line.library]:7g}" if line.library in case.aims else " " * 7
        rows.append(
            f"{line.library:<17}{iteration:>10}{ratio:>8}{line.whole_fit_s:>9.3f}{whole}{aim}"
            f"{line.peak_mb:>9.0f}  {line.log_likelihood:.6f}{apart(line, ours)}"
        )
    return "\n".join(rows)


def apart(line: Line, ours: Line | None) -> str:
    """A remark where the likelihood after the last iteration is not the same: then it is not the same work."""
    if ours is None:
        return ""
    relative = abs(line.log_likelihood - ours.log_likelihood) / (1 + abs(ours.log_likelihood))
    return f"   differs by {relative:.1e}" if relative > 1e-5 else ""


def use_jax(dtype: str) -> Any:
    """JAX in the precision of the problem."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    return jax


def emitted(problem: Problem, network: Any) -> Fitter:
    """What bnlab writes for the network, in a compiled loop: as `bn.fit` runs it, and as what is written by hand runs."""
    import jax

    import bnlab as bn
    from bnlab.runtime.load import load_source

    module = load_source(bn.emit(network, "em"), network.name)
    data = module.prepare(problem.data, dtype=problem.dtype)
    theta = module.Parameters(**{name: jax.numpy.asarray(array) for name, array in problem.start.items()})

    @jax.jit
    def iterate(theta: Any, data: Any, iterations: int) -> Any:
        return jax.lax.fori_loop(
            0, iterations, lambda _, now: module.m_step(module.e_step(now, data), now), theta
        )

    def run(iterations: int) -> Any:
        return jax.block_until_ready(iterate(theta, data, iterations))

    def whole(iterations: int) -> Any:
        rows = module.prepare(problem.data, dtype=problem.dtype)
        return jax.block_until_ready(iterate(theta, rows, iterations))

    return Fitter(run, lambda theta: module.log_evidence(theta, data), whole)


def separated_means(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Means about three standard deviations apart."""
    return 3.0 * rng.standard_normal((count, dim))


def random_covariances(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Symmetric positive definite matrices near the identity."""
    roots = rng.standard_normal((count, dim, dim)) / np.sqrt(dim)
    return 0.5 * roots @ roots.swapaxes(-1, -2) + 0.5 * np.eye(dim)
