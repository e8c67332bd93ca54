"""How factors, messages and posteriors are called, and what they are as formulas, in plain text and in TeX."""

from __future__ import annotations

from bnlab.inference.axes import Layout
from bnlab.inference.plan import Factor
from bnlab.network.ir import VarRef
from bnlab.notation import tex


def joined(names: tuple[str, ...]) -> str:
    """`xz` for letters, `word_topic` for words."""
    return ("" if all(len(name) == 1 for name in names) else "_").join(names)


def title(factor: Factor) -> str:
    """The name of a factor's log in code: `log_p_xz`, `log_p_x_given_z`."""
    given = tuple(dict.fromkeys(ref.name + ("_prev" if ref.lag else "") for ref in factor.given))
    return f"log_p_{joined(factor.left)}" + (f"_given_{joined(given)}" if given else "")


def formula(layout: Layout, factor: Factor) -> str:
    """`ln p(x[n], z[n]=k)`."""
    left = ", ".join(_plain(layout, factor, name) for name in factor.left)
    given = ", ".join(_plain_ref(layout, factor, ref) for ref in factor.given)
    return f"ln p({left} | {given})" if given else f"ln p({left})"


def formula_tex(layout: Layout, factor: Factor) -> str:
    left = ", ".join(_tex_ref(layout, factor, VarRef(name)) for name in factor.left)
    given = ", ".join(_tex_ref(layout, factor, ref) for ref in factor.given)
    return rf"\ln p({left} \mid {given})" if given else rf"\ln p({left})"


def posterior_formula(layout: Layout, factor: Factor) -> str:
    """`P(z[n]=k | x)`."""
    return f"P({', '.join(_plain_ref(layout, factor, ref) for ref in factor.scope)} | {_observed(layout)})"


def posterior_tex(layout: Layout, factor: Factor) -> str:
    scope = ", ".join(_tex_ref(layout, factor, ref) for ref in factor.scope)
    return rf"P({scope} \mid {', '.join(tex(v.name) for v in layout.graph.in_role('observed'))})"


def posterior_title(scope: tuple[VarRef, ...]) -> str:
    """`q_z`, `q_zc`."""
    return "q_" + joined(tuple(ref.name + ("_prev" if ref.lag else "") for ref in scope))


def count_title(names: tuple[str, ...]) -> str:
    return "N_" + joined(names)


def _observed(layout: Layout) -> str:
    return ", ".join(variable.name for variable in layout.graph.in_role("observed"))


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
