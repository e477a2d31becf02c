// One level of a breadth-first walk towards later: unseen nodes next to the level, least id first, no more than there is room for.
// level, seen, room, grades, least -> id
UNWIND $level AS id
MATCH (:ProvNode {id: id})<-[r:RELATION]-(n:ProvNode)
WHERE r.grade IN $grades AND ($least IS NULL OR r.grade <> 'causal' OR abs(r.effect) >= $least) AND NOT n.id IN $seen
RETURN DISTINCT n.id AS id
ORDER BY id
LIMIT $room
