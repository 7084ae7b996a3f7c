/** Scripts that are started by address: our own built files and nothing else (Trusted Types). */

interface Policy {
  createScriptURL(address: string): string;
}

interface Factory {
  createPolicy(name: string, rules: Policy): Policy;
}

const OWN = /^\/(?:assets\/[\w.-]+|offline)\.m?js$/;

function checked(address: string): string {
  if (!OWN.test(address)) throw new TypeError(`not a script of ours: ${address}`);
  return address;
}

const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes;
const policy: Policy = factory?.createPolicy("everpost", { createScriptURL: checked }) ?? { createScriptURL: checked };

/** The address of a script of ours. Raises `TypeError` for any other. */
export function ownScript(address: string): string {
  return policy.createScriptURL(new URL(address, location.origin).pathname);
}
