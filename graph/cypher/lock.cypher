// Take the writer's lock: the write to `taken` holds the node until the transaction ends, so that position and data are read
// and changed by one writer at a time. -> position, clearing
MERGE (p:ProvProgress {name: 'ledger'})
ON CREATE SET p.position = -1, p.clearing = false
SET p.taken = timestamp()
RETURN p.position AS position, p.clearing AS clearing
