"""The models of models/, for every test that goes over all of them."""

from __future__ import annotations

from pathlib import Path

from bnlab.cli.models import Model, load_model

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "models").glob("*.py") if path.stem != "demo")


def model(name: str, **settings: int) -> Model:
    """The model in models/<name>.py, built with these arguments."""
    return load_model(
        str(ROOT / "models" / f"{name}.py"), [f"{key}={value}" for key, value in settings.items()]
    )
