"""JSON from anybody into a Graph: every field is looked at, and what is not expected is refused with its path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from bnlab.domains import Covariance, Domain, Integer, Positive, Probability, Real, Simplex, Values
from bnlab.errors import Fault, ModelError
from bnlab.families.base import Slot, registry
from bnlab.naming import did_you_mean, identifier_fault, quoted
from bnlab.network.ir import CPD, Affine, Graph, Parameter, Plate, Prior, Ref, Term, Variable, VarRef
from bnlab.network.shapes import UNKNOWN, infer_domains

FORMAT = "bnlab.network"
VERSION = 1

LARGEST_SIZE = 10**9
"""Of a plate, an axis or a lag: far more than anything that fits into memory, far less than what overflows."""

MOST_AXES = 8
"""Of a constant. NumPy itself stops at 64."""


MOST_RECORDS = 2000
"""Parameters, or variables: checks compare them in pairs."""


def contents_of(text: str) -> tuple[Graph, dict[str, Values], dict[str, str]]:
    """The graph that `text` holds, the values that came along for its parameters, and names to show for its variables.

    Nothing is checked yet but the format. Raises ModelError where the text is not of it.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelError(Fault(f"This is not JSON: {error or 'it is nested too deeply'}.")) from None
    record = _record(
        "the file",
        document,
        {"format", "version", "name"},
        {"doc", "plates", "parameters", "variables", "values", "titles"},
    )
    if record["format"] != FORMAT or record["version"] != VERSION:
        _refuse("format", f'is not "{FORMAT}", version {VERSION}')
    graph = Graph(
        _text("name", record["name"]),
        tuple(_plate(path, each) for path, each in _records(record, "plates")),
        tuple(_parameter(path, each) for path, each in _records(record, "parameters")),
        tuple(_variable(path, each) for path, each in _records(record, "variables")),
        _text("doc", record.get("doc", "")),
    )
    values = {
        _name("values", name): _numbers(f"values.{name}", each)
        for name, each in _mapping("values", record).items()
    }
    titles = {
        _name("titles", name): _text(f"titles.{name}", each)
        for name, each in _mapping("titles", record).items()
    }
    return infer_domains(graph), values, titles


def _mapping(key: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get(key, {})
    if not isinstance(found, dict):
        _refuse(key, "is not an object in braces")
    return found


def _records(document: Mapping[str, Any], key: str) -> list[tuple[str, object]]:
    found = _list(key, document.get(key, []))
    if len(found) > MOST_RECORDS:
        _refuse(key, f"has {len(found)} entries, and may have {MOST_RECORDS}")
    return [(f"{key}[{i}]", each) for i, each in enumerate(found)]


def _plate(path: str, value: object) -> Plate:
    record = _record(path, value, {"name"}, {"size", "chain"})
    size = _integer(f"{path}.size", record["size"], 1) if "size" in record else None
    chain = record.get("chain", False)
    if not isinstance(chain, bool):
        _refuse(f"{path}.chain", "is not true or false")
    return Plate(_text(f"{path}.name", record["name"]), size, chain)


def _parameter(path: str, value: object) -> Parameter:
    record = _record(path, value, {"name", "domain"}, {"plates", "prior", "value"})
    return Parameter(
        _text(f"{path}.name", record["name"]),
        _domain(f"{path}.domain", record["domain"]),
        _plates(f"{path}.plates", record.get("plates", [])),
        _prior(f"{path}.prior", record["prior"]) if "prior" in record else None,
        _numbers(f"{path}.value", record["value"]) if "value" in record else None,
    )


def _variable(path: str, value: object) -> Variable:
    record = _record(path, value, {"name", "role"}, {"plates", "domain", "distribution", "first"})
    role = _text(f"{path}.role", record["role"])
    if role not in ("latent", "observed", "given"):
        _refuse(f"{path}.role", f'is {quoted(role)}, not "latent", "observed" or "given"')
    needed, excess = (
        ("domain", {"distribution", "first"}) if role == "given" else ("distribution", {"domain"})
    )
    if needed not in record or excess & record.keys():
        _refuse(path, f"is {role}, so it has a {needed} and no {' or '.join(sorted(excess))}")
    first = _list(f"{path}.first", record.get("first", []))
    return Variable(
        _text(f"{path}.name", record["name"]),
        role,
        _domain(f"{path}.domain", record["domain"]) if role == "given" else UNKNOWN,
        _plates(f"{path}.plates", record.get("plates", [])),
        None if role == "given" else _cpd(f"{path}.distribution", record["distribution"]),
        tuple(_cpd(f"{path}.first[{i}]", each) for i, each in enumerate(first)),
    )


def _domain(path: str, value: object) -> Domain:
    kind, inside = _single(path, value)
    match kind:
        case "Real":
            return Real(_shape(path, inside))
        case "Positive":
            return Positive(_shape(path, inside))
        case "Covariance":
            return Covariance(_integer(path, inside, 1))
        case "Probability":
            return Probability() if _shape(path, inside) == () else _refuse(path, "has a shape")
        case "Simplex":
            return Simplex(*_categories(path, inside))
        case "Integer":
            return Integer(*_categories(path, inside))
        case _:
            known = ("Real", "Positive", "Covariance", "Probability", "Simplex", "Integer")
            _refuse(path, f"is no domain: {quoted(kind)}.{did_you_mean(kind, known)}")


def _categories(path: str, value: object) -> tuple[int, tuple[str, ...]]:
    if not isinstance(value, list):
        return _integer(path, value, 1), ()
    labels = _texts(path, value)
    if not labels or not all(labels) or len(set(labels)) < len(labels):
        _refuse(path, "does not name different categories")
    return len(labels), labels


def _prior(path: str, value: object) -> Prior:
    family, arguments = _call(path, value)
    return Prior(family, tuple((name, _numbers(f"{path}.{name}", each)) for name, each in arguments.items()))


def _cpd(path: str, value: object) -> CPD:
    family, arguments = _call(path, value)
    slots = {slot.name: slot for slot in registry()[family].slots}
    return CPD(
        family,
        tuple((name, _argument(f"{path}.{name}", each, slots[name])) for name, each in arguments.items()),
    )


def _call(path: str, value: object) -> tuple[str, Mapping[str, Any]]:
    """The family and its arguments, in the order of its slots; exactly those that it takes."""
    name, inside = _single(path, value)
    family = registry().get(name)
    if family is None:
        _refuse(path, f"is no distribution: {quoted(name)}.{did_you_mean(name, registry())}")
    required = {slot.name for slot in family.slots if not slot.group}
    record = _record(f"{path}.{name}", inside, required, {slot.name for slot in family.slots if slot.group})
    for group in sorted({slot.group for slot in family.slots if slot.group}):
        chosen = [slot.name for slot in family.slots if slot.group == group and slot.name in record]
        if len(chosen) != 1:
            names = ", ".join(slot.name for slot in family.slots if slot.group == group)
            _refuse(f"{path}.{name}", f"has not exactly one of {names}")
    return name, {slot.name: record[slot.name] for slot in family.slots if slot.name in record}


def _argument(path: str, value: object, slot: Slot) -> Affine | Ref | VarRef:
    if not slot.mean:
        return _factor(path, value)
    terms = _list(f"{path}.sum", _record(path, value, {"sum"}, set())["sum"])
    if not terms:
        _refuse(path, "is an empty sum")
    return Affine(tuple(_term(f"{path}.sum[{i}]", each) for i, each in enumerate(terms)))


def _term(path: str, value: object) -> Term:
    record = _record(path, value, set(), {"sign", "coefficient", "times", "op"})
    coefficient = _factor(f"{path}.coefficient", record["coefficient"]) if "coefficient" in record else None
    variable = _read(f"{path}.times", record["times"]) if "times" in record else None
    op, sign = record.get("op", "scale"), record.get("sign", 1)
    if op not in ("scale", "matmul", "rmatmul") or (op != "scale" and None in (coefficient, variable)):
        _refuse(path, "multiplies in no known way")
    if isinstance(sign, bool) or sign not in (1, -1):
        _refuse(f"{path}.sign", "is not 1 or -1")
    if variable is None and not isinstance(coefficient, Ref):
        _refuse(path, "has neither a parameter nor a variable")
    return Term(coefficient, variable, op, int(sign))


def _factor(path: str, value: object) -> Ref | VarRef:
    if isinstance(value, dict) and "variable" in value:
        return _read(path, value)
    record = _record(path, value, set(), {"parameter", "constant", "at"})
    if ("parameter" in record) == ("constant" in record):
        _refuse(path, "is not one of parameter, constant and variable")
    subscripts = _list(f"{path}.at", record.get("at", []))
    target = (
        _name(f"{path}.parameter", record["parameter"])
        if "parameter" in record
        else _numbers(f"{path}.constant", record["constant"])
    )
    return Ref(
        target,
        tuple(
            _read(f"{path}.at[{i}]", each) if isinstance(each, dict) else _integer(f"{path}.at[{i}]", each, 0)
            for i, each in enumerate(subscripts)
        ),
    )


def _read(path: str, value: object) -> VarRef:
    record = _record(path, value, {"variable"}, {"lag"})
    lag = _integer(f"{path}.lag", record["lag"], 1) if "lag" in record else 0
    return VarRef(_name(f"{path}.variable", record["variable"]), lag)


def _numbers(path: str, value: object) -> Values:
    if not _is_numeric(value, MOST_AXES):
        _refuse(path, "is not a number or an array of numbers")
    try:
        values = Values.of(np.array(value, dtype=float))
    except (ValueError, OverflowError):
        _refuse(path, "is not an array: its rows have different lengths, or a number is too large")
    return values if values.flat else _refuse(path, "is empty")


def _is_numeric(value: object, axes: int) -> bool:
    if isinstance(value, list):
        return axes > 0 and all(_is_numeric(each, axes - 1) for each in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _record(path: str, value: object, required: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(path, "is not an object in braces")
    unknown = [key for key in value if key not in required | optional]
    if unknown:
        near = did_you_mean(unknown[0], required | optional)
        _refuse(path, f"has the unknown key {quoted(unknown[0])}.{near}")
    missing = sorted(required - value.keys())
    if missing:
        _refuse(path, f"lacks the key {quoted(missing[0])}")
    return value


def _single(path: str, value: object) -> tuple[str, object]:
    if not isinstance(value, dict) or len(value) != 1:
        _refuse(path, 'is not one name with what belongs to it, such as {"Real": [2]}')
    return next(iter(value.items()))


def _shape(path: str, value: object) -> tuple[int, ...]:
    sizes = _list(path, value)
    return (
        tuple(_integer(path, size, 1) for size in sizes)
        if len(sizes) <= MOST_AXES
        else _refuse(path, "has too many axes")
    )


def _plates(path: str, value: object) -> tuple[str, ...]:
    return tuple(_name(f"{path}[{i}]", each) for i, each in enumerate(_list(path, value)))


def _name(path: str, value: object) -> str:
    """A name that refers to something: if it is no identifier there is nothing of that name, and no error prints it raw."""
    name = _text(path, value)
    return _refuse(path, f"is {quoted(name)}, which names nothing") if identifier_fault(name) else name


def _texts(path: str, value: object) -> tuple[str, ...]:
    return tuple(_text(f"{path}[{i}]", each) for i, each in enumerate(_list(path, value)))


def _list(path: str, value: object) -> list[Any]:
    return value if isinstance(value, list) else _refuse(path, "is not a list")


def _text(path: str, value: object) -> str:
    return value if isinstance(value, str) else _refuse(path, "is not text")


def _integer(path: str, value: object, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST_SIZE:
        return value
    _refuse(path, f"is not an integer from {least} to {LARGEST_SIZE}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ModelError(Fault(f"The key {quoted(twice)} stands twice in one object."))
    return record


def _no_constant(name: str) -> NoReturn:
    raise ModelError(Fault(f"{name} is not a number that a network may hold."))


def _refuse(path: str, reason: str) -> NoReturn:
    shown = reason if len(reason) <= 200 else f"{reason[:200]}..."
    raise ModelError(Fault(f"{path} {shown}{'' if shown[-1] in '.?' else '.'}"))
