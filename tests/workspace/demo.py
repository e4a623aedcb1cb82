"""The demo with its training on a workspace: the stand-in runs the built wheel in an environment of its own.

    python -m tests.workspace.demo --root var/databricks [--rows 50000]

Against a real workspace, write the launchers file of docs/operations.md, name it in EM_LAUNCHERS and run the demo itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.workspace.server import Workspace, serve

PROJECT = Path(__file__).parents[2]
VOLUME = "/Volumes/main/matching/work"
LAUNCHERS = f"""\
steps: {{ditto_model: databricks}}
databricks:
  volume: {VOLUME}
  wheel: {VOLUME}/entity_matching-0.1.0-py3-none-any.whl
  existing_cluster_id: stand-in
  poll_seconds: 2
"""


def _environment(folder: Path) -> Path:
    """Build the wheel and install it, with what it declares for training, into a new environment; its interpreter."""
    dist = folder / "dist"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(PROJECT)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = dist.glob("*.whl")
    python = folder / "environment" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        PROJECT / "constraints.txt",
    ]
    subprocess.run([*pip, f"{wheel}[ditto,offline]"], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(wheel)], check=True)
    return python


def main() -> None:
    """Install, serve, run the demo with all other arguments, say what ran where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("var/databricks"), help="workspace folder")
    arguments, rest = parser.parse_known_args()
    root = arguments.root.resolve()
    there = root / "workspace"
    there.mkdir(parents=True, exist_ok=True)
    sys.stdout.write("Building the wheel and its environment (some minutes) ...\n")
    space = Workspace(_environment(root), there)
    server = serve(space)
    (root / "launchers.yaml").write_text(LAUNCHERS, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("DATABRICKS_")} | {
        "EM_LAUNCHERS": str(root / "launchers.yaml"),
        "DATABRICKS_HOST": f"http://127.0.0.1:{server.server_address[1]}",
        "DATABRICKS_TOKEN": space.token,
        "DATABRICKS_CONFIG_FILE": str(root / "none"),
    }
    command = [sys.executable, "-m", "em_assets.demo", "--root", str(root), *rest]
    code = subprocess.run(command, env=env, check=False).returncode
    for run in space.runs.values():
        sys.stdout.write(
            f"Remote run {run.run_id}: {run.body['run_name']}, {run.state['result_state']}, log {run.log}\n"
        )
    server.shutdown()
    sys.exit(code)


if __name__ == "__main__":
    main()
