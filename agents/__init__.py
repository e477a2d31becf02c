"""The audited side: small readable agents, their tools and recorders."""
