"""Counting stored hashes that cost more than new ones, on each database."""

from factories import Database

from models.stored_hashes import DearHashes, find_dear_hashes


def test_dear_hashes_are_counted(database: Database) -> None:
    for number, stored in enumerate(
        (
            "$2y$13$" + "a" * 53,
            "$2b$14$" + "a" * 53,
            "$2y$16$" + "a" * 53,
            "$2y$17$" + "a" * 53,
            "$2y$xx$" + "a" * 53,
            "$argon2id$v=19$m=65536,t=4,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
            "$argon2id$v=19$m=65536,t=40,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
            "5ebe2294ecd0e0f08eab7690d2a6ee69",
            "",
        )
    ):
        database.make_user(f"user{number}", password_hash=stored)
    with database.session() as session:
        assert find_dear_hashes(session, 13) == DearHashes(dearer=2, highest_cost=16, refused=2)
        assert find_dear_hashes(session, 16) == DearHashes(dearer=0, highest_cost=0, refused=2)
