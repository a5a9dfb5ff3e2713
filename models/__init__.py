"""The database: tables, rules about rows, password hashes and the role hierarchy."""

from models.api_keys import ApiKey
from models.audit_record import AuditRecord
from models.campus import ACCESS_URL_OF_EVERYONE, AccessUrl, AccessUrlRelUser, UserAuthSource, UserRelUser
from models.database import db
from models.extra_fields import ExtraField, ExtraFieldValue
from models.refresh_token import RefreshToken, SignInSession
from models.second_factor import BackupCode, SecondFactor
from models.sign_in_record import TrackELogin, TrackELoginRecord
from models.throttled_login import ThrottledLogin
from models.token_validity import RevokedToken, TokensValidAfter
from models.user import User
from models.user_total import UserTotal
from models.verification_key import VerificationKey

__all__ = [
    "ACCESS_URL_OF_EVERYONE",
    "AccessUrl",
    "AccessUrlRelUser",
    "ApiKey",
    "AuditRecord",
    "BackupCode",
    "ExtraField",
    "ExtraFieldValue",
    "RefreshToken",
    "RevokedToken",
    "SecondFactor",
    "SignInSession",
    "ThrottledLogin",
    "TokensValidAfter",
    "TrackELogin",
    "TrackELoginRecord",
    "User",
    "UserAuthSource",
    "UserRelUser",
    "UserTotal",
    "VerificationKey",
    "db",
]
