"""Core AI assets, ``.aimodel``: what Apple's compiler and runtime are asked, in processes of their own.

``program``, ``nodes`` and ``convert`` import Apple's packages and run in the child alone; ``child`` starts it.
"""
