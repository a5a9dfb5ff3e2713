"""In which order several database hosts are tried, for how long, and what is said if none of them can be used."""

from sqlalchemy import create_engine

from config.database_url import database_url
from models.database import connect_timeout
from models.host_order import in_one_line, in_turn, remember

HOSTS = {"host": "a,b,c", "port": "1,2,3"}


def test_the_host_of_the_newest_connection_is_tried_first() -> None:
    mine, other = (create_engine("sqlite://").dialect for _ in range(2))
    assert in_turn(mine, {"host": "a", "port": 1}) == in_turn(mine, {}) == {}
    assert in_turn(mine, HOSTS) == HOSTS
    remember(mine, "c", 3)
    assert (in_turn(mine, HOSTS), in_turn(other, HOSTS)) == ({"host": "c,a,b", "port": "3,1,2"}, HOSTS)
    remember(mine, "gone", 3)
    assert in_turn(mine, HOSTS) == HOSTS


def test_hosts_share_the_time_to_connect() -> None:
    urls = ("pgsql://a/x", "pgsql://a,b/x", "mysql://a,b,c,d/x", "pgsql:///x?host=/run/postgresql")
    assert [connect_timeout(database_url(url)) for url in urls] == [5, 2, 2, 5]


def test_failures_of_several_hosts_are_said_in_one_line() -> None:
    said = "refused\nMultiple connection attempts failed. All failures were:\n- host: 'a', port: '1': refused\n\tIs it running?\n- host: 'b', port: '2': standby"
    assert in_one_line(said) == "host: 'a', port: '1': refused; host: 'b', port: '2': standby"
    assert in_one_line("refused") == "refused"
