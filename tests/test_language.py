"""What can be declared, the record it becomes, and the story it tells. What cannot is in bad_models/."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable

import numpy as np
import pytest

import bnlab as bn
from bnlab.domains import Covariance, Integer, Positive, Real, Simplex, Values
from bnlab.network import graph as graphs
from bnlab.network.ir import CPD, Affine, Graph, Parameter, Plate, Prior, Ref, Term, Variable, VarRef
from bnlab.network.text import cpd_text, domain_text, index_letters, values_text


def mixture(components: int = 3, dim: int = 2) -> bn.Network:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(dim))
            Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def chain(states: int = 3) -> bn.Network:
    with bn.Network("chain") as net:
        pi = bn.parameter("pi", bn.Simplex(states))
        with bn.plate("k", states):
            A = bn.parameter("A", bn.Simplex(states))
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def classes() -> bn.Network:
    with bn.Network("classes") as net:
        mu = bn.parameter("mu", bn.Real(2))
        across = bn.parameter("Sigma_ac", bn.Covariance(2))
        within = bn.parameter("Sigma_wc", bn.Covariance(2))
        with bn.plate("speaker"):
            z = bn.latent("z", bn.Normal(mu, cov=across))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(z, cov=within))
    return net


def linear_chain() -> bn.Network:
    with bn.Network("linear_chain") as net:
        F, Q = bn.parameter("F", bn.Real(3, 3)), bn.parameter("Q", bn.Covariance(3))
        H, R = bn.parameter("H", bn.Real(2, 3)), bn.parameter("R", bn.Covariance(2))
        m0, P0 = bn.parameter("m0", bn.Real(3)), bn.parameter("P0", bn.Covariance(3))
        with bn.plate("sequence"), bn.chain("t"):
            y = bn.latent("y", bn.Normal(F @ bn.previous("y"), cov=Q), first=bn.Normal(m0, cov=P0))
            bn.observed("x", bn.Normal(H @ y, cov=R))
    return net


def factors() -> bn.Network:
    with bn.Network("factors") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            W = bn.parameter("W", bn.Real(5, 2))
            mu = bn.parameter("mu", bn.Real(5))
            psi = bn.parameter("psi", bn.Positive(5))
        with bn.plate("n"):
            c = bn.latent("c", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W[c] @ y + mu[c], var=psi[c]))
    return net


NETWORKS = [mixture, chain, classes, linear_chain, factors]

STORIES = {
    mixture: """\
for n in 1..N:
    z[n] ~ Categorical(pi)                       latent
    x[n] ~ Normal(mu[z[n]], cov=Sigma[z[n]])     observed""",
    chain: """\
for s in 1..S:                                             sequence
    for t in 1..T[s]:                                      a chain
        z[s,t] ~ Categorical(A[z[s,t-1]])                  latent; z[s,1] ~ Categorical(pi)
        x[s,t] ~ Normal(mu[z[s,t]], cov=Sigma[z[s,t]])     observed""",
    classes: """\
for s in 1..S:                                   speaker
    z[s] ~ Normal(mu, cov=Sigma_ac)              latent
    for u in 1..U[s]:                            utterance
        x[s,u] ~ Normal(z[s], cov=Sigma_wc)      observed""",
    linear_chain: """\
for s in 1..S:                                   sequence
    for t in 1..T[s]:                            a chain
        y[s,t] ~ Normal(F @ y[s,t-1], cov=Q)     latent; y[s,1] ~ Normal(m0, cov=P0)
        x[s,t] ~ Normal(H @ y[s,t], cov=R)       observed""",
    factors: """\
for n in 1..N:
    c[n] ~ Categorical(pi)                                      latent
    y[n] ~ Normal(zeros(2), cov=eye(2))                         latent
    x[n] ~ Normal(W[c[n]] @ y[n] + mu[c[n]], var=psi[c[n]])     observed""",
}


@pytest.mark.parametrize("make", NETWORKS)
def test_print_tells_the_story(make: Callable[[], bn.Network]) -> None:
    assert str(make()) == STORIES[make]


def test_a_declaration_becomes_its_record() -> None:
    z = VarRef("z")
    mean = Affine((Term(Ref("mu", (z,)), None),))
    assert mixture().graph == Graph(
        "mixture",
        (Plate("k", 3), Plate("n")),
        (
            Parameter("pi", Simplex(3)),
            Parameter("mu", Real((2,)), ("k",)),
            Parameter("Sigma", Covariance(2), ("k",)),
        ),
        (
            Variable("z", "latent", Integer(3), ("n",), CPD("Categorical", (("probs", Ref("pi")),))),
            Variable(
                "x",
                "observed",
                Real((2,)),
                ("n",),
                CPD("Normal", (("mean", mean), ("cov", Ref("Sigma", (z,))))),
            ),
        ),
    )


def test_a_chain_becomes_its_record() -> None:
    z = chain().graph.variable("z")
    assert z.plates == ("sequence", "t") and z.domain == Integer(3)
    assert z.cpd == CPD("Categorical", (("probs", Ref("A", (VarRef("z", 1),))),))
    assert z.first == (CPD("Categorical", (("probs", Ref("pi")),)),)


@pytest.mark.parametrize("make", NETWORKS)
def test_equal_declarations_are_equal(make: Callable[[], bn.Network]) -> None:
    assert make() == make() and hash(make()) == hash(make())
    assert [make() == other() for other in NETWORKS] == [make is other for other in NETWORKS]
    assert pickle.loads(pickle.dumps(make())) == copy.deepcopy(make()) == make()


def test_a_closed_network_does_not_change() -> None:
    net = mixture()
    with pytest.raises(bn.ModelError, match="outside a network"):
        bn.latent("w", bn.Categorical([0.5, 0.5]))
    with pytest.raises(bn.ModelError, match="opened only once"), net:
        pass
    with pytest.raises(AttributeError):
        net.graph = chain().graph  # type: ignore[misc]
    assert net == mixture()


def test_an_open_network_has_no_graph_yet() -> None:
    with bn.Network("open") as net, bn.plate("n"):
        bn.observed("x", bn.Normal(0.0, var=1.0))
        with pytest.raises(bn.ModelError, match="not closed"):
            _ = net.graph
        assert "not closed" in str(net)
    assert net.name == "open"


def test_an_exception_inside_is_not_masked_and_leaves_nothing_open() -> None:
    with pytest.raises(ZeroDivisionError), bn.Network("broken"), bn.plate("n"):
        bn.observed("x", bn.Normal(bn.previous("nothing"), var=1 / 0))
    assert mixture().graph.name == "mixture"
    with pytest.raises(bn.ModelError), bn.Network("wrong"):
        bn.parameter("unused", bn.Real())
    assert mixture().graph.name == "mixture"


def test_networks_are_declared_in_parallel() -> None:
    barrier, made = threading.Barrier(4), []

    def declare(size: int) -> None:
        with bn.Network("parallel") as net, bn.plate("n"):
            barrier.wait(timeout=10)
            bn.observed("x", bn.Normal(bn.zeros(size), var=1.0))
        made.append(net.graph.variable("x").domain)

    threads = [threading.Thread(target=declare, args=(size,)) for size in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(made) == {Real((size,)) for size in (1, 2, 3, 4)}


def test_records_know_their_lines() -> None:
    graph = mixture().graph
    first = mixture.__code__.co_firstlineno
    located = [*graph.parameters, *graph.plates, *graph.variables]
    assert [record.location.line - first for record in located if record.location] == [2, 4, 5, 3, 6, 7, 8]
    cov = graph.variable("x").cpd.argument("cov")  # type: ignore[union-attr]
    assert isinstance(cov, Ref) and cov.location is not None and cov.location.line == first + 8


def test_locations_take_no_part_in_comparison() -> None:
    again: dict[str, object] = {"bn": bn}
    source = (
        "\n\n\nwith bn.Network('one') as net, bn.plate('n'):\n    bn.observed('x', bn.Normal(0.0, var=1.0))"
    )
    exec(source, again)
    with bn.Network("one") as net, bn.plate("n"):
        bn.observed("x", bn.Normal(0.0, var=1.0))
    assert again["net"] == net


def test_common_plates_align_and_others_take_subscripts() -> None:
    with bn.Network("items") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2), bn.plate("item", 5):
            theta = bn.parameter("theta", bn.Simplex(3))
        with bn.plate("n"):
            c = bn.latent("c", bn.Categorical(pi))
            with bn.plate("item"):
                bn.observed("answer", bn.Categorical(theta[c]))
    answer = net.graph.variable("answer")
    ref = Ref("theta", (VarRef("c"),))
    assert answer.plates == ("n", "item")
    assert graphs.alignment(net.graph, ref, answer) == (("item",), ("k",))
    assert str(net).splitlines()[-2:] == [
        "    for i in 1..5:                                   item",
        "        answer[n,i] ~ Categorical(theta[c[n],i])     observed",
    ]


def test_a_chain_of_second_order() -> None:
    with bn.Network("second") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("j", 2):
            B = bn.parameter("B", bn.Simplex(2))
            with bn.plate("k", 2):
                A = bn.parameter("A", bn.Simplex(2))
        with bn.chain("t"):
            bn.latent(
                "z",
                bn.Categorical(A[bn.previous("z", 2), bn.previous("z")]),
                first=(bn.Categorical(pi), bn.Categorical(B[bn.previous("z")])),
            )
    z = net.graph.variable("z")
    assert graphs.max_lag(z) == 2 and len(z.first) == 2
    assert str(net).splitlines()[1].split("~", 1)[1].split() == (
        "Categorical(A[z[t-2],z[t-1]]) latent; z[1] ~ Categorical(pi); z[2] ~ Categorical(B[z[1]])".split()
    )


def test_previous_looks_ahead() -> None:
    """A variable may read the past of one that is declared after it; its shape is found all the same."""
    with bn.Network("ahead") as net:
        F = bn.parameter("F", bn.Real(2, 2))
        with bn.chain("t"):
            bn.observed("x", bn.Normal(bn.previous("y"), var=1.0), first=bn.Normal(bn.zeros(2), var=1.0))
            bn.latent("y", bn.Normal(F @ bn.previous("y"), var=1.0), first=bn.Normal(bn.zeros(2), var=1.0))
    assert [variable.domain for variable in net.graph.variables] == [Real((2,)), Real((2,))]


def mean_of(build: Callable[..., object]) -> str:
    """The mean that `build` makes of everything there is to build one from, as it is written back."""
    with bn.Network("means") as net:
        with bn.plate("k", 2):
            W, b = bn.parameter("W", bn.Real(2, 2)), bn.parameter("b", bn.Real(2))
        with bn.plate("n"):
            c = bn.given("c", bn.Integer(2))
            u, s = bn.given("u", bn.Real(2)), bn.given("s", bn.Real())
            y = bn.latent("y", bn.Normal(b[c] + W[0] @ u, var=1.0))
            bn.observed("x", bn.Normal(build(W=W, b=b, c=c, u=u, s=s, y=y), var=1.0))  # type: ignore[arg-type]
    cpd = net.graph.variable("x").cpd
    assert cpd is not None
    return cpd_text(cpd).removeprefix("Normal(").removesuffix(", var=1)")


@pytest.mark.parametrize(
    ("build", "written"),
    [
        (lambda y, **_: y, "y"),
        (lambda y, **_: -y, "-y"),
        (lambda y, **_: y - y, "y - y"),
        (lambda W, y, c, **_: W[c] @ y, "W[c] @ y"),
        (lambda W, y, c, **_: y @ W[c], "y @ W[c]"),
        (lambda W, y, b, c, **_: W[c] @ y + b[c], "W[c] @ y + b[c]"),
        (lambda W, y, c, b, **_: b[c] - W[c] @ (y + y), "b[c] - W[c] @ y - W[c] @ y"),
        (lambda W, y, c, **_: W[c] @ y + y @ W[1], "W[c] @ y + y @ W[1]"),
        (lambda y, u, **_: u * y, "u * y"),
        (lambda y, u, **_: y * u, "u * y"),
        (lambda b, s, **_: b[0] * s, "b[0] * s"),
        (lambda y, s, **_: s * y, "s * y"),
        (lambda y, **_: 0.5 * y, "0.5 * y"),
        (lambda y, **_: np.float64(0.5) * y, "0.5 * y"),
        (lambda y, **_: -1 * y + 1 * y, "-y + y"),
        (lambda y, **_: np.eye(2) @ y, "eye(2) @ y"),
        (lambda y, **_: y + [1.0, 2.5], "y + [1, 2.5]"),
        (lambda y, **_: np.array([1.0, 2.0]) - y, "[1, 2] - y"),
        (lambda y, c, **_: y + bn.constant(np.eye(2))[c], "y + eye(2)[c]"),
        (lambda y, **_: y + bn.eye(2) @ bn.constant([3.0, 4.0]), "y + [3, 4]"),
        (lambda **_: bn.zeros(2), "zeros(2)"),
    ],
)
def test_means_are_affine(build: Callable[..., object], written: str) -> None:
    assert mean_of(build) == written


def test_arrays_are_copied() -> None:
    array = np.zeros(2)
    with bn.Network("copied") as net, bn.plate("n"):
        bn.observed("x", bn.Normal(array, var=1.0))
        array[:] = 1.0
    mean = net.graph.variable("x").cpd.argument("mean")  # type: ignore[union-attr]
    assert mean == Affine((Term(Ref(Values((2,), (0.0, 0.0))), None),))


def test_named_categories_reach_the_variable() -> None:
    with bn.Network("weather") as net:
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(["dry", "wet"]))
        with bn.chain("t"):
            bn.observed("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical([0.5, 0.5]))
    assert net.graph.variable("z").domain == Integer(2, ("dry", "wet"))


def test_priors_values_and_given_variables() -> None:
    with bn.Network("priors") as net:
        pi = bn.parameter("pi", bn.Simplex(2), prior=bn.Dirichlet(2.0))
        scale = bn.parameter("scale", bn.Positive(), value=1)
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(3), prior=bn.Normal(bn.zeros(3), std=10.0))
            Sigma = bn.parameter("Sigma", bn.Covariance(3), prior=bn.InverseWishart(5, scale=np.eye(3)))
            var = bn.parameter("var", bn.Positive(), prior=bn.InverseGamma([2.0, 3.0], [1.0, 1.0]))
        with bn.plate("n"):
            s = bn.given("s", bn.Positive())
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
            bn.observed("w", bn.Normal(0.0, std=s))
            bn.observed("v", bn.Normal(0.0, var=var[z]))
            bn.observed("u", bn.Normal(0.0, var=scale))
    graph = net.graph
    assert graph.parameter("pi").prior == Prior("Dirichlet", (("concentration", Values((), (2.0,))),))
    assert graph.parameter("scale").value == Values((), (1.0,))
    assert graph.parameter("scale").domain == Positive()
    assert [variable.name for variable in graph.in_role("given")] == ["s"]
    assert str(net).splitlines()[:3] == [
        "pi ~ Dirichlet(2)                                prior",
        "for k in 1..2:",
        "    mu[k] ~ Normal(zeros(3), std=10)             prior",
    ]


def test_a_plate_may_be_reopened_and_variables_stand_in_sized_plates() -> None:
    with bn.Network("reopened") as net:
        with bn.plate("k", 3):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("k"):
            bn.observed("x", bn.Normal(mu, var=1.0))
    assert net.graph.plates == (Plate("k", 3),) and net.graph.variable("x").plates == ("k",)


def collider() -> Graph:
    """a -> c <- b, c -> d, and a, b, c in a chain where a reads its past."""
    with bn.Network("collider") as net, bn.plate("n"), bn.chain("t"):
        a = bn.latent("a", bn.Normal(bn.previous("a"), var=1.0), first=bn.Normal(0.0, var=1.0))
        b = bn.latent("b", bn.Normal(0.0, var=1.0))
        c = bn.latent("c", bn.Normal(a + b, var=1.0))
        bn.observed("d", bn.Normal(c, var=1.0))
    return net.graph


def test_graph_questions() -> None:
    graph = collider()
    assert graphs.parents(graph, "c") == {"a", "b"} and graphs.parents(graph, "a") == {"a"}
    assert graphs.children(graph, "c") == {"d"} and graphs.children(graph, "a") == {"a", "c"}
    assert graphs.ancestors(graph, "d") == {"a", "b", "c"} and graphs.descendants(graph, "b") == {"c", "d"}
    assert graphs.markov_blanket(graph, "b") == {"a", "c"} and graphs.markov_blanket(graph, "d") == {"c"}
    assert graphs.topological_order(graph) == ("a", "b", "c", "d") and graphs.cycle(graph) == ()
    assert graphs.users(mixture().graph, "Sigma") == {"x"}
    d = graph.variable("d")
    assert graphs.chain_of(graph, d) == Plate("t", chain=True)
    assert graphs.sizeless_plates(graph, d) == (Plate("n"), Plate("t", chain=True))


def test_crossed_plates_are_found() -> None:
    with bn.Network("crossed") as net:
        with bn.plate("student"):
            ability = bn.latent("ability", bn.Normal(0.0, var=1.0))
        with bn.plate("question"):
            ease = bn.latent("ease", bn.Normal(0.0, var=1.0))
        with bn.plate("student"), bn.plate("question"):
            bn.observed("x", bn.Normal(ability + ease, var=1.0))
    assert graphs.crossed_plates(net.graph) == (("student", "question"),)
    assert graphs.crossed_plates(classes().graph) == ()


def test_index_letters_are_distinct_and_recall_the_plate() -> None:
    plates = tuple(Plate(name) for name in ("n", "number", "sequence", "t", "speaker", "x_axis"))
    graph = Graph("letters", plates, (Parameter("S", Real()),), (Variable("x", "given", Real()),))
    assert index_letters(graph) == {
        "n": "n",
        "number": "u",
        "sequence": "e",
        "t": "t",
        "speaker": "p",
        "x_axis": "a",
    }


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (0.0, "0"),
        (2.5, "2.5"),
        (1e-8, "1e-08"),
        ([1.0, 2.0], "[1, 2]"),
        (np.zeros((2, 3)), "zeros(2, 3)"),
        (np.eye(3), "eye(3)"),
        (np.ones((3, 4)), "array(3, 4)"),
    ],
)
def test_constants_as_text(values: object, text: str) -> None:
    assert values_text(Values.of(values)) == text  # type: ignore[arg-type]


def test_domains_as_text() -> None:
    written = ["Real()", "Real(2, 3)", "Positive(2)", "Covariance(2)", "Probability()", "Simplex(3)"]
    made = [bn.Real(), bn.Real(2, 3), bn.Positive(2), bn.Covariance(2), bn.Probability(), bn.Simplex(3)]
    assert [domain_text(domain) for domain in made] == written
    assert domain_text(bn.Integer(["a", "b\n"])) == r"Integer(['a', 'b\n'])"


@pytest.mark.parametrize("name", bn.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(bn) and callable(getattr(bn, name))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = bn.nothing  # type: ignore[attr-defined]
