"""The names of the targets, for the command line, which looks at no card before it knows what to do."""

from pathlib import Path

TARGETS = tuple(sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[!_]*.py")))
