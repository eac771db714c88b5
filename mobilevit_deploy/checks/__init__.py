"""``mvd check``: exports and limits in one TOML file, judged in one run, for CI."""
