"""The names of the targets, for the command line, which looks at no card before it knows what to do."""

from pathlib import Path

from mobilevit_deploy.system import plugins

_OWN = (path.parent.name for path in (Path(__file__).parents[1] / "targets").glob("*/convert.py"))

TARGETS = tuple(sorted({*_OWN, *plugins.plugins(plugins.TARGETS)}))
