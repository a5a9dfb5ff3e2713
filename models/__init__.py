"""The database: tables, rules about rows, password hashes and the role hierarchy.

`X as X` exports a name (PEP 484).
"""

from models.api_keys import ApiKey as ApiKey
from models.audit_record import AuditRecord as AuditRecord
from models.campus import ACCESS_URL_OF_EVERYONE as ACCESS_URL_OF_EVERYONE
from models.campus import AccessUrl as AccessUrl
from models.campus import AccessUrlRelUser as AccessUrlRelUser
from models.campus import UserAuthSource as UserAuthSource
from models.campus import UserRelUser as UserRelUser
from models.database import db as db
from models.extra_fields import ExtraField as ExtraField
from models.extra_fields import ExtraFieldValue as ExtraFieldValue
from models.refresh_token import RefreshToken as RefreshToken
from models.refresh_token import SignInSession as SignInSession
from models.second_factor import BackupCode as BackupCode
from models.second_factor import SecondFactor as SecondFactor
from models.sign_in_record import TrackELogin as TrackELogin
from models.sign_in_record import TrackELoginRecord as TrackELoginRecord
from models.throttled_login import ThrottledLogin as ThrottledLogin
from models.token_validity import RevokedToken as RevokedToken
from models.token_validity import TokensValidAfter as TokensValidAfter
from models.user import User as User
from models.user_total import UserTotal as UserTotal
from models.verification_key import VerificationKey as VerificationKey
