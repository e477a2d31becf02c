// Delete every node with its relations, in transactions of a size that fits in memory (runs outside a transaction). ->
MATCH (n:ProvNode)
CALL (n) {
    DETACH DELETE n
} IN TRANSACTIONS OF 5000 ROWS
