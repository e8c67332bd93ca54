"""The chest clinic (Lauritzen & Spiegelhalter 1988): how frequent are diseases that no record names, only their symptoms?"""

from pathlib import Path

import numpy as np

import bnlab as bn

YES_NO = ["yes", "no"]
BREATH = [[[0.9, 0.1], [0.7, 0.3]], [[0.8, 0.2], [0.1, 0.9]]]
"""Short of breath or not: with tuberculosis or cancer (first) or not, with bronchitis (first) or not."""


def asia() -> bn.Network:
    """Tuberculosis comes from a visit to Asia, cancer and bronchitis from smoking; an X-ray cannot tell the first two apart.

    What symptoms a disease has is known; how often it occurs is learnt.
    """
    with bn.Network("asia") as net:
        visit = bn.parameter("P_visit", bn.Simplex(YES_NO))
        habit = bn.parameter("P_smoke", bn.Simplex(YES_NO))
        with bn.plate("been", 2):
            tuberculosis = bn.parameter("P_tub", bn.Simplex(YES_NO))
        with bn.plate("smokes", 2):
            cancer = bn.parameter("P_lung", bn.Simplex(YES_NO))
            bronchitis = bn.parameter("P_bronc", bn.Simplex(YES_NO))
        with bn.plate("ill", 2):
            shadow = bn.parameter("P_xray", bn.Simplex(YES_NO), value=[[0.98, 0.02], [0.05, 0.95]])
            with bn.plate("coughs", 2):
                breath = bn.parameter("P_dysp", bn.Simplex(YES_NO), value=BREATH)
        either_or = bn.constant([[[1, 0], [1, 0]], [[1, 0], [0, 1]]])
        with bn.plate("n"):
            been = bn.observed("visit", bn.Categorical(visit))
            smoke = bn.observed("smoke", bn.Categorical(habit))
            tub = bn.latent("tub", bn.Categorical(tuberculosis[been]))
            lung = bn.latent("lung", bn.Categorical(cancer[smoke]))
            bronc = bn.latent("bronc", bn.Categorical(bronchitis[smoke]))
            either = bn.latent("either", bn.Categorical(either_or[tub, lung]))
            bn.observed("xray", bn.Categorical(shadow[either]))
            bn.observed("dysp", bn.Categorical(breath[either, bronc]))
    return net


def data() -> dict[str, np.ndarray]:
    """2000 cases, drawn from the published network."""
    net = bn.read(Path(__file__).parents[1] / "data" / "asia.bif")
    cases = bn.sample(net, net.parameters, sizes={"n": 2000}, seed=1)
    return {"visit": cases["asia"], **{name: cases[name] for name in ("smoke", "xray", "dysp")}}
