// Ledger position applied last. No row in a store that nothing was applied to. -> position, clearing
MATCH (p:ProvProgress {name: 'ledger'})
RETURN p.position AS position, p.clearing AS clearing
