"""The tests' own Hub, driven by the installed client: what goes in comes out, refusals included."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from hub_server import HubServer, asks
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

NET = "tester/net"
WEIGHTS = bytes(range(256)) * 500
CARD = """---
license: apache-2.0
library_name: hf-unet
pipeline_tag: image-segmentation
tags: [unet, microscopy]
datasets: tester/cells
---
# A net
"""


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    """The client of the owner of ``tester/...``."""
    return HfApi(token=hub.token("tester"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net" / "figures").mkdir(parents=True)
    (tmp_path / "net" / "config.json").write_text('{"depth": 4}')
    (tmp_path / "net" / "figures" / "a.txt").write_text("figure a")
    (tmp_path / "net" / "model.safetensors").write_bytes(WEIGHTS)
    return tmp_path / "net"


def read(repo_id: str, filename: str, **options: Any) -> bytes:
    return Path(hf_hub_download(repo_id, filename, **options)).read_bytes()


def status(refused: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return refused.value.response.status_code


# --- repositories and what they hold ----------------------------------------------------------


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_repository_is_made_once(hub: HubServer, api: HfApi, kind: str) -> None:
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    url = api.create_repo(NET, repo_type=kind, **sdk)
    assert (url.repo_id, url.repo_type) == (NET, kind)
    assert url == f"{hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{NET}"
    assert api.create_repo(NET, repo_type=kind, exist_ok=True, **sdk) == url
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_repo(NET, repo_type=kind, **sdk)
    assert status(refused) == 409
    info = api.repo_info(NET, repo_type=kind)
    assert (info.id, info.private, info.sha) == (
        NET,
        False,
        hub.repository(NET, kind).at("main").oid,
    )
    others = {"model", "dataset", "space"} - {kind}
    assert not any(api.repo_exists(NET, repo_type=other) for other in others)
    api.delete_repo(NET, repo_type=kind)
    assert not api.repo_exists(NET, repo_type=kind)


def test_a_folder_goes_up_and_comes_down(hub: HubServer, api: HfApi, folder: Path) -> None:
    api.create_repo(NET)
    done = api.upload_folder(repo_id=NET, folder_path=folder, commit_message="First")
    assert done.oid == hub.repository(NET).at("main").oid
    assert done.commit_url == f"{hub.endpoint}/{NET}/commit/{done.oid}"
    assert hub.repository(NET).files() == {
        "config.json": b'{"depth": 4}',
        "figures/a.txt": b"figure a",
        "model.safetensors": WEIGHTS,
    }
    # The weights went by LFS, in one upload, and nothing else did.
    assert [request.body for request in hub.seen("PUT")] == [WEIGHTS]
    local = Path(snapshot_download(NET))
    assert {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()} == {
        ".gitattributes",
        "config.json",
        "figures/a.txt",
        "model.safetensors",
    }
    assert (local / "model.safetensors").read_bytes() == WEIGHTS
    assert (local / "figures" / "a.txt").read_bytes() == b"figure a"


def test_what_is_there_is_not_uploaded_again(hub: HubServer, api: HfApi, folder: Path) -> None:
    api.create_repo(NET)
    first = api.upload_folder(repo_id=NET, folder_path=folder)
    again = api.upload_folder(repo_id=NET, folder_path=folder)
    assert again.oid == first.oid
    assert len(hub.seen("PUT")) == 1 and len(hub.seen("POST", "/commit/")) == 1
    (folder / "config.json").write_text('{"depth": 5}')
    changed = api.upload_folder(repo_id=NET, folder_path=folder)
    assert changed.oid != first.oid and len(hub.seen("PUT")) == 1
    assert read(NET, "config.json") == b'{"depth": 5}'
    # Content that is known by its hash is not sent a second time under another name.
    api.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="copy.safetensors", repo_id=NET)
    assert len(hub.seen("PUT")) == 1 and read(NET, "copy.safetensors") == WEIGHTS


def test_files_and_folders_are_deleted(hub: HubServer, api: HfApi, folder: Path) -> None:
    api.create_repo(NET)
    api.upload_folder(repo_id=NET, folder_path=folder)
    api.create_commit(
        NET,
        [CommitOperationDelete("figures/"), CommitOperationAdd("figures.txt", b"none")],
        commit_message="Fewer",
    )
    assert set(hub.repository(NET).files()) == {"config.json", "figures.txt", "model.safetensors"}
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        api.delete_file("figures/a.txt", NET)


def test_a_commit_onto_a_head_that_moved_is_refused(hub: HubServer, api: HfApi) -> None:
    api.create_repo(NET)
    before = hub.repository(NET).at("main").oid
    hub.repository(NET).put({"a.txt": b"of another"})
    with pytest.raises(HfHubHTTPError) as refused:
        api.upload_file(
            path_or_fileobj=b"mine", path_in_repo="a.txt", repo_id=NET, parent_commit=before
        )
    assert status(refused) == 412
    assert hub.repository(NET).files() == {"a.txt": b"of another"}


def test_the_description_follows_from_the_card(hub: HubServer, api: HfApi, folder: Path) -> None:
    api.create_repo(NET)
    (folder / "README.md").write_text(CARD)
    api.upload_folder(repo_id=NET, folder_path=folder)
    info = api.model_info(NET, files_metadata=True)
    assert info.tags == [
        "hf-unet",
        "safetensors",
        "unet",
        "microscopy",
        "image-segmentation",
        "dataset:tester/cells",
        "license:apache-2.0",
        "region:us",
    ]
    assert (info.library_name, info.pipeline_tag) == ("hf-unet", "image-segmentation")
    assert info.card_data is not None and info.card_data.license == "apache-2.0"
    assert info.siblings is not None
    by_name = {file.rfilename: file for file in info.siblings}
    assert by_name["model.safetensors"].size == len(WEIGHTS)
    assert by_name["model.safetensors"].lfs is not None
    assert by_name["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert by_name["config.json"].lfs is None
    # The card comes back as it was written, and by the client's own card class.
    assert ModelCard.load(NET).data.tags == ["unet", "microscopy"]


def test_a_card_that_is_no_yaml_is_refused_before_anything_is_sent(
    hub: HubServer, api: HfApi
) -> None:
    api.create_repo(NET)
    with pytest.raises(ValueError, match=r"Invalid metadata in README.md"):
        api.upload_file(
            path_or_fileobj=b"---\ntags: [unet\n---\n", path_in_repo="README.md", repo_id=NET
        )
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# Bare\n", path_in_repo="README.md", repo_id=NET)
    assert hub.repository(NET).files() == {"README.md": b"# Bare\n"}


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_the_tree_is_listed_page_by_page(hub: HubServer, api: HfApi, page_size: int) -> None:
    hub.page_size = page_size
    repository = hub.add("tester/cells", "dataset")
    repository.put({"masks/1.png": b"m", "masks/old/2.png": b"o", "notes.txt": b"12345"})
    cells: dict[str, Any] = {"repo_id": "tester/cells", "repo_type": "dataset"}
    listed = list(api.list_repo_tree(**cells, recursive=True))
    assert [entry.path for entry in listed] == [
        ".gitattributes",
        "masks",
        "masks/1.png",
        "masks/old",
        "masks/old/2.png",
        "notes.txt",
    ]
    sizes = {
        file.path: (file.size, file.lfs is not None) for file in listed if hasattr(file, "size")
    }
    assert sizes["masks/1.png"] == (1, True) and sizes["notes.txt"] == (5, False)
    assert [entry.path for entry in api.list_repo_tree(**cells)] == [
        ".gitattributes",
        "masks",
        "notes.txt",
    ]
    below = [entry.path for entry in api.list_repo_tree(**cells, path_in_repo="masks")]
    assert below == ["masks/1.png", "masks/old"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(**cells, path_in_repo="none"))
    assert [one.path for one in api.get_paths_info(**cells, paths=["notes.txt", "none"])] == [
        "notes.txt"
    ]


# --- revisions, tags, branches, pull requests -------------------------------------------------


def test_a_revision_has_many_names(hub: HubServer, api: HfApi) -> None:
    repository = hub.add(NET)
    old = repository.put({"a.txt": b"old"}).oid
    api.create_tag(NET, tag="v1.0", tag_message="The first")
    api.create_branch(NET, branch="drafts/one", revision="v1.0")
    new = repository.put({"a.txt": b"new"}).oid
    draft = repository.put({"a.txt": b"draft"}, "drafts/one").oid
    for revision, expected, oid in [
        ("v1.0", b"old", old),
        (old, b"old", old),
        ("main", b"new", new),
        (None, b"new", new),
        ("drafts/one", b"draft", draft),
    ]:
        assert read(NET, "a.txt", revision=revision) == expected
        assert api.model_info(NET, revision=revision).sha == oid
    refs = api.list_repo_refs(NET)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {
        "main": new,
        "drafts/one": draft,
    }
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0": old}
    titles = [commit.title for commit in api.list_repo_commits(NET)]
    assert titles == ["Add", "Add", "initial commit"]
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_tag(NET, tag="v1.0")
    assert status(refused) == 409
    api.create_tag(NET, tag="v1.0", exist_ok=True)
    api.delete_tag(NET, tag="v1.0")
    api.delete_branch(NET, branch="drafts/one")
    for revision in ("v1.0", "drafts/one", "0" * 40):
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download(NET, "a.txt", revision=revision, force_download=True)


def test_a_pull_request_stands_beside_main_until_it_is_merged(
    hub: HubServer, api: HfApi, folder: Path
) -> None:
    hub.add(NET).put({"config.json": b"{}", "notes.txt": b"kept"})
    visitor = HfApi(token=hub.token("visitor"))
    with pytest.raises(HfHubHTTPError) as refused:
        visitor.upload_folder(repo_id=NET, folder_path=folder)
    assert status(refused) == 403
    pull = visitor.upload_folder(
        repo_id=NET, folder_path=folder, create_pr=True, commit_message="Better"
    )
    assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1")
    assert pull.pr_url == f"{hub.endpoint}/{NET}/discussions/1"
    visitor.upload_file(
        path_or_fileobj=b"more", path_in_repo="b.txt", repo_id=NET, revision=pull.pr_revision
    )
    assert read(NET, "config.json") == b"{}"
    assert read(NET, "config.json", revision="refs/pr/1") == b'{"depth": 4}'
    refs = api.list_repo_refs(NET, include_pull_requests=True)
    assert refs.pull_requests is not None
    assert [ref.ref for ref in refs.pull_requests] == ["refs/pr/1"]
    (listed,) = api.get_repo_discussions(NET)
    assert (listed.title, listed.author, listed.status) == ("Better", "visitor", "open")
    hub.repository(NET).put({"of-main.txt": b"meanwhile"})
    api.merge_pull_request(NET, 1)
    assert hub.repository(NET).files() == {
        "b.txt": b"more",
        "config.json": b'{"depth": 4}',
        "figures/a.txt": b"figure a",
        "model.safetensors": WEIGHTS,
        "notes.txt": b"kept",
        "of-main.txt": b"meanwhile",
    }
    details = api.get_discussion_details(NET, 1)
    assert details.status == "merged"
    assert details.merge_commit_oid == hub.repository(NET).at("main").oid


def test_a_pull_request_that_contradicts_main_is_not_merged(hub: HubServer, api: HfApi) -> None:
    repository = hub.add(NET)
    repository.put({"a.txt": b"1"})
    pull = api.create_pull_request(NET, title="Mine")
    repository.put({"a.txt": b"2"})
    api.upload_file(
        path_or_fileobj=b"3", path_in_repo="a.txt", repo_id=NET, revision=pull.git_reference
    )
    with pytest.raises(HfHubHTTPError) as refused:
        api.merge_pull_request(NET, pull.num)
    assert status(refused) == 409
    assert repository.files() == {"a.txt": b"2"}


# --- who may do what --------------------------------------------------------------------------


def test_who_is_asking(hub: HubServer) -> None:
    told = HfApi(token=hub.token("anna", "read", orgs=("lab",))).whoami()
    assert (told["name"], told["orgs"][0]["name"]) == ("anna", "lab")
    assert told["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(token="hf_unknown").whoami()


def test_a_private_repository_is_not_there_for_others(hub: HubServer, api: HfApi) -> None:
    api.create_repo(NET, private=True)
    api.upload_file(path_or_fileobj=b"mine", path_in_repo="a.txt", repo_id=NET)
    assert api.model_info(NET).private is True
    for token, code in [(False, 401), (hub.token("visitor"), 404)]:
        with pytest.raises(RepositoryNotFoundError) as refused:
            hf_hub_download(NET, "a.txt", token=token)
        assert status(refused) == code
        with pytest.raises(RepositoryNotFoundError):
            HfApi(token=token).model_info(NET)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as wrong:
        hf_hub_download(NET, "a.txt", token="hf_unknown")
    assert status(wrong) == 401 and not isinstance(wrong.value, RepositoryNotFoundError)
    assert read(NET, "a.txt", token=hub.token("tester", "read")) == b"mine"
    api.update_repo_settings(NET, private=False)
    assert HfApi(token=False).model_info(NET).private is False


def test_a_token_from_the_environment_is_used(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NET, private=True).put({"a.txt": b"mine"})
    monkeypatch.setenv("HF_TOKEN", hub.token("tester", "read"))
    assert read(NET, "a.txt") == b"mine"
    assert huggingface_hub.model_info(NET).private is True


@pytest.mark.parametrize("create_pr", [False, True])
def test_a_read_only_token_changes_nothing(hub: HubServer, folder: Path, create_pr: bool) -> None:
    hub.add(NET).put({"a.txt": b"a"})
    reader = HfApi(token=hub.token("tester", "read"))
    with pytest.raises(HfHubHTTPError, match="you must use a write token") as refused:
        reader.upload_folder(repo_id=NET, folder_path=folder, create_pr=create_pr)
    assert status(refused) == 403
    assert reader.create_repo(NET, exist_ok=True).repo_id == NET
    for action in (
        lambda: reader.create_repo("tester/other"),
        lambda: reader.create_tag(NET, tag="v1"),
        lambda: reader.create_branch(NET, branch="b"),
        lambda: reader.delete_repo(NET),
        lambda: reader.update_repo_settings(NET, private=True),
    ):
        with pytest.raises(HfHubHTTPError) as refused:
            action()
        assert status(refused) == 403
    assert hub.repository(NET).files() == {"a.txt": b"a"} and not hub.repository(NET).tags


def test_an_organisation_is_its_members(hub: HubServer) -> None:
    member = HfApi(token=hub.token("anna", orgs=("lab",)))
    member.create_repo("lab/net", private=True)
    assert read_through(member, "lab/net")
    with pytest.raises(HfHubHTTPError, match="You don't have the rights") as refused:
        member.create_repo("elsewhere/net")
    assert status(refused) == 403


def read_through(api: HfApi, repo_id: str) -> bool:
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo_id)
    return api.file_exists(repo_id, "x.txt")


def test_a_gated_repository_shows_its_files_to_the_admitted(hub: HubServer, api: HfApi) -> None:
    repository = hub.add(NET)
    repository.put({"a.txt": b"a"})
    api.update_repo_settings(NET, gated="manual")
    visitor = hub.token("visitor")
    assert HfApi(token=False).model_info(NET).gated == "manual"
    for token, code in [(False, 401), (visitor, 403)]:
        with pytest.raises(GatedRepoError) as refused:
            hf_hub_download(NET, "a.txt", token=token)
        assert status(refused) == code
    repository.admitted.add("visitor")
    assert read(NET, "a.txt", token=visitor) == b"a"


def test_an_upload_must_be_what_was_announced(hub: HubServer, api: HfApi) -> None:
    api.create_repo(NET)
    add = CommitOperationAdd("model.safetensors", WEIGHTS)
    add.path_or_fileobj = WEIGHTS[:-1] + b"x"
    with pytest.raises(RuntimeError, match=r"Error while uploading 'model.safetensors'") as failed:
        api.create_commit(NET, [add], commit_message="Damaged")
    assert isinstance(failed.value.__cause__, BadRequestError)
    assert hub.repository(NET).files() == {}


# --- the client's cache -----------------------------------------------------------------------


def test_a_second_download_moves_no_file(hub: HubServer) -> None:
    hub.add(NET).put({"a.txt": b"a", "model.safetensors": WEIGHTS})
    snapshot_download(NET)
    before = len(hub.seen("GET", "/resolve/"))
    assert before == 3
    snapshot_download(NET)
    assert len(hub.seen("GET", "/resolve/")) == before
    hub.repository(NET).put({"a.txt": b"b"})
    assert (Path(snapshot_download(NET)) / "a.txt").read_bytes() == b"b"
    assert [request.path.rpartition("/")[2] for request in hub.seen("GET", "/resolve/")[3:]] == [
        "a.txt"
    ]


@pytest.mark.parametrize("how", ["setting", "nobody answers"])
def test_the_cache_serves_when_the_hub_does_not(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    hub.add(NET).put({"model.safetensors": WEIGHTS})
    online = snapshot_download(NET)
    asked = len(hub.requests)
    if how == "setting":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        hub.stop()
    assert snapshot_download(NET) == online
    assert read(NET, "model.safetensors") == WEIGHTS
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download("tester/never-fetched")
    assert len(hub.requests) == asked


def test_a_missing_file_is_remembered(hub: HubServer) -> None:
    commit = hub.add(NET).put({"a.txt": b"a"})
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(NET, "none.txt")
    known = huggingface_hub.try_to_load_from_cache(NET, "none.txt", revision=commit.oid)
    assert known is huggingface_hub.file_download._CACHED_NO_EXIST


# --- what goes wrong on purpose ---------------------------------------------------------------


def test_an_interrupted_download_goes_on_where_it_stopped(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client keeps whole chunks only, and its own are of 10 MiB.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.add(NET).put({"model.safetensors": WEIGHTS})
    hub.cut_next(asks("GET", "model.safetensors"))
    assert read(NET, "model.safetensors") == WEIGHTS
    ranges = [request.headers.get("range") for request in hub.seen("GET", "model.safetensors")]
    assert len(WEIGHTS) == 128_000 and ranges == [None, "bytes=60000-"]
    assert not hub.faults.waiting


def test_a_small_file_that_was_interrupted_is_fetched_anew(hub: HubServer) -> None:
    hub.add(NET).put({"model.safetensors": WEIGHTS})
    hub.cut_next(asks("GET", "model.safetensors"), kept=0.9)
    assert read(NET, "model.safetensors") == WEIGHTS
    ranges = [request.headers.get("range") for request in hub.seen("GET", "model.safetensors")]
    assert ranges == [None, None]


@pytest.mark.parametrize(
    ("asked", "expected", "code"),
    [
        ("bytes=3-", b"3456789", 206),
        ("bytes=3-5", b"345", 206),
        ("bytes=-4", b"6789", 206),
        ("bytes=8-99", b"89", 206),
        ("bytes=10-", b"", 416),
        ("lines=1-2", b"0123456789", 200),
    ],
)
def test_parts_of_a_file(hub: HubServer, asked: str, expected: bytes, code: int) -> None:
    hub.add(NET).put({"digits.txt": b"0123456789"})
    url = huggingface_hub.hf_hub_url(NET, "digits.txt")
    answer = huggingface_hub.get_session().get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (code, expected)


@pytest.mark.parametrize(
    ("code", "headers", "method"),
    [(503, {}, "HEAD"), (500, {}, "HEAD"), (429, {"Retry-After": "0"}, "GET")],
)
def test_a_download_is_tried_again(
    hub: HubServer, code: int, headers: dict[str, str], method: str
) -> None:
    hub.add(NET).put({"a.txt": b"a"})
    # A HEAD that fails is first asked again at once, then with pauses.
    hub.answer_next(
        code, asks(method, r"a\.txt"), times=2 if method == "HEAD" else 1, headers=headers
    )
    assert read(NET, "a.txt") == b"a"
    assert len(hub.seen(method, r"a\.txt")) == (3 if method == "HEAD" else 2)
    assert not hub.faults.waiting


def test_an_upload_is_tried_again(hub: HubServer, api: HfApi) -> None:
    api.create_repo(NET)
    hub.drop_next(asks("PUT"))
    api.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="model.safetensors", repo_id=NET)
    assert len(hub.seen("PUT")) == 2
    assert hub.repository(NET).files() == {"model.safetensors": WEIGHTS}


def test_an_answer_may_be_lost_after_the_deed(hub: HubServer, api: HfApi) -> None:
    api.create_repo(NET)
    hub.cut_next(asks("POST", "/commit/"))
    with pytest.raises(Exception, match="closed connection"):
        api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id=NET)
    assert hub.repository(NET).files() == {"a.txt": b"a"}
    hub.drop_next(asks("POST", "/commit/"))
    with pytest.raises(Exception, match="disconnected"):
        api.upload_file(path_or_fileobj=b"b", path_in_repo="b.txt", repo_id=NET)
    assert hub.repository(NET).files() == {"a.txt": b"a"}


def test_a_commit_is_refused_while_the_hub_has_trouble(hub: HubServer, api: HfApi) -> None:
    api.create_repo(NET)
    hub.answer_next(500, asks("POST", "/commit/"))
    with pytest.raises(HfHubHTTPError) as refused:
        api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id=NET)
    assert status(refused) == 500
    assert hub.repository(NET).files() == {}


def test_a_repository_disappears_on_the_way(hub: HubServer) -> None:
    hub.add(NET).put({"a.txt": b"a"})
    hub.before_next(lambda: hub.remove(NET), asks("HEAD", r"a\.txt"))
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download(NET, "a.txt")
    with pytest.raises(RepositoryNotFoundError):
        huggingface_hub.model_info(NET)


def test_faults_come_in_order_and_only_where_they_match(hub: HubServer) -> None:
    hub.add(NET).put({"a.txt": b"a", "b.txt": b"b"})
    hub.answer_next(500, asks("GET", r"b\.txt"))
    hub.answer_next(404, asks("GET", "txt"))
    session = huggingface_hub.get_session()
    urls = [huggingface_hub.hf_hub_url(NET, name) for name in ("a.txt", "b.txt", "b.txt")]
    assert [session.get(url).status_code for url in urls] == [404, 500, 200]


# --- other processes --------------------------------------------------------------------------


def test_a_process_started_by_a_test_talks_to_the_same_hub(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.add("tester/cells", "dataset", private=True).put({"notes.txt": b"from the Hub"})
    monkeypatch.setenv("HF_TOKEN", hub.token("tester", "read"))
    code = (
        "from huggingface_hub import snapshot_download\n"
        "print(snapshot_download('tester/cells', repo_type='dataset'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    folder = Path(run.stdout.strip())
    assert (folder / "notes.txt").read_bytes() == b"from the Hub"
    assert folder.is_relative_to(tmp_path)


def test_two_hubs_know_nothing_of_each_other(hub: HubServer) -> None:
    hub.add(NET)
    with HubServer() as other:
        assert other.endpoint != hub.endpoint
        assert not HfApi(endpoint=other.endpoint, token=other.token()).repo_exists(NET)
        assert HfApi(token=hub.token()).repo_exists(NET)
