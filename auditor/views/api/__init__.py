"""The audit API under /api/v1: reads what is recorded, hands commands on."""

from auditor.views.api.service import build_api

__all__ = ["build_api"]
