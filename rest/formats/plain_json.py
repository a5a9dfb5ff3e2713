"""application/json: the bare fields; a collection is a list of them."""

from operator import attrgetter

from rest.format import BodyType, Format
from rest.schema import read_schema, reference, schema_name

_fields = attrgetter("fields")

BODY = BodyType("application/json", leads=True)

#: A merge patch (RFC 7396) has the form of plain JSON; it is for bodies only.
MERGE_PATCH = BodyType("application/merge-patch+json")

FORMAT = Format(
    name="json",
    media_types=(BODY.media_type,),
    item=lambda item: item.as_json(_fields),
    collection=lambda collection: [member.as_json(_fields) for member in collection.members],
    body=BODY,
    problem_json=True,
    total_in_header=True,
    leads=True,
    schemas=lambda resource: {schema_name(resource): read_schema(resource)},
    item_schema=lambda resource: reference(schema_name(resource)),
    collection_schema=lambda resource: {"type": "array", "items": reference(schema_name(resource))},
)
