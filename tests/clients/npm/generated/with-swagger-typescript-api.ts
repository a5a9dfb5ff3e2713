// A program against the client of swagger-typescript-api: its defaults, but for the token. It would send a PATCH as
// `application/json`, which no PATCH takes; PUT changes the same.
import { Api, type ConstraintViolationList } from "./swagger-typescript-api/Api";

const [username = "", password = ""] = process.argv.slice(2);

const client = new Api<string>({
  securityWorker: (token) => (token ? { headers: { Authorization: `Bearer ${token}` } } : {}),
});
const signedIn = await client.api.loginCheckPost({ username, password });
client.setSecurityData(signedIn.data.token);

const listed = await client.api.apiUsersGetCollection({
  itemsPerPage: 5, search: "liddell", "order[username]": "desc", isActive: "true",
});
const created = await client.api.apiUsersPost({ username: "swagger", email: "swagger@example.com" });
const changed = await client.api.apiUsersIdPut(created.data.id, { firstname: "Swagger", lastname: "Api" });
const me = await client.api.apiMeGet();
const refused: ConstraintViolationList = await client.api
  .apiUsersPost({ username: "swagger", email: "no e-mail" })
  .then(() => Promise.reject(new Error("created twice")), (answer) => answer.error);
const removed = await client.api.apiUsersIdDelete(created.data.id);

console.log(
  JSON.stringify({
    names: listed.data.map((user) => user.username),
    fullName: changed.data.fullName,
    own: me.data.username,
    refused: refused.violations.map((violation) => violation.propertyPath),
    removed: removed.status,
  }),
);
