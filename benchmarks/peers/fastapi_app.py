"""An application built as FastAPI's documentation suggests: its security tutorial (OAuth2, PyJWT), and SQLAlchemy.

PEER_FOLDER has the key pair, PEER_DATABASE is the URL of the database that Poort's migrations created.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import bcrypt
import jwt
from fastapi import Depends, FastAPI, HTTPException, Query, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jwt.exceptions import InvalidTokenError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Text, TypeDecorator, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

FOLDER = Path(os.environ["PEER_FOLDER"])
PRIVATE_KEY = (FOLDER / "private.pem").read_text()
PUBLIC_KEY = (FOLDER / "public.pem").read_text()
ALGORITHM = "RS256"
ACCESS_TOKEN_EXPIRE_MINUTES = 30
ITEMS_PER_PAGE = 30

DATABASE = os.environ["PEER_DATABASE"]
engine = create_engine(DATABASE, connect_args={"check_same_thread": False} if DATABASE.startswith("sqlite") else {})
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()


class JSONList(TypeDecorator[list[str]]):
    """A list in JSON in a column of text."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002 - SQLAlchemy's
        """Read the list."""
        return json.loads(value)


class Base(DeclarativeBase):
    """The base of the models."""


class User(Base):
    """The columns of a user that are shown, and the password."""

    __tablename__ = "user"

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

    @property
    def illustration_url(self) -> str:
        """Return the path of the user's picture."""
        return "/img/user_default.svg"

    @property
    def full_name(self) -> str:
        """Return first and last name."""
        return f"{self.firstname} {self.lastname}"


class UserPublic(BaseModel):
    """What is shown of a user."""

    model_config = ConfigDict(from_attributes=True)

    illustration_url: str = Field(serialization_alias="illustrationUrl")
    id: int
    username: str
    firstname: str | None
    lastname: str | None
    website: str | None
    biography: str | None
    locale: str
    timezone: str
    email: str
    expired: bool
    expires_at: datetime | None = Field(serialization_alias="expiresAt")
    phone: str | None
    address: str | None
    last_login: datetime | None = Field(serialization_alias="lastLogin")
    roles: list[str]
    active: int
    full_name: str = Field(serialization_alias="fullName")
    password_updated_at: datetime | None = Field(serialization_alias="passwordUpdatedAt")


class UserPage(BaseModel):
    """A page of users."""

    items: list[UserPublic]
    total: int


class Token(BaseModel):
    """What a sign-in answers."""

    access_token: str
    token_type: str


def get_session() -> Iterator[Session]:
    """Open a session for a request."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


def create_access_token(data: dict[str, Any], expires_delta: timedelta) -> str:
    """Sign a token."""
    to_encode = data.copy()
    to_encode.update({"exp": datetime.now(UTC) + expires_delta})
    return jwt.encode(to_encode, PRIVATE_KEY, algorithm=ALGORITHM)


def get_current_user(token: Annotated[str, Depends(oauth2_scheme)], session: SessionDep) -> User:
    """Load the user of a token."""
    credentials_exception = HTTPException(
        status_code=status.HTTP_401_UNAUTHORIZED,
        detail="Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        payload = jwt.decode(token, PUBLIC_KEY, algorithms=[ALGORITHM])
    except InvalidTokenError:
        raise credentials_exception from None
    user = session.scalars(select(User).where(User.username == payload.get("sub"))).one_or_none()
    if user is None:
        raise credentials_exception
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.post("/token")
def login(form_data: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep) -> Token:
    """Exchange a user name and a password for a token."""
    user = session.scalars(select(User).where(User.username == form_data.username)).one_or_none()
    if user is None or not bcrypt.checkpw(form_data.password.encode(), user.password.encode()):
        raise HTTPException(status_code=status.HTTP_401_UNAUTHORIZED, detail="Incorrect username or password")
    expires = timedelta(minutes=ACCESS_TOKEN_EXPIRE_MINUTES)
    return Token(access_token=create_access_token({"sub": user.username}, expires), token_type="bearer")


@app.get("/api/users/{user_id}", response_model=UserPublic)
def show_user(user_id: int, session: SessionDep, current_user: CurrentUser) -> User:
    """Show a user to an administrator, or to themselves."""
    if "ROLE_ADMIN" not in current_user.roles and current_user.id != user_id:
        raise HTTPException(status_code=403, detail="Forbidden")
    user = session.get(User, user_id)
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    return user


@app.get("/api/users", response_model=UserPage)
def list_users(session: SessionDep, current_user: CurrentUser, page: Annotated[int, Query(ge=1)] = 1) -> dict[str, Any]:
    """List users, a page at a time."""
    if "ROLE_ADMIN" not in current_user.roles:
        raise HTTPException(status_code=403, detail="Forbidden")
    users = session.scalars(select(User).order_by(User.id).offset((page - 1) * ITEMS_PER_PAGE).limit(ITEMS_PER_PAGE)).all()
    return {"items": users, "total": session.scalar(select(func.count()).select_from(User))}
