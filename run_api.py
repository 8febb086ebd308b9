"""Start here: ``python run_api.py``."""

import gc
import sys

gc.disable()                            # for the imports' sake, a tenth of the start; main switches it on again

from vidgen.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
