"""The declarations of the operations on a second factor."""

from dataclasses import replace
from http import HTTPStatus

from blueprints.auth.credentials import BODY_FAILURES, SIGN_IN_TAG
from rest.operation import Operation, Shape
from rest.schema import TEXT

_READING = (HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
_WRITING = (
    *_READING,
    *BODY_FAILURES,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
)

_OFF = {HTTPStatus.FORBIDDEN: "The code is not right.", HTTPStatus.CONFLICT: "The second factor is not on."}

_CODE_BODY = {"type": "object", "properties": {"totp": TEXT | {"writeOnly": True}}, "required": ["totp"]}
_BACKUP_CODES = {
    "type": "object",
    "properties": {"backupCodes": {"type": "array", "items": TEXT}},
    "required": ["backupCodes"],
}

SHOW = Operation(
    id="api_me_totp_get",
    tag=SIGN_IN_TAG,
    summary="Shows whether the signed-in user has a second factor.",
    description="Shows whether sign-ins need a code, and how many backup codes are left.",
    response_example={"enabled": True, "backupCodesLeft": 10},
    response_schema={
        "type": "object",
        "properties": {"enabled": {"type": "boolean"}, "backupCodesLeft": {"type": "integer", "minimum": 0}},
        "required": ["enabled", "backupCodesLeft"],
    },
    failures=_READING,
)
BEGIN = Operation(
    id="api_me_totp_post",
    tag=SIGN_IN_TAG,
    summary="Begins to enable a second factor: creates the secret of an authenticator app.",
    description="Creates a secret, to be shown as a QR code. It has no effect until a first code confirms it with `PUT`.",
    response_example={
        "secret": "JBSWY3DPEHPK3PXP",
        "uri": "otpauth://totp/Poort:alice?secret=JBSWY3DPEHPK3PXP&issuer=Poort",
        "qrCode": "<svg/>",
    },
    request_schema={
        "type": "object",
        "properties": {"password": TEXT | {"format": "password", "writeOnly": True}},
        "required": ["password"],
    },
    response_schema={
        "type": "object",
        "properties": {
            "secret": TEXT,
            "uri": TEXT | {"format": "uri"},
            "qrCode": TEXT | {"contentMediaType": "image/svg+xml"},
        },
        "required": ["secret", "uri", "qrCode"],
    },
    example={"password": "a long enough secret"},
    failures=_WRITING,
    failure_texts={HTTPStatus.FORBIDDEN: "The password is not right.", HTTPStatus.CONFLICT: "The second factor is on already."},
)
CONFIRM = Operation(
    id="api_me_totp_put",
    tag=SIGN_IN_TAG,
    summary="Enables the second factor of the signed-in user with a first code of the app.",
    description="Confirms the secret. From then on sign-ins need a code. The answer shows the backup codes, once.",
    response_example={"backupCodes": ["7gkq-x3mv-2tnp", "c9wd-p5hr-8yjz"]},
    request_schema=_CODE_BODY,
    response_schema=_BACKUP_CODES,
    example={"totp": "123456"},
    failures=_WRITING,
    failure_texts={HTTPStatus.FORBIDDEN: "The code is not right.", HTTPStatus.CONFLICT: "No second factor was begun."},
)
RENEW = replace(
    CONFIRM,
    id="api_me_totp_backup_codes_post",
    summary="Replaces the backup codes of the signed-in user.",
    description="Makes new backup codes and shows them once; the old ones end.",
    failure_texts=_OFF,
)
DISABLE = Operation(
    id="api_me_totp_delete",
    tag=SIGN_IN_TAG,
    summary="Disables the second factor of the signed-in user with a code of the app or a backup code.",
    description="From then on sign-ins need no code.",
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    request_schema=_CODE_BODY,
    example={"totp": "123456"},
    failures=_WRITING,
    failure_texts=_OFF,
)
