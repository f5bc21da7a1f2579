"""`python -m geniequeue` is the command line."""

from geniequeue.cli import main

main()
