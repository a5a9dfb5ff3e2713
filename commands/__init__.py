"""The commands for operators. Each group can be called through `bin/poort` or through `flask`."""

from flask import Flask

from commands import (
    api_keys,
    audit,
    backup,
    extra_fields,
    jwt,
    jwt_rotation,
    setup,
    users,
    users_export,
    users_import,
    users_rights,
    users_view,
)
from commands.doctor import command as doctor
from commands.terminal import complete

# Loading a module adds its commands to their group.
_USERS = (users, users_view, users_export, users_import, users_rights)
_MODULES = (*_USERS, extra_fields, api_keys, jwt, jwt_rotation, audit, setup, doctor, backup)


def register_commands(app: Flask) -> None:
    """Add the commands to an application, and the migrations of its database."""
    setup.install_migrations(app)
    for group in {module.cli for module in _MODULES}:
        app.cli.add_command(complete(group))
    # Otherwise `bin/poort doctor` would be `bin/poort poort doctor`.
    for command in setup.cli.commands.values():
        app.cli.add_command(command)
