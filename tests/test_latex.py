"""The derivation as an article: complete, well-formed TeX of a small known set of commands, the same every time."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import bnlab as bn
from bnlab.network.ir import Graph
from bnlab.notation import GREEK, tex
from bnlab.printers.latex_layout import LIMIT, display, line
from bnlab.printers.latex_names import escaped
from bnlab.printers.latex_width import width
from tests import models, networks

Build = Callable[[], bn.Network]

BUILDS: dict[str, Build] = {name: lambda name=name: models.model(name).network for name in models.NAMES}
BUILDS |= {example.build.__name__: example.build for example in networks.EXAMPLES}

# What practice knows to be read everywhere: LaTeX and amsmath, nothing newer.
COMMANDS = {
    *(
        "documentclass usepackage setlength oddsidemargin textwidth topmargin textheight parindent parskip".split()
    ),
    *(
        "allowdisplaybreaks begin end LARGE texttt section subsection text mathrm mathcal operatorname".split()
    ),
    *("ln sum prod frac tfrac sqrt partial mid sim leftarrow top cdot times dots bar tilde ge infty".split()),
    *(
        "left right bigl bigr Bigl Bigr Big qquad exp max textbackslash textasciitilde textasciicircum".split()
    ),
    *("ensuremath Gamma lambda psi hat widehat sloppy ell int raggedright".split()),
    *GREEK,
}
ENVIRONMENTS = {"document", "center", "align*", "pmatrix", "cases", "quote"}


def free_parameters(graph: Graph) -> list[str]:
    return [parameter.name for parameter in graph.parameters if parameter.value is None]


@pytest.fixture(params=BUILDS)
def network(request: pytest.FixtureRequest) -> bn.Network:
    return BUILDS[request.param]()


def test_the_same_text_every_time(request: pytest.FixtureRequest, network: bn.Network) -> None:
    again = BUILDS[request.node.callspec.params["network"]]()
    assert bn.emit(network, "latex") == bn.emit(again, "latex")


def test_known_commands_only(network: bn.Network) -> None:
    text = bn.emit(network, "latex")
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= COMMANDS
    assert set(re.findall(r"\\begin\{([^}]*)\}", text)) <= ENVIRONMENTS
    assert re.findall(r"\\usepackage\{([^}]*)\}", text) == ["amsmath"]
    assert text.isascii()


def test_balanced(network: bn.Network) -> None:
    text = bn.emit(network, "latex")
    bare = re.sub(r"\\[{}$\\]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for row in re.split(r"\\\\\n", "\n".join(displays(text))):
        assert row.count(r"\left") - row.count(r"\leftarrow") == row.count(r"\right")
        assert row.count(r"\Bigl") == row.count(r"\Bigr")


def displays(text: str) -> list[str]:
    return re.findall(r"\\begin\{align\*\}\n(.*?)\n\\end\{align\*\}", text, flags=re.DOTALL)


def test_every_parameter_is_updated_once(network: bn.Network) -> None:
    text = bn.emit(network, "latex")
    for name in free_parameters(network.graph):
        base = re.escape(tex(name, ["INDEX"]).split("INDEX")[0].rstrip(",{_"))
        updates = re.findall(rf"^{base}(?![A-Za-z])\S* &\\leftarrow", text, flags=re.MULTILINE)
        assert len(updates) == 1, name
    assert text.count(r"\subsection*{The update of") == len(free_parameters(network.graph))
    if any(not variable.discrete for variable in network.graph.in_role("latent")):
        return  # Gaussian latents: all derivatives at once, as the regression on expected moments
    assert len(re.findall(r"\\frac\{\\partial\}", text)) == len(free_parameters(network.graph))


def test_every_statistic_is_defined_and_named(network: bn.Network) -> None:
    text = bn.emit(network, "latex")
    program = bn.derive(network).program
    for field in program.statistics[1:]:
        assert rf"\texttt{{{escaped(field.name)}}}" in text


def test_every_latent_is_summed_out(network: bn.Network) -> None:
    if any(not variable.discrete for variable in network.graph.in_role("latent")):
        pytest.skip("tests/test_latex_gaussian.py reads these")
    text = bn.emit(network, "latex")
    steps = text[text.index(r"\section{The E-step}") : text.index(r"\section{The auxiliary function}")]
    for variable in network.graph.in_role("latent"):
        assert re.search(rf"P\([^)]*{re.escape(tex(variable.name))}[^)]*\\mid", steps), variable.name


def test_a_mixture_reads_as_in_the_lecture() -> None:
    text = bn.emit(BUILDS["gmm"](), "latex")
    for equation in (
        r"p(X, Z \mid \eta) &= \prod_{n=1}^{N} p(z_n) p(x_n \mid z_n)",
        r"\ln p(x_n, z_n=k) &= \ln \pi_k + \ln p(x_n \mid z_n=k)",
        r"\ln p(x_n) &= \ln \sum_{k} p(x_n, z_n=k)",
        r"\gamma_{n,k} &= P(z_n=k \mid x) = \frac{p(x_n, z_n=k)}{p(x_n)}",
        r"N_{k} &= \sum_{n=1}^{N} \gamma_{n,k}",
        r"\frac{N_{k}}{\pi_k} - \lambda = 0",
        r"\pi_k &\leftarrow \frac{N_{k}}{\sum_{k'} N_{k'}}",
        r"\sum_{n=1}^{N} \gamma_{n,k} \Sigma_k^{-1} \left(x_n - \mu_k\right) = 0",
        r"\mu_k &= \frac{\sum_{n=1}^{N} \gamma_{n,k} x_n}{\sum_{n=1}^{N} \gamma_{n,k}}",
        r"\Sigma_k &\leftarrow \frac{S^{(xx)}_{k} - N_{k} m_{k} m_{k}^{\top}}{N_{k}}",
        r"\ln p(X \mid \eta) &= Q(q, \eta) + H(q) + D_{\mathrm{KL}}",
    ):
        assert equation in text


def test_a_chain_is_a_recursion() -> None:
    text = bn.emit(BUILDS["hmm"](), "latex")
    for equation in (
        r"\prod_{s=1}^{S} p(z_{s,1}) \prod_{t=2}^{T_{s}} p(z_{s,t} \mid z_{s,t-1}) \prod_{t=1}^{T_{s}} p(x_{s,t} \mid z_{s,t})",
        r"\bar{\alpha}_{s,1,k} &= \pi_k",
        r"\bar{\alpha}_{s,t,k} &= \sum_{j} \alpha_{s,t-1,j} A_{j,k} \qquad (t \ge 2)",
        r"c_{s,t} &= \sum_{k} \bar{\alpha}_{s,t,k} b_{s,t,k}",
        r"\ln p(x_{s,\cdot}) &= \sum_{t=1}^{T_{s}} \ln c_{s,t}",
        r"\beta_{s,T_{s},k} &= 1",
        r"\beta_{s,t-1,j} &= \sum_{k} \frac{\beta_{s,t,k} b_{s,t,k} A_{j,k}}{c_{s,t}} \qquad (t \ge 2)",
        r"\gamma_{s,t,k} &= P(z_{s,t}=k \mid x) = \alpha_{s,t,k} \beta_{s,t,k}",
        r"\xi_{s,t,j,k} &= P(z_{s,t-1}=j, z_{s,t}=k \mid x) = \frac{\alpha_{s,t-1,j} A_{j,k} \beta_{s,t,k} b_{s,t,k}}{c_{s,t}}",
        r"N^{(zz)}_{j,k} &= \sum_{s,t\ge 2} \xi_{s,t,j,k}",
    ):
        assert equation in text


def test_a_factor_that_does_not_change_a_state_leaves_its_message_alone() -> None:
    """m[t] is not read by the next step, so beta at t-1 is the same for both of its values."""
    text = bn.emit(BUILDS["hmm_left_to_right"](), "latex")
    assert r"\beta_{t-1,j,i} &= \sum_{g,k} \frac{" in text


def test_leaving_a_plate_adds_over_its_members() -> None:
    text = bn.emit(BUILDS["group_and_row"](), "latex")
    assert r"\ln p(x_{g,\cdot} \mid c_g=i) &= \sum_{n=1}^{N_{g}} \ln p(x_{g,n} \mid c_g=i)" in text
    assert r"p(x_{g,n} \mid c_g=i)} \gamma^{(c)}_{g,i}" in text


def test_priors_stand_in_the_derivative() -> None:
    text = bn.emit(BUILDS["priors"](), "latex")
    assert r"- \frac{m - 0.5}{2} = 0" in text
    assert r"+ 8 \, \Sigma_k - C \Bigr] = 0" in text  # df + D + 1 = 5 + 2 + 1
    assert r"- \frac{3}{v_k} + \frac{1.5}{v_k^{2}} = 0" in text
    assert "mode of the posterior density" in text


@pytest.mark.parametrize(("name", "said"), [("prior_on_mean", True), ("gmm", False), ("mixture_tied", False)])
def test_conditional_maximisation_is_said_where_it_happens(name: str, said: bool) -> None:
    assert ("ECM" in bn.emit(BUILDS[name](), "latex")) is said


def test_names_that_the_lecture_uses_are_the_users() -> None:
    with bn.Network("clash") as net:
        gamma = bn.parameter("gamma", bn.Simplex(2))
        with bn.plate("k", 2):
            alpha = bn.parameter("alpha", bn.Simplex(2))
            m = bn.parameter("m", bn.Real())
            N = bn.parameter("N", bn.Positive())
        with bn.chain("t"):
            c = bn.latent("c", bn.Categorical(alpha[bn.previous("c")]), first=bn.Categorical(gamma))
            bn.observed("X", bn.Normal(m[c], var=N[c]))
    text = bn.emit(net, "latex")
    assert r"\tilde{\gamma}_{t,k} &= P(c_t=k \mid X) = \tilde{\alpha}_{t,k} \beta_{t,k}" in text
    assert r"N_k &\leftarrow" in text
    assert r"p(\tilde{X}, Z \mid \eta)" in text


HOSTILE = 'Costs 5 % of $x_1$ & more: #1 {a} ~ ^ \\input{secret} <b> "q" | é\u202e'


def hostile() -> bn.Network:
    with bn.Network("hostile") as net:
        p = bn.parameter("p", bn.Simplex(["50 %", r"\end{document}"]))
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(p))
    return net


def test_free_text_is_never_a_command() -> None:
    text = escaped(HOSTILE)
    assert r"\input" not in text
    assert text.isascii()
    assert r"5 \% of \$x\_1\$ \& more: \#1 \{a\}" in text
    document = bn.emit(hostile(), "latex")
    assert r"(50 \%, \textbackslash{}end\{document\})" in document
    assert document.count(r"\end{document}") == 1


def test_long_equations_are_broken_between_terms() -> None:
    terms = (r"\ln p(x_n)", *[r"+\sum_{n,k} \gamma_{n,k} \ln p(y_{n,k})"] * 12)
    rows = display(line("Q", terms)).splitlines()[1:-1]
    assert len(rows) > 2
    assert all(width(row.replace("&", "").removesuffix(r" \\")) < LIMIT for row in rows)
    assert " ".join(rows).count(r"\gamma_{n,k}") == 12


def test_what_is_wide_itself_has_a_row_of_its_own() -> None:
    left = " ".join([r"\mathrm{pressure}_n"] * 7)
    rows = display(line(left, left, ("a", "+b"))).splitlines()[1:-1]
    assert rows == [rf"&{left} \\", rf"&\qquad = {left} \\", r"&\qquad = a + b"]
    assert width(left) < LIMIT < 2 * width(left)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_widths_are_those_of_tex(tmp_path: Path) -> None:
    """In the long rows of all derivations. A row that is 8 % wider than told still fits: LIMIT leaves that of the page."""
    texts = [bn.emit(build(), "latex") for build in BUILDS.values()]
    rows = {
        row.replace("&", "") for text in texts for shown in displays(text) for row in shown.split(" \\\\\n")
    }
    long = sorted(row for row in rows if width(row) > LIMIT / 2 and r"\begin" not in row)
    measured = "\n".join(
        rf"\settowidth{{\wide}}{{$\displaystyle {row}$}}\typeout{{wide=\the\wide}}" for row in long
    )
    head = "\\documentclass[11pt]{article}\\usepackage{amsmath}\\newlength{\\wide}\\begin{document}"
    (tmp_path / "widths.tex").write_text(f"{head}\n{measured}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "widths.tex"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    log = (tmp_path / "widths.log").read_text(encoding="latin-1")
    points = [float(found) for found in re.findall(r"^wide=([0-9.]+)pt", log, re.MULTILINE)]
    assert len(points) == len(long) > 100
    for row, found in zip(long, points, strict=True):
        assert 0.92 * found <= width(row) <= 1.2 * found, row


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
@pytest.mark.parametrize("build", [*BUILDS.values(), hostile], ids=[*BUILDS, "hostile"])
def test_tex_sets_it_within_the_page(build: Build, tmp_path: Path) -> None:
    (tmp_path / "derivation.tex").write_text(bn.emit(build(), "latex"), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "derivation.tex"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True)
    log = (tmp_path / "derivation.log").read_text(encoding="latin-1")
    assert finished.returncode == 0, log[-2000:]
    assert "Overfull" not in log


def test_a_shared_parameter_has_one_letter_in_all_its_uses() -> None:
    """q[a] and q[b]: the posterior of both latents stands with its indices exchanged in the second sum."""
    text = bn.emit(BUILDS["hidden_yes"](), "latex")
    first = r"\sum_{n,h} \gamma^{(ab)}_{n,i,h} \left(\frac{h}{q_i} - \frac{1 - h}{1 - q_i}\right)"
    second = r"\sum_{n,h} \gamma^{(ab)}_{n,h,i} \left(\frac{y_n}{q_i} - \frac{1 - y_n}{1 - q_i}\right)"
    assert f"{first} + {second} = 0" in text


def test_every_symbol_stands_for_one_array(network: bn.Network) -> None:
    text = bn.emit(network, "latex")
    names = text[text.index(r"\section{Names in the emitted file}") :]
    symbols = re.findall(r"\$([^$]*)\$ is \\texttt", names)
    assert symbols and len(symbols) == len(set(symbols))
