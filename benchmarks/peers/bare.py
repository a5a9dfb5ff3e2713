"""The upper limit: Flask with two routes that return Poort's answers as constants, without token, database and log.

PEER_FOLDER holds the bodies, `item.json` and `list.json`.
"""

import os
from pathlib import Path

from flask import Flask, Response

FOLDER = Path(os.environ["PEER_FOLDER"])
ITEM = (FOLDER / "item.json").read_bytes()
LIST = (FOLDER / "list.json").read_bytes()

app = Flask(__name__)


@app.get("/api/users/<int:user_id>")
def show_user(user_id: int) -> Response:  # noqa: ARG001 - all get the same user
    """Answer one user."""
    return Response(ITEM, content_type="application/json; charset=utf-8")


@app.get("/api/users")
def list_users() -> Response:
    """Answer a page of users."""
    return Response(LIST, content_type="application/json; charset=utf-8")
