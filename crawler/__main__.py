"""`python -m crawler`: the command line."""

import sys

from crawler.cli import main

sys.exit(main())
