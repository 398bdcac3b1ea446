"""Images in registries, over the OCI distribution API."""

from snapfs.image.registry.credentials import DockerConfig, NoCredentials
from snapfs.image.registry.name import RegistryName, parse_name
from snapfs.image.registry.push import Outcome, RegistryTarget
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.source import RegistrySource
from snapfs.image.registry.transport import Patience

__all__ = [
    "DockerConfig",
    "NoCredentials",
    "Outcome",
    "Patience",
    "RegistryName",
    "RegistrySettings",
    "RegistrySource",
    "RegistryTarget",
    "parse_name",
]
