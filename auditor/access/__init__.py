"""Who may do what: projects, keys and scopes, vaulted provider keys."""
