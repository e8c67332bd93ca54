"""The derivation where Gaussian latents are integrated out: completing the square, filters and smoothers, expected moments.

Equations are the statements of the emitted EM, one for one. What cannot be written as linear algebra is quoted in the words
that the emitted file has for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bnlab.network.ir import Graph, Variable
from bnlab.notation import tex
from bnlab.printers.latex_algebra import Algebra, Definition, events
from bnlab.printers.latex_expression import Writer
from bnlab.printers.latex_families import covariance, inverse
from bnlab.printers.latex_layout import Line, display, line
from bnlab.printers.latex_matrices import UnwritableError, signed
from bnlab.printers.latex_names import Names, escaped, symbols_of
from bnlab.printers.latex_network import Use, own_name, uses
from bnlab.printers.latex_recursions import quoted as quoted_recursion
from bnlab.printers.latex_recursions import recursion
from bnlab.printers.latex_steps import EStep
from bnlab.printers.latex_sums import first_steps
from bnlab.printers.latex_width import width
from bnlab.program.ir import Invoke, Scan, Statement
from bnlab.program.ops import EVENT, STATE, Call, Expr, JointBasis, Linear, Symbol, Take
from bnlab.program.plain import plain as plain_text
from bnlab.program.walk import symbols

BASES = {
    "r": "r",
    "e": "e",
    "eta": "h",
    "Lambda": r"\Lambda",
    "J": "J",
    "S": r"\mathcal{S}",
    "V": "V",
    "d": "d",
    "m": "m",
    "K": "K",
    "k": "k",
    "G": "G",
    "mean": "g",
    "cov": r"\Gamma",
    "W": r"\mathcal{W}",
    "count": "n",
    "ended": r"n^{\mathrm{end}}",
    "u": "u",
    "B": "B",
    "C": "C",
    "n": r"\nu",
    "v": "v",
    "g": "g",
    "F": r"\mathcal{F}",
    "Q": r"\mathcal{Q}",
    "p": r"\bar{f}",
    "P": r"\bar{\Phi}",
    "drive": "b",
    "T": "T",
    "lambda": r"\lambda",
    "shrink": r"\sigma",
}
"""What the arrays of completing the square are called, by the first word of their name."""

FILTERED = {"m": "f", "V": r"\Phi", "mean": "g", "cov": r"\Gamma", "W": r"\mathcal{W}"}
"""The moments given the data up to a step, and given all data."""


def is_gaussian(graph: Graph) -> bool:
    """Whether latents are integrated out."""
    return any(not variable.discrete for variable in graph.in_role("latent"))


def gaussian_names(names: Names) -> Names:
    """The names, with letters for the arrays of completing the square, and all vectors without indices."""
    taken = {own_name(names, parameter).split("_")[0].split("^")[0] for parameter in names.graph.parameters}
    taken |= {variable.name for variable in names.graph.variables}
    fields = {field.name for field in names.program.statistics}
    bases = dict(names.bases)
    for symbol in symbols_of(names.program):
        if symbol.space == "local" and symbol.name not in fields:
            found = _base(symbol.name, names, taken)
            if found:
                bases[symbol.name] = found
    silent = frozenset(axis for axis in names.letters if axis.kind == EVENT)
    for name in sorted(fields & bases.keys()):
        first = bases[name].replace(",2)}", ")}")
        if first not in bases.values():
            bases[name] = first
    return replace(names, bases=bases, silent=silent, later=first_steps(names.program))


def _base(name: str, names: Names, taken: set[str]) -> str:
    if name.startswith("W_") and name.endswith("_before"):
        return _primed(_base(name.removesuffix("_before"), names, taken))
    head, _, rest = name.partition("_")
    chains = [v.name for v in names.graph.in_role("latent") if _is_filtered(names, v)]
    if name.startswith("log_ratio"):
        return r"\ln \rho" + (rf"^{{({_word(rest[6:])})}}" if rest[6:] in chains else "")
    if name.startswith("log_p") and "_in_" in name:
        return rf"\ell^{{({_word(name.rpartition('_in_')[2])})}}"
    if head == "change" and rest in {parameter.name for parameter in names.graph.parameters}:
        return rf"\delta^{{({tex(rest)})}}"
    filtered = head in FILTERED and (not rest or rest in chains)
    letter = FILTERED[head] if filtered else BASES.get(head, "")
    if not letter or head == "S" and rest and name in names.bases and rest not in _variables(names):
        return ""
    plain = letter if letter not in taken else rf"\tilde{{{letter}}}"
    words = [word for word in rest.split("_") if word]
    if not words or filtered or rest == "now" or head in ("F", "Q"):
        return plain
    above = ",".join(_word(word) for word in words).replace(r",\mathrm{before}", "'")
    return rf"{plain}^{{({above})}}"


def _primed(base: str) -> str:
    letter, mark, above = base.partition("^")
    return f"{letter}'{mark}{above}"


def _word(word: str) -> str:
    return word if len(word) == 1 or word.isdigit() else rf"\mathrm{{{word}}}"


def _variables(names: Names) -> set[str]:
    return {variable.name for variable in names.graph.variables}


def _is_filtered(names: Names, variable: Variable) -> bool:
    return any(function.name.startswith(f"filter_{variable.name}") for function in names.program.functions)


# -- the E-step -------------------------------------------------------------------------------------------------------


def inlined(names: Names) -> dict[str, Definition]:
    """The arrays that are written as what they are: precisions, counts, and what is only carried to inner plates."""
    found: dict[str, Definition] = {}
    written = Writer(names)
    for item in names.program.expect.body:
        if not isinstance(item, Statement):
            continue
        value, name = item.expression, item.target.name
        precision = name.startswith("J_") and isinstance(value, Linear) or name.startswith("JT_")
        carried = isinstance(written.bare(value), Take | Symbol) or name.startswith(
            ("count_", "weight_", "rows_", "products_")
        )
        if precision or carried or "_mean" in name:
            found[name] = (item.target.axes, value)
    return found


def algebra(names: Names) -> Algebra:
    """What writes the equations."""
    found = inlined(names)
    plain = {name: value for name, (_, value) in found.items()}
    calls = {s.name: _call_text(names, s) for s in names.program.functions}
    meanings = {**names.meanings, **{name: text for name, text in calls.items() if text}}
    return Algebra(Writer(replace(names, meanings=meanings), plain), found)


def _call_text(names: Names, function: object) -> str:
    """The density of what data leave of their mean, which the functions of children are."""
    for factor, density in names.program.densities.items():
        if density == function:
            return next((_from_residual(use) for use in uses(names) if use.label == factor), "")
    return ""


def _from_residual(use: Use) -> str:
    if use.cpd.family != "Normal" or not any(
        use.names.graph.variable(ref.name).continuous_latent for ref in use.parents
    ):
        return ""
    index = use.value("state").partition("_")[2].strip("{}")
    density = use.names.program.densities[use.label]
    known, data = use.names.bases, {variable.name for variable in use.names.graph.variables}
    if [each.name for each in density.arguments] == ["N", "S"]:  # of all rows together
        residual, over = known[f"e_{use.label.replace('.', '_')}"], rf"\sum_{{{index}}} "
    else:
        made = (each for each in density.arguments if each.name in known and each.name not in data)
        (residual,), over = (known[each.name] for each in made), ""
    return rf"{over}\ln \mathcal{{N}}({residual}_{{{index}}}; 0, {covariance(use)})"


def e_step(names: Names, walk: EStep) -> Iterator[str]:
    """Text and equations in the order of the emitted statements; `walk` tells those of discrete latents alone."""
    everything, hidden = names.everything
    old = rf"{names.eta}_{{\mathrm{{old}}}}"
    yield r"\section{The E-step}"
    first = rf"The E-step sets $q({hidden}) = P({hidden} \mid {everything}, {old})$; all of this section is at ${old}$. "
    yield from elimination(names, walk, first)


def elimination(names: Names, walk: EStep, first: str = "") -> Iterator[str]:
    """How latents are integrated and summed out, `first` said before; the evidence at the end."""
    pen = algebra(names)
    walk.inline.update({name: value for name, (_, value) in pen.inline.items()})
    everything = names.everything[0]
    yield first + (
        r"Gaussian latents are integrated out by completing the square. A latent is measured from its prior mean: let it be "
        r"$v$ with prior $\mathcal{N}(v; 0, P)$, and let what the data say of it be "
        r"$\exp(h^{\top} v - \tfrac{1}{2} v^{\top} \Lambda v)$ up to a factor. Then"
    )
    yield display(
        line(
            r"h^{\top} v - \tfrac{1}{2} v^{\top} (P^{-1} + \Lambda) v",
            (
                r"-\tfrac{1}{2} (v - d)^{\top} V^{-1} (v - d)",
                r"+\mathrm{const}",
            ),
        ),
        line("V^{-1}", r"P^{-1} + \Lambda"),
        line("d", ("V h",)),
    )
    yield (
        r"The posterior of $v$ has mean $d$ and covariance $V$. With $\mathcal{S} = (I + P \Lambda)^{-1}$ and "
        r"$\nu = \mathcal{S}^{\top} h$ these are $V = \mathcal{S} P$ and $d = P \nu$, also for a singular $P$. The evidence "
        rf"is $\ln p({everything}) = \ln p({everything}, v) - \ln p(v \mid {everything})$ at any $v$; at $v = d$ no term is "
        "large, and"
    )
    yield display(
        line(
            r"\ln \mathcal{N}(d; 0, P) - \ln \mathcal{N}(d; d, V)",
            (r"-\tfrac{1}{2} \nu^{\top} d", r"+\tfrac{1}{2} \ln \left|\mathcal{S}\right|"),
        ),
    )
    yield "For this network:"
    for item in names.program.expect.body:
        match item:
            case Statement() | Invoke() if _is_discrete(names, item):
                yield from walk.told(item)
            case Statement():
                yield from _statement(names, pen, item)
            case Invoke():
                yield from recursion(names, pen, item)
            case _:
                raise AssertionError("recursions are functions of their own")
    yield "Together,"
    evidence = rf"\ln p({everything} \mid {names.eta})"
    yield _shown(pen, evidence, names.program.expect.results[0], "log_p")


def _is_discrete(names: Names, item: Statement | Invoke) -> bool:
    """Whether the statement is of messages and posteriors of discrete latents, which hold no vectors."""
    if isinstance(item, Invoke):
        function = next(each for each in names.program.functions if each.name == item.function)
        # a filter and a smoother have another one, for covariances
        return sum(isinstance(part, Scan) for part in function.body) == 1
    head, told = item.target.name.partition("_")[0], [*symbols(item.expression), item.target]
    if (
        any(axis.kind == EVENT for symbol in told for axis in symbol.axes)
        or item.target.name in names.meanings
    ):
        return False
    return head not in BASES and any(axis.kind == STATE for symbol in told for axis in symbol.axes)


def _statement(names: Names, pen: Algebra, item: Statement) -> Iterator[str]:
    name = item.target.name
    if name in pen.inline:
        return
    if isinstance(item.expression, Call):
        called = next(each for each in names.program.functions if each.name == item.expression.function)
        if any(isinstance(part, Scan) for part in called.body):
            yield from quoted_recursion(called)
        return
    head, _, rest = name.partition("_")
    if isinstance(item.expression, JointBasis):
        yield from _basis(names, pen, item.target, item.expression)
        return
    if head == "lambda":
        return  # told with the basis
    if head == "shrink":
        yield "entry by entry,"
        yield _shrink(pen, item)
        return
    yield _reason(item)
    if name in names.meanings:
        yield _shown(pen, names.meanings[name], item.expression, item.formula or name)
        return
    yield defined(pen, item)
    latent = next(
        (use for use in uses(names) if use.variable.name == rest and use.variable.role == "latent"), None
    )
    if head == "V" and latent is not None and latent.cpd.family == "Normal" and not _is_singular(latent):
        locals_ = (s for s in symbols_of(names.program) if s.space == "local")
        told = next((s for s in locals_ if s.name.startswith(f"Lambda_{rest}")), None)
        precision = _own_precision(names, item) or told
        if precision is not None:
            text = f"{inverse(covariance(latent))}" if covariance(latent) not in ("I", "1 I") else "I"
            known = pen.pen.lhs(item.target)
            left = rf"\left({known}\right)^{{-1}}"
            yield "This is the inverse of the sum of precisions, the prior's and that of the data:"
            yield display(line(left, (text, *(signed(term, 1) for term in _spelled(names, pen, precision)))))


def _basis(names: Names, pen: Algebra, target: Symbol, basis: JointBasis) -> Iterator[str]:
    """The basis that members share."""
    T, name = pen.pen.lhs(target), target.name.removeprefix("T_")
    spectrum, shrink = pen.pen.lhs(Symbol(f"lambda_{name}", basis.axes[:-1])), names.bases[f"shrink_{name}"]
    prior, precision = (pen.terms(part, events(part.axes)) for part in (basis.covariance, basis.precision))
    held = precision[0] if len(precision) == 1 else rf"\left({' '.join(precision)}\right)"
    yield (
        f"The prior covariance and the precision that each row adds are both diagonal in a basis ${T}$, which all members "
        f"share. The data of a member leave the part ${shrink}$ of its prior variances there:"
    )
    yield display(
        line(rf"{T} ({T})^{{\top}}", prior),
        line(rf"({T})^{{\top}} {held} {T}", (rf"\operatorname{{diag}}({spectrum})",)),
    )


def _shrink(pen: Algebra, item: Statement) -> str:
    """What the data leave of the prior's spread along each vector of the basis."""
    spectrum, counts = sorted(symbols(item.expression), key=lambda one: not one.name.startswith("lambda_"))
    (count,) = pen.terms(counts, ())
    return display(line(pen.pen.lhs(item.target), (rf"\frac{{1}}{{1 + {count} {pen.pen.lhs(spectrum)}}}",)))


def _spelled(names: Names, pen: Algebra, precision: Symbol) -> tuple[str, ...]:
    """What the data add to a precision, as what it is if that is short."""
    own = next(
        (
            s
            for s in names.program.expect.body
            if isinstance(s, Statement) and s.target.name == precision.name
        ),
        None,
    )
    if own is not None:
        try:
            terms = pen.terms(own.expression, events(own.target.axes))
        except UnwritableError:
            terms = ()
        if len(terms) == 1 and width(terms[0]) < 120:
            return terms
    return (pen.pen.lhs(precision),)


def _is_singular(use: Use) -> bool:
    return covariance(use) in ("0", "0 I") or "(" in covariance(use) or "pmatrix" in covariance(use)


def _own_precision(names: Names, item: Statement) -> Symbol | None:
    """What the data say of the latent, as the posterior covariance reads it."""
    bodies = {s.target.name: s for s in names.program.expect.body if isinstance(s, Statement)}
    known = [*symbols(item.expression)]
    shrunk = [s for each in known if each.name in bodies for s in symbols(bodies[each.name].expression)]
    return next((s for s in (*known, *shrunk) if s.space == "local" and s.name.startswith("Lambda_")), None)


def _reason(item: Statement) -> str:
    head, _, rest = item.target.name.partition("_")
    first, *others = rest.split("_")
    name = rf"\mathrm{{{first}}}" if len(first) > 1 else first
    match head:
        case "r":
            return f"What data leave of their mean, with every Gaussian latent at its prior mean (${name}$):"
        case "eta":
            return f"What the data say of ${name}$ is the exponent's linear term"
        case "Lambda":
            return "and its quadratic one, the precision that the data add:"
        case "S":
            return "How far the data leave the prior:"
        case "V" | "cov" if rest.endswith("_next"):
            return f"The posterior covariance of ${name}$ with itself one step before:"
        case "V" if rest.endswith("_all"):
            return f"The posterior covariance of ${name}$:"
        case "V" if rest.count("_") == 1:
            return f"The posterior covariance of ${name}$ with ${others[0]}$:"
        case "V":
            return f"The posterior covariance of ${name}$, given what is not yet integrated out:"
        case "W" if rest.endswith("_next"):
            return f"The sum of the covariances of ${name}$ with itself one step before:"
        case "W" if others and others != ["before"]:
            second = rf"\mathrm{{{others[0]}}}" if len(others[0]) > 1 else others[0]
            step = " one step before" if others[1:] else ""
            return f"The sum of the covariances of ${name}$ with ${second}${step}:"
        case "W":
            return f"The sum of the covariances of ${name}$" + (" one step before:" if others else ":")
        case "cov" if others:
            second = rf"\mathrm{{{others[0]}}}" if len(others[0]) > 1 else others[0]
            step = " one step before" if others[1:] else ""
            return f"The posterior covariance of ${name}$ with ${second}${step}:"
        case "cov":
            return f"The posterior covariance of ${name}$:"
        case "log" if first == "ratio":
            return "How much lower the log density of the prior is at the posterior means than that of the posterior:"
        case "g":
            return f"The posterior mean of ${name}$ in this basis, from its prior mean:"
        case "n":
            return f"Its prior precision times what the data move ${name}$ by:"
        case "d" if "others" in item.formula:
            return f"The posterior mean of ${name}$, from its prior mean, with the others at their own:"
        case "d":
            return f"The posterior mean of ${name}$, from its prior mean:"
        case "v":
            return f"What is left of ${name}$ at the means given the data so far:"
        case "m" if "so far" in item.formula:
            return f"The mean of ${name}$ given the data so far:"
        case "m":
            return f"The posterior mean of ${name}$, from its prior mean:"
        case "mean":
            return f"The posterior mean of ${name}$:"
        case "e":
            return f"What is left of ${name}$ at the posterior means:"
        case _:
            if item.because == "leave plate":
                return "The members of the plate are independent, so their densities multiply:"
            if item.because == "sum out" and "means" in item.formula:
                return "The evidence, with Gaussian latents at their means:"
            if item.because == "sum out":
                return "The discrete latent is summed out:"
            if item.formula and not item.formula.startswith("ln p"):
                return f"Next, {escaped(item.formula)}:"
            return "This gives" if item.target.name.startswith("log_p") else "Next,"


def defined(pen: Algebra, item: Statement) -> str:
    """A statement as an equation; in the words of the emitted file where it is no linear algebra."""
    try:
        return display(equation(pen, item.target, item.expression))
    except UnwritableError:
        return quoted(item)


def equation(pen: Algebra, target: Symbol, value: Expr) -> Line:
    left, terms = pen.equation(target, value)
    return line(left, terms)


def quoted(item: Statement) -> str:
    """A statement as the plain derivation has it."""
    return (
        "\\begin{quote}\\raggedright\n\\texttt{"
        + escaped(f"{item.target.name} = {plain_text(item.expression)}")
        + "}\n\\end{quote}"
    )


def _shown(pen: Algebra, left: str, value: Expr, name: str) -> str:
    try:
        return display(line(left, pen.terms(value)))
    except UnwritableError:
        return quoted(Statement(Symbol(name, value.axes), value, "numerics"))
