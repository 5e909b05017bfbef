"""`python -m longlink` is `longlink`."""

import sys

from longlink.cli import main

if __name__ == "__main__":
    sys.exit(main())
