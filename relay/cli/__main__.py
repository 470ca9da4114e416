"""`python -m relay.cli` is the `relay` command too."""

from relay.cli import main

if __name__ == "__main__":
    main()
