"""The entry point of gunicorn and the `flask` command: the application with the settings of the environment."""

import click

from app import create_app
from blueprints.parts import parts
from config import InvalidSetting, load_settings
from config.drivers import require_drivers
from config.logging import set_up_logging
from config.settings import stop_start
from models.user_table import UnusableTable
from security.keys.pair import UnusableKey

try:
    settings = load_settings()
    context = click.get_current_context(silent=True)
    command = context.command.name if context else None
    # Commands print messages for an operator, so they log only warnings, errors and the audit.
    set_up_logging(settings.log_level if command in {None, "run"} else "warning", settings.log_format)
    require_drivers(settings)
    app = create_app(settings)
    if command == "run":
        # gunicorn runs these checks in deploy/gunicorn.conf.py before it forks; other commands need no keys.
        with app.app_context():
            parts().check_keys()
            parts().check_table()
            parts().keys.announce()
except (InvalidSetting, UnusableKey, UnusableTable) as problem:
    raise stop_start(problem) from None
