"""Folders of reports for the tests: a real export's and a real measurement's, changed where a test wants it."""

import copy
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Sample:
    """A folder that reports are written into."""

    def __init__(self, folder: Path, export: dict[str, Any], latency: dict[str, Any]) -> None:
        self.folder, self._export, self._latency = folder, export, latency
        folder.mkdir(parents=True, exist_ok=True)

    def export(self, stem: str, **changes: Any) -> dict[str, Any]:
        """Writes an artifact of some bytes, and its report; a change to None takes the key out."""
        report = {**copy.deepcopy(self._export), "path": f"artifacts/{stem}.onnx", **changes}
        report = {key: value for key, value in report.items() if value is not None}
        content = stem.encode()
        (self.folder / f"{stem}.onnx").write_bytes(content)
        report.setdefault("sha256", "")
        if "sha256" not in changes:
            report["sha256"] = hashlib.sha256(content).hexdigest()
        (self.folder / f"{stem}.onnx.json").write_text(json.dumps(report))
        return report

    def latency(self, stem: str, *changes: dict[str, Any]) -> None:
        """Writes measurements of the artifact, one for each set of changes."""
        own = {"artifact": f"artifacts/{stem}.onnx", "sha256": hashlib.sha256(stem.encode()).hexdigest()}
        results = [{**copy.deepcopy(self._latency), **own, **change} for change in changes or ({},)]
        text = json.dumps({"schema": 1, "results": results})
        (self.folder / f"{stem}.onnx.latency.json").write_text(text)


class Page(HTMLParser):
    """What a browser would make of a page: elements with attributes, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._style = False
        self.style = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._style:
            self.style += data
        else:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def loads(self) -> list[str]:
        """Returns everything that a browser would fetch or run; a picture inside of the page is neither."""
        elements = [(tag, found) for tag, found in self.elements if not (tag == "img" and _is_inside(found))]
        found = [f"<{tag}>" for tag, _ in elements if tag in LOADING]
        for tag, attributes in elements:
            for name, value in attributes.items():
                fetched = name in ("src", "srcset", "href", "xlink:href", "data", "action", "background")
                if name.startswith("on") or (fetched and not value.startswith("#")):
                    found.append(f"{tag} {name}={value}")
                if "url(" in value and "url(#" not in value:
                    found.append(f"{tag} {name}={value}")
        return found + [part for part in ("@import", "url(", "@font-face") if part in self.style]


def _is_inside(attributes: dict[str, str]) -> bool:
    inside = attributes.get("src", "").startswith("data:image/webp;base64,")
    return inside and set(attributes) == {"src", "alt"}


LOADING = {"script", "img", "link", "iframe", "object", "embed", "audio", "video", "source", "base", "form", "image"}
