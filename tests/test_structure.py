"""What a graph tells: parents, blankets, orders and independence, against networkx; and networks to other tools and back."""

from __future__ import annotations

import itertools
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import bnlab as bn
from bnlab.inference.cliques import junction_tree

DATA = Path(__file__).parents[1] / "data"


def random_dag(seed: int, nodes: int = 7) -> nx.DiGraph:
    rng = np.random.default_rng(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(f"x{i}" for i in range(nodes))
    pairs = itertools.combinations(rng.permutation(nodes).tolist(), 2)
    graph.add_edges_from((f"x{i}", f"x{j}") for i, j in pairs if rng.random() < 0.35)
    return graph


def is_open(graph: nx.DiGraph, path: tuple[str, ...], x: str, y: str, given: set[str]) -> bool:
    """Whether a path is one from x to y that nothing blocks; or there is none, and none can be."""
    if not path:
        return nx.is_d_separator(graph, {x}, {y}, given)
    assert (path[0], path[-1], len(set(path))) == (x, y, len(path))
    for before, middle, after in zip(path, path[1:], path[2:], strict=False):
        if graph.has_edge(before, middle) and graph.has_edge(after, middle):
            if not given & (nx.descendants(graph, middle) | {middle}):
                return False
        elif middle in given:
            return False
    return all(graph.has_edge(a, b) or graph.has_edge(b, a) for a, b in itertools.pairwise(path))


@pytest.mark.parametrize("seed", range(8))
def test_structure_is_that_of_networkx(seed: int) -> None:
    graph = random_dag(seed)
    net = bn.from_networkx(graph, states=2)
    for name in graph:
        assert net.parents(name) == set(graph.predecessors(name))
        assert net.children(name) == set(graph.successors(name))
        assert net.ancestors(name) == nx.ancestors(graph, name)
        assert net.descendants(name) == nx.descendants(graph, name)
        moral = nx.moral_graph(graph)
        assert net.markov_blanket(name) == set(moral.neighbors(name))
    order = net.topological_order()
    assert all(order.index(a) < order.index(b) for a, b in graph.edges)
    rng = np.random.default_rng(seed)
    for _ in range(60):
        x, y, *given = rng.permutation(list(graph))[: rng.integers(2, 6)].tolist()
        assert net.d_separated(x, y, given) == nx.is_d_separator(graph, {x}, {y}, set(given))
        assert is_open(graph, net.open_path(x, y, given), x, y, set(given))


def test_asia_says_what_its_story_says() -> None:
    net = bn.read(DATA / "asia.bif")
    assert net.d_separated("asia", "smoke")
    assert not net.d_separated("asia", "smoke", "dysp")
    assert net.open_path("asia", "smoke") == ()
    assert net.open_path("asia", "smoke", "xray") == ("asia", "tub", "either", "lung", "smoke")
    assert net.d_separated(["asia", "tub"], "dysp", ["either", "bronc"])
    with pytest.raises(bn.ModelError, match="two sides"):
        net.d_separated("asia", "asia")
    with pytest.raises(bn.ModelError, match='Did you mean "smoke"'):
        net.parents("smok")


def test_a_variable_of_a_chain_stands_for_all_of_its_steps() -> None:
    """x reads y one step back, and y reads z two steps back: influence arrives only after three."""
    with bn.Network("slow") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("k", 2):
            a = bn.parameter("A", bn.Simplex(2))
            b = bn.parameter("B", bn.Simplex(2))
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(p))
            y = bn.latent(
                "y", bn.Categorical(a[bn.previous("z", 2)]), first=(bn.Categorical(p), bn.Categorical(p))
            )
            bn.latent("x", bn.Categorical(b[bn.previous("y")]), first=bn.Categorical(p))
            bn.observed("w", bn.Categorical(p))
    assert z is not y
    assert not net.d_separated("x", "z")
    assert net.d_separated("x", "z", "y")
    assert net.open_path("x", "z") == ("x", "y", "z")
    assert net.d_separated("x", "w")


@pytest.mark.parametrize("seed", range(8))
def test_a_junction_tree_holds_every_family_and_each_variable_in_one_piece(seed: int) -> None:
    net = bn.from_networkx(random_dag(seed, nodes=9), states=2)
    tree = junction_tree(net.graph)
    cliques = [{ref.name for ref in clique.variables} for clique in tree]
    assert not any(a < b or (a == b and i != j) for i, a in enumerate(cliques) for j, b in enumerate(cliques))
    for name in net.topological_order():
        assert any({name, *net.parents(name)} <= clique for clique in cliques)
    edges = nx.Graph()
    edges.add_nodes_from(range(len(tree)))
    edges.add_edges_from((i, clique.towards) for i, clique in enumerate(tree) if clique.towards is not None)
    assert nx.is_forest(edges)
    for i, clique in enumerate(tree):
        if clique.towards is not None:
            assert {ref.name for ref in clique.separator} == cliques[i] & cliques[clique.towards]
    for name in net.topological_order():
        assert nx.is_connected(edges.subgraph([i for i, clique in enumerate(cliques) if name in clique]))


def test_the_junction_tree_of_asia_is_the_published_one() -> None:
    """The six cliques of Lauritzen & Spiegelhalter's figure, and what they share on the picture."""
    net = bn.read(DATA / "asia.bif")
    drawing = bn.draw(net, view="cliques")
    shown = {node.symbol.title for node in drawing.picture.nodes if node.kind == "latent"}
    assert {frozenset(title.split(", ")) for title in shown} == {
        frozenset(clique)
        for clique in (
            ("asia", "tub"),
            ("tub", "lung", "either"),
            ("lung", "bronc", "either"),
            ("smoke", "lung", "bronc"),
            ("bronc", "either", "dysp"),
            ("either", "xray"),
        )
    }
    assert drawing.picture.notes == ("6 cliques; the largest table has 8 entries.",)
    assert "lung, bronc" in drawing.svg and "lung, bronc" in drawing.tex


def test_an_answer_is_shown_on_the_picture() -> None:
    net = bn.read(DATA / "asia.bif")
    drawing = bn.draw(net, highlight=net.markov_blanket("lung"))
    assert {node.id for node in drawing.picture.nodes if node.marked} == {"smoke", "tub", "either"}
    assert drawing.svg.count("#c0392b") == drawing.tex.count("very thick") == 3
    with pytest.raises(bn.BnlabError, match='Did you mean "lung"'):
        bn.draw(net, highlight="lnug")


@pytest.mark.parametrize("name", ["asia", "alarm", "insurance"])
def test_networkx_and_back(name: str) -> None:
    net = bn.read(DATA / f"{name}.bif")
    graph = bn.to_networkx(net)
    assert nx.is_directed_acyclic_graph(graph)
    assert bn.from_networkx(graph) == net
    hidden = net.hide(net.topological_order()[0])
    assert bn.from_networkx(bn.to_networkx(hidden)) == hidden


def test_networkx_without_states_is_refused() -> None:
    graph = nx.DiGraph([("a", "b")])
    with pytest.raises(bn.ModelError, match='"a" has no states'):
        bn.from_networkx(graph)
    graph.add_edge("b", "a")
    with pytest.raises(bn.ModelError):
        bn.from_networkx(graph, states=2)
    wrong = nx.DiGraph()
    wrong.add_node("a", states=2, table=[0.5, 0.25, 0.25])
    with pytest.raises(bn.ModelError, match="shape"):
        bn.from_networkx(wrong)


def test_roles_change_and_values_come_along() -> None:
    net = bn.read(DATA / "asia.bif")
    hidden = net.hide("lung")
    assert hidden.graph.variable("lung").role == "latent"
    assert hidden.observe("lung") == net
    assert hidden.known == net.known
    with pytest.raises(bn.ModelError, match="no random variable"):
        net.hide("lungs")
    with pytest.raises(bn.ModelError, match="sums to 1.1"):
        net.with_parameters({"P_smoke": [0.5, 0.6]})
    changed = net.with_parameters({**net.parameters, "P_smoke": np.array([0.4, 0.6])})
    assert changed != net
    assert changed.parameters["P_smoke"].tolist() == [0.4, 0.6]


def test_a_fit_starts_at_the_tables_of_the_file() -> None:
    net = bn.read(DATA / "asia.bif")
    data = bn.sample(net, net.parameters, sizes={"n": 50}, seed=1)
    fit = bn.fit(net, data, max_iter=0, progress=False)
    assert all(np.array_equal(fit.parameters[name], table) for name, table in net.parameters.items())
    other = bn.fit(net, data, init="data", max_iter=0, progress=False)
    assert not np.array_equal(other.parameters["P_smoke"], net.parameters["P_smoke"])
    with_names = {name: np.array(["yes", "no"])[values] for name, values in data.items()}
    assert bn.fit(net, with_names, max_iter=0, progress=False).log_likelihood == fit.log_likelihood


@pytest.mark.peers
@pytest.mark.parametrize("name", ["asia", "alarm", "insurance"])
def test_pgmpy_and_back(name: str) -> None:
    pytest.importorskip("pgmpy")
    net = bn.read(DATA / f"{name}.bif")
    model = bn.to_pgmpy(net)
    assert model.check_model()
    assert bn.from_pgmpy(model, name) == net


@pytest.mark.peers
@pytest.mark.parametrize("name", ["asia", "alarm", "insurance"])
def test_pyagrum_and_back(name: str) -> None:
    pytest.importorskip("pyagrum")
    net = bn.read(DATA / f"{name}.bif")
    assert bn.from_pyagrum(bn.to_pyagrum(net), name) == net


@pytest.mark.peers
@pytest.mark.parametrize("suffix", [".bif", ".bifxml"])
def test_peers_read_what_is_written(suffix: str, tmp_path: Path) -> None:
    gum = pytest.importorskip("pyagrum")
    net = bn.read(DATA / "alarm.bif")
    bn.write(net, tmp_path / f"alarm{suffix}")
    model = gum.loadBN(str(tmp_path / f"alarm{suffix}"))
    ours = bn.to_pyagrum(net)
    for name in net.topological_order():
        theirs = model.cpt(name).reorganize(list(ours.cpt(name).names)).toarray()
        assert theirs == pytest.approx(
            ours.cpt(name).toarray(), abs=1e-6
        )  # pyAgrum reads BIF in single precision


@pytest.mark.peers
@pytest.mark.parametrize("suffix", ["bif", "bifxml", "uai"])
def test_what_peers_write_is_read(suffix: str, tmp_path: Path) -> None:
    gum = pytest.importorskip("pyagrum")
    net = bn.read(DATA / "insurance.bif")
    path = tmp_path / f"insurance.{suffix}"
    gum.saveBN(bn.to_pyagrum(net), str(path))
    again = bn.read(path)
    if suffix == "uai":
        return
    assert set(again.topological_order()) == set(net.topological_order())
    ours, theirs = bn.to_networkx(net), bn.to_networkx(again)
    for name, attributes in ours.nodes(data=True):
        parents = theirs.nodes[name]["parents"]
        axes = [parents.index(parent) for parent in attributes["parents"]]
        table = theirs.nodes[name]["table"].transpose(*axes, len(axes))
        assert table == pytest.approx(attributes["table"], abs=1e-4)  # pyAgrum writes a few digits
