"""What runs emitted code: the only part of bnlab that imports JAX."""

from bnlab.runtime.fit import fit
from bnlab.runtime.result import Fit, load
from bnlab.runtime.sampling import sample
from bnlab.runtime.verify import verify

__all__ = ["Fit", "fit", "load", "sample", "verify"]
