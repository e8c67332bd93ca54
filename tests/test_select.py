"""Choosing among networks, criteria, and parameters as tables."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import bnlab as bn
from tests.models import model

DATA = model("gmm").example()


def mixture(components: int, dim: int = 2, tied: bool = False) -> bn.Network:
    with bn.Network("mixture") as net:
        pi = bn.parameter("pi", bn.Simplex(components))
        with bn.plate("k", components):
            mu = bn.parameter("mu", bn.Real(dim))
            if not tied:
                Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        if tied:
            Sigma = bn.parameter("Sigma", bn.Covariance(dim))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma if tied else Sigma[z]))
    return net


def fit(components: int = 2, **options: Any) -> Any:
    return bn.fit(mixture(components), DATA, progress=False, **options)


# Criteria


def test_criteria_of_old_faithful() -> None:
    """mclust's summary of the same model: log-likelihood -1130.264, df 11, BIC -2322.192, ICL -2322.695."""
    found = fit(tol=1e-10, max_iter=500)
    assert found.bic() == pytest.approx(2322.192, abs=1e-3)
    assert found.icl() == pytest.approx(2322.695, abs=2e-2)  # mclust stops early
    assert found.aic() == pytest.approx(2 * 1130.26396 + 22, abs=1e-4)


def test_icl_is_that_of_the_most_probable_states() -> None:
    """Along a chain: states as data, where the same parameters give their joint density with x."""
    loaded = model("hmm_categorical")
    data = loaded.example()
    found = bn.fit(loaded.network, data, progress=False)
    z = np.concatenate([np.ravel(part) for part in found.predict()["z"]])
    x = np.concatenate([np.ravel(part) for part in data["x"]])
    theta = found.parameters
    assert len(np.unique(data.get("sequence", [0]))) == 1
    joint = np.log(theta["pi"].ravel()[z[0]]) + np.log(theta["A"][z[:-1], z[1:]]).sum()
    emitted = next(value for name, value in theta.items() if name not in ("pi", "A"))
    joint += np.log(emitted[z, x]).sum()
    penalty = found.bic() + 2 * found.log_likelihood[-1]
    assert found.icl() == pytest.approx(-2 * joint + penalty, rel=1e-12)
    assert found.icl() >= found.bic()


def test_weights_count_as_rows() -> None:
    twice = bn.fit(
        mixture(2), {"x": np.vstack([DATA["x"], DATA["x"]])}, progress=False, init=fit().parameters
    )
    weighted = fit(init=fit().parameters, weights=np.full(272, 2.0))
    assert weighted.rows == twice.rows == 544
    for criterion in ("bic", "aic", "icl"):
        # the same sums in another order
        assert getattr(weighted, criterion)() == pytest.approx(getattr(twice, criterion)(), rel=1e-10)


def test_a_fit_without_its_data_has_no_icl() -> None:
    with pytest.raises(bn.FitError, match="does not know its data"):
        dataclasses.replace(fit(), bound=None).icl()


# Selection


def test_the_number_of_components_of_old_faithful() -> None:
    found = bn.select(mixture, DATA, components=range(1, 4), tied=True, n_init=5, progress=False)
    table = found.table
    assert list(table["components"]) == [1, 2, 3] and list(table["free"]) == [5, 8, 11]
    # mclust's values of the tied models, which this reaches to the tolerance of stopping
    np.testing.assert_allclose(table["log_likelihood"], [-1289.7967, -1140.1868, -1126.3159], atol=5e-3)
    assert found.arguments == {"components": 3} and found.best is found.fits[2]
    assert found.best.bic() == table["bic"].min() == pytest.approx(2314.316, abs=0.05)
    assert "best by bic: components=3" in str(found) and "<table" in found._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.criterion = "aic"


def test_several_arguments_are_tried_in_all_combinations() -> None:
    found = bn.select(mixture, DATA, "aic", components=[1, 2], tied=[False, True], progress=False, max_iter=3)
    assert [dict(one.arguments) for one in found.candidates] == [
        {"components": k, "tied": tied} for k in (1, 2) for tied in (False, True)
    ]
    assert found.best.aic() == min(one.aic() for one in found.fits)


def test_candidates_that_cannot_be_fitted_are_listed() -> None:
    few = {"x": DATA["x"][:5]}
    found = bn.select(mixture, few, components=(1, 5, 6), progress=False)
    assert [one.sound for one in found.candidates] == [True, False, False]
    assert found.arguments == {"components": 1}
    assert list(found.table["status"]) == ["converged", "degenerate", "refused"]
    assert "z has 6 states, but there are only 5 members of n" in str(found)
    collapsed = bn.select(mixture, few, components=(5,), progress=False)
    with pytest.raises(bn.FitError, match="so none is the best"):
        _ = collapsed.best
    with pytest.raises(bn.DataError, match="only 5 members"):
        bn.select(mixture, few, components=(6, 7), progress=False)


def test_a_selection_of_nothing() -> None:
    with pytest.raises(bn.FitError) as error:
        bn.select(mixture, DATA, "bicc", components=3)
    for part in (
        'no criterion "bicc"',
        'Did you mean "bic"?',
        "No argument of mixture",
        "components, dim, tied",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"component": [1, 2]}, 'Did you mean "components"'),
        ({"components": []}, "components has no values to try"),
        ({"n_init": 2}, r"Write components=range\(1, 8\)"),
    ],
)
def test_what_to_select_among_instead(options: dict[str, object], part: str) -> None:
    with pytest.raises(bn.FitError, match=part):
        bn.select(mixture, DATA, **options)


# Tables


def test_a_parameter_as_a_table() -> None:
    found = fit()
    mu, Sigma, pi = (found.table(name) for name in ("mu", "Sigma", "pi"))
    assert (mu.index.name, list(mu.columns), mu.shape) == ("k", [0, 1], (2, 2))
    np.testing.assert_array_equal(mu, found.parameters["mu"])
    assert (
        Sigma.index.names == ["k", "Sigma.0"] and Sigma.loc[(1, 0), 1] == found.parameters["Sigma"][1, 0, 1]
    )
    assert pi.columns.name == "z" and pi.loc["pi", 0] == found.parameters["pi"][0]
    with pytest.raises(bn.FitError, match='Did you mean "Sigma"?'):
        found.table("sigma")


def test_states_stand_under_their_names() -> None:
    with bn.Network("weather") as net:
        with bn.plate("s", 2):
            P = bn.parameter("P", bn.Simplex(["dry", "wet", "snow"]))
            rate = bn.parameter("rate", bn.Positive())
        with bn.plate("day"):
            season = bn.given("season", bn.Integer(["summer", "winter"]))
            bn.latent("sky", bn.Categorical(P[season]))
            bn.observed("calls", bn.Poisson(rate[season]))
    start = {"P": [[0.7, 0.3, 0.0], [0.2, 0.3, 0.5]], "rate": [1.0, 2.0]}
    data = {"season": ["summer", "winter", "winter"], "calls": [2, 0, 1]}
    found = bn.fit(net, data, init=start, max_iter=0, progress=False)
    table = found.table("P")
    assert table.loc["winter", "snow"] == 0.5 and table.columns.name == "sky" and table.index.name == "s"
    assert found.table("rate").loc["winter", "rate"] == 2.0
    everything = found.table()
    assert everything.loc[("P", "summer, wet"), "estimate"] == 0.3 and len(everything) == 8


def test_the_overview_of_draws_has_their_spread() -> None:
    found = fit(max_iter=1)
    draws = {name: np.stack([[value, value + 2.0]]) for name, value in found.parameters.items()}
    table = dataclasses.replace(found, draws=draws).table()
    assert list(table.columns) == ["estimate", "sd"] and table["sd"].to_numpy() == pytest.approx(1.0)
