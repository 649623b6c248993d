"""``python -m normsearch`` is the command line."""

from normsearch.cli.main import main

if __name__ == "__main__":
    main()
