"""Which file it is: SHA-256 of files and of folders. Imports nothing heavy, for commands that must start fast."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure_files(path: Path) -> tuple[str, int]:
    """Returns SHA-256 and size in bytes of a file, or of a folder: its files' names and hashes, in order of name."""
    if path.is_file():
        return sha256_of(path), path.stat().st_size
    files = sorted(item for item in path.rglob("*") if item.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n".encode())
    return digest.hexdigest(), sum(file.stat().st_size for file in files)
