"""Launchers: hand a step's entry point to where it runs. Same entry point, same arguments everywhere."""

from em_assets.launchers.base import Argument, Launcher, Place
from em_assets.launchers.choice import Launchers
from em_assets.launchers.local import LocalLauncher

__all__ = ["Argument", "Launcher", "Launchers", "LocalLauncher", "Place"]
