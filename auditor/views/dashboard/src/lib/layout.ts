// A layered picture of a small graph: earlier things left, later things right, one pass to lessen crossings.

import type { GraphNode, GraphRelation } from "./types";

export interface Placed { node: GraphNode; x: number; y: number }
export const BOX = { width: 146, height: 44, gapX: 34, gapY: 18 };

export function layered(nodes: GraphNode[], relations: GraphRelation[]): { placed: Map<string, Placed>; width: number; height: number } {
  const earlier = new Map<string, string[]>(nodes.map((node) => [node.id, []]));
  for (const item of relations) if (earlier.has(item.target)) earlier.get(item.source)?.push(item.target);
  const depth = new Map<string, number>();
  const open = new Set<string>();
  const measure = (name: string): number => {
    const known = depth.get(name);
    if (known !== undefined) return known;
    if (open.has(name)) return -1; // a cycle: this hop does not count
    open.add(name);
    let most = -1;
    for (const next of earlier.get(name) ?? []) most = Math.max(most, measure(next));
    open.delete(name);
    depth.set(name, most + 1);
    return most + 1;
  };
  for (const node of nodes) measure(node.id);
  const layers: GraphNode[][] = [];
  for (const node of nodes) (layers[depth.get(node.id)!] ??= []).push(node);
  const row = new Map<string, number>();
  layers.forEach((layer) => {
    const middle = (node: GraphNode) => {
      const rows = (earlier.get(node.id) ?? []).map((name) => row.get(name)).filter((place) => place !== undefined);
      return rows.length ? rows.reduce((sum, place) => sum + place, 0) / rows.length : 0;
    };
    layer.sort((a, b) => middle(a) - middle(b) || (a.at ?? "").localeCompare(b.at ?? "") || a.id.localeCompare(b.id));
    layer.forEach((node, index) => row.set(node.id, index));
  });
  const tallest = Math.max(1, ...layers.map((layer) => layer.length));
  const placed = new Map<string, Placed>();
  layers.forEach((layer, column) => layer.forEach((node, index) => {
    const top = ((tallest - layer.length) / 2 + index) * (BOX.height + BOX.gapY);
    placed.set(node.id, { node, x: column * (BOX.width + BOX.gapX) + 8, y: top + 34 });
  }));
  return {
    placed, width: layers.length * (BOX.width + BOX.gapX) - BOX.gapX + 16, height: tallest * (BOX.height + BOX.gapY) + 44,
  };
}
