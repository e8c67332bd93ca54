"""Small networks with Gaussian latents that all laws are held against, one for each thing that their structure can be."""

from __future__ import annotations

from collections.abc import Mapping

import bnlab as bn
from bnlab.runtime.proof.draws import Layout
from tests.networks import Example


def two_covariances() -> bn.Network:
    """A latent of the group is the mean of its rows."""
    with bn.Network("two_covariances") as net:
        mu = bn.parameter("mu", bn.Real(2))
        Sigma_ac = bn.parameter("Sigma_ac", bn.Covariance(2))
        Sigma_wc = bn.parameter("Sigma_wc", bn.Covariance(2))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(mu, cov=Sigma_ac))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, cov=Sigma_wc))
    return net


def subspace() -> bn.Network:
    """A latent of the group in fewer dimensions than the rows."""
    with bn.Network("subspace") as net:
        mu = bn.parameter("mu", bn.Real(3))
        V = bn.parameter("V", bn.Real(3, 2))
        Sigma = bn.parameter("Sigma", bn.Covariance(3))
        with bn.plate("group"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(V @ y + mu, cov=Sigma))
    return net


def group_and_channel() -> bn.Network:
    """A latent of the group and one of each row add."""
    with bn.Network("group_and_channel") as net:
        mu = bn.parameter("mu", bn.Real(2))
        B = bn.parameter("B", bn.Covariance(2))
        C = bn.parameter("C", bn.Covariance(2))
        v = bn.parameter("v", bn.Positive(2))
        with bn.plate("group"):
            s = bn.latent("s", bn.Normal(mu, cov=B))
            with bn.plate("row"):
                c = bn.latent("c", bn.Normal(bn.zeros(2), cov=C))
                bn.observed("x", bn.Normal(s + c, var=v))
    return net


def channel_with_rows() -> bn.Network:
    """Latents in nested plates, each with a loading, seen several times each."""
    with bn.Network("channel_with_rows") as net:
        mu = bn.parameter("mu", bn.Real(3))
        V = bn.parameter("V", bn.Real(3, 2))
        U = bn.parameter("U", bn.Real(3))
        v = bn.parameter("v", bn.Positive(3))
        with bn.plate("group"):
            s = bn.latent("s", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            with bn.plate("session"):
                c = bn.latent("c", bn.Normal(bn.zeros(), var=bn.constant(1.0)))
                with bn.plate("row"):
                    bn.observed("x", bn.Normal(V @ s + c * U + mu, var=v))
    return net


def nested_means() -> bn.Network:
    """Intercepts of three nested plates: each is the mean of those within."""
    with bn.Network("nested_means") as net:
        mu = bn.parameter("mu", bn.Real())
        a2 = bn.parameter("a2", bn.Positive())
        b2 = bn.parameter("b2", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("school"):
            a = bn.latent("a", bn.Normal(mu, var=a2))
            with bn.plate("room"):
                b = bn.latent("b", bn.Normal(a, var=b2))
                with bn.plate("pupil"):
                    bn.observed("x", bn.Normal(b, var=v))
    return net


def nested_effects() -> bn.Network:
    """Effects of three nested plates that add, with something observed at each level."""
    with bn.Network("nested_effects") as net:
        mu = bn.parameter("mu", bn.Real())
        m = bn.parameter("m", bn.Real())
        a2 = bn.parameter("a2", bn.Positive())
        b2 = bn.parameter("b2", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        w = bn.parameter("w", bn.Positive())
        with bn.plate("school"):
            a = bn.latent("a", bn.Normal(bn.zeros(), var=a2))
            bn.observed("size", bn.Normal(a + m, var=w))
            with bn.plate("room"):
                b = bn.latent("b", bn.Normal(bn.zeros(), var=b2))
                with bn.plate("pupil"):
                    bn.observed("x", bn.Normal(mu + a + b, var=v))
    return net


def intercept() -> bn.Network:
    """A random intercept beside the fixed effect of a covariate."""
    with bn.Network("intercept") as net:
        mu = bn.parameter("mu", bn.Real())
        beta = bn.parameter("beta", bn.Real())
        tau2 = bn.parameter("tau2", bn.Positive())
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("batch"):
            a = bn.latent("a", bn.Normal(bn.zeros(), var=tau2))
            with bn.plate("row"):
                u = bn.given("u", bn.Real())
                bn.observed("x", bn.Normal(a + beta * u + mu, var=sigma2))
    return net


def slopes() -> bn.Network:
    """A random slope and a random intercept with a covariance, u the covariate of a row."""
    with bn.Network("slopes") as net:
        mu = bn.parameter("mu", bn.Real())
        beta = bn.parameter("beta", bn.Real())
        a2 = bn.parameter("a2", bn.Positive())
        b2 = bn.parameter("b2", bn.Positive())
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("batch"):
            a = bn.latent("a", bn.Normal(mu, var=a2))
            b = bn.latent("b", bn.Normal(beta, var=b2))
            with bn.plate("row"):
                u = bn.given("u", bn.Real())
                bn.observed("x", bn.Normal(a + u * b, var=sigma2))
    return net


def coefficients() -> bn.Network:
    """Random coefficients of several covariates, with a full covariance: u @ b."""
    with bn.Network("coefficients") as net:
        beta = bn.parameter("beta", bn.Real(2))
        B = bn.parameter("B", bn.Covariance(2))
        sigma2 = bn.parameter("sigma2", bn.Positive())
        with bn.plate("batch"):
            b = bn.latent("b", bn.Normal(beta, cov=B))
            with bn.plate("row"):
                u = bn.given("u", bn.Real(2))
                bn.observed("x", bn.Normal(u @ b, var=sigma2))
    return net


def eight_schools() -> bn.Network:
    """Effects whose standard errors are given."""
    with bn.Network("eight_schools") as net:
        mu = bn.parameter("mu", bn.Real())
        tau = bn.parameter("tau", bn.Positive())
        with bn.plate("school"):
            std = bn.given("std", bn.Positive())
            theta = bn.latent("theta", bn.Normal(mu, std=tau))
            bn.observed("effect", bn.Normal(theta, std=std))
    return net


def probabilistic_components() -> bn.Network:
    """Factors below spherical noise."""
    with bn.Network("probabilistic_components") as net:
        W = bn.parameter("W", bn.Real(3, 2))
        mu = bn.parameter("mu", bn.Real(3))
        v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W @ y + mu, var=v))
    return net


def factors() -> bn.Network:
    """Factors below diagonal noise."""
    with bn.Network("factors") as net:
        W = bn.parameter("W", bn.Real(3, 2))
        mu = bn.parameter("mu", bn.Real(3))
        psi = bn.parameter("psi", bn.Positive(3))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W @ y + mu, var=psi))
    return net


def one_factor() -> bn.Network:
    """A scalar latent that loads on every entry, with standard deviations for spreads."""
    with bn.Network("one_factor") as net:
        w = bn.parameter("w", bn.Real(3))
        mu = bn.parameter("mu", bn.Real(3))
        s = bn.parameter("s", bn.Positive(3))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(), std=bn.constant(1.0)))
            bn.observed("x", bn.Normal(w * y + mu, std=s))
    return net


def mixture_of_factors() -> bn.Network:
    with bn.Network("mixture_of_factors") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            W = bn.parameter("W", bn.Real(3, 2))
            mu = bn.parameter("mu", bn.Real(3))
            psi = bn.parameter("psi", bn.Positive(3))
        with bn.plate("n"):
            c = bn.latent("c", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W[c] @ y + mu[c], var=psi[c]))
    return net


def mixture_of_tied_factors() -> bn.Network:
    """The class selects the latent's mean alone; the loading and the noise are common."""
    with bn.Network("mixture_of_tied_factors") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        W = bn.parameter("W", bn.Real(3, 2))
        mu = bn.parameter("mu", bn.Real(3))
        Psi = bn.parameter("Psi", bn.Covariance(3))
        with bn.plate("k", 2):
            m = bn.parameter("m", bn.Real(2))
            S = bn.parameter("S", bn.Covariance(2))
        with bn.plate("n"):
            c = bn.latent("c", bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(m[c], cov=S[c]))
            bn.observed("x", bn.Normal(W @ y + mu, cov=Psi))
    return net


def mixture_of_groups() -> bn.Network:
    """A class for each group, whose latent is the mean of its rows."""
    with bn.Network("mixture_of_groups") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        Sigma_wc = bn.parameter("Sigma_wc", bn.Covariance(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            Sigma_ac = bn.parameter("Sigma_ac", bn.Covariance(2))
        with bn.plate("group"):
            c = bn.latent("c", bn.Categorical(pi))
            z = bn.latent("z", bn.Normal(mu[c], cov=Sigma_ac[c]))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, cov=Sigma_wc))
    return net


def group_above_classes() -> bn.Network:
    """A class of the group selects what a Gaussian latent of every row is."""
    with bn.Network("group_above_classes") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            W = bn.parameter("W", bn.Real(2))
            mu = bn.parameter("mu", bn.Real(2))
        v = bn.parameter("v", bn.Positive(2))
        with bn.plate("group"):
            c = bn.latent("c", bn.Categorical(pi))
            with bn.plate("row"):
                y = bn.latent("y", bn.Normal(bn.zeros(), var=bn.constant(1.0)))
                bn.observed("x", bn.Normal(W[c] * y + mu[c], var=v))
    return net


def chain_of_three() -> bn.Network:
    """Gaussian parents one above the other in one plate."""
    with bn.Network("chain_of_three") as net:
        a0 = bn.parameter("a0", bn.Real(2))
        A = bn.parameter("A", bn.Covariance(2))
        G = bn.parameter("G", bn.Real(2, 2))
        g = bn.parameter("g", bn.Real(2))
        b2 = bn.parameter("b2", bn.Positive(2))
        h = bn.parameter("h", bn.Real(2))
        v = bn.parameter("v", bn.Positive())
        with bn.plate("n"):
            a = bn.latent("a", bn.Normal(a0, cov=A))
            b = bn.latent("b", bn.Normal(G @ a + g, var=b2))
            bn.observed("x", bn.Normal(h @ b, var=v))
    return net


def fork() -> bn.Network:
    """One latent with two latent children, each observed."""
    with bn.Network("fork") as net:
        a2 = bn.parameter("a2", bn.Positive())
        m = bn.parameter("m", bn.Real())
        w = bn.parameter("w", bn.Real())
        b2 = bn.parameter("b2", bn.Positive())
        C = bn.parameter("C", bn.Covariance(2))
        d = bn.parameter("d", bn.Real(2))
        v = bn.parameter("v", bn.Positive())
        V = bn.parameter("V", bn.Covariance(2))
        with bn.plate("n"):
            a = bn.latent("a", bn.Normal(m, var=a2))
            b = bn.latent("b", bn.Normal(w * a, var=b2))
            c = bn.latent("c", bn.Normal(d * a, cov=C))
            bn.observed("x", bn.Normal(b, var=v))
            bn.observed("y", bn.Normal(c, cov=V))
    return net


def explaining_away() -> bn.Network:
    """Two independent latents meet in one child; one of them has another child."""
    with bn.Network("explaining_away") as net:
        A = bn.parameter("A", bn.Covariance(2))
        m = bn.parameter("m", bn.Real())
        b2 = bn.parameter("b2", bn.Positive())
        F = bn.parameter("F", bn.Real(3, 2))
        f = bn.parameter("f", bn.Real(3))
        v = bn.parameter("v", bn.Positive(3))
        w = bn.parameter("w", bn.Positive())
        with bn.plate("n"):
            a = bn.latent("a", bn.Normal(bn.zeros(2), cov=A))
            b = bn.latent("b", bn.Normal(m, var=b2))
            bn.observed("x", bn.Normal(F @ a + f * b, var=v))
            bn.observed("y", bn.Normal(b, var=w))
    return net


def observed_parent() -> bn.Network:
    """An observed Gaussian is a regressor of a latent, and of an observed variable beside it."""
    with bn.Network("observed_parent") as net:
        m = bn.parameter("m", bn.Real(2))
        S = bn.parameter("S", bn.Covariance(2))
        B = bn.parameter("B", bn.Real(2, 2))
        b = bn.parameter("b", bn.Real(2))
        Y = bn.parameter("Y", bn.Covariance(2))
        c = bn.parameter("c", bn.Real(2))
        v = bn.parameter("v", bn.Positive(2))
        with bn.plate("n"):
            u = bn.observed("u", bn.Normal(m, cov=S))
            y = bn.latent("y", bn.Normal(B @ u + b, cov=Y))
            bn.observed("x", bn.Normal(y + c * u, var=v))
    return net


def mediator() -> bn.Network:
    """An observed Gaussian between two latents."""
    with bn.Network("mediator") as net:
        a2 = bn.parameter("a2", bn.Positive())
        m = bn.parameter("m", bn.Real())
        u2 = bn.parameter("u2", bn.Positive())
        w = bn.parameter("w", bn.Real())
        y2 = bn.parameter("y2", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("group"):
            a = bn.latent("a", bn.Normal(m, var=a2))
            with bn.plate("row"):
                u = bn.observed("u", bn.Normal(a, var=u2))
                y = bn.latent("y", bn.Normal(w * u, var=y2))
                bn.observed("x", bn.Normal(y - a, var=v))
    return net


def linear_chain() -> bn.Network:
    with bn.Network("linear_chain") as net:
        F = bn.parameter("F", bn.Real(2, 2))
        Q = bn.parameter("Q", bn.Covariance(2))
        H = bn.parameter("H", bn.Real(3, 2))
        R = bn.parameter("R", bn.Covariance(3))
        m0 = bn.parameter("m0", bn.Real(2))
        P0 = bn.parameter("P0", bn.Covariance(2))
        with bn.plate("sequence"), bn.chain("t"):
            y = bn.latent("y", bn.Normal(F @ bn.previous("y"), cov=Q), first=bn.Normal(m0, cov=P0))
            bn.observed("x", bn.Normal(H @ y, cov=R))
    return net


def linear_chain_alone() -> bn.Network:
    """A chain in no plate, with offsets; a single sequence tells little of the first state, so that is fixed."""
    with bn.Network("linear_chain_alone") as net:
        F = bn.parameter("F", bn.Real(2, 2))
        f = bn.parameter("f", bn.Real(2))
        Q = bn.parameter("Q", bn.Covariance(2))
        H = bn.parameter("H", bn.Real(2, 2))
        h = bn.parameter("h", bn.Real(2))
        R = bn.parameter("R", bn.Positive(2))
        with bn.chain("t"):
            y = bn.latent(
                "y",
                bn.Normal(F @ bn.previous("y") + f, cov=Q),
                first=bn.Normal(bn.zeros(2), cov=bn.constant([[2.0, 0.5], [0.5, 1.0]])),
            )
            bn.observed("x", bn.Normal(H @ y + h, var=R))
    return net


def controlled_chain() -> bn.Network:
    """Inputs drive the state and show in the observation."""
    with bn.Network("controlled_chain") as net:
        F = bn.parameter("F", bn.Real(2, 2))
        B = bn.parameter("B", bn.Real(2, 2))
        Q = bn.parameter("Q", bn.Positive(2))
        H = bn.parameter("H", bn.Real(2, 2))
        D = bn.parameter("D", bn.Real(2, 2))
        R = bn.parameter("R", bn.Covariance(2))
        m0 = bn.parameter("m0", bn.Real(2))
        P0 = bn.parameter("P0", bn.Covariance(2))
        with bn.plate("sequence"), bn.chain("t"):
            u = bn.given("u", bn.Real(2))
            y = bn.latent("y", bn.Normal(F @ bn.previous("y") + B @ u, var=Q), first=bn.Normal(m0, cov=P0))
            bn.observed("x", bn.Normal(H @ y + D @ u, cov=R))
    return net


def local_level() -> bn.Network:
    """A random walk seen through noise; all scalars, the first level fixed."""
    with bn.Network("local_level") as net:
        eta = bn.parameter("eta", bn.Positive())
        eps = bn.parameter("eps", bn.Positive())
        with bn.plate("series"), bn.chain("t"):
            y = bn.latent(
                "y", bn.Normal(bn.previous("y"), var=eta), first=bn.Normal(bn.zeros(), var=bn.constant(100.0))
            )
            bn.observed("x", bn.Normal(y, var=eps))
    return net


def level_and_slope() -> bn.Network:
    """Two latents a step: the level moves by the slope, which walks by itself."""
    with bn.Network("level_and_slope") as net:
        q = bn.parameter("q", bn.Positive())
        r = bn.parameter("r", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        m = bn.parameter("m", bn.Real())
        p = bn.parameter("p", bn.Positive())
        with bn.plate("series"), bn.chain("t"):
            bn.latent(
                "slope",
                bn.Normal(bn.previous("slope"), var=r),
                first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
            )
            level = bn.latent(
                "level",
                bn.Normal(bn.previous("level") + bn.previous("slope"), var=q),
                first=bn.Normal(m, var=p),
            )
            bn.observed("x", bn.Normal(level, var=v))
    return net


def coupled_chains() -> bn.Network:
    """A vector and a scalar that move one another, one of them within the step; an input drives, and each is seen."""
    with bn.Network("coupled_chains") as net:
        F = bn.parameter("F", bn.Real(2, 2))
        g = bn.parameter("g", bn.Real(2))
        Q = bn.parameter("Q", bn.Covariance(2))
        h = bn.parameter("h", bn.Real(2))
        k = bn.parameter("k", bn.Real())
        beta = bn.parameter("beta", bn.Real())
        q = bn.parameter("q", bn.Positive())
        H = bn.parameter("H", bn.Real(2, 2))
        R = bn.parameter("R", bn.Positive(2))
        r = bn.parameter("r", bn.Positive())
        m = bn.parameter("m", bn.Real(2))
        with bn.plate("sequence"), bn.chain("t"):
            u = bn.given("u", bn.Real())
            y = bn.latent(
                "y",
                bn.Normal(F @ bn.previous("y") + g * bn.previous("w"), cov=Q),
                first=bn.Normal(m, cov=bn.eye(2)),
            )
            w = bn.latent(
                "w",
                bn.Normal(h @ y + k * bn.previous("w") + beta * u, var=q),
                first=bn.Normal(h @ y, var=bn.constant(0.5)),
            )
            bn.observed("x", bn.Normal(H @ y, var=R))
            bn.observed("v", bn.Normal(w, var=r))
    return net


def shared_disturbance() -> bn.Network:
    """A latent of each step alone that moves the state and shows in the observation."""
    with bn.Network("shared_disturbance") as net:
        f = bn.parameter("f", bn.Real())
        g = bn.parameter("g", bn.Real())
        d = bn.parameter("d", bn.Positive())
        q = bn.parameter("q", bn.Positive())
        h = bn.parameter("h", bn.Real(2))
        v = bn.parameter("v", bn.Positive(2))
        with bn.plate("sequence"), bn.chain("t"):
            e = bn.latent("e", bn.Normal(bn.zeros(), var=d))
            y = bn.latent(
                "y",
                bn.Normal(f * bn.previous("y") + g * e, var=q),
                first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
            )
            bn.observed("x", bn.Normal(h * y + bn.constant([1.0, 2.0]) * e, var=v))
    return net


def effects_of_sequences() -> bn.Network:
    """A vector of each sequence, its mean chosen by a class, in the mean of every step and of what is observed."""
    with bn.Network("effects_of_sequences") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            m = bn.parameter("m", bn.Real(2))
            f = bn.parameter("f", bn.Real())
        A = bn.parameter("A", bn.Covariance(2))
        b = bn.parameter("b", bn.Real(2))
        q = bn.parameter("q", bn.Positive())
        h = bn.parameter("h", bn.Real(2))
        R = bn.parameter("R", bn.Covariance(2))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(pi))
            a = bn.latent("a", bn.Normal(m[c], cov=A))
            with bn.chain("t"):
                y = bn.latent(
                    "y",
                    bn.Normal(f[c] * bn.previous("y") + b @ a, var=q),
                    first=bn.Normal(b @ a, var=bn.constant(1.0)),
                )
                bn.observed("x", bn.Normal(a + h * y, cov=R))
    return net


def group_beside_chain() -> bn.Network:
    """A latent of the whole sequence shifts every observation of its chain."""
    with bn.Network("group_beside_chain") as net:
        a2 = bn.parameter("a2", bn.Positive())
        f = bn.parameter("f", bn.Real())
        q = bn.parameter("q", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"):
            a = bn.latent("a", bn.Normal(bn.zeros(), var=a2))
            with bn.chain("t"):
                y = bn.latent(
                    "y",
                    bn.Normal(f * bn.previous("y"), var=q),
                    first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
                )
                bn.observed("x", bn.Normal(y + a, var=v))
    return net


def noisy_steps() -> bn.Network:
    """Latents of each step that follow the chain: their covariances have a part of their own."""
    with bn.Network("noisy_steps") as net:
        F = bn.parameter("F", bn.Real())
        Q, U, R = (bn.parameter(name, bn.Positive()) for name in "QUR")
        with bn.plate("sequence"), bn.chain("t"):
            y = bn.latent("y", bn.Normal(F * bn.previous("y"), var=Q), first=bn.Normal(0, var=1))
            with bn.plate("sensor", 2):
                u = bn.latent("u", bn.Normal(y, var=U))
                with bn.plate("reading", 2):
                    bn.observed("x", bn.Normal(u, var=R))
    return net


def chains_of_sides() -> bn.Network:
    """Two chains to each sequence, with dynamics of their own, and two readings of each step."""
    with bn.Network("chains_of_sides") as net:
        R = bn.parameter("R", bn.Positive())
        with bn.plate("side", 2):
            F, Q = bn.parameter("F", bn.Real()), bn.parameter("Q", bn.Positive())
        with bn.plate("sequence"), bn.plate("side", 2), bn.chain("t"):
            y = bn.latent("y", bn.Normal(F * bn.previous("y"), var=Q), first=bn.Normal(0, var=1))
            with bn.plate("reading", 2):
                bn.observed("x", bn.Normal(y, var=R))
    return net


def mixture_of_linear_chains() -> bn.Network:
    """A class for each sequence selects its dynamics."""
    with bn.Network("mixture_of_linear_chains") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            F = bn.parameter("F", bn.Real(2, 2))
            Q = bn.parameter("Q", bn.Covariance(2))
            m0 = bn.parameter("m0", bn.Real(2))
        H = bn.parameter("H", bn.Real(2, 2))
        R = bn.parameter("R", bn.Positive(2))
        P0 = bn.parameter("P0", bn.Covariance(2))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(pi))
            with bn.chain("t"):
                y = bn.latent(
                    "y", bn.Normal(F[c] @ bn.previous("y"), cov=Q[c]), first=bn.Normal(m0[c], cov=P0)
                )
                bn.observed("x", bn.Normal(H @ y, var=R))
    return net


def steady_chains() -> bn.Network:
    """Known dynamics that forget: many steps stay well conditioned."""
    with bn.Network("steady_chains") as net:
        F = bn.constant([[0.7, 0.4], [-0.5, 0.6]])
        w = bn.parameter("w", bn.Simplex(2))
        H = bn.parameter("H", bn.Real(2, 2))
        R = bn.parameter("R", bn.Covariance(2))
        with bn.plate("k", 2):
            Q = bn.parameter("Q", bn.Covariance(2))
            P0 = bn.parameter("P0", bn.Covariance(2))
        with bn.plate("sequence"):
            c = bn.latent("c", bn.Categorical(w))
            with bn.chain("t"):
                y = bn.latent(
                    "y",
                    bn.Normal(F @ bn.previous("y"), cov=Q[c]),
                    first=bn.Normal(bn.zeros(2), cov=P0[c]),
                )
                bn.observed("x", bn.Normal(H @ y, cov=R))
    return net


def chain_with_factors() -> bn.Network:
    """A discrete chain whose every step has a Gaussian latent of its own."""
    with bn.Network("chain_with_factors") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            W = bn.parameter("W", bn.Real(3))
            mu = bn.parameter("mu", bn.Real(3))
            psi = bn.parameter("psi", bn.Positive(3))
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            y = bn.latent("y", bn.Normal(bn.zeros(), var=bn.constant(1.0)))
            bn.observed("x", bn.Normal(W[z] * y + mu[z], var=psi[z]))
    return net


def fixed_loading() -> bn.Network:
    """A known loading, a known start and a known noise; what is left is learnt."""
    with bn.Network("fixed_loading") as net:
        H = bn.parameter("H", bn.Real(2, 2), value=[[1.0, 0.0], [0.5, 1.0]])
        f = bn.parameter("f", bn.Real())
        Q = bn.parameter("Q", bn.Covariance(2))
        R = bn.parameter("R", bn.Covariance(2), value=[[0.5, 0.1], [0.1, 0.4]])
        with bn.plate("sequence"), bn.chain("t"):
            y = bn.latent(
                "y", bn.Normal(f * bn.previous("y"), cov=Q), first=bn.Normal(bn.zeros(2), cov=bn.eye(2))
            )
            bn.observed("x", bn.Normal(H @ y, cov=R))
    return net


def partly_fixed() -> bn.Network:
    """One of two regressors has a known coefficient; the other is learnt, with the offset."""
    with bn.Network("partly_fixed") as net:
        W = bn.parameter("W", bn.Real(2, 2))
        mu = bn.parameter("mu", bn.Real(2))
        Psi = bn.parameter("Psi", bn.Covariance(2))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            e = bn.latent("e", bn.Normal(bn.zeros(), var=bn.constant(1.0)))
            bn.observed("x", bn.Normal(W @ y + mu + bn.constant([1.0, 2.0]) * e, cov=Psi))
    return net


def tied_groups() -> bn.Network:
    """Classes with means of their own and one covariance, above and below."""
    with bn.Network("tied_groups") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            mu = bn.parameter("mu", bn.Real(2))
            b = bn.parameter("b", bn.Real(2))
        B = bn.parameter("B", bn.Covariance(2))
        W = bn.parameter("W", bn.Covariance(2))
        with bn.plate("group"):
            c = bn.latent("c", bn.Categorical(pi))
            z = bn.latent("z", bn.Normal(mu[c], cov=B))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z + b[c], cov=W))
    return net


def shared_parameters() -> bn.Network:
    """One loading and one covariance in two nodes, and a mean that is a latent's too."""
    with bn.Network("shared_parameters") as net:
        W = bn.parameter("W", bn.Real(2, 2))
        m = bn.parameter("m", bn.Real(2))
        S = bn.parameter("S", bn.Covariance(2))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(m, cov=S))
            bn.observed("x", bn.Normal(W @ y + m, cov=S))
            bn.observed("w", bn.Normal(W @ y, cov=S))
    return net


def unequal_spreads() -> bn.Network:
    """One loading in two nodes of different covariance: no closed form gives it and them together."""
    with bn.Network("unequal_spreads") as net:
        W = bn.parameter("W", bn.Real(2, 2))
        R = bn.parameter("R", bn.Covariance(2))
        S = bn.parameter("S", bn.Covariance(2))
        with bn.plate("n"):
            y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
            bn.observed("x", bn.Normal(W @ y, cov=R))
            bn.observed("w", bn.Normal(W @ y, cov=S))
    return net


def spherical_groups() -> bn.Network:
    """One variance for all entries, above and below; standard deviations."""
    with bn.Network("spherical_groups") as net:
        mu = bn.parameter("mu", bn.Real(2))
        b = bn.parameter("b", bn.Positive())
        w = bn.parameter("w", bn.Positive())
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(mu, var=b))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, std=w))
    return net


def items_of_groups() -> bn.Network:
    """Latents in a plate with a size: one for each item, with a mean of its own."""
    with bn.Network("items_of_groups") as net:
        v = bn.parameter("v", bn.Positive())
        with bn.plate("item", 3):
            mu = bn.parameter("mu", bn.Real())
            tau2 = bn.parameter("tau2", bn.Positive())
        with bn.plate("group"), bn.plate("item", 3):
            y = bn.latent("y", bn.Normal(mu, var=tau2))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(y, var=v))
    return net


def answers_of_persons() -> bn.Network:
    """A latent of the person below every item of a plate with a size."""
    with bn.Network("answers_of_persons") as net:
        with bn.plate("item", 3):
            a = bn.parameter("a", bn.Real())
            b = bn.parameter("b", bn.Real())
            v = bn.parameter("v", bn.Positive())
        with bn.plate("person"):
            y = bn.latent("y", bn.Normal(bn.zeros(), var=bn.constant(1.0)))
            with bn.plate("item", 3):
                bn.observed("x", bn.Normal(a * y + b, var=v))
    return net


def never_apart() -> bn.Network:
    """Groups that do not differ: the variance between them is fixed to 0, and so must their mean be."""
    with bn.Network("never_apart") as net:
        mu = bn.parameter("mu", bn.Real(), value=0.7)
        beta = bn.parameter("beta", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(mu, var=bn.constant(0.0)))
            with bn.plate("row"):
                u = bn.given("u", bn.Real())
                bn.observed("x", bn.Normal(z + beta * u, var=v))
    return net


def thin_groups() -> bn.Network:
    """A covariance between groups that has no spread along one direction."""
    with bn.Network("thin_groups") as net:
        v = bn.parameter("v", bn.Positive(2))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(bn.zeros(2), cov=bn.constant([[1.0, 2.0], [2.0, 4.0]])))
            with bn.plate("row"):
                bn.observed("x", bn.Normal(z, var=v))
    return net


def smooth_trend() -> bn.Network:
    """A level without noise of its own: only the slope walks."""
    with bn.Network("smooth_trend") as net:
        r = bn.parameter("r", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("series"), bn.chain("t"):
            bn.latent(
                "slope",
                bn.Normal(bn.previous("slope"), var=r),
                first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
            )
            level = bn.latent(
                "level",
                bn.Normal(bn.previous("level") + bn.previous("slope"), var=bn.constant(0.0)),
                first=bn.Normal(bn.zeros(), var=bn.constant(4.0)),
            )
            bn.observed("x", bn.Normal(level, var=v))
    return net


def along_a_line() -> bn.Network:
    """A state of two entries that never leaves one direction: predictions and filtered covariances are all singular."""
    with bn.Network("along_a_line") as net:
        f = bn.parameter("f", bn.Real(), value=0.5)
        H = bn.parameter("H", bn.Real(2, 2))
        R = bn.parameter("R", bn.Positive(2))
        line = bn.constant([[1.0, 2.0], [2.0, 4.0]])
        with bn.plate("series"), bn.chain("t"):
            y = bn.latent(
                "y", bn.Normal(f * bn.previous("y"), cov=line), first=bn.Normal(bn.zeros(2), cov=line)
            )
            bn.observed("x", bn.Normal(H @ y, var=R))
    return net


def standing_still() -> bn.Network:
    """A level that is known and never moves."""
    with bn.Network("standing_still") as net:
        h = bn.parameter("h", bn.Real())
        v = bn.parameter("v", bn.Positive())
        with bn.chain("t"):
            level = bn.latent(
                "level",
                bn.Normal(bn.previous("level"), var=bn.constant(0.0)),
                first=bn.Normal(bn.constant(1.0), var=bn.constant(0.0)),
            )
            bn.observed("x", bn.Normal(h * level, var=v))
    return net


def at_rest() -> bn.Network:
    """A vector that stays where it starts."""
    with bn.Network("at_rest") as net:
        h = bn.parameter("h", bn.Real(2, 2))
        v = bn.parameter("v", bn.Positive())
        with bn.plate("series"), bn.chain("t"):
            place = bn.latent(
                "place",
                bn.Normal(bn.previous("place"), cov=bn.zeros(2, 2)),
                first=bn.Normal(bn.zeros(2), cov=bn.eye(2)),
            )
            bn.observed("x", bn.Normal(h @ place, var=v))
    return net


def carried_along() -> bn.Network:
    """An autoregression of second order: what was one step before is a latent without noise, read one step later."""
    with bn.Network("carried_along") as net:
        f = bn.parameter("f", bn.Real())
        g = bn.parameter("g", bn.Real())
        q = bn.parameter("q", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        start = bn.Normal(bn.zeros(), var=bn.constant(1.0))
        with bn.plate("series"), bn.chain("t"):
            bn.latent("w", bn.Normal(bn.previous("y"), var=bn.constant(0.0)), first=start)
            y = bn.latent("y", bn.Normal(f * bn.previous("y") + g * bn.previous("w"), var=q), first=start)
            bn.observed("x", bn.Normal(y, var=v))
    return net


def switching_chain() -> bn.Network:
    """The state's dynamics change with a discrete chain: a Gaussian for each history."""
    with bn.Network("switching_chain") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        with bn.plate("k", 2):
            A = bn.parameter("A", bn.Simplex(2))
            f = bn.parameter("f", bn.Real())
            q = bn.parameter("q", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"), bn.chain("t"):
            z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
            y = bn.latent(
                "y",
                bn.Normal(f[z] * bn.previous("y"), var=q[z]),
                first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
            )
            bn.observed("x", bn.Normal(y, var=v))
    return net


def class_of_each_row() -> bn.Network:
    """Every row has a class, and all rows of a group share one Gaussian latent: a Gaussian for each set of classes."""
    with bn.Network("class_of_each_row") as net:
        pi = bn.parameter("pi", bn.Simplex(2))
        mu = bn.parameter("mu", bn.Real(2))
        B = bn.parameter("B", bn.Covariance(2))
        with bn.plate("k", 2):
            m = bn.parameter("m", bn.Real(2))
            W = bn.parameter("W", bn.Covariance(2))
        with bn.plate("group"):
            z = bn.latent("z", bn.Normal(mu, cov=B))
            with bn.plate("row"):
                c = bn.latent("c", bn.Categorical(pi))
                bn.observed("x", bn.Normal(z + m[c], cov=W[c]))
    return net


def second_order() -> bn.Network:
    """A latent that reads two steps back."""
    with bn.Network("second_order") as net:
        f = bn.parameter("f", bn.Real())
        q = bn.parameter("q", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        start = bn.Normal(bn.zeros(), var=bn.constant(1.0))
        with bn.plate("series"), bn.chain("t"):
            y = bn.latent(
                "y",
                bn.Normal(f * bn.previous("y", 2), var=q),
                first=(start, start),
            )
            bn.observed("x", bn.Normal(y, var=v))
    return net


def effect_of_several_chains() -> bn.Network:
    """A latent of the school in the steps of each of its pupils' chains."""
    with bn.Network("effect_of_several_chains") as net:
        a2 = bn.parameter("a2", bn.Positive())
        q = bn.parameter("q", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("school"):
            a = bn.latent("a", bn.Normal(bn.zeros(), var=a2))
            with bn.plate("pupil"), bn.chain("t"):
                y = bn.latent(
                    "y",
                    bn.Normal(bn.previous("y"), var=q),
                    first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
                )
                bn.observed("x", bn.Normal(y + a, var=v))
    return net


def effect_seen_twice() -> bn.Network:
    """A latent of the sequence in the steps of its chain, and seen by itself."""
    with bn.Network("effect_seen_twice") as net:
        a2 = bn.parameter("a2", bn.Positive())
        w = bn.parameter("w", bn.Positive())
        q = bn.parameter("q", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("sequence"):
            a = bn.latent("a", bn.Normal(bn.zeros(), var=a2))
            bn.observed("size", bn.Normal(a, var=w))
            with bn.chain("t"):
                y = bn.latent(
                    "y",
                    bn.Normal(bn.previous("y"), var=q),
                    first=bn.Normal(bn.zeros(), var=bn.constant(1.0)),
                )
                bn.observed("x", bn.Normal(y + a, var=v))
    return net


def crossed_effects() -> bn.Network:
    """Students and questions both have effects: every answer ties two latents of different plates."""
    with bn.Network("crossed_effects") as net:
        mu = bn.parameter("mu", bn.Real())
        a2 = bn.parameter("a2", bn.Positive())
        b2 = bn.parameter("b2", bn.Positive())
        v = bn.parameter("v", bn.Positive())
        with bn.plate("student"):
            a = bn.latent("a", bn.Normal(bn.zeros(), var=a2))
        with bn.plate("question"):
            b = bn.latent("b", bn.Normal(bn.zeros(), var=b2))
        with bn.plate("student"), bn.plate("question"):
            bn.observed("x", bn.Normal(mu + a + b, var=v))
    return net


RAGGED: Mapping[str, Layout] = {"sequence": (4, 1, 3, 4, 2, 3, 4)}  # one sequence has a single step
LONG: Mapping[str, Layout] = {"sequence": (4, 1, 3, 22, 2, 17)}  # more steps than are taken one by one
GROUPS: Mapping[str, Layout] = {"group": (3, 1, 5, 2, 4, 3, 1, 6)}  # two groups have a single row
BATCHES: Mapping[str, Layout] = {"batch": (3, 1, 4, 2, 5)}
NESTED: Layout = ((2, 1), (3,), (1, 1, 2), (4, 2), (2, 3))

GAUSSIAN = (
    Example(two_covariances, GROUPS),
    Example(subspace, GROUPS),
    Example(group_and_channel, GROUPS),
    Example(channel_with_rows, {"group": NESTED}),
    Example(nested_means, {"school": NESTED}),
    Example(nested_effects, {"school": NESTED}),
    Example(intercept, BATCHES),
    Example(slopes, BATCHES),
    Example(coefficients, BATCHES),
    Example(eight_schools, {"school": 8}),
    Example(probabilistic_components, {"n": 12}),
    Example(factors, {"n": 12}),
    Example(one_factor, {"n": 9}),
    Example(mixture_of_factors, {"n": 24}),
    Example(mixture_of_tied_factors, {"n": 24}),
    Example(mixture_of_groups, GROUPS),
    Example(group_above_classes, GROUPS),
    Example(chain_of_three, {"n": 9}),
    Example(fork, {"n": 9}),
    Example(explaining_away, {"n": 12}),
    Example(observed_parent, {"n": 12}),
    Example(mediator, GROUPS),
    Example(linear_chain, RAGGED),
    Example(linear_chain_alone, {"t": 8}),
    Example(controlled_chain, RAGGED),
    Example(local_level, {"series": (5, 1, 4, 3)}),
    Example(level_and_slope, {"series": (5, 1, 4, 3)}),
    Example(coupled_chains, RAGGED),
    Example(shared_disturbance, RAGGED),
    Example(effects_of_sequences, {"sequence": (4, 1, 3, 4, 2, 3, 4, 5)}),
    Example(group_beside_chain, RAGGED),
    Example(noisy_steps, RAGGED),
    Example(chains_of_sides, RAGGED),
    Example(mixture_of_linear_chains, RAGGED),
    Example(steady_chains, LONG),
    Example(chain_with_factors, {"sequence": (5, 1, 4, 5, 3, 5, 4, 5)}),
    Example(fixed_loading, RAGGED),
    Example(partly_fixed, {"n": 12}),
    Example(tied_groups, GROUPS),
    Example(shared_parameters, {"n": 12}),
    Example(unequal_spreads, {"n": 12}),
    Example(spherical_groups, GROUPS),
    Example(items_of_groups, GROUPS),
    Example(answers_of_persons, {"person": 11}),
)
"""What exact EM with Gaussian latents is derived for."""

SINGULAR = (
    Example(never_apart, GROUPS),
    Example(thin_groups, GROUPS),
    Example(smooth_trend, {"series": (5, 1, 4, 3)}),
    Example(carried_along, {"series": (5, 1, 4, 6)}),
    Example(along_a_line, {"series": (5, 1, 4, 3)}),
    Example(standing_still, {"t": 6}),
    Example(at_rest, {"series": (5, 1, 4, 3)}),
)
"""The same, with variances of 0: evidence and posterior stand, but ln p(x, z) has no density."""

REFUSED = (
    Example(switching_chain, {"sequence": (4, 1, 3)}),
    Example(class_of_each_row, {"group": (3, 1, 2)}),
)
"""What can be declared and listed, and has no exact EM that could be written."""

LATER = (second_order, effect_of_several_chains, effect_seen_twice)
"""What has an exact EM that bnlab does not derive."""

CROSSED = (crossed_effects,)
"""What cannot even be unrolled by nested plates."""
