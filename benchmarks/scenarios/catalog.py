"""The list of scenarios, in the order in which they are run and shown."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import Scenario
from snapfs.benchmarks.scenarios.calls_during_unpack import CallsDuringUnpack
from snapfs.benchmarks.scenarios.collection_pass import CollectionPass
from snapfs.benchmarks.scenarios.command_time import CommandTime
from snapfs.benchmarks.scenarios.concurrent_change_time import ConcurrentChangeTime
from snapfs.benchmarks.scenarios.container_start_latency import ContainerStartLatency
from snapfs.benchmarks.scenarios.copy_up_latency import CopyUpLatency
from snapfs.benchmarks.scenarios.file_access_throughput import FileAccessThroughput
from snapfs.benchmarks.scenarios.file_call_latency import FileCallLatency
from snapfs.benchmarks.scenarios.file_creation import FileCreation
from snapfs.benchmarks.scenarios.image_import import ImageImport
from snapfs.benchmarks.scenarios.layer_chain import LayerChain
from snapfs.benchmarks.scenarios.layer_index import LayerIndexTime
from snapfs.benchmarks.scenarios.layer_packing import LayerPacking
from snapfs.benchmarks.scenarios.layer_writing import LayerWriting
from snapfs.benchmarks.scenarios.lookup_latency import LookupLatency
from snapfs.benchmarks.scenarios.mount_latency import MountLatency
from snapfs.benchmarks.scenarios.sequential_throughput import SequentialThroughput
from snapfs.benchmarks.scenarios.service_start_up import ServiceStartUp
from snapfs.benchmarks.scenarios.snapshot_call_latency import SnapshotCallLatency
from snapfs.benchmarks.scenarios.tree_change_time import TreeChangeTime
from snapfs.benchmarks.scenarios.tree_preparation import TreePreparation
from snapfs.benchmarks.scenarios.tree_walk_time import TreeWalkTime
from snapfs.benchmarks.scenarios.unpack_throughput import UnpackThroughput
from snapfs.benchmarks.scenarios.workload_time import WorkloadTime

_ALL: Final[tuple[Scenario, ...]] = (
    SnapshotCallLatency(),
    ServiceStartUp(),
    CollectionPass(),
    LayerChain(),
    ContainerStartLatency(),
    TreePreparation(),
    MountLatency(),
    LookupLatency(),
    FileCreation(),
    SequentialThroughput(),
    CommandTime(),
    FileCallLatency(),
    TreeWalkTime(),
    TreeChangeTime(),
    CopyUpLatency(),
    ConcurrentChangeTime(),
    FileAccessThroughput(),
    WorkloadTime(),
    UnpackThroughput(),
    ImageImport(),
    CallsDuringUnpack(),
    LayerWriting(),
    LayerPacking(),
    LayerIndexTime(),
)

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {scenario.name: scenario for scenario in _ALL}
)
