"""Mail to new users: its content, its delivery, and what happens if a delivery fails."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mail_server import Mailbox, mail_server, make_certificate

from benchmarks.services import free_port
from blueprints import mail
from blueprints.mail import DELIVERED, DROPPED, FAILED, Mailer, Registration, make_message
from config.parsing import MailServer, mailer_dsn

ZOE = Registration(7, "zoe@example.org", "zoe", "Campus de prueba", "https://escuela.example.org/")


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


def server_of(dsn: str) -> MailServer:
    server = mailer_dsn(dsn)
    assert server is not None
    return server


def sent(dsn: str, *registrations: Registration, sender: str = "") -> list[str]:
    """Send mails to a server, wait for the end of the queue, and return the outcomes."""
    mailer, outcomes = Mailer(server_of(dsn), sender), list[str]()
    mailer.watch(outcomes.append)
    for registration in registrations or (ZOE,):
        mailer.send(registration)
    mailer.close(20)
    return outcomes


# --- What a mail says


def test_mail_says_site_name_user_name_and_url(box: Mailbox) -> None:
    outcomes = sent(box.dsn)
    (message,) = box.messages
    assert (outcomes, box.recipients) == ([DELIVERED], ["zoe@example.org"])
    assert (message["From"], message["To"]) == ("noreply@escuela.example.org", "zoe@example.org")
    assert (message["Subject"], message["Auto-Submitted"]) == ("You are registered on Campus de prueba", "auto-generated")
    assert (bool(message["Date"]), message["Message-ID"].endswith("@escuela.example.org>")) == (True, True)
    assert (message.get_content_type(), message.get_content().splitlines()) == (
        "text/plain",
        ["You are registered on Campus de prueba.", "", "User name: zoe", "https://escuela.example.org/"],
    )


def test_sender_is_the_one_of_the_settings(box: Mailbox) -> None:
    sent(box.dsn, sender="campus@example.net")
    assert box.messages[0]["From"] == "campus@example.net"
    assert "mail from:<campus@example.net>" in [line.lower() for line in box.said]  # Python 3.13 writes it in lower case


def test_site_without_a_name_is_called_by_its_host() -> None:
    assert make_message(ZOE._replace(site_name=" "), "")["Subject"] == "You are registered on escuela.example.org"
    message = make_message(ZOE._replace(site_name="", url=""), "")
    assert (message["From"], message["Subject"]) == ("noreply@localhost", "You are registered on localhost")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_name_with_line_breaks_adds_neither_header_nor_line(box: Mailbox, ending: str) -> None:
    name = f"a{ending}Bcc: other@example.org{ending}{ending}body"
    sent(box.dsn, ZOE._replace(site_name=name, username=name, url=f"https://x.example/{ending}y"))
    (message,) = box.messages
    assert (message["Bcc"], box.recipients) == (None, ["zoe@example.org"])
    assert message["Subject"] == "You are registered on a Bcc: other@example.org body"
    assert len(message.get_content().splitlines()) == 4


@pytest.mark.parametrize("address", ["a@x.example>\r\nRCPT TO:<b@x.example", "a\nb@x.example", "a b@x.example"])
def test_address_adds_no_recipient(box: Mailbox, address: str) -> None:
    sent(box.dsn, ZOE._replace(email=address))
    assert [recipient for recipient in box.recipients if recipient.startswith("b@x")] == []
    assert len([line for line in box.said if line.startswith("rcpt")]) <= 1


def test_text_of_any_language_arrives(box: Mailbox) -> None:
    sent(box.dsn, ZOE._replace(site_name="日本語 ñ", username="Núñez", email="zoe@bücher.example"))
    (message,) = box.messages
    assert (message["Subject"], "User name: Núñez" in message.get_content()) == ("You are registered on 日本語 ñ", True)
    assert box.recipients == ["zoe@xn--bcher-kva.example"]


# --- How it is handed over


def test_credentials_are_sent_decoded() -> None:
    with mail_server(credentials=("po:ort", "p@ss/%")) as box:
        assert sent(f"smtp://po%3Aort:p%40ss%2F%25@127.0.0.1:{box.port}") == [DELIVERED]
        assert sent(f"smtp://po%3Aort:wrong@127.0.0.1:{box.port}") == [FAILED]
        assert len(box.messages) == 1


@pytest.mark.parametrize(
    ("scheme", "options", "is_delivered", "is_encrypted"),
    [
        ("smtps", "?verify_peer=0", True, True),
        ("smtps", "", False, True),
        ("smtp", "?verify_peer=false", True, True),
        ("smtp", "", False, True),
        ("smtp", "?auto_tls=0", True, False),
        ("smtp", "?auto_tls=0&require_tls=1&verify_peer=0", True, True),
    ],
)
def test_certificate_is_verified_unless_it_must_not_be(
    tmp_path: Path, scheme: str, options: str, is_delivered: bool, is_encrypted: bool
) -> None:
    with mail_server(certificate=make_certificate(tmp_path), is_encrypted=scheme == "smtps") as box:
        outcomes = sent(f"{scheme}://127.0.0.1:{box.port}/{options}")
    assert (len(box.messages), outcomes) == (int(is_delivered), [DELIVERED if is_delivered else FAILED])
    if scheme == "smtp":
        assert ("STARTTLS" in box.said) is is_encrypted


def test_nothing_is_sent_without_tls_if_it_is_required(box: Mailbox) -> None:
    assert sent(f"{box.dsn}?require_tls=1") == [FAILED]
    assert box.messages == []


# --- Failures


@pytest.mark.parametrize(("behavior", "reason"), [({"refuses": "550 zoe@example.org is unknown"}, "SMTPRecipientsRefused")])
def test_refusal_is_counted_and_logged_without_the_address(
    caplog: pytest.LogCaptureFixture, behavior: dict[str, Any], reason: str
) -> None:
    with mail_server(**behavior) as box:
        assert sent(box.dsn, ZOE, ZOE) == [FAILED, FAILED]
    lines = [record for record in caplog.records if record.name == "blueprints.mail"]
    assert [line.getMessage() for line in lines] == [f"a mail to a new user is not delivered: {reason}"] * 2
    assert [vars(line)["user_id"] for line in lines] == [7, 7]
    assert "zoe@" not in "".join(str(vars(line)) for line in lines)


def test_server_that_is_down_is_a_failure_and_the_password_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outcomes = sent(f"smtp://user:s3cret@127.0.0.1:{free_port()}")
    assert (outcomes, "ConnectionRefusedError" in caplog.text) == ([FAILED], True)
    assert "s3cret" not in caplog.text + repr(server_of("smtp://user:s3cret@h"))


def test_server_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(mail, "DELIVERY_SECONDS", 0.5)
    with mail_server(drips=True) as box:
        begun = time.monotonic()
        assert sent(box.dsn, ZOE, ZOE) == [FAILED, FAILED]
        assert (time.monotonic() - begun < 10, box.connections) == (True, 2)
    assert caplog.text.count("a mail to a new user is not delivered: SMTP") == 2


def test_mail_that_too_many_wait_before_is_dropped(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(mail, "QUEUE_LENGTH", 2)
    with mail_server(pause_seconds=0.5) as box:
        mailer, outcomes = Mailer(server_of(box.dsn), ""), list[str]()
        mailer.watch(outcomes.append)
        begun = time.monotonic()
        for number in range(10):
            mailer.send(ZOE._replace(user_id=number))
        assert time.monotonic() - begun < 0.4, "nobody waits for mail"
        mailer.close(20)
        assert (len(box.messages), len(outcomes)) == (outcomes.count(DELIVERED), 10)
        assert outcomes.count(DROPPED) == 10 - len(box.messages)
        assert 2 <= len(box.messages) <= 3
    assert "a mail to a new user is not delivered: too many mails wait" in caplog.text


def test_end_waits_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    with mail_server(pause_seconds=1) as box:
        mailer = Mailer(server_of(box.dsn), "")
        mailer.close()
        mailer.send(ZOE)
        mailer.close(0.05)
        assert (box.messages, "the process ends before all mails are delivered" in caplog.text) == ([], True)
        mailer.close(20)
        assert len(box.messages) == 1


def test_mailer_starts_nothing_before_its_first_mail(box: Mailbox) -> None:
    assert Mailer(server_of(box.dsn), "")._thread is None
