"""A page of HTML as the tests of reports look at it."""

import html.parser
import re

VOID = {"br", "image", "img", "meta", "path", "polygon", "rect", "stop", "use"}  # of those the pages use


class Page(html.parser.HTMLParser):
    """Tags checked for balance, and what the tests ask of them."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.images, self.urls, self.said, self.tags = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [] and len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.images += [attributes] if tag == "img" else []
        self.urls += [value for key, value in attributes.items() if key in ("src", "href", "xlink:href")]
        for key in ("style", "clip-path", "fill"):
            self.urls += re.findall(r"url\((.*?)\)", attributes.get(key, ""))
        assert tag != "script" and not any(key.startswith("on") for key in attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.said).split())  # no-break spaces become spaces
