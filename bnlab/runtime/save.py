"""Fits as netCDF files and as ArviZ data. A file holds numbers and text; loading it runs nothing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

import h5py
import xarray as xr
from numpy.typing import NDArray

from bnlab.atomic import write
from bnlab.domains import Simplex
from bnlab.errors import BnlabError, Fault, FitError
from bnlab.network.declare import Network
from bnlab.network.formats import from_json, to_json
from bnlab.network.graph import coefficients, cpds
from bnlab.network.ir import Graph, VarRef
from bnlab.runtime.parameters import shape
from bnlab.runtime.records import FitWarning, Start, Status
from bnlab.runtime.restarts import Restarts, gathered
from bnlab.runtime.result import Fit

FORMAT = "bnlab fit 1"
ENGINE: Final = "h5netcdf"
LARGEST = 1 << 32
"""Bytes that a file may ask for when it is loaded, whatever its compressed size."""
STATUSES: tuple[Status, ...] = get_args(Status)


def tree(fit: Fit) -> xr.DataTree:
    """The fit as a DataTree: groups `parameters`, `trace` and, if there are draws, `posterior`; the rest is text."""
    graph = fit.network.graph
    record = {
        "format": FORMAT,
        "method": fit.method,
        "status": fit.status,
        "rows": fit.rows,
        "settings": dict(fit.settings),
        "effort": dict(fit.effort),
        "starts": [[one.seed, one.objective, one.status, one.n_iter] for one in fit.restarts.starts]
        if fit.restarts
        else [],
        "warnings": [[one.concerns, one.message, one.advice, one.kind] for one in fit.warnings],
    }
    groups = {
        # Variables, not attributes: HDF5 refuses attributes of more than 64 kB.
        "/": xr.Dataset({"network": to_json(graph), "fit": json.dumps(record)}),
        "/parameters": xr.Dataset(
            {name: (_dims(graph, name), array) for name, array in fit.parameters.items()}
        ),
        "/trace": xr.Dataset(
            {"log_likelihood": ("step_i", fit.log_likelihood), "objective": ("step_o", fit.objective)}
        ),
    }
    if fit.draws is not None:
        groups["/posterior"] = _draws(graph, fit.draws)
    if fit.statistics is not None:
        groups["/sample_stats"] = statistics_dataset(fit.statistics)
    return xr.DataTree.from_dict(groups)


def save(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Writes `tree(fit)` to a netCDF file, whole or not at all."""
    write(path, lambda temporary: tree(fit).to_netcdf(temporary, engine=ENGINE))


def load(path: str | os.PathLike[str]) -> Fit:
    """The fit in a file that `Fit.save` wrote. Raises FitError if it holds none; executes nothing from it."""
    if not Path(path).is_file():
        raise FitError(Fault(f"There is no file {os.fspath(path)}."))
    try:
        _bounded(path)
        with xr.open_datatree(path, engine=ENGINE, phony_dims="sort") as lazy:
            return _fit(lazy)
    except BnlabError as error:
        raise FitError(Fault(f"{os.fspath(path)} holds no fit of bnlab."), *error.faults) from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise FitError(Fault(f"{os.fspath(path)} holds no fit of bnlab, or is damaged: {error}")) from error


def _bounded(path: str | os.PathLike[str]) -> None:
    """Raises FitError if the arrays would take more memory than any fit: a small compressed file may claim terabytes."""
    total = 0

    def add(name: str, node: object) -> None:
        nonlocal total
        if isinstance(node, h5py.Dataset):
            total += math.prod(node.shape or ()) * node.dtype.itemsize

    with h5py.File(path, "r") as file:
        file.visititems(add)
    if total > LARGEST:
        raise FitError(Fault(f"Its arrays claim {total} bytes; at most {LARGEST} are read."))


def _fit(lazy: xr.DataTree) -> Fit:
    record = json.loads(str(lazy["fit"].item()))
    if record["format"] != FORMAT:
        raise FitError(Fault(f"Its format is {record['format']!r}; this version of bnlab reads {FORMAT!r}."))
    network = Network.of(from_json(str(lazy["network"].item())))
    graph = network.graph
    parameters = {one.name: lazy["parameters"][one.name] for one in graph.parameters}
    faults = [
        Fault(
            f"{one.name} has the shape {parameters[one.name].shape}; the network wants {shape(graph, one)}."
        )
        for one in graph.parameters
        if parameters[one.name].shape != shape(graph, one)
    ]
    if faults:
        raise FitError(*faults)
    draws, statistics = (_arrays(lazy, group) for group in ("posterior", "sample_stats"))
    return Fit(
        network=network,
        method=str(record["method"]),
        parameters={name: array.to_numpy() for name, array in parameters.items()},
        log_likelihood=lazy["trace"]["log_likelihood"].to_numpy(),
        objective=lazy["trace"]["objective"].to_numpy(),
        status=STATUSES[STATUSES.index(record["status"])],
        warnings=tuple(FitWarning(*map(str, parts)) for parts in record["warnings"]),
        restarts=_restarts(record["starts"]),
        settings=record["settings"],
        rows=float(record["rows"]),
        draws=draws,
        statistics=statistics,
        effort=record.get("effort", {}),  # files of earlier versions have none
    )


def _arrays(lazy: xr.DataTree, group: str) -> dict[str, NDArray[Any]] | None:
    """The variables of a group; None where there is no such group."""
    if group not in lazy.children:
        return None
    return {str(name): array.to_numpy() for name, array in lazy[group].data_vars.items()}


def _restarts(records: list[list[Any]]) -> Restarts | None:
    starts = [
        Start(int(seed), float(objective), STATUSES[STATUSES.index(status)], int(n_iter))
        for seed, objective, status, n_iter in records
    ]
    return gathered(starts) if starts else None


def to_arviz(fit: Fit) -> Any:
    """ArviZ data of either line: InferenceData of ArviZ 0, DataTree of ArviZ 1."""
    graph = fit.network.graph
    draws = (
        fit.draws
        if fit.draws is not None
        else {name: array[None, None] for name, array in fit.parameters.items()}
    )
    trace = tree(fit)["trace"].to_dataset()
    groups = {"posterior": draws_dataset(graph, draws), fit.method: trace}
    if fit.statistics is not None:
        groups["sample_stats"] = statistics_dataset(fit.statistics)
    return in_arviz(xr.DataTree.from_dict(groups))


def in_arviz(container: xr.DataTree) -> Any:
    """The container of the ArviZ that is installed: InferenceData of ArviZ 0, DataTree of ArviZ 1."""
    import arviz as az  # takes a second to import, and files do not need it

    return container if int(az.__version__.split(".")[0]) >= 1 else az.InferenceData.from_datatree(container)


def statistics_dataset(statistics: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """What the sampler says of each draw, under ArviZ's names."""
    return xr.Dataset({name: (("chain", "draw"), array) for name, array in statistics.items()})


def draws_dataset(graph: Graph, draws: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """Draws (chain, draw, ...) of parameters, their plates as dimensions; states that have names are told by these."""
    found = _draws(graph, draws)
    names = {dim: labels for dim, labels in state_names(graph).items() if dim in found.dims}
    return found.assign_coords({dim: list(labels) for dim, labels in names.items()})


def state_names(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The names of states by the dimensions that they are along: entries of a Simplex, and plates whose members are picked by
    a variable with named states; none where two variables would call them otherwise.
    """
    found: dict[str, set[tuple[str, ...]]] = {}
    for parameter in graph.parameters:
        if isinstance(parameter.domain, Simplex) and parameter.domain.labels:
            found.setdefault(f"{parameter.name}_dim_0", set()).add(parameter.domain.labels)
    read = (
        (variable, ref) for variable in graph.variables for cpd in cpds(variable) for ref in coefficients(cpd)
    )
    for variable, ref in read:
        if not isinstance(ref.target, str):
            continue
        plates = [plate for plate in graph.parameter(ref.target).plates if plate not in variable.plates]
        for plate, subscript in zip(plates, ref.subscripts, strict=False):
            if isinstance(subscript, VarRef):
                domain = graph.variable(subscript.name).domain
                found.setdefault(plate, set()).add(getattr(domain, "labels", ()))
    return {dim: next(iter(names)) for dim, names in found.items() if len(names) == 1 and next(iter(names))}


def _draws(graph: Graph, draws: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    return xr.Dataset(
        {name: (("chain", "draw", *_dims(graph, name)), array) for name, array in draws.items()}
    )


def _dims(graph: Graph, name: str) -> tuple[str, ...]:
    """The names of a parameter's axes: its plates, then a name of its own for each axis of the event."""
    parameter = graph.parameter(name)
    event = range(len(parameter.domain.event_shape))
    return (*parameter.plates, *(f"{name}_dim_{axis}" for axis in event))
