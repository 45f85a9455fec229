"""``python -m foundry_rest`` is the command ``foundry-rest``."""

import sys

from foundry_rest.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
