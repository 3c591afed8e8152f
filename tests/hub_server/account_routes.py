"""Who asks, and which repositories there are."""

from hub_server.cards import metadata
from hub_server.hub import ANONYMOUS
from hub_server.repositories import HubError, Repository
from hub_server.routing import API, Call, Response, route


@route("GET", "/api/whoami-v2")
def who_am_i(call: Call) -> Response:
    if call.account is None:
        raise HubError(401, ANONYMOUS)
    account = call.account
    token = {"displayName": "test", "role": account.role}
    return Response.json(
        {
            "type": "user",
            "name": account.name,
            "fullname": account.name,
            "orgs": [{"type": "org", "name": name} for name in account.orgs],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@route("POST", "/api/repos/create")
def create(call: Call) -> Response:
    asked = call.request.json()
    writer = call.hub.writer(call.account)
    kind = asked.get("type") or "model"
    name = f"{asked.get('organization') or writer.name}/{asked['name']}"
    call.hub.check_write(writer, name, kind)
    if (kind, name) in call.hub.repositories:
        url = call.address(call.hub.repository(name, kind))
        raise HubError(409, f"You already created this {kind} repo", url=url)
    private = asked.get("visibility") == "private"
    made = call.hub.add(name, kind, private=private, sdk=asked.get("sdk"))
    return Response.json({"url": call.address(made), "name": name, "id": name})


@route("DELETE", "/api/repos/delete")
def delete(call: Call) -> Response:
    asked = call.request.json()
    writer = call.hub.writer(call.account)
    kind = asked.get("type") or "model"
    name = f"{asked.get('organization') or writer.name}/{asked['name']}"
    call.hub.writable(writer, kind, name)
    call.hub.remove(name, kind)
    return Response.json({})


@route("PUT", API + "/settings")
def change_settings(call: Call) -> Response:
    repository: Repository = call.writable()
    asked = call.request.json()
    if "visibility" in asked:
        repository.private = asked["visibility"] == "private"
    if "gated" in asked:
        repository.gated = asked["gated"]
    return Response.json({})


@route("GET", API + "/auth-check(?P<write>/write)?")
def check_access(call: Call) -> Response:
    repository = call.writable() if call.parts["write"] else call.readable()
    call.hub.check_gate(call.account, repository)
    return Response.json({})


@route("POST", "/api/validate-yaml")
def check_card(call: Call) -> Response:
    try:
        header = metadata(call.request.json()["content"])
    except HubError as error:
        found = {"errors": [{"message": error.message}], "warnings": []}
        return Response.json(found, 400)
    message = "empty or missing yaml metadata in repo card"
    return Response.json({"errors": [], "warnings": [] if header else [{"message": message}]})
