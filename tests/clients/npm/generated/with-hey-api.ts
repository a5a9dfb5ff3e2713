// A program against the client of @hey-api/openapi-ts: its defaults, but for the token.
import { client } from "./hey-api/client.gen";
import { apiMeGet, apiUsersGetCollection, apiUsersIdDelete, apiUsersIdPatch, apiUsersPost, loginCheckPost } from "./hey-api";

const [username = "", password = ""] = process.argv.slice(2);

const { data: signedIn } = await loginCheckPost({ body: { username, password }, throwOnError: true });
client.setConfig({ auth: signedIn.token });

const { data: listed } = await apiUsersGetCollection({
  query: { itemsPerPage: 5, search: "liddell", "order[username]": "desc", isActive: "true" },
  throwOnError: true,
});
const { data: created } = await apiUsersPost({ body: { username: "hey", email: "hey@example.com" }, throwOnError: true });
const path = { id: created.id };
const { data: changed } = await apiUsersIdPatch({ path, body: { firstname: "Hey", lastname: "Api" }, throwOnError: true });
const { data: me } = await apiMeGet({ throwOnError: true });
const refused = await apiUsersPost({ body: { username: "hey", email: "no e-mail" } });
const violations = refused.error && "violations" in refused.error ? refused.error.violations : [];
const removed = await apiUsersIdDelete({ path });

console.log(
  JSON.stringify({
    names: listed.map((user) => user.username),
    fullName: changed.fullName,
    own: me.username,
    refused: violations.map((violation) => violation.propertyPath),
    removed: removed.response?.status,
  }),
);
