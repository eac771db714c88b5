"""``mvd tune``: the fastest of the files that a recipe can be changed to make, by paired measurement.

``space`` has the candidates, ``search`` tries them, ``trials`` keeps what became of each in a file, ``timing``
measures, ``workshop`` makes the files, and ``tune`` ends with a recipe.
"""
