"""Sources of models by name: ``timm:NAME`` is built by ``timm.py``; see ``loading.source`` for what each provides."""
