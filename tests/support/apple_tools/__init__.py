"""A stand-in for what only a Mac with Xcode and an iPhone have; all that the tests replace is in this folder.

``bin/`` holds ``xcrun``, ``devicectl``, ``xcodebuild``, ``sw_vers`` and ``pmset`` as executables for PATH. They play
the protocol of ``devicectl`` and of the app that coremltools 9.0 brings for macOS, ``modelrunner``, as its source has
it, and write each call into a log. ``tools.py`` is what they run, ``devicectl.py`` and ``phone.py`` are the iPhone with
the app; what goes wrong is named in a file, see ``state.py``. ``libcoremlpython.py`` stands for coremltools' native
library, which its package for Linux lacks, and ``modelrunner/`` for the app's project.
``python -m tests.support.apple_tools`` is ``mvd`` with these two in their places; nothing else of coremltools is
replaced.
"""
