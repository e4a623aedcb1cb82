"""The Databricks workspace that the environment names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from em_core.errors import UserError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient


def workspace_client() -> WorkspaceClient:
    """A client out of the environment, a profile or the job's own identity. Raises `UserError` without credentials in it."""
    try:
        from databricks.sdk import WorkspaceClient
    except ImportError:
        raise UserError("the Databricks SDK is not installed: install the extra entity-matching[databricks]") from None
    try:
        return WorkspaceClient()
    except ValueError as error:
        raise UserError(f"no access to a Databricks workspace: {str(error).split('. ')[0].splitlines()[0]}") from None
