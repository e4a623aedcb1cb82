"""The code location."""

from __future__ import annotations

import os

import dagster as dg

from em_assets import checks
from em_assets.assets import index, matching, reference, sources, training
from em_assets.jobs import JOBS
from em_assets.launchers import Launchers
from em_assets.notify import configured
from em_assets.resources import DEFAULT_ROOT, Gates, Settings, Workspace
from em_assets.schedules import SCHEDULES
from em_assets.sensors import SENSORS


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, jobs, sensors, schedules and resources.

    `EM_ROOT` names the workspace folder, `EM_LANDING` another drop folder, `EM_TABLES` a catalog for the tables, `EM_SETTINGS` a settings
    file, `EM_LAUNCHERS` a file that says where heavy steps run, `EM_WEBHOOK_URL` where failures are told.
    """
    return dg.Definitions(
        assets=dg.load_assets_from_modules([reference, sources, index, training, matching]),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=JOBS,
        sensors=SENSORS,
        schedules=SCHEDULES,
        # Heavy steps are processes of their own already, by the launcher; a process for each step would only load Python again.
        executor=dg.in_process_executor,
        resources={
            "workspace": Workspace(
                root=os.environ.get("EM_ROOT", DEFAULT_ROOT),
                landing_folder=os.environ.get("EM_LANDING", ""),
                tables_at=os.environ.get("EM_TABLES", ""),
            ),
            "settings": Settings(file=os.environ.get("EM_SETTINGS", "")),
            "gates": Gates(),
            "launchers": Launchers(file=os.environ.get("EM_LAUNCHERS", "")),
            "notifier": configured(os.environ.get("EM_WEBHOOK_URL")),
        },
    )
