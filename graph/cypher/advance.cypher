// Record how far the ledger was applied, and whether the store is being emptied. position, clearing ->
MATCH (p:ProvProgress {name: 'ledger'})
SET p.position = $position, p.clearing = $clearing
