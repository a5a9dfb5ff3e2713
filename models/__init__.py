"""What is stored: the tables, what is true of a row, password hashes and the role hierarchy."""

from models.campus import ACCESS_URL_OF_EVERYONE, AccessUrl, AccessUrlRelUser, UserAuthSource, UserRelUser
from models.database import db
from models.sign_in_record import TrackELogin, TrackELoginRecord
from models.throttled_login import ThrottledLogin
from models.user import User

__all__ = [
    "ACCESS_URL_OF_EVERYONE",
    "AccessUrl",
    "AccessUrlRelUser",
    "ThrottledLogin",
    "TrackELogin",
    "TrackELoginRecord",
    "User",
    "UserAuthSource",
    "UserRelUser",
    "db",
]
