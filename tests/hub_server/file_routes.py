"""How files go out: whole, in part, or only what they are."""

import re

from hub_server.repositories import HubError, StoredFile
from hub_server.routing import REVISION, WEB, Call, Request, Response, route

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@route("GET", WEB + f"/(?:resolve|raw){REVISION}/(?P<path>.+)")
def resolve(call: Call) -> Response:
    repository = call.readable()
    call.hub.check_gate(call.account, repository)
    commit = repository.at(call.revision)
    path = str(call.parts["path"])
    file = commit.files.get(path)
    if file is None:
        error = HubError(404, f"{path} does not exist on {call.revision}", "EntryNotFound")
        error.commit = commit.oid  # so that the client remembers that it is not there
        raise error
    response = _part(file, call.request)
    response.headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "ETag": f'"{file.etag}"',
        "X-Repo-Commit": commit.oid,
    }
    if file.lfs:
        response.headers |= {
            "X-Linked-Etag": f'"{file.sha256}"',
            "X-Linked-Size": str(len(file.content)),
        }
    return response


def _part(file: StoredFile, request: Request) -> Response:
    """The bytes that are asked for: all, from one on, up to one, or the last."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if not found or found.groups() == ("", ""):
        return Response(200, file.content)
    size = len(file.content)
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        return Response(416, headers={"Content-Range": f"bytes */{size}"})
    about = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Response(206, file.content[start:end], about)
