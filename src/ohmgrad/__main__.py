"""`python -m ohmgrad`."""

from .cli import main

main()
