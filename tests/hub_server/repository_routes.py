"""What a repository is and holds: its description, its listings, its branches and tags."""

from typing import Any
from urllib.parse import parse_qs, urlencode

from hub_server.cards import card_of, tags_of
from hub_server.repositories import Commit, HubError, StoredFile
from hub_server.routing import API, REVISION, Call, Response, route


@route("GET", API + f"(?:/revision{REVISION})?")
def describe(call: Call) -> Response:
    repository = call.readable()
    commit = repository.at(call.revision)
    card = card_of(commit)
    detailed = call.request.query.get("blobs", "").lower() == "true"
    about = {
        "id": repository.id,
        "author": repository.id.partition("/")[0],
        "sha": commit.oid,
        "createdAt": repository.created,
        "lastModified": commit.date,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags_of(card, commit),
        "siblings": [
            {"rfilename": path, **(_blob(file) if detailed else {})}
            for path, file in sorted(commit.files.items())
        ],
    }
    if card:
        about["cardData"] = card
    if repository.kind == "space":
        about["sdk"] = repository.sdk
    about.update({key: card[key] for key in ("library_name", "pipeline_tag") if key in card})
    if "model-index" in card:
        about["model-index"] = card["model-index"]
    return Response.json(about)


@route("GET", API + f"/tree{REVISION}(?:/(?P<path>.+))?")
def list_tree(call: Call) -> Response:
    commit = call.readable().at(call.revision)
    query = call.request.query
    folder = (call.parts["path"] or "").strip("/")
    deep = query.get("recursive", "").lower() in ("true", "1")
    entries = [
        entry
        for path, entry in sorted(_entries(commit).items())
        if _is_below(path, folder) and (deep or "/" not in path[len(folder) :].lstrip("/"))
    ]
    if folder and not entries:
        raise HubError(404, f"{folder} does not exist on {call.revision}", "EntryNotFound")
    start = int(query.get("cursor", 0))
    end = start + call.hub.page_size
    response = Response.json(entries[start:end])
    if end < len(entries):
        following = urlencode({**query, "cursor": end})
        response.headers["Link"] = f'<{call.endpoint}{call.request.path}?{following}>; rel="next"'
    return response


@route("POST", API + f"/paths-info{REVISION}")
def describe_paths(call: Call) -> Response:
    commit = call.readable().at(call.revision)
    if "json" in call.request.headers.get("content-type", ""):
        asked = call.request.json()["paths"]
    else:
        asked = parse_qs(call.request.body.decode()).get("paths", [])
    known = _entries(commit)
    wanted = [path.strip("/") for path in asked]
    return Response.json([known[path] for path in wanted if path in known])


@route("GET", API + "/refs")
def list_refs(call: Call) -> Response:
    repository = call.readable()

    def named(names: dict[str, str], start: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": start + name, "targetCommit": oid} for name, oid in names.items()
        ]

    refs: dict[str, Any] = {
        "branches": named(repository.branches, "refs/heads/"),
        "tags": named(repository.tags, "refs/tags/"),
        "converts": [],
    }
    if call.request.query.get("include_prs"):
        refs["pullRequests"] = named(repository.pulls, "")
    return Response.json(refs)


@route("GET", API + f"/commits{REVISION}")
def list_commits(call: Call) -> Response:
    return Response.json(
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in call.readable().history(call.revision)
        ]
    )


@route("POST", API + "/branch/(?P<branch>[^/]+)")
def make_branch(call: Call) -> Response:
    start = call.request.json().get("startingPoint")
    call.writable().name_branch(str(call.parts["branch"]), start)
    return Response.json({})


@route("DELETE", API + "/branch/(?P<branch>[^/]+)")
def delete_branch(call: Call) -> Response:
    repository = call.writable()
    repository.forget(repository.branches, str(call.parts["branch"]))
    return Response.json({})


@route("POST", API + f"/tag{REVISION}")
def make_tag(call: Call) -> Response:
    call.writable().name_tag(call.request.json()["tag"], call.revision)
    return Response.json({})


@route("DELETE", API + "/tag/(?P<tag>[^/]+)")
def delete_tag(call: Call) -> Response:
    repository = call.writable()
    repository.forget(repository.tags, str(call.parts["tag"]))
    return Response.json({})


def _entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Files and the folders they lie in, by path, as a listing gives them."""
    entries: dict[str, dict[str, Any]] = {}
    for path, file in commit.files.items():
        entry = {"type": "file", "path": path, "size": len(file.content), "oid": file.oid}
        if file.lfs:
            entry["lfs"] = {
                "oid": file.sha256,
                "size": len(file.content),
                "pointerSize": len(file.pointer),
            }
        entries[path] = entry
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            name = StoredFile(folder.encode()).oid
            entries[folder] = {"type": "directory", "path": folder, "oid": name, "size": 0}
    return entries


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(folder + "/")


def _blob(file: StoredFile) -> dict[str, Any]:
    about: dict[str, Any] = {"size": len(file.content), "blobId": file.oid}
    if file.lfs:
        about["lfs"] = {
            "sha256": file.sha256,
            "size": len(file.content),
            "pointerSize": len(file.pointer),
        }
    return about
