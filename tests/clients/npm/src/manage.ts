// A program against the types that openapi-typescript makes of the document (schema.d.ts): strict tsc must take it as it is.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type User = components["schemas"]["User-user.read"];

const [baseUrl = "", username = "", password = ""] = process.argv.slice(2);

function must<T>(data: T | undefined, error: unknown): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const client = createClient<paths, "application/json">({ baseUrl, headers: { Accept: "application/json" } });

const signedIn = await client.POST("/api/authentication_token", { body: { username, password } });
const { token }: { token: string } = must(signedIn.data, signedIn.error);
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${token}`);
  },
});

const listed = await client.GET("/api/users", {
  params: { query: { page: 1, itemsPerPage: 5, search: "liddell", "order[username]": "desc" } },
});
const users: User[] = must(listed.data, listed.error);
const names: (string | undefined)[] = users.map((user) => user.username);

const created = await client.POST("/api/users", {
  body: { username: "typed", email: "typed@example.com", firstname: null, expired: false, roles: ["ROLE_TEACHER"] },
});
const { id } = must<User>(created.data, created.error);

const shown = await client.GET("/api/users/{id}", { params: { path: { id } } });
const email: string | undefined = must(shown.data, shown.error).email;

const changed = await client.PATCH("/api/users/{id}", {
  params: { path: { id } },
  body: { lastname: "Script" },
  headers: { "Content-Type": "application/merge-patch+json" },
});
const { lastname } = must(changed.data, changed.error);

const replaced = await client.PUT("/api/users/{id}", { params: { path: { id } }, body: { firstname: "Ty" } });
const { fullName } = must(replaced.data, replaced.error);

const me = await client.GET("/api/me");
const own: string | undefined = must(me.data, me.error).username;

const refused = await client.POST("/api/users", { body: { username: "typed", email: "typed@example.com" } });
// Where the answer was asked for as JSON, a failure of validation is a problem document.
const violations = refused.error && "violations" in refused.error ? refused.error.violations : [];

const removed = await client.DELETE("/api/users/{id}", { params: { path: { id } } });

console.log(
  JSON.stringify({ names, email, lastname, fullName, own, refused: [refused.response.status, violations], removed: removed.response.status }),
);
