"""Moments of many states as one product: the same statistics, where it is written and where it is not."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import bnlab as bn
from bnlab.program.stacked import MANY_STATES
from bnlab.runtime.proof.draws import random_data, random_parameters
from bnlab.runtime.proof.evaluated import evaluator_is_the_emitted
from bnlab.runtime.proof.subject import Subject
from tests.laws.emitted import module


def network(states: int, kind: str) -> bn.Network:
    with bn.Network(kind) as net:
        with bn.plate("k", states):
            w = bn.parameter("w", bn.Simplex(states if kind == "chain" else 2))
            mu, var = bn.parameter("mu", bn.Real(3)), bn.parameter("var", bn.Positive(3))
        pi = bn.parameter("pi", bn.Simplex(states))
        if kind == "chain":
            with bn.plate("s"), bn.chain("t"):
                z = bn.latent("z", bn.Categorical(w[bn.previous("z")]), first=bn.Categorical(pi))
                bn.observed("moments_of_r", bn.Normal(mu[z], var=var[z]))
        else:
            with bn.plate("n"):
                z = bn.latent("z", bn.Categorical(pi))
                bn.observed("x", bn.Normal(mu[z], var=var[z]))
                bn.observed("y", bn.Categorical(w[z]))
    return net


@pytest.mark.parametrize("kind", ["mixture", "chain"])
@pytest.mark.parametrize("states", [MANY_STATES - 1, MANY_STATES])
def test_statistics_are_those_of_the_program(kind: str, states: int) -> None:
    net, rng = network(states, kind), np.random.default_rng(0)
    assert ("jnp.concatenate([r, jnp.square(r)]" in bn.emit(net, "em")) == (states == MANY_STATES)
    layout = {"s": (4, 1, 2)} if kind == "chain" else {"n": 50}
    data = random_data(net.graph, rng, layout)
    subject = Subject(net.graph, data, random_parameters(net.graph, rng), module(net.graph, "em"))
    broken = [str(one) for one in evaluator_is_the_emitted(subject, bn.derive(net).program) if not one.passed]
    assert not broken, "\n".join(broken)


def test_a_mixture_of_many_states_by_hand() -> None:
    net, rng = network(MANY_STATES, "mixture"), np.random.default_rng(1)
    em = module(net.graph, "em")
    x, y = rng.normal(5.0, 3.0, (400, 3)), rng.integers(2, size=400)
    theta = random_parameters(net.graph, rng)
    found = em.e_step(
        em.Parameters(**{k: jnp.asarray(v) for k, v in theta.items()}), em.prepare({"x": x, "y": y})
    )
    gap = x[:, None] - theta["mu"]
    log = np.log(theta["pi"]) + np.log(theta["w"][:, y].T)
    log = log - 0.5 * (np.log(2 * np.pi * theta["var"]) + gap**2 / theta["var"]).sum(-1)
    q = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
    r = x - theta["mu"].mean(0)
    np.testing.assert_allclose(found.Sx, q.T @ r, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.Sxx, q.T @ r**2, rtol=1e-9, atol=1e-11)
