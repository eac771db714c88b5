"""Corruptions of saved ``.mlpackage`` files: what a check of such files ought to notice.

``program`` opens a package for editing, ``weights``, ``parameters`` and ``wiring`` hold the kinds of corruption,
``sample`` draws some of each kind, and ``judge`` says what the check made of them.
"""
