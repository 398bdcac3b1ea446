"""The rules for labels."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.errors import InvalidArgumentError
from snapfs.light_typing import Final

# containerd pkg/labels/validate.go: maxSize, of key and value together, in bytes.
MAX_LABEL_BYTES: Final = 4096


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of ``labels`` without those that have an empty value.

    containerd's metadata store never keeps an empty value (``boltutil.writeMap``
    deletes it); its test suite relies on that.

    Raises:
        InvalidArgumentError: A label is too long, has no key or is no text.
    """
    for key, value in labels.items():
        try:
            size = len(key.encode()) + len(value.encode())
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"label {key[:64]!r} is not valid Unicode text"
            ) from error
        if size > MAX_LABEL_BYTES:
            raise InvalidArgumentError(
                f"label {key[:64]!r} has {size} bytes (key and value together); the"
                f" limit is {MAX_LABEL_BYTES}"
            )
        if not key:
            raise InvalidArgumentError("a label has an empty key")
    return {key: value for key, value in labels.items() if value}
