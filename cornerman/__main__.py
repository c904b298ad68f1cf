"""`python -m cornerman` runs the command line."""

from producer.cli import main

main()
