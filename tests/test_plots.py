"""The pictures show what is so: what is drawn is held against what the fit and brute force say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

import bnlab as bn
from bnlab import plots
from bnlab.errors import FitError
from bnlab.plots.model import frames
from bnlab.plots.style import PALETTE, svg
from bnlab.plots.terms import steepest
from bnlab.runtime.replay import log_likelihoods, milestones, path
from bnlab.runtime.result import Fit
from tests.models import model

OF_A_FIT = ("plot_fit", "plot_iterations", "plot_responsibilities", "plot_terms", "plot_bound", "plot_trace")


@cache
def fitted(name: str, method: str = "em", max_iter: int = 6) -> Fit:
    loaded = model(name)
    assert loaded.example is not None
    return bn.fit(
        loaded.network, loaded.example(), method, init="random", n_init=2, max_iter=max_iter, progress=False
    )


@pytest.mark.parametrize("name", ["gmm", "gmm_univariate", "hmm_poisson", "hmm_categorical", "latent_class"])
@pytest.mark.parametrize("plot", OF_A_FIT)
def test_every_kind_of_variable_can_be_drawn(name: str, plot: str) -> None:
    drawn = vars(plots)[plot](fitted(name))
    assert isinstance(drawn, Figure)
    for axes in drawn.axes:
        assert axes.get_ylabel() or drawn.get_supylabel()
        assert axes.get_xlabel() or drawn.get_supxlabel() or plot == "plot_terms"  # its bars have names
    assert svg(drawn, plot, "one").startswith('<svg role="img"')


def test_methods_of_a_fit_are_the_functions() -> None:
    fit = fitted("gmm")
    assert {name for name in dir(fit) if name.startswith("plot_")} == {
        *OF_A_FIT,
        "plot_restarts",
        "plot_states",
    }
    assert svg(fit.plot_trace(), "", "a") == svg(plots.plot_trace(fit), "", "a")
    assert svg(fit.plot_bound("mu", (1,)), "", "a") == svg(plots.plot_bound(fit, "mu", (1,)), "", "a")


class TestReplay:
    @pytest.mark.parametrize("method", ["em", "viterbi"])
    def test_ends_where_the_fit_did(self, method: str) -> None:
        fit = fitted("gmm", method)
        found = path(fit, [0, 2, fit.n_iter])
        for name, value in fit.parameters.items():
            assert np.array_equal(found[fit.n_iter][name], value)  # the same program on the same numbers
        assert np.array_equal(log_likelihoods(fit, fit.n_iter, method), fit.log_likelihood)

    def test_milestones(self) -> None:
        assert milestones(0) == (0,)
        assert milestones(1) == (0, 1)
        assert milestones(24) == (0, 1, 2, 5, 10, 20, 24)

    def test_a_loaded_fit_has_no_iterations(self, tmp_path: Path) -> None:
        fitted("gmm").save(tmp_path / "fit.nc")
        loaded = bn.load(tmp_path / "fit.nc")
        for plot in (plots.plot_iterations, plots.plot_restarts, plots.plot_terms):
            with pytest.raises(FitError, match="loaded from a file|no iterations"):
                plot(loaded)


class TestTerms:
    def stacks(self, fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The heights of Q (from 0), H and KL as they are drawn: a column an E- or M-step."""
        bars = [one for one in plots.plot_terms(fit).axes[0].containers if isinstance(one, BarContainer)]
        tops = np.array([bar[0].get_y() + bar[0].get_height() for bar in bars]).reshape(-1, 3).T
        return tops[0], tops[1] - tops[0], tops[2] - tops[1]

    @pytest.mark.parametrize("name", ["gmm", "mixture_poisson", "latent_class"])
    def test_stacks_reach_the_log_likelihood(self, name: str) -> None:
        fit = fitted(name)
        q, h, kl = self.stacks(fit)
        reached = (q + h + kl).reshape(-1, 2)
        # brute force and the emitted EM differ by rounding
        np.testing.assert_allclose(reached[:, 0], fit.log_likelihood[:3], rtol=1e-10)
        np.testing.assert_allclose(reached[:, 1], fit.log_likelihood[1:4], rtol=1e-10)

    def test_e_steps_close_the_gap_and_m_steps_keep_the_entropy(self) -> None:
        q, h, kl = self.stacks(fitted("gmm"))
        assert np.allclose(kl[::2], 0, atol=1e-9) and (kl[1::2] > 1e-6).all()
        np.testing.assert_allclose(h[::2], h[1::2], rtol=1e-12)
        assert (q[1::2] > q[::2]).all()

    def test_continuous_latents(self) -> None:
        """Groups with means of their own: the oracle integrates them out as one joint Gaussian a group."""
        with bn.Network("groups") as net:
            mu, across = bn.parameter("mu", bn.Real(2)), bn.parameter("across", bn.Covariance(2))
            within = bn.parameter("within", bn.Covariance(2))
            with bn.plate("s"):
                z = bn.latent("z", bn.Normal(mu, cov=across))
                with bn.plate("n"):
                    bn.observed("x", bn.Normal(z, cov=within))
        rng = np.random.default_rng(0)
        s = np.repeat(np.arange(8), 3)
        data = {"x": rng.normal(size=(8, 2))[s] * 3 + rng.normal(size=(24, 2)), "s": s}
        fit = bn.fit(net, data, max_iter=4, progress=False)
        q, h, kl = self.stacks(fit)
        reached = (q + h + kl).reshape(-1, 2)
        np.testing.assert_allclose(reached[:, 0], fit.log_likelihood[:3], rtol=1e-10)  # rounding
        assert np.allclose(kl[::2], 0, atol=1e-9)
        assert plots.plot_fit(fit).axes[0].get_xlabel() == "x[0]"

    def test_says_which_part_of_long_data_it_is_of(self) -> None:
        title = plots.plot_terms(fitted("hmm_poisson")).axes[0].get_title(loc="left")
        assert re.search(r"the first \d+ steps of t", title)

    def test_methods_without_iterations_are_refused(self) -> None:
        loaded = model("gmm")
        assert loaded.example is not None
        sampled = bn.fit(loaded.network, loaded.example(), "svi", max_iter=2, progress=False)
        with pytest.raises(FitError, match="no iterations"):
            plots.plot_terms(sampled)


class TestBound:
    def test_touches_at_the_old_value_and_peaks_at_the_new(self) -> None:
        fit = fitted("gmm")
        axes = plots.plot_bound(fit, "mu", (1,)).axes[0]
        evidence, bound, touch, peak = (line.get_xydata() for line in axes.lines)
        assert (bound[:, 1] <= evidence[:, 1] + 1e-9).all()  # nats, of a thousand: rounding
        old, new = (theta["mu"][1] for theta in path(fit, [0, 1]).values())
        moving = np.abs(new - old).argmax()
        assert touch[0] == pytest.approx([old[moving], fit.log_likelihood[0]])
        step = abs(bound[1, 0] - bound[0, 0])
        assert (
            abs(peak[0, 0] - new[moving]) <= step
        )  # a grid's step: the mean's maximum does not hang on its covariance

    def test_of_a_part_of_the_data_the_steepest_iteration_is_that_of_the_part(self) -> None:
        """EM on a few steps of a chain ends sooner than on all: there is something to see where it still moves."""
        fit = fitted("hmm_poisson", max_iter=60)
        drawn = plots.plot_bound(fit, iteration=steepest(fit)).axes[0]
        evidence, _, touch, peak = (line.get_xydata() for line in drawn.lines)
        assert peak[0, 1] > touch[0, 1] + 1e-3 and np.isfinite(evidence).all()
        assert plots.plot_terms(fit, first=max(0, steepest(fit) - 1)).axes[0].containers

    def test_where_em_has_converged_there_is_nothing_to_see(self) -> None:
        fit = fitted("gmm", max_iter=60)
        with pytest.raises(FitError, match="nothing left to gain along mu"):
            plots.plot_bound(fit, "mu", iteration=200)

    def test_unknown_parameter(self) -> None:
        with pytest.raises(FitError, match='no parameter "my"'):
            plots.plot_bound(fitted("gmm"), "my")


def test_points_have_the_colours_of_their_responsibilities() -> None:
    fit = fitted("gmm")
    points = plots.plot_responsibilities(fit).axes[0].collections[0].get_facecolors()[:, :3]
    expected = fit.posterior()["z"] @ [to_rgb(colour) for colour in PALETTE[:2]]
    np.testing.assert_allclose(points, expected, atol=1 / 255)  # colours have 8 bits


def test_iterations_of_both_methods_start_alike() -> None:
    drawn = plots.plot_iterations(fitted("gmm"), iterations=[0, 3])
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles == [f"{name}, {i}" for name in ("EM", "Viterbi training") for i in (0, 3)]
    em, viterbi = drawn.axes[0], drawn.axes[2]
    assert [patch.get_center() for patch in em.patches] == [patch.get_center() for patch in viterbi.patches]


def test_restarts_are_all_there() -> None:
    fit = fitted("gmm")
    lines = plots.plot_restarts(fit).axes[0].lines
    assert [len(line.get_ydata()) for line in lines] == [len(run) for run in fit.traces]
    assert max(float(run[-1]) for run in fit.traces) == fit.objective[-1]


def test_states_over_time() -> None:
    fit = fitted("hmm_poisson")
    *_, states = plots.plot_states(fit, steps=60).axes
    count = fit.posterior()["z"].shape[-1]
    path_drawn = states.lines[-1].get_ydata() * count - 0.5
    np.testing.assert_allclose(path_drawn, fit.predict()["z"].ravel()[:60])
    named = plots.plot_states(fit, steps=60, labels={"x": ["earthquakes"]})
    assert named.axes[0].get_ylabel() == "earthquakes"
    with pytest.raises(FitError, match="no chain"):
        plots.plot_states(fitted("gmm"))


def test_projection_names_itself() -> None:
    loaded = model("gmm", components=3, dim=4)
    rows = np.random.default_rng(0).normal(size=(60, 4)) * [5, 2, 1, 1]
    axes = plots.plot_fit(bn.fit(loaded.network, {"x": rows}, max_iter=2, progress=False)).axes[0]
    assert re.fullmatch(r"principal component 1 of x \(\d+% of the variance\)", axes.get_xlabel())


def test_labels_name_the_columns() -> None:
    axes = plots.plot_fit(fitted("gmm"), labels={"x": ["duration (min)", "wait (min)"]}).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("duration (min)", "wait (min)")


def test_what_is_shown_without_a_name_tells_of_a_latent() -> None:
    """Of asia's four tests and habits the first that reads a disease, not the visit that nothing is before."""
    assert plots.plot_fit(fitted("asia", max_iter=1)).axes[0].get_xlabel() == "xray"


def test_unknown_variable() -> None:
    with pytest.raises(FitError, match='"y" is no observed variable'):
        plots.plot_fit(fitted("gmm"), "y")


class TestFrames:
    def test_each_frame_is_an_iteration(self) -> None:
        fit = fitted("gmm")
        found = frames(fit)
        assert found.iterations == tuple(range(fit.n_iter + 1))
        assert found.log_likelihood == tuple(fit.log_likelihood)
        text = svg(found.figure, "frames", "slider")
        assert {int(i) for i in re.findall(r'id="slider-frame-(\d+)-', text)} == set(found.iterations)

    def test_long_fits_are_thinned(self) -> None:
        found = frames(fitted("mixture_poisson", max_iter=200))
        assert found.iterations[:5] == (0, 1, 2, 3, 4) and len(found.iterations) <= 18
        assert found.iterations[-1] == fitted("mixture_poisson", max_iter=200).n_iter


def test_notebooks_show_figures() -> None:
    """pyplot is not asked, so its hooks are not there."""
    assert plots.plot_trace(fitted("gmm"))._repr_png_().startswith(b"\x89PNG")


class TestSvg:
    def test_is_the_same_each_time_and_leans_on_nothing(self) -> None:
        fit = fitted("gmm")
        first, second = (svg(plots.plot_fit(fit), "a title", "one") for _ in range(2))
        assert first == second
        assert not re.findall(r'href="(?!#one-)', first) and "<script" not in first

    def test_titles_are_escaped(self) -> None:
        assert '<svg role="img" aria-label="&lt;b&gt;&quot;"' in svg(
            plots.plot_trace(fitted("gmm")), '<b>"', "a"
        )


class TestDetection:
    """Normal scores two deviations apart: the curve is a line, and both errors are Phi(-1) where they are equal."""

    target = np.random.default_rng(0).normal(2.0, 1.0, 4000)
    nontarget = np.random.default_rng(1).normal(0.0, 1.0, 4000)

    def test_the_curve_is_a_line_through_the_equal_error_rate(self) -> None:
        drawn = plots.plot_det({"one": (self.target, self.nontarget)})
        (axes,) = drawn.axes
        line, dot = axes.lines[0], axes.lines[1]
        x, y = np.asarray(line.get_data(), float)
        middle = np.abs(x + 1) < 0.5  # where rates of 4000 scores are known to some hundredths of a deviation
        np.testing.assert_allclose(y[middle] + x[middle], -2.0, atol=0.15)
        np.testing.assert_allclose(np.asarray(dot.get_data(), float).ravel(), [-1.0, -1.0], atol=0.1)
        assert "EER 15." in axes.get_legend().get_texts()[0].get_text() or "EER 16." in str(
            axes.get_legend().get_texts()[0].get_text()
        )

    def test_areas_of_scores_are_their_shares(self) -> None:
        drawn = plots.plot_scores(self.target, self.nontarget)
        (axes,) = drawn.axes
        left = (self.nontarget < self.target.min()).mean()
        assert f"{left:.0%} of the non-targets are below" in axes.get_xlabel()
        for patch, share in zip(axes.patches[::2], (1 - left, 1.0), strict=True):
            x, y = patch.get_path().vertices.T
            area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
            np.testing.assert_allclose(area, share, rtol=1e-9)  # sums of some thousand equal numbers

    def test_a_long_tail_leaves_room_for_the_targets(self) -> None:
        """Non-targets down to -1000 below targets from 0 to 10: the picture begins at -20, and says what it leaves out."""
        axes = plots.plot_scores(np.linspace(0, 10, 50), np.linspace(-1000, 5, 202)).axes[0]
        assert min(patch.get_path().vertices[:, 0].min() for patch in axes.patches) == pytest.approx(-20)
        assert "97% of the non-targets are below -20" in axes.get_xlabel()

    def test_nothing_to_draw_is_said(self) -> None:
        with pytest.raises(FitError, match="no scores"):
            plots.plot_det({})
