// How many nodes of each kind and type. -> first, second, number
MATCH (n:ProvNode)
RETURN n.kind AS first, n.type AS second, count(*) AS number
