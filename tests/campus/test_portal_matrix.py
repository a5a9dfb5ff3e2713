"""Every kind of caller, every operation, every place of a target: compared with an oracle that shares no code with the server."""

import json
from typing import Any

import pytest
from campus.campuses import Campus
from flask import Flask

from models.php_serialize import serialize_strings

pytestmark = pytest.mark.services

# 1 is a root with 2 and 3 below it, and 4 lies below 2. Requests are for portal 2.
PARENTS = {1: None, 2: 1, 3: 1, 4: 2}
HERE = 2

#: name: id, role, portals that the caller is linked to.
CALLERS = {
    "global-of-root": (601, "ROLE_GLOBAL_ADMIN", {1, 2}),
    "global-of-branch": (602, "ROLE_GLOBAL_ADMIN", {2}),
    "admin-of-root": (603, "ROLE_ADMIN", {1, 2}),
    "admin-of-branch": (604, "ROLE_ADMIN", {2}),
    "manager": (605, "ROLE_SESSION_MANAGER", {2}),
    "teacher": (606, "ROLE_TEACHER", {2}),
    "student": (607, "ROLE_STUDENT", {2}),
}
#: name: id, portals that the target is linked to.
TARGETS = {"own": (701, {2}), "other": (702, {3}), "both": (703, {2, 3}), "none": (704, set[int]()), "below": (705, {4})}

EVERYONE = {number: links for number, _, links in CALLERS.values()} | dict(TARGETS.values())


def below(tops: set[int]) -> set[int]:
    found = set(tops)
    while more := {portal for portal, parent in PARENTS.items() if parent in found} - found:
        found |= more
    return found


class Oracle:
    """What the rules say of a caller, read from their text."""

    def __init__(self, name: str) -> None:
        self.id, role, self.links = CALLERS[name]
        self.is_global = role == "ROLE_GLOBAL_ADMIN"
        self.is_admin = role in {"ROLE_GLOBAL_ADMIN", "ROLE_ADMIN"}
        self.may_add = self.is_admin or role == "ROLE_SESSION_MANAGER"
        self.sees_all_rows = role != "ROLE_STUDENT"
        self.is_of_root = any(PARENTS[portal] is None for portal in self.links)

    def listed(self) -> set[int]:
        if self.is_global and self.is_of_root:
            return set(EVERYONE)
        portals = below(self.links) if self.is_global else {HERE}
        in_portals = {number for number, links in EVERYONE.items() if links & portals}
        return in_portals if self.sees_all_rows else in_portals & {self.id}

    def reaches(self, links: set[int]) -> bool:
        if self.is_of_root:
            return True
        return bool(links & (below(self.links) if self.is_global else self.links))

    def read(self, _links: set[int]) -> int:
        return 200 if self.is_admin else 403

    def changed(self, links: set[int]) -> int:
        return 200 if self.is_admin and self.reaches(links) else 403

    def deleted(self, links: set[int]) -> int:
        return 204 if self.is_admin and self.reaches(links) else 403

    def added(self, portal: int) -> int:
        return 201 if self.may_add and self.reaches({portal}) else 403


@pytest.fixture
def app(whole_campus: Campus) -> Flask:
    """A server for portal 2 of a campus that has the users above alone."""
    run = whole_campus.run
    for table in ("access_url_rel_user", "user_auth_source", "user_rel_user"):
        run(f"DELETE FROM {table}")
    template = run("SELECT * FROM `user` LIMIT 1")[0]
    run("DELETE FROM `user`")
    run("DELETE FROM access_url")
    for portal, parent in PARENTS.items():
        run(
            "INSERT INTO access_url (id, url, active, parent_id) VALUES (:id, :url, 1, :parent)",
            id=portal,
            url=f"https://p{portal}/",
            parent=parent,
        )
    columns = ", ".join(f"`{name}`" for name in template)
    places = ", ".join(f":{name}" for name in template)
    roles = {number: [role] for number, role, _ in CALLERS.values()}
    for number, links in EVERYONE.items():
        name, own = f"u{number}", roles.get(number, [])
        stored = serialize_strings(own) if whole_campus.version == 2 else json.dumps(own)
        changed = {
            "id": number,
            "username": name,
            "username_canonical": name,
            "uuid": number.to_bytes(16, "big"),
            "roles": stored,
            "active": 1,
        }
        run(f"INSERT INTO `user` ({columns}) VALUES ({places})", **template | changed)
        for portal in links:
            run("INSERT INTO access_url_rel_user (access_url_id, user_id) VALUES (:p, :u)", p=portal, u=number)
            run("INSERT INTO user_auth_source (authentication, url_id, user_id) VALUES ('platform', :p, :u)", p=portal, u=number)
    return whole_campus.app(ACCESS_URL_ID=str(HERE), PASSWORD_HASH_COST="4")


def asked(campus: Campus, app: Flask, name: str) -> dict[str, Any]:
    """Return what the server answers to every operation of a caller."""
    number = CALLERS[name][0]
    client, headers = app.test_client(), campus.headers_of(app, f"u{number}")
    merge = headers | {"Content-Type": "application/merge-patch+json"}
    listed = client.get("/api/users.json?itemsPerPage=50", headers=headers).json
    found: dict[str, Any] = {"list": {user["id"] for user in listed}}
    found["total"] = client.get("/api/users?itemsPerPage=1", headers=headers).get_json(force=True)["hydra:totalItems"]
    for place, (target, _) in TARGETS.items():
        url = f"/api/users/{target}"
        found[f"read {place}"] = client.get(url, headers=headers).status_code
        found[f"edit {place}"] = client.patch(url, headers=merge, json={"phone": "1"}).status_code
        found[f"put {place}"] = client.put(url, headers=headers, json={"phone": "2"}).status_code
        found[f"password {place}"] = client.patch(f"{url}/password", headers=merge, json={"password": "brandnew"}).status_code
        found[f"delete {place}"] = client.delete(url, headers=headers).status_code
        campus.run("UPDATE `user` SET active = 1 WHERE id = :id", id=target)
    for portal in PARENTS:
        body = {"username": f"new{number}{portal}", "email": f"new{number}{portal}@example.org", "sendEmail": False}
        answer = client.post(f"/api/access_urls/{portal}/user", headers=headers, json=body)
        found[f"add to {portal}"] = answer.status_code
    campus.run("DELETE FROM access_url_rel_user WHERE user_id > 705")
    campus.run("DELETE FROM user_auth_source WHERE user_id > 705")
    campus.run("DELETE FROM `user` WHERE id > 705")
    return found


def expected(name: str) -> dict[str, Any]:
    """Return what the oracle says of the same."""
    oracle = Oracle(name)
    found: dict[str, Any] = {"list": oracle.listed(), "total": len(oracle.listed())}
    for place, (_, links) in TARGETS.items():
        found[f"read {place}"] = oracle.read(links)
        found |= {f"{change} {place}": oracle.changed(links) for change in ("edit", "put", "password")}
        found[f"delete {place}"] = oracle.deleted(links)
    return found | {f"add to {portal}": oracle.added(portal) for portal in PARENTS}


def test_every_caller_reaches_whom_the_rules_say_and_nobody_else(whole_campus: Campus, app: Flask) -> None:
    answered = {name: asked(whole_campus, app, name) for name in CALLERS}
    wanted = {name: expected(name) for name in CALLERS}
    wrong = {
        (name, what): (answered[name][what], value)
        for name, about in wanted.items()
        for what, value in about.items()
        if answered[name][what] != value
    }
    assert wrong == {}
    assert sum(map(len, wanted.values())) == 7 * 31
