"""The report: one page of HTML that holds a network, what bnlab wrote for it, and what its fits came to."""

from bnlab.report.page import Material, page, write

__all__ = ["Material", "page", "write"]
