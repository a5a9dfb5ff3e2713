"""Proofs that the service outlives its machines: failovers of real database servers under load (`make ha`)."""
