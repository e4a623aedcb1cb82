"""The code location."""

from __future__ import annotations

import os

import dagster as dg

from em_assets import checks
from em_assets.assets import index, matching, reference, sources, training
from em_assets.jobs import fit, match, report
from em_assets.launchers import LocalLauncher
from em_assets.resources import DEFAULT_ROOT, Settings, Workspace
from em_assets.sensors import landed_files


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, jobs, sensors and resources. `EM_ROOT` names the workspace folder, `EM_SETTINGS` a settings file."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([reference, sources, index, training, matching]),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[fit, match, report],
        sensors=[landed_files],
        resources={
            "workspace": Workspace(root=os.environ.get("EM_ROOT", DEFAULT_ROOT)),
            "settings": Settings(file=os.environ.get("EM_SETTINGS", "")),
            "launcher": LocalLauncher(),
        },
    )
