"""The settings of the server: every variable, parsed once at the start."""

from config.settings import InvalidSetting, Settings, load_settings, parse_settings

__all__ = ["InvalidSetting", "Settings", "load_settings", "parse_settings"]
