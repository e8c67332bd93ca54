"""The command line: what it loads, what it prints, its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bnlab as bn
from bnlab.cli import main
from bnlab.cli.models import UsageError, load_model
from bnlab.cli.tables import load_data
from bnlab.errors import DataError, ModelError
from tests.models import ROOT

GMM = str(ROOT / "models" / "gmm.py")
FAITHFUL = ROOT / "data" / "faithful.csv"

TWO = """
import bnlab as bn

def one() -> bn.Network:
    with bn.Network("one") as net, bn.plate("n"):
        bn.observed("x", bn.Normal([0.0, 0.0], cov=bn.eye(2)))
    return net

def two(size: int) -> "bn.Network":
    return one()

def helper():
    return 3
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "file.py"
    path.write_text(TWO, encoding="utf-8")
    return path


class TestModels:
    def test_function_named_like_the_file(self) -> None:
        loaded = load_model(GMM, ["components=3"])
        assert loaded.network.graph.plate("k").size == 3
        assert loaded.example is not None and loaded.example()["x"].shape == (272, 2)

    def test_only_annotated_function(self) -> None:
        assert load_model(str(ROOT / "models" / "demo.py")).network.graph.name == "gmm"

    def test_named_function(self, two: Path) -> None:
        assert load_model(f"{two}:one").network.graph.name == "one"
        assert load_model(f"{two}:two", ["size=1"]).network.graph.name == "one"

    def test_json(self, tmp_path: Path) -> None:
        network = load_model(GMM).network
        path = tmp_path / "net.json"
        bn.write(network, path)
        assert load_model(str(path)).network.graph == network.graph

    @pytest.mark.parametrize(
        ("suffix", "settings", "says"),
        [
            ("", [], "file.py:one, "),
            (":on", [], 'Did you mean "one"?'),
            (":two", [], "--set size=VALUE"),
            (":two", ["sise=1"], 'Did you mean "size"?'),
            (":two", ["size"], "NAME=VALUE"),
        ],
    )
    def test_typed_wrong(self, two: Path, suffix: str, settings: list[str], says: str) -> None:
        with pytest.raises(UsageError) as caught:
            load_model(f"{two}{suffix}", settings)
        assert says in str(caught.value)

    def test_not_a_network(self, two: Path) -> None:
        with pytest.raises(ModelError, match="returned int"):
            load_model(f"{two}:helper")

    def test_fault_in_the_file_shows_its_line_and_not_bnlabs(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.py"
        path.write_text("def broken():\n    return 1 / 0\n", encoding="utf-8")
        with pytest.raises(ModelError) as caught:
            load_model(str(path))
        text = str(caught.value)
        assert "line 2, in broken" in text and "ZeroDivisionError" in text
        assert "bnlab/cli" not in text


class TestData:
    def test_columns(self) -> None:
        table = load_data(FAITHFUL, load_model(GMM), ["x=waiting,eruptions"])
        assert table.columns == {"x": ["waiting", "eruptions"]}
        assert list(table.values.columns) == ["eruptions", "waiting"]

    def test_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "data.npz", x=np.arange(4.0))
        table = load_data(tmp_path / "data.npz", load_model(GMM))
        assert list(table.values["x"]) == [0, 1, 2, 3]

    def test_pickled_arrays_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "data.npz", x=np.array([{}], dtype=object))
        with pytest.raises(DataError, match="allow_pickle"):
            load_data(tmp_path / "data.npz", load_model(GMM))

    def test_an_empty_table_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data.csv").write_text("", encoding="utf-8")
        with pytest.raises(DataError, match="cannot be read as a table"):
            load_data(tmp_path / "data.csv", load_model(GMM))

    @pytest.mark.parametrize(
        ("path", "bindings"),
        [(None, ["x=waiting"]), (FAITHFUL, ["x"]), (ROOT / "README.md", []), (ROOT / "none.csv", [])],
    )
    def test_typed_wrong(self, path: Path | None, bindings: list[str]) -> None:
        with pytest.raises(UsageError):
            load_data(path, load_model(GMM), bindings)


class TestCommands:
    def test_emit_prints(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["emit", GMM, "dot"]) == 0
        assert capsys.readouterr().out.startswith("digraph")

    def test_emit_writes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "fitter.py"
        assert main(["emit", GMM, "em", "--out", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"target": "em", "file": str(out)}
        assert out.read_text(encoding="utf-8") == bn.emit(load_model(GMM).network, "em")

    def test_draw(self, tmp_path: Path) -> None:
        out = tmp_path / "picture.svg"
        assert main(["draw", GMM, "--out", str(out)]) == 0
        assert "<svg" in out.read_text(encoding="utf-8")

    def test_derive(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["derive", GMM]) == 0
        assert capsys.readouterr().out.rstrip("\n") == str(bn.derive(load_model(GMM).network)).rstrip("\n")

    def test_fit(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "fit.nc"
        assert main(["fit", GMM, "--data", str(FAITHFUL), "--tol", "1e-12", "--out", str(out), "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["status"] == "converged"
        # mclust's optimum, to the digits it is published with
        assert record["log_likelihood"] == pytest.approx(-1130.26396, abs=5e-6)
        assert bn.load(out).log_likelihood[-1] == record["log_likelihood"]

    def test_fit_prints_every_parameter(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["fit", GMM, "--max-iter", "2"]) == 0
        out = capsys.readouterr().out
        assert all(f"{name} " in out for name in ("pi", "mu", "Sigma"))

    def test_verify(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", GMM]) == 0
        assert capsys.readouterr().out


class TestExitCodes:
    @pytest.mark.parametrize(
        "tokens",
        [
            ["emit"],
            ["emit", GMM, "cobol"],
            ["emit", "nowhere.py"],
            ["nonsense"],
            ["fit", GMM, "--set", "components"],
            ["fit", GMM, "--method", "guess"],
        ],
    )
    def test_usage(self, tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(tokens) == 2
        captured = capsys.readouterr()
        assert captured.err and not captured.out

    def test_fault_of_the_model(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "bad.py"
        path.write_text(TWO.replace('"x"', '"len"'), encoding="utf-8")
        assert main(["draw", f"{path}:one"]) == 1
        assert "bad.py, line 6" in capsys.readouterr().err

    def test_fault_of_the_data(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "data.npz"
        np.savez(path, x=np.zeros((5, 3)))
        assert main(["fit", GMM, "--data", str(path)]) == 1
        assert "x" in capsys.readouterr().err

    def test_interrupt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*arguments: object, **options: object) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(bn, "emit", interrupt)
        assert main(["emit", GMM]) == 130


@pytest.mark.parametrize(("out", "words"), [(".", "is a folder"), ("nowhere/em.py", "no folder")])
def test_a_file_that_cannot_be_written_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, words: str
) -> None:
    assert main(["emit", str(ROOT / "models" / "gmm.py"), "--out", str(tmp_path / out)]) == 1
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told


def test_help_loads_nothing_heavy() -> None:
    program = "import sys; from bnlab.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "emit" in finished.stdout
    assert not {"jax", "numpyro", "arviz", "pandas", "matplotlib"} & set(finished.stderr.split())


@pytest.mark.slow
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["fits"]["em"]["log_likelihood"] == pytest.approx(
        -1130.264, abs=5e-4
    )  # three decimals are printed
    assert set(record["comparison"]["scores"]) == {"em", "viterbi", "vbem", "svi", "nuts"}
    assert record["files"][-1] == str(tmp_path / "report" / "index.html")
    for file in record["files"]:
        assert Path(file).stat().st_size > 0


def test_a_file_of_tables_with_variables_hidden(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asia = Path(__file__).parents[1] / "data" / "asia.bif"
    assert main(["derive", str(asia), "--set", "hide=lung,either"]) == 0
    assert "lung is summed out" in capsys.readouterr().out
    assert main(["draw", str(asia), "--view", "cliques", "--out", str(tmp_path / "asia.svg")]) == 0
    assert "lung, bronc, either" in (tmp_path / "asia.svg").read_text(encoding="utf-8")
    assert main(["derive", str(asia), "--set", "rows=3"]) == 2
    assert "hide=NAME" in capsys.readouterr().err


def test_functions_that_a_file_imports_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("import bnlab as bn\n\ndef alpha() -> bn.Network: ...\n")
    own = "from other import alpha\nimport bnlab as bn\n\ndef beta() -> bn.Network:\n"
    own += "    with bn.Network('beta') as net:\n        with bn.plate('n'):\n"
    own += "            bn.observed('x', bn.Normal(0.0, var=1.0))\n    return net\n"
    (tmp_path / "mine.py").write_text(own)
    assert load_model(str(tmp_path / "mine.py")).network.graph.name == "beta"


@pytest.mark.parametrize("target", ["vbem", "latex_vbem"])
def test_all_targets_are_on_the_command_line(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emit", str(ROOT / "data" / "asia.bif"), target]) in (0, 1)
    assert "Choose from" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2,3\n2,3,4\n4,5,6\n", "names 2 columns, and the next line has 3"),
        ("a,a\n1,2\n2,3\n", "names a more than once"),
    ],
)
def test_a_table_that_does_not_fit_its_first_line_is_refused(
    text: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.csv").write_text(text)
    assert main(["fit", str(ROOT / "models" / "gmm.py"), "--data", str(tmp_path / "data.csv")]) != 0
    assert reason in capsys.readouterr().err


def test_an_array_that_is_no_archive_is_refused_in_a_line(tmp_path: Path) -> None:
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, np.ones((4, 2)))
    with pytest.raises(DataError, match="cannot be read as arrays"):
        load_data(tmp_path / "data.npz", load_model(str(ROOT / "models" / "gmm.py")))


@pytest.mark.parametrize(
    ("command", "path"), [("fit", "nowhere/fit.nc"), ("compare", "file"), ("compare", "file/report")]
)
def test_what_cannot_be_written_is_told_before_the_work(
    command: str,
    path: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(bn, command, lambda *_, **__: pytest.fail("the work has begun"))
    assert main([command, GMM, "--out", str(tmp_path / path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
