"""``python -m mobilevit_deploy`` is ``mvd``."""

from mobilevit_deploy.cli.app import main

if __name__ == "__main__":
    main()
