// jmap-jam, a JMAP client for JavaScript, unmodified. Arguments: the server's address, a token. Prints what it saw.
import { JamClient } from "jmap-jam";

const [base, bearerToken] = process.argv.slice(2);
const jam = new JamClient({ sessionUrl: `${base}/.well-known/jmap`, bearerToken });
const session = await jam.session;
const accountId = await jam.getPrimaryAccount();

const [mailboxes] = await jam.api.Mailbox.get({ accountId });
const role = Object.fromEntries(mailboxes.list.map((mailbox) => [mailbox.role, mailbox.id]));

const [{ emails }] = await jam.requestMany((t) => {
  const query = t.Email.query({
    accountId,
    filter: { inMailbox: role.inbox },
    sort: [{ property: "receivedAt", isAscending: false }],
  });
  const emails = t.Email.get({ accountId, ids: query.$ref("/ids"), fetchTextBodyValues: true });
  return { query, emails };
});
const [email] = emails.list;
const source = await (
  await jam.downloadBlob({ accountId, blobId: email.blobId, mimeType: "message/rfc822", fileName: "message.eml" })
).text();

await jam.api.Email.set({
  accountId,
  update: {
    [email.id]: {
      "keywords/$flagged": true,
      [`mailboxIds/${role.archive}`]: true,
      [`mailboxIds/${role.inbox}`]: null,
    },
  },
});

const [identities] = await jam.api.Identity.get({ accountId });
const blob = await jam.uploadBlob(accountId, new Blob(["on paper"], { type: "text/plain" }));
const [drafted] = await jam.api.Email.set({
  accountId,
  create: {
    answer: {
      mailboxIds: { [role.drafts]: true },
      keywords: { $draft: true, $seen: true },
      from: [{ name: "Ann", email: identities.list[0].email }],
      to: [{ name: null, email: "bob@example.org" }],
      subject: `Re: ${email.subject}`,
      textBody: [{ partId: "body", type: "text/plain" }],
      bodyValues: { body: { value: "I have read them." } },
      attachments: [{ blobId: blob.blobId, type: "text/plain", name: "paper.txt", disposition: "attachment" }],
    },
  },
});
const [submitted] = await jam.api.EmailSubmission.set(
  {
    accountId,
    create: { send: { emailId: drafted.created.answer.id, identityId: identities.list[0].id } },
    onSuccessUpdateEmail: {
      "#send": {
        "keywords/$draft": null,
        [`mailboxIds/${role.drafts}`]: null,
        [`mailboxIds/${role.sent}`]: true,
      },
    },
  },
  { using: ["urn:ietf:params:jmap:mail"] },
);

console.log(
  JSON.stringify({
    username: session.username,
    subject: email.subject,
    text: email.bodyValues[email.textBody[0].partId].value,
    source,
    undoStatus: submitted.created.send.undoStatus,
  }),
);
