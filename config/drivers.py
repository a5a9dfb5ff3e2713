"""The Python drivers that the settings need, and what to do if one is not installed."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL

from config import home
from config.settings import InvalidSetting, Settings


@dataclass(frozen=True, slots=True)
class Driver:
    """The Python driver of a database or of Redis: its module, and the file that pins it."""

    module: str
    requirements: str


#: Keyed by SQLAlchemy's name of the driver. SQLite has no entry, since its driver comes with Python.
DRIVERS: Mapping[str, Driver] = {
    "mysql+pymysql": Driver("pymysql", "requirements-mysql.txt"),
    "postgresql+psycopg": Driver("psycopg", "requirements-postgresql.txt"),
}


def drivers_of(settings: Settings) -> Mapping[str, Driver]:
    """Return the drivers that the settings need, by the variable that needs them."""
    of_database = DRIVERS.get(settings.database_url.drivername)
    of_redis = Driver("redis", "requirements-redis.txt") if settings.redis_url else None
    return {variable: driver for variable, driver in (("DATABASE_URL", of_database), ("REDIS_URL", of_redis)) if driver}


def require_drivers(settings: Settings) -> None:
    """Raise InvalidSetting if a driver that the settings need is not installed."""
    for variable, driver in drivers_of(settings).items():
        _require(variable, driver)


def require_driver(url: URL) -> None:
    """Raise InvalidSetting if the driver of a database is not installed."""
    if driver := DRIVERS.get(url.drivername):
        _require("DATABASE_URL", driver)


def _require(variable: str, driver: Driver) -> None:
    if importlib.util.find_spec(driver.module) is None:
        cure = f"run `make setup`, or `pip install --require-hashes -r {driver.requirements}`"
        if home.IS_INSTALLED:
            cure = f"run `{sys.prefix}/bin/pip install --require-hashes -r {home.ROOT / driver.requirements}`"
        raise InvalidSetting(f"{variable} needs the package {driver.module}, which is not installed: {cure}.")
