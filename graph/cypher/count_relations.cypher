// How many relations of each grade and type. -> first, second, number
MATCH ()-[r:RELATION]->()
RETURN r.grade AS first, r.type AS second, count(*) AS number
