"""`python -m bench`: measure, compare, draw."""

from __future__ import annotations

import sys

from bench.cli import main

if __name__ == "__main__":
    main(sys.argv[1:])
