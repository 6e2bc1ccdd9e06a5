"""How a picture came to be, as its file says it: IPTC's digital source type, as XMP.

The European AI Act (article 50) and the platforms that show pictures ask for a mark that programs can read. They agree
on IPTC's vocabulary (https://cv.iptc.org/newscodes/digitalsourcetype/); it tells nothing of a person.
"""

from enum import StrEnum
from typing import Final

VOCABULARY: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"


class DigitalSource(StrEnum):
    """What a picture was made of, in IPTC's terms."""

    GENERATED = "trainedAlgorithmicMedia"
    """All of it was drawn by a trained network."""
    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
    """A photo and what a trained network drew, in one picture."""

    @property
    def address(self) -> str:
        """The term's address in IPTC's vocabulary."""
        return VOCABULARY + self.value


def xmp_packet(source: DigitalSource) -> bytes:
    """Return the XMP that says where a picture comes from, and nothing else; the same bytes for every picture."""
    return (
        '<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmp:CreatorTool="Nigaoe"'
        f' Iptc4xmpExt:DigitalSourceType="{source.address}"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()
