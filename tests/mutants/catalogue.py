"""Realistic bugs: what somebody who writes EM by hand gets wrong, each as a change of the emitted text.

`old` is a regular expression, `new` what stands instead; a space in `old` is any white space: line breaks do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import bnlab as bn
from tests import gaussian_networks, networks


@dataclass(frozen=True)
class Mutant:
    """A bug in the EM emitted for a network."""

    bug: str
    build: Callable[[], bn.Network]
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The text with the bug in it, at the first place where it fits. Raises AssertionError if there is none."""
        pattern = self.old.replace(" ", r"\s+")
        changed, count = re.subn(pattern, lambda _: self.new, text, count=1)
        assert count == 1 and changed != text, f"{self.bug}: nothing in the emitted text is {self.old}"
        return changed


ROWS = (
    Mutant(
        "covariance over N - 1",
        networks.mixture_full,
        r"s\.N_z\[:, None, None\], theta\.Sigma",
        "s.N_z[:, None, None] - 1, theta.Sigma",
    ),
    Mutant(
        "covariance about the old mean",
        networks.mixture_full,
        r"s\.N_z, mean, mean\)",
        's.N_z, mean, mean) + jnp.einsum("k,kd,ke->kde", s.N_z, mean - theta.mu + origin, mean - theta.mu + origin)',
    ),
    Mutant("covariance not about the mean", networks.mixture_full, r"s\.Sxx - jnp\.einsum\([^)]*\)", "s.Sxx"),
    Mutant(
        "a ridge of 1e-6", networks.mixture_full, r"theta\.Sigma\),? \)", "theta.Sigma) + 1e-6 * jnp.eye(3))"
    ),
    Mutant("no log-determinant", networks.mixture_full, r"log_det \+ ", ""),
    Mutant(
        "half a log-determinant",
        networks.mixture_full,
        r"2 \* jnp\.log\(jnp\.diagonal",
        "jnp.log(jnp.diagonal",
    ),
    Mutant("no constant of the density", networks.mixture_full, r"3 \* jnp\.log\(2 \* jnp\.pi\) \+ ", ""),
    Mutant("Cholesky factor transposed", networks.mixture_full, r'"nkd,ked->nke"', '"nkd,kde->nke"'),
    Mutant("inverse of L taken for its transpose", networks.mixture_full, r"lower=True\)", "lower=False)"),
    Mutant("moments without weights", networks.mixture_full, r" \* weight\[:, None\]", ""),
    Mutant(
        "evidence without weights", networks.mixture_full, r"log_p=weight @ log_p_x", "log_p=log_p_x.sum()"
    ),
    Mutant(
        "mixing weights never learnt",
        networks.mixture_full,
        r"pi=ratio\(s\.N_z, s\.N_z\.sum\(\), theta\.pi\)",
        "pi=theta.pi",
    ),
    Mutant(
        "mixing weights smoothed", networks.mixture_full, r"pi=ratio\(s\.N_z, ", "pi=ratio(s.N_z + 1e-3, "
    ),
    Mutant("mixing weights left out of the joint", networks.mixture_full, r"jnp\.log\(theta\.pi\) \+ ", ""),
    Mutant(
        "the largest term for the sum",
        networks.mixture_full,
        r"logsumexp\(log_p_xz, axis=-1\)",
        "log_p_xz.max(-1)",
    ),
    Mutant(
        "responsibilities not normalised",
        networks.mixture_full,
        r"log_p_xz - log_p_x\[:, None\]",
        "log_p_xz - log_p_xz.max()",
    ),
    Mutant(
        "first chunk only",
        networks.mixture_full,
        r"return jax\.lax\.scan\(add[^\n]*",
        "return expect(theta, jax.tree.map(lambda a: a[0], data))",
    ),
    Mutant(
        "last chunk only",
        networks.mixture_full,
        r"jax\.tree\.map\(jnp\.add, total, expect\(theta, chunk\)\)",
        "expect(theta, chunk)",
    ),
    Mutant("chunks counted from one", networks.mixture_full, r"jnp\.zeros_like", "jnp.ones_like"),
    Mutant("the shift never added back", networks.mixture_full, r"mu=mean \+ origin", "mu=mean"),
    Mutant(
        "moments about the chunk's own mean",
        networks.mixture_full,
        r"r = x - theta\.mu\.mean\(0\)",
        "r = x - x.mean(0)",
    ),
    Mutant("padding counts", networks.mixture_full, r"place_n\), 0\)", "place_n), 1)"),
    Mutant(
        "0 / 0 for an empty component",
        networks.mixture_full,
        r"return jnp\.where\(count > 0, [^\n]*",
        "return total / count",
    ),
    Mutant("0 for an empty component", networks.mixture_full, r", old\)\n", ", 0 * old)\n"),
    Mutant(
        "a tied covariance about one mean",
        networks.mixture_tied,
        r"s\.N_z, mean, mean\)",
        "s.N_z, 0 * mean + mean.mean(0), mean)",
    ),
    Mutant(
        "a tied covariance of half the data",
        networks.mixture_tied,
        r"s\.N_z\.sum\(\), theta\.Sigma",
        "s.N_z.max(), theta.Sigma",
    ),
    Mutant("a variance for a standard deviation", networks.mixture_std, r"s=jnp\.sqrt\(", "s=jnp.asarray("),
    Mutant(
        "a diagonal summed once",
        networks.mixture_spherical,
        r"2 \* s\.N_z, theta\.v|s\.N_z \* 2, theta\.v",
        "s.N_z, theta.v",
    ),
    Mutant(
        "prior counts off by one",
        networks.priors,
        r"pi=ratio\(s\.N_z \+ jnp\.array\(\(1, 2\)[^)]*\), \(s\.N_z \+ jnp\.array\(\(1, 2\)[^)]*\)\)",
        "pi=ratio(s.N_z + jnp.array((2, 3)), (s.N_z + jnp.array((2, 3)))",
    ),
    Mutant("prior of a covariance without D + 1", networks.priors, r"\(s\.N_z \+ 8\)", "(s.N_z + 5)"),
    Mutant(
        "prior of a variance without its + 1", networks.priors, r"0\.5 \* s\.N_z \+ 2 \+ 1", "0.5 * s.N_z + 2"
    ),
    Mutant("prior not normalised", networks.priors, r" \+ 2\.48490664978\d*", ""),
    Mutant("a group counted once a row", networks.group_and_row, r"N_c=q_c\.sum\(0\)", "N_c=q_c_in_n.sum(0)"),
    Mutant(
        "rows of a group not multiplied",
        networks.group_and_row,
        r"jax\.ops\.segment_sum\(",
        "jax.ops.segment_max(",
    ),
    Mutant(
        "a group's posterior without its rows",
        networks.group_and_row,
        r"q_c_in_n = q_c\[group_of_n\]",
        "q_c_in_n = theta.p + 0 * q_c[group_of_n]",
    ),
    Mutant("padded rows counted", networks.group_and_row, r" \* weight_n\[:, None\]", ""),
    Mutant(
        "rows normalised over the wrong axis",
        networks.group_and_row,
        r"s\.N_cz\.sum\(-1\)\[:, None\]",
        "s.N_cz.sum(0)",
    ),
)
"""Bugs in mixtures, groups and priors."""

CHAINS = (
    Mutant(
        "transitions without the last step",
        networks.chain_gaussian,
        r"alpha\[:-1\], onward\)",
        "alpha[:-2], onward[:-1])",
    ),
    Mutant(
        "forward with the table transposed",
        networks.chain_gaussian,
        r"product\(alpha_t, theta\.A\),",
        "product(alpha_t, theta.A.T),",
    ),
    Mutant(
        "backward with the table not transposed",
        networks.chain_gaussian,
        r"product\(onward, theta\.A\.T\)",
        "product(onward, theta.A)",
    ),
    Mutant("counts of transitions transposed", networks.chain_gaussian, r'"tsj,tsk->jk"', '"tsj,tsk->kj"'),
    Mutant(
        "counts of transitions without the table",
        networks.chain_gaussian,
        r"theta\.A \* jnp\.einsum\(",
        "jnp.einsum(",
    ),
    Mutant(
        "table normalised over the wrong axis",
        networks.chain_gaussian,
        r"s\.N_zz\.sum\(-1\)\[:, None\]",
        "s.N_zz.sum(0)",
    ),
    Mutant(
        "posterior beyond a sequence's end",
        networks.chain_gaussian,
        r"jnp\.where\(mask_t\[\.\.\., None\], (alpha \* beta \* weight\[:, None\]), 0\)",
        "alpha * beta * weight[:, None]",
    ),
    Mutant(
        "transitions beyond a sequence's end",
        networks.chain_gaussian,
        r"jnp\.where\(mask_t\[1:\], 1 / c\[1:\], 0\)",
        "(1 / c[1:])",
    ),
    Mutant(
        "the backward message starts past the end",
        networks.chain_gaussian,
        r"jnp\.where\(on\[:, None\], beta_before, 1\)",
        "beta_before",
    ),
    Mutant(
        "first counts from the last step", networks.chain_gaussian, r"q_z\[0\]\.sum\(0\)", "q_z[-1].sum(0)"
    ),
    Mutant(
        "first counts from every step",
        networks.chain_gaussian,
        r"N_first=q_z\[0\]\.sum\(0\)",
        "N_first=q_z.sum((0, 1))",
    ),
    Mutant(
        "scale dropped from the evidence", networks.chain_gaussian, r"jnp\.log\(c\) \+ scale", "jnp.log(c)"
    ),
    Mutant(
        "backward message shifted by a step",
        networks.chain_gaussian,
        r"beta\[1:\] \* b\[1:\]",
        "beta[:-1] * b[1:]",
    ),
    Mutant(
        "emission of the wrong step in transitions",
        networks.chain_gaussian,
        r"beta\[1:\] \* b\[1:\]",
        "beta[1:] * b[:-1]",
    ),
    Mutant(
        "initial distribution uniform",
        networks.chain_gaussian,
        r"jnp\.broadcast_to\(theta\.pi, b\[0\]\.shape\)",
        "jnp.full(b[0].shape, 1 / 3)",
    ),
    Mutant(
        "filtered for smoothed",
        networks.chain_gaussian,
        r"alpha \* beta \* weight\[:, None\]",
        "alpha * weight[:, None]",
    ),
    Mutant(
        "transitions without weights",
        networks.chain_gaussian,
        r" \* weight\)\[\.\.\., None\]",
        ")[..., None]",
    ),
    Mutant(
        "emissions counted to T - 1",
        networks.chain_gaussian,
        r'Sx=jnp\.einsum\("tsk,tsd->kd", q_z, r\)',
        'Sx=jnp.einsum("tsk,tsd->kd", q_z[:-1], r[:-1])',
    ),
    Mutant("a step's mixture without its state", networks.chain_of_mixtures, r" \* q_z\[\.\.\., None\]", ""),
    Mutant("a step's mixture weights left out", networks.chain_of_mixtures, r"jnp\.log\(theta\.W\) \+ ", ""),
)
"""Bugs in chains."""

REGRESSIONS = (
    Mutant(
        "no offset in the equations",
        networks.regressions,
        r"s\.N_c\[\.\.\., None, None\]\]",
        "0 * s.N_c[..., None, None] + 1]",
    ),
    Mutant(
        "offset not coupled to the slopes",
        networks.regressions,
        r"s\.Su\[\.\.\., :, None\]",
        "0 * s.Su[..., :, None]",
    ),
    Mutant("a slope for its move", networks.regressions, r"w=theta\.w \+ change_w", "w=change_w"),
    Mutant(
        "a move against the residual", networks.regressions, r"b=theta\.b \+ change_b", "b=theta.b - change_b"
    ),
    Mutant("variance about the old line", networks.regressions, r"s\.Syy - jnp\.einsum\([^)]*\)", "s.Syy"),
    Mutant(
        "residual without its offset", networks.regressions, r" - theta\.b # what the old", "  # what the old"
    ),
    Mutant(
        "regressors without weights",
        networks.regressions,
        r'"nk,nd,ne->kde", q_c, u, u',
        '"nk,nd,ne->kde", 0 * q_c + 1, u, u',
    ),
    Mutant(
        "slopes and offset exchanged",
        networks.regressions,
        r"change_b = change\[\.\.\., 2\]",
        "change_b = change[..., 0]",
    ),
    Mutant(
        "equations not solved but divided",
        networks.regressions,
        r"change = solve\(",
        "change = (lambda m, p: p / jnp.diagonal(m, axis1=-2, axis2=-1))(",
    ),
    Mutant(
        "equal precisions where they differ",
        networks.one_slope_for_all,
        r"1 / jnp\.square\(theta\.s\)",
        "1 + 0 * theta.s",
    ),
    Mutant("the new line without what it explains", networks.one_slope_for_all, r"s\.Syy - 2 ", "s.Syy - 1 "),
    Mutant("a known deviation not squared", networks.known_deviations, r"jnp\.square\(s\)\)", "s)"),
    Mutant(
        "the value before taken for the value",
        networks.autoregression,
        r"S_x_prev_x_prev=jnp\.einsum\([^)]*\)",
        'S_x_prev_x_prev=jnp.einsum("tsk,ts,ts->k", q_z[1:], x[1:], x[1:])',
    ),
    Mutant(
        "the past of the wrong sequence",
        networks.autoregression,
        r"log_likelihood_x\(theta, x\[:-1\]",
        "log_likelihood_x(theta, jnp.roll(x[:-1], 1, 1)",
    ),
    Mutant(
        "the first step as any other",
        networks.autoregression,
        r"log_likelihood_x_first\(theta, x\[:1\]\)",
        "log_likelihood_x(theta, 0 * x[:1], x[:1])",
    ),
    Mutant("an identity of the wrong table", networks.additive_tables, r"jnp\.eye\(3\)", "jnp.ones((3, 3))"),
)
"""Bugs in regressions."""

GAUSSIAN = (
    Mutant(
        "a latent's own spread forgotten",
        gaussian_networks.two_covariances,
        r'\+ jnp\.einsum\("g,gde->de", weight, V_z\)',
        "",
    ),
    Mutant(
        "the noise without the latent's spread",
        gaussian_networks.two_covariances,
        r'\+ jnp\.einsum\("g,g,gho->ho", weight, count_row, V_z\)',
        "",
    ),
    Mutant(
        "as precise as a single row",
        gaussian_networks.two_covariances,
        r"count_row\[:, None, None\] \* J_x",
        "(0 * count_row + 1)[:, None, None] * J_x",
    ),
    Mutant(
        "a latent's covariance not about its mean",
        gaussian_networks.two_covariances,
        r"s\.Szz - jnp\.einsum\([^)]*\)",
        "s.Szz",
    ),
    Mutant(
        "a filtered mean for a smoothed one",
        gaussian_networks.linear_chain,
        r"mean_before = m_before \+ product\(mean - p_t, G_t\.T\)",
        "mean_before = m_before",
    ),
    Mutant(
        "no lag-one covariance",
        gaussian_networks.linear_chain,
        r"\+ W_y_next\.sum\(0\)",
        "",
    ),
    Mutant(
        "sequences that end join no sum",
        gaussian_networks.linear_chain,
        r" \+ ended_t \* V_before",
        "",
    ),
    Mutant(
        "a prediction without its noise",
        gaussian_networks.linear_chain,
        r"A\.mT\) \+ C",
        "A.mT)",
    ),
    Mutant(
        "steps taken together without the noise of all but the last",
        gaussian_networks.steady_chains,
        r"A @ S @ C @ A\.mT \+ C",
        "C",
    ),
    Mutant(
        "steps taken together that tell what the first of them tells",
        gaussian_networks.steady_chains,
        r"A\.mT @ J @ S @ A \+ J",
        "J",
    ),
    Mutant(
        "the spread of the first state not about its mean",
        gaussian_networks.linear_chain,
        r"s\.Syy_first - jnp\.einsum\([^)]*\)",
        "s.Syy_first",
    ),
)
"""Bugs with Gaussian latents."""

MUTANTS = (*ROWS, *CHAINS, *REGRESSIONS, *GAUSSIAN)
