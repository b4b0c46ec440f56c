"""What a query finds from one node on: in document order, without duplicates.

Most queries are one call of lexbor; the rest are answered step by step.
"""

import re

from selectolax.lexbor import LexborNode

from crawler.css import TEXT, Branch, Query, Step


def _related(node: LexborNode, combinator: str, earlier: set[int]) -> bool:
    """Whether the combinator leads from one of the earlier nodes to this one."""
    if combinator == "//":
        return node.mem_id in earlier or _related(node, " ", earlier)
    upwards = combinator in {" ", ">"}
    other = node.parent if upwards else node.prev
    while other is not None:
        if other.mem_id in earlier:
            return True
        if combinator == ">" or (combinator == "+" and other.is_element_node):
            return False
        other = other.parent if upwards else other.prev
    return False


def _compound_matches(step: Step, top: LexborNode) -> list[LexborNode]:
    found = top.css(step.css)
    if not step.contains:
        return found
    # `:lexbor-contains` looks at one text node at a time, but "1<b>2</b>" contains "12".
    return [n for n in found if all(text in n.text() for text in step.contains)]


def _stepwise(branch: Branch, node: LexborNode) -> tuple[list[LexborNode], LexborNode]:
    """What the branch finds from this node on, and a node that has it all below it."""
    top = node
    found = _compound_matches(branch.steps[0], node)
    if branch.scoped:
        found = [n for n in found[:1] if n.mem_id == node.mem_id]
    for step in branch.steps[1:]:
        earlier = {n.mem_id for n in found}
        if step.combinator in {"+", "~"} and node.mem_id in earlier:
            top = node.parent or node  # as in parsel, the node's own siblings can be reached
        candidates = _compound_matches(step, top) if found else []
        found = [n for n in candidates if _related(n, step.combinator, earlier)]
    return found, top


_CLASSES = re.compile(r"[^ \t\n\f\r]+")


def names_of(node: LexborNode) -> frozenset[str]:
    """Return an element's name, classes and id, as selectors have them, in lower case.

    For there are pages where the case of classes and ids does not count.
    """
    attributes = node.attributes
    names = [node.tag or "", f"#{attributes.get('id') or ''}"]
    names += ["." + name for name in _CLASSES.findall(attributes.get("class") or "")]
    return frozenset(map(str.lower, names))


def select(query: Query, node: LexborNode, whole: bool, alone: bool) -> list[LexborNode | str]:
    """Return all that the query finds.

    `whole`: the node is a document's. `alone`: lexbor can answer by itself, for nothing above the
    node counts.
    """
    if alone:
        if whole and query.css.isalnum():  # the name of a tag: so it takes a fifth less
            return _values(node.parser.tags(query.css), query.branches[0].wanted)
        found = node.css(query.css)
        if query.union:  # lexbor names a node once for every selector it matches
            found = [*{n.mem_id: n for n in found}.values()]
        return _values(found, query.branches[0].wanted)
    if len(query.branches) == 1:
        return _values(_stepwise(query.branches[0], node)[0], query.branches[0].wanted)
    top = node
    wanted: dict[int, set[str | None]] = {}
    for branch in query.branches:
        found, reached = _stepwise(branch, node)
        top = reached if reached.mem_id != node.mem_id else top
        for match in found:
            wanted.setdefault(match.mem_id, set()).add(branch.wanted)
    return _in_document_order(top, wanted)


def first(query: Query, node: LexborNode, whole: bool, alone: bool) -> LexborNode | str | None:
    """What `select` names first, None when it finds nothing; mostly without looking further."""
    if alone and not query.union:
        found = node.css_first(query.css)
        wanted = query.branches[0].wanted
        if found is None or wanted is None:
            return found
        value = found.attrs.sget(wanted, None) if wanted != TEXT else _first_text(query, found)
        if value is not None:
            return value
    return next(iter(select(query, node, whole, alone)), None)


def _first_text(query: Query, found: LexborNode) -> str | None:
    """The first text right within the first match, if none of another match is before it."""
    child = found.first_child
    while child is not None:
        text = child.text_content
        if text is not None:
            return text
        if child.css_first(query.css) is not None:
            return None
        child = child.next
    return None


def _values(found: list[LexborNode], wanted: str | None) -> list[LexborNode | str]:
    if wanted is None:
        return [*found]
    if wanted == TEXT:
        return _texts(found)
    values = [node.attrs.sget(wanted, None) for node in found]
    return [value for value in values if value is not None]


def _texts(found: list[LexborNode]) -> list[LexborNode | str]:
    """The text nodes that are children of the nodes found, in document order.

    One node after the other gives that order, save where a node has text after a child in
    which there are further matches.
    """
    result: list[LexborNode | str] = []
    position = 0
    while position < len(found):
        node = found[position]
        position += 1
        texts: list[LexborNode | str] = []
        child, elements_before, mixed = node.first_child, False, False
        while child is not None:
            text = child.text_content
            if text is None:
                elements_before = True
            else:
                texts.append(text)
                mixed = elements_before
            child = child.next
        if mixed and position < len(found) and _is_inside(found[position], node):
            inside = {n.mem_id for n in node.traverse()}
            start = position - 1
            while position < len(found) and found[position].mem_id in inside:
                position += 1
            texts = _in_document_order(node, {n.mem_id: {TEXT} for n in found[start:position]})
        result += texts
    return result


def _is_inside(node: LexborNode, outer: LexborNode) -> bool:
    beside = outer.parent
    limit = {outer.mem_id} if beside is None else {outer.mem_id, beside.mem_id}
    above = node.parent
    while above is not None and above.mem_id not in limit:
        above = above.parent
    return above is not None and above.mem_id == outer.mem_id


def _in_document_order(
    top: LexborNode, wanted: dict[int, set[str | None]]
) -> list[LexborNode | str]:
    result: list[LexborNode | str] = []
    for node in top.traverse(include_text=True):
        text = node.text_content
        if text is not None:
            parent = node.parent
            if parent is not None and TEXT in wanted.get(parent.mem_id, ()):
                result.append(text)
        elif kinds := wanted.get(node.mem_id):
            if None in kinds:
                result.append(node)
            if kinds - {None, TEXT}:
                result += [value or "" for name, value in node.attrs.items() if name in kinds]
    return result
