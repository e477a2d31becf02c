"""Where leased jobs run."""
