"""What there is: the TOML of ``models/``, ``export_recipes/`` and ``devices/`` as typed cards."""
