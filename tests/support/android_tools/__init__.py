"""A stand-in for adb and an Android phone; all that the tests replace for Android is in this folder.

``bin/adb`` is an executable for PATH. It plays what ``adb`` prints and a phone with a shell, whose files lie in a
folder, and on it ``benchmark_model`` with the output of its source (``printed.py`` says where that stands). Each call
goes into a log, and what goes wrong is named in a file, as in ``tests/support/apple_tools/state.py``.
"""
