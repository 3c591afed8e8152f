"""A small Hub on the loopback address, for the real huggingface_hub client to talk to.

    server.py        sockets: HubServer, what tests start and hold
    routing.py       request and answer, and which function answers which address
    account_routes.py, commit_routes.py, file_routes.py, repository_routes.py: those functions
    hub.py           tokens, who may read and write what, all repositories
    repositories.py  one repository: files, commits, branches, tags, pull requests
    cards.py         a card's metadata and the tags that follow from it
    faults.py        what goes wrong on purpose

What it answers follows what huggingface_hub 2.4 asks and how the Hub words its refusals. It keeps
everything in memory, and knows no Xet: the client must be told to do without.
"""

from hub_server.faults import asks
from hub_server.hub import Hub
from hub_server.repositories import Commit, Repository, StoredFile
from hub_server.routing import Request
from hub_server.server import HubServer

__all__ = ["Commit", "Hub", "HubServer", "Repository", "Request", "StoredFile", "asks"]
