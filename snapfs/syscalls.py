"""System calls that Python does not have; the only ctypes."""
