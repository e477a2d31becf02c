// Relations of a run, and those that leave its nodes. run -> relation columns
CALL () {
    MATCH (s:ProvNode)-[r:RELATION {run: $run}]->(t:ProvNode) RETURN s, r, t
    UNION
    MATCH (s:ProvNode {run: $run})-[r:RELATION]->(t:ProvNode) RETURN s, r, t
}
RETURN s.id AS source, r.type AS type, t.id AS target, r.grade AS grade, r.key AS key, r.run AS run, r.label AS label,
       r.attrs AS attrs
