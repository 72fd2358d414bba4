"""An exported folder -> a repository of the Hugging Face hub, by its own library, when the user asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import DataError, MlimError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TEXTS = (".json", ".md", ".py")


def check(repo: str) -> HfApi:
    """The hub, to which the user's token (HF_TOKEN, or that of `hf auth login`) is known.

    Nothing is written yet. Raises DataError for a name that can't be one and where there is no token, MlimError where
    the hub doesn't answer or doesn't know the token.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # public, if by the docs alone

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise DataError(f"--push {repo}: {error}; expected USER/NAME or ORGANISATION/NAME") from None
    if repo.count("/") != 1:
        raise DataError(f"--push {repo}: expected USER/NAME or ORGANISATION/NAME")
    if not (token := get_token()):
        raise DataError("--push: found no token of the hub; set HF_TOKEN, or log in with `hf auth login`")
    api = HfApi(token=token)
    try:
        api.whoami()
    except Exception as error:  # a dozen kinds, of the hub and of the network
        raise MlimError(f"--push: the hub doesn't take the token ({_first_line(error)})") from None
    return api


def push(api: HfApi, folder: Path, repo: str) -> str:
    """Upload, in one commit, and say where to. A new repository is private: who may see it, its owner says there.

    Raises MlimError where a text names a folder of this machine's user or holds the token, or the hub refuses.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in TEXTS:
            text = path.read_text("utf-8")
            if str(Path.home()) + "/" in text or (api.token and str(api.token) in text):
                raise MlimError(f"{path}: holds a path of this machine, or the token; nothing was sent")
    try:
        api.create_repo(repo, private=True, exist_ok=True)
        url = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="mlim export").commit_url
    except Exception as error:
        raise MlimError(f"--push {repo}: the hub refused ({_first_line(error)}); the folder is at {folder}") from None
    return f"pushed: {url}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
