"""The version of this package; ``mobilevit_deploy.__version__`` is the same."""

__version__ = "0.1.0"
