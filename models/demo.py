"""What `bnlab demo` shows: the eruptions of Old Faithful as a mixture of two."""

from gmm import data, gmm

__all__ = ["data", "gmm"]
