"""The fixture `hub`: a Hub of the test's own, at which this process and its children look.

The installed client reads HF_ENDPOINT, HF_HOME and the like once, when it is imported. For this
process, which has imported it, the fixture therefore sets what came of them; for processes that
a test starts, the variables themselves.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer

_UNSET = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_OIDC_RESOURCE",
    "TRANSFORMERS_OFFLINE",
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """An empty Hub; nobody is logged in, and the client's cache is an empty folder of the test.

    A token comes from ``hub.token()``: pass it as ``token=``, or log in by
    ``monkeypatch.setenv("HF_TOKEN", hub.token())``. The client waits a second before each second
    try; there is no setting to shorten that, so tests let it fail once, not more.
    """
    # Imported here: conftest sets variables that the client reads when it is imported.
    from huggingface_hub import close_session, constants, hf_api

    home = tmp_path / "hf_home"
    with HubServer() as server, warnings.catch_warnings():
        # The client 2.4 hands an LFS upload to httpx2 in a way that httpx2 has deprecated.
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload", DeprecationWarning)
        for name in _UNSET:
            monkeypatch.delenv(name, raising=False)
        for name, value in {
            "HF_ENDPOINT": server.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        for name, setting in {
            "ENDPOINT": server.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": (
                server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
            ),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
            "HF_ASSETS_CACHE": str(home / "assets"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        }.items():
            monkeypatch.setattr(constants, name, setting)
        # The functions at the client's top level (create_repo, upload_folder, ...) are methods of
        # this one, made at import.
        monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
        close_session()  # its connections lead elsewhere
        yield server
        close_session()
