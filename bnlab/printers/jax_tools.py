"""The helper functions of emitted JAX files: small, and there only where the mathematics calls them."""

from __future__ import annotations

import re

from bnlab.printers.python_tree import Define, Statement, Verbatim, lines

RATIO = '''
def ratio(total, count, old):
    """total / count; where nothing was counted, the old value."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), old)
'''

LOG = '''
def log(p):
    """ln p; -inf where p is 0, with gradient 0: what is impossible stays so."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), -jnp.inf)
'''

LOG_IF_RELIABLE = '''
def log_if_reliable(p):
    """ln p; NaN where p is so small that what underflowed on the way may matter: then use logarithms."""
    return jnp.where(p > jnp.finfo(p.dtype).tiny ** 0.5, jnp.log(p), jnp.nan)
'''

LOG_SUM_EXP = '''
def log_sum_exp(x, axis):
    """ln sum exp(x); where all of x is -inf so is the result, with gradient 0."""
    possible = (x > -jnp.inf).any(axis, keepdims=True)
    total = logsumexp(jnp.where(possible, x, 0), axis=axis)
    return jnp.where(possible.squeeze(axis), total, -jnp.inf)
'''

JOINT_BASIS = '''
def joint_basis(P, J):
    """T with T T' = P and T' J T diagonal; P may be singular."""
    variances, directions = jnp.linalg.eigh(P)
    root = directions * jnp.sqrt(jnp.maximum(variances, 0))[..., None, :]
    return root @ jnp.linalg.eigh(jnp.swapaxes(root, -1, -2) @ J @ root)[1]
'''

BASIS_BY_CHOLESKY = '''
def basis_by_cholesky(P, J):
    """T with T T' = P and T' J T diagonal; P may be singular, J may not, which saves one of two eigenvalue problems."""
    L = jnp.linalg.cholesky(J)
    values, directions = jnp.linalg.eigh(jnp.swapaxes(L, -1, -2) @ P @ L)
    root = directions * jnp.sqrt(jnp.maximum(values, 0))[..., None, :]
    return jnp.swapaxes(inverse_lower(L), -1, -2) @ root
'''

INVERSE_LOWER = '''
def inverse_lower(L):
    """L^-1 for each lower triangular matrix in L (..., D, D)."""
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return solve_triangular(L, identity, lower=True)
'''

IN_BLOCKS = '''
def in_blocks(f, *arrays, axes, rows=256):
    """f of arrays with the same first axes, some rows at a time: what it makes stays in a core's cache."""
    first = arrays[0].shape[:axes]
    count = int(np.prod(first))
    if count <= rows:
        return f(*arrays)

    def blocks(a):
        flat = a.reshape(count, *a.shape[axes:])
        padded = jnp.pad(flat, ((0, -count % rows), *[(0, 0)] * (flat.ndim - 1)), mode="edge")
        return padded.reshape(-1, *[1] * (axes - 1), rows, *a.shape[axes:])

    out = jax.lax.map(lambda block: f(*block), tuple(blocks(a) for a in arrays))
    last = out.shape[1 + axes :]
    return out.reshape(-1, *last)[:count].reshape(*first, *last)
'''

INVERSE_DIGAMMA = '''
def inverse_digamma(y):
    """The a > 0 with digamma(a) = y: Newton's method, from a start that is near everywhere (Minka 2000)."""
    a = jnp.where(y > -2.22, jnp.exp(y) + 0.5, -1 / (y - digamma(1.0)))
    for _ in range(5):  # the number of correct digits doubles in each
        a = a - (digamma(a) - y) / polygamma(1, a)
    return a
'''

GAMMA_SHAPE = '''
def gamma_shape(s):
    """The a > 0 with ln a - digamma(a) = s > 0: Newton's method in 1/a (Minka 2002), from within 2%."""
    s = jnp.maximum(s, 100 * jnp.finfo(s.dtype).eps)  # nearer to 0 it would be rounding
    a = (3 - s + jnp.sqrt((3 - s) ** 2 + 24 * s)) / (12 * s)
    for _ in range(4):  # the number of correct digits doubles in each
        a = 1 / (1 / a + (jnp.log(a) - digamma(a) - s) / (a - a**2 * polygamma(1, a)))
    return a
'''

COUNTS = '''
def counts(q, x, size):
    """The sum of q over the rows where x is each of its categories, categories last."""
    rows = q.reshape(-1, *q.shape[x.ndim :])
    return jnp.moveaxis(jax.ops.segment_sum(rows, x.ravel(), size), 0, -1)
'''

SECOND_MOMENTS = '''
def second_moments(q, r):
    """The sum over rows of q r r', for each state: half of it is computed, as it is symmetric."""
    rows = tuple(range(r.ndim - 1))
    i, j = np.triu_indices(r.shape[-1])
    half = jnp.tensordot(q, r[..., i] * r[..., j], (rows, rows))
    full = jnp.zeros((*half.shape[:-1], r.shape[-1], r.shape[-1]), half.dtype)
    return full.at[..., i, j].set(half).at[..., j, i].set(half)
'''

SYMMETRIC_PRODUCTS = '''
def symmetric_products(w, r):
    """The sum of w r r' over all rows: as it is symmetric, a quarter of it need not be multiplied."""
    rows, half = r.reshape(-1, r.shape[-1]), r.shape[-1] // 2
    columns = jax.lax.optimization_barrier((w.reshape(-1, 1) * rows).T)  # turned in memory: a faster product
    top = columns[:half] @ rows
    rest = columns[half:] @ rows[:, half:]
    return jnp.block([[top], [jnp.concatenate([top[:, half:].T, rest], 1)]])
'''

PRODUCTS_OF_ROWS = '''
def products_of_rows(w, a, b):
    """The sum of w a b' over all rows, as one product of matrices."""
    return a.reshape(-1, a.shape[-1]).T @ (w[..., None] * b).reshape(-1, b.shape[-1])
'''

SQUARED_DISTANCES = '''
def squared_distances(r, m, P):
    """(r - m)' P (r - m) of every row r and state, P symmetric: multiplied out, with rows last, its gradient is cheapest."""
    i, j = np.triu_indices(r.shape[-1])
    half = jnp.where(i == j, 1, 2) * P[..., i, j]
    Pm = jnp.einsum("...de,...e->...d", P, m)
    rows = r.reshape(-1, r.shape[-1]).T
    found = (half @ (rows[i] * rows[j]) - 2 * Pm @ rows).T + (Pm * m).sum(-1)
    return found.reshape(*r.shape[:-1], *P.shape[:-2])
'''

SOLVE = '''
def solve(moments, products):
    """The x with moments x = products; where the moments are singular, of all such the one nearest to 0."""
    diagonal = jnp.diagonal(moments, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * moments * scale[..., None, :]
    smallest = jnp.finfo(moments.dtype).eps ** 0.75  # what is below is rounding of the moments
    inverse = jnp.linalg.pinv(scaled, rtol=smallest, hermitian=True)
    return scale * jnp.einsum("...pq,...q->...p", inverse, scale * products)
'''

PREDICTED_COVARIANCES = '''
def predicted_covariances(P, F, Q, Lambda, steps):
    """Those of so many steps, the first of them P, each F (P^-1 + Lambda)^-1 F' + Q of the one before.

    About sqrt(steps) of them one by one, the others many at once: k steps take P to A (P^-1 + J)^-1 A' + C,
    where A, C and J are found by doubling k (Anderson and Moore 1979, section 6.7).
    """
    unit = jnp.eye(P.shape[-1], dtype=P.dtype)
    F, Q, Lambda = (jnp.broadcast_to(M, P.shape).astype(P.dtype) for M in (F, Q, Lambda))

    def ahead(P, A, C, J):
        V = product(jnp.linalg.inv(unit + product(P, J)), P)
        return product(product(A, V), A.mT) + C

    def twice(_, now):
        A, C, J = now
        S = jnp.linalg.inv(unit + C @ J)
        return A @ S @ A, A @ S @ C @ A.mT + C, A.mT @ J @ S @ A + J

    doublings = steps.bit_length() // 2
    early = 8  # steps that are not taken together: a wide start would cost digits
    taken = jax.lax.scan(lambda P, _: (ahead(P, F, Q, Lambda), P), P, None, length=early + 2**doublings)[1]
    block = taken[early:]
    A, C, J = jax.lax.fori_loop(0, doublings, twice, (F, Q, Lambda))
    blocks = jax.lax.scan(lambda P, _: (ahead(P, A, C, J), P), block, None, length=-(-steps // len(block)))[1]
    return jnp.concatenate([taken[:early], blocks.reshape(-1, *P.shape)])[:steps]
'''

PRODUCT = '''
def product(A, B):
    """A @ B; small matrices as sums written out, which the compiler fuses: BLAS costs more than they do."""
    if max(A.size * B.shape[-1], B.size * A.shape[-2]) < 4096:
        return (A[..., :, None] * B[..., None, :, :]).sum(-2)
    if A.shape[-1] <= 8:
        return sum(A[..., k, None] * B[..., None, k, :] for k in range(A.shape[-1]))
    return A @ B
'''

RELIABLE = '''
def reliable(c, beta):
    """Whether the scaled messages lost nothing that matters: it would take a tiny c or a huge beta."""
    limits = jnp.finfo(c.dtype)
    return (c.min() > limits.tiny ** (1 / 3)) & (beta.max() < limits.max**0.5)
'''

SYMMETRIC = '''
def symmetric(S):
    """S without the asymmetry that rounding leaves, of which iterations would make more and more."""
    return (S + jnp.swapaxes(S, -1, -2)) / 2
'''

HARDMAX = '''
def hardmax(x, axis):
    """1 at the first maximum over an axis (or several together), else 0."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(x, axes, last)
    flat = moved.reshape(*moved.shape[: -len(axes)], -1)
    ones = jax.nn.one_hot(flat.argmax(-1), flat.shape[-1])
    return jnp.moveaxis(ones.reshape(moved.shape), last, axes)
'''


def tools(sources: tuple[Define, ...]) -> list[Statement]:
    """The helpers that the mathematics calls."""
    text = "\n".join(line for source in sources for line in lines(source))
    for name, helper in {
        "basis_by_cholesky": BASIS_BY_CHOLESKY,
        "predicted_covariances": PREDICTED_COVARIANCES,
    }.items():
        text += helper if f"{name}(" in text else ""
    candidates = {
        "ratio": RATIO,
        "log": LOG,
        "log_if_reliable": LOG_IF_RELIABLE,
        "log_sum_exp": LOG_SUM_EXP,
        "joint_basis": JOINT_BASIS,
        "basis_by_cholesky": BASIS_BY_CHOLESKY,
        "inverse_lower": INVERSE_LOWER,
        "hardmax": HARDMAX,
        "solve": SOLVE,
        "symmetric": SYMMETRIC,
        "product": PRODUCT,
        "predicted_covariances": PREDICTED_COVARIANCES,
        "reliable": RELIABLE,
        "second_moments": SECOND_MOMENTS,
        "squared_distances": SQUARED_DISTANCES,
        "products_of_rows": PRODUCTS_OF_ROWS,
        "symmetric_products": SYMMETRIC_PRODUCTS,
        "counts": COUNTS,
        "inverse_digamma": INVERSE_DIGAMMA,
        "gamma_shape": GAMMA_SHAPE,
        "in_blocks": IN_BLOCKS,
    }
    return [
        Verbatim(source) for name, source in candidates.items() if re.search(rf"(?<![.\w]){name}\(", text)
    ]
