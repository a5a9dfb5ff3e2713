"""The FastAPI application as its users tune it: a loaded key, statements of SQLAlchemy Core, and orjson for whole answers.

uvicorn brings uvloop and httptools. Statements on SQLite run in the loop, because they take less time than the way to a thread;
those on a network database run in FastAPI's thread pool. Both run in autocommit.
"""

import os
from collections.abc import Callable
from typing import Annotated, Any

import jwt
import orjson
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.concurrency import run_in_threadpool
from jwt.exceptions import InvalidTokenError
from sqlalchemy import Connection, bindparam, create_engine, func, select

from benchmarks.peers.fastapi_app import ALGORITHM, ITEMS_PER_PAGE, PUBLIC_KEY, User, login, oauth2_scheme

engine = create_engine(os.environ["PEER_DATABASE"], isolation_level="AUTOCOMMIT")
RUNS_IN_LOOP = engine.dialect.name == "sqlite"
KEY: Any = load_pem_public_key(PUBLIC_KEY.encode())

COLUMNS = {
    "id": User.id,
    "username": User.username,
    "firstname": User.firstname,
    "lastname": User.lastname,
    "website": User.website,
    "biography": User.biography,
    "locale": User.locale,
    "timezone": User.timezone,
    "email": User.email,
    "expired": User.expired,
    "expiresAt": User.expires_at,
    "phone": User.phone,
    "address": User.address,
    "lastLogin": User.last_login,
    "roles": User.roles,
    "active": User.active,
    "passwordUpdatedAt": User.password_updated_at,
}
SHOWN = select(*(column.label(name) for name, column in COLUMNS.items()))
CALLER = select(User.id, User.roles).where(User.username == bindparam("username"))
ITEM = SHOWN.where(User.id == bindparam("user_id"))
PAGE = SHOWN.order_by(User.id).limit(ITEMS_PER_PAGE).offset(bindparam("first"))
TOTAL = select(func.count()).select_from(User)

app = FastAPI()
app.post("/token")(login)


async def username_of(token: Annotated[str, Depends(oauth2_scheme)]) -> str:
    """Verify a token, and return its user name."""
    try:
        return str(jwt.decode(token, KEY, algorithms=[ALGORITHM])["sub"])
    except (InvalidTokenError, KeyError):
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"}) from None


Username = Annotated[str, Depends(username_of)]


def find_caller(connection: Connection, username: str) -> tuple[int, list[str]]:
    """Return the caller's id and roles."""
    caller = connection.execute(CALLER, {"username": username}).one_or_none()
    if caller is None:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    return caller.id, caller.roles


def rendered(row: Any) -> dict[str, Any]:
    """Return what is shown of a user."""
    mapping = row._mapping  # noqa: SLF001 - public, despite its name
    return {"illustrationUrl": "/img/user_default.svg", **mapping, "fullName": f"{row.firstname} {row.lastname}"}


def read_user(username: str, user_id: int) -> dict[str, Any]:
    """Read a user, for an administrator or that user."""
    with engine.connect() as connection:
        caller_id, roles = find_caller(connection, username)
        if "ROLE_ADMIN" not in roles and caller_id != user_id:
            raise HTTPException(403, "Forbidden")
        row = connection.execute(ITEM, {"user_id": user_id}).one_or_none()
    if row is None:
        raise HTTPException(404, "User not found")
    return rendered(row)


def read_page(username: str, page: int) -> dict[str, Any]:
    """Read a page of users, for an administrator."""
    with engine.connect() as connection:
        if "ROLE_ADMIN" not in find_caller(connection, username)[1]:
            raise HTTPException(403, "Forbidden")
        rows = connection.execute(PAGE, {"first": (page - 1) * ITEMS_PER_PAGE}).all()
        return {"items": [rendered(row) for row in rows], "total": connection.scalar(TOTAL)}


async def answer(read: Callable[..., dict[str, Any]], *arguments: Any) -> Response:
    """Read where that is fastest, and answer in JSON."""
    found = read(*arguments) if RUNS_IN_LOOP else await run_in_threadpool(read, *arguments)
    return Response(orjson.dumps(found), media_type="application/json")


@app.get("/api/users/{user_id}")
async def show_user(user_id: int, username: Username) -> Response:
    """Show a user."""
    return await answer(read_user, username, user_id)


@app.get("/api/users")
async def list_users(username: Username, page: Annotated[int, Query(ge=1)] = 1) -> Response:
    """List users, a page at a time."""
    return await answer(read_page, username, page)
