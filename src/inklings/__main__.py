"""`python -m inklings` is the command `inklings`."""

from inklings.cli.main import run

if __name__ == "__main__":
    run()
