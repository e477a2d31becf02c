"""The words every room speaks: frozen values, ids by content hash, canonical bytes. Imports no other room."""
