"""`product` of emitted files: `A @ B` in three ways, chosen by size."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnlab.printers.jax_tools import PRODUCT
from tests.laws.emitted import load

product = load(f"import jax.numpy as jnp\n{PRODUCT}", "product").product

SMALL = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 4)),
]
WRITTEN_OUT = [((900, 7), (7, 7)), ((300, 4, 4), (300, 4, 4)), ((300, 3, 5), (5, 5)), ((3, 5), (300, 5, 5))]
LARGE = [((900, 9), (9, 9)), ((40, 9, 9), (40, 9, 9))]


@pytest.mark.parametrize(("left", "right"), [*SMALL, *WRITTEN_OUT, *LARGE])
def test_values_and_derivatives_are_those_of_the_operator(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    A, B = jnp.asarray(rng.normal(size=left)), jnp.asarray(rng.normal(size=right))
    found = jax.value_and_grad(lambda a, b: jnp.sin(product(a, b)).sum(), (0, 1))(A, B)
    expected = jax.value_and_grad(lambda a, b: jnp.sin(a @ b).sum(), (0, 1))(A, B)
    assert product(A, B).shape == (A @ B).shape
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(
            one, other, rtol=1e-11, atol=1e-11
        ),  # sums in another order
        found,
        expected,
    )


def test_each_way_is_taken() -> None:
    """The jaxpr of a product tells by which primitive it is made."""

    def made_by(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> set[str]:
        arrays = [jnp.zeros(shape) for shape in shapes]
        return {equation.primitive.name for equation in jax.make_jaxpr(product)(*arrays).eqns}

    assert all("reduce_sum" in made_by(shapes) for shapes in SMALL)
    assert all(not {"reduce_sum", "dot_general"} & made_by(shapes) for shapes in WRITTEN_OUT)
    assert all("dot_general" in made_by(shapes) for shapes in LARGE)
