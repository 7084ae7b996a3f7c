import type { Email } from "../jmap/types";

/** As the sender has it. */
export function priorityOf(email: Pick<Email, "header:Importance:asText" | "header:X-Priority:asText">): "high" | "normal" | "low" {
  const importance = email["header:Importance:asText"]?.trim().toLowerCase();
  const number = email["header:X-Priority:asText"]?.trim()[0];
  if (importance === "high" || number === "1" || number === "2") return "high";
  return importance === "low" || number === "4" || number === "5" ? "low" : "normal";
}
