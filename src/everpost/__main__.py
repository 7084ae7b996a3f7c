"""`python -m everpost` is the program `everpost`."""

from everpost.app.cli import main

main()
