"""What operations and spaces of a Program are called in JAX."""

from __future__ import annotations

import ast

OPERATORS = {"+": ast.Add(), "-": ast.Sub(), "*": ast.Mult(), "/": ast.Div()}
OF_MATRICES, WITH_VECTOR = ast.MatMult(), ast.MatMult()
"""`@`, told apart by identity: a recursion has another way with small matrices (`jax_functions`)."""
SMALL = 8
"""Rows and columns up to which a stack of matrices is multiplied by `product`."""
COMPARISONS: dict[str, ast.cmpop] = {">": ast.Gt(), ">=": ast.GtE(), "<": ast.Lt(), "==": ast.Eq()}
FUNCTIONS = {
    "log": "jnp.log",
    "log_or_never": "log",
    "log_if_reliable": "log_if_reliable",
    "log1p": "jnp.log1p",
    "exp": "jnp.exp",
    "sqrt": "jnp.sqrt",
    "square": "jnp.square",
    "gammaln": "gammaln",
    "held": "jax.lax.stop_gradient",
    "digamma": "digamma",
    "inverse_digamma": "inverse_digamma",
    "gamma_shape": "gamma_shape",
}
SPACES = {"theta": "theta", "statistics": "s", "posterior": "q", "prior": "PRIOR", "constant": "jnp"}
