"""How long `mvd --help` takes beside the help of a bare typer program with two commands.

Alternates both in fresh processes and prints medians. Run: ``python benchmarks/startup.py [ROUNDS]``.
"""

import statistics
import subprocess
import sys
import time

BARE = """
import typer
app = typer.Typer()

@app.command()
def first(name: str, count: int = 1) -> None:
    "The first command."

@app.command()
def second(name: str) -> None:
    "The second command."

app(["--help"])
"""

COMMANDS = {
    "bare typer": [sys.executable, "-c", BARE],
    "mvd --help": [sys.executable, "-c", "from mobilevit_deploy.cli.app import app; app(['--help'])"],
}


def main() -> None:
    """Alternates the commands and prints the ratio of their medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            found[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, seconds in medians.items():
        print(f"{name:12}{seconds * 1e3:8.0f} ms")
    print(f"ratio {medians['mvd --help'] / medians['bare typer']:.2f}   medians of {rounds}")


if __name__ == "__main__":
    main()
