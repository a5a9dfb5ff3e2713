// A program against the `fetch` client of orval, whose URLs are relative: it is for pages of the same origin.
import { apiMeGet, apiUsersGetCollection, apiUsersIdDelete, apiUsersIdPatch, apiUsersPost, loginCheckPost } from "./orval/client";

const [username = "", password = "", origin = ""] = process.argv.slice(2);
const fetchAbsolute = globalThis.fetch;
globalThis.fetch = (input, init) => fetchAbsolute(new URL(String(input), origin), init);

function must<T extends { status: number; data: unknown }, S extends T["status"]>(answer: T, status: S): Extract<T, { status: S }> {
  if (answer.status !== status) throw new Error(JSON.stringify(answer));
  return answer as Extract<T, { status: S }>;
}

const { token } = must(await loginCheckPost({ username, password }), 200).data;
const signedIn = { headers: { Authorization: `Bearer ${token}` } };

const query = { itemsPerPage: 5, search: "liddell", "order[username]": "desc", isActive: "true" } as const;
const listed = must(await apiUsersGetCollection(query, signedIn), 200).data;
const created = must(await apiUsersPost({ username: "orval", email: "orval@example.com" }, signedIn), 201).data;
const changed = must(await apiUsersIdPatch(created.id, { firstname: "Or", lastname: "Val" }, signedIn), 200).data;
const me = must(await apiMeGet(signedIn), 200).data;
const refused = must(await apiUsersPost({ username: "orval", email: "no e-mail" }, signedIn), 422).data;
const removed = await apiUsersIdDelete(created.id, signedIn);

console.log(
  JSON.stringify({
    names: listed.map((user) => user.username),
    fullName: changed.fullName,
    own: me.username,
    refused: refused.violations.map((violation) => violation.propertyPath),
    removed: removed.status,
  }),
);
