"""HTTP itself: fields, framing, semantics. Knows no processes and, but for the connection, no sockets."""
