// Constraints and indexes, created at open; one statement per semicolon.
//
// Layout: every node carries the label ProvNode and every relation the relationship type RELATION; PROV kind, type and grade
// are properties. Relationship types cannot be parameters in Cypher, and one generic type keeps the text of every query
// constant, so that nothing recorded ever becomes part of a query. Attributes are one JSON text, because their names come from
// records too; only what queries filter on (grade, effect, run) is a property of its own.
CREATE CONSTRAINT prov_node_id IF NOT EXISTS FOR (n:ProvNode) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT prov_relation_id IF NOT EXISTS FOR ()-[r:RELATION]-() REQUIRE r.id IS UNIQUE;
CREATE CONSTRAINT prov_progress_name IF NOT EXISTS FOR (p:ProvProgress) REQUIRE p.name IS UNIQUE;
CREATE INDEX prov_node_run IF NOT EXISTS FOR (n:ProvNode) ON (n.run);
CREATE INDEX prov_relation_run IF NOT EXISTS FOR ()-[r:RELATION]-() ON (r.run);
