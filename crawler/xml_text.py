"""XML, such as a feed or a sitemap, made ready for the HTML parser.

Of what HTML has not, two things are in most feeds: CDATA sections, which would be comments, and
elements that end in `/>`, which would have all that follows within them.
"""

import re

_BEGIN, _END = b"<![CDATA[", b"]]>"
# What is within quotes there has no < in XML, and a > hardly ever. An end tag of <br> would be
# another one.
_EMPTY = re.compile(rb"<(?!br[\s/])([^\s<>/!?]++)([^<>]*)/>", re.IGNORECASE)


def for_html(xml: bytes) -> bytes:
    """Return an XML document, as UTF-8, for the HTML parser to find in it what it says.

    Takes time by its length, whatever it holds.
    """
    if _BEGIN in xml:
        xml = _without_cdata(xml)
    return _EMPTY.sub(_with_end, xml) if b"/>" in xml else xml


def _with_end(empty: re.Match[bytes]) -> bytes:
    # Before 3.12 a template is expanded by Python code, which takes more than this.
    name, attributes = empty.groups()
    return b"<%b%b></%b>" % (name, attributes, name)


def _without_cdata(xml: bytes) -> bytes:
    before, *sections = xml.split(_BEGIN)
    parts = [before]
    inside = False
    for section in sections:
        if inside:  # the last one has no end yet, and this begins within it
            section = _BEGIN + section
        text, end, after = section.partition(_END)
        inside = not end
        parts += (text.replace(b"&", b"&amp;").replace(b"<", b"&lt;"), after)
    return b"".join(parts)
