"""`python -m rsbench`: the command line without an installed script."""

from rsbench.cli import main

main()
