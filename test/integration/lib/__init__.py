"""What the integration programs share: a real node (node.py), bytes on the wire
(wire.py), tokens made by hand (jwt.py) and a ledger of acknowledged events (ledger.py)."""
