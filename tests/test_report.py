"""The report: whole, safe, true to its numbers; and in a browser it works."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
from bnlab.cli import main
from bnlab.comparison.records import Certificate, Comparison, Estimate, Row
from bnlab.errors import InternalError
from bnlab.report import Material, page, write
from bnlab.report.latex_html import html
from bnlab.report.page import _pretty
from bnlab.report.words import findings
from bnlab.runtime.records import FitWarning
from tests.models import NAMES, ROOT, model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECTIONS = (
    "found",
    "network",
    "derivation",
    "sources",
    "learning",
    "fits",
    "comparison",
    "certificates",
    "about",
)


@cache
def compared() -> Comparison:
    loaded = model("gmm")
    assert loaded.example is not None
    return bn.compare(loaded.network, loaded.example(), ("em", "viterbi"), held_out=0.0, progress=False)


@cache
def material() -> Material:
    return Material(compared(), model("gmm").declaration, about="A mixture.", command="bnlab compare x")


@cache
def text() -> str:
    return page(material())


class Checker(HTMLParser):
    """Every element closed where it should be, every id once."""

    VOID = {"meta", "input", "br", "link", "img", "hr"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [
            value for name, value in given.items() if name in ("href", "src", "xlink:href") and value
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(document: str) -> Checker:
    checker = Checker()
    checker.feed(document)
    assert checker.open == []
    return checker


class TestPage:
    def test_is_well_formed_and_stands_alone(self) -> None:
        found = checked(text())
        assert len(found.ids) == len(set(found.ids))
        assert set(SECTIONS) <= set(found.ids)
        assert all(address.startswith("#") for address in found.addresses)
        assert not re.search(r"url\((?!data:|#)", text())
        assert len(text()) < 3_000_000

    def test_shows_what_was_measured(self) -> None:
        one = compared()
        for fit in one.fits.values():
            assert f"{fit.log_likelihood[-1]:.3f}".replace("-", "\N{MINUS SIGN}") in text()
        for row in one.rows:
            assert f'<th scope="row">{row.name}</th>' in text()
        assert "bnlab compare x" in text()
        assert "def gmm(components: int = 2" in re.sub("<[^>]*>", "", text())

    def test_a_parameter_called_theta_keeps_its_name(self) -> None:
        assert [
            _pretty(cell) for cell in ("theta[0]", "ln p(x|theta)", "ln p(x, theta): a = b", "-0.5 +- 0.1")
        ] == [
            "theta[0]",
            "ln p(X | η)",
            "ln p(X, η): a = b",
            "\N{MINUS SIGN}0.5 ± 0.1",
        ]

    def test_text_from_outside_is_escaped(self) -> None:
        bad = '<script>alert("1")</script>'
        given = replace(
            material(), about=bad, command=bad, data=bad, declaration=f"# {bad}", labels={"x": [bad, bad]}
        )
        assert "<script>alert" not in page(given)

    def test_is_written_into_a_new_folder_and_is_the_same_each_time(self, tmp_path: Path) -> None:
        path = write(material(), tmp_path / "a" / "b")
        assert path == tmp_path / "a" / "b" / "index.html" and path.read_text(encoding="utf-8") == text()


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_text_stands_out_from_paper_in_both_schemes() -> None:
    """4.5 to 1, as WCAG 2.1 asks of text at level AA."""
    css = (ROOT / "bnlab" / "report" / "templates" / "page.css").read_text(encoding="utf-8")
    schemes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", scheme))
        for ground in ("paper", "wash"):
            for name in colours.keys() - {"paper", "wash", "line", "shade"}:
                bright, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
                assert (bright + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


class TestDerivation:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_formula_is_kept(self, name: str) -> None:
        document = bn.emit(model(name).network, "latex")
        found = html(document)
        checked(found)
        assert found.count('data-display="true"') == document.count(r"\begin{align*}")
        outside = re.sub(r"\\begin\{align\*\}.*?\\end\{align\*\}", "", document, flags=re.DOTALL)
        assert found.count('<span class="tex">') == outside.count("$") // 2

    def test_unknown_latex_is_not_dropped(self) -> None:
        with pytest.raises(InternalError, match="footnote"):
            html("\\begin{document}\nA \\footnote{b}\n\\end{document}")


def two_methods(em: Estimate, nuts: Estimate) -> Comparison:
    """A comparison with one number, a variance, by a point estimate and by draws."""
    loaded = model("gmm_univariate")
    assert loaded.example is not None
    fit = bn.fit(loaded.network, loaded.example(), max_iter=1, progress=False)
    fits = {"em": fit, "nuts": replace(fit, method="nuts", draws={"mu": np.zeros((1, 1, 2))})}
    name = next(
        one.name for one in loaded.network.graph.parameters if type(one.domain).__name__ == "Positive"
    )
    row = Row(name, (0,), f"{name}[0]", {"em": em, "nuts": nuts})
    return replace(compared(), network=loaded.network, fits=fits, rows=(row,), reference="nuts", certificates=(),
                   scores={key: compared().scores["em"] for key in fits})  # fmt: skip


def test_priors_without_an_update_are_left_out_of_the_derivation_as_em_left_them_out() -> None:
    loaded = model("eight_schools")
    data = loaded.example()
    fit = bn.fit(loaded.network, data, max_iter=1, progress=False)
    proposed = bn.weakly_informative(loaded.network, data).network
    one = replace(compared(), network=proposed, fits={"em": fit}, rows=(), reference="em", certificates=(),
                  scores={"em": compared().scores["em"]})  # fmt: skip
    found = page(Material(one))
    assert "it is derived, and ran, without them" in found
    assert found.count('class="tex"') > 20 and "eight_schools_em.py" in found
    assert "{drawn}" not in found and "The line is the model" in found


class TestWords:
    def test_an_estimate_on_the_boundary_is_explained_by_its_numbers(self) -> None:
        found = two_methods(Estimate(1e-9, apart=-1.1), Estimate(3.6, 3.2))
        (said,) = [one for one in findings(found) if "boundary" in one.text]
        assert said.tone == "watch" and "1e-09" in said.text and "3.6 ± 3.2" in said.text

    def test_an_estimate_that_creeps_to_the_boundary_is_explained_too(self) -> None:
        """Far from 0 still, but the fit has found that the objective is highest at 0."""
        found = two_methods(Estimate(0.9, 1.1, apart=-1.1), Estimate(3.6, 3.2))
        (row,) = found.rows
        warning = FitWarning(row.name, "goes to 0.", "", "boundary")
        fits = {**found.fits, "em": replace(found.fits["em"], warnings=(warning,))}
        lower = replace(found.scores["nuts"], log_likelihood=found.scores["em"].log_likelihood - 0.43)
        found = replace(found, fits=fits, scores={**found.scores, "nuts": lower})
        (said,) = [one for one in findings(found) if "boundary" in one.text]
        assert "0.9 is where it stopped" in said.text and "only 0.430 lower" in said.text
        assert not [one for one in findings(found) if "uncertainties" in one.text]

    @pytest.mark.parametrize(("value", "mean"), [(0.9, 3.6), (3.6, 3.6), (1e-9, 1e-3)])
    def test_an_estimate_inside_is_not(self, value: float, mean: float) -> None:
        found = two_methods(Estimate(value, apart=0.0), Estimate(mean, 3.2))
        assert not [one for one in findings(found) if "boundary" in one.text]

    @pytest.mark.parametrize(("apart", "tone"), [(0.3, "good"), (-4.0, "watch")])
    def test_agreement_is_measured(self, apart: float, tone: str) -> None:
        found = two_methods(Estimate(3.0, apart=apart), Estimate(3.6, 0.2))
        assert [one.tone for one in findings(found) if f"{abs(apart):.1f}" in one.text] == [tone]

    def test_chains_that_do_not_mix_are_told(self) -> None:
        found = two_methods(Estimate(3.0), Estimate(3.6, 0.2, r_hat=1.4, effective=12.0))
        scores = {**found.scores, "nuts": replace(found.scores["nuts"], divergences=3)}
        said = [one.text for one in findings(replace(found, scores=scores)) if one.tone == "watch"]
        assert any("1.400" in one and "longer" in one for one in said)
        assert any(one.startswith("3 transitions") for one in said)

    def test_broken_certificates_are_told(self) -> None:
        broken = Certificate("ln p", ("a", "b"), "em's parameters", "all data", 1.0, 2.0, 0.5, 1e-10)
        said = [one.text for one in findings(replace(compared(), certificates=(broken,)))]
        assert any("1 of 1 certificates do not hold: ln p (5.0e-01)" in one for one in said)


class TestCommand:
    def test_writes_the_report(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        files = [str(ROOT / "models" / "gmm.py"), "--data", str(ROOT / "data" / "faithful.csv")]
        options = [
            "--methods",
            "em",
            "--methods",
            "viterbi",
            "--held-out",
            "0",
            "--out",
            str(tmp_path),
            "--json",
        ]
        assert main(["compare", *files, *options]) == 0
        assert capsys.readouterr().out.startswith("{")
        found = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert "272 rows of faithful.csv" in found and ">eruptions</text>" in found


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """The machine's own chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class TestInABrowser:
    @pytest.fixture
    def shown(self, browser, tmp_path: Path):  # type: ignore[no-untyped-def]
        """The page as it is shown at a phone's width, and all that the console said."""
        path = tmp_path / "index.html"
        path.write_text(text(), encoding="utf-8")
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on(
            "request",
            lambda request: said.extend([request.url] * (not request.url.startswith(("file:", "data:")))),
        )
        tab.goto(path.as_uri())
        yield tab, said
        tab.close()

    def test_says_nothing_and_sets_every_formula(self, shown) -> None:  # type: ignore[no-untyped-def]
        tab, said = shown
        assert said == []
        assert tab.locator(".tex").count() == tab.locator(".tex:has(.katex)").count() > 10
        assert tab.locator(".tex math").count() == tab.locator(".tex").count()  # for those who listen
        for section in SECTIONS:
            assert tab.locator(f"#{section} h2").is_visible()

    def test_fits_a_phone(self, shown) -> None:  # type: ignore[no-untyped-def]
        tab, _ = shown
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390

    def test_the_slider_moves_by_keyboard(self, shown) -> None:  # type: ignore[no-untyped-def]
        tab, _ = shown
        frames = tab.locator("#iteration").get_attribute("max")
        last = int(frames)
        visible = """[...document.querySelectorAll('[id^=slider-frame-]')]
            .filter(e => getComputedStyle(e).display != 'none').map(e => e.id)"""
        fill = "document.querySelector('#slider-points use').style.fill"
        before, colour = tab.evaluate(visible), tab.evaluate(fill)
        assert before and all(name.startswith(f"slider-frame-{last}-") for name in before)
        tab.locator("#iteration").focus()
        tab.keyboard.press("Home")
        after = tab.evaluate(visible)
        assert after and all(name.startswith("slider-frame-0-") for name in after)
        assert tab.evaluate(fill) != colour
        assert tab.locator("#reading").inner_text().startswith("after iteration 0,")
        assert (
            tab.locator("#iteration").get_attribute("aria-valuetext") == tab.locator("#reading").inner_text()
        )

    def test_copies(self, shown) -> None:  # type: ignore[no-untyped-def]
        tab, _ = shown
        tab.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
        tab.locator("#sources .copy").first.click()
        assert tab.evaluate("window.copied") == bn.emit(compared().network, "em")

    def test_everything_in_focus_has_a_name(self, shown) -> None:  # type: ignore[no-untyped-def]
        tab, _ = shown
        nameless = """[...document.querySelectorAll('[tabindex="0"], button, input, svg[role=img]')].filter(
            e => !e.getAttribute('aria-label') && !(e.labels && e.labels.length)).length"""
        assert tab.evaluate(nameless) == 0

    def test_katex_knows_every_derivation(self, shown) -> None:  # type: ignore[no-untyped-def]
        tab, _ = shown
        for name in NAMES:
            wrong = tab.evaluate(
                """text => { const box = document.createElement('div'); box.innerHTML = text;
                return [...box.querySelectorAll('.tex')].flatMap(e => { try {
                    katex.renderToString(e.textContent, {displayMode: 'display' in e.dataset, strict: 'error'}); return [];
                } catch (error) { return [String(error)]; } }); }""",
                str(html(bn.emit(model(name).network, "latex"))),
            )
            assert wrong == [], name
