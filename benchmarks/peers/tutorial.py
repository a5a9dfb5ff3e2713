"""An application built as documentation suggests: Flask, Flask-JWT-Extended with automatic user loading, Flask-SQLAlchemy.

PEER_FOLDER has the key pair, PEER_DATABASE is the URL of the database that Poort's migrations created.
"""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import bcrypt
from flask import Flask, Response, jsonify, request
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

FOLDER = Path(os.environ["PEER_FOLDER"])


class JSONList(TypeDecorator[list[str]]):
    """A list in JSON in a column of text."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002 - SQLAlchemy's
        """Read the list."""
        return json.loads(value)


class Base(DeclarativeBase):
    """The base of the models."""


db = SQLAlchemy(model_class=Base)

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["PEER_DATABASE"]
app.config["JWT_ALGORITHM"] = "RS256"
app.config["JWT_PRIVATE_KEY"] = (FOLDER / "private.pem").read_text()
app.config["JWT_PUBLIC_KEY"] = (FOLDER / "public.pem").read_text()
db.init_app(app)
jwt = JWTManager(app)


class User(db.Model):  # type: ignore[misc,name-defined]
    """The columns of a user that are shown, and the password."""

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    firstname: Mapped[str | None]
    lastname: Mapped[str | None]
    website: Mapped[str | None]
    biography: Mapped[str | None]
    locale: Mapped[str]
    password: Mapped[str]
    timezone: Mapped[str]
    email: Mapped[str]
    expired: Mapped[bool]
    expires_at: Mapped[datetime | None]
    phone: Mapped[str | None]
    address: Mapped[str | None]
    last_login: Mapped[datetime | None]
    roles: Mapped[list[str]] = mapped_column(JSONList)
    active: Mapped[int]
    password_updated_at: Mapped[datetime | None]

    def to_dict(self) -> dict[str, Any]:
        """Return what is shown of a user."""
        return {
            "illustrationUrl": "/img/user_default.svg",
            "id": self.id,
            "username": self.username,
            "firstname": self.firstname,
            "lastname": self.lastname,
            "website": self.website,
            "biography": self.biography,
            "locale": self.locale,
            "timezone": self.timezone,
            "email": self.email,
            "expired": self.expired,
            "expiresAt": self.expires_at.isoformat() if self.expires_at else None,
            "phone": self.phone,
            "address": self.address,
            "lastLogin": self.last_login.isoformat() if self.last_login else None,
            "roles": self.roles,
            "active": self.active,
            "fullName": f"{self.firstname} {self.lastname}",
            "passwordUpdatedAt": self.password_updated_at.isoformat() if self.password_updated_at else None,
        }


@jwt.user_identity_loader
def user_identity_lookup(user: User) -> str:
    """Name a user in a token."""
    return str(user.id)


@jwt.user_lookup_loader
def user_lookup_callback(_jwt_header: dict[str, Any], jwt_data: dict[str, Any]) -> User | None:
    """Load the user of a token."""
    return db.session.execute(db.select(User).filter_by(id=int(jwt_data["sub"]))).scalar_one_or_none()


@app.post("/api/authentication_token")
def login() -> Response | tuple[Response, int]:
    """Exchange a user name and a password for a token."""
    username, password = request.json.get("username"), request.json.get("password")
    user = db.session.execute(db.select(User).filter_by(username=username)).scalar_one_or_none()
    if user is None or not bcrypt.checkpw(password.encode(), user.password.encode()):
        return jsonify({"msg": "Bad username or password"}), 401
    return jsonify(token=create_access_token(identity=user))


@app.get("/api/users/<int:user_id>")
@jwt_required()
def show_user(user_id: int) -> Response | tuple[Response, int]:
    """Show a user to an administrator, or to themselves."""
    if "ROLE_ADMIN" not in current_user.roles and current_user.id != user_id:
        return jsonify({"msg": "Forbidden"}), 403
    return jsonify(db.get_or_404(User, user_id).to_dict())


@app.get("/api/users")
@jwt_required()
def list_users() -> Response | tuple[Response, int]:
    """List users, a page at a time."""
    if "ROLE_ADMIN" not in current_user.roles:
        return jsonify({"msg": "Forbidden"}), 403
    page = db.paginate(db.select(User).order_by(User.id), per_page=30)
    return jsonify(items=[user.to_dict() for user in page.items], total=page.total, page=page.page, pages=page.pages)
