"""``python -m snapfs``: the same program as ``snapfs``."""

from snapfs.cli.main import run_process

if __name__ == "__main__":
    run_process()
