"""Stand-ins for libraries that are no dependencies: as much of their interface as the sources of models ask for.

``stand_ins`` in ``tests/support/stand_ins.py`` puts them on the path, with versions.
"""
