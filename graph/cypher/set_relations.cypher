// Overwrite relations known to exist. rows: [{id, state: {effect, run, label, attrs, …}}] ->
UNWIND $rows AS row
MATCH ()-[r:RELATION {id: row.id}]->()
SET r += row.state
