"""The commands of operators, as groups below `flask`."""

from flask import Flask

from commands import api_keys, audit, extra_fields, jwt, jwt_rotation, setup, users, users_files, users_rights, users_totp
from commands.doctor import command as doctor

# Loading a module adds its commands to their group.
_MODULES = (users, users_files, users_rights, users_totp, extra_fields, api_keys, jwt, jwt_rotation, audit, setup, doctor)


def register_commands(app: Flask) -> None:
    """Add the groups of commands to `flask`."""
    for group in {module.cli for module in _MODULES}:
        app.cli.add_command(group)
