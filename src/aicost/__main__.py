"""`python -m aicost` is the `aicost` command."""

from .cli import main

if __name__ == "__main__":
    main()
