"""`python -m provision.cli` is `vdl`."""

from provision.cli.main import main

main()
