"""Pictures: what is drawn, as data; where it stands; and the files. Never pixels, which depend on the machine's fonts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

import bnlab as bn
from bnlab import drawing, render
from bnlab.domains import Integer, Real, Simplex, Values
from bnlab.inference.cliques import junction_tree
from bnlab.network.ir import CPD, Affine, Graph, Parameter, Plate, Ref, Term, Variable
from bnlab.notation import split, tex
from bnlab.printers.base import registry
from bnlab.printers.dot import VIEWS, source, text
from bnlab.printers.geometry import around, overlap, trace, within
from bnlab.printers.moral import moral
from bnlab.printers.picture import Box, Edge, Node, Symbol, relations
from bnlab.printers.plates import plates
from bnlab.printers.shapes import covers, size
from bnlab.printers.unrolled import unrolled
from tests.networks import EXAMPLES, LATER
from tests.random_networks import random_network


def sets_tikz() -> bool:
    """Whether the machine's TeX has TikZ, which comes in a package of its own."""
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return False
    return subprocess.run(["kpsewhich", "tikz.sty"], capture_output=True).returncode == 0


def two_covariances() -> bn.Network:
    with bn.Network("two_covariances") as net:
        mu = bn.parameter("mu", bn.Real(2))
        Sigma_ac = bn.parameter("Sigma_ac", bn.Covariance(2))
        Sigma_wc = bn.parameter("Sigma_wc", bn.Covariance(2))
        with bn.plate("speaker"):
            z = bn.latent("z", bn.Normal(mu, cov=Sigma_ac))
            with bn.plate("utterance"):
                bn.observed("x", bn.Normal(z, cov=Sigma_wc))
    return net


def linear_system() -> bn.Network:
    with bn.Network("linear_system") as net:
        m0, P0 = bn.parameter("m0", bn.Real(2)), bn.parameter("P0", bn.Covariance(2))
        F, Q = bn.parameter("F", bn.Real(2, 2)), bn.parameter("Q", bn.Covariance(2))
        H, R = bn.parameter("H", bn.Real(1, 2)), bn.parameter("R", bn.Covariance(1))
        with bn.plate("sequence"), bn.chain("t"):
            y = bn.latent("y", bn.Normal(F @ bn.previous("y"), cov=Q), first=bn.Normal(m0, cov=P0))
            bn.observed("x", bn.Normal(H @ y, cov=R))
    return net


def factor_analysers() -> bn.Network:
    with bn.Network("factor_analysers") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            W, mu = bn.parameter("W", bn.Real(4, 2)), bn.parameter("mu", bn.Real(4))
            psi = bn.parameter("psi", bn.Positive(4))
        with bn.plate("n"):
            c = bn.latent("c", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W[c] @ y + mu[c], var=psi[c]))
    return net


def regression() -> bn.Network:
    with bn.Network("regression") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            w, b = bn.parameter("w", bn.Real(3)), bn.parameter("b", bn.Real())
        sigma = bn.parameter("sigma", bn.Positive(), value=0.5)
        with bn.plate("n"):
            u = bn.given("u", bn.Real(3))
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("y", bn.Normal(w[c] @ u + b[c], std=sigma))
    return net


def crossed() -> bn.Network:
    with bn.Network("crossed") as net:
        sigma2, tau2 = bn.parameter("sigma2", bn.Positive()), bn.parameter("tau2", bn.Positive())
        with bn.plate("student"):
            a = bn.latent("a", bn.Normal(0.0, var=sigma2))
        with bn.plate("question"):
            d = bn.latent("d", bn.Normal(0.0, var=tau2))
        with bn.plate("student"), bn.plate("question"):
            bn.observed("x", bn.Normal(a + d, var=1.0))
    return net


def long_names() -> bn.Network:
    with bn.Network("long_names") as net:
        weather = bn.parameter("weather_table", bn.Simplex(2))
        with bn.plate("k", 2):
            grass = bn.parameter("grass_table", bn.Simplex(2))
        with bn.plate("garden"):
            rain = bn.latent("precipitation", bn.Categorical(weather))
            bn.observed("wetness_of_grass", bn.Categorical(grass[rain]))
    return net


HERE = (two_covariances, linear_system, factor_analysers, regression, crossed, long_names)
BUILDS: dict[str, Callable[[], bn.Network]] = {
    **{example.name: example.build for example in (*EXAMPLES, *LATER)},
    **{build.__name__: build for build in HERE},
}
BUILDS |= {
    f"random_{seed}": lambda seed=seed: random_network(np.random.default_rng(seed))[0] for seed in range(8)
}
each_network = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
each_view = pytest.mark.parametrize("view", VIEWS)


class TestNotation:
    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("z", "z"),
            ("mu", r"\mu"),
            ("Sigma_ac", r"\Sigma_{ac}"),
            ("m0", "m_0"),
            ("W1", "W_1"),
            ("pi_a", r"\pi_a"),
            ("beta_mu", r"\beta_{\mu}"),
            ("sigma2", r"\sigma^2"),
            ("sigma2_c", r"\sigma_c^2"),
            ("lam", r"\lambda"),
            ("topic", r"\mathrm{topic}"),
            ("m_prior", r"m_{\mathrm{prior}}"),
            ("x2y", r"\mathrm{x2y}"),
            ("Alpha", r"\mathrm{Alpha}"),  # TeX has no command for it: it looks like an A
        ],
    )
    def test_names_in_tex(self, name: str, written: str) -> None:
        assert tex(name) == written

    def test_indices_follow_subscripts(self) -> None:
        assert tex("Sigma_ac", ("k",)) == r"\Sigma_{ac,k}"
        assert tex("z", ("s", "t-1")) == "z_{s,t-1}"

    def test_parts(self) -> None:
        assert split("tau2_b") == ("tau", ("b",), "2")


class TestPlates:
    """The middle step, compared as data."""

    def test_mixture(self) -> None:
        n, k = Symbol("n"), Symbol("k")
        picture = plates(BUILDS["mixture_full"]().graph)
        assert picture.nodes == (
            Node("pi", "parameter", Symbol("pi")),
            Node("mu", "parameter", Symbol("mu", (k,)), ("k",)),
            Node("Sigma", "parameter", Symbol("Sigma", (k,)), ("k",)),
            Node("z", "latent", Symbol("z", (n,)), ("n",)),
            Node("x", "observed", Symbol("x", (n,)), ("n",)),
        )
        assert picture.edges == (Edge("pi", "z"), Edge("mu", "x"), Edge("Sigma", "x"), Edge("z", "x"))
        assert picture.boxes == (Box(("k",), "k", Symbol("2")), Box(("n",), "n", Symbol("N")))
        assert picture.rows == () and picture.notes == ()

    def test_chain_has_two_slices(self) -> None:
        picture = plates(BUILDS["chain_gaussian"]().graph)
        assert picture.rows == (("z[-1]", "z"),)
        (echo,) = (node for node in picture.nodes if node.echo)
        assert echo.symbol == Symbol("z", (Symbol("s"), Symbol("t", minus=1)))
        assert Edge("z[-1]", "z", "level") in picture.edges
        assert Edge("pi", "z", note="t = 1") in picture.edges

    def test_lags_of_a_second_order_chain(self) -> None:
        picture = plates(BUILDS["second_order"]().graph)
        assert picture.rows == (("z[-2]", "z[-1]", "z"),)
        notes = {edge.note for edge in picture.edges if edge.target == "z"}
        assert notes == {"", "t = 1", "t = 2"}

    def test_bounds_of_nested_plates_are_ragged(self) -> None:
        picture = plates(two_covariances().graph)
        assert picture.boxes == (
            Box(("speaker",), "s", Symbol("S"), "speaker"),
            Box(("speaker", "utterance"), "u", Symbol("U", (Symbol("s"),)), "utterance"),
        )

    def test_given_and_fixed(self) -> None:
        kinds = {node.id: (node.kind, node.value) for node in plates(regression().graph).nodes}
        assert kinds["u"] == ("given", "")
        assert kinds["sigma"] == ("fixed", "0.5")
        assert kinds["w"] == ("parameter", "")

    def test_crossed_plates_are_drawn_twice_and_said_so(self) -> None:
        picture = plates(crossed().graph)
        assert [box.path for box in picture.boxes if box.repeated] == [("question",), ("student", "question")]
        assert all(box.bound == Symbol("Q") for box in picture.boxes if box.index == "q")
        assert picture.notes == ("Plate question crosses plate student, so it is drawn again inside it.",)

    def test_parameter_in_its_own_boxes_crosses_nothing(self) -> None:
        picture = plates(BUILDS["naive_bayes"]().graph)
        assert picture.notes == ()
        assert not any(box.repeated for box in picture.boxes)


class TestUnrolled:
    def test_chain_is_a_strip(self) -> None:
        picture = unrolled(BUILDS["chain_gaussian"]().graph)
        strip = ("z[1]", "z[2]", "z[…]", "z[last]")
        assert picture.rows[0] == strip
        along = [(edge.source, edge.target) for edge in picture.edges if edge.direction == "level"]
        assert along == list(zip(strip, strip[1:], strict=False))

    def test_first_steps_have_their_own_parameters(self) -> None:
        edges = {(edge.source, edge.target) for edge in unrolled(BUILDS["chain_gaussian"]().graph).edges}
        assert ("pi", "z[1]") in edges and ("A", "z[2]") in edges and ("A", "z[last]") in edges
        assert ("pi", "z[2]") not in edges and ("A", "z[1]") not in edges

    def test_dots_read_all_steps_that_a_step_between_reads(self) -> None:
        with bn.Network("lag_2") as net:
            pi = bn.parameter("pi", bn.Simplex(2))
            with bn.plate("k", 2):
                A = bn.parameter("A", bn.Simplex(2))
            with bn.chain("t"):
                first = [bn.Categorical(pi), bn.Categorical(pi)]
                bn.observed("x", bn.Categorical(A[bn.previous("x", 2)]), first=first)
        along = {(edge.source, edge.target) for edge in unrolled(net.graph).edges if "x" in edge.source}
        dots = {("x[2]", "x[…]"), ("x[3]", "x[…]")}
        assert along == {("x[1]", "x[3]"), *dots, ("x[…]", "x[last]")}

    def test_members_read_their_own_outer_member(self) -> None:
        edges = {(edge.source, edge.target) for edge in unrolled(two_covariances().graph).edges}
        assert ("z[1]", "x[1,2]") in edges and ("z[last]", "x[last,1]") in edges
        assert ("z[1]", "x[last,1]") not in edges

    def test_small_plates_have_no_dots(self) -> None:
        with bn.Network("three_items") as net:
            with bn.plate("item", 3):
                theta = bn.parameter("theta", bn.Simplex(2))
            with bn.plate("n"), bn.plate("item"):
                bn.observed("x", bn.Categorical(theta))
        ids = [node.id for node in unrolled(net.graph).nodes if node.id.startswith("theta")]
        assert ids == ["theta[1]", "theta[2]", "theta[3]"]


class TestMoral:
    def test_parents_of_one_child_are_joined_once(self) -> None:
        picture = moral(BUILDS["second_order"]().graph)
        assert [node.id for node in picture.nodes] == ["z[-2]", "z[-1]", "z", "x"]
        joined = [(edge.source, edge.target) for edge in picture.edges if edge.form == "marriage"]
        assert joined == [("z[-2]", "z[-1]")]
        assert {edge.form for edge in picture.edges} == {"line", "marriage"}
        assert [box.path for box in picture.boxes] == [("sequence",), ("sequence", "t")]


@each_view
@each_network
class TestEveryNetwork:
    def test_never_a_cycle(self, build: Callable[[], bn.Network], view: str) -> None:
        picture = VIEWS[view](build().graph)
        assert view == "moral" or nx.is_directed_acyclic_graph(
            nx.DiGraph((edge.source, edge.target) for edge in picture.edges)
        )
        known = {node.id for node in picture.nodes}
        assert {end for edge in picture.edges for end in (edge.source, edge.target)} <= known

    def test_everything_read_is_drawn(self, build: Callable[[], bn.Network], view: str) -> None:
        graph = build().graph
        edges = [edge for edge in VIEWS[view](graph).edges if edge.form != "marriage"]
        drawn = {(edge.source.partition("[")[0], edge.target.partition("[")[0]) for edge in edges}
        left_out = {parameter.name for parameter in graph.parameters} if view == "moral" else set()
        assert drawn == {
            (found.source, found.target) for found in relations(graph) if found.source not in left_out
        }

    def test_boxes_hold_what_is_theirs(self, build: Callable[[], bn.Network], view: str) -> None:
        """Each box contains its nodes, boxes and caption, and touches no other node and no other box."""
        picture = VIEWS[view](build().graph)
        places = drawing.places(picture)
        for path, box in places.boxes.items():
            assert within(places.captions[path], box)
            for node in picture.nodes:
                rectangle = around(places.nodes[node.id], *size(node))
                inside = node.path[: len(path)] == path
                assert within(rectangle, box) if inside else not overlap(rectangle, box), (path, node.id)
            for other, rectangle in places.boxes.items():
                if other[: len(path)] == path:
                    assert within(rectangle, box)
                elif path[: len(other)] != other:
                    assert not overlap(rectangle, box), (path, other)

    def test_nothing_overlaps(self, build: Callable[[], bn.Network], view: str) -> None:
        picture = VIEWS[view](build().graph)
        places = drawing.places(picture)
        rectangles = [around(places.nodes[node.id], *size(node)) for node in picture.nodes]
        rectangles += [*places.labels.values(), *places.captions.values()]
        assert not [pair for pair in combinations(rectangles, 2) if overlap(*pair)]

    def test_edges_pass_beside_nodes(self, build: Callable[[], bn.Network], view: str) -> None:
        picture = VIEWS[view](build().graph)
        places = drawing.places(picture)
        for edge in picture.edges:
            line = trace(places.routes[edge.source, edge.target].points)
            others = (node for node in picture.nodes if node.id not in (edge.source, edge.target))
            hit = [
                node.id
                for node in others
                if any(covers(node, places.nodes[node.id], here, 0.0) for here in line)
            ]
            assert not hit, edge

    def test_svg_is_whole(self, build: Callable[[], bn.Network], view: str) -> None:
        picture = VIEWS[view](build().graph)
        svg = ElementTree.fromstring(drawing.Drawing(picture).svg)
        classes = [group.get("class") for group in svg.iter("{http://www.w3.org/2000/svg}g")]
        assert classes.count("node") == len(picture.nodes)
        assert classes.count("edge") == len(picture.edges)
        assert classes.count("cluster") == len(picture.boxes)


class TestDot:
    def test_same_network_same_text(self) -> None:
        assert text(two_covariances().graph) == text(two_covariances().graph)

    def test_printer_is_registered(self) -> None:
        printer = registry()["dot"]
        assert (printer.suffix, printer.needs) == (".dot", ("network",))
        assert printer.text(crossed().graph) == text(crossed().graph)

    def test_observed_is_shaded_and_latent_is_not(self) -> None:
        lines = source(plates(two_covariances().graph)).splitlines()
        (z,) = (line for line in lines if re.match(r"\s*z \[", line))
        (x,) = (line for line in lines if re.match(r"\s*x \[", line))
        assert "fillcolor" in x and "fillcolor" not in z

    def test_greek_with_subscripts(self) -> None:
        assert '<I>Σ</I><SUB><FONT POINT-SIZE="11"><I>ac</I></FONT></SUB>' in source(
            plates(two_covariances().graph)
        )

    def test_hostile_names_are_only_text(self) -> None:
        """The language refuses such names; a picture of records made by hand must be safe all the same."""
        evil = '"]; x -> y; <script>alert(1)</script> <a href="example.org">&amp;\\n'
        graph = Graph(
            name=evil,
            plates=(Plate(evil),),
            parameters=(Parameter("pi", Simplex(2, (evil, "b")), value=Values.of([0.5, 0.5])),),
            variables=(
                Variable(evil, "latent", Integer(2), (evil,), CPD("Categorical", (("probs", Ref("pi")),))),
                Variable(
                    "x",
                    "observed",
                    Real(),
                    (evil,),
                    CPD("Normal", (("mean", Affine((Term(Ref("pi"), None),))),)),
                ),
            ),
            doc=evil,
        )
        svg = drawing.draw(graph).svg
        tags = {element.tag.partition("}")[2] for element in ElementTree.fromstring(svg).iter()}
        assert tags <= {"svg", "g", "title", "polygon", "path", "ellipse", "polyline", "text"}
        assert "<script" not in svg and 'href="' not in svg


class TestFiles:
    @pytest.mark.parametrize(
        ("suffix", "start"),
        [
            (".svg", b"<?xml"),
            (".png", b"\x89PNG"),
            (".pdf", b"%PDF"),
            (".dot", b"digraph"),
            (".tex", b"\\doc"),
        ],
    )
    def test_format_by_suffix(self, suffix: str, start: bytes, tmp_path: Path) -> None:
        path = tmp_path / f"picture{suffix}"
        drawn = bn.draw(regression(), path)
        assert path.read_bytes().startswith(start)
        assert drawn == bn.draw(regression())
        assert [found.name for found in tmp_path.iterdir()] == [path.name]

    def test_other_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(bn.BnlabError, match=r"'.jpg'.\nThe suffixes are .svg, .png"):
            bn.draw(regression(), tmp_path / "picture.jpg")

    def test_other_view(self) -> None:
        with pytest.raises(bn.BnlabError, match='Did you mean "plates"'):
            bn.draw(regression(), view="plate")

    def test_failure_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "picture.svg"
        path.write_text("old")

        def fail(*_: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="disk full"):
            bn.draw(regression(), path)
        assert path.read_text() == "old"
        assert [found.name for found in tmp_path.iterdir()] == ["picture.svg"]

    def test_notebook(self) -> None:
        drawn = bn.draw(regression())
        assert drawn._repr_mimebundle_()["image/svg+xml"] == drawn._repr_svg_() == drawn.svg == str(drawn)


class TestRender:
    def test_messages_are_warnings(self, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.warns(UserWarning, match="Graphviz says"):
            render.render("digraph { a [shape=no_such_shape] }", "svg")
        assert capfd.readouterr().err == ""

    def test_no_warning_without_a_reason(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert b"</svg>" in render.render("digraph { a -> b }", "svg")

    def test_bad_dot(self) -> None:
        with pytest.raises(bn.InternalError, match="Graphviz refuses"):
            render.render("digraph { a -> ", "svg")

    def test_program_where_pygraphviz_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "dot"
        program.write_text(
            f'#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sys.stdin.read(), end="")\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(render, "find_spec", lambda name: None)
        assert render.render("digraph {}", "png", "nop2") == b"-Knop2 -Tpng -Gdpi=200 digraph {}"

    def test_neither_is_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(render, "find_spec", lambda name: None)
        with pytest.raises(bn.BnlabError, match="pip install pygraphviz"):
            render.render("digraph {}", "svg")


class TestTikz:
    def test_names_that_tikz_can_read(self) -> None:
        document = bn.draw(BUILDS["second_order"](), view="unrolled").tex
        names = re.findall(r"\\node\[[^\n]*?\] \(([^)]*)\) at", document)
        assert len(names) == len(set(names)) > 0
        assert all(re.fullmatch(r"[A-Za-z0-9_ ]+", name) for name in names)

    def test_needs_no_bayesnet(self) -> None:
        assert r"\usetikzlibrary{bayesnet}" not in bn.draw(regression()).tex

    @pytest.mark.skipif(not sets_tikz(), reason="there is no pdflatex with TikZ")
    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("build", [crossed, BUILDS["second_order"], long_names])
    def test_compiles(self, build: Callable[[], bn.Network], view: str, tmp_path: Path) -> None:
        bn.draw(build(), tmp_path / "picture.tex", view=view)
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "picture.tex"]
        finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stdout[-2000:]
        assert (tmp_path / "picture.pdf").stat().st_size > 0


def test_gaussian_latents_stand_in_cliques() -> None:
    """A filter's clique holds the latent at two steps; a mixture's the class and the factor."""
    chain = junction_tree(linear_system().graph)
    assert [{ref.name for ref in clique.variables} for clique in chain] == [{"y"}]
    assert {ref.lag for ref in chain[0].variables} == {0, 1}
    mixture = junction_tree(factor_analysers().graph)
    latents = {variable.name for variable in factor_analysers().graph.in_role("latent")}
    assert [{ref.name for ref in clique.variables} for clique in mixture] == [latents]
    assert all(clique.variables for clique in (*chain, *mixture))
