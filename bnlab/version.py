"""The version of bnlab, also written into every emitted file."""

VERSION = "0.1.0"
