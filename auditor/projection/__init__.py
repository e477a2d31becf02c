"""One ledger record -> nodes and relations, and the follower that applies them."""
