"""`python -m promptdistill` is the command `promptdistill`."""

from .cli import main

main()
