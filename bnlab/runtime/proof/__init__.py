"""The laws that every emitted EM obeys, and the brute-force oracle that they are held against.

Nothing here is shared with bnlab's inference: the oracle reads the declaration alone and lists all configurations.
"""
