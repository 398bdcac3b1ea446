"""The page: its sections, its style and its script in one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from snapfs import __version__
from snapfs.cli.report import parts
from snapfs.cli.report.facts import Facts
from snapfs.cli.report.treemap import treemap_data
from snapfs.cli.wording import counted, printable
from snapfs.markup import element, text


def make_page(facts: Facts) -> str:
    """Return the report as one HTML document.

    Names come from the image and are no more than text: they are escaped, and the
    page's own policy lets no other script run, and nothing be loaded.
    """
    sections = (
        ("map-section", "Where the bytes are", parts.treemap()),
        ("layers", "Layers", parts.layers(facts)),
        ("timeline", "What each layer changes", parts.timeline(facts)),
        ("files", "Largest files", parts.largest_files(facts)),
        ("waste", "What could be spared", parts.waste(facts)),
        ("findings", "Findings", parts.findings(facts)),
        ("config", "How containers start", parts.config(facts)),
    )
    shown = [section for section in sections if section[2]]
    links = "".join(
        element("a", text(title), href=f"#{name}") for name, title, _ in shown
    )
    body = "".join(
        element("section", element("h2", text(title)) + content, id=name)
        for name, title, content in shown
    )
    name = printable(facts.name)
    header = element(
        "header",
        element("h1", text(name), class_="path")
        + element("p", text(_subtitle(facts)), class_="small")
        + element("nav", links),
    )
    data = treemap_data(facts.tree)
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        # Otherwise a browser asks for /favicon.ico.
        '<link rel="icon" href="data:,">'
        f"<title>{text(name)} - snapfs image report</title><style>{style}</style>"
        f"</head><body>{header}<main>{parts.tiles(facts)}{body}</main>"
        f'<footer class="small">snapfs {text(__version__)}</footer>'
        f'<script type="application/json" id="tree">{data}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def _subtitle(facts: Facts) -> str:
    words = [counted(len(facts.changes), "layer")]
    if facts.image_id:
        words.append(f"image ID {facts.image_id}")
    if facts.created:
        words.append(f"created {printable(facts.created)}")
    return ", ".join(words)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
