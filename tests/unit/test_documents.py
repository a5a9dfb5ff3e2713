"""The structure of the API's documents, byte for byte: required properties, types and references.

Texts that people read are left out. After an intended change, `python tests/unit/test_documents.py` rewrites the files.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

if __name__ == "__main__":
    sys.path[:0] = map(str, (Path(__file__).parents[2], Path(__file__).parents[1]))

from factories import dispose, settings_for

from app import create_app

FOLDER = Path(__file__).parent / "documents"

#: What each file holds: the path of a document.
PATHS = {
    "openapi": "/api/docs.json",
    "openapi_of_json": "/api/docs.json?suffix=json",
    "hydra": "/api/docs.jsonld",
    "entrypoint": "/api/index.jsonld",
    "context_user": "/api/contexts/User",
    "context_entrypoint": "/api/contexts/Entrypoint",
    "context_error": "/api/contexts/Error",
}

_TEXTS = {"summary", "description", "title", "rdfs:label", "hydra:title", "hydra:description"}


def structure(value: Any) -> Any:
    """Return a document without its texts."""
    if isinstance(value, list):
        return [structure(element) for element in value]
    if not isinstance(value, dict):
        return value
    return {name: structure(inner) for name, inner in value.items() if not (name in _TEXTS and isinstance(inner, str))}


def documents(folder: Path) -> dict[str, str]:
    """Return the structures of all documents of a server with everything switched on."""
    app = create_app(settings_for(DATABASE_URL=f"sqlite:///{folder}/poort.db", REFRESH_TOKEN_TTL="3600"))
    client = app.test_client()
    found = {name: structure(json.loads(client.get(path).data)) for name, path in PATHS.items()}
    dispose(app)
    return {name: json.dumps(document, indent=1, ensure_ascii=False) + "\n" for name, document in found.items()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return documents(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("name", PATHS)
def test_document_has_the_structure_that_its_readers_know(written: dict[str, str], name: str) -> None:
    kept = (FOLDER / f"{name}.json").read_text()
    assert written[name].splitlines() == kept.splitlines(), "where this is meant: python tests/unit/test_documents.py"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for document, text in documents(Path(tempfile.mkdtemp())).items():
        (FOLDER / f"{document}.json").write_text(text)
