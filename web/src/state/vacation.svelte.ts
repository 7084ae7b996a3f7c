/** The automatic answer of the mailbox (VacationResponse, RFC 8621 §8). */

import { MethodError } from "../lib/jmap/client";
import type { GetAnswer, SetAnswer } from "../lib/jmap/types";
import type { Mail } from "./mail.svelte";

export interface Answer {
  isEnabled: boolean;
  fromDate: string | null;
  toDate: string | null;
  subject: string | null;
  textBody: string | null;
}

const ONLY = "singleton";

export class Vacation {
  now = $state.raw<Answer | null>(null);

  constructor(private readonly mail: Mail) {
    if (mail.hasSubmission) mail.listen("VacationResponse", () => void this.load());
  }

  /** Switched on and not over; it may begin later. */
  get isOn(): boolean {
    return this.now?.isEnabled === true && !(this.now.toDate !== null && Date.parse(this.now.toDate) < Date.now());
  }

  get isAhead(): boolean {
    return this.isOn && this.now!.fromDate !== null && Date.parse(this.now!.fromDate) > Date.now();
  }

  /** Never fails: what is known stays. */
  async load(): Promise<void> {
    try {
      const { list } = await this.mail.client.call<GetAnswer<Answer>>("VacationResponse/get", { ids: [ONLY] });
      this.now = list[0] ?? null;
    } catch {
      // It is asked again with the next change.
    }
  }

  /** Raises `MethodError`, `HttpError`, `Unreachable`. */
  async save(answer: Answer): Promise<void> {
    const { notUpdated } = await this.mail.client.call<SetAnswer>("VacationResponse/set", { update: { [ONLY]: { ...answer, htmlBody: null } } });
    const problem = notUpdated?.[ONLY];
    if (problem !== undefined) throw new MethodError(problem.type, problem.description);
    this.now = answer;
  }
}
