"""The declarations of the operations on a second factor."""

from dataclasses import replace
from http import HTTPStatus

from blueprints.auth.credentials import BODY_FAILURES, declare
from rest.operation import Shape
from rest.schema import TEXT, object_schema

_READING = (HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
_WRITING = (*_READING, *BODY_FAILURES, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)

_OFF = {HTTPStatus.FORBIDDEN: "The code is not right.", HTTPStatus.CONFLICT: "The second factor is not on."}

_CODE_BODY = object_schema(totp=TEXT | {"writeOnly": True})

SHOW = declare(
    id="api_me_totp_get",
    summary="Shows whether the signed-in user has a second factor.",
    description="Shows whether sign-ins need a code, and how many backup codes are left.",
    response_example={"enabled": True, "backupCodesLeft": 10},
    response_schema=object_schema(enabled={"type": "boolean"}, backupCodesLeft={"type": "integer", "minimum": 0}),
    failures=_READING,
)
BEGIN = declare(
    id="api_me_totp_post",
    summary="Begins to enable a second factor: creates the secret of an authenticator app.",
    description="Creates a secret, to be shown as a QR code. It has no effect until a first code confirms it with `PUT`.",
    response_example={
        "secret": "JBSWY3DPEHPK3PXP",
        "uri": "otpauth://totp/Poort:alice?secret=JBSWY3DPEHPK3PXP&issuer=Poort",
        "qrCode": "<svg/>",
    },
    request_schema=object_schema(password=TEXT | {"format": "password", "writeOnly": True}),
    response_schema=object_schema(secret=TEXT, uri=TEXT | {"format": "uri"}, qrCode=TEXT | {"contentMediaType": "image/svg+xml"}),
    example={"password": "a long enough secret"},
    failures=_WRITING,
    failure_texts={HTTPStatus.FORBIDDEN: "The password is not right.", HTTPStatus.CONFLICT: "The second factor is on already."},
)
CONFIRM = declare(
    id="api_me_totp_put",
    summary="Enables the second factor of the signed-in user with a first code of the app.",
    description="Confirms the secret. From then on sign-ins need a code. The answer shows the backup codes, once.",
    response_example={"backupCodes": ["7gkq-x3mv-2tnp", "c9wd-p5hr-8yjz"]},
    request_schema=_CODE_BODY,
    response_schema=object_schema(backupCodes={"type": "array", "items": TEXT}),
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
DISABLE = declare(
    id="api_me_totp_delete",
    summary="Disables the second factor of the signed-in user with a code of the app or a backup code.",
    description="From then on sign-ins need no code.",
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    request_schema=_CODE_BODY,
    example={"totp": "123456"},
    failures=_WRITING,
    failure_texts=_OFF,
)
