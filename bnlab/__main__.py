"""`python -m bnlab` is the command `bnlab`."""

import sys

from bnlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
