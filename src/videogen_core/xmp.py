"""Text about a clip inside the clip: an XMP packet in a box at the end of an MP4, as the XMP standard has it.

Nothing that was there before is touched, so the picture stays as it is, and so does what a vendor has put in. A clip
that is signed as a whole (C2PA) is left alone: one more byte would break its signature.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Boxes", "box", "read_packet", "survey"]

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MAX_BOXES = 100_000
_MAX_PACKET = 16 * 1024**2
_NAMESPACE = "urn:x-videogen:provenance:1:"
_AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:videogen="{namespace}"{more}
   xmp:CreatorTool="{tool}"
   videogen:provenance="{text}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_SOURCE = """
   xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
   Iptc4xmpExt:DigitalSourceType="{kind}\""""
_OURS = re.compile(rb'videogen:provenance="([^"]*)"')


@dataclass(frozen=True)
class Boxes:
    """What the top level of a file holds.

    Attributes:
        packet: Where our box begins, if there is one: that of the last packet that is ours.
        signed: Whether it carries a C2PA manifest.
        extensible: Whether it is an MP4 to which a box may be added: none of its boxes reaches to the end of the file
            by definition, and no index must come last.
    """

    packet: int | None = None
    signed: bool = False
    extensible: bool = False


def survey(path: Path) -> Boxes:
    """Look at the boxes of a file; one that is no MP4 has none.

    Raises:
        OSError: The file cannot be read.
    """
    packet, signed, extensible = None, False, True
    kinds: set[bytes] = set()
    with path.open("rb") as file:
        size = path.stat().st_size
        for offset, kind, length, open_ended in _boxes(file, size):
            kinds.add(kind)
            extensible = extensible and not open_ended
            if kind == b"uuid":
                name = file.read(16)
                signed = signed or name == _C2PA
                if name == _XMP and length < _MAX_PACKET and _OURS.search(file.read(length - 24)):
                    packet = offset
        brand = _brand(file)
    extensible = extensible and {b"ftyp", b"moov"} <= kinds and b"mfra" not in kinds and brand != b"qt  "
    return Boxes(packet, signed, extensible)


def _brand(file: IO[bytes]) -> bytes:
    file.seek(8)
    return file.read(4)


def _boxes(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes, int, bool]]:
    """Offset, kind and length of each top-level box, with the file at its content; whether it has no end of its own.

    Ends at the first thing that is no box.
    """
    offset = 0
    for _ in range(_MAX_BOXES):
        file.seek(offset)
        header = file.read(8)
        if len(header) < 8:
            return
        length, kind = int.from_bytes(header[:4]), header[4:]
        open_ended = length == 0
        if length == 1:
            length = int.from_bytes(file.read(8))
        elif open_ended:
            length = size - offset
        if length < 8 or length > size - offset or (offset == 0 and kind != b"ftyp"):
            return
        yield offset, kind, length, open_ended
        offset += length


def box(text: str, *, tool: str, generated: bool) -> bytes:
    """A box that says ``text``, to be put at the end of an MP4.

    Args:
        text: Anything that XML can hold.
        tool: What made the file, with its version.
        generated: Whether a model made it, which the IPTC's word for that then says.
    """
    more = _SOURCE.format(kind=_AI_MADE) if generated else ""
    packet = _PACKET.format(namespace=_NAMESPACE, more=more, tool=html.escape(tool), text=_escaped(text)).encode()
    return (len(packet) + 24).to_bytes(4) + b"uuid" + _XMP + packet


def _escaped(text: str) -> str:
    return html.escape(text).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")


def read_packet(path: Path) -> tuple[str, int, int] | None:
    """The text in a file, how many bytes the file had before it was added, and after; None = there is none.

    Raises:
        OSError: The file cannot be read.
    """
    offset = survey(path).packet
    if offset is None:
        return None
    with path.open("rb") as file:
        file.seek(offset)
        length = int.from_bytes(file.read(4))
        found = _OURS.search(file.read(length - 4))
    return None if found is None else (html.unescape(found[1].decode(errors="replace")), offset, offset + length)
