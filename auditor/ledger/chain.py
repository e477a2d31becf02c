"""Hashes that tie the ledger together: the record chain, the prefix chain of messages, payload addresses.

All hashes are SHA-256, written as 64 lower-case hexadecimal digits and hashed as their 32 bytes.
"""

import hashlib

ZERO = "0" * 64
"""What stands before the first link of every chain."""


def link(previous: str, record_id: str) -> str:
    """Chain value of a record: SHA-256(previous chain || record id)."""
    return hashlib.sha256(bytes.fromhex(previous) + bytes.fromhex(record_id)).hexdigest()


def leaf_and_link(previous: bytes, data: bytes) -> tuple[str, bytes]:
    """(record id, chain value) of the record `data` behind a chain value: leaf_hash and link in one, on bytes."""
    own = hashlib.sha256(b"\x00" + data)
    return own.hexdigest(), hashlib.sha256(previous + own.digest()).digest()


def context_link(parent: str, address: str) -> str:
    """Prefix-chain value of a conversation that ends with the payload at `address`: SHA-256(parent || address)."""
    return hashlib.sha256(bytes.fromhex(parent) + bytes.fromhex(address)).hexdigest()


def payload_address(salt: bytes, data: bytes) -> str:
    """SHA-256(salt || data). Without the salt nothing about the bytes can be told from their address."""
    return hashlib.sha256(salt + data).hexdigest()
