"""Several methods on one network and one data set: estimates and posteriors side by side."""

from bnlab.comparison.proposal import weakly_informative
from bnlab.comparison.records import Certificate, Comparison, Estimate, Loo, Proposal, Row, Score, Split
from bnlab.comparison.run import compare

__all__ = [
    "Certificate",
    "Comparison",
    "Estimate",
    "Loo",
    "Proposal",
    "Row",
    "Score",
    "Split",
    "compare",
    "weakly_informative",
]
