"""application/xml as Symfony's encoder writes it: a `response` element with one element per property."""

import re
from typing import Any
from xml.etree import ElementTree as ET

from rest.format import Format
from rest.representation import Collection, Item
from rest.resource import texts

# Characters that XML 1.0 cannot carry, not even escaped (section 2.2).
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def item(item: Item) -> ET.Element:
    """Render an item."""
    return _element(ET.Element("response"), item.fields)


def collection(collection: Collection) -> ET.Element:
    """Render a page of a collection: one `item` element per item, with its position as `key`."""
    root = ET.Element("response")
    for position, member in enumerate(collection.members):
        _element(ET.SubElement(root, "item", key=str(position)), member.fields)
    return root


def encode(root: ET.Element) -> bytes:
    """Encode a document as UTF-8."""
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=False)
    # A parser takes a bare carriage return for a line feed (section 2.11).
    return b'<?xml version="1.0"?>\n' + document.replace(b"\r", b"&#13;") + b"\n"


def _element(element: ET.Element, fields: dict[str, Any]) -> ET.Element:
    for name, value in texts(fields).items():
        for single in value if isinstance(value, list) else [value]:
            ET.SubElement(element, name).text = _text(single)
    return element


def _text(value: Any) -> str:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return _FORBIDDEN.sub("\ufffd", text)


FORMAT = Format(name="xml", media_types=("application/xml", "text/xml"), item=item, collection=collection, encode=encode)
