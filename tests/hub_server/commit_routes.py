"""How files come in: what goes to LFS, its upload, commits and pull requests."""

import base64
import hashlib
import json
import secrets
from typing import Any

from hub_server.repositories import Change, Discussion, HubError, Repository, StoredFile
from hub_server.routing import API, REVISION, WEB, Call, Response, route


def _target(call: Call) -> Repository:
    """The repository of a commit: to open a pull request, a write token of anyone will do."""
    if call.request.query.get("create_pr") or call.revision.startswith("refs/pr/"):
        repository = call.readable()
        call.hub.writer(call.account)
        return repository
    return call.writable()


@route("POST", API + f"/preupload{REVISION}")
def choose_modes(call: Call) -> Response:
    repository = _target(call)
    present = repository.at(call.revision).files
    files = []
    for asked in call.request.json()["files"]:
        path = asked["path"]
        large = repository.is_large(path, asked["size"], call.revision)
        about = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if path in present:
            about["oid"] = present[path].etag
        files.append(about)
    return Response.json({"files": files})


@route("POST", WEB + r"\.git/info/lfs/objects/batch")
def plan_uploads(call: Call) -> Response:
    repository = call.readable()
    asked = call.request.json()
    if "ref" in asked and not asked["ref"]["name"].startswith("refs/pr/"):
        call.writable()
    call.hub.writer(call.account)
    objects = []
    for wanted in asked["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        planned: dict[str, Any] = {"oid": oid, "size": size}
        if oid not in repository.objects:
            ticket = secrets.token_hex(8)
            call.hub.uploads[ticket] = (repository, oid, size)
            address = f"{call.endpoint}/lfs/{ticket}"
            planned["actions"] = {
                "upload": {"href": address, "header": {}},
                "verify": {"href": f"{address}/verify"},
            }
        objects.append(planned)
    return Response.json({"transfer": "basic", "objects": objects})


def _ticket(call: Call) -> tuple[Repository, str, int]:
    """What an upload's address, which is its permission, was given out for."""
    try:
        return call.hub.uploads[str(call.parts["ticket"])]
    except KeyError:
        raise HubError(403, "This upload was not planned") from None


@route("PUT", "/lfs/(?P<ticket>[^/]+)")
def upload(call: Call) -> Response:
    repository, oid, size = _ticket(call)
    content = call.request.body
    if len(content) != size or hashlib.sha256(content).hexdigest() != oid:
        raise HubError(400, "The content does not match its size and hash")
    repository.objects[oid] = content
    return Response(200)


@route("POST", "/lfs/(?P<ticket>[^/]+)/verify")
def verify(call: Call) -> Response:
    repository, oid, _ = _ticket(call)
    if call.request.json()["oid"] != oid or oid not in repository.objects:
        raise HubError(404, "The object was not uploaded", "EntryNotFound")
    return Response.json({})


@route("POST", API + f"/commit{REVISION}")
def commit(call: Call) -> Response:
    repository = _target(call)
    header: dict[str, str] = {}
    changes = []
    for line in call.request.body.splitlines():
        entry = json.loads(line)
        if entry["key"] == "header":
            header = entry["value"]
        else:
            changes.append(_change(repository, entry["key"], entry["value"]))
    revision, pull = call.revision, None
    title, message = header["summary"], header.get("description", "")
    author = call.hub.writer(call.account).name
    if call.request.query.get("create_pr"):
        pull = repository.open(title, message, author, revision)
        revision = pull.ref
    parent = header.get("parentCommit")
    made = repository.commit(revision, changes, title, message, author, parent)
    page = call.address(repository)
    return Response.json(
        {
            "success": True,
            "commitOid": made.oid,
            "commitUrl": f"{page}/commit/{made.oid}",
            "pullRequestUrl": f"{page}/discussions/{pull.number}" if pull else None,
            "hookOutput": "",
        }
    )


def _change(repository: Repository, key: str, value: dict[str, Any]) -> Change:
    path = value["path"]
    if key == "file":
        return Change(path, StoredFile(base64.b64decode(value["content"])))
    if key == "lfsFile":
        if value["oid"] not in repository.objects:
            raise HubError(400, f"LFS pointer of {path} points to a file that does not exist")
        return Change(path, StoredFile(repository.objects[value["oid"]], lfs=True))
    if key in ("deletedFile", "deletedFolder"):
        return Change(path, None, key == "deletedFolder")
    raise HubError(400, f"A commit has no {key}")


@route("GET", API + "/discussions")
def list_discussions(call: Call) -> Response:
    repository = call.readable()
    every = [_about(repository, one) for one in repository.discussions]
    return Response.json({"discussions": every, "count": len(every), "start": 0})


@route("POST", API + "/discussions")
def open_discussion(call: Call) -> Response:
    repository = call.readable()
    asked = call.request.json()
    author = call.hub.writer(call.account).name
    base = "main" if asked.get("pullRequest") else None
    opened = repository.open(asked["title"], asked["description"], author, base)
    return Response.json({"num": opened.number, "pullRequest": base is not None})


@route("GET", API + r"/discussions/(?P<number>\d+)")
def describe_discussion(call: Call) -> Response:
    repository = call.readable()
    discussion = repository.discussion(int(str(call.parts["number"])))
    about = {**_about(repository, discussion), "events": []}
    if discussion.base is not None:
        about["filesWithConflicts"] = []
        about["changes"] = {
            "base": f"refs/heads/{discussion.base}",
            "mergeCommitId": discussion.merged_as,
        }
    return Response.json(about)


@route("POST", API + r"/discussions/(?P<number>\d+)/merge")
def merge(call: Call) -> Response:
    repository = call.writable()
    made = repository.merge(int(str(call.parts["number"])), call.hub.writer(call.account).name)
    return Response.json({"mergeCommitId": made.oid})


def _about(repository: Repository, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.number,
        "title": discussion.title,
        "status": discussion.status,
        "isPullRequest": discussion.base is not None,
        "repo": {"name": repository.id, "type": repository.kind},
        "author": {"name": discussion.author},
        "createdAt": discussion.date,
    }
