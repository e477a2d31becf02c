// What codes mean, in the words of the project.

import type { Claim, Grade, Kind, Message } from "./types";

export const VERDICTS: Record<string, { label: string; icon: string; means: string }> = {
  relied_on: { label: "relied on", icon: "●", means: "Changing the source changed the decision, by more than placebo changes did." },
  decorative: { label: "decorative", icon: "○", means: "The source can be changed without moving the decision: shown to be equivalent to no effect." },
  contradicted: { label: "contradicted", icon: "✕", means: "The record, or a tested denial, says otherwise." },
  undetermined: { label: "undetermined", icon: "?", means: "Neither could be shown; the reason is given." },
  untested: { label: "untested", icon: "–", means: "No verdict yet." },
};

export const REASONS: Record<string, string> = {
  weights_unavailable: "nobody has the weights of this model here",
  weights_changed: "the weights are not the ones the run was recorded with",
  replay_mismatch: "the recorded call could not be reproduced",
  underpowered: "too few draws to tell",
  saturated: "the decision is so certain that the change cannot show",
  noisy: "differences drown in the noise floor",
  off_distribution: "the changed input is unlike anything the model knows",
  nondeterministic: "the same input gave different outputs",
  redundant: "another source carries the same value",
  surface_coded: "the effect follows the wording, not the value",
  redacted: "the text was redacted",
  sentinel_failed: "a control that must hold did not",
  budget: "the audit's budget ran out",
  unsupported: "this method does not apply here",
};

export const FAMILIES: Record<string, string> = {
  swap: "swap", mask: "attention mask", delete: "delete", placebo: "placebo", decoy: "decoy", joint: "with its copies",
  copies: "its copies alone",
  resample: "resample", selector_swap: "selector swap",
};

export const KIND_TITLES: Record<Kind, string> = {
  record: "Record checks", intervention: "Interventions", attribution: "Attribution", provenance: "Attention", feature: "Features",
  influence: "Training documents",
};

export const GRADES: { grade: Grade; label: string; means: string; dash: string }[] = [
  { grade: "causal", label: "causal", means: "an intervention moved it", dash: "" },
  { grade: "recorded", label: "recorded", means: "joined by an id or content: a fact", dash: "" },
  { grade: "inferred", label: "inferred", means: "a guess from order or similarity", dash: "7 4" },
  { grade: "read", label: "read", means: "attention looked there; not relied on", dash: "2 3" },
  { grade: "stated", label: "stated", means: "the agent says so", dash: "9 3 2 3" },
];

/** `gradient_input@1` as people say it. */
export const methodName = (method: string) => (method.startsWith("gradient_input") ? "gradient × input" : plain(method.split("@")[0] ?? method));

export const STEP_KINDS = new Set(["prompt", "model_call", "thought", "tool_call", "tool_result", "branch", "score", "selection", "answer"]);

export const plain = (code: string) => code.replaceAll("_", " ");
/** `prompt → answer`; where the decision lies in a tool call, `prompt → tool argument “item”` (as far as the message is known). */
export function dependence(claim: Claim, message: Message | null | undefined): string {
  const [source = "", decision = ""] = claim.type.split("_");
  if (message?.parts?.[claim.target.part]?.type !== "tool_call") return decision ? `${source} → ${decision}` : source;
  const name = claim.target.pointer?.split("/").slice(1).map((word) => word.replaceAll("~1", "/").replaceAll("~0", "~")).join(".");
  return `${source} → tool argument${name ? ` “${name}”` : ""}`;
}
export const why = (reason: string | null) => (reason ? `${plain(reason)}: ${REASONS[reason] ?? "no further word"}` : "");

export const OUTCOMES: Record<string, { label: string; means: string; tone: "bad" | "warn" | "calm" }> = {
  client_cancelled: { label: "client cancelled", means: "The client left before the answer ended; what it had received is recorded.", tone: "warn" },
  upstream_failed: { label: "upstream failed", means: "The provider did not answer, or broke off.", tone: "bad" },
  refused: { label: "refused", means: "The call was not let through.", tone: "bad" },
  crashed: { label: "crashed", means: "The server was killed while it relayed this call; every byte that was on disk is recorded.", tone: "bad" },
};

export const SCOPES: { name: string; may: string }[] = [
  { name: "ingest", may: "send calls and telemetry" },
  { name: "read", may: "read runs, evidence, verdicts" },
  { name: "audit", may: "start audits, annotate, verify" },
  { name: "admin", may: "everything, also keys and projects" },
];

export const MASKS: { name: string; finds: string }[] = [
  { name: "keys", finds: "API keys of known forms, PEM private keys" },
  { name: "tokens", finds: "JWTs and Bearer values" },
  { name: "email", finds: "e-mail addresses" },
  { name: "card", finds: "card numbers that pass Luhn's check" },
];

export const MARKS: { name: "accepted" | "durable" | "projected"; means: string }[] = [
  { name: "accepted", means: "calls, spans, logs and imported runs that were taken" },
  { name: "durable", means: "of these, in the ledger" },
  { name: "projected", means: "of these, in the provenance graph" },
];
