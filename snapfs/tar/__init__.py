"""The tar format on the wire: headers, extensions and members, one at a time."""
