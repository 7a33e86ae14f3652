"""`python -m client` is the `image-pipeline` command."""

import sys

from client.main import main

sys.exit(main())
