"""``python -m vidgen.cli``."""

import sys

from vidgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
