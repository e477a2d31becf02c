// Every relation, for the digest. -> relation columns
MATCH (s:ProvNode)-[r:RELATION]->(t:ProvNode)
RETURN s.id AS source, r.type AS type, t.id AS target, r.grade AS grade, r.key AS key, r.run AS run, r.label AS label,
       r.attrs AS attrs
