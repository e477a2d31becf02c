// The relations with these ids, found through the uniqueness constraint. ids -> source, type, target, grade, key, run, label, attrs
UNWIND $ids AS id
MATCH (s:ProvNode)-[r:RELATION {id: id}]->(t:ProvNode)
RETURN s.id AS source, r.type AS type, t.id AS target, r.grade AS grade, r.key AS key, r.run AS run, r.label AS label,
       r.attrs AS attrs
