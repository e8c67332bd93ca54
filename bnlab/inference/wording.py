"""How factors, messages and posteriors are called, and what they are as formulas, in plain text and in TeX."""

from __future__ import annotations

from dataclasses import dataclass

from bnlab.inference.axes import Layout
from bnlab.inference.plan import Factor, Plan, SumOut
from bnlab.naming import lagged_name
from bnlab.network.ir import Variable, VarRef
from bnlab.notation import tex


def joined(names: tuple[str, ...]) -> str:
    """`xz` for letters, `word_topic` for words."""
    return ("" if all(len(name) == 1 for name in names) else "_").join(names)


def title(factor: Factor) -> str:
    """The name of a factor's log in code: `log_p_xz`, `log_p_x_given_z`."""
    given = tuple(dict.fromkeys(lagged_name(ref.name, ref.lag) for ref in factor.given))
    # where no latent is left that anything observed depends on, probabilities have summed to 1
    head = f"log_p_{joined(factor.left)}" if factor.left else "log_one"
    return head + (f"_given_{joined(given)}" if given else "")


LONGEST_TITLE = 48
"""Characters of a name in code. Where one would be longer, all steps of the network are named after what they sum out."""

MOST_LISTED = 6
"""So many observed variables are listed behind the bar of a posterior."""

Words = tuple[str, str, str]
"""A name in code, and what it stands for in plain text and in TeX."""


@dataclass(frozen=True, slots=True)
class Titles:
    """What the arrays of a summing out are called: after the probabilities that they are; if `brief`, after the variable."""

    layout: Layout
    brief: bool

    def joint(self, step: SumOut, log: bool = True) -> Words:
        """The product of all that holds the variable."""
        factor, name = step.joint, step.variable.name
        words = title(factor), formula(self.layout, factor), formula_tex(self.layout, factor)
        if self.brief:
            meets = ", ".join(_plain_ref(self.layout, factor, ref) for ref in factor.scope)
            symbol = rf"\ln \psi^{{({tex(name)})}}" + _below(self.layout, factor)
            words = f"log_clique_{name}", f"the tables that hold {name}: {meets}", symbol
        return words if log else _without_log(words)

    def message(self, step: SumOut, log: bool = True, verb: str = "sums out") -> Words:
        """What is left of the product."""
        factor, name = step.message, step.variable.name
        text = f"{verb} {name}"
        words = title(factor), f"{formula(self.layout, factor)}: {text}", formula_tex(self.layout, factor)
        if self.brief:
            words = f"log_message_{name}", text, rf"\ln m^{{({tex(name)})}}" + _below(self.layout, factor)
        return words if log else _without_log(words)

    def posterior(self, step: SumOut) -> Words:
        """The posterior of all that meets the variable."""
        name = posterior_title(step.joint.scope)
        if self.brief and len(name) > LONGEST_TITLE:
            name = f"q_clique_{step.variable.name}"
        return name, posterior_formula(self.layout, step.joint), posterior_tex(self.layout, step.joint)


def titles(layout: Layout, plan: Plan) -> Titles:
    """Brief ones if any other would be too long."""
    steps = [step for step in plan.steps if isinstance(step, SumOut)]
    return Titles(layout, any(len(title(step.joint)) > LONGEST_TITLE for step in steps))


def _below(layout: Layout, factor: Factor) -> str:
    """The indices of a factor's table in TeX."""
    members = [layout.plates[plate].letter for plate in factor.plates]
    return f"_{{{','.join([*members, *(layout.states[ref].letter for ref in factor.scope)])}}}"


def _without_log(words: Words) -> Words:
    name, text, symbol = words
    return name.removeprefix("log_"), text.removeprefix("ln "), symbol.removeprefix(r"\ln ")


def formula(layout: Layout, factor: Factor) -> str:
    """`ln p(x[n], z[n]=k)`; where nothing observed is left, probabilities sum to 1."""
    if not factor.left:
        return "ln 1"
    left = ", ".join(_plain(layout, factor, name) for name in factor.left)
    given = ", ".join(_plain_ref(layout, factor, ref) for ref in factor.given)
    return f"ln p({left} | {given})" if given else f"ln p({left})"


def formula_tex(layout: Layout, factor: Factor) -> str:
    if not factor.left:
        return r"\ln 1"
    left = ", ".join(_tex_ref(layout, factor, VarRef(name)) for name in factor.left)
    given = ", ".join(_tex_ref(layout, factor, ref) for ref in factor.given)
    return rf"\ln p({left} \mid {given})" if given else rf"\ln p({left})"


def posterior_formula(layout: Layout, factor: Factor) -> str:
    """`P(z[n]=k | x)`."""
    return f"P({', '.join(_plain_ref(layout, factor, ref) for ref in factor.scope)} | {_observed(layout)})"


def posterior_tex(layout: Layout, factor: Factor) -> str:
    scope = ", ".join(_tex_ref(layout, factor, ref) for ref in factor.scope)
    names = [tex(variable.name) for variable in _data(layout)]
    behind = ", ".join(names) if len(names) <= MOST_LISTED else r"\mathrm{data}"
    return rf"P({scope} \mid {behind})"


def posterior_title(scope: tuple[VarRef, ...]) -> str:
    """`q_z`, `q_zc`."""
    return "q_" + joined(tuple(lagged_name(ref.name, ref.lag) for ref in scope))


def count_title(names: tuple[str, ...]) -> str:
    return "N_" + joined(names)


def _observed(layout: Layout) -> str:
    names = [variable.name for variable in _data(layout)]
    return ", ".join(names) if len(names) <= MOST_LISTED else "data"


def _data(layout: Layout) -> list[Variable]:
    """The variables of which there are data, all of them or in part."""
    return [v for v in layout.graph.variables if v.role == "observed" or v.name in layout.seen]


def indices(layout: Layout, factor_plates: tuple[str, ...], name: str, lag: int = 0) -> list[str]:
    """One index a plate of the variable; `:` for the plates that have been left."""
    found = []
    for plate in layout.graph.variable(name).plates:
        letter = layout.plates[plate].letter
        if plate not in factor_plates:
            letter = ":"
        elif lag and layout.graph.plate(plate).chain:
            letter = f"{letter}-{lag}"
        found.append(letter)
    return found


def _plain(layout: Layout, factor: Factor, name: str) -> str:
    ref = VarRef(name)
    if ref in factor.scope:
        return _plain_ref(layout, factor, ref)
    index = ",".join(indices(layout, factor.plates, name))
    return f"{name}[{index}]" if index else name


def _plain_ref(layout: Layout, factor: Factor, ref: VarRef) -> str:
    index = ",".join(indices(layout, factor.plates, ref.name, ref.lag))
    symbol = f"{ref.name}[{index}]" if index else ref.name
    return f"{symbol}={layout.states[ref].letter}" if ref in layout.states else symbol


def _tex_ref(layout: Layout, factor: Factor, ref: VarRef) -> str:
    index = indices(layout, factor.plates, ref.name, ref.lag)
    symbol = tex(ref.name, [r"\cdot" if letter == ":" else letter for letter in index])
    return f"{symbol}={layout.states[ref].letter}" if ref in factor.scope else symbol
