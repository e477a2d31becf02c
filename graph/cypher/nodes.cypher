// The nodes with these ids. ids -> id, kind, type, run, label, at, attrs
UNWIND $ids AS id
MATCH (n:ProvNode {id: id})
RETURN n.id AS id, n.kind AS kind, n.type AS type, n.run AS run, n.label AS label, n.at AS at, n.attrs AS attrs
