"""Trees into references and affine sums: what a mean or a table may be built from.

A term is sign * coefficient * variable. Products are multiplied out, so `W @ (y + s)` is `W @ y + W @ s`; one that is not a
coefficient times a variable is refused, because then no exact inference is linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnlab.domains import Values
from bnlab.errors import Fault, Location, ModelError
from bnlab.naming import did_you_mean, quoted
from bnlab.network.expression import (
    Constant,
    Expression,
    Foreign,
    Operation,
    Previous,
    Subscripted,
    Symbol,
    shown,
)
from bnlab.network.ir import Affine, Ref, Subscript, Term, VarRef
from bnlab.network.sets import whole


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a distribution may read, with their roles ("parameter", "latent", ...), and whose they are."""

    owner: object
    roles: Mapping[str, str]

    def variables(self) -> list[str]:
        return [name for name, role in self.roles.items() if role != "parameter"]


def affine(tree: Expression, scope: Scope, place: Location | None) -> Affine:
    """The sum that `tree` stands for. Raises ModelError where it is not affine."""
    return Affine(tuple(_terms(tree, scope, place)))


def reference(tree: Expression, slot: str, scope: Scope, place: Location | None) -> Ref | VarRef:
    """The one parameter, constant or variable that `tree` is. Raises ModelError for a sum or product."""
    if isinstance(tree, Operation):
        reason = (
            f"{slot} is one parameter or constant (subscripted, if it has plates), not a sum or a product."
        )
        raise _refusal(reason, "Declare the result as a parameter of its own.", tree.location or place)
    return _atom(tree, scope, place)


def _terms(tree: Expression, scope: Scope, place: Location | None) -> list[Term]:
    match tree:
        case Operation("+", (left, right), location):
            return _terms(left, scope, location or place) + _terms(right, scope, location or place)
        case Operation("-", (left, right), location):
            return _terms(left, scope, location or place) + _negative(_terms(right, scope, location or place))
        case Operation("neg", (operand,), location):
            return _negative(_terms(operand, scope, location or place))
        case Operation("*" | "@" as operator, (left, right), location):
            rights = _terms(right, scope, location or place)
            lefts = _terms(left, scope, location or place)
            return [_product(a, b, operator, scope, location or place) for a in lefts for b in rights]
        case Operation(operator, _, location):
            remedy = "Write 0.5 * y for y / 2." if operator == "/" else "Use sums and products only."
            raise _refusal(f"A mean is affine: it has no `{operator}`.", remedy, location or place)
        case _:
            atom = _atom(tree, scope, place)
            return [Term(None, atom) if isinstance(atom, VarRef) else Term(atom, None)]


def _negative(terms: list[Term]) -> list[Term]:
    return [replace(term, sign=-term.sign) for term in terms]


def _product(left: Term, right: Term, operator: str, scope: Scope, place: Location | None) -> Term:
    sign = left.sign * right.sign
    a, b = _factor(left), _factor(right)
    forward, backward = ("matmul", "rmatmul") if operator == "@" else ("scale", "scale")
    for unit, other in ((a, right), (b, left)):
        if (
            operator == "*"
            and isinstance(unit, Ref)
            and unit.target in (Values((), (1.0,)), Values((), (-1.0,)))
        ):
            assert isinstance(unit.target, Values)
            return replace(other, sign=sign * int(unit.target.flat[0]))
    match a, b:
        case Ref(), VarRef():
            return Term(a, b, forward, sign)
        case VarRef(), Ref():
            return Term(b, a, backward, sign)
        case VarRef(), VarRef() if scope.roles[a.name] == "given":
            return Term(a, b, forward, sign)
        case VarRef(), VarRef() if scope.roles[b.name] == "given":
            return Term(b, a, backward, sign)
        case VarRef(), VarRef():
            reason = f'"{a.name}" and "{b.name}" are both random, so their product is not affine.'
            raise _refusal(reason, "One factor must be a parameter, a constant or a given variable.", place)
        case Ref(Values() as x, ()), Ref(Values() as y, ()):
            return Term(Ref(_folded(x, y, operator, place), location=place), None, sign=sign)
        case Ref(), Ref():
            reason = "A product of two coefficients is not one parameter, and could not be learnt as two."
            raise _refusal(reason, "Declare the product as a parameter of its own.", place)
        case _:
            reason = "A term of a mean is one coefficient times one variable; this product has more factors."
            raise _refusal(reason, "Declare the product of the coefficients as one parameter.", place)


def _factor(term: Term) -> Ref | VarRef | None:
    """What a term consists of if it is a single thing."""
    if term.variable is None:
        return term.coefficient
    return term.variable if term.coefficient is None else None


def _folded(left: Values, right: Values, operator: str, place: Location | None) -> Values:
    try:
        return Values.of(left.array @ right.array if operator == "@" else left.array * right.array)
    except ValueError:
        reason = f"Constants of shapes {left.shape} and {right.shape} do not multiply."
        raise _refusal(reason, "Transpose or reshape one of them.", place) from None


def _atom(tree: Expression, scope: Scope, place: Location | None) -> Ref | VarRef:
    match tree:
        case Symbol():
            return _symbol(tree, scope, place)
        case Previous():
            return _previous(tree, scope)
        case Constant(values, _):
            return Ref(values, location=place)
        case Subscripted(base, subscripts, location):
            return _subscripted(base, subscripts, scope, location or place)
        case Foreign(text, location):
            raise _refusal(f"{text} is not a number, a parameter or a variable.", "", place or location)
        case _:
            reason = "Only a parameter or a constant is subscripted, not a sum or a product."
            raise _refusal(reason, "Subscript each parameter by itself: mu[z] + b[z].", place)


def _symbol(symbol: Symbol, scope: Scope, place: Location | None) -> Ref | VarRef:
    if symbol.owner is not scope.owner:
        raise _refusal(f'"{symbol.name}" was declared in another network.', "Declare it in this one.", place)
    if scope.roles[symbol.name] == "parameter":
        return Ref(symbol.name, location=place)
    return VarRef(symbol.name, location=place)


def _previous(tree: Previous, scope: Scope) -> VarRef:
    if not isinstance(tree.name, str):
        raise _refusal("previous takes the name of a variable.", 'Write bn.previous("z").', tree.location)
    lag = whole(tree.lag)
    if lag is None or lag < 1:
        reason = f"previous has {shown(tree.lag)} for a lag. A lag is a positive integer."
        raise _refusal(reason, f'Write bn.previous("{tree.name}", 1).', tree.location)
    role = scope.roles.get(tree.name)
    if role is None:
        known = scope.variables()
        reason = f"No variable is called {quoted(tree.name)}.{did_you_mean(tree.name, known)}"
        raise _refusal(reason, f"There are: {', '.join(known)}.", tree.location)
    if role == "parameter":
        reason = f'"{tree.name}" is a parameter, the same at every step.'
        raise _refusal(reason, "previous takes the name of a variable of the chain.", tree.location)
    return VarRef(tree.name, lag, location=tree.location)


def _subscripted(
    base: Expression, subscripts: tuple[object, ...], scope: Scope, place: Location | None
) -> Ref:
    target = _atom(base, scope, place)
    if isinstance(target, VarRef):
        reason = f'"{target.name}" is a variable, and only parameters and constants are subscripted.'
        raise _refusal(reason, "Plates that variables have in common align by themselves.", place)
    found = tuple(_subscript(subscript, scope, place) for subscript in subscripts)
    return replace(target, subscripts=target.subscripts + found, location=place)


def _subscript(subscript: object, scope: Scope, place: Location | None) -> Subscript:
    number = whole(subscript)
    if number is not None:
        return number
    if isinstance(subscript, Symbol | Previous):
        target = _atom(subscript, scope, place)
        if isinstance(target, VarRef):
            return target
        raise _refusal(f'"{target.target}" is a parameter, and selects nothing.', _SUBSCRIPTS, place)
    if isinstance(subscript, str):
        near = did_you_mean(subscript, scope.variables())
        raise _refusal(f"{shown(subscript)} is text, not a variable.{near}", _SUBSCRIPTS, place)
    if isinstance(subscript, slice) or subscript is Ellipsis:
        raise _refusal(
            "Subscripts select members of plates; the axes of an event stay whole.", _SUBSCRIPTS, place
        )
    what = "An expression" if isinstance(subscript, Expression) else shown(subscript)
    raise _refusal(f"{what} is not a subscript.", _SUBSCRIPTS, place)


_SUBSCRIPTS = "A subscript is a categorical variable or an integer: mu[z], mu[0]."


def _refusal(reason: str, remedy: str, place: Location | None) -> ModelError:
    return ModelError(Fault(reason, remedy, place))
