"""Networks as JSON. What is read is only data: nothing in it is run, imported or evaluated.

A file from a stranger is taken apart field by field by `json_reader.py`, and what comes out passes the same checks as a typed
declaration.
"""

from __future__ import annotations

import json
from typing import Any

from bnlab.domains import Covariance, Domain, Integer, Simplex, Values
from bnlab.errors import ModelError
from bnlab.network.check_names import name_faults
from bnlab.network.declare import Network
from bnlab.network.ir import (
    CPD,
    Affine,
    Argument,
    Graph,
    Parameter,
    Plate,
    Prior,
    Ref,
    Term,
    Variable,
    VarRef,
)
from bnlab.network.json_reader import FORMAT, VERSION, contents_of

WIDTH = 100
"""Objects and lists that fit into a line of this width stand on one."""


def network_to_json(network: Network) -> str:
    """A network as JSON, with the values and titles that it brings along."""
    document = _document(network.graph)
    if network.known:
        document["values"] = {name: _numbers(values) for name, values in network.known.items()}
    if network.titles:
        document["titles"] = dict(network.titles)
    return _layout(document, "") + "\n"


def to_json(graph: Graph) -> str:
    """The graph as JSON: stable, one line a record where it fits, numbers to the last bit."""
    return _layout(_document(graph), "") + "\n"


def _document(graph: Graph) -> dict[str, Any]:
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, "name": graph.name}
    if graph.doc:
        document["doc"] = graph.doc
    document["plates"] = [_plate(plate) for plate in graph.plates]
    document["parameters"] = [_parameter(parameter) for parameter in graph.parameters]
    document["variables"] = [_variable(variable) for variable in graph.variables]
    return document


def from_json(text: str) -> Graph:
    """The graph that `to_json` wrote. Raises ModelError for anything else, with all that is wrong."""
    return network_from_json(text).graph


def network_from_json(text: str) -> Network:
    """The network that `network_to_json` wrote. Raises ModelError for anything else, with all that is wrong."""
    graph, values, titles = contents_of(text)
    faults = tuple(name_faults(graph))
    if faults:  # messages about anything else print names as they are
        raise ModelError(*faults)
    return Network.of(graph, values, titles)


def _plate(plate: Plate) -> dict[str, Any]:
    record: dict[str, Any] = {"name": plate.name}
    if plate.size is not None:
        record["size"] = plate.size
    if plate.chain:
        record["chain"] = True
    return record


def _parameter(parameter: Parameter) -> dict[str, Any]:
    record: dict[str, Any] = {"name": parameter.name, "domain": _domain(parameter.domain)}
    if parameter.plates:
        record["plates"] = list(parameter.plates)
    if parameter.prior is not None:
        record["prior"] = _prior(parameter.prior)
    if parameter.value is not None:
        record["value"] = _numbers(parameter.value)
    return record


def _variable(variable: Variable) -> dict[str, Any]:
    record: dict[str, Any] = {"name": variable.name, "role": variable.role}
    if variable.plates:
        record["plates"] = list(variable.plates)
    if variable.cpd is None:
        record["domain"] = _domain(variable.domain)
    else:
        record["distribution"] = _cpd(variable.cpd)
    if variable.first:
        record["first"] = [_cpd(cpd) for cpd in variable.first]
    return record


def _domain(domain: Domain) -> dict[str, Any]:
    kind = type(domain).__name__
    if isinstance(domain, Simplex | Integer):
        return {kind: list(domain.labels) if domain.labels else domain.size}
    return {kind: domain.dim if isinstance(domain, Covariance) else list(domain.event_shape)}


def _prior(prior: Prior) -> dict[str, Any]:
    return {prior.family: {name: _numbers(values) for name, values in prior.arguments}}


def _cpd(cpd: CPD) -> dict[str, Any]:
    return {cpd.family: {name: _argument(argument) for name, argument in cpd.arguments}}


def _argument(argument: Argument) -> dict[str, Any]:
    match argument:
        case Ref():
            return _ref(argument)
        case VarRef():
            return _read(argument)
        case Affine(terms):
            return {"sum": [_term(term) for term in terms]}


def _term(term: Term) -> dict[str, Any]:
    record: dict[str, Any] = {"sign": -1} if term.sign < 0 else {}
    if term.coefficient is not None:
        record["coefficient"] = _argument(term.coefficient)
    if term.variable is not None:
        record["times"] = _read(term.variable)
    if term.op != "scale":
        record["op"] = term.op
    return record


def _ref(ref: Ref) -> dict[str, Any]:
    record: dict[str, Any] = (
        {"parameter": ref.target} if isinstance(ref.target, str) else {"constant": _numbers(ref.target)}
    )
    if ref.subscripts:
        record["at"] = [_read(each) if isinstance(each, VarRef) else each for each in ref.subscripts]
    return record


def _read(read: VarRef) -> dict[str, Any]:
    return {"variable": read.name, "lag": read.lag} if read.lag else {"variable": read.name}


def _numbers(values: Values) -> Any:
    return values.array.tolist()


def _layout(value: Any, indent: str) -> str:
    """JSON with two blanks a level, where what fits into a line stays on one."""
    line = json.dumps(value, ensure_ascii=True, allow_nan=False)
    if not isinstance(value, dict | list) or (indent and len(indent) + len(line) <= WIDTH):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_layout(part, inner)}" for key, part in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _layout(part, inner) for part in value) + f"\n{indent}]"
