"""The derivation in words: the plan, the E-step and the M-step, for every network that EM is derived for."""

from __future__ import annotations

import re

import pytest

import bnlab as bn
from bnlab.errors import IntractableError
from bnlab.inference.plan import Integrate, IntegrateChain, SumChain, SumOut
from bnlab.program.ir import Statement
from tests import networks
from tests.gaussian_networks import linear_chain
from tests.test_latex import BUILDS


@pytest.fixture(params=BUILDS)
def network(request: pytest.FixtureRequest) -> bn.Network:
    return BUILDS[request.param]()


def test_the_story_the_plan_and_both_steps(network: bn.Network) -> None:
    text = str(bn.derive(network))
    assert text.startswith(str(network).rstrip())
    places = [text.index(f"\n{title}\n{'-' * len(title)}\n") for title in ("Plan", "E-step", "M-step")]
    assert places == sorted(places)


def test_the_same_text_every_time(request: pytest.FixtureRequest, network: bn.Network) -> None:
    again = BUILDS[request.node.callspec.params["network"]]()
    assert str(bn.derive(network)) == str(bn.derive(again))


def test_every_step_is_numbered_and_names_what_goes(network: bn.Network) -> None:
    derivation = bn.derive(network)
    text = str(derivation)
    heads = re.findall(r"^(\d+)\. (.*)$", text, flags=re.MULTILINE)
    assert [int(number) for number, _ in heads] == list(range(1, len(derivation.plan.steps) + 1))
    gone = {
        name
        for step in derivation.plan.steps
        for name in (
            (step.variable.name,)
            if isinstance(step, SumOut | Integrate)
            else step.variables
            if isinstance(step, SumChain)
            else (*step.variables, *step.beside)
            if isinstance(step, IntegrateChain)
            else ()
        )
    }
    assert gone == {variable.name for variable in network.graph.in_role("latent")}
    for name in gone:
        assert any(re.search(rf"\b{name}\b", head) for _, head in heads)


def test_every_statement_of_the_program_is_there(network: bn.Network) -> None:
    derivation = bn.derive(network)
    text = str(derivation)
    program = derivation.program
    targets = [
        item.target.name
        for item in (*program.expect.body, *program.m_step.body)
        if isinstance(item, Statement)
    ]
    for name in [*targets, *(field.name for field in program.statistics)]:
        assert re.search(rf"^\s*{name}(\[[^]]*\])? = ", text, flags=re.MULTILINE), name


def test_every_parameter_has_a_new_value(network: bn.Network) -> None:
    text = str(bn.derive(network))
    updates = text[text.index("\nM-step\n") :]
    for parameter in network.graph.parameters:
        found = re.search(rf"^{parameter.name}(\[[^]]*\])? = (.*)$", updates, flags=re.MULTILINE)
        assert found, parameter.name
        assert found[2].rstrip().endswith("fixed") is (parameter.value is not None)


def test_a_mixture_step_by_step() -> None:
    text = str(bn.derive(BUILDS["gmm"]()))
    assert (
        "1. z is summed out for each member of n.\n"
        "   Multiply: ln p(z[n]=k), ln p(x[n] | z[n]=k).\n"
        "   Table:    2 (z) entries for each member.\n"
        "   Leaves:   ln p(x[n]).\n"
        "The evidence for each member of n is ln p(x[n]).\n"
    ) in text
    assert re.search(r"q_z\[n,k\] = exp\(log_p_xz\[n,k\] - log_p_x\[n\]\).* P\(z\[n\]=k \| x\)", text)
    assert "Sxx[k,d,e] = sum_n q_z[n,k] r[n,d] r[n,e]\n" in text


def test_a_chain_tells_its_interface_and_its_factors() -> None:
    text = str(bn.derive(BUILDS["mixture_of_chains"]()))
    assert (
        "1. The chain t is summed out forwards; its interface is z.\n"
        "   First:    ln p(z[s,t]=k | c[s]=i) at the first step.\n"
        "   Later:    ln p(z[s,t]=k | c[s]=i, z[s,t-1]=j).\n"
        "   Every:    ln p(x[s,t] | z[s,t]=k).\n"
        '   Table:    2 (c) x 3 (previous("z")) x 3 (z) = 18 entries for each member.\n'
        "   Leaves:   ln p(x[s,:] | c[s]=i).\n"
        "2. c is summed out for each member of sequence.\n"
    ) in text


def test_a_plate_is_left_by_multiplying_its_members() -> None:
    text = str(bn.derive(BUILDS["group_and_row"]()))
    assert "2. The members of n are independent given what remains, so their factors multiply.\n" in text
    assert "log_p_x_given_c_in_group[g,i] = sum_{n in g} log_p_x_given_c[n,i]" in text


def test_nothing_latent_is_counting() -> None:
    assert "EM is counting, and one iteration is enough." in str(bn.derive(BUILDS["fully_observed"]()))


@pytest.mark.parametrize("example", networks.LATER, ids=lambda example: example.name)
def test_what_is_not_derived_is_refused_by_name(example: networks.Example) -> None:
    network = example.build()
    with pytest.raises(
        IntractableError, match=f"`{network.graph.in_role('latent', 'observed')[-1].name}`|`z`"
    ):
        bn.derive(network)


def test_a_notebook_shows_the_text_not_markup() -> None:
    with bn.Network("small") as net:
        p = bn.parameter("p", bn.Simplex(["<b>", "&"]))
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(p))
    shown = bn.derive(net)._repr_html_()
    assert shown.startswith("<pre>")
    assert "<" not in shown.removeprefix("<pre>").removesuffix("</pre>")


def test_shared_parameters_whose_subscripts_do_not_go_together_are_refused() -> None:
    with bn.Network("shared") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            y = bn.latent("y", bn.Categorical(pi))
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
            bn.observed("w", bn.Normal(mu[y], var=v[z]))
    with pytest.raises(bn.IntractableError, match="`mu`, `v` are shared by several variables"):
        bn.derive(net)


def test_transposed_factors_have_their_own_indices() -> None:
    """Sums within sums, of arrays read with their axes in another order."""
    text = str(bn.derive(linear_chain()))
    assert (
        "C[t,g,h] = sum_o sum_a B[t,g,a] V[t-1,a,o] B[t,h,o] + sum_f sum_e G[t,g,e] Q[e,f] G[t,h,f]" in text
    )  # B V B' + G Q G'
    assert "next P[d,e] = sum_h sum_g F[d,g] V[g,h] F[e,h] + Q[d,e]" in text  # F V F' + Q


def test_a_latent_that_nothing_observed_depends_on_leaves_1() -> None:
    with bn.Network("barren") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("k", 2):
            A, mu = bn.parameter("A", bn.Simplex(2)), bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(p))
            bn.latent("w", bn.Categorical(A[z]))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
    assert "log_one_given_z = logsumexp(log_p_w_given_z, axis=-1)  # ln 1: sums out w" in bn.emit(net, "em")
    assert r"\ln 1 &= \ln \sum_{g} p(w_n=g \mid z_n=k)" in bn.emit(net, "latex")


@pytest.mark.parametrize("fixed", [False, True])
def test_a_mean_that_nothing_varies_about_cannot_be_learnt(fixed: bool) -> None:
    """EM would keep it where it starts, at a likelihood that is not the maximum."""
    with bn.Network("still") as net:
        F = bn.parameter("F", bn.Real(2, 2), value=[[1.0, 0.0], [0.0, 1.0]] if fixed else None)
        R = bn.parameter("R", bn.Covariance(2))
        Q = bn.constant([[1.0, 0.0], [0.0, 0.0]])
        with bn.plate("series"), bn.chain("t"):
            y = bn.latent(
                "y", bn.Normal(F @ bn.previous("y"), cov=Q), first=bn.Normal(bn.zeros(2), cov=bn.eye(2))
            )
            bn.observed("x", bn.Normal(y, cov=R))
    if fixed:
        assert "m_step" in bn.emit(net, "em")
        return
    with pytest.raises(IntractableError, match=r"`F` is learnt in the mean of y, whose cov= .*\n.*Fix `F`"):
        bn.emit(net, "em")


def test_a_latent_count_is_refused_with_what_to_do() -> None:
    """NUTS cannot sample it either."""
    with bn.Network("counts") as net:
        rate, b, v = (
            bn.parameter("rate", bn.Positive()),
            bn.parameter("b", bn.Real()),
            bn.parameter("v", bn.Positive()),
        )
        with bn.plate("n"):
            y = bn.latent("y", bn.Poisson(rate))
            bn.observed("x", bn.Normal(b * y, var=v))
    with pytest.raises(bn.IntractableError, match="`y` is Poisson, a count without an end") as error:
        bn.derive(net)
    assert "Categorical over the counts" in str(error.value) and "NUTS" not in str(error.value)


def test_a_switching_linear_system_is_not_sent_in_a_circle() -> None:
    with bn.Network("switching") as net:
        pi, v = bn.parameter("pi", bn.Simplex(2)), bn.parameter("v", bn.Positive())
        with bn.plate("k", 2):
            A, f = bn.parameter("A", bn.Simplex(2)), bn.parameter("f", bn.Real())
        with bn.plate("s"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(f[z] * bn.previous("y"), var=1.0), first=bn.Normal(0.0, var=1.0))
            bn.observed("x", bn.Normal(y, var=v))
    for ask in (bn.derive, lambda net: bn.emit(net, "numpyro")):
        with pytest.raises(bn.IntractableError, match="outside the chain") as error:
            ask(net)
        assert "emit" not in str(error.value) and "marginal_model" not in str(error.value)
