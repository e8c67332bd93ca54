"""Where EM starts components that nothing in the data sets apart at first."""

from __future__ import annotations

import numpy as np
import pytest

import bnlab as bn
from tests.models import NAMES, model


def scales() -> bn.Network:
    """Two components about one mean, of different spread."""
    with bn.Network("scales") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        mu = bn.parameter("mu", bn.Real())
        with bn.plate("k", 2):
            sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu, var=sigma2[z]))
    return net


def set_apart(net: bn.Network) -> dict[str, tuple[int, ...]]:
    return {start.parameter: start.apart for start in bn.derive(net).program.starts if start.apart}


def test_only_components_that_would_start_alike_are_set_apart() -> None:
    assert set_apart(scales()) == {"sigma2": (0,)}
    found = {name: set_apart(model(name).network) for name in NAMES}
    assert {name: apart for name, apart in found.items() if apart} == {
        "mixture_linear_dynamical_systems": {"F": (0,), "Q": (0,)}
    }


def test_two_scales_are_found_from_the_default_start() -> None:
    """From equal components no iteration moves one away from the other."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=400), 8.0 * rng.normal(size=400)])
    found = bn.fit(scales(), {"x": x}, progress=False, max_iter=500)
    # 400 draws tell a standard deviation to 4 %, and some of each component look like the other's
    assert np.sort(np.sqrt(found.parameters["sigma2"])) == pytest.approx([1.0, 8.0], rel=0.2)


@pytest.mark.slow  # 10 s, mostly compilation
def test_dynamics_are_told_apart_from_the_default_start() -> None:
    loaded = model("mixture_linear_dynamical_systems")
    found = bn.fit(loaded.network, loaded.example(), progress=False, max_iter=500)
    classes = found.predict()["c"]
    assert (classes == classes[0]).tolist() in ([True, False] * 12, [False, True] * 12)
    angles = sorted(np.abs(np.angle(np.linalg.eigvals(F))).max() for F in found.parameters["F"])
    assert angles == pytest.approx(
        [0.3, 1.2], abs=0.05
    )  # 480 steps each told to some 0.3 rad: four deviations
