"""``python -m normsearch`` and ``normsearch`` are the command line."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while its modules load exits with 130 too."""
    try:
        from normsearch.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
