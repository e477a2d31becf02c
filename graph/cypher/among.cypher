// Relations with both ends among these nodes. ids, grades, least -> relation columns
UNWIND $ids AS id
MATCH (s:ProvNode {id: id})-[r:RELATION]->(t:ProvNode)
WHERE r.grade IN $grades AND ($least IS NULL OR r.grade <> 'causal' OR abs(r.effect) >= $least) AND t.id IN $ids
RETURN s.id AS source, r.type AS type, t.id AS target, r.grade AS grade, r.key AS key, r.run AS run, r.label AS label,
       r.attrs AS attrs
