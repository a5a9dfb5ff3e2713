"""The version of Poort: the wheel, the commands, the API's documents and the metrics all read it here."""

#: As in https://semver.org. pyproject.toml reads this line without running it.
VERSION = "1.0.0"
