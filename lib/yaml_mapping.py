"""Read the mapping that a profile's file holds."""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from lib.errors import InputError, quote


class _UniqueKeys(yaml.SafeLoader):
    """Refuse a key that stands twice: YAML would keep the last of them, and say nothing."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys = Counter(
            (key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)
        )
        for (_, key), number in keys.items():
            if number > 1:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice",
                                           problem_mark=node.start_mark)  # fmt: skip
        return node


def read(file: Path) -> dict[str, Any]:
    """Read a YAML mapping, which has no key twice and no `name`: that is the file's.

    Raises InputError for anything else.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _UniqueKeys)
    except Exception as error:
        # PyYAML raises its own errors, and whatever Python says of 2020-13-01 or `!!int x`.
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file}: not a YAML mapping: {said}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a YAML mapping: found {quote(content)}")
    if "name" in content:
        raise InputError(f"{file}: name: unknown key; a profile has the name of its file")
    return content
