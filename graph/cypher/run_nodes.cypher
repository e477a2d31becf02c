// Nodes of a run, and those at either end of its relations or of relations that leave its nodes. run -> node columns
CALL () {
    MATCH (n:ProvNode {run: $run}) RETURN n
    UNION
    MATCH (:ProvNode {run: $run})-[:RELATION]->(n:ProvNode) RETURN n
    UNION
    MATCH (n:ProvNode)-[:RELATION {run: $run}]->() RETURN n
    UNION
    MATCH ()-[:RELATION {run: $run}]->(n:ProvNode) RETURN n
}
RETURN n.id AS id, n.kind AS kind, n.type AS type, n.run AS run, n.label AS label, n.at AS at, n.attrs AS attrs
