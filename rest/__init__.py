"""The small REST kit: how resources look on the wire. It knows no table of ours."""
