"""The wire: our ``.proto`` files, what protoc made of them, and conversions.

``methods`` is the one table of calls, ``convert`` translates between messages and
``snapfs.model``, ``codes`` names the statuses. Nothing here knows how calls travel.
"""
