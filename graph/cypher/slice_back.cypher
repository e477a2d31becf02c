// Backward slice: everything reachable from later to earlier, the start included.
// Variable-length pattern with DISTINCT ends: planned as a pruning expansion, which visits each node once, where a quantified
// path pattern would count every route. start, grades, least -> node columns
MATCH (:ProvNode {id: $start})-[rs:RELATION*0..]->(n:ProvNode)
WHERE all(r IN rs WHERE r.grade IN $grades AND ($least IS NULL OR r.grade <> 'causal' OR abs(r.effect) >= $least))
WITH DISTINCT n
RETURN n.id AS id, n.kind AS kind, n.type AS type, n.run AS run, n.label AS label, n.at AS at, n.attrs AS attrs
