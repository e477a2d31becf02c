// Create or overwrite nodes with states that were folded beforehand. rows: [{id, state: {kind, type, run, label, at, attrs}}] ->
UNWIND $rows AS row
MERGE (n:ProvNode {id: row.id})
SET n += row.state
