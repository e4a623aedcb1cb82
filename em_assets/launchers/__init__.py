"""Launchers: hand a step's entry point to where it runs. Same entry point, same arguments everywhere."""

from em_assets.launchers.base import Launcher
from em_assets.launchers.local import LocalLauncher

__all__ = ["Launcher", "LocalLauncher"]
