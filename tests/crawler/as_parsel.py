"""Whether our selections and parsel's find the same, however they write it down."""

import html
from typing import Any

from crawler.selection import Selector, SelectorList


def outline(node: Any) -> Any:
    """What an element is, without the manner of writing it down, lexbor's or lxml's."""
    if isinstance(node, str):
        return node
    if hasattr(node, "first_child"):
        children: list[Any] = []
        child = node.first_child
        while child is not None:
            if child.is_text_node:
                children.append(child.text_content)
            elif child.is_element_node:
                children.append(outline(child))
            child = child.next
        return node.tag, {k: v or "" for k, v in node.attributes.items()}, children
    children = [node.text]
    for element in node:
        if isinstance(element.tag, str):
            children.append(outline(element))
        children.append(element.tail)
    return node.tag, without_repetition(node.attrib), [child for child in children if child]


def without_repetition(attributes: Any) -> dict[str, str]:
    """To libxml2 a mere `disabled` is `disabled="disabled"`; see KNOWN_DIFFERENCES."""
    return {name: "" if value == name else value for name, value in attributes.items()}


def plain(value: str | None) -> str | None:
    """The serialisations differ in quotes, in what they escape, and in `x=""` for a mere `x`."""
    return None if value is None else html.unescape(value).replace("'", '"').replace('=""', "")


def check(ours: Selector | SelectorList, theirs: Any, query: str) -> None:
    """Have both find the same; and the first of it, when nothing else was asked for."""
    assert plain(ours.css(query).get()) == plain(theirs.css(query).get())
    check_found(ours.css(query), theirs.css(query))


def check_found(ours: SelectorList, theirs: Any) -> None:
    assert [outline(s.root) for s in ours] == [outline(s.root) for s in theirs]
    assert [plain(text) for text in ours.getall()] == [plain(text) for text in theirs.getall()]
    assert plain(ours.get()) == plain(theirs.get())
    assert plain(ours.get("none")) == plain(theirs.get("none"))


def squeezed(value: str) -> str:
    return "".join((plain(value) or "").split())
