"""`python -m cornerman` runs the command line."""

from producer.cli.main import main

main()
