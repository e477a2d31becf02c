// Create relations known to be absent, between nodes known to exist. rows: [{source, target, state: {id, type, …}}] ->
UNWIND $rows AS row
MATCH (s:ProvNode {id: row.source})
MATCH (t:ProvNode {id: row.target})
CREATE (s)-[r:RELATION]->(t)
SET r = row.state
