"""The configuration that makes a given version of containerd use snapfs.

What each version understands, with its source:

- configuration versions: ``version/version.go`` (2 in 1.x, 3 in 2.0-2.2, 4 from
  2.3). From 2.3 on version 3 is printed too: nothing here differs between 3 and 4,
  and 2.3 refuses a drop-in file of a higher version than that of the main file,
  which may have stayed at 3 (``cmd/containerd/server/config/config.go``,
  ``LoadConfigWithPlugins``; gone again in 2.4).
- ``exports`` of proxy plugins: 1.6.32, 1.7.16 (containerd #9253, #10096), all 2.x.
- ``unpack_config`` of the transfer service, through which ``ctr`` pulls from 2.0 on;
  an own list replaces the default one, so that overlayfs must be named again
  (``plugins/transfer/plugin.go``). ``optional`` entries: 2.3.
- proxy plugins of the type "diff": 1.7. The diff service asks its differs in order,
  and the next one only where one answers UNIMPLEMENTED (``plugins/services/diff``).
- ``capabilities`` of proxy plugins: 1.7.23, 2.0. With ``rebase`` containerd applies
  ``max_concurrent_unpacks`` layers of an image at once, from 2.2 on; before 2.2.3 it
  damages images by that, whoever unpacks (containerd #13030, #13115). What we do for
  it is done by our differ (``snapfs.unpack.rebasing``), so that it is advertised with
  that alone. ``remap-ids`` is where the service makes mapping labels mount options;
  without it containerd copies the layers and changes their owners (``client/
  snapshotter_opts_unix.go``), and with both, owners would be mapped twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snapfs.cli.containerd_version import ContainerdVersion
from snapfs.errors import InvalidArgumentError

PLUGIN: Final = "snapfs"
DIFFER: Final = "snapfs-differ"


# Layers that are unpacked at once: each keeps a processor or two at work.
_PARALLEL: Final = 4

_CAPABILITIES: Final = {
    "rebase": "layers of an image may be unpacked at once",
    "remap-ids": "containers in user namespaces need no copy of their image",
}


def containerd_toml(
    version: ContainerdVersion,
    *,
    root: str,
    address: str,
    use_for_cri: bool,
    is_differ: bool = True,
    remap_ids: bool = False,
    parallel: int | None = None,
    shares_namespaces: bool = False,
) -> str:
    """Return a configuration file for ``version`` that adds the snapshotter snapfs.

    Args:
        version: Of containerd.
        root: The state directory of the store.
        address: The socket of ``snapfs serve``.
        use_for_cri: Make snapfs the snapshotter of Kubernetes; otherwise those lines
            are comments.
        is_differ: Let snapfs unpack the layers of its snapshots, where ``version``
            can.
        remap_ids: The service makes mapping labels mount options.
        parallel: How many layers of an image are unpacked at once; None for 4 where
            ``version`` can do that.
        shares_namespaces: What one namespace has unpacked, others get: then layers are
            unpacked one after another unless ``parallel`` says otherwise, since at
            once containerd asks for no layer by its parent.

    Raises:
        InvalidArgumentError: It does, and ``version`` cannot be told; or more than one
            layer at once are asked for, and it cannot or would damage images.
    """
    if remap_ids and not version.has_capabilities:
        raise InvalidArgumentError(
            f"containerd {version} cannot be told that snapfs maps owners, and would"
            " change them itself as well; leave overlay.remap_ids out, or use 1.7.23 or"
            " later"
        )
    is_differ = is_differ and version.has_proxy_differs
    if parallel is None and shares_namespaces:
        parallel = 1
    parallel = _checked_parallel(version, parallel, is_differ=is_differ)
    capabilities = [
        *(("rebase",) if parallel > 1 else ()),
        *(("remap-ids",) if remap_ids else ()),
    ]
    parts = [_head(version), _proxy_plugin(version, root, address, capabilities)]
    if is_differ:
        parts.append(_differ(address))
    if version.major >= 2:
        parts.append(_transfer(version, DIFFER if is_differ else "walking", parallel))
    parts.append(_cri(version, use_for_cri))
    return "\n".join(parts)


def _checked_parallel(
    version: ContainerdVersion, parallel: int | None, *, is_differ: bool
) -> int:
    """Return how many layers are unpacked at once."""
    if parallel is None:
        return _PARALLEL if version.has_parallel_unpack and is_differ else 1
    if parallel > 1 and version.breaks_parallel_unpack:
        raise InvalidArgumentError(
            f"containerd {version} damages images when it unpacks layers at once (2.2.0"
            " to 2.2.2 do, with every snapshotter); use 2.2.3 or later, or --parallel 1"
        )
    if parallel > 1 and not version.has_parallel_unpack:
        raise InvalidArgumentError(
            f"containerd {version} unpacks one layer after another; 2.2.3 and later can"
            " unpack several at once; leave --parallel out"
        )
    if parallel > 1 and not is_differ:
        raise InvalidArgumentError(
            "layers are unpacked at once by the differ of snapfs alone; leave"
            " --no-differ out, or --parallel"
        )
    return parallel


def _head(version: ContainerdVersion) -> str:
    lines = [
        f"# snapfs for containerd {version}. Start 'snapfs serve' before containerd.",
        "# Try it: ctr images pull --snapshotter snapfs IMAGE",
        f"version = {version.config_version}",
    ]
    if version.is_at_least(2, 3):
        lines[-1] += "  # 4 where it is pasted into a file of version 4"
    return "\n".join(lines) + "\n"


def _proxy_plugin(
    version: ContainerdVersion, root: str, address: str, capabilities: Sequence[str]
) -> str:
    text = (
        f"[proxy_plugins.{PLUGIN}]\n"
        '  type = "snapshot"\n'
        f"  address = {_quoted(address)}\n"
    )
    if capabilities:
        text += "".join(f"  # {name}: {_CAPABILITIES[name]}\n" for name in capabilities)
        text += f"  capabilities = [{', '.join(map(_quoted, capabilities))}]\n"
    if version.has_exports:
        return text + (
            "  # Where images take space: Kubernetes watches the disk below it.\n"
            f"  [proxy_plugins.{PLUGIN}.exports]\n"
            f"    root = {_quoted(root)}\n"
        )
    return text + (
        "  # This version cannot be told where images take space; Kubernetes watches\n"
        "  # the wrong directory. 1.6.32, 1.7.16 and later can.\n"
    )


def _differ(address: str) -> str:
    return (
        "# snapfs unpacks layers into its own snapshots; for all others it answers\n"
        "# that the next differ should. Without these lines containerd unpacks.\n"
        f"[proxy_plugins.{DIFFER}]\n"
        '  type = "diff"\n'
        f"  address = {_quoted(address)}\n"
        "\n"
        "# While snapfs does not run, nothing is unpacked by way of this list, not\n"
        "# for other snapshotters either.\n"
        '[plugins."io.containerd.service.v1.diff-service"]\n'
        f'  default = ["{DIFFER}", "walking"]\n'
    )


def _transfer(version: ContainerdVersion, differ: str, parallel: int) -> str:
    optional = "  optional = true\n" if version.has_optional_unpack else ""
    remark = (
        ""
        if version.has_optional_unpack
        else "# Leave out the first where overlayfs does not work.\n"
    )
    warning = (
        "# max_concurrent_unpacks must stay 1: before 2.2.3 more damages images.\n"
        if version.breaks_parallel_unpack
        else ""
    )
    header = '[[plugins."io.containerd.transfer.v1.local".unpack_config]]\n'
    at_once = (
        "# Layers of an image that are unpacked at once, where snapshotters can.\n"
        '[plugins."io.containerd.transfer.v1.local"]\n'
        f"  max_concurrent_unpacks = {parallel}\n\n"
        if parallel > 1
        else ""
    )
    return (
        f"{at_once}"
        "# Pulls by the transfer service unpack only with the snapshotters listed.\n"
        f"{remark}{warning}{header}"
        '  platform = "linux"\n'
        '  snapshotter = "overlayfs"\n'
        '  differ = "walking"\n'
        f"{optional}\n{header}"
        '  platform = "linux"\n'
        f'  snapshotter = "{PLUGIN}"\n'
        f'  differ = "{differ}"\n'
    )


def _cri(version: ContainerdVersion, is_live: bool) -> str:
    if version.config_version >= 3:
        table = "[plugins.'io.containerd.cri.v1.images']"
    else:
        table = '[plugins."io.containerd.grpc.v1.cri".containerd]'
    lines = [table, f'  snapshotter = "{PLUGIN}"']
    if is_live:
        return "# Kubernetes (CRI) uses snapfs.\n" + "\n".join(lines) + "\n"
    comment = "# For Kubernetes (CRI), take away the '#' of these lines:\n"
    return comment + "\n".join(f"# {line}" for line in lines) + "\n"


def _quoted(text: str) -> str:
    """Return a basic string of TOML 1.0."""
    escaped = [
        f"\\u{ord(char):04x}"
        if ord(char) < 0x20 or char == "\x7f"
        else f"\\{char}"
        if char in '"\\'
        else char
        for char in text
    ]
    return f'"{"".join(escaped)}"'
