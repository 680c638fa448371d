"""The command ``tuner``, also as ``python -m tuner_service``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; what it needs is imported once no secret is left in the environment."""
    from tuner_service import bootstrap

    bootstrap.scrub(sys.argv[1:])
    from tuner_service.cli.app import run

    run()


if __name__ == "__main__":
    main()
