"""The block at the end of a start on a terminal, for each kind of server."""

from config.settings import parse_settings
from deploy.first_screen import Start, block

OWN = parse_settings({})


def test_the_password_of_a_new_first_user_is_in_the_block_and_in_the_command() -> None:
    text = block(Start(settings=OWN, password="Zq3v"), ["127.0.0.1:8000"])
    assert "Password:  Zq3v    shown once" in text
    assert '{"username": "admin", "password": "Zq3v"}' in text


def test_a_password_that_is_not_known_is_a_placeholder() -> None:
    text = block(Start(settings=OWN), ["127.0.0.1:8000"])
    assert "was shown by the first start; `bin/poort users set-password admin` makes a new one" in text
    assert '"password": "PASSWORD"' in text


def test_the_explorer_that_is_on_has_a_url() -> None:
    text = block(Start(settings=parse_settings({"APP_ENABLE_API_ENTRYPOINT": "1"})), ["127.0.0.1:8000"])
    assert "Explorer:  http://127.0.0.1:8000/api\n" in text


def test_beside_a_campus_nobody_is_called_admin() -> None:
    settings = parse_settings({"DATABASE_SCHEMA": "chamilo", "DATABASE_URL": "mysql://u:p@localhost/campus"})
    text = block(Start(settings=settings), ["127.0.0.1:8000"])
    assert "the users of your campus" in text
    assert "admin" not in text


def test_on_a_unix_socket_no_command_pretends_to_reach_it() -> None:
    settings = parse_settings({"APP_ENABLE_API_ENTRYPOINT": "1"})
    text = block(Start(settings=settings), ["unix:/run/poort/poort.sock"])
    assert "unix:/run/poort/poort.sock" in text
    assert "curl" not in text
    assert "http:" not in text


def test_a_known_user_takes_the_place_of_the_first_in_the_command() -> None:
    text = block(Start(settings=OWN, password="Zq3v", known=("ada", "documented")), ["127.0.0.1:8000"])
    assert '{"username": "ada", "password": "documented"}' in text
