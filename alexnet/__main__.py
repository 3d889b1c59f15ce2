"""`python -m alexnet VERB …`, for torchrun and wherever the `alexnet` command is not on the path."""

from alexnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
