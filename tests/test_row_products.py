"""Sums of products of rows in emitted files: written with fewer multiplications, the same numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bnlab as bn
from bnlab.cli.models import load_model
from bnlab.printers.jax_tools import PRODUCTS_OF_ROWS, SYMMETRIC_PRODUCTS
from tests.laws.emitted import load

tools = load(
    f"import jax\nimport jax.numpy as jnp\nimport numpy as np\n{PRODUCTS_OF_ROWS}{SYMMETRIC_PRODUCTS}",
    "row_products",
)
ROUNDING = 1e-13  # sums of some dozen numbers of size 1


@pytest.mark.parametrize("rows", [(7,), (3, 4)])
@pytest.mark.parametrize("entries", [2, 5, 8])
def test_symmetric_products(rows: tuple[int, ...], entries: int) -> None:
    rng = np.random.default_rng(entries)
    w, r = jnp.asarray(rng.random(rows)), jnp.asarray(rng.normal(size=(*rows, entries)))
    found = tools.symmetric_products(w, r)
    np.testing.assert_allclose(found, jnp.einsum("...,...d,...e->de", w, r, r), atol=ROUNDING)
    np.testing.assert_array_equal(
        found[: entries // 2, entries // 2 :], found[entries // 2 :, : entries // 2].T
    )
    slope = jax.grad(lambda r: tools.symmetric_products(w, r).sum())(r)
    np.testing.assert_allclose(
        slope, 2 * w[..., None] * r.sum(-1)[..., None] * np.ones(entries), atol=ROUNDING
    )


def test_products_of_several_axes_of_rows() -> None:
    rng = np.random.default_rng(0)
    w, a, b = (jnp.asarray(rng.normal(size=(3, 4, *entries))) for entries in ((), (2,), (5,)))
    found = tools.products_of_rows(w, a, b)
    np.testing.assert_allclose(found, jnp.einsum("ts,tsd,tse->de", w, a, b), atol=ROUNDING)


def test_where_they_stand() -> None:
    """Chosen by shape: from 128 entries on, and where rows have several axes."""
    wide, narrow = (bn.emit(load_model("models/plda.py", [f"dim={dim}"]).network, "em") for dim in (128, 32))
    assert "symmetric_products(weight, d_z)" in wide and "symmetric_products" not in narrow
    chain = bn.emit(load_model("models/linear_dynamical_system.py").network, "em")
    assert "products_of_rows(weight_in_t, e_x, mean_y)" in chain
