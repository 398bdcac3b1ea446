"""The snapshot manager: the contract over metadata, directories and a driver."""
