"""Small networks that all laws are held against, chosen by hand: one for each thing that the language can say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import bnlab as bn
from bnlab.runtime.proof.draws import Layout


@dataclass(frozen=True)
class Example:
    """A network and the sizes of its data; `zeros` are entries that start at exactly 0, by parameter."""

    build: Callable[[], bn.Network]
    layout: Mapping[str, Layout]
    zeros: Mapping[str, np.ndarray] | None = None

    @property
    def name(self) -> str:
        return self.build.__name__ + ("_with_zeros" if self.zeros else "")


def mixture_scalar() -> bn.Network:
    with bn.Network("mixture_scalar") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def mixture_full() -> bn.Network:
    with bn.Network("mixture_full") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(3))
            Sigma = bn.parameter("Sigma", bn.Covariance(3))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def mixture_diagonal() -> bn.Network:
    with bn.Network("mixture_diagonal") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(3))
            v = bn.parameter("v", bn.Positive(3))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def mixture_spherical() -> bn.Network:
    with bn.Network("mixture_spherical") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def mixture_tied() -> bn.Network:
    with bn.Network("mixture_tied") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma))
    return net


def mixture_std() -> bn.Network:
    with bn.Network("mixture_std") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            s = bn.parameter("s", bn.Positive(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], std=s[z]))
    return net


def mixture_wide() -> bn.Network:
    """Vectors so long that products with the rows last are written."""
    with bn.Network("mixture_wide") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(8))
            Sigma = bn.parameter("Sigma", bn.Covariance(8))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def mixture_wide_diagonal() -> bn.Network:
    """So many means that their distances are written as one product."""
    with bn.Network("mixture_wide_diagonal") as net:
        pi = bn.parameter("pi", bn.Simplex(8))
        with bn.plate("k", 8):
            mu = bn.parameter("mu", bn.Real(8))
            v = bn.parameter("v", bn.Positive(8))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def mixture_of_one_number() -> bn.Network:
    """Vectors of one entry, with a spherical spread."""
    with bn.Network("mixture_of_one_number") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(1))
            s = bn.parameter("s", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], std=s[z]))
    return net


def naive_bayes() -> bn.Network:
    """Two observed families below one latent, and a plate with a size that variables are in."""
    with bn.Network("naive_bayes") as net:
        pi = bn.parameter("pi", bn.Simplex(["yes", "no"]))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
            with bn.plate("item", 3):
                B = bn.parameter("B", bn.Simplex(4))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("w", bn.Normal(mu[z], var=v[z]))
            with bn.plate("item", 3):
                bn.observed("x", bn.Categorical(B[z]))
    return net


def two_causes() -> bn.Network:
    """Two latents meet in one child; the variance is selected by one of them only."""
    with bn.Network("two_causes") as net:
        p = bn.parameter("p", bn.Simplex(2))
        r = bn.parameter("r", bn.Simplex(3))
        with bn.plate("i", 2):
            v = bn.parameter("v", bn.Positive(2))
            with bn.plate("j", 3):
                mu = bn.parameter("mu", bn.Real(2))
        with bn.plate("n"):
            a = bn.latent("a", bn.Categorical(p))
            b = bn.latent("b", bn.Categorical(r))
            bn.observed("x", bn.Normal(mu[a, b], var=v[a]))
    return net


def shared_table() -> bn.Network:
    """One table has two uses."""
    with bn.Network("shared_table") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2), bn.plate("j", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("n"):
            a = bn.latent("a", bn.Categorical(p))
            b = bn.latent("b", bn.Categorical(p))
            bn.observed("x", bn.Categorical(B[a, b]))
            bn.observed("y", bn.Categorical(B[b, a]))
    return net


def cascade() -> bn.Network:
    with bn.Network("cascade") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("j", 3):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(p))
            w = bn.latent("w", bn.Categorical(B[z]))
            bn.observed("x", bn.Normal(mu[w], cov=Sigma[w]))
    return net


def grouped_rows() -> bn.Network:
    """One latent for all rows of a group."""
    with bn.Network("grouped_rows") as net:
        p = bn.parameter("p", bn.Simplex(3))
        with bn.plate("i", 3):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("group"):
            c = bn.latent("c", bn.Categorical(p))
            with bn.plate("n"):
                bn.observed("x", bn.Normal(mu[c], cov=Sigma[c]))
    return net


def group_and_row() -> bn.Network:
    """A latent for the group above a latent for each row, and an observed variable at both levels."""
    with bn.Network("group_and_row") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            B = bn.parameter("B", bn.Simplex(3))
            C = bn.parameter("C", bn.Simplex(2))
        with bn.plate("j", 3):
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("group"):
            c = bn.latent("c", bn.Categorical(p))
            bn.observed("w", bn.Categorical(C[c]))
            with bn.plate("n"):
                z = bn.latent("z", bn.Categorical(B[c]))
                bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def three_levels() -> bn.Network:
    with bn.Network("three_levels") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            B = bn.parameter("B", bn.Simplex(2))
        with bn.plate("j", 2), bn.plate("l", 2):
            E = bn.parameter("E", bn.Simplex(3))
        with bn.plate("a"):
            y = bn.latent("y", bn.Categorical(p))
            with bn.plate("b"):
                z = bn.latent("z", bn.Categorical(B[y]))
                with bn.plate("c"):
                    bn.observed("x", bn.Categorical(E[y, z]))
    return net


def fully_observed() -> bn.Network:
    """No latent: EM is counting, done in one step."""
    with bn.Network("fully_observed") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            z = bn.observed("z", bn.Categorical(p))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def observed_family() -> bn.Network:
    """A network of categories that are all observed: causes, a common effect, and what that causes."""
    with bn.Network("observed_family") as net:
        A, B = bn.parameter("A", bn.Simplex(2)), bn.parameter("B", bn.Simplex(3))
        with bn.plate("i", 2), bn.plate("j", 3):
            C = bn.parameter("C", bn.Simplex(2))
        with bn.plate("k", 2):
            D = bn.parameter("D", bn.Simplex(3))
        with bn.plate("n"):
            a, b = bn.observed("a", bn.Categorical(A)), bn.observed("b", bn.Categorical(B))
            c = bn.observed("c", bn.Categorical(C[a, b]))
            bn.observed("d", bn.Categorical(D[c]))
    return net


def fixed_parts() -> bn.Network:
    """Fixed values, a constant mean, and a category that is given."""
    with bn.Network("fixed_parts") as net:
        with bn.plate("i", 2):
            p = bn.parameter("p", bn.Simplex(3), value=[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
        with bn.plate("k", 3):
            v = bn.parameter("v", bn.Positive(2))
            mu = bn.parameter("mu", bn.Real())
        s = bn.parameter("s", bn.Positive(), value=0.7)
        with bn.plate("n"):
            g = bn.given("g", bn.Integer(2))
            z = bn.latent("z", bn.Categorical(p[g]))
            bn.observed("x", bn.Normal(bn.zeros(2), var=v[z]))
            bn.observed("y", bn.Normal(mu[z], std=s))
    return net


def priors() -> bn.Network:
    with bn.Network("priors") as net:
        pi = bn.parameter("pi", bn.Simplex(2), prior=bn.Dirichlet([2.0, 3.0]))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter(
                "Sigma", bn.Covariance(2), prior=bn.InverseWishart(5.0, [[1.0, 0.3], [0.3, 2.0]])
            )
            B = bn.parameter("B", bn.Simplex(3), prior=bn.Dirichlet([1.5, 1.0, 2.5]))
            v = bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(2.0, 1.5))
        m = bn.parameter("m", bn.Real(), prior=bn.Normal(0.5, var=2.0))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
            bn.observed("w", bn.Categorical(B[z]))
            bn.observed("y", bn.Normal(bn.zeros(), var=v[z]))
            bn.observed("u", bn.Normal(m, var=bn.constant(0.8)))
    return net


def prior_on_mean() -> bn.Network:
    """A mean and its covariance both with priors: one is maximised given the other."""
    with bn.Network("prior_on_mean") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2), prior=bn.Normal([0.0, 1.0], cov=[[2.0, 0.5], [0.5, 1.0]]))
            Sigma = bn.parameter(
                "Sigma", bn.Covariance(2), prior=bn.InverseWishart(4.0, [[1.0, 0.0], [0.0, 1.0]])
            )
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def prior_of_each_state() -> bn.Network:
    """Hyper-parameters with the axes of the plates: every state has a prior of its own."""
    with bn.Network("prior_of_each_state") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            scales = [[2.0, 3.0], [4.0, 2.5]]
            means, covariances = (
                [[0.0, 1.0], [2.0, -1.0]],
                [[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]]],
            )
            mu = bn.parameter("mu", bn.Real(2), prior=bn.Normal(means, cov=covariances))
            v = bn.parameter("v", bn.Positive(2), prior=bn.InverseGamma(scales, scales))
            B = bn.parameter("B", bn.Simplex(3), prior=bn.Dirichlet([[1.5, 1.0, 2.5], [2.0, 3.0, 1.0]]))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
            bn.observed("w", bn.Categorical(B[z]))
    return net


def chain_gaussian() -> bn.Network:
    with bn.Network("chain_gaussian") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            A = bn.parameter("A", bn.Simplex(3))
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def chain_wide() -> bn.Network:
    """A chain of long vectors: densities are written in blocks of steps."""
    with bn.Network("chain_wide") as net:
        pi = bn.parameter("pi", bn.Simplex(4))
        with bn.plate("k", 4):
            A = bn.parameter("A", bn.Simplex(4))
            mu = bn.parameter("mu", bn.Real(8))
            Sigma = bn.parameter("Sigma", bn.Covariance(8))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
    return net


def chain_categorical() -> bn.Network:
    with bn.Network("chain_categorical") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            A = bn.parameter("A", bn.Simplex(3))
            B = bn.parameter("B", bn.Simplex(4))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[z]))
    return net


def chain_alone() -> bn.Network:
    """A chain in no plate, with several observed variables a step."""
    with bn.Network("chain_alone") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
            with bn.plate("item", 2):
                B = bn.parameter("B", bn.Simplex(3))
        with bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
            with bn.plate("item", 2):
                bn.observed("y", bn.Categorical(B[z]))
    return net


def second_order() -> bn.Network:
    with bn.Network("second_order") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            B = bn.parameter("B", bn.Simplex(2))
            mu = bn.parameter("mu", bn.Real())
            with bn.plate("l", 2):
                A = bn.parameter("A", bn.Simplex(2))
        v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent(
                "z",
                bn.Categorical(A[bn.previous("z", 2), bn.previous("z")]),
                first=(bn.Categorical(pi), bn.Categorical(B[bn.previous("z")])),
            )
            bn.observed("x", bn.Normal(mu[z], var=v))
    return net


def long_memory() -> bn.Network:
    """A chain that reads three and one steps back, and one of first order whose second step is its own; one sight of both."""
    with bn.Network("long_memory") as net:
        p, r = bn.parameter("p", bn.Simplex(2)), bn.parameter("r", bn.Simplex(2))
        with bn.plate("k", 2):
            C, D = bn.parameter("C", bn.Simplex(2)), bn.parameter("D", bn.Simplex(2))
            F = bn.parameter("F", bn.Simplex(2))
            B = bn.parameter("B", bn.Simplex(2))
            with bn.plate("l", 2):
                A, E = bn.parameter("A", bn.Simplex(2)), bn.parameter("E", bn.Simplex(3))
        with bn.plate("sequence"), bn.chain("t"):
            first = (
                bn.Categorical(p),
                bn.Categorical(C[bn.previous("a")]),
                bn.Categorical(D[bn.previous("a", 2)]),
            )
            a = bn.latent("a", bn.Categorical(A[bn.previous("a", 3), bn.previous("a")]), first=first)
            begin = (bn.Categorical(r), bn.Categorical(F[bn.previous("b")]))
            b = bn.latent("b", bn.Categorical(B[bn.previous("b")]), first=begin)
            bn.observed("x", bn.Categorical(E[a, b]))
    return net


def driven_pairs() -> bn.Network:
    """A chain that skips a step, driven by an input and selected by a latent of its sequence."""
    with bn.Network("driven_pairs") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            pi = bn.parameter("pi", bn.Simplex(2))
            with bn.plate("u", 3):
                rho = bn.parameter("rho", bn.Simplex(2))
                with bn.plate("k", 2):
                    A = bn.parameter("A", bn.Simplex(2))
        with bn.plate("k", 2):
            mu, v = bn.parameter("mu", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(p))
            with bn.chain("t"):
                g = bn.given("g", bn.Integer(3))
                z = bn.latent(
                    "z",
                    bn.Categorical(A[c, g, bn.previous("z", 2)]),
                    first=(bn.Categorical(pi[c]), bn.Categorical(rho[c, g])),
                )
                bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def moves_seen() -> bn.Network:
    """What is observed depends on the states of two steps."""
    with bn.Network("moves_seen") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A, C = bn.parameter("A", bn.Simplex(2)), bn.parameter("C", bn.Simplex(3))
            with bn.plate("l", 2):
                B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[bn.previous("z"), z]), first=bn.Categorical(C[z]))
    return net


def two_chains() -> bn.Network:
    """Two chains side by side, seen through one observation."""
    with bn.Network("two_chains") as net:
        p = bn.parameter("p", bn.Simplex(2))
        r = bn.parameter("r", bn.Simplex(3))
        with bn.plate("i", 2):
            A = bn.parameter("A", bn.Simplex(2))
        with bn.plate("j", 3):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("i", 2), bn.plate("j", 3):
            mu = bn.parameter("mu", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            a = bn.latent("a", bn.Categorical(A[bn.previous("a")]), first=bn.Categorical(p))
            b = bn.latent("b", bn.Categorical(B[bn.previous("b")]), first=bn.Categorical(r))
            bn.observed("x", bn.Normal(mu[a, b], var=v))
    return net


def chain_of_mixtures() -> bn.Network:
    """Each step of the chain has a latent of its own below the state."""
    with bn.Network("chain_of_mixtures") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            W = bn.parameter("W", bn.Simplex(3))
            with bn.plate("l", 3):
                mu = bn.parameter("mu", bn.Real(2))
                v = bn.parameter("v", bn.Positive(2))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            m = bn.latent("m", bn.Categorical(W[z]))
            bn.observed("x", bn.Normal(mu[z, m], var=v[z, m]))
    return net


def mixture_of_chains() -> bn.Network:
    """A latent of the whole sequence selects the transitions."""
    with bn.Network("mixture_of_chains") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            pi = bn.parameter("pi", bn.Simplex(3))
            with bn.plate("k", 3):
                A = bn.parameter("A", bn.Simplex(3))
        with bn.plate("k", 3):
            B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(p))
            with bn.chain("t"):
                z = bn.latent("z", bn.Categorical(A[c, bn.previous("z")]), first=bn.Categorical(pi[c]))
                bn.observed("x", bn.Categorical(B[z]))
    return net


def driven_chain() -> bn.Network:
    """An input selects the transition table."""
    with bn.Network("driven_chain") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("i", 3), bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            u = bn.given("u", bn.Integer(3))
            z = bn.latent("z", bn.Categorical(A[u, bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], var=v[z]))
    return net


def fresh_causes() -> bn.Network:
    """A state that starts afresh at every step and that the next step reads."""
    with bn.Network("fresh_causes") as net:
        p = bn.parameter("p", bn.Simplex(2))
        start = bn.parameter("start", bn.Simplex(3))
        with bn.plate("k", 3):
            with bn.plate("i", 2):
                A, B = bn.parameter("A", bn.Simplex(3)), bn.parameter("B", bn.Simplex(2))
        with bn.plate("sequence"), bn.chain("t"):
            c = bn.latent("c", bn.Categorical(p))
            z = bn.latent(
                "z", bn.Categorical(A[bn.previous("z"), bn.previous("c")]), first=bn.Categorical(start)
            )
            bn.observed("x", bn.Categorical(B[z, c]))
    return net


def autoregressive() -> bn.Network:
    """What is observed depends on the state and on what was observed before."""
    with bn.Network("autoregressive") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            C = bn.parameter("C", bn.Simplex(3))
            with bn.plate("s", 3):
                B = bn.parameter("B", bn.Simplex(3))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Categorical(B[z, bn.previous("x")]), first=bn.Categorical(C[z]))
    return net


def regressions() -> bn.Network:
    """A line for each component; the regressor is a vector."""
    with bn.Network("regressions") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            w = bn.parameter("w", bn.Real(2))
            b, v = bn.parameter("b", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            u = bn.given("u", bn.Real(2))
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("y", bn.Normal(w[c] @ u + b[c], var=v[c]))
    return net


def regressions_of_vectors() -> bn.Network:
    """Matrices of coefficients, and an observed variable among the regressors."""
    with bn.Network("regressions_of_vectors") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            W, B = bn.parameter("W", bn.Real(2, 3)), bn.parameter("B", bn.Real(1, 2))
            a, b = bn.parameter("a", bn.Real(2)), bn.parameter("b", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
        m, s = bn.parameter("m", bn.Real(1)), bn.parameter("s", bn.Positive(1))
        with bn.plate("n"):
            u, g = bn.given("u", bn.Real(3)), bn.given("g", bn.Real())
            o = bn.observed("o", bn.Normal(m, std=s))
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("x", bn.Normal(W[c] @ u - a[c] * g + o @ B[c] + b[c], cov=Sigma[c]))
    return net


def regression_through_zero() -> bn.Network:
    """One coefficient and no offset, and a variance that nothing selects; a coefficient that is known, and a constant."""
    with bn.Network("regression_through_zero") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            w = bn.parameter("w", bn.Real())
            f = bn.parameter("f", bn.Real(2), value=[[0.5, 1.0], [-1.0, 2.0]])
        v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            g, u, s = bn.given("g", bn.Real()), bn.given("u", bn.Real(2)), bn.given("s", bn.Real())
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("y", bn.Normal(w[c] * g + f[c] @ u + s - 2.0, var=v))
    return net


def regressions_with_diagonal_spread() -> bn.Network:
    """A vector with a variance for each entry; coefficients of entries one by one, of a given matrix, and by given numbers."""
    with bn.Network("regressions_with_diagonal_spread") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            d, v = bn.parameter("d", bn.Real(2)), bn.parameter("v", bn.Positive(2))
        with bn.plate("n"):
            u, g = bn.given("u", bn.Real(2)), bn.given("g", bn.Real())
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("x", bn.Normal(d[c] * u + g * u, var=v[c]))
    return net


def one_slope_for_all() -> bn.Network:
    """A coefficient that all components share, and variances that they do not: one is maximised given the other."""
    with bn.Network("one_slope_for_all") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        w = bn.parameter("w", bn.Real())
        with bn.plate("k", 2):
            b, s = bn.parameter("b", bn.Real()), bn.parameter("s", bn.Positive())
        with bn.plate("n"):
            g = bn.given("g", bn.Real())
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("y", bn.Normal(w * g + b[c], std=s[c]))
    return net


def coupled_entries() -> bn.Network:
    """Coefficients of single entries under a full covariance, and one that the entries share."""
    with bn.Network("coupled_entries") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        w = bn.parameter("w", bn.Real())
        with bn.plate("k", 2):
            d, Sigma = bn.parameter("d", bn.Real(2)), bn.parameter("Sigma", bn.Covariance(2))
        beta, b = bn.parameter("beta", bn.Real(3)), bn.parameter("b", bn.Real(2))
        with bn.plate("n"):
            u, o = bn.given("u", bn.Real(2)), bn.given("o", bn.Real(2))
            X = bn.given("X", bn.Real(2, 3))
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("x", bn.Normal(d[c] * u + w * o + X @ beta + b, cov=Sigma[c]))
    return net


def additive_tables() -> bn.Network:
    """A mean that is a sum of two tables, of a latent and of an observed variable."""
    with bn.Network("additive_tables") as net:
        p, r = bn.parameter("p", bn.Simplex(2)), bn.parameter("r", bn.Simplex(3))
        with bn.plate("i", 2):
            A = bn.parameter("A", bn.Real(2))
        with bn.plate("j", 3):
            B = bn.parameter("B", bn.Real(2))
        with bn.plate("l", 2):
            C = bn.parameter("C", bn.Real(2))
        Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            h = bn.given("h", bn.Integer(2))
            a, b = bn.latent("a", bn.Categorical(p)), bn.observed("b", bn.Categorical(r))
            bn.observed("x", bn.Normal(A[a] + B[b] + C[h], cov=Sigma))
    return net


def two_children_of_a_slope() -> bn.Network:
    """A coefficient in two distributions, and twice in one; a mean alone shares its parameter with a sum."""
    with bn.Network("two_children_of_a_slope") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            w, mu = bn.parameter("w", bn.Real(2)), bn.parameter("mu", bn.Real())
            v = bn.parameter("v", bn.Positive())
        s = bn.parameter("s", bn.Positive(), value=0.8)
        with bn.plate("n"):
            u, o = bn.given("u", bn.Real(2)), bn.given("o", bn.Real(2))
            a, b = bn.latent("a", bn.Categorical(p)), bn.latent("b", bn.Categorical(p))
            bn.observed("x", bn.Normal(w[a] @ u - w[b] @ o + mu[a], var=v[b]))
            bn.observed("y", bn.Normal(w[b] @ o, std=s))
            bn.observed("z", bn.Normal(mu[b], var=v[b]))
    return net


def known_deviations() -> bn.Network:
    """Every member has a standard deviation that is known (the schools of Rubin, 1981, with two kinds of school)."""
    with bn.Network("known_deviations") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu, w = bn.parameter("mu", bn.Real()), bn.parameter("w", bn.Real(2))
        with bn.plate("n"):
            s, g = bn.given("s", bn.Positive()), bn.given("g", bn.Real())
            t = bn.given("t", bn.Positive(2))
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("y", bn.Normal(mu[c], std=s))
            bn.observed("x", bn.Normal(w[c] * g, var=t))
    return net


def slopes_with_priors() -> bn.Network:
    """Ridge regression: a normal prior on coefficients."""
    with bn.Network("slopes_with_priors") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            w = bn.parameter("w", bn.Real(2), prior=bn.Normal([0.0, 1.0], cov=[[2.0, 0.5], [0.5, 1.0]]))
            b = bn.parameter("b", bn.Real(), prior=bn.Normal(0.5, var=2.0))
            v = bn.parameter("v", bn.Positive(), prior=bn.InverseGamma(2.0, 1.5))
            W = bn.parameter("W", bn.Real(2, 2), prior=bn.Normal(0.0, std=1.5))
            a = bn.parameter("a", bn.Real(2), prior=bn.Normal([0.0, 1.0], cov=[[2.0, 0.5], [0.5, 1.0]]))
            s = bn.parameter("s", bn.Positive())
        with bn.plate("n"):
            u = bn.given("u", bn.Real(2))
            c = bn.latent("c", bn.Categorical(pi))
            bn.observed("y", bn.Normal(w[c] @ u + b[c], var=v[c]))
            bn.observed("x", bn.Normal(W[c] @ u + a[c], var=s[c]))
    return net


def regression_on_the_group() -> bn.Network:
    """Regressors of the group and of the row, coefficients of members of a sized plate, and a group's latent."""
    with bn.Network("regression_on_the_group") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            b = bn.parameter("b", bn.Real())
            with bn.plate("item", 2):
                w, v = bn.parameter("w", bn.Real()), bn.parameter("v", bn.Positive())
        q = bn.parameter("q", bn.Real(2))
        with bn.plate("group"):
            h, g = bn.given("h", bn.Integer(2)), bn.given("g", bn.Real(2))
            c = bn.latent("c", bn.Categorical(p))
            with bn.plate("n"):
                u = bn.given("u", bn.Real())
                with bn.plate("item", 2):
                    bn.observed("x", bn.Normal(w[c] * u + q @ g + b[h], var=v[c]))
    return net


def lines_observed() -> bn.Network:
    """Nothing latent: ordinary regression, in one step."""
    with bn.Network("lines_observed") as net:
        W, b = bn.parameter("W", bn.Real(2, 2)), bn.parameter("b", bn.Real(2))
        Sigma = bn.parameter("Sigma", bn.Covariance(2))
        with bn.plate("n"):
            u = bn.given("u", bn.Real(2))
            bn.observed("x", bn.Normal(W @ u + b, cov=Sigma))
    return net


def chain_of_regressions() -> bn.Network:
    """The state selects a line on inputs of the step and of the sequence."""
    with bn.Network("chain_of_regressions") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            w, o = bn.parameter("w", bn.Real(2)), bn.parameter("o", bn.Real())
            b, v = bn.parameter("b", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("sequence"):
            g = bn.given("g", bn.Real())
            with bn.chain("t"):
                u = bn.given("u", bn.Real(2))
                z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
                bn.observed("x", bn.Normal(w[z] @ u + o[z] * g + b[z], var=v[z]))
    return net


def autoregression() -> bn.Network:
    """The state selects a line on the value before."""
    with bn.Network("autoregression") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            a, b = bn.parameter("a", bn.Real()), bn.parameter("b", bn.Real())
            v, m = bn.parameter("v", bn.Positive()), bn.parameter("m", bn.Real())
        s = bn.parameter("s", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed(
                "x", bn.Normal(a[z] * bn.previous("x") + b[z], var=v[z]), first=bn.Normal(m[z], std=s)
            )
    return net


def autoregression_of_order_two() -> bn.Network:
    """Vectors that depend on the two before; the first two steps have distributions of their own, which share parameters."""
    with bn.Network("autoregression_of_order_two") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            F, G = bn.parameter("F", bn.Real(2, 2)), bn.parameter("G", bn.Real(2, 2))
            b, Sigma = bn.parameter("b", bn.Real(2)), bn.parameter("Sigma", bn.Covariance(2))
        m = bn.parameter("m", bn.Real(2))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            first = (
                bn.Normal(m, cov=bn.eye(2)),
                bn.Normal(F[z] @ bn.previous("x") + b[z], cov=Sigma[z]),
            )
            later = bn.Normal(F[z] @ bn.previous("x") + G[z] @ bn.previous("x", 2) + b[z], cov=Sigma[z])
            bn.observed("x", later, first=first)
    return net


def autoregression_observed() -> bn.Network:
    """A chain of which nothing is latent, in no plate, driven by another one that is observed too."""
    with bn.Network("autoregression_observed") as net:
        a, b, c = (bn.parameter(name, bn.Real()) for name in "abc")
        v = bn.parameter("v", bn.Positive())
        m, s = bn.parameter("m", bn.Real()), bn.parameter("s", bn.Positive())
        with bn.chain("t"):
            y = bn.observed("y", bn.Normal(m, var=s))
            mean = a * bn.previous("x") + b * bn.previous("y") + c * y
            bn.observed("x", bn.Normal(mean, var=v), first=bn.Normal(bn.zeros(), var=bn.constant(1.0)))
    return net


def mixture_of_autoregressions() -> bn.Network:
    """A latent of the whole sequence selects how it goes on."""
    with bn.Network("mixture_of_autoregressions") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("i", 2):
            a, v = bn.parameter("a", bn.Real()), bn.parameter("v", bn.Positive())
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(p))
            with bn.chain("t"):
                bn.observed(
                    "x", bn.Normal(a[c] * bn.previous("x"), var=v[c]), first=bn.Normal(bn.zeros(), var=v[c])
                )
    return net


def mixture_counts() -> bn.Network:
    """Counts, one of them a vector; every rate has a letter of its own."""
    with bn.Network("mixture_counts") as net:
        pi = bn.parameter("pi", bn.Simplex(3))
        with bn.plate("k", 3):
            rate = bn.parameter("rate", bn.Positive())
            rates = bn.parameter("rates", bn.Positive(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Poisson(rate[z]))
            bn.observed("y", bn.Poisson(rates[z]))
    return net


def mixture_times() -> bn.Network:
    """Waiting times, alone and as vectors."""
    with bn.Network("mixture_times") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            rate = bn.parameter("rate", bn.Positive())
            rates = bn.parameter("rates", bn.Positive(3))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Exponential(rate[z]))
            bn.observed("y", bn.Exponential(rates[z]))
    return net


def mixture_answers() -> bn.Network:
    """Yes or no to each of several items, and a count of something that all share."""
    with bn.Network("mixture_answers") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        common = bn.parameter("common", bn.Positive())
        with bn.plate("k", 2), bn.plate("item", 4):
            theta = bn.parameter("theta", bn.Probability())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("c", bn.Poisson(common))
            with bn.plate("item", 4):
                bn.observed("x", bn.Bernoulli(theta[z]))
    return net


def members_alike() -> bn.Network:
    """Members of a sized plate below one latent: some have parameters of their own, some share them."""
    with bn.Network("members_alike") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            v = bn.parameter("v", bn.Positive())
            rates = bn.parameter("rates", bn.Positive(2))
            with bn.plate("item", 3):
                mu = bn.parameter("mu", bn.Real())
        with bn.plate("item", 3):
            speed = bn.parameter("speed", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            with bn.plate("item", 3):
                bn.observed("x", bn.Normal(mu[z], var=v[z]))
                bn.observed("c", bn.Poisson(rates[z]))
                bn.observed("w", bn.Exponential(speed))
    return net


def steps_alike() -> bn.Network:
    """A chain in no plate, of which nothing is latent."""
    with bn.Network("steps_alike") as net:
        rate, mu = bn.parameter("rate", bn.Positive()), bn.parameter("mu", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.chain("t"):
            bn.observed("x", bn.Poisson(rate))
            bn.observed("y", bn.Normal(mu, var=v))
    return net


def hidden_yes() -> bn.Network:
    """Latent variables that are Bernoulli, one below the other, and a probability with two uses."""
    with bn.Network("hidden_yes") as net:
        p = bn.parameter("p", bn.Probability())
        with bn.plate("i", 2):
            q = bn.parameter("q", bn.Probability())
            mu = bn.parameter("mu", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            a = bn.latent("a", bn.Bernoulli(p))
            b = bn.latent("b", bn.Bernoulli(q[a]))
            bn.observed("y", bn.Bernoulli(q[b]))
            bn.observed("x", bn.Normal(mu[b], var=v))
    return net


def rates_and_chances() -> bn.Network:
    """Conjugate priors of rates and probabilities, flat ones and those of each state among them."""
    with bn.Network("rates_and_chances") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            rate = bn.parameter("rate", bn.Positive(2), prior=bn.Gamma([[2.0, 1.5], [3.0, 2.0]], 0.5))
            speed = bn.parameter("speed", bn.Positive(), prior=bn.Gamma(1.0, 2.0))
            p = bn.parameter("p", bn.Probability(), prior=bn.Beta(2.0, 1.0))
            q = bn.parameter("q", bn.Probability(), prior=bn.Beta([1.0, 3.0], [2.5, 2.0]))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Poisson(rate[z]))
            bn.observed("w", bn.Exponential(speed[z]))
            bn.observed("y", bn.Bernoulli(p[z]))
            bn.observed("u", bn.Bernoulli(q[z]))
    return net


def chain_counts() -> bn.Network:
    """Counts, waiting times and answers along a chain; one rate is fixed."""
    with bn.Network("chain_counts") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            rate = bn.parameter("rate", bn.Positive())
            p = bn.parameter("p", bn.Probability())
            speed = bn.parameter("speed", bn.Positive(), value=[0.5, 3.0])
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Poisson(rate[z]))
            bn.observed("w", bn.Exponential(speed[z]))
            bn.observed("y", bn.Bernoulli(p[z]))
    return net


def chain_of_answers() -> bn.Network:
    """A chain whose states are themselves yes or no."""
    with bn.Network("chain_of_answers") as net:
        start = bn.parameter("start", bn.Probability())
        with bn.plate("k", 2):
            stay = bn.parameter("stay", bn.Probability())
            rate = bn.parameter("rate", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Bernoulli(stay[bn.previous("z")]), first=bn.Bernoulli(start))
            bn.observed("x", bn.Exponential(rate[z]))
    return net


def mixture_durations() -> bn.Network:
    """Gammas of scalars and of vectors: both of their own, one fixed or shared, a rate with a prior."""
    with bn.Network("mixture_durations") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        shape = bn.parameter("shape", bn.Positive(2))
        with bn.plate("k", 2):
            a = bn.parameter("a", bn.Positive())
            b = bn.parameter("b", bn.Positive())
            speed = bn.parameter("speed", bn.Positive())
            slow = bn.parameter("slow", bn.Positive(), prior=bn.Gamma(3.0, 2.0))
            known = bn.parameter("known", bn.Positive(), value=[2.0, 0.5])
            form = bn.parameter("form", bn.Positive(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Gamma(a[z], b[z]))
            bn.observed("w", bn.Gamma(shape, speed[z]))
            bn.observed("y", bn.Gamma(known[z], slow[z]))
            bn.observed("v", bn.Gamma(form[z], 1.5))
    return net


def chain_durations() -> bn.Network:
    """One concentration for all states, each of which has its own rate; and a concentration beside a rate with a prior."""
    with bn.Network("chain_durations") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        a = bn.parameter("a", bn.Positive())
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            b = bn.parameter("b", bn.Positive(2))
            c = bn.parameter("c", bn.Positive())
            d = bn.parameter("d", bn.Positive(), prior=bn.Gamma(2.0, 1.0))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Gamma(a, b[z]))
            bn.observed("w", bn.Gamma(c[z], d[z]))
    return net


def mixture_unigrams() -> bn.Network:
    """Vectors of counts, whose probabilities have a prior, or are read by an observed category too."""
    with bn.Network("mixture_unigrams") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            word = bn.parameter("word", bn.Simplex(4))
            link = bn.parameter("link", bn.Simplex(3), prior=bn.Dirichlet(2.0))
            with bn.plate("l", 2):
                style = bn.parameter("style", bn.Simplex(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            u = bn.given("u", bn.Integer(2))
            bn.observed("x", bn.Multinomial(word[z]))
            bn.observed("y", bn.Multinomial(link[z]))
            bn.observed("w", bn.Multinomial(style[z, u]))
    return net


def chain_words() -> bn.Network:
    with bn.Network("chain_words") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            word = bn.parameter("word", bn.Simplex(3))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.Multinomial(word[z]))
    return net


def clinic() -> bn.Network:
    """Latents in a loop, read by tables in another order than they were declared in; one is read by nothing."""
    with bn.Network("clinic") as net:
        p = bn.parameter("p", bn.Simplex(2))
        with bn.plate("a", 2):
            q = bn.parameter("q", bn.Simplex(3))
            r = bn.parameter("r", bn.Simplex(2))
            with bn.plate("b", 3):
                s = bn.parameter("s", bn.Simplex(2))
        with bn.plate("c", 2):
            u = bn.parameter("u", bn.Simplex(2))
        with bn.plate("n"):
            cause = bn.latent("cause", bn.Categorical(p))
            left = bn.latent("left", bn.Categorical(q[cause]))
            right = bn.latent("right", bn.Categorical(r[cause]))
            both = bn.latent("both", bn.Categorical(s[right, left]))
            bn.observed("x", bn.Categorical(u[both]))
            bn.observed("y", bn.Categorical(s[cause, left]))
            bn.latent("unseen", bn.Categorical(r[right]))
    return net


def mixture_heavy() -> bn.Network:
    """Student t of scalars and of vectors: df fixed, learnt, and learnt for each state; every kind of scale."""
    with bn.Network("mixture_heavy") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        nu = bn.parameter("nu", bn.Positive())
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma = bn.parameter("Sigma", bn.Covariance(2))
            m = bn.parameter("m", bn.Real())
            s = bn.parameter("s", bn.Positive())
            df = bn.parameter("df", bn.Positive())
            c = bn.parameter("c", bn.Real(2))
            d = bn.parameter("d", bn.Positive(2))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.StudentT(nu, mu[z], scale_matrix=Sigma[z]))
            bn.observed("y", bn.StudentT(df[z], m[z], scale=s[z]))
            bn.observed("w", bn.StudentT(4.0, c[z], scale=d[z]))
    return net


def heavy_priors() -> bn.Network:
    """A scale matrix for all states, one for each with a prior, and means with one; one member's state is given."""
    with bn.Network("heavy_priors") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        Sigma = bn.parameter("Sigma", bn.Covariance(2))
        t = bn.parameter("t", bn.Positive())
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2), prior=bn.Normal([0.0, 1.0], var=4.0))
            Psi = bn.parameter("Psi", bn.Covariance(2), prior=bn.InverseWishart(5.0, np.eye(2)))
            c = bn.parameter("c", bn.Real(2))
            nu = bn.parameter("nu", bn.Positive())
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            u = bn.given("u", bn.Integer(2))
            bn.observed("x", bn.StudentT(nu[u], mu[z], scale_matrix=Sigma))
            bn.observed("y", bn.StudentT(3.0, c[z], scale_matrix=Psi[z]))
            bn.observed("v", bn.StudentT(2.5, bn.constant([0.0, 1.0]), scale=t))
    return net


def chain_heavy() -> bn.Network:
    with bn.Network("chain_heavy") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            m = bn.parameter("m", bn.Real())
            s = bn.parameter("s", bn.Positive())
            nu = bn.parameter("nu", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            bn.observed("x", bn.StudentT(nu[z], m[z], scale=s[z]))
    return net


def mixture_trials() -> bn.Network:
    with bn.Network("mixture_trials") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            p = bn.parameter("p", bn.Probability())
            q = bn.parameter("q", bn.Probability(), prior=bn.Beta(2.0, 3.0))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Geometric(p[z]))
            bn.observed("y", bn.Geometric(q[z]))
    return net


def shared_means() -> bn.Network:
    """Vectors that share means, scales or rates, read by latents of their own."""
    with bn.Network("shared_means") as net:
        p = bn.parameter("p", bn.Simplex(2))
        Psi = bn.parameter("Psi", bn.Covariance(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            v = bn.parameter("v", bn.Positive())
            a = bn.parameter("a", bn.Positive(2))
            b = bn.parameter("b", bn.Positive(2))
            c = bn.parameter("c", bn.Real(2))
        d, e = bn.parameter("d", bn.Positive()), bn.parameter("e", bn.Positive())
        with bn.plate("n"):
            y = bn.latent("y", bn.Categorical(p))
            z = bn.latent("z", bn.Categorical(p))
            bn.observed("w", bn.Normal(mu[z], var=v[z]))
            bn.observed("x", bn.Normal(mu[y], cov=Psi))
            bn.observed("s", bn.Gamma(a[z], b[z]))
            bn.observed("t", bn.Gamma(a[y], b[y]))
            bn.observed("u", bn.Normal(c[y], var=d))
            bn.observed("q", bn.Normal(c[z], var=e))
    return net


LEFT_TO_RIGHT = {
    "pi": np.array([False, True, True]),
    "A": np.tri(3, k=-1, dtype=bool) | ~np.tri(3, k=1, dtype=bool),
}
RAGGED: Mapping[str, Layout] = {"sequence": (4, 1, 3, 4, 2, 3, 4)}  # one sequence has a single step
LONGER: Mapping[str, Layout] = {"sequence": (5, 1, 4, 5, 3, 5, 4, 5)}  # rows enough for three covariances


def covariances_in_parts() -> bn.Network:
    """LKJ priors: of each component with scales for each row, of one covariance that all share, of each state its own."""
    with bn.Network("covariances_in_parts") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(3))
            Sigma = bn.parameter("Sigma", bn.Covariance(3), prior=bn.LKJ(2.0, scale=[1.0, 2.0, 0.5]))
            S = bn.parameter("S", bn.Covariance(2), prior=bn.LKJ([0.7, 3.0], scale=[[1.0, 2.0], [3.0, 4.0]]))
        Sigma_root = bn.parameter("Sigma_root", bn.Covariance(2), prior=bn.LKJ(1.0, scale=1.5))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(mu[z], cov=Sigma[z]))
            bn.observed("Sigma_std", bn.Normal(bn.zeros(2), cov=Sigma_root))
            bn.observed("y", bn.Normal(bn.zeros(2), cov=S[z]))
    return net


def covariances_inside_plates() -> bn.Network:
    """The plate of the covariances is not the innermost one of the model; and one scale for each member."""
    with bn.Network("covariances_inside_plates") as net:
        with bn.plate("site", 3):
            S = bn.parameter("S", bn.Covariance(2), prior=bn.LKJ(1.5, scale=[1.0, 2.0, 3.0]))
        with bn.plate("n"), bn.plate("site"), bn.plate("item", 2):
            bn.observed("x", bn.Normal(bn.zeros(2), cov=S))
    return net


def half_normal_spreads() -> bn.Network:
    with bn.Network("half_normal_spreads") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            s = bn.parameter("s", bn.Positive(2), prior=bn.HalfNormal([1.0, 3.0]))
        t = bn.parameter("t", bn.Positive(), prior=bn.HalfNormal(2.0))
        with bn.plate("n"):
            z = bn.latent("z", bn.Categorical(pi))
            bn.observed("x", bn.Normal(bn.zeros(2), std=s[z]))
            bn.observed("y", bn.Normal(0.0, std=t))
    return net


EXAMPLES = (
    Example(mixture_scalar, {"n": 19}),
    Example(mixture_full, {"n": 24}),
    Example(mixture_diagonal, {"n": 17}),
    Example(mixture_spherical, {"n": 13}),
    Example(mixture_tied, {"n": 13}),
    Example(mixture_std, {"n": 13}),
    Example(mixture_wide, {"n": 60}),
    Example(mixture_wide_diagonal, {"n": 60}),
    Example(mixture_of_one_number, {"n": 12}),
    Example(naive_bayes, {"n": 15}),
    Example(two_causes, {"n": 30}),
    Example(shared_table, {"n": 16}),
    Example(clinic, {"n": 7}),
    Example(cascade, {"n": 24}),
    Example(grouped_rows, {"group": (3, 1, 5, 2, 4, 6, 5)}),
    Example(group_and_row, {"group": (3, 1, 2, 4, 5, 3)}),
    Example(three_levels, {"a": ((2, 1), (3,), (1, 1, 2), (4, 2))}),
    Example(fully_observed, {"n": 14}),
    Example(observed_family, {"n": 16}),
    Example(fixed_parts, {"n": 16}),
    Example(priors, {"n": 9}),
    Example(prior_on_mean, {"n": 12}),
    Example(prior_of_each_state, {"n": 12}),
    Example(regressions, {"n": 24}),
    Example(regressions_of_vectors, {"n": 40}),
    Example(regression_through_zero, {"n": 15}),
    Example(regressions_with_diagonal_spread, {"n": 20}),
    Example(one_slope_for_all, {"n": 20}),
    Example(coupled_entries, {"n": 30}),
    Example(additive_tables, {"n": 30}),
    Example(two_children_of_a_slope, {"n": 24}),
    Example(known_deviations, {"n": 16}),
    Example(slopes_with_priors, {"n": 14}),
    Example(regression_on_the_group, {"group": (3, 1, 5, 2, 4, 6, 5)}),
    Example(lines_observed, {"n": 14}),
    Example(chain_of_regressions, LONGER),
    Example(autoregression, LONGER),
    Example(autoregression_of_order_two, {"sequence": (6, 1, 5, 2, 6, 5, 6)}),
    Example(autoregression_observed, {"t": 14}),
    Example(mixture_of_autoregressions, LONGER),
    Example(mixture_counts, {"n": 17}),
    Example(mixture_times, {"n": 17}),
    Example(mixture_answers, {"n": 13}),
    Example(members_alike, {"n": 11}),
    Example(steps_alike, {"t": 9}),
    Example(hidden_yes, {"n": 14}),
    Example(rates_and_chances, {"n": 11}),
    Example(mixture_durations, {"n": 17}),
    Example(chain_durations, RAGGED),
    Example(mixture_unigrams, {"n": 14}),
    Example(mixture_unigrams, {"n": 14}, {"word": np.array([[False] * 4, [True] + [False] * 3])}),
    Example(chain_words, RAGGED),
    Example(shared_means, {"n": 13}),
    Example(mixture_trials, {"n": 14}),
    Example(mixture_heavy, {"n": 24}),
    Example(heavy_priors, {"n": 15}),
    Example(chain_heavy, RAGGED),
    Example(chain_counts, RAGGED),
    Example(chain_of_answers, RAGGED),
    Example(chain_gaussian, LONGER),
    Example(chain_wide, {"sequence": (5, 1, 4, 5, 3, 5, 4, 5) * 4}),
    Example(chain_categorical, RAGGED),
    Example(chain_categorical, {"sequence": (5, 2, 4, 5)}, LEFT_TO_RIGHT),
    Example(chain_alone, {"t": 10}),
    Example(second_order, RAGGED),
    Example(second_order, {"sequence": (1, 1, 1, 1, 1)}),
    Example(second_order, {"sequence": (2, 1, 2, 2, 2, 2)}),
    Example(long_memory, {"sequence": (5, 1, 3, 4, 2, 5)}),
    Example(driven_pairs, {"sequence": (5, 1, 4, 5, 3, 5, 4, 5)}),
    Example(two_chains, RAGGED),
    Example(chain_of_mixtures, RAGGED),
    Example(mixture_of_chains, RAGGED),
    Example(fresh_causes, RAGGED),
    Example(driven_chain, LONGER),
    Example(autoregressive, LONGER),
)
"""What exact EM is derived for."""

SAMPLED = (
    Example(covariances_in_parts, {"n": 12}),
    Example(covariances_inside_plates, {"n": 4}),
    Example(half_normal_spreads, {"n": 12}),
)
"""Priors that EM has no update for: samplers take them."""

LATER = (Example(moves_seen, {"sequence": (5, 1, 2, 3)}),)
"""What can be declared, and is refused by name until it is derived."""
