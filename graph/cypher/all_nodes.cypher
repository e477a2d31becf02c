// Every node, for the digest. -> node columns
MATCH (n:ProvNode)
RETURN n.id AS id, n.kind AS kind, n.type AS type, n.run AS run, n.label AS label, n.at AS at, n.attrs AS attrs
