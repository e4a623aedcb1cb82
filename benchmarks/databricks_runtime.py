"""Would the wheel replace a package of a Databricks ML runtime? Resolves it with each runtime's versions as constraints.

make wheel && python benchmarks/databricks_runtime.py dist/entity_matching-*.whl
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Runtime release notes (Python 3.12).
_RUNTIMES = {
    "17.3 LTS ML": {
        "numpy": "2.1.3", "pandas": "2.2.3", "pyarrow": "19.0.1", "scikit-learn": "1.6.1", "pydantic": "2.10.6", "mlflow-skinny": "3.0.1",
        "databricks-sdk": "0.49.0", "torch": "2.7.0", "transformers": "4.51.3", "sentence-transformers": "4.0.1",
    },
    "18 LTS ML": {
        "numpy": "2.1.3", "pandas": "2.2.3", "pyarrow": "21.0.0", "scikit-learn": "1.6.1", "pydantic": "2.10.6", "mlflow-skinny": "3.8.1",
        "databricks-sdk": "0.67.0", "torch": "2.9.0", "transformers": "4.57.1", "sentence-transformers": "5.1.2",
    },
}  # fmt: skip
_PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(34, 16, -1)), "manylinux2014_x86_64")


def resolve(requirement: str, runtime: dict[str, str]) -> dict[str, str]:
    """Package -> version that pip would install beside a runtime's versions. Raises `CalledProcessError` if nothing fits."""
    with tempfile.TemporaryDirectory() as scratch:
        constraints, report = Path(scratch) / "runtime.txt", Path(scratch) / "report.json"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in runtime.items()))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--report", str(report),
                   "--python-version", "3.12", "--only-binary", ":all:", "--target", scratch, "-c", str(constraints)]  # fmt: skip
        for platform in _PLATFORMS:
            command += ["--platform", platform]
        subprocess.run([*command, requirement], check=True)
        return {
            i["metadata"]["name"].lower(): i["metadata"]["version"] for i in json.loads(report.read_text())["install"]
        }


def main() -> None:
    """Print what each extra would add."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", help="the built wheel")
    wheel = parser.parse_args().wheel
    for name, runtime in _RUNTIMES.items():
        for extra in ("", "[ditto]"):
            found = resolve(f"{wheel}{extra}", runtime)
            kept, added = sorted(set(found) & set(runtime)), sorted(set(found) - set(runtime))
            print(
                f"{name}: {Path(wheel).name}{extra} fits; runtime packages kept: {', '.join(kept)}; added: {', '.join(added)}"
            )


if __name__ == "__main__":
    main()
