"""Distributions, one file each. `base.registry()` finds them."""
