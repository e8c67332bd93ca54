"""The derivation of variational EM as an article: what it says of a few networks, and that all of them can be set."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

import bnlab as bn
from bnlab.inference.vbem import vbem
from bnlab.network.ir import Graph
from tests import gaussian_networks, networks
from tests.laws.variational import subject
from tests.models import model

NETWORKS = {one.name: one for one in (*networks.EXAMPLES, *gaussian_networks.GAUSSIAN)}
MODELS = ("gmm_diagonal", "hmm", "plda", "mixture_plda", "local_linear_trend")
EXAMPLES = tuple(
    """two_causes clinic priors hidden_yes rates_and_chances mixture_unigrams chain_of_mixtures second_order driven_chain
    two_covariances nested_means slopes coefficients mixture_of_groups level_and_slope tied_groups items_of_groups""".split()
)
"""Tables, rates, chances and chains; Gaussian latents alone, in chains, under discrete ones, with data for coefficients."""


@cache
def graph(name: str) -> Graph:
    """A network with a prior on everything that is learnt."""
    if name in NETWORKS:
        return subject(NETWORKS[name]).graph
    found = model(name)
    assert found.example is not None
    return bn.weakly_informative(found.network, found.example()).network.graph


@cache
def article(name: str) -> str:
    return bn.emit(graph(name), "latex_vbem")


def part(text: str, start: str, end: str = r"\section{") -> str:
    return text.partition(start)[2].partition(end)[0]


@pytest.mark.parametrize("name", (*EXAMPLES, *MODELS))
def test_every_hyperparameter_and_every_point_is_set_once(name: str) -> None:
    text, found = article(name), vbem(graph(name))
    fixed = [parameter for parameter in graph(name).parameters if parameter.value is not None]
    point = part(text, r"\section{The E-step}")
    assert point.count(r"\leftarrow") == len(found.program.parameters) - len(fixed)
    updates = re.findall(r"^(.*)&.*\\leftarrow", part(text, r"\section{The M-step}"), re.MULTILINE)
    assert len(updates) == len(set(updates)) == len(found.posterior)
    bound = part(text, r"\section{The bound}")
    assert len(re.findall(r"^D_\S+ &=", bound, re.MULTILINE)) == len(found.learnt)


@pytest.mark.parametrize("name", (*EXAMPLES, *MODELS))
def test_no_symbol_is_defined_twice(name: str) -> None:
    """In the E-step and the M-step together, but for origins of moments and expected precisions, which both have."""
    text = article(name)
    steps = part(text, r"\section{The E-step}", r"\section{The bound}").partition("For this network:")
    rows = re.findall(r"^(\S.*?) &= ", steps[2] or steps[0], re.MULTILINE)
    own = [
        row for row in rows if not row.startswith(("o", r"\bar{\Lambda}", r"\ln", r"\left(V", r"\mathrm{E}"))
    ]
    own = [
        row for row in own if not re.search(r"_\{?([a-z],)?(1|T\w*|T_\{.*\}|t[+-]1)[,}]", row)
    ]  # recursions
    assert len(own) == len(set(own)), sorted(row for row in own if own.count(row) > 1)


@pytest.mark.parametrize("name", (*EXAMPLES, *MODELS))
def test_no_name_of_the_file_stands_in_a_formula(name: str) -> None:
    text = re.sub(r"\\texttt\{(\\.|[^{}])*\}", "", article(name))
    assert r"\_" not in text and not re.search(r"\{[^ {}]* before\}", text)
    bare = re.sub(r"\\[{}$\\]", "", text)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0 and text.isascii()


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_tex_sets_it_within_the_page(tmp_path: Path) -> None:
    for name in (*EXAMPLES, *MODELS):
        (tmp_path / f"{name}.tex").write_text(article(name), encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
        finished = subprocess.run(command, cwd=tmp_path, capture_output=True)
        log = (tmp_path / f"{name}.log").read_text(encoding="latin-1")
        assert finished.returncode == 0, (name, log[-2000:])
        assert "Overfull" not in log, name


def test_groups_read_as_in_the_lecture() -> None:
    text = article("plda")
    for equation in (
        r"q(\Sigma_{ac}) &= \mathcal{W}^{-1}(\nu^{(\Sigma_{ac})}, \Psi^{(\Sigma_{ac})})",
        r"\mathrm{E}[\Sigma^{-1}] &= \nu \Psi^{-1}",
        r"\Sigma_{ac} &\leftarrow \frac{1}{\nu^{(\Sigma_{ac})}} \Psi^{(\Sigma_{ac})}",
        r"+ \operatorname{tr}\left(\bar{\Lambda}^{(z)} V^{(\mu)}\right)\right)",
        r"\left(V^{(z)}_{s}\right)^{-1} &= \Sigma_{ac}^{-1} + U_{s} \Sigma_{wc}^{-1}",
        r"\sum_{u=1}^{U_{s}} \left(\ln \mathcal{N}(e^{(x)}_{s,u}; 0, \Sigma_{wc}) + \kappa^{(x)}\right)",
        r"\hat{V}^{(z)} &= \left(\left({V_0}^{(\mu)}\right)^{-1} + N^{(z)} \bar{\Lambda}^{(z)}\right)^{-1}",
        r"\Psi^{(\Sigma_{wc})} &\leftarrow {\Psi_0}^{(\Sigma_{wc})} + S^{(xx)}",
        r"\operatorname{tr}\left({\Psi_0}^{(\Sigma_{ac})} \left(\Psi^{(\Sigma_{ac})}\right)^{-1}\right) - 4",
    ):
        assert equation in text
    updates = re.findall(r"The update of \$q\((.*)\)\$", text)
    assert updates.index(r"\mu") < updates.index(r"\Sigma_{ac}")  # which is about E[mu]


def test_a_chain_is_a_filter_and_a_smoother() -> None:
    text = article("local_linear_trend")
    for equation in (
        r"\mathrm{E}[1 / \sigma^2] &= \frac{a}{b}",
        r"\zeta &\leftarrow \frac{b^{(\zeta)}}{a^{(\zeta)}}",
        r"\bar{\Phi}_{t+1} &= \mathcal{F} \Phi_{t} \mathcal{F}^{\top} + \mathcal{Q}",
        r"\ln \mathcal{N}(v^{(x)}_{t}; 0, \mathrm{eps}) + \kappa^{(x)} + \ln \rho_{t}",
        r"b^{(\zeta)} &\leftarrow {b_0}^{(\zeta)} + \tfrac{1}{2} S^{(\mathrm{ee},\mathrm{slope})}",
    ):
        assert equation in text


def test_rows_and_columns_of_a_table_have_letters_of_their_own() -> None:
    text = article("hmm")
    assert r"\sum_{j} \sum_{k} \left(\alpha^{(A)}_{j,k} - {\alpha_0}^{(A)}_{j,k}\right)" in text
    assert "k,k" not in text
