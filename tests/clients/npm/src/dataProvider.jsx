// @api-platform/admin's Hydra dataProvider: what its lists, forms and buttons call.
import { beforeAll, expect, test } from "vitest";
import { parseHydraDocumentation } from "@api-platform/api-doc-parser";
import { hydraSchemaAnalyzer } from "@api-platform/admin";

export function testDataProvider(server) {
  const { ask, entrypoint, headers } = server;
  const dataProvider = server.makeDataProvider();
  beforeAll(() => dataProvider.introspect());

  const list = (params) =>
    dataProvider.getList("users", { pagination: { page: 1, perPage: 100 }, sort: { field: "username", order: "ASC" }, filter: {}, ...params });
  const names = ({ data }) => data.map(({ username }) => username);

  // These alone are read of a collection, for which the parser must be given the token; it has none by default.
  test("filters and orders are found in the answer of the collection", async () => {
    const { api } = await parseHydraDocumentation(entrypoint, { headers });
    const users = api.resources.find(({ name }) => name === "users");
    const analyzer = hydraSchemaAnalyzer();
    expect(await analyzer.getOrderParametersFromSchema(users)).toEqual(["username", "firstname", "lastname"]);
    expect((await analyzer.getFiltersParametersFromSchema(users)).map(({ name }) => name)).toEqual(["username", "firstname", "lastname"]);
  });

  test("pages", async () => {
    const all = await list();
    expect(all.total).toBe(all.data.length);
    expect(all.total).toBeGreaterThan(10);
    const pages = [];
    for (let page = 1; pages.length < all.total; page += 1) {
      const { data, total } = await list({ pagination: { page, perPage: 4 } });
      expect(total).toBe(all.total);
      pages.push(...data);
    }
    expect(pages.map(({ id }) => id)).toEqual(all.data.map(({ id }) => id));
  });

  test("order", async () => {
    const ascending = names(await list());
    const descending = names(await list({ sort: { field: "username", order: "DESC" } }));
    expect(descending).toEqual(ascending.toReversed());
    expect(ascending.indexOf("admin")).toBeLessThan(ascending.indexOf("bob"));
  });

  test("filters", async () => {
    expect(names(await list({ filter: { username: "ALI" } }))).toEqual(["alice"]);
    expect(names(await list({ filter: { username: ["alice", "bob"] } }))).toEqual(["alice", "bob"]);
    expect(names(await list({ filter: { search: "liddell" } }))).toEqual(["alice"]);
    expect(names(await list({ filter: { username: "a", lastname: "liddell" } }))).toEqual(["alice"]);
    expect(names(await list({ filter: { username: "nobody has this name" } }))).toEqual([]);
  });

  test("an item has its IRI for an id, and its number beside it", async () => {
    const { data } = await dataProvider.getOne("users", { id: "/api/users/2" });
    expect(data).toMatchObject({ id: "/api/users/2", originId: "2", username: "alice", lastname: "Liddell", roles: ["ROLE_STUDENT", "ROLE_USER"] });
  });

  test("create, edit and delete", async () => {
    const given = {
      username: "dodo",
      email: "dodo@example.com",
      firstname: "Dodo",
      plainPassword: "in the caucus race",
      expiresAt: "2031-05-06T07:08:09.000Z",
      roles: ["ROLE_TEACHER"],
    };
    const { data: created } = await dataProvider.create("users", { data: { ...given } });
    const { plainPassword, ...shown } = given;
    expect(created).toMatchObject({ ...shown, expiresAt: "2031-05-06T07:08:09+00:00", roles: ["ROLE_TEACHER", "ROLE_USER"] });
    expect(created.id).toMatch(/^\/api\/users\/\d+$/);

    // The whole record is sent back: @context, @id, @type, id as an IRI, and what is read only.
    const { data: before } = await dataProvider.getOne("users", { id: created.id });
    const data = { ...before, lastname: "of the Caucus", phone: "1865" };
    const { data: edited } = await dataProvider.update("users", { id: created.id, data, previousData: before });
    expect(edited).toMatchObject({ ...before, lastname: "of the Caucus", phone: "1865", fullName: "Dodo of the Caucus" });
    expect((await dataProvider.getOne("users", { id: created.id })).data).toEqual(edited);

    const signIn = { username: given.username, password: plainPassword };
    const token = await ask("/api/authentication_token", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(signIn) });
    expect(token).toHaveProperty("token");

    await dataProvider.delete("users", { id: created.id, previousData: edited });
    expect((await ask(created.id)).active).toBe(-2);
  });

  test("the violations of a 422 are shown at their fields", async () => {
    const analyzer = hydraSchemaAnalyzer();
    const failure = await dataProvider.create("users", { data: { username: "ALICE", email: "nonsense", phone: "1".repeat(65) } }).catch((error) => error);
    expect(failure.status).toBe(422);
    expect(analyzer.getSubmissionErrors(failure)).toEqual({
      username: "This value is already used.",
      email: "This value is not a valid email address.",
      phone: "This value is too long. It should have 64 characters or less.",
    });
    expect(failure.message).toContain("username: This value is already used.");
  });

  test("the text of a 400 is shown", async () => {
    const failure = await dataProvider.create("users", { data: { username: 1, email: "x@example.com" } }).catch((error) => error);
    expect([failure.status, failure.message]).toEqual([400, 'The type of the "username" attribute must be "string", "integer" given.']);
  });
}
