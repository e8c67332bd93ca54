"""The derivation with Gaussian latents: completing the square, filters and smoothers, regression on expected moments."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import bnlab as bn
from tests import gaussian_networks as gaussian
from tests import models
from tests.networks import Example

EXAMPLES = gaussian.GAUSSIAN
SAMPLE = (
    gaussian.two_covariances,
    gaussian.mixture_of_factors,
    gaussian.linear_chain,
    gaussian.eight_schools,
    gaussian.slopes,
    gaussian.partly_fixed,
    gaussian.level_and_slope,
    gaussian.coupled_chains,
    gaussian.group_above_classes,
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_balanced(example: Example) -> None:
    text = bn.emit(example.build(), "latex")
    bare = re.sub(r"\\[{}$\\]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.count(r"\left") - text.count(r"\leftarrow") == text.count(r"\right")
    assert text.count(r"\begin") == text.count(r"\end")
    assert text.isascii()


@pytest.mark.parametrize("build", SAMPLE, ids=lambda build: build.__name__)
def test_it_is_set_without_errors(build: Callable[[], bn.Network], tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    (tmp_path / "network.tex").write_text(bn.emit(build(), "latex"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "network.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    log = (tmp_path / "network.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Overfull" not in log


def test_no_name_of_the_file_stands_in_a_formula() -> None:
    """What is the same for every member of a group is written with the group's symbol."""
    text = bn.emit(gaussian.group_above_classes(), "latex")
    assert r"N^{(c,x)}_{k} &= \sum_{g,r} \gamma_{g,k}" in text
    assert r"in\_row" not in text.partition(r"\section{Names in the emitted file}")[0].replace(
        r"\texttt{", ""
    )


def test_posterior_precision_is_a_sum() -> None:
    text = bn.emit(gaussian.two_covariances(), "latex")
    assert r"\Lambda^{(z)}_{g} &= R_{g} \Sigma_{wc}^{-1}" in text
    assert r"\left(V^{(z)}_{g}\right)^{-1} &= \Sigma_{ac}^{-1} + R_{g} \Sigma_{wc}^{-1}" in text
    assert r"d^{(z)}_{g} &= \Sigma_{ac} \nu^{(z)}_{g}" in text


def test_filter_and_smoother_are_recursions() -> None:
    text = bn.emit(gaussian.linear_chain(), "latex")
    assert r"\bar{\Phi}_{t+1} &= F \Phi_{t} F^{\top} + Q" in text
    assert (
        r"f_{s,t} &= \bar{f}_{s,t} + \Phi_{t} \left(h^{(y)}_{s,t} - \Lambda^{(y)} \bar{f}_{s,t}\right)"
        in text
    )
    assert r"G_{t} &= \Phi_{t-1} F^{\top} \bar{\Phi}_{t}^{-1}" in text
    assert r"C_{t} &= B_{t} \Phi_{t-1} B_{t}^{\top} + G_{t} Q G_{t}^{\top}" in text
    assert r"g_{s,t-1} &= f_{s,t-1} + G_{t} \left(g_{s,t} - \bar{f}_{s,t}\right)" in text
    assert r"\mathcal{W}'_{t} &= n_{t} C_{t} + G_{t} \mathcal{W}_{t} G_{t}^{\top}" in text
    assert r"\mathcal{W}_{t-1} &= \mathcal{W}'_{t} + n^{\mathrm{end}}_{t} \Phi_{t-1}" in text


def test_messages_of_a_discrete_chain_are_equations_beside_gaussian_latents() -> None:
    text = bn.emit(models.model("hmm_factor_analysis").network, "latex")
    assert r"\bar{\alpha}_{s,t,k} &= \sum_{j} \alpha_{s,t-1,j} A_{j,k}" in text
    assert r"\beta_{s,t-1,j} &= \sum_{k} \frac{\beta_{s,t,k} b_{s,t,k} A_{j,k}}{c_{s,t}}" in text
    assert r"N^{(zz)}_{j,k} &= \sum_{s,t\ge 2} \xi_{s,t,j,k}" in text


def test_a_shared_basis_and_all_rows_together_are_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnlab.inference.pooled.MANY", 1)
    monkeypatch.setattr("bnlab.inference.integrate.WIDE", 1)
    text = bn.emit(gaussian.two_covariances(), "latex")
    assert r"(T^{(z)})^{\top} \Sigma_{wc}^{-1} T^{(z)} &= \operatorname{diag}(\lambda^{(z)})" in text
    assert r"\sum_{g,r} \ln \mathcal{N}(e^{(x)}_{g,r}; 0, \Sigma_{wc})" in text
    assert "texttt{shrink" not in text.partition("Names in the emitted file")[0]
    classes = bn.emit(models.model("mixture_plda").network, "latex")
    assert r"\sigma^{(z)}_{s,k} &= \frac{1}{1 + U_{s} \lambda^{(z)}_{k}}" in classes


def test_products_of_latents_have_their_covariance_added() -> None:
    text = bn.emit(gaussian.linear_chain(), "latex")
    assert r"\sum_{s,t} e^{(x)}_{s,t} (e^{(x)}_{s,t})^{\top} + \sum_{t} H \mathcal{W}_{t} H^{\top}" in text


def test_what_is_no_linear_algebra_is_quoted() -> None:
    text = bn.emit(gaussian.unequal_spreads(), "latex")
    assert r"\texttt{moments\_W\_W = (Syy[d,D] precision\_x[g,G]" in text


def test_a_given_matrix_is_not_taken_for_one_of_the_derivation_by_its_name() -> None:
    """`C` is what the derivation calls covariances, which are symmetric; the loadings that a user calls `C` are not."""
    texts = {}
    for name in ("C", "H"):
        with bn.Network("rows") as net:
            s2 = bn.parameter("s2", bn.Positive())
            with bn.plate("n"):
                loading = bn.given(name, bn.Real(3, 2))
                z = bn.latent("z", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
                bn.observed("x", bn.Normal(loading @ z, var=s2))
        texts[name] = bn.emit(net, "latex")
    assert texts["H"].count("H_n^{\\top}") > 1
    assert texts["C"].count("C_n^{\\top}") == texts["H"].count("H_n^{\\top}")


def test_a_prior_covariance_may_be_called_like_the_precision_of_what_is_seen() -> None:
    with bn.Network("rows") as net:
        Lambda_0 = bn.parameter("Lambda_0", bn.Covariance(2))
        Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(bn.zeros(2), cov=Lambda_0))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, cov=Sigma))
    text = bn.emit(net, "latex")
    assert r"\Lambda_0^{-1} + \Lambda_0" not in text
    assert re.search(r"\\Lambda_0\^\{-1\} \+ .*\\Sigma\^\{-1\}", text)
