"""`python -m cli` runs the `image-pipeline` command."""

import sys

from cli.main import main

sys.exit(main())
