"""Data in every form a user may give, and every fault that data may have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bnlab as bn
from bnlab.network.ir import Graph
from bnlab.runtime.data import bind
from bnlab.runtime.data_checks import fittable
from bnlab.runtime.data_layout import mirror


def cloud(dim: int = 2, cov: bool = True) -> Graph:
    with bn.Network("cloud") as net:
        mu = bn.parameter("mu", bn.Real(dim))
        if cov:
            spread: dict[str, Any] = {"cov": bn.parameter("Sigma", bn.Covariance(dim))}
        else:
            spread = {"var": bn.parameter("sigma2", bn.Positive(dim))}
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, **spread))
    return net.graph


def scalar() -> Graph:
    with bn.Network("scalar") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=1.0))
    return net.graph


def symbols() -> Graph:
    with bn.Network("symbols") as net:
        pi = bn.parameter("pi", bn.Simplex(["low", "middle", "high"]))
        with bn.plate("n"):
            bn.observed("x", bn.Categorical(pi))
    return net.graph


def chain() -> Graph:
    """Sequences of vectors, with a label of the whole sequence."""
    with bn.Network("sequences") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            mu = bn.parameter("mu", bn.Real(2))
            rho = bn.parameter("rho", bn.Simplex(2))
        Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("w", bn.Categorical(rho[c]))
            with bn.chain("t"):
                z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
                bn.observed("x", bn.Normal(mu[z], cov=Sigma))
    return net.graph


def deep() -> Graph:
    """Three nested plates and a sized one in the middle."""
    with bn.Network("deep") as net:
        mu = bn.parameter("mu", bn.Real())
        with bn.plate("a"), bn.plate("b"), bn.plate("item", 2), bn.plate("c"):
            bn.observed("x", bn.Normal(mu, var=1.0))
    return net.graph


def faults(graph: Graph, data: Any, **options: Any) -> str:
    with pytest.raises(bn.DataError) as error:
        bind(graph, data, **options)
    return str(error.value)


SEQUENCES = [np.arange(6.0).reshape(3, 2), np.arange(10.0).reshape(5, 2) + 100]
IDS = np.array(["b", "a", "b", "a", "a", "b", "a", "a"])  # "b" comes first and has 3 rows


def tidy_sequences() -> dict[str, Any]:
    rows = np.empty((8, 2))
    rows[IDS == "b"], rows[IDS == "a"] = SEQUENCES
    return {"x": rows, "sequence": IDS, "w": [1, 0]}


def test_a_ragged_list_and_the_tidy_form_are_the_same_data() -> None:
    ragged = bind(chain(), {"x": SEQUENCES, "w": [1, 0]})
    tidy = bind(chain(), tidy_sequences())
    assert ragged.canonical.keys() == tidy.canonical.keys() == {"x", "w", "sequence"}
    for name, array in ragged.canonical.items():
        np.testing.assert_array_equal(array, tidy.canonical[name])
    np.testing.assert_array_equal(ragged.canonical["sequence"], [0, 0, 0, 1, 1, 1, 1, 1])


def test_results_come_back_in_the_form_of_the_data() -> None:
    graph = chain()
    for bound, expected in [
        (bind(graph, {"x": SEQUENCES, "w": [1, 0]}), SEQUENCES),
        (bind(graph, tidy_sequences()), tidy_sequences()["x"]),
        (bind(graph, {"x": np.stack([SEQUENCES[0]] * 2), "w": [1, 0]}), np.stack([SEQUENCES[0]] * 2)),
    ]:
        back = mirror(bound.layout, graph, graph.variable("z"), bound.canonical["x"])
        assert type(back) is type(expected)
        for one, other in zip(back, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_ids_of_their_own_for_an_outer_variable() -> None:
    data = tidy_sequences() | {"w": [0, 1]}
    del data["sequence"]
    bound = bind(chain(), data | {"ids": {"sequence": {"x": IDS, "w": ["a", "b"]}}})
    np.testing.assert_array_equal(bound.canonical["w"], [1, 0])  # "b" is the first sequence
    graph = chain()
    np.testing.assert_array_equal(
        mirror(bound.layout, graph, graph.variable("c"), bound.canonical["w"]), [0, 1]
    )
    assert "no inner row has" in faults(chain(), data | {"ids": {"sequence": {"x": IDS, "w": ["a", "q"]}}})


def test_nested_lists_and_sized_plates() -> None:
    """Lengths 2 and 1 of b; 3 and 1, 2 of c; rows come first in canonical data, and go back to their own place."""
    graph = deep()
    generator = np.random.default_rng(0)
    values = [[generator.normal(size=(2, 3)), generator.normal(size=(2, 1))], [generator.normal(size=(2, 2))]]
    bound = bind(graph, {"x": values})
    assert bound.canonical["x"].shape == (6, 2)
    np.testing.assert_array_equal(bound.canonical["a"], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(bound.canonical["b"], [0, 0, 0, 1, 2, 2])
    back = mirror(bound.layout, graph, graph.variable("x"), bound.canonical["x"])
    assert [[part.tolist() for part in member] for member in back] == [
        [part.tolist() for part in member] for member in values
    ]


def test_two_ids_in_any_order_of_rows() -> None:
    """Inner ids are unique only within outer ones."""
    outer, inner = [1, 1, 0, 0, 1, 0], ["p", "q", "p", "p", "p", "q"]
    x = np.arange(12.0).reshape(6, 2)
    graph = deep()
    bound = bind(graph, {"x": x, "a": outer, "b": inner})
    np.testing.assert_array_equal(bound.canonical["x"][:, 0], [0, 8, 2, 4, 6, 10])
    np.testing.assert_array_equal(bound.canonical["b"], [0, 0, 1, 2, 2, 3])
    np.testing.assert_array_equal(mirror(bound.layout, graph, graph.variable("x"), bound.canonical["x"]), x)


def test_frames() -> None:
    frame = pd.DataFrame(
        {"u": [1.0, 2, 3], "v": [4.0, 5, 6], "sequence": ["p", "p", "q"], "note": ["", "", ""]}
    )
    expected = np.array([[1.0, 4], [2, 5], [3, 6]])
    named = bind(cloud(), frame, columns={"x": ["u", "v"]})
    np.testing.assert_array_equal(named.canonical["x"], expected)
    np.testing.assert_array_equal(bind(cloud(), frame.drop(columns="sequence")).canonical["x"], expected)
    with bn.Network("pairs") as net:
        mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("sequence"), bn.plate("t"):
            bn.observed("x", bn.Normal(mu, var=1.0))
    np.testing.assert_array_equal(bind(net.graph, frame).canonical["sequence"], [0, 0, 1])
    assert 'no column "vv"' in faults(cloud(), frame, columns={"x": ["u", "vv"]})
    assert "has the dimension 2, but 1 columns" in faults(cloud(), frame, columns={"x": "u"})
    assert 'Did you mean "x"?' in faults(cloud(), frame, columns={"X": ["u", "v"]})


COLUMNS = {"u": [1.0, 2, 3], "v": [4, 5, 6], "sequence": ["p", "p", "q"], "w": ["low", "high", "low"]}


def labelled() -> Graph:
    """Vectors in sequences, with a named category for each."""
    with bn.Network("labelled") as net:
        mu, rho = bn.parameter("mu", bn.Real(2)), bn.parameter("rho", bn.Simplex(["low", "high"]))
        with bn.plate("sequence"), bn.plate("t"):
            bn.observed("x", bn.Normal(mu, var=1.0))
            bn.observed("w", bn.Categorical(rho))
    return net.graph


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_name_in_a_list_is_no_name(missing: object) -> None:
    rows = {"x": np.zeros((3, 2)), "sequence": ["p", "p", "q"], "w": ["low", missing, "high"]}
    assert bind(labelled(), rows).canonical["w"].tolist() == [0, -1, 1]
    framed = {"u": [1.0, 2, 3], "v": [4, 5, 6], **{key: rows[key] for key in ("sequence", "w")}}
    assert bind(labelled(), framed, columns={"x": ["u", "v"]}).canonical["w"].tolist() == [0, -1, 1]


def in_polars() -> Any:
    return pytest.importorskip("polars").DataFrame(COLUMNS)


def in_polars_with_categories() -> Any:
    polars = pytest.importorskip("polars")
    return in_polars().with_columns(polars.col("w").cast(polars.Categorical))


def in_pyarrow() -> Any:
    return pytest.importorskip("pyarrow").table(COLUMNS)


def in_pyarrow_with_categories() -> Any:
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table(COLUMNS | {"w": pyarrow.array(COLUMNS["w"]).dictionary_encode()})


@pytest.mark.parametrize(
    "frame",
    [
        lambda: pd.DataFrame(COLUMNS),
        lambda: pd.DataFrame(COLUMNS).astype({"sequence": "category", "w": "category"}),
        lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
        in_polars,
        in_polars_with_categories,
        in_pyarrow,
        in_pyarrow_with_categories,
    ],
    ids=["pandas", "categories", "nullable", "polars", "polars-cat", "pyarrow", "pyarrow-dict"],
)
def test_frames_of_every_library(frame: Any) -> None:
    canonical = bind(labelled(), frame(), columns={"x": ["u", "v"]}).canonical
    np.testing.assert_array_equal(canonical["x"], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(canonical["w"], [0, 1, 0])
    np.testing.assert_array_equal(canonical["sequence"], [0, 0, 1])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_missing_cell_of_a_frame_is_nan(library: str) -> None:
    columns = {"u": [1.0, None, 3.0], "v": [4.0, 5.0, 6.0]}
    module = pytest.importorskip(library)
    frame = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    bound = bind(cloud(), frame)
    np.testing.assert_array_equal(bound.canonical["x"], [[1, 4], [np.nan, 5], [3, 6]])
    assert bound.partial.missing == ("x",)


def test_a_given_number_may_not_be_missing() -> None:
    with bn.Network("lines") as net:
        w, v = bn.parameter("w", bn.Real(2)), bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            u = bn.given("u", bn.Real(2))
            bn.observed("y", bn.Normal(w @ u, var=v))
    u = np.ones((3, 2))
    u[1, 0] = np.nan
    message = faults(net.graph, {"u": u, "y": [1.0, np.nan, 2.0]})
    assert "u is given, and missing at n 1, column 0" in message and "y is" not in message


def test_some_vectors_are_missing_as_a_whole() -> None:
    with bn.Network("words") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("n"):
            bn.observed("x", bn.Multinomial(p))
    whole, part = np.array([[1.0, 2.0], [np.nan, np.nan]]), np.array([[1.0, np.nan], [3.0, 4.0]])
    assert bind(net.graph, {"x": whole}).partial.missing == ("x",)
    message = faults(net.graph, {"x": part})
    assert (
        "x is missing in part at n 0, column 1" in message
        and "counts given their sum, which is not known" in message
    )
    assert "Poisson" in message


def test_category_names_and_numbers() -> None:
    graph = symbols()
    for values in (
        ["high", "low", "high"],
        [2, 0, 2],
        np.array([2.0, 0.0, 2.0]),
        pd.Series(["high", "low", "high"]),
    ):
        canonical = bind(graph, {"x": values}).canonical["x"]
        np.testing.assert_array_equal(canonical, [2, 0, 2])
        assert canonical.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([0, 3, 1, 7], ["x is 3 at n 1; n 3", "3 categories, 0 to 2"]),
        ([0.5, 1], ["x is 0.5 at n 0"]),
        (["low", "hgh"], ["'hgh' at n 1", 'Did you mean "high"?']),
        ([[0, 1]], ["has the shape (1, 2)", "wants (n,)"]),
    ],
)
def test_faults_of_categories(values: Any, parts: list[str]) -> None:
    message = faults(symbols(), {"x": values})
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "values",
    [
        [0, -1, 2],
        [0.0, np.nan, 2.0],
        [0, None, 2],
        ["low", None, "high"],
        ["low", "", "high"],
        np.ma.masked_array([0, 1, 2], mask=[False, True, False]),
        pd.Series(["low", None, "high"]),
        pd.Series(["low", None, "high"], dtype="string"),
    ],
    ids=["-1", "NaN", "None", "no name", "empty", "masked", "series", "text series"],
)
def test_a_missing_category_is_minus_one(values: Any) -> None:
    bound = bind(symbols(), {"x": values})
    assert bound.canonical["x"].tolist() == [0, -1, 2]
    assert bound.partial.missing == ("x",)


BAD = np.zeros((4, 2))


def with_entries(*entries: tuple[int, int, float]) -> np.ndarray:
    values = np.random.default_rng(1).normal(size=(9, 2))
    for row, column, value in entries:
        values[row, column] = value
    return values


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (with_entries((2, 0, np.inf)), ["infinite at n 2, column 0"]),
        (with_entries((4, 1, 1e200)), ["values overflow float64 when squared", "n 4, column 1"]),
        (with_entries((1, 0, np.nan), (2, 1, -np.inf)), ["infinite at n 2, column 1"]),
        (np.zeros((5, 3)), ["has the shape (5, 3)", "wants (n, 2)"]),
        (np.zeros(5), ["has the shape (5,)"]),
        (np.zeros((0, 2)), ["is empty"]),
        ([], ["has the shape (0,)"]),
        (np.zeros((5, 2), dtype=complex), ["complex numbers"]),
        (np.array([["a", "b"]]), ["text"]),
        (np.array([[1.0, "b"], [2.0, 3.0]], dtype=object), ["'b' at n 0, column 1"]),
        (np.array([["2020-01-01", "2020-01-02"]], dtype="datetime64[D]"), ["datetime64"]),
    ],
)
def test_faults_of_numbers(values: Any, parts: list[str]) -> None:
    message = faults(cloud(), {"x": values})
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "values",
    [
        with_entries((3, 1, np.nan)),
        with_entries((3, 1, np.nan)).astype(object),
        np.where(np.isnan(with_entries((3, 1, np.nan))), None, with_entries((3, 1, np.nan))),
        np.ma.masked_array(with_entries((3, 1, 7.0)), mask=np.isnan(with_entries((3, 1, np.nan)))),
        pd.DataFrame(with_entries((3, 1, np.nan))).to_numpy(),
    ],
    ids=["NaN", "object", "None", "masked", "frame"],
)
def test_a_missing_number_is_nan(values: Any) -> None:
    bound = bind(cloud(), {"x": values})
    np.testing.assert_array_equal(bound.canonical["x"], with_entries((3, 1, np.nan)))
    assert bound.partial.missing == ("x",)


def test_float32_overflows_earlier() -> None:
    values = with_entries((0, 0, 1e20))
    bind(cloud(), {"x": values})
    assert "overflow float32" in faults(cloud(), {"x": values}, dtype="float32")


def test_a_scalar_is_not_a_column() -> None:
    message = faults(scalar(), {"x": np.zeros((5, 1))})
    assert "has the shape (5, 1); x wants (n,)" in message
    assert "x[..., 0]" in message


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"y": [1.0]}, ['"y", which the network scalar does not have', "No data are given for x"]),
        ({"x ": [1.0, 2.0]}, ['Did you mean "x"?']),
        ([1.0, 2.0], ["a mapping from variable names", '{"x": ...}']),
    ],
)
def test_faults_of_names(data: Any, parts: list[str]) -> None:
    message = faults(scalar(), data)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"sequence": None}, ['"sequence": ids']),
        ({"sequence": IDS[:5]}, ["8 rows, but there are 5 ids"]),
        ({"sequence": [None, *IDS[1:]]}, ["1 ids of sequence are missing, the first at row 0"]),
        ({"w": [1, 0, 1]}, ["members of sequence"]),
        ({"t": [1, 1, 2, 2, 3, 2, 4, 5]}, ["in order of time; row 5 is not later"]),
    ],
)
def test_faults_of_ids(change: dict[str, Any], parts: list[str]) -> None:
    data = {name: value for name, value in (tidy_sequences() | change).items() if value is not None}
    message = faults(chain(), data)
    for part in parts:
        assert part in message


def test_faults_of_ragged_lists_are_all_named() -> None:
    message = faults(chain(), {"x": [np.zeros((3, 2)), np.zeros((2, 5)), np.zeros((0, 2))], "w": [0, 1, 9]})
    for part in ("x[1] has the shape (2, 5)", "x[2] is empty", "x", "w is 9 at sequence 2"):
        assert part in message
    values = [SEQUENCES[0], np.where(SEQUENCES[1] == 104, np.inf, SEQUENCES[1])]
    assert "at sequence 1, t 2, column 0" in faults(chain(), {"x": values, "w": [0, 1]})


def test_values_of_latents_are_left_aside_with_a_warning() -> None:
    bound = bind(scalar(), {"x": [1.0, 2.0], "z": [0, 1]})
    assert bound.canonical.keys() == {"x"}
    assert [warning.concerns for warning in bound.warnings] == ["z"]


def test_weights() -> None:
    data = {"x": [1.0, 2.0]}
    np.testing.assert_array_equal(bind(scalar(), data, weights=[1, 0]).canonical["weights"], [1.0, 0.0])
    assert "one for each of the 2 members of n" in faults(scalar(), data, weights=[1.0])
    assert "finite and not negative" in faults(scalar(), data, weights=[1.0, -1.0])
    assert "All weights are 0: no member of n counts" in faults(scalar(), data, weights=[0.0, 0.0])


def check(graph: Graph, x: Any, started: bool = False) -> str:
    with pytest.raises(bn.DataError) as error:
        fittable(graph, bind(graph, {"x": x}), started=started, dtype="float64")
    return str(error.value)


def test_columns_that_cannot_be_fitted() -> None:
    values = np.random.default_rng(2).normal(size=(20, 2))
    assert "x, column 1, has the same value in every row" in check(cloud(), values * [1, 0])
    assert "the columns 0, 1 depend on one another" in check(cloud(), values[:, :1] * [1, 2] + 3)
    assert "2 rows of 2 columns" in check(cloud(), values[:2])
    assert "0 when squared" in check(cloud(cov=False), values * [1, 1e-200])
    graph = cloud(cov=False)
    assert fittable(graph, bind(graph, {"x": values[:, :1] * [1, 2]}), started=False, dtype="float64") == ()


def test_fewer_members_than_states() -> None:
    graph = scalar()
    assert "z has 2 states, but there are only 1 members of n" in check(graph, [1.0])
    assert fittable(graph, bind(graph, {"x": [1.0]}), started=True, dtype="float64") == ()


def test_data_far_from_the_origin_are_named() -> None:
    graph = cloud()
    bound = bind(graph, {"x": np.random.default_rng(3).normal(size=(50, 2)) + [0, 1e8]})
    (warning,) = fittable(graph, bound, started=False, dtype="float64")
    assert warning.concerns == "x" and "column 1" in warning.message


def test_a_constant_column_is_no_fault_where_its_spread_is_not_its_own() -> None:
    """About a fixed mean, or in common with another variable, a variance has an estimate above 0."""
    with bn.Network("fixed") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(0.0, var=v))
    assert bn.fit(net, {"x": [1.0, 1.0, 1.0]}, progress=False).parameters["v"] == 1
    with bn.Network("common") as net:
        m, v = bn.parameter("m", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=v))
            bn.observed("y", bn.Normal(m, var=v))
    found = bn.fit(net, {"x": [1.0, 1.0], "y": [0.0, 3.0]}, progress=False).parameters
    assert (found["m"], found["v"]) == (pytest.approx(1.25), pytest.approx(1.1875))


def test_a_fit_does_not_change_with_the_array_that_it_was_given() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    net = bn.Network("rows")
    with net:
        mu, S = bn.parameter("mu", bn.Real(2)), bn.parameter("S", bn.Covariance(2))
        with bn.plate("n"):
            bn.observed("x", bn.Normal(mu, cov=S))
    fit = bn.fit(net, {"x": x}, progress=False)
    before = fit.score()
    x[:] = 0
    np.testing.assert_array_equal(fit.score(), before)
    for trace in (fit.objective, fit.log_likelihood):
        with pytest.raises(ValueError, match="read-only"):
            trace[0] = 1


def test_columns_of_a_frame_fill_the_members_of_a_sized_plate() -> None:
    answers = np.random.default_rng(0).integers(2, size=(6, 3))
    with bn.Network("answers") as net:
        with bn.plate("item", 3):
            p = bn.parameter("p", bn.Probability())
        with bn.plate("n"), bn.plate("item", 3):
            bn.observed("x", bn.Bernoulli(p))
    frame = pd.DataFrame(answers, columns=["a", "b", "c"])
    expected = bn.fit(net, {"x": answers}, progress=False)
    for columns in ({"x": ["a", "b", "c"]}, None):
        found = bn.fit(net, frame, columns=columns, progress=False)
        np.testing.assert_array_equal(found.parameters["p"], expected.parameters["p"])
    with pytest.raises(bn.DataError, match="x has the dimension 3, but 2 columns: a, b"):
        bn.fit(net, frame, columns={"x": ["a", "b"]})


def test_a_variable_without_values_is_named_also_where_its_spread_is_shared() -> None:
    with bn.Network("common") as net:
        m, v = bn.parameter("m", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            bn.observed("x", bn.Normal(m, var=v))
            bn.observed("y", bn.Normal(m, var=v))
    with pytest.raises(bn.DataError, match="x is missing in every row"):
        bn.fit(net, {"x": [np.nan, np.nan], "y": [0.0, 3.0]}, progress=False)


def within() -> bn.Network:
    """A variable of a plate in the middle."""
    with bn.Network("within") as net:
        mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("g"), bn.plate("s"):
            bn.given("h", bn.Integer(2))
            with bn.plate("n"):
                bn.observed("x", bn.Normal(mu, cov=bn.eye(2)))
    return net


IDS_WITHIN = {"g": {"x": list("AABBA"), "h": list("BAA")}, "s": {"x": list("pqpp") + ["p"], "h": list("pqp")}}


def test_ids_of_their_own_for_a_variable_in_the_middle() -> None:
    """Its rows are (B, p), (A, q), (A, p); in the order of the rows of x it is (A, p), (A, q), (B, p)."""
    net = within()
    data = {"x": np.arange(10.0).reshape(5, 2), "h": [0, 1, 0], "ids": IDS_WITHIN}
    bound = bind(net.graph, data | {"h": [1, 1, 0]})
    np.testing.assert_array_equal(bound.canonical["h"], [0, 1, 1])
    np.testing.assert_array_equal(bound.canonical["x"][:, 0], [0, 8, 2, 4, 6])
    np.testing.assert_array_equal(
        mirror(bound.layout, net.graph, net.graph.variable("h"), bound.canonical["h"]), [1, 1, 0]
    )


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"s": {"x": list("pqppp"), "h": list("pqz")}}, "h has the id 'z' of s, which no inner row has"),
        ({"s": {"x": list("pqppp"), "h": list("pqq")}}, "h has no row for s 'p'"),
        ({"s": {"x": list("pqppp"), "h": list("pq")}}, "The ids of s have 2 rows, those around it 3"),
        ({"S": {"x": list("pqppp")}}, '"S", which is no plate of within.*Did you mean'),
        ({"s": {"x": list("pqppp"), "y": list("pqp")}}, 'for "y", which the network within does not have'),
        ({"n": {"h": list("pqp")}}, "for h, which is in no plate n"),
    ],
)
def test_faults_of_ids_in_the_middle(change: dict[str, Any], part: str) -> None:
    data = {"x": np.zeros((5, 2)), "h": [0, 1, 0], "ids": IDS_WITHIN | change}
    with pytest.raises(bn.DataError, match=f"(?s){part}"):
        bind(within().graph, data)


def test_steps_have_no_ids() -> None:
    with pytest.raises(bn.DataError, match="the steps of a chain are in order of time and have no ids"):
        bind(chain(), tidy_sequences() | {"w": [0, 1], "ids": {"t": {"x": range(8)}}})
